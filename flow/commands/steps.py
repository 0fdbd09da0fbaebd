"""Commands that bring steps of a run folder up to date: `run`, and one a step.

Their options are fields of `Settings` and `Request` in `xnoreplay.flow.pipeline.settings`; what stands in a
signature here is of one command alone.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from xnoreplay.flow.commands.options import JobsOption, SchedulerOption, find_data, step_command
from xnoreplay.flow.pipeline.settings import Request
from xnoreplay.flow.run.progress import Progress, default
from xnoreplay.spec.errors import CheckFailure, XnoreplayError

ALL = 100  # percent


def run_steps(first: str | None, last: str, request: Request, forget: Iterable[str] = ()) -> Path:
    """Bring the steps from `first` to `last`, and what they need, up to date.

    Parameters
    ----------
    first, last : str
        Names of steps; `first` is where a run begins, if None.
    request : Request
        What the user asked for.
    forget : iterable of str
        Settings that the folder's last run does not decide.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    XnoreplayError
        For bad input or a missing tool.
    CheckFailure
        Where a step failed its check.
    """
    from xnoreplay.flow.datasets import own

    with own.remembered():
        return _run_steps(first, last, request, forget)


def _run_steps(first: str | None, last: str, request: Request, forget: Iterable[str]) -> Path:
    from xnoreplay.flow.pipeline import resolve, steps
    from xnoreplay.flow.run import tools

    find_data(request.data)
    trains = {"own_training": True} if first == "pretrain" else {}
    folder, settings = resolve.resolve(request.out, request.chosen | trains, forget)
    progress = default()
    run = steps.open_run(folder, settings, progress)
    is_training = settings.source.kind == "training"
    whole = first is None
    if first is None:
        first = "pretrain" if is_training else steps.FIRST
    names = run.span(first, last)
    if whole and not settings.preset.scenario.tasks:
        names = [name for name in names if name not in steps.OF_SESSIONS]
        progress.note(
            "the base has all classes, so no session comes after it: "
            f"{' and '.join(steps.OF_SESSIONS)} is left out"
        )
    forced = [n for n in run.between(first, last) if n in names] if request.force else []
    run.require_ready(names)
    tools.require(run.pending(names) + forced)
    steps.set_up(run, settings, names)
    if settings.own_training and not is_training and "export" in names:
        progress.note(
            f"the pre-training of {folder} is not finished, and another bundle stands in for its own: "
            f"xnoreplay pretrain --out {folder} goes on with it"
        )
    _conclude(run.update(names, forced), folder, progress)
    return folder


def _conclude(outcomes, folder: Path, progress: Progress) -> None:
    """Name the report, or raise CheckFailure for the steps that failed."""
    failed = [o for o in outcomes if o.status == "failed"]
    if failed:
        names = ", ".join(o.step for o in failed)
        raise CheckFailure(
            f"step {names} failed its check: {'; '.join(o.message for o in failed)}; "
            f"the evidence is in {folder}"
        )
    if any(o.step == "report" and o.status in ("done", "kept") for o in outcomes):
        progress.note(f"report: {folder / 'report' / 'report.html'}")


@step_command
def run(
    request: Request,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="STEP", help="First step; pretrain trains a network."),
    ] = None,
    last: Annotated[str, typer.Option("--to", metavar="STEP", help="Last step.")] = "report",
) -> None:
    """Run all steps: export, cil, simulate, generate, cosim, synth, estimate, report.

    What is up to date is kept; a run that was stopped goes on where it was.
    """
    run_steps(first, last, request)


@step_command
def pretrain(request: Request) -> None:
    """Train the network on the base classes.

    The only step that needs PyTorch. With torchrun, several processes share the work.
    """
    from xnoreplay.flow.learning import pretrain as training

    if training.is_follower():
        find_data(request.data)
        training.follow()
        return
    try:
        run_steps("pretrain", "pretrain", request, forget=("epochs", "start"))
    finally:
        training.release_followers()


@step_command
def export(request: Request) -> None:
    """Write and check the run's bundle.

    It comes from the run's own pre-training, from a file, or from the package.
    """
    run_steps("export", "export", request)


@step_command
def cil(request: Request) -> None:
    """Learn class after class in the chip's integers.

    Beside it: naive and cumulative learning, and a float classifier.
    """
    run_steps("cil", "cil", request)


@step_command
def simulate(request: Request) -> None:
    """Count the cycles and events of the chip.

    The chip infers an image, then runs a retraining session.
    """
    run_steps("simulate", "simulate", request)


@step_command
def generate(
    request: Request,
    asic: Annotated[
        Path | None,
        typer.Option(
            "--asic",
            metavar="FOLDER",
            help="Also leave a folder for an ASIC flow: RTL with SRAM macros, constraints, a table of macros, "
            "LibreLane's configuration.",
        ),
    ] = None,
    liberty: Annotated[
        Path | None,
        typer.Option(
            "--liberty",
            metavar="FILE",
            help="With --asic: map the logic to this library's cells, clock gates among them.",
        ),
    ] = None,
    macros: Annotated[
        Path | None,
        typer.Option(
            "--macros",
            metavar="FILE",
            help="With --asic: make these memories macros, by an edited macros.csv. "
            "[default: those of more than 1,024 bits]",
        ),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option(
            "--simulate",
            help="With --asic and --liberty: also simulate the netlist that is left, and compare it with the simulator.",
        ),
    ] = False,
) -> None:
    """Write the chip's Verilog."""  # noqa: DOC501  the text is the command's help
    if asic is None:
        for name, given in (("liberty", liberty), ("macros", macros), ("simulate", simulate)):
            if given:
                raise XnoreplayError(
                    f"--{name} must be given to generate with --asic, but is alone"
                )
        run_steps("generate", "generate", request)
        return
    if simulate and liberty is None:
        raise XnoreplayError("--simulate must be given with --liberty, whose cells it simulates")
    _hand_over(request, asic.absolute(), liberty, macros, simulate)


def _hand_over(
    request: Request, target: Path, liberty: Path | None, macros: Path | None, simulate: bool
) -> None:
    """Write the Verilog, then the folder for an ASIC flow."""
    from xnoreplay.flow.board import handed_over
    from xnoreplay.flow.chip import asic
    from xnoreplay.flow.datasets.bundles import BundleSource
    from xnoreplay.flow.pipeline import resolve
    from xnoreplay.flow.run import files, locks, tools
    from xnoreplay.flow.run.records import own_folder
    from xnoreplay.spec import plan

    settings = resolve.resolve(request.out, request.chosen)[1]
    preset, prefix = settings.preset, settings.prefix
    compiled = plan.compile(preset.network, preset.target)
    asic.check(target, compiled, liberty, macros, prefix)
    if liberty is not None:
        tools.require(["synth", *(["cosim"] if simulate else [])])
    folder = run_steps("generate", "generate", request)
    with locks.interruptible():
        files.sweep(target.parent, target.name.__eq__)
        with own_folder(target, asic.STEP) as part:
            manifest = asic.write(
                compiled, folder / "generate", part, liberty, macros, default(), prefix
            )
            if simulate and liberty is not None:
                network = BundleSource.choose(preset, request.bundle, request.untrained)
                found = handed_over.simulated(
                    part, manifest, preset, network.load_checked(preset), liberty, default()
                )
    typer.echo(asic.text(manifest, target))
    if simulate:
        typer.echo(handed_over.text(found))


@step_command
def cosim(
    request: Request,
    again: Annotated[
        Path | None,
        typer.Option(
            "--again",
            "--replay",
            metavar="FOLDER",
            help="See a recorded difference again; --replay is the option's former name. The folder's Verilog is "
            "run as a program: see --trust.",
        ),
    ] = None,
    waves: Annotated[
        str | None,
        typer.Option(
            "--waves",
            metavar="FIRST:LAST|command:N",
            help="Also leave a waveform of these cycles, or of a command of the script.",
        ),
    ] = None,
) -> None:
    """Compare the Verilog with the simulator, bit for bit.

    Every memory bit, event counter and phase boundary, and where they first differ. A fault is
    rtl:MEMORY:ROW:BIT, sim:MEMORY:ROW:BIT or plan:OP.FIELD=VALUE.
    """  # noqa: DOC501  the text is the command's help
    settings = request.settings
    if again is not None:
        trust = bool(settings["trust"])
        if request != Request(settings=dict.fromkeys(settings) | {"trust": settings["trust"]}):
            raise XnoreplayError(
                "--again must be alone or with --waves and --trust: all else is in the recorded folder"
            )
        _repeat_difference(again, waves, trust)
        return
    find_data(request.data)
    if settings["verilog"] is not None:
        from xnoreplay.flow.verify.cosim import read_verilog

        read_verilog(
            settings["verilog"], bool(settings["trust"])
        )  # before the steps that come first
    if waves is None:
        run_steps("cosim", "cosim", request)
    else:
        _compare_and_record(waves, request)


def _compare_and_record(text: str, request: Request) -> None:
    """Run the comparison, then leave the waveform; also that of a comparison that found a difference."""
    from xnoreplay.flow.commands import waveforms
    from xnoreplay.flow.pipeline import resolve
    from xnoreplay.flow.run import tools
    from xnoreplay.flow.verify.cosim import window

    window.parse(text)
    tools.require(["waves"])
    folder = run_steps("generate", "generate", replace(request, force=False))
    settings = resolve.resolve(folder, request.chosen)[1]
    recording = waveforms.Recording(folder, settings, text, default())
    try:
        run_steps("cosim", "cosim", replace(request, out=folder))
    except CheckFailure:
        with suppress(CheckFailure, XnoreplayError):  # the comparison's says more
            recording.write()
        raise
    recording.write()


def _repeat_difference(folder: Path, waves: str | None, trust: bool) -> None:
    """Carry out a recorded difference once more, and print that there is none, if so."""
    from xnoreplay.flow.run import locks, tools
    from xnoreplay.flow.verify import cosim as cosimulation
    from xnoreplay.flow.verify.cosim import window

    tools.require(["cosim"])
    if waves is not None:
        window.parse(waves)
        tools.require(["waves"])
    with locks.interruptible():
        result = cosimulation.repeat(folder, default(), window=waves, trust=trust)
    typer.echo(f"no difference in {result['cycles']:,} cycles")


@step_command
def mutate(
    request: Request,
    least: Annotated[
        float | None,
        typer.Option(
            "--least",
            metavar="PERCENT",
            help="End with exit code 2 where fewer of the mutants that are not equivalent are killed.",
        ),
    ] = None,
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Measure how many small faults of the Verilog the co-simulation notices.

    Mutants are drawn, simulated beside the simulator until the first difference, and those that show none are
    proved equivalent or listed. It goes on where it was stopped.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.explore import jobs as engines
    from xnoreplay.flow.run.records import result_of
    from xnoreplay.flow.verify.mutation import text as tables

    if least is not None and not 0 <= least <= ALL:
        raise XnoreplayError(f"--least must be a percentage, from 0 to 100, not {least:g}")
    engines.engine = engines.Engine(jobs, scheduler)
    result = result_of(run_steps("mutate", "mutate", request) / "mutate")
    typer.echo(tables.text(result))
    reached = ALL * result["score"]
    if least is not None and reached < least:
        raise CheckFailure(f"the mutation score must be at least {least:g} %, not {reached:.2f} %")


@step_command
def prove(request: Request) -> None:
    """Prove properties of the Verilog for all inputs.

    The host's bus, the sequencer, an abort, the replay memory, the memories' ports and the update; with
    --equivalence also that each module is its netlist. It goes on where it was stopped.
    """
    from xnoreplay.flow.run.records import result_of
    from xnoreplay.flow.verify.prove import text as tables

    folder = run_steps("prove", "prove", request)
    typer.echo(tables.text(result_of(folder / "prove")))


@step_command
def synth(request: Request) -> None:
    """Check and synthesise the Verilog.

    No latch, no warning, every large memory a RAM; cells and resources for FPGA families.
    """
    run_steps("synth", "synth", request)


@step_command
def explore(
    request: Request,
    sweep: Annotated[
        list[str] | None,
        typer.Option("--sweep", metavar="DIAL=VALUE,...", help="Try these values; repeatable."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option("--spec", metavar="FILE", help="TOML file with a section [sweep]."),
    ] = None,
    jobs: JobsOption = None,
    scheduler: SchedulerOption = None,
) -> None:
    """Search the designs around a preset.

    Every combination of dials with accuracy, memory, cycles, energy and area; Pareto fronts, and
    the cheapest design that loses less than a point. It goes on where it was stopped.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.explore import jobs as engines
    from xnoreplay.flow.explore import space
    from xnoreplay.flow.explore import text as tables
    from xnoreplay.flow.run.records import result_of

    if sweep and spec:
        raise XnoreplayError("a sweep must be given by --sweep or by --spec, not by both")
    chosen = space.parse(sweep) if sweep else space.from_file(spec) if spec else None
    engines.engine = engines.Engine(jobs, scheduler)
    asked = replace(request, settings=request.settings | {"sweep": chosen})
    folder = run_steps("explore", "explore", asked)
    typer.echo(tables.text(result_of(folder / "explore")))
    typer.echo(f"\npoints and pictures: {folder / 'explore'}")


@step_command
def upset(
    request: Request,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", metavar="N", help="Number of worker processes. [default: all cores]"
        ),
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
    """Flip bits of the running chip and see what becomes of its learning.

    Bits of each memory change in drawn cycles of the last session; what a_final comes to, which memory to
    protect first, and some of the sessions again in the Verilog. It goes on where it was stopped.
    """
    from xnoreplay.flow.explore import jobs as engines
    from xnoreplay.flow.pipeline import resolve
    from xnoreplay.flow.run.records import result_of
    from xnoreplay.flow.upset import text as tables
    from xnoreplay.spec import plan

    engines.engine = engines.Engine(jobs, scheduler)
    folder = run_steps("upset", "upset", request)
    preset = resolve.resolve(folder, {})[1].preset
    compiled = plan.compile(preset.network, preset.target)
    typer.echo(tables.text(result_of(folder / "upset"), compiled))
    typer.echo(f"\ncurves and sessions: {folder / 'upset'}")


@step_command
def report(request: Request) -> None:
    """Write report.html and report.json.

    From whatever steps have run.
    """
    run_steps("report", "report", request)


COMMANDS = (
    run,
    pretrain,
    export,
    cil,
    simulate,
    generate,
    cosim,
    mutate,
    prove,
    synth,
    explore,
    upset,
    report,
)
