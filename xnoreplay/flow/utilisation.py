"""How busy the array is: its beats over all cycles, by phase, from counters and a trace."""

from collections import Counter

from xnoreplay.spec.plan import Plan

LEARNED = {"back": "back", "output.update": "output", "hidden.update": "hidden"}
FORWARD = "forward passes"
"""Phases whose beats have a counter of their own; the forward passes have what is left."""


def of_image(plan: Plan, cycles: dict[str, int], trace: list[str]) -> dict[str, dict]:
    """Phase -> cycles and beats of one inference; a beat's line of the trace shows its operand."""
    beats = Counter(line.split()[1] for line in trace if " x=" in line)
    names = [op.name for op in plan.convolutions]
    table = {name: {"cycles": n, "beats": beats[name]} for name, n in cycles.items()}
    table["convolutions"] = {
        key: sum(table[name][key] for name in names) for key in ("cycles", "beats")
    }
    return table


def of_session(cycles: dict[str, int], moved: dict[str, int]) -> dict[str, dict]:
    """Phase -> cycles and beats of one retraining.

    cycles by phase; moved : what the session added to each counter
    """
    table: dict[str, dict] = {}
    for name, n in cycles.items():
        if name in ("hidden.forward", "output.forward"):
            row = table.setdefault(FORWARD, {"cycles": 0, "beats": 0})
            row["cycles"] += n
        else:
            beats = moved[f"learn.{LEARNED[name]}.beats"] if name in LEARNED else 0
            table[name] = {"cycles": n, "beats": beats}
    known = sum(row["beats"] for row in table.values())
    if FORWARD in table:
        table[FORWARD]["beats"] = moved["array.beats"] - known
    table["all"] = {"cycles": sum(cycles.values()), "beats": moved["array.beats"]}
    return table


def share(row: dict) -> float:
    """Busy cycles of all."""
    return row["beats"] / row["cycles"] if row["cycles"] else 0.0


def markdown(table: dict[str, dict]) -> str:
    """The table as text.

    >>> print(markdown({"load": {"cycles": 4, "beats": 0}, "all": {"cycles": 8, "beats": 2}}))
    | phase | beats | cycles | array busy, % |
    |---|---|---|---|
    | load | 0 | 4 | 0.0 |
    | all | 2 | 8 | 25.0 |
    """
    lines = ["| phase | beats | cycles | array busy, % |", "|---|---|---|---|"]
    for phase, row in table.items():
        busy = 100 * share(row)
        lines.append(f"| {phase} | {row['beats']:,} | {row['cycles']:,} | {busy:.1f} |")
    return "\n".join(lines)
