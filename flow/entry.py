"""The program `xnoreplay`: signals are handled before the command line is imported."""

import gc
from collections.abc import Callable
from typing import NoReturn

from xnoreplay.flow.run import interrupts

GARBAGE = 50_000, 10, 5
"""Of `gc.set_threshold`. Amaranth makes millions of small objects of a chip that stay until its Verilog is written;
with Python's own 700, 10 and 10 a quarter of that time is the search for garbage among them."""


def entry() -> NoReturn:
    """Run the command line as a program: the entry point of `xnoreplay`."""
    interrupts.carry_out(_main)


def _main() -> Callable[[], int]:
    gc.set_threshold(*GARBAGE)
    from xnoreplay.flow import cli

    return cli.main
