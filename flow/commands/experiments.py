"""Commands outside a run folder: measurements that print a table, and latents for others."""

from pathlib import Path
from typing import Annotated

import typer

from xnoreplay.flow.commands.options import (
    BundleOption,
    CheckpointOption,
    DataOption,
    LatentsOption,
    OrderSeedOption,
    PresetOption,
    SeedsOption,
    StepOption,
    UntrainedOption,
    WorkersOption,
    find_data,
)
from xnoreplay.flow.run import files, locks
from xnoreplay.flow.run.records import require_own
from xnoreplay.spec import limits
from xnoreplay.spec.errors import SpecError, unknown
from xnoreplay.spec.machine import cores


def dials(
    preset: PresetOption = None,
    bundle: BundleOption = None,
    seeds: SeedsOption = None,
    dial: Annotated[
        list[str] | None,
        typer.Option(
            "--dial",
            metavar="NAME=VALUE,...",
            help="Try these values alone; repeatable. [default: all dials]",
        ),
    ] = None,
    data: DataOption = None,
    latents: LatentsOption = None,
    workers: WorkersOption = None,
) -> None:
    """Measure what each dial of learning costs.

    One at a time around the preset, on validation samples; prints a table.
    """
    from xnoreplay.flow.datasets.bundles import load_checked
    from xnoreplay.flow.learning import dials as measuring
    from xnoreplay.flow.run.progress import default
    from xnoreplay.spec import presets

    count, side_by_side = _count(seeds), _workers(workers)
    find_data(data)
    chosen = presets.load(preset or "digits")
    tried = measuring.parse(dial) if dial else measuring.around(chosen)
    given = load_checked(chosen, bundle)
    result = measuring.measure(chosen, given, range(count), default(), tried, side_by_side, latents)
    typer.echo(measuring.markdown(result))


def systems(  # noqa: PLR0913  a parameter an option
    preset: PresetOption = None,
    bundle: BundleOption = None,
    data: DataOption = None,
    seeds: SeedsOption = None,
    order_seed: OrderSeedOption = None,
    step: StepOption = None,
    system: Annotated[
        list[str] | None,
        typer.Option(
            "--system",
            metavar="NAME",
            help="naive, naive-reset, cumulative, cumulative-reset, latent or native; "
            "repeatable. [default: latent]",
        ),
    ] = None,
    rule: Annotated[str, typer.Option("--rule", metavar="NAME", help="float or chip.")] = "float",
    loss: Annotated[
        list[str] | None,
        typer.Option("--loss", metavar="NAME", help="cce, fcce or sh; repeatable. [default: cce]"),
    ] = None,
    weighted: Annotated[
        bool, typer.Option("--weighted/--plain", help="Weigh classes against their frequency.")
    ] = True,
    buffer: Annotated[
        list[float] | None,
        typer.Option(
            "--buffer",
            metavar="MBIT",
            help="Memory in 10^6 bits; repeatable. [default: the preset's]",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", metavar="N", help="Epochs of a session. [default: the rule's]"),
    ] = None,
    checkpoint: CheckpointOption = None,
    latents: LatentsOption = None,
    workers: WorkersOption = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", metavar="FILE", help="Leave every prediction of every test sample."),
    ] = None,
) -> None:
    """Run systems of class-incremental learning.

    Prints their scores; every value of an option that repeats is tried.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.datasets.bundles import load_checked
    from xnoreplay.flow.learning import predictions, trials
    from xnoreplay.flow.learning import systems as learning
    from xnoreplay.flow.run.progress import default
    from xnoreplay.spec import presets

    count, side_by_side = _count(seeds), _workers(workers)
    find_data(data)
    _need_native(checkpoint, "native" in (system or ()))
    if dump is not None:
        files.require_writable(dump, files.tensors_of(predictions.FORMAT))
    if buffer and not set(system or ["latent"]) & set(learning.REMEMBERING):
        raise SpecError(
            f"--buffer must be with {' or '.join(learning.REMEMBERING)}: the others have no memory"
        )
    scenario = {"order_seed": order_seed, "step": step}
    chosen = presets.vary(
        presets.load(preset or "digits"),
        "scenario",
        **{name: value for name, value in scenario.items() if value is not None},
    )
    no_memory: list[float | None] = [None]
    variants = [
        learning.Variant(s, rule, kind, weighted, megabits, epochs)
        for s in system or ["latent"]
        for kind in loss or ["cce"]
        for megabits in (buffer if buffer and s in learning.REMEMBERING else no_memory)
    ]
    result = trials.try_variants(
        list(dict.fromkeys(variants)),
        chosen,
        load_checked(chosen, bundle),
        range(count),
        default(),
        checkpoint=checkpoint,
        dump=dump,
        file=latents,
        workers=side_by_side,
    )
    typer.echo(trials.markdown(result))


def reproduce(  # noqa: PLR0913  a parameter an option
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME|FILE",
            help="A preset's name, or a TOML file. [default: 3mb-stored]",
        ),
    ] = None,
    bundle: BundleOption = None,
    data: DataOption = None,
    seeds: SeedsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Where tables, figures and rows go. [default: runs/reproduce-PRESET]",
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            "--also", metavar="FILE", help="Compare this bundle's extractor, too; repeatable."
        ),
    ] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="NAME",
            help="Systems, Losses, Memory, Sessions or Extractors; repeatable. [default: all]",
        ),
    ] = None,
    native: Annotated[
        bool, typer.Option("--native", help="Native replay, too: PyTorch, images, and hours.")
    ] = False,
    buffer: Annotated[
        list[float] | None,
        typer.Option(
            "--buffer",
            metavar="MBIT",
            help="A memory of the table Memory, in 10^6 bits; repeatable. "
            "[default: ten from 0.05 to 500]",
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    latents: LatentsOption = None,
    workers: WorkersOption = None,
) -> None:
    """Repeat the paper's experiments.

    Writes tables, the paper's numbers beside ours, and figures; a stopped run goes on row by row.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.datasets.bundles import load_checked
    from xnoreplay.flow.learning.paper import reproduce as experiments
    from xnoreplay.flow.learning.paper import tables
    from xnoreplay.flow.run.progress import default
    from xnoreplay.spec import presets

    count, side_by_side = _count(seeds), _workers(workers)
    find_data(data)
    _need_native(checkpoint, native)
    for name in table or ():
        if name not in experiments.NAMES:
            raise unknown("table", name, experiments.NAMES)
    for option, given, needed in (
        ("--native", native, "Memory"),
        ("--buffer", buffer, "Memory"),
        ("--also", also, "Extractors"),
    ):
        if given and table and needed not in table:
            raise SpecError(
                f"{option} must be with table {needed}, not with {' and '.join(table)} alone"
            )
    for megabits in buffer or ():
        limits.number("megabits", megabits, "--buffer")
    chosen = presets.load(preset or "3mb-stored")
    sources = [experiments.Source(load_checked(chosen, bundle), checkpoint, latents)]
    sources += [experiments.Source(load_checked(chosen, file)) for file in also or []]
    folder = out or Path("runs") / f"reproduce-{chosen.name}"
    result = experiments.reproduce(
        chosen,
        sources,
        range(count),
        folder,
        default(),
        native,
        side_by_side,
        table or (),
        buffer or experiments.MEGABITS,
    )
    typer.echo(tables.markdown(result))


def latents(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the latents go.")],
    preset: PresetOption = None,
    bundle: BundleOption = None,
    data: DataOption = None,
) -> None:
    """Write the latents of a whole data set.

    Through the simulator's feature extractor, for a package or another program.
    """
    from xnoreplay.flow.datasets import latent_files
    from xnoreplay.flow.datasets.bundles import load_checked
    from xnoreplay.flow.learning import cil as learning
    from xnoreplay.flow.run.progress import default
    from xnoreplay.spec import presets

    find_data(data)
    files.require_writable(file, files.tensors_of(latent_files.FORMAT))
    chosen = presets.load(preset or "digits")
    stored = learning.simulated(chosen, load_checked(chosen, bundle), default())
    latent_files.write(stored, file)
    typer.echo(f"{len(stored.labels):,} latents of {chosen.network.latent} bits: {file}")


def _need_native(checkpoint: Path | None, native: bool) -> None:
    from xnoreplay.flow.run import tools

    if native:
        tools.require(["pretrain"])
    elif checkpoint:
        raise SpecError(
            "--checkpoint must be with native replay: nothing else starts from real proxies"
        )


def _count(seeds: int | None) -> int:
    count = 3 if seeds is None else seeds
    limits.count("seeds", count)
    return count


def _workers(workers: int | None) -> int:
    count = cores() if workers is None else workers
    limits.count("workers", count)
    return count


def bench(  # noqa: PLR0913  a parameter an option
    preset: PresetOption = None,
    bundle: BundleOption = None,
    untrained: UntrainedOption = False,
    data: DataOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME",
            help="help, kernels, fast, step, functional, session, torch, bare, cocotb, amaranth or icarus; "
            "repeatable. [default: all that are installed]",
        ),
    ] = None,
    epochs: Annotated[
        int, typer.Option("--epochs", metavar="N", help="Epochs of the retraining session.")
    ] = 100,
    file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here.")
    ] = None,
    scaling: Annotated[
        bool,
        typer.Option(
            "--scaling", help="Cost over network size, lanes, minibatch and samples, instead."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="With --scaling, the run folder. [default: runs/PRESET]"
        ),
    ] = None,
) -> None:
    """Measure the simulators' speed.

    Same design and work, one thread each, processor time; prints a table. With --scaling, random
    weights of the preset's shape; leaves a figure in the run folder's `scaling`.
    """  # noqa: DOC501  the text is the command's help
    from xnoreplay.flow.datasets.bundles import BundleSource
    from xnoreplay.flow.run.progress import default
    from xnoreplay.flow.speed import scaling as growing
    from xnoreplay.flow.speed import simulators as measuring
    from xnoreplay.spec import presets

    find_data(data)
    chosen = presets.load(preset or "digits")
    limits.count("epochs", epochs)
    source = BundleSource.choose(chosen, bundle, untrained)
    if file is not None:
        files.require_writable(file, growing.WROTE if scaling else measuring.WROTE)
    if out and not scaling:
        raise SpecError("--out must be with --scaling: the figures alone go where --json says")
    if scaling and (only or bundle):
        raise SpecError(
            "--scaling must be without --only and --bundle: it has work and bits of its own"
        )
    if scaling:
        images, labels, _ = measuring.samples(chosen, default())
        folder = out or Path("runs") / chosen.name
        target = folder / growing.FOLDER
        require_own(target, growing.FOLDER)
        with locks.locked(folder):
            files.sweep(folder, growing.FOLDER.__eq__)
            result = growing.measure(chosen, images, labels, default())
            growing.write(result, target)
        text = growing.markdown(result)
    else:
        result = measuring.measure(
            chosen, source.load_checked(chosen), default(), tuple(only or ()), epochs
        )
        text = measuring.markdown(result)
    if file is not None:
        files.write_whole(file, files.dumps(result))
    typer.echo(text)


COMMANDS = (dials, systems, reproduce, latents, bench)
