"""Commands on a user's own data: a first spec for it, and a trained chip put to use."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xnoreplay.flow.commands.options import (
    BundleOption,
    DataOption,
    PresetOption,
    find_data,
    shared,
)
from xnoreplay.flow.run.progress import default
from xnoreplay.spec.errors import printable

if TYPE_CHECKING:
    from xnoreplay.flow.datasets.bundles import BundleSource
    from xnoreplay.flow.verify.cosim.bare import Design
    from xnoreplay.spec.presets import Preset

MOST_COLUMNS = 32  # of a confusion matrix; of more classes the most frequent confusions are shown
MOST_PAIRS = 20

FolderOption = Annotated[Path | None, shared("out")]
StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", metavar="FILE", help="Start from this state of learn, not from the base classes."
    ),
]
RtlOption = Annotated[
    bool,
    typer.Option(
        "--rtl", help="Let the Verilog do it, too (Verilator), and hold it to the result."
    ),
]


def init(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Images or features: a folder, a .npz, .npy or .parquet file.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Spec file to write. [default: NAME.toml]"),
    ] = None,
) -> None:
    """Write a spec that fits a data set of your own.

    With the reason for each choice, and what the chip will cost before anything is trained.
    """
    from xnoreplay.flow.commands import specfile
    from xnoreplay.flow.cost import session_cost, session_text
    from xnoreplay.flow.datasets import own, proposal, vectors
    from xnoreplay.flow.run import files
    from xnoreplay.spec import presets

    progress = default()
    name, place = presets.word(path.resolve().stem), str(path.absolute())
    target = out or Path(f"{name}.toml")
    found: own.Listing | vectors.VectorListing
    if vectors.are_at(path):
        found = vectors.listing(path)
        files.require_writable(target, None)  # a spec is edited: none is written over
        made = proposal.propose_for_features(found, place, name)
        vectors.look(found, made.preset.scenario.base_labels, progress)
        what, about = "vectors", f"{found.features:,} features in each vector"
    else:
        found = own.listing(path)
        files.require_writable(target, None)
        seen = proposal.look(found, progress=progress)
        made = proposal.propose(found, seen, place, name)
        colour = "grey" if seen.colour == "grey" else "in colour"
        what, about = "images", f"images of {seen.height}x{seen.width} in the median, {colour}"
    for note in (*found.notes, *made.notes):
        progress.note(note)
    tests = int(found.is_test.sum())
    facts = [
        f"{found.name}: {len(found.classes):,} classes, {len(found.labels) - tests:,} {what} to train and {tests:,} to test",
        about,
    ]
    learns = made.preset.scenario.tasks > 0
    price = session_cost.price_session if learns else session_cost.price_inference
    with progress.task("cost of a session" if learns else "cost of an inference"):
        facts += session_text.summary(price(made.preset, None))
    text = specfile.to_toml(made.preset, made.reasons, facts)
    files.write_whole(target, text)
    typer.echo("\n".join(map(printable, facts)))
    typer.echo(f"spec: {target}\nnext: xnoreplay run --preset {shlex.quote(str(target))}")


def predict(  # noqa: PLR0913  a parameter an option
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Images, folders of images, a data set, or .npy files."
        ),
    ],
    preset: PresetOption = None,
    out: FolderOption = None,
    bundle: BundleOption = None,
    state: StateOption = None,
    top: Annotated[
        int, typer.Option("--top", metavar="N", help="Classes to name of each image.")
    ] = 3,
    rtl: RtlOption = False,
    data: DataOption = None,
) -> None:
    """Classify images, or vectors of features, with a trained chip.

    In the chip's integers, with the margin between the first two classes; of a data set with labels also the accuracy
    and the confusion matrix, or for more than 32 classes the 20 most frequent confusions. Of a data set with a split of
    its own the test half alone.
    """
    from xnoreplay.flow.cost.session_text import columns
    from xnoreplay.flow.learning import use
    from xnoreplay.flow.verify.cosim import bare
    from xnoreplay.spec import limits

    limits.count("classes", top, "--top")
    find_data(data)
    chosen, loaded, power_on = _chip(preset, out, bundle, state)
    batch = use.read(
        chosen, paths, default(), loaded.binariser
    )  # before the chip learns its base classes
    chip = power_on()
    verilog = _verilog(chosen) if rtl else None
    guesses = use.classify(chip, batch.images, max(top, 2))  # a margin is between two classes
    scenario, seen = chosen.scenario, chip.state.seen
    rows = [
        [
            printable(name),
            ", ".join(
                f"{scenario.name_of(c)} {s:,}"
                for c, s in zip(classes[:top], sums[:top], strict=True)
            ),
            f"{margin:,}",
        ]
        for name, classes, sums, margin in zip(
            batch.names,
            guesses.classes.tolist(),
            guesses.logits.tolist(),
            guesses.margins,
            strict=True,
        )
    ]
    typer.echo(columns([use.sample_word(chosen, 1), "class and sum", "margin"], rows))
    if verilog:
        cycles = bare.check_predictions(chosen, chip, batch.images, verilog, default())
        typer.echo(
            f"\nthe Verilog gives the same {len(rows):,} classes, in {cycles:,} cycles (Verilator)"
        )
    if batch.classes is None:
        return
    table = use.confusion(batch.classes, guesses, seen)
    names = [scenario.name_of(c) for c in range(seen)]
    if seen > MOST_COLUMNS:
        pairs = [[names[c], names[d], f"{n:,}"] for c, d, n in use.confused(table, MOST_PAIRS)]
        typer.echo("\n" + columns(["is", "said to be", use.sample_word(chosen, 2)], pairs))
    else:
        body = [
            [name, *(f"{n:,}" for n in row)]
            for name, row in zip(names, table.tolist(), strict=True)
        ]
        typer.echo("\n" + columns(["is, said to be", *names], body))
    known, right = int(table.sum()), int(table.trace())
    if known:
        typer.echo(f"\naccuracy {100 * right / known:.1f} %: {right:,} of {known:,}")
    strange = int((batch.classes < 0).sum())
    for count, why in (
        (len(batch.images) - known - strange, "that the chip has not seen"),
        (strange, "that the scenario does not have"),
    ):
        if count:
            are = "is of a class" if count == 1 else "are of classes"
            typer.echo(f"{count:,} {use.sample_word(chosen, count)} {are} {why}")


def learn(  # noqa: PLR0913  a parameter an option
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="Class folders, a .npz or a .parquet file: the new samples."
        ),
    ],
    save: Annotated[
        Path,
        typer.Option("--save", metavar="FILE", help="Where the state goes, as a host restores it."),
    ],
    preset: PresetOption = None,
    out: FolderOption = None,
    bundle: BundleOption = None,
    state: StateOption = None,
    rtl: RtlOption = False,
    data: DataOption = None,
) -> None:
    """Learn new classes from images, or vectors of features, in one session.

    Of a data set with a split of its own from the training half alone. The state that is left can be learned on from, used
    by predict, and restored into the chip.
    """
    from xnoreplay.flow.learning import use
    from xnoreplay.flow.output.quantities import quantity
    from xnoreplay.flow.run import files
    from xnoreplay.flow.verify.cosim import bare
    from xnoreplay.spec import snapshot

    files.require_writable(save, files.tensors_of(snapshot.FORMAT))
    find_data(data)
    chosen, loaded, power_on = _chip(preset, out, bundle, state)
    batch = use.read(chosen, [path], default(), loaded.binariser, to_learn=True)
    chip = power_on()
    verilog = _verilog(chosen) if rtl else None
    given = use.session(chip, chosen, batch)
    before, start = chip.counters["cycles"], chip.snapshot()
    new = use.learn(chip, chosen, batch, default())
    cycles = chip.counters["cycles"] - before
    compared = (
        bare.check_session(start, given, batch.images, chip, verilog, default()) if verilog else 0
    )
    use.save(chip, chosen, save)
    names = ", ".join(chosen.scenario.name_of(c) for c in new) or "none"
    seconds = quantity(cycles / chosen.target.clock_hz, "s")
    count = len(batch.images)
    what = f"{count:,} {use.sample_word(chosen, count)}"
    typer.echo(f"new classes: {names}; {what}, {cycles:,} cycles, {seconds}")
    if compared:
        typer.echo(f"the Verilog leaves the same state: {compared:,} words (Verilator)")
    typer.echo(f"state: {save}")


def _verilog(preset: "Preset") -> "Design":
    """Return a preset's Verilog for bare Verilator."""
    from xnoreplay.flow.run.tools import verilator_env
    from xnoreplay.flow.verify import cosim
    from xnoreplay.flow.verify.cosim.bare import Design
    from xnoreplay.hw import verilog
    from xnoreplay.spec import plan

    env = verilator_env()  # a missing tool is said before the work
    text = verilog.generate(plan.compile(preset.network, preset.target))
    return Design(text, env, cosim.optimisation(text))


def trained(
    preset_name: str | None, out: Path | None, bundle: Path | None, untrained: bool = False
) -> "tuple[Preset, BundleSource]":
    """Find the preset of a run folder, or the one named, and the source of its trained bundle.

    Parameters
    ----------
    preset_name : str, optional
    out : Path, optional
        The run folder.
    bundle : Path, optional
    untrained : bool
        Random bits in place of trained ones.

    Raises
    ------
    XnoreplayError
        Where the run folder trains its network, and has not done so yet.
    """
    from xnoreplay.flow.datasets.bundles import BUNDLE, BundleSource
    from xnoreplay.flow.pipeline.resolve import resolve
    from xnoreplay.spec.errors import XnoreplayError

    asked = {"preset": preset_name, "bundle": bundle, "untrained": untrained}
    folder, settings = resolve(out, asked)
    source = settings.source
    if source.kind == "training":
        made = folder / "export" / BUNDLE
        if not made.is_file():
            raise XnoreplayError(
                f"{folder} must have a trained bundle, but has none yet; xnoreplay run --out {folder} makes it"
            )
        source = BundleSource("file", made)
    return settings.preset, source


def _chip(preset_name: str | None, out: Path | None, bundle: Path | None, state: Path | None):
    """Return the preset of a run folder, or the one named, its bundle, and a function that powers the chip on."""
    from xnoreplay.flow.learning import use

    chosen, source = trained(preset_name, out, bundle)
    loaded = source.load(chosen)
    return chosen, loaded, lambda: use.power_on(chosen, loaded, state, default())


COMMANDS = (init, predict, learn)
