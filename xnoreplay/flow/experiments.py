"""Commands outside a run folder: measurements that print a table, and latents for others."""

from pathlib import Path
from typing import Annotated

import typer

from xnoreplay.flow.options import (
    BundleOption,
    DataOption,
    PresetOption,
    SeedsOption,
    find_data,
)


def dials(
    preset: PresetOption = None, bundle: BundleOption = None, seeds: SeedsOption = None,
    dial: Annotated[
        list[str] | None,
        typer.Option("--dial", metavar="NAME=VALUE,...",
                     help="Try these values alone; repeatable. [default: all dials]"),
    ] = None,
) -> None:  # fmt: skip
    """Measure what each dial of learning costs.

    One at a time around the preset, on validation samples; prints a table.
    """
    from xnoreplay.flow import dials as measuring
    from xnoreplay.flow import pretrain as bundles
    from xnoreplay.flow.progress import default
    from xnoreplay.spec import presets
    from xnoreplay.spec.errors import require

    chosen = presets.load(preset or "digits")
    count = 3 if seeds is None else seeds
    require.positive("seeds", count)
    dials = measuring.parse(dial) if dial else measuring.DIALS
    trained = bundles.load(chosen, bundle)
    result = measuring.run(chosen, trained, range(count), default(), dials)
    typer.echo(measuring.markdown(result))


def reproduce(
    preset: PresetOption = None, bundle: BundleOption = None, data: DataOption = None,
    seeds: SeedsOption = None,
) -> None:  # fmt: skip
    """Repeat the paper's experiments on latents.

    Prints tables, the paper's numbers beside ours.
    """
    from xnoreplay.flow import pretrain as bundles
    from xnoreplay.flow import reproduce as experiments
    from xnoreplay.flow.progress import default
    from xnoreplay.spec import presets
    from xnoreplay.spec.errors import require

    find_data(data)
    chosen = presets.load(preset or "3mb")
    count = 3 if seeds is None else seeds
    require.positive("seeds", count)
    result = experiments.run(chosen, bundles.load(chosen, bundle), range(count), default())
    typer.echo(experiments.markdown(result))


def latents(
    file: Annotated[Path, typer.Argument(help="Where the latents go.")],
    preset: PresetOption = None, bundle: BundleOption = None, data: DataOption = None,
) -> None:  # fmt: skip
    """Write the latents of a whole data set.

    Through the simulator's feature extractor, for a package or another program.
    """
    from xnoreplay.flow import cil as learning
    from xnoreplay.flow import latents as storage
    from xnoreplay.flow import pretrain as bundles
    from xnoreplay.spec import presets

    find_data(data)
    chosen = presets.load(preset or "digits")
    stored = learning.simulated(chosen, bundles.load(chosen, bundle))
    storage.write(stored, file)
    typer.echo(f"{len(stored.labels):,} latents of {chosen.network.latent} bits: {file}")


COMMANDS = (dials, reproduce, latents)
