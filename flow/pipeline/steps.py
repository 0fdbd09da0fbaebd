"""The steps of the flow, what each needs, and which package computes it.

Each function imports its package when it runs: estimating needs no simulator, and only
pre-training needs PyTorch.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

from xnoreplay.flow.cost.cells import liberty
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.datasets.bundles import BUNDLE, BundleSource
from xnoreplay.flow.explore import space
from xnoreplay.flow.learning import cil, pretrain
from xnoreplay.flow.pipeline.settings import SETTINGS, START, Settings
from xnoreplay.flow.run import files, locks, temporary
from xnoreplay.flow.run.progress import Progress, Silent
from xnoreplay.flow.run.records import RECORD
from xnoreplay.flow.run.step import Context, Run, Step
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import learning_plan, plan, presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, XnoreplayError
from xnoreplay.spec.machine import cores
from xnoreplay.spec.presets import Preset

OF_SESSIONS = ("cil",)
"""Steps that need a session: `run` leaves them out of a scenario whose base has all classes."""
FIRST = "export"
"""The step where a run starts that does not train."""
PREDICTIONS = "predictions.safetensors"
PLACED = 3  # seeds of a placement
BARE_CYCLES = 1_100_000  # a few seconds of bare Verilator; a minute of a large network
LATENTS = "data/latents"
ESTIMATE = ("flow/cost/estimate.py", "flow/cost/session_cost.py")
WAVES = tuple(f"waves/*-*/{name}" for name in ("waves.fst", "waves.gtkw", "waves.sucl", RECORD))
"""What `cosim --waves` adds to the folder of the comparison."""


def _preset(context: Context) -> Preset:
    return presets.from_dict(context.config["preset"])


def _bundle(context: Context) -> Bundle:
    return bundles.read(context.inputs["export"] / BUNDLE)


def _cil(context: Context) -> dict:
    return cil.compare_learners(
        _preset(context),
        _bundle(context),
        range(context.config["seeds"]),
        context.progress,
        dump=context.out / PREDICTIONS if context.config["dump"] else None,
        workers=cores(),
    )


def _simulate(context: Context) -> dict:
    from xnoreplay.flow.verify.simulate import simulate_sessions
    from xnoreplay.flow.verify.simulate_large import simulate_session

    preset = _preset(context)
    large = plan.compile(preset.network, preset.target).is_large(preset.scenario.base)
    simulate = simulate_session if large else simulate_sessions
    return simulate(preset, _bundle(context), context.out, context.progress)


def _generate(context: Context) -> dict:
    from xnoreplay.flow.chip import generate

    names = generate.Names(context.config["prefix"], context.config["baud"])
    return generate.write_verilog(
        _preset(context), _bundle(context), context.out, context.progress, names
    )


def _cosim(context: Context) -> dict:
    from xnoreplay.flow.run.tools import verilator_env
    from xnoreplay.flow.verify import cosim
    from xnoreplay.flow.verify.cosim.bare import Design, bare_verilator

    preset, bundle, env = _preset(context), _bundle(context), verilator_env()
    simulator, folder = context.config["simulator"], context.inputs["generate"]
    source = Path(context.config["verilog"] or folder)
    result = cosim.cosimulate(
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
        liberty=Path(context.config["liberty"]) if context.config["liberty"] else None,
        trust=context.config["trust"],
    )
    if simulator != "icarus":
        compiled = plan.compile(preset.network, preset.target)
        count = max(1, BARE_CYCLES // compiled.infer_cycles(preset.scenario.classes))
        images = registry.of_preset_or_random(preset, Silent()).images
        generated = folder / context.result("generate")["verilog"]
        verilog = cosim.read_verilog(generated, context.config["trust"])
        design = Design(verilog, env, cosim.optimisation(verilog))
        result["bare"] = bare_verilator(preset, bundle, images[:count], design, context.progress)
    return result


def _mutate(context: Context) -> dict:
    from xnoreplay.flow.explore import jobs
    from xnoreplay.flow.verify import cosim
    from xnoreplay.flow.verify.mutation import measure

    config, folder = context.config, context.inputs["generate"]
    verilog = cosim.read_verilog(folder / context.result("generate")["verilog"])
    with temporary.folder("mutate") as work:
        return measure.measure(
            _preset(context),
            _bundle(context),
            verilog,
            config["mutants"],
            config["mutant_seed"],
            context.scratch,
            work,
            jobs.engine.executor,
            context.progress,
        )


def _prove(context: Context) -> dict:
    from xnoreplay.flow.verify.prove import run as proofs

    preset, config = _preset(context), context.config
    folder = context.inputs["generate"]
    verilog = (folder / context.result("generate")["verilog"]).read_text(encoding="utf-8")
    choice = proofs.Choice(
        tuple(config["properties"]),
        config["planted"],
        config["equivalence"],
        Path(config["liberty"]) if config["liberty"] else None,
    )
    compiled = plan.compile(preset.network, preset.target)
    return proofs.prove(compiled, verilog, choice, context.out, context.scratch, context.progress)


def _synth(context: Context) -> dict:
    from xnoreplay.flow.chip import families, place, synth
    from xnoreplay.flow.chip.generate import MANIFEST

    generated, folder = context.result("generate"), context.inputs["generate"]
    verilog, top = folder / generated["verilog"], generated["top"]
    macros = files.read_json(folder / MANIFEST)["macros"]
    liberty = context.config["liberty"]
    try:
        found = families.map_to_families(
            verilog,
            top,
            macros,
            context.out,
            context.progress,
            context.config["families"],
            Path(liberty) if liberty else None,
        )
        found |= synth.check_and_map(verilog, top, context.out, context.progress)
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
    counted = runs["session"]["counters"] if "session" in runs else None
    cost = session_cost.price_session(preset, _bundle(context), expected=counted)
    return priced | {"session_cost": cost}


def _explore(context: Context) -> dict:
    from xnoreplay.flow.explore import search

    config = context.config
    # Runs of an earlier sweep, and of one that was stopped.
    kept, jobs = context.out.parent / "explore" / search.JOBS, context.scratch / search.JOBS
    if kept.is_dir():
        shutil.copytree(kept, jobs, dirs_exist_ok=True)
    result = search.search(
        _preset(context),
        context.inputs["export"] / BUNDLE,
        config["sweep"],
        config["seeds"],
        context.scratch,
        context.progress,
    )
    search.write(result, context.out)
    shutil.copytree(jobs, context.out / search.JOBS)
    return result


def _upset(context: Context) -> dict:
    from xnoreplay.flow.upset import campaign, flops, pictures, replayed, sessions
    from xnoreplay.spec import presets

    preset, bundle, config = _preset(context), _bundle(context), context.config
    # Jobs of an earlier campaign, and of one that was stopped.
    kept, jobs = context.out.parent / "upset" / campaign.JOBS, context.scratch / campaign.JOBS
    if kept.is_dir():
        shutil.copytree(kept, jobs, dirs_exist_ok=True)
    names = campaign.checked_places(
        plan.compile(preset.network, preset.target), tuple(config["memories"])
    )
    rates = campaign.checked_rates(tuple(config["rates"]))
    tried = campaign.Campaign(names, rates, config["sessions"])
    path = context.inputs["export"] / BUNDLE
    result = campaign.run(preset, bundle, path, tried, context.scratch, context.progress)
    verilog, sources = context.inputs["generate"], campaign.sources_of(path, context.scratch)
    result["replayed"] = replayed.repeat(
        preset, bundle, verilog, sources, result, config["replays"], context
    )
    if count := config["flip_flops"]:
        bench = sessions.bench(presets.to_dict(preset), sources)
        result["flops"] = flops.campaign(
            preset, bundle, verilog, bench, count, tried.seed, context.progress
        )
    pictures.write(result, context.out)
    shutil.copytree(jobs, context.out / campaign.JOBS)
    campaign.check(result)
    return result


def _report(context: Context) -> dict:
    from xnoreplay.flow.report import page

    return page.write_report(_preset(context), context.inputs, context.out)


def steps(train: bool) -> dict[str, Step]:
    """Return all steps by name, in the order they run.

    Parameters
    ----------
    train : bool
        Whether the run's bundle comes from its own pre-training, which `export` then needs.
    """
    export_needs = ("pretrain",) if train else ()
    table = [
        Step(
            "pretrain",
            pretrain.pretrain,
            files=("start",),
            code=(
                "model/training/pretrain.py",
                "model/latent_classifier.py",
                "flow/datasets/registry.py",
            ),
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
            files=("verilog", "liberty"),
            added_later=WAVES,
            weaker_if="stand_in",
            # The bench is started by its name, in the HDL simulator.
            code=(
                "flow/verify/cosim/__init__.py",
                "flow/verify/cosim/bare.py",
                "flow/verify/cosim/bench/testbench.py",
                LATENTS,
            ),
        ),
        Step(
            "mutate",
            _mutate,
            ("export", "generate"),
            # The bench is started by its name, in the HDL simulator.
            code=(
                "flow/verify/mutation/measure.py",
                "flow/verify/cosim/bench/mutants.py",
                LATENTS,
            ),
            only_by_name=True,
        ),
        Step(
            "prove",
            _prove,
            ("generate",),
            files=("liberty",),
            code=("flow/verify/prove/run.py",),
            only_by_name=True,
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
            only_by_name=True,
        ),
        Step(
            "upset",
            _upset,
            ("export", "generate"),
            code=(
                "flow/upset/campaign.py",
                "flow/upset/flops.py",
                "flow/upset/replayed.py",
                "flow/verify/cosim/bench/testbench.py",
                LATENTS,
            ),
            only_by_name=True,
        ),
    ]
    names = tuple(s.name for s in table)
    table.append(Step("report", _report, uses=names, code=("spec", "flow")))
    return {s.name: s for s in table}


def configs(settings: Settings) -> dict[str, dict]:
    """Collect the configuration of each step: the settings that name it, and what only the step knows.

    Parameters
    ----------
    settings : Settings
        Of the run.

    Returns
    -------
    dict of str to dict
        Plain values by the name of the step.

    Raises
    ------
    SpecError
        For a design that cannot be built, or that takes more memory or cycles than is allowed.
    """
    preset, source = settings.preset, settings.source
    learning_plan.check_cycles(plan.compile(preset.network, preset.target))
    further: dict[str, dict] = {
        "pretrain": {"seed": 0},
        "export": {
            "bundle": str(source.path) if source.path else None,
            "untrained": source.kind == "random",
        },
        "cosim": {"stand_in": registry.is_missing(preset)},
        "explore": {"sweep": settings.sweep or space.default(preset)},
    }
    common: dict = {"preset": presets.to_dict(preset)}
    if preset.scenario.source is not None:
        common["data"] = registry.stamp(preset)
    return {
        name: common | settings.of_step(name) | further.get(name, {})
        for name in steps(source.kind == "training")
    }


def open_run(folder: Path, settings: Settings, progress: Progress) -> Run:
    """Open a run folder with the steps of the flow; nothing is written before `set_up`."""
    table = steps(settings.source.kind == "training")
    return Run(folder, table, configs(settings), progress, (SETTINGS, START))


def set_up(run: Run, settings: Settings, names: Iterable[str]) -> None:
    """Check what the user's files hold, then write the settings, and a bundle to start from, into the run folder.

    Parameters
    ----------
    run : Run
        As `open_run` returns it.
    settings : Settings
        Of the run.
    names : iterable of str
        The steps that will run; a file of no concern to them is not looked at.

    Raises
    ------
    XnoreplayError
        For a bundle that does not fit, or a file that cannot be used; the folder then stays as it was.
    """  # noqa: DOC501  `disk_error` makes an XnoreplayError
    own, start = run.folder / START, None
    if settings.start is not None and settings.start.absolute() != own.absolute():
        start = BundleSource.choose(settings.preset, settings.start).load(settings.preset)
        if own.exists() and not _has_start(run.folder):
            raise XnoreplayError(
                f"{own} must be new, or the bundle that this folder's training went on from, but the folder's "
                f"{SETTINGS} knows of none; move it away"
            )
    _check_choices(settings, names)
    if "explore" in names and settings.sweep is not None:
        space.points(settings.preset, settings.sweep)
    if "export" in names and settings.source.kind in ("file", "packaged"):
        settings.source.load(settings.preset)
    if start is not None:
        with run.locked():
            try:
                bundles.write(start, own)
            except OSError as error:
                raise locks.disk_error("set-up", error) from error
        run.configs["pretrain"]["start"] = str(own)
    run.write_settings(SETTINGS, settings.remembered())


def _check_choices(settings: Settings, names: Iterable[str]) -> None:
    """Refuse a library that no step maps to, and a property that the chip has not.

    Raises
    ------
    SpecError
        Names what is missing.
    """
    if settings.liberty is not None:
        for step, switch, given in (
            ("cosim", "--netlist", settings.netlist),
            ("prove", "--equivalence", settings.equivalence),
        ):
            if step in names and not given:
                raise SpecError(f"--liberty must be given to {step} with {switch}, but is alone")
        liberty.check_cells(settings.liberty)
    if "prove" in names and settings.properties:
        from xnoreplay.flow.verify.prove import catalogue

        compiled = plan.compile(settings.preset.network, settings.preset.target)
        catalogue.chosen(compiled, settings.properties)


def _has_start(folder: Path) -> bool:
    """Tell whether a run folder's settings say that its training went on from a bundle."""
    try:
        return bool(files.read_json(folder / SETTINGS).get("start"))
    except (OSError, ValueError):
        return False
