"""Fronts of designs that no other design beats in accuracy and in one cost."""

COSTS = ("energy", "memory", "cycles", "area")
"""Of a point, what is to be small: joules and cycles of a session, bits, mm2."""


def cost_of(point: dict, cost: str) -> float:
    """Return the nominal value of one of `COSTS`."""
    value = point[cost]
    return value[1] if isinstance(value, list) else value


def front(points: list[dict], cost: str) -> list[int]:
    """Return the numbers of the points that no other beats in accuracy and cost, cheapest first.

    Of points alike in both the first is taken.
    """
    order = sorted(
        (i for i, p in enumerate(points) if p["a_final"] is not None),
        key=lambda i: (cost_of(points[i], cost), -points[i]["a_final"], i),
    )
    best, chosen = -1.0, []
    for i in order:
        if points[i]["a_final"] > best:
            best = points[i]["a_final"]
            chosen.append(i)
    return chosen
