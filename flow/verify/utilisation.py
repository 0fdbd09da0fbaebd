"""How busy the array is: its beats over all cycles, by phase, as the simulator's ledger has them."""

from xnoreplay.spec.plan import Plan

Table = dict[str, dict[str, int]]


def of_image(plan: Plan, phases: Table) -> Table:
    """Phase -> cycles and beats of one inference, and of its convolutions together."""
    return _table(phases, {"convolutions": [op.name for op in plan.convolutions]})


def of_session(phases: Table) -> Table:
    """Phase -> cycles and beats of one retraining, and of all of it."""
    return _table(phases, {"all": list(phases)})


def _table(phases: Table, sums: dict[str, list[str]]) -> Table:
    """phases : counters by phase, of `sim.common.phase_counters`; sums : phases that a further row adds."""
    table = {
        name: {"cycles": counted["cycles"], "beats": counted["array.beats"]}
        for name, counted in phases.items()
    }
    for title, names in sums.items():
        table[title] = {k: sum(table[n][k] for n in names) for k in ("cycles", "beats")}
    return table


def share(row: dict[str, int]) -> float:
    """Busy cycles of all."""
    return row["beats"] / row["cycles"] if row["cycles"] else 0.0
