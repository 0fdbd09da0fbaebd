"""Energy of wires: closed forms for those within a unit, and of a length for those between blocks.

Within a unit a net's mean length is Donath's (IEEE Transactions on Circuits and Systems 26 (1979) 272-277) for gates on
a square with Rent's exponent `RENT`; a wire's capacitance is taken the same for each micrometre at every node.
"""

import math
from collections.abc import Iterable

from xnoreplay.flow.cost.tables import FEMTO, Cost, gate_um2

FARADS_PER_UM = (0.15 * FEMTO, 0.2 * FEMTO, 0.3 * FEMTO)
"""Low, nominal and high: assumed, round figures in use for CMOS nodes of a decade."""
ASSUMED = f"{FARADS_PER_UM[1] / FEMTO:g} fF/um assumed"
RENT = (0.55, 0.6, 0.7)
"""Rent's exponent, low, nominal and high: assumed, of regular to random logic (Landman and Russo, 1971)."""
UNIT_GATES = 10_000
"""Cells of a unit that is placed together, assumed: the mean length grows by their power RENT - 0.5 alone."""
GATES_A_CELL = 2.0  # NAND equivalents of a placed cell, assumed
FILL = 0.7  # share of a placement that cells fill, assumed
PLACED = 0.5
"""Length of a placed net over Donath's bound, assumed: the paper itself finds placements at about half."""


def pitches(cells: float, rent: float) -> float:
    """Return Donath's bound of a net's mean length, in cell pitches.

    >>> round(pitches(10_000, 0.6), 2)
    6.77
    """
    p, n = rent, cells
    first = 7 * (n ** (p - 0.5) - 1) / (4 ** (p - 0.5) - 1)
    second = (1 - n ** (p - 1.5)) / (1 - 4 ** (p - 1.5))
    return 2 / 9 * (first - second) * (1 - 4 ** (p - 1)) / (1 - n ** (p - 1))


def pitch_um(node: int) -> float:
    """Return the micrometres from one placed cell to the next."""
    return math.sqrt(gate_um2(node).nominal * GATES_A_CELL / FILL)


def transition(node: int, volts: float) -> Cost:
    """Return the joules that one transition of a net within a unit costs in its wire: half C V^2."""
    low, nominal, high = (
        0.5 * c * volts**2 * PLACED * pitches(UNIT_GATES, rent) * pitch_um(node)
        for c, rent in zip(FARADS_PER_UM, RENT, strict=True)
    )
    return Cost(
        low,
        nominal,
        high,
        f"a wire of {PLACED * pitches(UNIT_GATES, RENT[1]):.1f} cell pitches of {pitch_um(node):.2f} um (half of Donath's "
        f"bound, Rent's exponent {RENT[1]}), {ASSUMED}, half C V^2 at {volts:.3g} V",
    )


OF_A_UNIT = f"wires of {PLACED:g} of Donath's bound a pin, Rent's exponent {RENT[1]}, {ASSUMED}"


def unit_farads(area_um2: float, cells: int, pins: int) -> float:
    """Return the F of the wire of a net that reaches so many pins, in a unit of such an area and so many cells.

    Donath's length is that of a way from pin to pin: a net has one for each pin that it reaches.
    """
    pitch = math.sqrt(area_um2 / cells / FILL)
    return pins * FARADS_PER_UM[1] * PLACED * pitches(max(cells, 2), RENT[1]) * pitch


def bit_um(volts: float) -> Cost:
    """Return the joules of a random bit that goes one micrometre: of two bits one changes, for half C V^2."""
    low, nominal, high = (0.25 * c * volts**2 for c in FARADS_PER_UM)
    return Cost(
        low,
        nominal,
        high,
        f"{ASSUMED}, half C V^2 at {volts:.3g} V, every second bit changes",
    )


def side_um(areas_um2: Iterable[float]) -> float:
    """Return the side of a square on which cells of such areas are placed."""
    return math.sqrt(sum(areas_um2) / FILL)
