"""What a campaign of upsets came to, as text."""

from collections import Counter

from xnoreplay.flow.cost.session_text import columns
from xnoreplay.flow.upset import flops, protection
from xnoreplay.flow.upset.campaign import SHARE, TOLD
from xnoreplay.flow.upset.sessions import ALL, LOSS, SAME
from xnoreplay.spec import registers
from xnoreplay.spec.plan import Plan


def text(result: dict, plan: Plan) -> str:
    """Return what `xnoreplay upset` prints: the places with what they bear, and the order in which to protect them."""
    counted = sum(len(r["records"]) for p in result["places"] for r in (p["one"], *p["rates"]))
    told = (
        f"{result['preset']}: the last session, {result['cycles']:,} cycles, a_final "
        f"{100 * result['a_final']:.1f} % of {result['images']:,} test images without upsets; "
        f"{result['sessions']:,} sessions for each memory and rate, {counted:,} of them with upsets\n"
        f"harmed: a_final falls by more than {100 * LOSS:g} points, a command hangs, or a loop goes on past its memory"
    )
    head, *rows = rows_of(result)
    blocks = [told, columns(head, rows)]
    if registers.coded(plan.memories):
        blocks.append(
            "What ERRORS tells of sessions with upsets, after a host has read every window; unnoticed: predictions are others, and "
            "no word is told to be wrong\n" + columns(*rows_of_errors(result, plan))
        )
    order = protect(result, plan)
    if order:
        blocks.append(
            "What to protect first: share of the sessions that one upset anywhere changes, and what protection takes\n"
            + columns(["memory", "share", "parity bits", "code bits", "code gates"], order)
        )
    blocks.append("no session hung")  # the step fails where one does
    if replayed := result.get("replayed"):
        blocks.append(
            f"{replayed['sessions']} sessions with {replayed['upsets']:,} upsets were repeated in the Verilog: "
            f"{replayed['cycles']:,} cycles, 0 differences"
        )
    if found := result.get("flops"):
        blocks.append(text_of_flops(found))
    return "\n\n".join(blocks)


def text_of_flops(found: dict) -> str:
    """What flips of the Verilog's flip-flops came to: `found` is of `flops.measure`."""
    head = ["while", "clocks", "flips", *flops.OUTCOMES]
    rows, blocks, hung = [], [], []
    for name, window in found["windows"].items():
        shares = [_share(n / window["flips"]) for n in window["outcomes"].values()]
        rows.append([name, f"{window['clocks']:,}", f"{window['flips']:,}", *shares])
        units = [
            [unit, *(f"{counts[outcome]:,}" for outcome in flops.OUTCOMES)]
            for unit, counts in sorted(window["units"].items(), key=_most_changed)
        ]
        blocks.append(
            f"flips in the clocks of the {name}, by unit\n"
            + columns(["unit", *flops.OUTCOMES], units)
        )
        hung += window["hung"]
    held = 100 * (1 - found["modelled"] / found["flops"])
    first = (
        f"flips of the Verilog's {found['flops']:,} flip-flops in {found['registers']:,} registers, one each; {held:.1f} % of them "
        "are no place above: of pipelines, state machines, the host port and event counters\n"
    )
    blocks.insert(0, first + columns(head, rows))
    if hung:
        helped = Counter(what for *_, what in hung)
        names = Counter(path for path, *_ in hung)
        blocks.append(
            f"of {len(hung)} that hang, {helped[flops.HELPED[flops.ABORTED]]} are freed by ABORT and RESTORE, and "
            f"{helped[flops.HELPED[flops.RESET]]} by a reset and RESTORE; registers: "
            + ", ".join(f"{path} ({n})" for path, n in names.most_common())
        )
    return "\n\n".join(blocks)


def _most_changed(item: tuple[str, dict[str, int]]) -> tuple[int, str]:
    """Order of units: those first of whose flips most were not masked."""
    unit, counts = item
    return counts[flops.MASKED] - sum(counts.values()), unit


def rows_of(result: dict) -> list[list[str]]:
    """Return the head and the rows of the table of places."""
    rates = [r["rate"] for r in result["places"][0]["rates"]]
    head = ["place", "bits", "one: changed", "one: harmed", *(f"{r:.0e}" for r in rates), "bears"]
    rows = []
    for place in result["places"]:
        one = place["one"]
        rows.append(
            [
                place["name"],
                f"{place['bits']:,}",
                _share(1 - one["shares"][SAME]),
                _share(one["harmed"]),
                *(_share(r["harmed"]) for r in place["rates"]),
                f"{place['bears']:.0e}" if place["bears"] else f"< {rates[0]:.0e}",
            ]
        )
    return [head, *rows]


def rows_of_errors(result: dict, plan: Plan) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of the table of places with a code, and of all places together."""
    codes = {m.name: m.code for m in plan.memories}
    rows = []
    for place in result["places"]:
        code = codes.get(place["name"], "")
        if not code and place["name"] != ALL:
            continue
        series = (place["one"], *place["rates"])
        counts = [f"{sum(r['told'][what] for r in series):,}" for what in TOLD]
        sessions = sum(len(r["records"]) for r in series)
        rows.append([place["name"], code, f"{sessions:,}", *counts])
    return ["place", "code", "sessions", *TOLD], rows


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if value else "–"


BEARS = f"bears: the highest rate up to which at most {100 * SHARE:g} % of sessions are harmed"


def protect(result: dict, plan: Plan) -> list[list[str]]:
    """Return the rows of memories in which one upset changed predictions, those first that change most sessions."""
    changed = {
        p["name"]: p["bits"] * (1 - p["one"]["shares"][SAME])
        for p in result["places"]
        if p["name"] != ALL
    }
    total = sum(changed.values())
    rows = []
    for name, part in sorted(changed.items(), key=lambda item: -item[1]):
        if not part:
            continue
        cost = protection.cost(plan, name)
        cells = ["–"] * 3
        if cost is not None:
            cells = [f"{n:,}" for n in (cost.parity, cost.code, cost.code_gates)]
        code = next((m.code for m in plan.memories if m.name == name), "")
        rows.append([f"{name} ({code})" if code else name, f"{100 * part / total:.1f} %", *cells])
    return rows
