"""The fronts of a sweep as text, and its answers to four questions."""

from xnoreplay.flow.cost import replay_variants
from xnoreplay.flow.cost.session_text import columns
from xnoreplay.flow.explore import fronts, space
from xnoreplay.flow.explore.fronts import COSTS, cost_of
from xnoreplay.flow.output.quantities import KIB, quantity

TITLES = {**replay_variants.VARIANTS, space.DRAWN: replay_variants.DRAWN}
LOSS = 0.01  # of a_final, that a cheaper design may lose
ROWS = 8  # of a table of accuracies


def text(result: dict) -> str:
    """Return fronts and answers of a search as text."""
    points, refused = result["points"], result["refused"]
    found = f"{len(points)} designs, {result['runs']} runs; accuracy: {result['accuracy']}"
    lines = [f"{result['preset']}: {found}"]
    if refused:
        first = refused[0]
        dials = ", ".join(f"{k}={v}" for k, v in first["dials"].items())
        lines.append(
            f"{len(refused)} combinations cannot be built; the first ({dials}): {first['reason']}"
        )
    blocks = ["\n".join(lines)]
    for cost, numbers in result["fronts"].items():
        blocks.append(f"Pareto front of a_final and {cost} of a session\n" + table(result, numbers))
    for cost, numbers in result.get("stored_fronts", {}).items():
        title = f"Pareto front of a_final and {cost} of a session, without generative replay"
        blocks.append(f"{title}\n{table(result, numbers)}")
    if not result["fronts"]:
        blocks.append(table(result, range(len(points))))
    blocks += [f"{title}\n{found}" for title, found in answers(result)]
    return "\n\n".join(blocks)


def table(result: dict, numbers) -> str:
    """Return points by number as a table, a row each."""
    head, *rows = rows_of(result, numbers)
    return columns(head, rows)


def rows_of(result: dict, numbers) -> list[list[str]]:
    """Return the table's head and rows."""
    varied = [d for d, values in result["sweep"].items() if len(values) > 1]
    rows = []
    for i in numbers:
        p = result["points"][i]
        rows.append(
            [
                str(i),
                *(_dial(p["dials"].get(d, "–")) for d in varied),
                _percent(p),
                f"{p['memory'] / KIB:,.1f}",
                f"{p['cycles']:,.0f}",
                quantity(p["energy"][1], "J"),
                f"{p['area'][1]:.3f}",
            ]
        )
    return [["point", *varied, "a_final", "KiB", "cycles", "session", "mm2"], *rows]


def _dial(value) -> str:
    return (
        {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    )


def _percent(p: dict) -> str:
    if p["a_final"] is None:
        return "–"
    return f"{100 * p['a_final']:.1f} ± {100 * p['a_final_spread']:.1f}"


def answers(result: dict) -> list[tuple[str, str]]:
    """Return (question, answer) of all that the sweep can answer."""
    if not _measured(result):
        return [
            ("No question of accuracy is answered", "no latents of a trained extractor are at hand")
        ]
    return [
        ("The cheapest design that loses less than a point of a_final", _cheapest(result)),
        (
            "Latent against native replay",
            _against(result, replay_variants.LATENT, replay_variants.IMAGES),
        ),
        (
            "Generative against stored replay",
            _against(result, space.DRAWN, replay_variants.LATENT, accuracy=True),
        ),
        ("Staging on or off", _staging(result)),
        ("How few proxy bits", _proxies(result)),
    ]


def _best(points: list[dict]) -> dict:
    return max(points, key=lambda p: p["a_final"])


def good_enough(points: list[dict]) -> list[dict]:
    """List the points that lose less than `LOSS` against the best."""
    best = _best(points)["a_final"]
    return [p for p in points if p["a_final"] > best - LOSS]


def cheapest(points: list[dict], cost: str) -> dict:
    """Return the cheapest of the points that are good enough."""
    return min(good_enough(points), key=lambda p: (cost_of(p, cost), -p["a_final"]))


def _measured(result: dict) -> list[dict]:
    return [p for p in result["points"] if p["a_final"] is not None]


def _cheapest(result: dict) -> str:
    points = _measured(result)
    best = _best(points)
    lines = [f"the best has {_percent(best)} % ({_name(result, best)})"]
    for cost in COSTS:
        p = cheapest(points, cost)
        lines.append(
            f"by {cost}: {_name(result, p)}: {_percent(p)} %, {_amount(p, cost)} against the "
            f"best's {_amount(best, cost)}"
        )
    return "\n".join(lines)


def _name(result: dict, p: dict) -> str:
    number = result["points"].index(p)
    dials = ", ".join(
        f"{k} {_dial(v)}" for k, v in p["dials"].items() if len(result["sweep"][k]) > 1
    )
    return f"point {number}, {dials}"


def _amount(p: dict, cost: str) -> str:
    value = cost_of(p, cost)
    match cost:
        case "energy":
            return quantity(float(value), "J")
        case "memory":
            return f"{value / KIB:,.1f} KiB"
        case "cycles":
            return f"{value:,.0f} cycles"
    return f"{value:.3f} mm2"


def within(points: list[dict], cost: str, budget: float) -> dict | None:
    """Return the most accurate point of at most a cost, the cheapest of those alike."""
    fitting = [p for p in points if cost_of(p, cost) <= budget]
    return min(fitting, key=lambda p: (-p["a_final"], cost_of(p, cost)), default=None)


def budgets(points: list[dict], cost: str) -> list[float]:
    """Return a few costs between the least and the most of some points."""
    values = sorted({cost_of(p, cost) for p in points})
    return [values[round(i * (len(values) - 1) / 3)] for i in range(4)] if values else []


def _against(result: dict, one: str, other: str, accuracy: bool = False) -> str:
    """Compare two ways of replay at the same memory and energy and, if asked for, at the same accuracy."""
    points = _measured(result)
    groups = {TITLES[way]: [p for p in points if p["replay"] == way] for way in (one, other)}
    if not all(groups.values()):
        return f"not asked: the sweep must have replay={one},{other}"
    tables = [
        f"at the same {cost}:\n{_budget_table(groups, cost)}" for cost in ("memory", "energy")
    ]
    if accuracy:
        tables.append(f"at the same a_final:\n{_accuracy_table(groups)}")
    return "\n".join(tables)


def _accuracy_table(groups: dict[str, list[dict]]) -> str:
    """Return the least memory, cycles and energy of each group that reach an accuracy, a row each.

    The accuracies are those of the points on the groups' own fronts of memory, at most a few.
    """
    levels = sorted(
        {group[i]["a_final"] for group in groups.values() for i in fronts.front(group, "memory")}
    )
    costs = ("memory", "cycles", "energy")
    rows = []
    for level in levels[:: max(1, -(-len(levels) // ROWS))]:
        row = [f"{100 * level:.1f}"]
        for group in groups.values():
            reach = [p for p in group if p["a_final"] >= level]
            row += [
                _amount(min(reach, key=lambda p: cost_of(p, c)), c) if reach else "none"
                for c in costs
            ]
        rows.append(row)
    head = [f"{name}, {cost}" for name in groups for cost in costs]
    return columns(["at least, %", *head], rows)


def _staging(result: dict) -> str:
    measured = [p for p in _measured(result) if p["replay"] == replay_variants.LATENT]
    on = [p for p in measured if p["dials"].get("staging", True)]
    off = [p for p in measured if not p["dials"].get("staging", True)]
    if not on or not off:
        return "not asked: the sweep must have staging=true,false"
    pairs = [
        (p, q)
        for p in on
        for q in off
        if {**p["dials"], "staging": 0} == {**q["dials"], "staging": 0}
    ]
    gain = sum(p["a_final"] - q["a_final"] for p, q in pairs) / len(pairs) if pairs else 0.0
    named = {"with staging": on, "without": off}
    return (
        f"all else alike, staging adds {100 * gain:+.1f} points on the mean of {len(pairs)} pairs\n"
        f"at the same memory:\n{_budget_table(named, 'memory')}"
    )


def _budget_table(groups: dict[str, list[dict]], cost: str) -> str:
    rows = []
    for budget in budgets([p for group in groups.values() for p in group], cost):
        found = [within(group, cost, budget) for group in groups.values()]
        rows.append(
            [
                _amount({cost: budget}, cost),
                *("none fits" if p is None else _percent(p) for p in found),
            ]
        )
    return columns(["at most", *(f"{name}, a_final" for name in groups)], rows)


def _proxies(result: dict) -> str:
    if len(result["sweep"].get("proxy_bits", ())) < 2:
        return "not asked: the sweep must have several proxy_bits"
    points = _measured(result)
    enough = min(good_enough(points), key=lambda p: p["dials"]["proxy_bits"])
    rows = []
    for bits in sorted({p["dials"]["proxy_bits"] for p in points}):
        best = _best([p for p in points if p["dials"]["proxy_bits"] == bits])
        rows.append([str(bits), _percent(best), _amount(best, "memory"), _amount(best, "energy")])
    head = ["proxy bits", "best a_final", "memory", "session"]
    return (
        f"{enough['dials']['proxy_bits']} bits lose less than a point: {_name(result, enough)}\n"
        + columns(head, rows)
    )
