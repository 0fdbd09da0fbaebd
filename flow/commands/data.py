"""Commands on a user's own data: a first spec for it."""

from pathlib import Path
from typing import Annotated

import typer

from xnoreplay.flow.run.progress import default


def init(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A folder of class folders, a .npz or a .parquet file."
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
    from xnoreplay.flow.datasets import own, proposal
    from xnoreplay.flow.run import files
    from xnoreplay.spec import presets

    progress = default()
    found = own.listing(path)
    name = presets.word(path.resolve().stem)
    target = out or Path(f"{name}.toml")
    files.require_writable(target, lambda _path: False)  # a spec is edited: none is written over
    seen = proposal.look(found)
    made = proposal.propose(found, seen, str(path.absolute()), name)
    for note in found.notes:
        progress.note(note)
    tests = int(found.is_test.sum())
    facts = [
        f"{found.name}: {len(found.classes):,} classes, {len(found.labels) - tests:,} images to train and {tests:,} to test",
        f"images of {seen.height}x{seen.width} in the median, {'grey' if seen.colour == 'grey' else 'in colour'}",
    ]
    scenario = made.preset.scenario
    if scenario.tasks:
        price = session_cost.price_session(made.preset, None)
        facts += session_text.summary(price)
    text = specfile.to_toml(made.preset, made.reasons, facts)
    files.write_whole(target, text)
    typer.echo("\n".join(facts))
    typer.echo(f"spec: {target}\nnext: xnoreplay run --preset {target}")


COMMANDS = (init,)
