"""C++ programs that drive a compiled chip, for the pins that it has."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xnoreplay.flow.run import temporary

PIXELS, LATENTS = "s_axis_pixel", "s_axis_latent"
"""What the names of the stream's pins begin with, as `spec.plan.Input.stream` has them."""


@contextmanager
def of_chip(main: Path, verilog: str) -> Iterator[Path]:
    """A program that names the stream as a chip does.

    Parameters
    ----------
    main : Path
        C++ file that names the stream of pixels.
    verilog : str
        Text of the chip.

    Yields
    ------
    Path
        That file, or a copy for a chip that is given latents, as long as the context lasts.
    """
    if f"{LATENTS}_tdata" not in verilog:
        yield main
        return
    with temporary.folder("program") as work:
        copy = work / main.name
        copy.write_text(main.read_text().replace(PIXELS, LATENTS))
        yield copy
