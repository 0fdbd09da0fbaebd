"""An estimate as text: tables for a terminal, and the way from each figure to its counter."""

from collections.abc import Callable, Iterable

from xnoreplay.flow.cost import estimate, replay_variants, tables
from xnoreplay.flow.cost.chips import COVERAGE
from xnoreplay.flow.cost.session_cost import NO_SESSION, RUNS
from xnoreplay.flow.cost.tables import laws
from xnoreplay.flow.output.quantities import KIB, kib, quantity
from xnoreplay.spec.errors import SpecError, printable, shown

INTERVAL = f"Low to high holds {100 * COVERAGE:.0f} % of published chips, each predicted from the others: xnoreplay validate.\n"
NOT_COUNTED = (
    "Not counted: the host, and pads without --pads. Native replay that retrains its extractor is a closed form of a\n"
    "chip that is not generated; see flow/cost/replay_variants.py."
)
NAMED = 10  # classes of a session whose names are shown
BOUNDS = ("low", "nominal", "high")


def columns(head: list[str], rows: Iterable[list[str]], words: bool = False) -> str:
    """Return a table: the first column flush left, the others flush right; with `words` the last one flush left, too.

    >>> print(columns(["a", "b"], [["x", "10"], ["yy", "2"]]))
    a    b
    x   10
    yy   2
    """
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    last = len(head) - 1
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [
            cell if words and i == last else cell.rjust(widths[i])
            for i, cell in enumerate(row[1:], 1)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def text(tree: dict) -> str:
    """Return what `xnoreplay estimate` prints of the result of `session_cost.price_session`."""
    where = tree["technology"]
    session = NO_SESSION
    if tree["task"] is not None:
        session = (
            f"session {tree['task']}: {new_classes(tree)}, {tree['new_samples']:,} new "
            f"{tree['samples']}, {tree['remembered']:,} latents {remembered(tree)}"
        )
    head = (
        f"{tree['preset']}, {where['node']} {where['device_type']} at {where['supply_v']} V, "
        f"{quantity(float(where['clock_hz']), 'Hz')}; {tree['origin']}\n{session}"
    )
    blocks = [
        head + _slowest(where),
        _instances(tree["memory"]),
        _roles(tree["memory"]),
        _area(tree["area"]),
        _runs(tree["runs"], tree["refused"], tree["memory"]["variants"]),
        _split(tree),
        _corrections(tree),
        *([_origin(tree)] if own_run(tree)[1]["origin"][estimate.MEASURED] else []),
        _tornado(tree),
        anchors(tree),
        INTERVAL * (laws.CALIBRATION in own_run(tree)[1]["corrections"]) + NOT_COUNTED,
    ]
    return "\n\n".join(blocks)


def chip_title(tree: dict) -> str:
    """Say which replay the chip itself has."""
    return tree["memory"]["variants"][replay_variants.LATENT]["title"]


def own_run(tree: dict) -> tuple[str, dict]:
    """Return name and price of the run that a tree is about: the chip's session, or its inference if it never learns."""
    runs = tree["runs"][replay_variants.LATENT]
    if "session" in runs:
        return "a session", runs["session"]
    return "an inference", runs["inference"]


def own_title(tree: dict) -> str:
    """Name the run of `own_run` and, of a session, the replay that the chip has."""
    return own_run(tree)[0] + f", {chip_title(tree)}" * (tree["task"] is not None)


def remembered(tree: dict) -> str:
    """Say what became of the samples of earlier sessions."""
    draws = chip_title(tree) == replay_variants.DRAWN
    return "learned by components before" if draws else "remembered"


def new_classes(tree: dict) -> str:
    """Say how many classes a session brings, and the first of their names.

    >>> new_classes({"new_classes": 1, "new_names": ["nut"]})
    '1 new class (nut)'
    """
    count, names = tree["new_classes"], [printable(n) for n in tree.get("new_names", ())]
    listed = ", ".join(names[:NAMED]) + ", ..." * (len(names) > NAMED)
    return f"{count} new class{'es' * (count != 1)}" + f" ({listed})" * bool(names)


def summary(tree: dict) -> list[str]:
    """Say in a few lines what `session_cost.price_session`, or `price_inference`, found: bits, cycles and joules."""
    runs = tree["runs"][replay_variants.LATENT]
    where = tree["technology"]
    lines = [
        f"the chip has {tree['memory']['bits']:,} bits of memory ({kib(tree['memory']['bits'])} KiB)"
    ]
    for name, what in (("inference", "one inference"), ("session", f"session {tree.get('task')}")):
        if name not in runs:
            continue
        run = runs[name]
        low, nominal, high = (quantity(float(j), "J") for j in run["total"])
        lines.append(
            f"{what}: {run['cycles']:,.0f} cycles, {quantity(run['cycles'] / where['clock_hz'], 's')} at "
            f"{quantity(float(where['clock_hz']), 'Hz')}; {nominal} ({low} to {high}) at {where['node']}"
        )
    return lines


def _slowest(where: dict) -> str:
    """Return a line on whether the memories keep up with the clock."""
    slowest, period = where["slowest"], 1e9 / where["clock_hz"]
    if not slowest["ns"]:
        return ""
    line = f"\nslowest SRAM: {slowest['memory']}, {slowest['ns']:.2f} ns of the clock's {period:.2f} ns"
    return line if slowest["ns"] <= period else f"{line}: the clock is too fast for it"


def _instances(memory: dict) -> str:
    rows = [
        [
            m["name"],
            m["role"],
            f"{m['depth']:,}x{m['stored']}",
            str(m["count"]),
            f"{m['bits']:,}",
            f"{m['kib']:,.3f}",
        ]
        for m in memory["instances"]
    ]
    rows.append(["all", "", "", "", f"{memory['bits']:,}", kib(memory["bits"])])
    return columns(["memory", "role", "words", "instances", "bits", "KiB"], rows)


def _roles(memory: dict) -> str:
    variants = memory["variants"]
    names = list(dict.fromkeys(r for v in variants.values() for r in v["roles"]))
    rows = [
        [role, *(f"{v['roles'].get(role, 0) / KIB:,.1f}" for v in variants.values())]
        for role in names
    ]
    rows.append(["all", *(f"{v['bits'] / KIB:,.1f}" for v in variants.values())])
    return columns(["KiB by role", *(v["title"] for v in variants.values())], rows)


def _area(area: dict) -> str:
    rows = [[part, *(f"{v:.3f}" for v in bounds)] for part, bounds in area.items()]
    sums = [sum(bounds[i] for bounds in area.values()) for i in range(3)]
    rows.append(["all", *(f"{v:.3f}" for v in sums)])
    return columns(["mm2 of cells", *BOUNDS], rows)


def _runs(priced: dict, refused: dict[str, str], variants: dict[str, dict]) -> str:
    rows = []
    for name, runs in priced.items():
        for run, price in runs.items():
            title = RUNS[run]
            rows.append(
                [
                    f"{variants[name]['title']}: {title}",
                    f"{price['cycles']:,.0f}",
                    quantity(float(price["seconds"]), "s"),
                    *(quantity(float(j), "J") for j in price["total"]),
                ]
            )
    lines = [columns(["run", "cycles", "time", *BOUNDS], rows)]
    lines += [f"{variants[name]['title']}: not priced: {why}" for name, why in refused.items()]
    return "\n".join(lines)


def _split(tree: dict) -> str:
    runs = tree["runs"][replay_variants.LATENT]
    splits = {run: runs[run]["split"] for run in ("inference", "session") if run in runs}
    last = list(splits.values())[-1]
    names = dict.fromkeys(name for split in reversed(splits.values()) for name in split)
    rows = [
        [
            name,
            *(
                quantity(float(v), "J")
                for split in splits.values()
                for v in split.get(name, (0, 0, 0))
            ),
        ]
        for name in sorted(names, key=lambda n: -last.get(n, (0, 0, 0))[1])
    ]
    head = [f"{run}, {bound}" for run in splits for bound in BOUNDS]
    title = "energy" + f", {chip_title(tree)}" * (tree["task"] is not None)
    return columns([title, *head], rows)


def correction_rows(run: dict, share: Callable[[float], str]) -> list[list[str]]:
    """Return a row for what is counted of a priced run, and one a correction: title, joules, and share of the total.

    `share` writes a share in [0, 1] as text.
    """
    titles = {"count": "counted events times costs", **laws.SWITCHES}
    return [
        [titles.get(name, name), quantity(float(j), "J"), share(j / run["total"][1])]
        for name, j in run["corrections"].items()
    ]


def _corrections(tree: dict) -> str:
    rows = correction_rows(own_run(tree)[1], lambda part: f"{100 * part:.1f} %")
    return columns([f"of {own_title(tree)}", "nominal", "share"], rows)


def _origin(tree: dict) -> str:
    """Return how much of a session rests on what was measured, before the factor of published chips."""
    sums = own_run(tree)[1]["origin"]
    whole = sum(sums.values())
    rows = [[name, quantity(float(j), "J"), f"{100 * j / whole:.1f} %"] for name, j in sums.items()]
    return columns([f"of {own_title(tree)}, what it rests on", "nominal", "share"], rows)


def _tornado(tree: dict) -> str:
    rows = [
        [s["assumption"], quantity(float(s["low"]), "J"), quantity(float(s["high"]), "J")]
        for s in tree["tornado"]
    ]
    return columns(["with this assumption at its ends", "low", "high"], rows)


def per_class(tree: dict) -> list[float]:
    """Return low, nominal and high joules of learning one new class in the session."""
    session = tree["runs"][replay_variants.LATENT]["session"]
    return [j / tree["new_classes"] for j in session["total"]]


def anchor_rows(tree: dict | None = None) -> list[list[str]]:
    """Return what published systems take to learn, and before them the chip of a tree."""
    rows = [
        [
            a["system"],
            a["technology"],
            quantity(float(a["joules"]), "J") if a["joules"] else "not published",
            a["each"],
            a["scope"],
        ]
        for a in tables.table("anchors.csv")
    ]
    if tree is None or tree["task"] is None:
        return rows
    where, session = tree["technology"], tree["runs"][replay_variants.LATENT]["session"]
    low, nominal, high = (quantity(float(j), "J") for j in per_class(tree))
    cycles = f"{session['cycles'] / tree['new_classes']:,.0f}"
    samples = f"{tree['new_samples'] / tree['new_classes']:,.0f}"
    images = tree["samples"] == "images"
    own = [
        f"{tree['preset']}, this chip",
        f"{where['node']}, {where['supply_v']} V, modelled",
        f"{nominal} ({low} to {high})",
        "new class",
        (
            f"core with its memories: {samples} {tree['samples']} a class{' through the extractor' * images}, the classifier "
            f"retrained by gradient with {tree['remembered']:,} {remembered(tree)}, {cycles} cycles"
        ),
    ]
    return [own, *rows]


ANCHORS = ["learning", "at", "energy", "each", "scope"]


def anchors(tree: dict | None = None) -> str:
    """Return the table of `anchor_rows`."""
    return columns(ANCHORS, anchor_rows(tree), words=True)


def explain(tree: dict, figure: str = "") -> str:
    """Return counter, cost and source of every figure, or of those whose name has `figure` in it.

    Raises
    ------
    SpecError
        Where no figure's name has it.
    """
    lines = []
    for variant, runs in tree["runs"].items():
        for run, price in runs.items():
            for row in price["rows"]:
                name = f"{variant}.{run}.{row['part']}.{row['event']}"
                if figure not in name:
                    continue
                costs = " / ".join(quantity(float(c), "J") for c in row["cost"])
                joules = " / ".join(quantity(float(j), "J") for j in row["joules"])
                share = 100 * row["joules"][1] / price["total"][1]
                what = f"correction: {row['correction']}; " if row["correction"] else ""
                lines.append(
                    f"{name}: {row['count']:,.6g} x {costs} = {joules}, {share:.2f} % of the run\n"
                    f"    {what}{row['source']}"
                )
    for run, phases in tree["phases"].items():
        for phase, events in phases.items():
            for counter, n in events.items():
                name = f"counter.{run}.{phase}.{counter}"
                if figure and figure in name and n:
                    lines.append(f"{name}: {n:,}")
    if not lines:
        raise SpecError(
            f"a figure to explain must have {shown(figure)} in its name, but none has; names are "
            "VARIANT.RUN.PART.EVENT, such as latent.session.weights.fe.reads"
        )
    return "\n".join(lines)
