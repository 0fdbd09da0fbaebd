"""The program `xnoreplay`: signals are handled before the command line is imported."""

from collections.abc import Callable
from typing import NoReturn

from xnoreplay.flow.run import interrupts


def entry() -> NoReturn:
    """Run the command line as a program: the entry point of `xnoreplay`."""
    interrupts.carry_out(_main)


def _main() -> Callable[[], int]:
    from xnoreplay.flow import cli

    return cli.main
