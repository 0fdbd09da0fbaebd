"""Upper bounds of every count that a user gives, and what a design may take of this machine.

A bound is far above what is sensible, and below where a number overflows or a list fills the memory.
What a design takes, in bytes of the simulator and in cycles, is reckoned from closed forms before
any array of that size is made, and refused above a limit that an environment variable raises.
`docs/limits.md` is this file as a page.
"""

import os
from typing import NamedTuple

from xnoreplay.spec.errors import SpecError, require, shown

GIB = 1 << 30


class Bound(NamedTuple):
    """The most that a count may be, and why."""

    most: int
    why: str


LABELS = 1 << 16
"""The most classes of a data set of one's own, of which a scenario has some: labels have 16 bits in files."""
CLASSES = Bound(1 << 10, "the widths of the learning unit are tested up to there")
VECTORS = Bound(1 << 16, "sums of products of as many signs are exact in single precision")
REPEATS = Bound(1000, "a mean's standard error is then 3 % of the spread")

MOST: dict[str, Bound] = {
    # NetworkSpec
    "height": Bound(1 << 12, "an image of 16 million pixels"),
    "width": Bound(1 << 12, "an image of 16 million pixels"),
    "levels": Bound(255, "the steps of a byte"),
    "convs": Bound(100, "each is a phase of the sequencer"),
    "filters": VECTORS,
    "groups": VECTORS,
    "latent": VECTORS,
    "hidden": VECTORS,
    "classes": CLASSES,
    # TargetSpec
    "lanes": Bound(1 << 12, "an array of more lanes fits no device"),
    "channels": Bound(1 << 12, "a lane of 36,864 cells is beyond any device"),
    "batch": Bound(1 << 12, "a bank of the minibatch memory a sample"),
    "most_error_units": Bound(1 << 12, "a multiplier each"),
    "epochs": Bound(1000, "more than a hundred times what any preset has"),
    "replay_components": Bound(16, "the distance to each is reckoned for every sample"),
    "mean_bits": Bound(4, "a counter is compared with 2 to its power thresholds"),
    "drawn_per_class": Bound(1 << 12, "an epoch longer than any that stored latents have"),
    "staged_per_class": Bound(1 << 16, "no staging memory has more places"),
    "clock_hz": Bound(10**10, "no memory of the cost tables is read in 0.1 ns"),
    # ScenarioSpec
    "base": CLASSES,
    "step": CLASSES,
    "order_seed": Bound((1 << 32) - 1, "seeds have 32 bits"),
    # Options
    "seeds": REPEATS,
    "sessions": Bound(1_000_000, "sessions of one memory and rate take weeks then"),
    "replays": Bound(10_000, "co-simulation of as many sessions takes days"),
    "flip_flops": Bound(1_000_000, "as many sessions in Verilator take days"),
    "images": Bound(1_000_000, "co-simulation of as many takes months"),
    "training epochs": Bound(100_000, "a training of as many takes months"),
    "mutants": Bound(10_000, "more than a chip has lines and bits for that tell something new"),
    "mutant_seed": Bound((1 << 31) - 1, "yosys takes seeds of 31 bits"),
    "task": CLASSES,
    "jobs": Bound(1024, "each is a process with memory of its own"),
    "workers": Bound(1024, "each is a thread with memory of its own"),
    "points": Bound(10_000, "each design of a sweep is a run of minutes"),
    "runs": Bound(1_000_000, "each is a file"),
    "baud": Bound(10**8, "no serial port is faster"),
    "minutes": Bound(10_080, "a week"),
    "megabits": Bound(1_000_000, "10^12 bits"),
    "megahertz": Bound(10_000, "the most of `clock_hz`"),
}
"""By the name of a field or an option. Each is an integer from 1 on (`count`), but for `order_seed`, which may be
0, and `minutes`, `megabits` and `megahertz`, which are any numbers above 0 (`number`)."""

MEMORY, CYCLES = "XNOREPLAY_MEMORY", "XNOREPLAY_CYCLES"
ALLOWED = {MEMORY: 8.0, CYCLES: 1e12}
"""Environment variables that raise a limit, and the limit without them: GiB, and cycles."""


def count(name: str, value: object, called: str | None = None) -> None:
    """Check a count: an integer from 1 to the most of its kind.

    Parameters
    ----------
    name : str
        Of `MOST`, whose bound holds.
    value : object
        What the user gave.
    called : str, optional
        What the sentence calls it; `name` without it.

    Raises
    ------
    SpecError
        Where the value is no such integer.
    """
    called = called or name
    require.positive(called, value)
    assert isinstance(value, int)
    most, why = MOST[name]
    if value > most:
        raise SpecError(f"{called} must be at most {most:,} ({why}), not {shown(value)}")


def number(name: str, value: object, called: str | None = None) -> None:
    """Check a number that need not be an integer.

    Parameters
    ----------
    name : str
        Of `MOST`, whose bound holds.
    value : object
        What the user gave; in the unit of the option: minutes, or millions of bits.
    called : str, optional
        What the sentence calls it; `name` without it.

    Raises
    ------
    SpecError
        Where the value is no int or float above 0 and at most the bound.
    """
    called = called or name
    most, why = MOST[name]
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= most:
        raise SpecError(
            f"{called} must be a number above 0 and at most {most:,} ({why}), not {shown(value)}"
        )


def allowed(variable: str) -> float:
    """The limit that an environment variable sets, or the one without it.

    Raises
    ------
    SpecError
        Where the variable is set to no number above 0.
    """
    text = os.environ.get(variable)
    if not text:
        return ALLOWED[variable]
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise SpecError(f"{variable} must be a number above 0, not {shown(text)}")
    return value


def check_memory(what: str, needed: int) -> None:
    """Refuse what would take more of this machine's memory than is allowed.

    Parameters
    ----------
    what : str
        What takes the memory, as the subject of the sentence.
    needed : int
        Bytes.

    Raises
    ------
    SpecError
        Where they are more than `allowed` of `XNOREPLAY_MEMORY`.
    """
    most = allowed(MEMORY)
    if needed > most * GIB:
        raise SpecError(
            f"{what} must take at most {most:g} GiB of this machine's memory, not some "
            f"{needed / GIB:,.3g} GiB; set {MEMORY} to more GiB to allow it"
        )


def check_cycles(what: str, needed: int) -> None:
    """Refuse a simulation that would take too long.

    Parameters
    ----------
    what : str
        What would take the cycles, as the subject of the sentence: "a session of 3mb".
    needed : int
        Clock cycles of the chip, at most that many.

    Raises
    ------
    SpecError
        Where they are more than `allowed` of `XNOREPLAY_CYCLES`.
    """
    most = allowed(CYCLES)
    if needed > most:
        raise SpecError(
            f"{what} must take at most {most:.3g} cycles, not up to {needed:.3g}; set {CYCLES} to more "
            "to allow it"
        )
