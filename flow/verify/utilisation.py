"""How busy the array is: its beats over all cycles, by phase, as the simulator's ledger has them."""

from xnoreplay.spec.plan import Plan

Table = dict[str, dict[str, int]]


def of_image(plan: Plan, phases: Table) -> Table:
    """Cycles and beats of one inference, by phase, with those of all convolutions together, where there are any."""
    convolutions = [op.name for op in plan.convolutions]
    return _table(phases, {"convolutions": convolutions} if convolutions else {})


def of_session(phases: Table) -> Table:
    """Cycles and beats of one retraining, by phase, with those of all phases together."""
    return _table(phases, {"all": list(phases)})


def _table(phases: Table, sums: dict[str, list[str]]) -> Table:
    """A row of cycles and beats for each phase, and for each sum of phases.

    Parameters
    ----------
    phases : dict
        Counters by phase, of `sim.common.phase_counters`.
    sums : dict of str to list of str
        Phases that a further row adds, by the row's title.
    """
    table = {
        name: {"cycles": counted["cycles"], "beats": counted["array.beats"]}
        for name, counted in phases.items()
    }
    for title, names in sums.items():
        table[title] = {k: sum(table[n][k] for n in names) for k in ("cycles", "beats")}
    return table


def share(row: dict[str, int]) -> float:
    """Share of a row's cycles in which the array was busy: beats over cycles."""
    return row["beats"] / row["cycles"] if row["cycles"] else 0.0
