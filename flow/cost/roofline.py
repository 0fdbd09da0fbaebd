"""Roofline of the array: operations a cycle of each phase, under the roofs of cells and memories.

Operations are one-bit XNORs, ANDs and their additions. Intensity is operations a bit that the large
memories (all but the lane files and line buffers, which belong to the array) move; the roofs are all
cells in each cycle, and the bits that the memories of a run could move in a cycle.
"""

from dataclasses import dataclass

from xnoreplay.flow.cost.estimate import OPS_PER_CELL, cell_operations
from xnoreplay.spec.memories import Kind, Memory
from xnoreplay.spec.network import COPIES
from xnoreplay.spec.plan import Plan

ARRAY_ROLES = ("buffers",)


@dataclass(frozen=True)
class Dot:
    """One phase of a run, a point of the roofline.

    Parameters
    ----------
    phase : str
        Its name.
    intensity : float
        Operations a bit that the large memories move.
    rate : float
        Operations a cycle.
    busy : float
        Share of its cycles in which the array has a beat, 0 to 1.
    utilisation : float
        Its operations over those that all cells could do in its cycles, 0 to 1.
    cycles : int
        Clock cycles of the phase.
    """

    phase: str
    intensity: float
    rate: float
    busy: float
    utilisation: float
    cycles: int


def peak(plan: Plan) -> int:
    """Return the operations a cycle of all cells."""
    return OPS_PER_CELL * plan.target.cells


def bandwidth(plan: Plan, phases: dict[str, dict[str, float]]) -> int:
    """Return the bits a cycle of the memories that a run uses, if each moved a row each way it is used.

    The classifier's memory has two rows a cycle, those of deltas one for each bit-plane, of
    classes in as many banks as errors are computed at once.
    """
    bits = plan.rule.delta_bits
    rows = {
        Kind.CLASSIFIER: COPIES,
        Kind.PLANES: bits,
        Kind.PLANE_BANKS: bits * plan.target.error_units,
    }
    used = {name for events in phases.values() for name, n in events.items() if n}
    return sum(
        m.width * m.count * rows.get(m.declaration.kind, 1)
        for m in _outside(plan)
        for way in ("reads", "writes")
        if f"{m.name}.{way}" in used
    )


def _outside(plan: Plan) -> list[Memory]:
    """List the memories that are not part of the array."""
    return [m for m in plan.memories if m.role not in ARRAY_ROLES]


def moved_bits(plan: Plan, counters: dict[str, float]) -> float:
    """Count the bits read and written of the memories outside the array."""
    return sum(
        counters.get(f"{m.name}.{way}", 0) * m.width
        for m in _outside(plan)
        for way in ("reads", "writes")
    )


def dots(plan: Plan, phases: dict[str, dict[str, float]]) -> list[Dot]:
    """Make a `Dot` of every phase that took cycles; a phase without operations has none a bit."""
    found = []
    for phase, events in phases.items():
        cycles = events["cycles"]
        if not cycles:
            continue
        operations = OPS_PER_CELL * cell_operations(plan, events)
        bits = moved_bits(plan, events)
        found.append(
            Dot(
                phase,
                operations / bits if bits else 0.0,
                operations / cycles,
                events["array.beats"] / cycles,
                operations / cycles / peak(plan),
                int(cycles),
            )
        )
    return found
