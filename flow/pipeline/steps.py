"""The steps of the flow, what each needs, and which package computes it.

Each function imports its package when it runs: estimating needs no simulator, and only
pre-training needs PyTorch.
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from xnoreplay.flow.chip.families import COMMANDS
from xnoreplay.flow.cost.cells import liberty
from xnoreplay.flow.datasets import bundles as trained
from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.explore import space as explore_space
from xnoreplay.flow.learning import cil, pretrain
from xnoreplay.flow.run import files
from xnoreplay.flow.run import locks as guard
from xnoreplay.flow.run.progress import Progress, Silent
from xnoreplay.flow.run.step import RECORD, Context, Run, Step, step_record
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import learning_plan, limits, plan, presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, XnoreplayError, require, shown, unknown
from xnoreplay.spec.machine import cores
from xnoreplay.spec.presets import Preset

FIRST = "export"  # where a run starts that does not train
SETTINGS = "run.json"
PREDICTIONS = "predictions.safetensors"
PLACED = 3  # seeds of a placement
BARE_CYCLES = 1_100_000  # a few seconds of bare Verilator; a minute of a large network
LATENTS = "data/latents"
ESTIMATE = ("flow/cost/estimate.py", "flow/cost/session_cost.py")
SIMULATORS = ("verilator", "icarus", "both")

TRAINING = ("start", "epochs")
"""Settings that only a pre-training of one network on one scenario can have."""
WORDS = ("simulator", "objective")
"""Settings that are words."""
FLAGS = ("untrained", "netlist", "place", "all_classes", "augment", "own_training", "dump")
"""Settings that are true or false."""
REMEMBERED = (
    "seeds",
    "images",
    "simulator",
    "place",
    "all_classes",
    "sweep",
    "objective",
    "augment",
    "dump",
    "epochs",
    "own_training",
)
"""Settings, besides preset and start, that a folder's next run takes up."""
WAVES = tuple(f"waves/*-*/{name}" for name in ("waves.fst", "waves.gtkw", "waves.sucl", RECORD))
"""What `cosim --waves` adds to the folder of the comparison."""
START = "start.safetensors"
"""The folder's own copy of the bundle that its training went on from: that may be the folder's own,
which the export replaces, or be gone when a later step asks whether the training is up to date."""


@dataclass(frozen=True)
class Settings:
    """What a user chooses for a run; checked before anything is written, and before it is remembered.

    The most of each number is in `xnoreplay.spec.limits.MOST`.

    bundle : a file to start from instead of the packaged one
    untrained : start from random bits instead
    seeds : accuracies are means over so many seeds
    images : how many images co-simulation compares in full
    simulator : of co-simulation
    faults : deliberate ones of co-simulation; see `cosim.faults`
    verilog : a file that co-simulation takes instead of the generated one
    netlist : whether co-simulation takes the netlist that yosys makes of it
    trust : whether co-simulation runs Verilog that reaches out of its simulation
    place : whether synthesis goes on to place and route
    families : FPGA families that synthesis maps memories and design to; see `families`
    liberty : a Liberty file whose cells synthesis maps the logic to
    all_classes : whether pre-training sees every class of the scenario, not the base alone
    sweep : dials and values that `explore` tries; its own choice, if None
    objective : of the pre-training, one of `xnoreplay.model.training.recipe.OBJECTIVES`
    augment : whether pre-training moves and mirrors images
    own_training : whether the folder's pre-training was asked for after any other bundle
    dump : whether cil leaves a file of all predictions
    epochs : of the pre-training, instead of its recipe's
    start : a bundle whose training the pre-training goes on with

    Raises
    ------
    SpecError
        Where a setting breaks a rule; the message states the rule and the value.
    """

    preset: Preset
    bundle: Path | None = None
    untrained: bool = False
    seeds: int = 3
    images: int = 50
    simulator: str = "verilator"
    faults: tuple[str, ...] = ()
    verilog: Path | None = None
    netlist: bool = False
    trust: bool = False
    place: bool = False
    families: tuple[str, ...] = ("ecp5",)
    liberty: Path | None = None
    all_classes: bool = False
    sweep: dict[str, list] | None = None
    objective: str = "supervised"
    augment: bool = True
    own_training: bool = False
    dump: bool = False
    epochs: int | None = None
    start: Path | None = None

    def __post_init__(self) -> None:
        from xnoreplay.model.training.recipe import OBJECTIVES, recipe_of

        limits.count("seeds", self.seeds)
        limits.count("images", self.images)
        if self.epochs is not None:
            limits.count("training epochs", self.epochs, "epochs")
        for name in FLAGS:
            require.flag(name, getattr(self, name))
        for name in WORDS:
            if not isinstance(getattr(self, name), str):
                raise SpecError(f"{name} must be a word, not {shown(getattr(self, name))}")
        if self.sweep is not None:
            if not isinstance(self.sweep, dict) or not all(
                isinstance(v, list) for v in self.sweep.values()
            ):
                raise SpecError(f"a sweep must be lists of values by dial, not {shown(self.sweep)}")
            explore_space.checked(self.sweep)
        if self.simulator not in SIMULATORS:
            raise unknown("simulator", self.simulator, SIMULATORS)
        if self.objective not in OBJECTIVES:
            raise unknown("objective", self.objective, OBJECTIVES)
        recipe_of(self.preset.scenario.dataset, self.objective, self.augment)  # refuses some pairs
        for name in self.families:
            if name not in COMMANDS:
                raise unknown("family", name, COMMANDS)
        trained.one_source(self.bundle, self.untrained)


def resolve(
    folder: Path | None, chosen: dict, forget: tuple[str, ...] = ()
) -> tuple[Path, Settings]:
    """The run folder and its settings: what is chosen, else what the folder's last run had.

    None, and False for `untrained`, is what was not chosen; order_seed and step change the preset's
    scenario. A folder that has a bundle keeps it until another one is asked for, or until a training
    that was asked for is done. What a training went on from, and for how long, is forgotten where the network or
    the scenario becomes another one.

    forget : settings that are not taken from the folder
    """
    chosen = {n: v for n, v in chosen.items() if v is not None and (n, v) != ("untrained", False)}
    scenario = {n: chosen.pop(n) for n in ("order_seed", "step") if n in chosen}
    if "preset" in chosen:
        chosen["preset"] = presets.load(chosen["preset"])
    if folder is None:
        chosen.setdefault("preset", presets.PRESETS["digits"])
        folder = Path("runs") / chosen["preset"].name
    try:
        recorded = files.read_json(folder / SETTINGS)
        recorded["preset"] = presets.from_dict(recorded["preset"])
        own = folder / START
        recorded["start"] = own if recorded.get("start") and own.exists() else None
        strange = recorded.keys() - {f.name for f in fields(Settings)}
        if strange:
            raise ValueError(f"{shown(sorted(strange)[0])} is no setting")
    except (FileNotFoundError, NotADirectoryError):
        recorded = {"preset": presets.PRESETS["digits"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SpecError) as error:
        raise XnoreplayError(
            f"{folder / SETTINGS} must be the settings of a run, but is not: {error}; remove it and name the "
            "preset again: what the steps left stays"
        ) from None
    merged = {"simulator": "both" if shutil.which("iverilog") else "verilator"} | recorded | chosen
    merged["preset"] = presets.vary(merged["preset"], "scenario", **scenario)
    before, now = recorded["preset"], merged["preset"]
    if (before.network, before.scenario) != (now.network, now.scenario):
        forget = (*forget, *TRAINING, "own_training")
    for name in forget:
        if name not in chosen:
            merged.pop(name, None)
    if {"bundle", "untrained"} & chosen.keys():
        if "own_training" in chosen:
            raise XnoreplayError(
                "a training must be without a bundle or untrained bits: it makes the bundle"
            )
        merged["own_training"] = False
    elif not (merged.get("own_training") and (folder / "pretrain").is_dir()):
        merged |= _kept_bundle(folder, merged["preset"])
    try:
        return folder, Settings(**merged)
    except SpecError as error:
        kept = [name for name in merged.keys() & recorded.keys() if name not in chosen]
        if not _breaks_alone(recorded, kept):
            raise
        raise XnoreplayError(
            f"{folder / SETTINGS} has a setting that cannot be: {error}; give that option anew, or remove "
            "the file and name the preset again: what the steps left stays"
        ) from None


def _breaks_alone(recorded: dict, names: Iterable[str]) -> bool:
    """Whether what a folder remembers breaks a rule, whatever a user chose beside it."""
    try:
        Settings(**{"preset": recorded["preset"]} | {name: recorded[name] for name in names})
    except SpecError:
        return True
    return False


def _kept_bundle(folder: Path, preset: Preset) -> dict:
    """Where the bundle that the folder has came from; nothing, where another one is due.

    The packaged one is due anew, as another version may have another; but not where a training,
    done before it was asked for, would take its place.
    """
    record = step_record(folder / "export")
    try:
        network, untrained = record["config"]["preset"]["network"], record["config"]["untrained"]
        failure, given = record["failure"], record["inputs"]["file bundle"]
    except (KeyError, TypeError):
        return {}
    if failure or network != presets.network_to_dict(preset.network):
        return {}
    if untrained:
        return {"untrained": True}
    source = trained.packaged(preset)
    anew = source and files.file_digest(source) == given and not (folder / "pretrain").is_dir()
    if given is None or anew:
        return {}
    return {"bundle": folder / "export" / trained.BUNDLE}


def _preset(context: Context) -> Preset:
    return presets.from_dict(context.config["preset"])


def _bundle(context: Context) -> Bundle:
    return bundles.read(context.inputs["export"] / trained.BUNDLE)


def _cil(context: Context) -> dict:
    return cil.run(
        _preset(context),
        _bundle(context),
        range(context.config["seeds"]),
        context.progress,
        dump=context.out / PREDICTIONS if context.config["dump"] else None,
        workers=cores(),
    )


def _simulate(context: Context) -> dict:
    from xnoreplay.flow.verify import simulate, simulate_large

    preset = _preset(context)
    compiled = plan.compile(preset.network, preset.target)
    step = simulate_large if compiled.is_large(preset.scenario.base) else simulate
    return step.run(preset, _bundle(context), context.out, context.progress)


def _generate(context: Context) -> dict:
    from xnoreplay.flow.chip import generate

    return generate.run(_preset(context), _bundle(context), context.out, context.progress)


def _cosim(context: Context) -> dict:
    from xnoreplay.flow.run.tools import verilator_env
    from xnoreplay.flow.verify import cosim
    from xnoreplay.flow.verify.cosim.bare import bare_verilator

    preset, bundle, env = _preset(context), _bundle(context), verilator_env()
    simulator, folder = context.config["simulator"], context.inputs["generate"]
    source = Path(context.config["verilog"] or folder)
    result = cosim.run(
        preset,
        bundle,
        source,
        context.out,
        context.progress,
        images=context.config["images"],
        env=env,
        simulator=simulator,
        faults=context.config["faults"],
        netlist=context.config["netlist"],
        trust=context.config["trust"],
    )
    if simulator != "icarus":
        compiled = plan.compile(preset.network, preset.target)
        count = max(1, BARE_CYCLES // compiled.infer_cycles(preset.scenario.classes))
        images = data.at_hand(preset, Silent()).images
        generated = folder / context.result("generate")["verilog"]
        verilog = cosim.read_verilog(generated, context.config["trust"])
        result["bare"] = bare_verilator(
            preset,
            bundle,
            images[:count],
            verilog,
            env,
            context.progress,
            optimise=cosim.optimisation(verilog),
        )
    return result


def _synth(context: Context) -> dict:
    from xnoreplay.flow.chip import families, place, synth
    from xnoreplay.flow.chip.generate import MANIFEST

    generated, folder = context.result("generate"), context.inputs["generate"]
    verilog, top = folder / generated["verilog"], generated["top"]
    macros = files.read_json(folder / MANIFEST)["macros"]
    liberty = context.config["liberty"]
    try:
        found = families.run(
            verilog,
            top,
            macros,
            context.out,
            context.progress,
            context.config["families"],
            Path(liberty) if liberty else None,
        )
        found |= synth.run(verilog, top, context.out, context.progress)
        if context.config["place"]:
            clock = _preset(context).target.clock_hz
            found["placement"] = place.seeds(
                context.out, PLACED, clock, context.out, context.progress
            )
    finally:
        for name in (synth.SOURCE, synth.NETLIST):  # generate has the one, synth.ys makes the other
            (context.out / name).unlink(missing_ok=True)
    return found


def _estimate(context: Context) -> dict:
    from xnoreplay.flow.cost import estimate, session_cost

    preset = _preset(context)
    simulated = context.result("simulate")
    runs = {name: simulated[name] for name in ("inference", "session") if name in simulated}
    priced = estimate.report(plan.compile(preset.network, preset.target), runs)
    cost = session_cost.run(preset, _bundle(context), expected=runs["session"]["counters"])
    return priced | {"session_cost": cost}


def _explore(context: Context) -> dict:
    from xnoreplay.flow.explore import search as explore

    config = context.config
    # Runs of an earlier sweep, and of one that was stopped.
    kept, jobs = context.out.parent / "explore" / explore.JOBS, context.scratch / explore.JOBS
    if kept.is_dir():
        shutil.copytree(kept, jobs, dirs_exist_ok=True)
    result = explore.run(
        _preset(context),
        context.inputs["export"] / trained.BUNDLE,
        config["sweep"],
        config["seeds"],
        context.scratch,
        context.progress,
    )
    explore.write(result, context.out)
    shutil.copytree(jobs, context.out / explore.JOBS)
    return result


def _report(context: Context) -> dict:
    from xnoreplay.flow.report import page as report

    return report.run(_preset(context), context.inputs, context.out)


def steps(train: bool) -> dict[str, Step]:
    """All steps in order; with `train`, the bundle comes from the pre-training."""
    export_needs = ("pretrain",) if train else ()
    table = [
        Step(
            "pretrain",
            pretrain.pretrain,
            files=("start",),
            code=("model/training/pretrain.py", "flow/datasets/registry.py"),
        ),
        Step(
            "export",
            pretrain.export,
            needs=export_needs,
            files=("bundle",),
            code=("flow/learning/pretrain.py",),
        ),
        Step("cil", _cil, ("export",), code=(*cil.CODE, LATENTS)),
        Step(
            "simulate",
            _simulate,
            ("export",),
            code=("flow/verify/simulate.py", "flow/verify/simulate_large.py"),
        ),
        Step("generate", _generate, ("export",), code=("flow/chip/generate.py",)),
        Step(
            "cosim",
            _cosim,
            ("export", "generate"),
            files=("verilog",),
            beside=WAVES,
            lesser="stand_in",
            # The bench is started by its name, in the HDL simulator.
            code=(
                "flow/verify/cosim/__init__.py",
                "flow/verify/cosim/bare.py",
                "flow/verify/cosim/bench/testbench.py",
                LATENTS,
            ),
        ),
        Step(
            "synth",
            _synth,
            ("generate",),
            files=("liberty",),
            code=("flow/chip/synth.py", "flow/chip/families.py", "flow/chip/place.py"),
        ),
        Step("estimate", _estimate, ("export", "simulate"), code=(*ESTIMATE, LATENTS)),
        Step(
            "explore",
            _explore,
            ("export",),
            code=("flow/explore/search.py", *ESTIMATE, LATENTS),
            asked=True,
        ),
    ]
    names = tuple(s.name for s in table)
    table.append(Step("report", _report, uses=names, code=("spec", "flow")))
    return {s.name: s for s in table}


def configs(settings: Settings, train: bool) -> dict[str, dict]:
    """The configuration of each step; plan.compile refuses what cannot be built, at once."""
    preset = presets.to_dict(settings.preset)
    learning_plan.check_cycles(plan.compile(settings.preset.network, settings.preset.target))
    file = None
    if not train and not settings.untrained:
        file = settings.bundle or trained.packaged(settings.preset)
    return {
        "pretrain": {
            "preset": preset,
            "seed": 0,
            "all_classes": settings.all_classes,
            "objective": settings.objective,
            "augment": settings.augment,
            "epochs": settings.epochs,
            "start": str(settings.start) if settings.start else None,
        },
        "export": {
            "preset": preset,
            "bundle": str(file) if file else None,
            "untrained": settings.untrained,
        },
        "cil": {"preset": preset, "seeds": settings.seeds, "dump": settings.dump},
        "simulate": {"preset": preset},
        "generate": {"preset": preset},
        "cosim": {
            "preset": preset,
            "images": settings.images,
            "simulator": settings.simulator,
            "faults": list(settings.faults),
            "verilog": str(settings.verilog) if settings.verilog else None,
            "netlist": settings.netlist,
            "trust": settings.trust,
            "stand_in": data.stands_in(settings.preset),
        },
        "synth": {
            "preset": preset,
            "place": settings.place,
            "families": list(settings.families),
            "liberty": str(settings.liberty) if settings.liberty else None,
        },
        "estimate": {"preset": preset},
        "explore": {"preset": preset, "seeds": settings.seeds, "sweep": _sweep(settings)},
        "report": {"preset": preset},
    }


def _sweep(settings: Settings) -> dict[str, list]:
    """The sweep of a run; a folder remembers the one that was chosen."""
    return settings.sweep or explore_space.default(settings.preset)


def open_run(folder: Path, settings: Settings, train: bool, progress: Progress) -> Run:
    """A run folder with the steps of the flow; nothing is written before `take_up`."""
    return Run(folder, steps(train), configs(settings, train), progress, (SETTINGS, START))


def take_up(run: Run, settings: Settings, names: Iterable[str]) -> None:
    """Leave the settings, and a bundle to start from, in the folder, for the named steps and its next run.

    Raises
    ------
    XnoreplayError
        For a bundle that does not fit; the folder then stays as it was.
    """
    export, own, start = run.configs["export"], run.folder / START, None
    if settings.start is not None and settings.start.absolute() != own.absolute():
        start = trained.load(settings.preset, settings.start)
        if own.exists() and not _remembered(run.folder).get("start"):
            raise XnoreplayError(
                f"{own} must be new, or the bundle that this folder's training went on from, but the folder's "
                f"{SETTINGS} knows of none; move it away"
            )
    if "synth" in names and settings.liberty is not None:
        liberty.check_cells(settings.liberty)
    if "explore" in names and settings.sweep is not None:
        explore_space.points(settings.preset, settings.sweep)
    if "export" in names and not run.steps["export"].needs and not export["untrained"]:
        trained.load(settings.preset, Path(export["bundle"]) if export["bundle"] else None)
    if start is not None:
        with run.locked():
            try:
                bundles.write(start, own)
            except OSError as error:
                raise guard.disk_error("set-up", error) from error
        run.configs["pretrain"]["start"] = str(own)
    chosen = {"start": settings.start is not None} | {n: getattr(settings, n) for n in REMEMBERED}
    run.write_settings(SETTINGS, {"preset": presets.to_dict(settings.preset)} | chosen)


def _remembered(folder: Path) -> dict:
    try:
        return files.read_json(folder / SETTINGS)
    except (OSError, ValueError):
        return {}


def trains(folder: Path, first: str | None, settings: Settings) -> bool:
    """Whether a run's bundle comes from its own pre-training.

    It does where that is asked for, and where the folder has one and nothing else is given.
    """
    given = settings.bundle is not None or settings.untrained
    return first == "pretrain" or (not given and (folder / "pretrain").is_dir())
