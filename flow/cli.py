"""The command line: parses, calls, and turns errors into one sentence and an exit code.

Exit codes: 0 done, 1 bad input or a missing tool, 2 a design that failed a check, 130 interrupted.
"""

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

import xnoreplay
from xnoreplay.flow.commands import costs as cost_commands
from xnoreplay.flow.commands import experiments
from xnoreplay.flow.commands.options import (
    AllClassesOption,
    AugmentOption,
    BundleOption,
    DataOption,
    DumpOption,
    EpochsOption,
    FamilyOption,
    FaultOption,
    ForceOption,
    ImagesOption,
    LibertyOption,
    LonePresetOption,
    ObjectiveOption,
    OrderSeedOption,
    OutOption,
    PlaceOption,
    PresetOption,
    ReplayOption,
    SeedsOption,
    SimulatorOption,
    StartOption,
    StepOption,
    TrustOption,
    UntrainedOption,
    VerilogOption,
    WavesOption,
    find_data,
)
from xnoreplay.flow.run import interrupts
from xnoreplay.flow.run.progress import heartbeat
from xnoreplay.spec.errors import SHOWN, CheckFailure, XnoreplayError

BAD_INPUT, FAILED_CHECK, INTERRUPTED = 1, 2, interrupts.CODE
ENDLESS = 500  # characters of a word that is cut: longer than a path is

# typer shows its users BadParameter alone, of all the errors of the parser it carries.
ParserError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)

app = typer.Typer(
    name="xnoreplay",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
presets_app = typer.Typer(help="Presets: networks, machines and scenarios by name.")
app.add_typer(presets_app, name="presets")


def _bring(
    first: str | None,
    last: str,
    out: Path | None,
    force: bool = False,
    data: Path | None = None,
    forget: tuple[str, ...] = (),
    **chosen,
) -> Path:
    """Bring the steps from `first` to `last`, and what they need, up to date; the run folder.

    chosen : fields of `pipeline.Settings`; None is for what the user left open
    forget : those of them that the folder's last run does not decide
    """
    from xnoreplay.flow.pipeline import steps as pipeline
    from xnoreplay.flow.run import tools
    from xnoreplay.flow.run.progress import default

    find_data(data)
    if first == "pretrain":
        chosen["own_training"] = True
    folder, settings = pipeline.resolve(out, chosen, forget)
    progress = default()
    train = pipeline.trains(folder, first, settings)
    run = pipeline.open_run(folder, settings, train, progress)
    if first is None:
        first = "pretrain" if train else pipeline.FIRST
    names = run.span(first, last)
    forced = run.between(first, last) if force else []
    run.require_ready(names)
    tools.require(run.pending(names) + forced)
    pipeline.take_up(run, settings, names)
    if settings.own_training and not train and "export" in names:
        progress.note(
            f"the pre-training of {folder} is not finished, and another bundle stands in for its own: "
            f"xnoreplay pretrain --out {folder} goes on with it"
        )
    _conclude(run.run(names, forced), folder, progress)
    return folder


def _conclude(outcomes, folder: Path, progress) -> None:
    failed = [o for o in outcomes if o.status == "failed"]
    if failed:
        steps = ", ".join(o.step for o in failed)
        raise CheckFailure(
            f"step {steps} failed its check: {'; '.join(o.message for o in failed)}; "
            f"the evidence is in {folder}"
        )
    if any(o.step == "report" and o.status in ("done", "kept") for o in outcomes):
        progress.note(f"report: {folder / 'report' / 'report.html'}")


@app.command()
def run(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="STEP", help="First step; pretrain trains a network."),
    ] = None,
    last: Annotated[str, typer.Option("--to", metavar="STEP", help="Last step.")] = "report",
    force: ForceOption = False,
    seeds: SeedsOption = None,
    images: ImagesOption = None,
    simulator: SimulatorOption = None,
    place: PlaceOption = None,
    data: DataOption = None,
) -> None:
    """Run all steps: export, cil, simulate, generate, cosim, synth, estimate, report.

    What is up to date is kept; a run that was stopped goes on where it was.
    """
    _bring(
        first,
        last,
        out,
        force,
        data,
        preset=preset,
        bundle=bundle,
        untrained=untrained,
        seeds=seeds,
        images=images,
        simulator=simulator,
        place=place,
    )


@app.command()
def pretrain(
    preset: PresetOption = None,
    out: OutOption = None,
    force: ForceOption = False,
    data: DataOption = None,
    objective: ObjectiveOption = None,
    all_classes: AllClassesOption = None,
    order_seed: OrderSeedOption = None,
    epochs: EpochsOption = None,
    start: StartOption = None,
    augment: AugmentOption = None,
) -> None:
    """Train the network on the base classes.

    The only step that needs PyTorch. With torchrun, several processes share the work.
    """
    from xnoreplay.flow.learning import pretrain as step

    if step.follows():
        find_data(data)
        step.follow()
        return
    try:
        _bring(
            "pretrain",
            "pretrain",
            out,
            force,
            data,
            preset=preset,
            all_classes=all_classes,
            objective=objective,
            order_seed=order_seed,
            epochs=epochs,
            start=start,
            augment=augment,
            forget=("epochs", "start"),
        )
    finally:
        step.dismiss()


@app.command()
def export(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    force: ForceOption = False,
    data: DataOption = None,
) -> None:
    """Write and check the run's bundle.

    It comes from the run's own pre-training, from a file, or from the package.
    """
    _bring("export", "export", out, force, data, preset=preset, bundle=bundle, untrained=untrained)


@app.command()
def cil(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    force: ForceOption = False,
    seeds: SeedsOption = None,
    data: DataOption = None,
    order_seed: OrderSeedOption = None,
    step: StepOption = None,
    dump: DumpOption = None,
) -> None:
    """Learn class after class in the chip's integers.

    Beside it: naive and cumulative learning, and a float classifier.
    """
    _bring(
        "cil",
        "cil",
        out,
        force,
        data,
        preset=preset,
        bundle=bundle,
        untrained=untrained,
        seeds=seeds,
        order_seed=order_seed,
        step=step,
        dump=dump,
    )


@app.command()
def simulate(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    force: ForceOption = False,
    data: DataOption = None,
) -> None:
    """Count the cycles and events of the chip.

    Of an inference and of a retraining session.
    """
    _bring(
        "simulate", "simulate", out, force, data, preset=preset, bundle=bundle, untrained=untrained
    )


@app.command()
def generate(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    force: ForceOption = False,
) -> None:
    """Write the chip's Verilog."""
    _bring("generate", "generate", out, force, preset=preset, bundle=bundle, untrained=untrained)


@app.command()
def cosim(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    force: ForceOption = False,
    images: ImagesOption = None,
    simulator: SimulatorOption = None,
    fault: FaultOption = None,
    replay: ReplayOption = None,
    verilog: VerilogOption = None,
    trust: TrustOption = False,
    netlist: Annotated[
        bool, typer.Option("--netlist", help="Hold the gates that yosys maps the Verilog to.")
    ] = False,
    waves: WavesOption = None,
    data: DataOption = None,
) -> None:
    """Hold the Verilog to the simulator.

    Every memory bit, event counter and phase boundary, and where they first differ. A fault is
    rtl:MEMORY:ROW:BIT, sim:MEMORY:ROW:BIT or plan:OP.FIELD=VALUE.
    """
    if replay is not None:
        given = (preset, out, bundle, images, simulator, fault, verilog, data)
        if untrained or force or netlist or any(option is not None for option in given):
            raise XnoreplayError(
                "--replay must be alone or with --waves and --trust: all else is in the recorded folder"
            )
        _replay(replay, waves, trust)
        return
    find_data(data)
    if verilog is not None:
        from xnoreplay.flow.verify.cosim import read_verilog

        read_verilog(verilog, trust)  # refused before the steps that come first
    chosen: dict[str, Any] = {
        "preset": preset,
        "bundle": bundle,
        "untrained": untrained,
        "images": images,
        "simulator": simulator,
        "faults": tuple(fault or ()),
        "verilog": verilog,
        "netlist": netlist,
        "trust": trust,
    }
    if waves is None:
        _bring("cosim", "cosim", out, force, **chosen)
    else:
        _waves(waves, out, force, chosen)


def _waves(text: str, out: Path | None, force: bool, chosen: dict) -> None:
    """A comparison, then the waveform; the waveform also of one that found a difference."""
    from xnoreplay.flow.commands import waveforms
    from xnoreplay.flow.pipeline import steps as pipeline
    from xnoreplay.flow.run import tools
    from xnoreplay.flow.run.progress import default
    from xnoreplay.flow.verify.cosim import window

    window.parse(text)
    tools.require(["waves"])
    folder = _bring("generate", "generate", out, **chosen)
    recording = waveforms.Recording(folder, pipeline.resolve(folder, chosen)[1], text, default())
    try:
        _bring("cosim", "cosim", folder, force, **chosen)
    except CheckFailure:
        with suppress(CheckFailure, XnoreplayError):  # the comparison's says more
            recording.write()
        raise
    recording.write()


def _replay(folder: Path, waves: str | None, trust: bool) -> None:
    """Carry out a recorded difference once more."""
    from xnoreplay.flow.run import locks as guard
    from xnoreplay.flow.run import tools
    from xnoreplay.flow.run.progress import default
    from xnoreplay.flow.verify import cosim as cosimulation
    from xnoreplay.flow.verify.cosim import window

    tools.require(["cosim"])
    if waves is not None:
        window.parse(waves)
        tools.require(["waves"])
    with guard.interruptible():
        result = cosimulation.replay(folder, default(), window=waves, trust=trust)
    typer.echo(f"no difference in {result['cycles']:,} cycles")


@app.command()
def synth(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    force: ForceOption = False,
    place: PlaceOption = None,
    family: FamilyOption = None,
    liberty: LibertyOption = None,
) -> None:
    """Check and synthesise the Verilog.

    No latch, no warning, every large memory a RAM; cells and resources for FPGA families.
    """
    _bring(
        "synth",
        "synth",
        out,
        force,
        preset=preset,
        bundle=bundle,
        untrained=untrained,
        place=place,
        families=tuple(family) if family else None,
        liberty=liberty,
    )


@app.command()
def explore(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    force: ForceOption = False,
    seeds: SeedsOption = None,
    data: DataOption = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="DIAL=VALUE,...", help="Try these values; repeatable."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option("--spec", metavar="FILE", help="TOML file with a section [sweep]."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", metavar="N", help="Processes. [default: all cores]")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Run on the workers of a Dask scheduler; local starts some here.",
        ),
    ] = None,
) -> None:
    """Search the designs around a preset.

    Every combination of dials with accuracy, memory, cycles, energy and area; Pareto fronts, and
    the cheapest design that loses less than a point. It goes on where it was stopped.
    """
    from xnoreplay.flow.explore import jobs as explore_jobs
    from xnoreplay.flow.explore import space as explore_space
    from xnoreplay.flow.explore import text as explore_text
    from xnoreplay.flow.run.step import result_of

    if sweep and spec:
        raise XnoreplayError("a sweep must be given by --sweep or by --spec, not by both")
    chosen = (
        explore_space.parse(sweep) if sweep else explore_space.from_file(spec) if spec else None
    )
    explore_jobs.engine = explore_jobs.Engine(jobs, scheduler)
    folder = _bring(
        "explore",
        "explore",
        out,
        force,
        data,
        preset=preset,
        bundle=bundle,
        untrained=untrained,
        seeds=seeds,
        sweep=chosen,
    )
    typer.echo(explore_text.text(result_of(folder / "explore")))
    typer.echo(f"\npoints and pictures: {folder / 'explore'}")


@app.command()
def report(
    preset: PresetOption = None,
    out: OutOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    force: ForceOption = False,
) -> None:
    """Write report.html and report.json.

    From whatever steps have run.
    """
    _bring("report", "report", out, force, preset=preset, bundle=bundle, untrained=untrained)


for command in (*cost_commands.COMMANDS, *experiments.COMMANDS):
    app.command()(command)


@app.command()
def doctor() -> None:
    """Say which tools are there, and which caches are used.

    Which version, and what to do about those that are missing."""
    from xnoreplay.flow.commands import doctor as examination

    diagnoses = examination.examine()
    typer.echo(examination.text(diagnoses))
    typer.echo(f"\n{examination.caches_text()}")
    if not all(d.healthy for d in diagnoses):
        raise typer.Exit(BAD_INPUT)


@app.command()
def draw(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="SVG file to write. [default: PRESET.svg]"),
    ] = None,
    preset: LonePresetOption = None,
    settings: cost_commands.SetOption = None,
) -> None:
    """Draw the chip's block diagram.

    Units, memories and ways of data with the widths and depths of the preset's plan, as SVG for
    light and dark pages.
    """
    from xnoreplay.flow.output import diagram
    from xnoreplay.flow.run import files
    from xnoreplay.spec import plan, presets

    chosen = cost_commands.dialled(presets.load(preset or "digits"), settings)
    path = file or Path(f"{chosen.name}.svg")
    files.require_writable(path, files.text_with("<svg", diagram.CAPTION))
    compiled = plan.compile(chosen.network, chosen.target)
    files.write_whole(path, diagram.chip_svg(compiled, chosen.name))
    typer.echo(f"block diagram: {path}")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(xnoreplay.__version__)


def _print_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Design a chip that recognises images with a fully-binarised network and keeps learning."""


@presets_app.command("list")
def presets_list() -> None:
    """Names of the presets, with what each recognises."""
    from xnoreplay.spec import presets

    width = max(map(len, presets.PRESETS))
    for name, preset in presets.PRESETS.items():
        net, scenario = preset.network, preset.scenario
        typer.echo(
            f"{name:{width}}  {net.height}x{net.width} {net.colour}, {net.weight_bits:,} weight "
            f"bits; {scenario.dataset}, {scenario.base} classes and {scenario.tasks} sessions"
        )


@presets_app.command("show")
def presets_show(name: Annotated[str, typer.Argument(help="A preset's name, or a TOML file.")]):
    """Print a preset as a spec file, to save and change."""
    from xnoreplay.flow.commands.specfile import to_toml
    from xnoreplay.spec import presets

    typer.echo(to_toml(presets.load(name)), nl=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never a traceback for a user's mistake."""
    arguments = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    try:
        _refuse_empty(arguments)
        with heartbeat():
            code = app(args=arguments, standalone_mode=False, prog_name="xnoreplay")
    except XnoreplayError as error:
        return _fail(str(error), BAD_INPUT)
    except CheckFailure as error:
        return _fail(str(error.args[0]), FAILED_CHECK)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except MemoryError:
        return _fail(
            "the work must fit into the memory that this process may take, but does not", BAD_INPUT
        )
    except OSError as error:
        return _fail(f"a file could not be read or written: {error}", BAD_INPUT)
    except ParserError as error:
        return _fail(error.format_message(), BAD_INPUT)  # type: ignore[attr-defined]
    except Exception:
        if not interrupts.asked():  # a library may turn an interrupt into an error of its own
            raise
        code = INTERRUPTED
    if code == INTERRUPTED or interrupts.asked():  # typer turns Ctrl-C into this code
        return _fail(interrupts.STOPPED, INTERRUPTED)
    return code if isinstance(code, int) else 0


def _refuse_empty(arguments: Sequence[str]) -> None:
    """XnoreplayError for an empty argument: a path of it would be the current folder.

    >>> _refuse_empty(["run", "--out", ""])
    Traceback (most recent call last):
    ...
    xnoreplay.spec.errors.XnoreplayError: --out must be given a value, not ''
    """
    for before, argument in zip(["an argument", *arguments], arguments, strict=False):
        name, _, value = argument.partition("=")
        if not argument or (name.startswith("--") and argument.endswith("=") and not value):
            raise XnoreplayError(f"{name or before} must be given a value, not ''")


def _fail(sentence: str, code: int) -> int:
    if interrupts.asked():  # what fails then fails because of it
        return interrupts.say()
    print(f"error: {_readable(sentence)}", file=sys.stderr)
    return code


def _readable(sentence: str) -> str:
    r"""A sentence without what no terminal shows, and its endless words cut.

    >>> print(_readable("a\x1b[2J"), _readable("9" * 1000)[-22:])
    a\x1b[2J ... (1,000 characters)
    """
    shown = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in sentence)
    return re.sub(
        rf"\S{{{ENDLESS},}}", lambda m: f"{m[0][:SHOWN]}... ({len(m[0]):,} characters)", shown
    )
