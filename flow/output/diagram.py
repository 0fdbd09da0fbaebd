"""The chip's block diagram, drawn from a plan as one SVG.

Every width, depth and count in it is read from the plan, so the picture cannot drift from the chip. The
picture needs no other file, and its colours follow the reader's light or dark theme.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape

from xnoreplay.flow.output.quantities import KIB
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import HOST_MEMORIES, counters
from xnoreplay.spec.replay import LFSR_SEEDS

COLUMN_WIDTH, COLUMN_GAP, ROW_GAP, MARGIN = 236, 70, 44, 24
LINE, TITLE, PADDING = 16, 20, 10  # height of a line of text, of a title, and space inside a block
TOP = (
    106  # height of what stands above the first row: heading, legend, and the way back to the maps
)
SWATCH = 12  # side of a colour in the legend

LIGHT = {
    "ink": "#1f2933",
    "soft": "#52606d",
    "edge": "#9aa5b1",
    "logic": "#f5f7fa",
    "memory": "#e3f0fb",
    "array": "#fdf1dc",
    "frame": "#ffffff",
}
DARK = {
    "ink": "#e4e7eb",
    "soft": "#a7b3c2",
    "edge": "#66788a",
    "logic": "#26313d",
    "memory": "#173a57",
    "array": "#4d3a17",
    "frame": "#12181f",
}
"""Colours of either theme, by what they are for."""
SIZES = {"heading": 16, "title": 13}  # pixels of text; all other text has 12
SMALL = 12


def _rules(colours: dict[str, str]) -> str:
    return ".chip { " + " ".join(f"--{name}: {value};" for name, value in colours.items()) + " }"


CAPTION = "Block diagram of the chip"
STYLE = f"""
{_rules(LIGHT)}
.chip {{ font: {SMALL}px system-ui, "Segoe UI", Roboto, Arial, sans-serif; }}
.chip text {{ fill: var(--ink); }} .chip .soft {{ fill: var(--soft); }}
.chip .title {{ font-weight: 600; font-size: {SIZES["title"]}px; }}
.chip .heading {{ font-weight: 600; font-size: {SIZES["heading"]}px; }}
.chip rect {{ stroke: var(--edge); }} .chip .frame {{ fill: var(--frame); stroke: none; }}
.chip .logic {{ fill: var(--logic); }} .chip .memory {{ fill: var(--memory); }}
.chip .array {{ fill: var(--array); }}
.chip path {{ fill: none; stroke: var(--soft); stroke-width: 1.4; }}
.chip marker path {{ fill: var(--soft); stroke: none; }}
"""
"""Its names hold inside `.chip` alone, so that a page may contain the picture."""

AT_NIGHT = f"""@media (prefers-color-scheme: dark) {{ {_rules(DARK)} }}
"""

TIP = """<defs><marker id="chip-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"
 markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>"""
"""The tip of an arrow."""


@dataclass(frozen=True)
class Unit:
    """One block of the diagram.

    Parameters
    ----------
    name : str
        By which `_Layout` refers to its box.
    title : str
    column, row : int
        Place in the grid, from 0.
    prefixes : tuple of str
        The memories it holds: those whose name begins with one of these and a full stop, or is one.
    notes : callable
        Plan -> lines of text beside the memories.
    rows : int
        Rows of the grid it spans.
    kind : str
        "logic", "memory" or "array": its colour.
    """

    name: str
    title: str
    column: int
    row: int
    prefixes: tuple[str, ...]
    notes: Callable[[Plan], list[str]]
    rows: int = 1
    kind: str = "logic"

    def holds(self, memory: Memory) -> bool:
        """Tell whether a memory is drawn in this block."""
        return any(memory.name == p or memory.name.startswith(f"{p}.") for p in self.prefixes)


def _input(plan: Plan) -> list[str]:
    net = plan.network
    if not net.takes_images:
        return [
            f"{net.latent:,} bits, {plan.input.part} a transfer",
            f"{plan.input.pixels:,} transfer{'s' * (plan.input.pixels > 1)} a latent",
        ]
    return [
        f"{net.height} × {net.width} pixels of {net.image_channels} × 8 bits",
        f"{plan.input.channels} bits a pixel, {plan.input.words} word{'s' * (plan.input.words > 1)}",
    ]


def _array(plan: Plan) -> list[str]:
    target = plan.target
    lines = [
        f"{target.lanes} lane{'s' * (target.lanes > 1)} × {target.window} cells",
        f"= {target.cells:,} one-bit cells",
        f"XNOR for {'images' if plan.convolutions else 'inference'}, AND for learning",
        "balanced popcount trees",
        f"{plan.accumulator_bits}-bit accumulators",
        f"{target.segment} gradient nodes a lane",
    ]
    if plan.convolutions:
        use = f"convolutions: {100 * convolution_use(plan):.1f} % of their"
        lines += ["", use, "cycles issue a window"]
    return lines


def _convolutions(plan: Plan) -> list[str]:
    pools = sum(op.pool for op in plan.convolutions)
    skips = sum(bool(op.skip_shift) for op in plan.convolutions)
    lines = [f"{len(plan.convolutions)} convolutions, {pools} with max-pool 2"]
    return lines + [f"{skips} with a skip"] if skips else lines


def _dense(plan: Plan) -> list[str]:
    net = plan.network
    layers = ([plan.latent] if plan.latent else []) + [plan.hidden]
    return [
        ", ".join(f"{op.name} {op.rows:,}" for op in layers),
        f"output: argmax over {net.classes} classes",
        f"{plan.infer_cycles(net.classes):,} cycles {'an image' if plan.latent else 'a latent'}",
    ]


def _classifier(plan: Plan) -> list[str]:
    target = plan.target
    pair = "one proxy" if target.proxies_per_pair == 1 else "two proxies"
    hidden = "learns" if target.hidden_learns else "is frozen"
    return [f"{target.proxy_bits}-bit proxies, {pair} a pair", f"hidden layer {hidden}"]


def _replay(plan: Plan) -> list[str]:
    if form := plan.generative:
        means = f"{form.components} components a class, {form.mean_bits}-bit means"
        return [means, f"{form.drawn_per_class} draws a class and epoch"]
    return [f"latents of {plan.network.latent:,} bits", "quota a class, eviction, epoch order"]


def _error(plan: Plan) -> list[str]:
    target = plan.target
    units = f"{target.error_units} error unit{'s' * (target.error_units > 1)}"
    return ["softmax by table, class weights", f"{units}, {target.delta_bits}-bit deltas"]


RANDOM_USE = {
    "walk": "order of slots and samples",
    "error": "rounding of deltas",
    "update": "rounding of updates",
}
"""What the register of each name is for."""


def _random(_plan: Plan) -> list[str]:
    return [f"{name}: {RANDOM_USE[name]}" for name in LFSR_SEEDS]


UNITS = (
    Unit("input", "Thermometer", 0, 0, ("thermometer",), _input),
    Unit("maps", "Feature maps", 1, 0, ("act.ping", "act.pong"), lambda _: [], kind="memory"),
    Unit("array", "Binary array", 2, 0, ("lane",), _array, rows=3, kind="array"),
    Unit("signs", "Signs, skips, pooling", 3, 0, ("pool",), _convolutions),
    Unit("weights", "Frozen weights", 0, 1, ("weights",), lambda _: [], kind="memory"),
    Unit("window", "Line buffer, 3 × 3 windows", 1, 1, ("line",), lambda _: []),
    Unit("dense", "Dense layers, prediction", 3, 1, ("act.latent",), _dense),
    Unit("classifier", "Classifier", 0, 2, ("cls",), _classifier, kind="memory"),
    Unit(
        "lgap",
        "LGAP, two counters a channel",
        1,
        2,
        (),
        lambda p: [f"{p.lgap.pixels} pixels a map"] if p.lgap else [],
    ),
    Unit("replay", "Replay", 3, 2, ("replay", "staging", "fit", "draw"), _replay, kind="memory"),
    Unit("random", f"{len(LFSR_SEEDS)} random registers of 32 bits", 0, 3, (), _random),
    Unit(
        "update",
        "Update of proxies",
        1,
        3,
        (),
        lambda p: [f"shift, round, saturate, S = {p.target.segment}"],
    ),
    Unit(
        "batch",
        "Minibatch",
        2,
        3,
        ("batch",),
        lambda p: [f"{p.target.batch} samples"],
        kind="memory",
    ),
    Unit("error", "Error", 3, 3, ("table",), _error),
)
"""All blocks but the host's, of a chip that is given images."""
OF_IMAGES = ("maps", "signs", "weights", "window", "lgap")
"""Blocks that a chip has not which is given latents."""


def units(plan: Plan) -> tuple[Unit, ...]:
    """All blocks of a plan's chip but the host's."""
    if plan.network.takes_images:
        return UNITS
    kept = (u for u in UNITS if u.name not in OF_IMAGES)
    return tuple(replace(u, title="Latents") if u.name == "input" else u for u in kept)


def convolution_use(plan: Plan) -> float:
    """Return the share of the convolutions' cycles that issue a window to the array; 0 to 1.

    Each tile issues one window a pixel and beat; the rest are loads of weights and delays of the
    line buffer. From the closed forms of the plan.
    """
    busy = sum(op.tiles * op.pixels * op.beats for op in plan.convolutions)
    return busy / sum(op.cycles for op in plan.convolutions)


def shape(memory: Memory) -> str:
    """Return a memory as one line: name, instances, depth, width."""
    count = f"{memory.count} × " if memory.count > 1 else ""
    return f"{memory.name}  {count}{memory.depth:,} × {memory.stored:,}"


def chip_svg(plan: Plan, title: str, dark: bool = True) -> str:
    """Draw the diagram as SVG text.

    Parameters
    ----------
    plan : Plan
        Of the chip.
    title : str
        Name of the design, above the picture.
    dark : bool
        Whether the colours turn dark where the reader's theme is; a page that is always light does
        without.
    """
    drawing = _Layout(plan, title).drawing()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chip" viewBox="0 0 {drawing.width:g} {drawing.height:g}">',
        f"<title>{CAPTION} {escape(title)}</title>",
        f"<style>{STYLE}{AT_NIGHT if dark else ''}</style>",
        TIP,
        f'<rect class="frame" width="{drawing.width:g}" height="{drawing.height:g}"/>',
    ]
    for kind, box in drawing.blocks:
        place = f'x="{box.x:g}" y="{box.y:g}" width="{box.w:g}" height="{box.h:g}"'
        parts.append(f'<rect class="{kind}" {place} rx="6"/>')
    for way in drawing.ways:
        line = " ".join(f"{'ML'[i > 0]}{x:g} {y:g}" for i, (x, y) in enumerate(way))
        parts.append(f'<path d="{line}" marker-end="url(#chip-tip)"/>')
    for word in drawing.words:
        style = f' class="{word.style}"' if word.style else ""
        anchor = ' text-anchor="middle"' if word.centred else ""
        place = f'x="{word.x:g}" y="{word.y:g}"'
        parts.append(f"<text{style} {place}{anchor}>{escape(word.text)}</text>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def chip_pdf(plan: Plan, title: str) -> bytes:
    """Draw the diagram in light colours as a PDF file for a paper."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import patches, pyplot

    drawing = _Layout(plan, title).drawing()
    pixel = 0.75  # points: a pixel of the picture is one of 96 to the inch
    with pyplot.rc_context({"font.family": "sans-serif"}):
        figure = pyplot.figure(figsize=(drawing.width / 96, drawing.height / 96))
        try:
            axes = figure.add_axes((0, 0, 1, 1))
            axes.set_axis_off()
            axes.set_xlim(0, drawing.width)
            axes.set_ylim(drawing.height, 0)
            for kind, box in drawing.blocks:
                axes.add_patch(
                    patches.FancyBboxPatch(
                        (box.x + 6, box.y + 6),
                        box.w - 12,
                        box.h - 12,
                        lw=pixel,
                        boxstyle="round,pad=6",
                        facecolor=LIGHT[kind],
                        edgecolor=LIGHT["edge"],
                    )
                )
            for way in drawing.ways:
                axes.plot(*zip(*way, strict=True), color=LIGHT["soft"], lw=1.4 * pixel)
                tip = {
                    "arrowstyle": "-|>",
                    "lw": 0,
                    "color": LIGHT["soft"],
                    "shrinkA": 0,
                    "shrinkB": 0,
                }
                axes.annotate("", xy=way[-1], xytext=way[-2], arrowprops=tip)
            for word in drawing.words:
                axes.text(
                    word.x,
                    word.y,
                    word.text,
                    fontsize=SIZES.get(word.style, SMALL) * pixel * 0.92,
                    weight="bold" if word.style in SIZES else "normal",
                    parse_math=False,
                    color=LIGHT["soft" if word.style == "soft" else "ink"],
                    ha="center" if word.centred else "left",
                )
            file = io.BytesIO()
            figure.savefig(file, format="pdf", metadata={"CreationDate": None})
        finally:
            pyplot.close(figure)
    return file.getvalue()


@dataclass(frozen=True)
class _Box:
    """A placed block: left, top, width and height in pixels."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        return self.x + self.w

    @property
    def bottom(self) -> float:
        return self.y + self.h

    @property
    def middle(self) -> float:
        return self.x + self.w / 2

    def down(self, share: float) -> float:
        """Return a height inside the block: 0 at its top, 1 at its bottom."""
        return self.y + share * self.h


@dataclass(frozen=True)
class _Words:
    """A text whose base line begins, or has its middle, at (x, y); style "", "soft", "title" or "heading"."""

    x: float
    y: float
    text: str
    style: str = ""
    centred: bool = False


LEGEND_Y = 56
LEGEND = (
    ("memory", MARGIN, "memory: instances (if more than one) × rows × bits of a row"),
    ("array", 424, "binary array"),
    ("logic", 544, "logic"),
    ("", 604, "number on an arrow: its width in bits"),
)
"""Kind of block, place from the left, and what it means."""


@dataclass(frozen=True)
class _Drawing:
    """All that is drawn, in pixels: blocks by kind, ways of data as broken lines, and texts."""

    width: float
    height: float
    blocks: list[tuple[str, _Box]]
    ways: list[list[tuple[float, float]]]
    words: list[_Words]


class _Layout:
    """Places units, ways and texts of one plan."""

    def __init__(self, plan: Plan, title: str) -> None:
        self.plan, self.title, self.units = plan, title, units(plan)
        self.lines = {u.name: self._lines(u) for u in self.units}
        self.boxes = self._place()

    def _lines(self, unit: Unit) -> list[tuple[str, str]]:
        """Return (text, class) of each line of a unit: memories first, then notes."""
        held = [m for m in self.plan.memories if unit.holds(m)]
        return [(shape(m), "") for m in held] + [(n, "soft") for n in unit.notes(self.plan)]

    def _place(self) -> dict[str, _Box]:
        """Give every block its place; a row is as high as its highest block of one row."""
        needed = {u.name: TITLE + LINE * len(self.lines[u.name]) + 2 * PADDING for u in self.units}
        rows = [
            max(needed[u.name] for u in self.units if u.row == row and u.rows == 1)
            for row in range(1 + max(u.row for u in self.units))
        ]
        for u in self.units:  # one of several rows, where the others leave it too little room
            if u.rows > 1:
                own = slice(u.row, u.row + u.rows)
                lacking = needed[u.name] - sum(rows[own]) - (u.rows - 1) * ROW_GAP
                rows[own.stop - 1] += max(0, lacking)
        tops = [TOP + sum(rows[:i]) + i * ROW_GAP for i in range(len(rows))]
        boxes = {}
        for u in self.units:
            last = u.row + u.rows - 1
            x = MARGIN + u.column * (COLUMN_WIDTH + COLUMN_GAP)
            boxes[u.name] = _Box(
                x, tops[u.row], COLUMN_WIDTH, tops[last] + rows[last] - tops[u.row]
            )
        width = 4 * COLUMN_WIDTH + 3 * COLUMN_GAP
        height = TITLE + LINE * len(self._host()) + 2 * PADDING
        boxes["host"] = _Box(MARGIN, tops[-1] + rows[-1] + ROW_GAP, width, height)
        return boxes

    def _host(self) -> list[tuple[str, str]]:
        """Return the lines of the host's block; memories that no unit holds are listed there."""
        memories = self.plan.memories
        target = self.plan.target
        names = counters(memories, target)
        windows = sum(m.name in HOST_MEMORIES for m in memories)
        counted = f"{len(names)} event counters of {target.counter_bits} bits, " if names else ""
        words = f"{counted}windows on {windows} memories"
        bits = sum(m.bits for m in memories)
        given = "pixels" if self.plan.network.takes_images else "latents"
        lines = [
            (f"AXI4-Lite: commands, status, {words}; a stream of {given}", ""),
            (f"{bits:,} bits of memory in all, {bits / KIB:,.1f} KiB", "soft"),
        ]
        others = [shape(m) for m in memories if not any(u.holds(m) for u in self.units)]
        return lines + [("; ".join(others), "")] if others else lines

    def drawing(self) -> _Drawing:
        host = self.boxes["host"]
        blocks = [(u.kind, self.boxes[u.name]) for u in self.units] + [("logic", host)]
        words = [_Words(MARGIN, 32, f"Chip of preset {self.title}", "heading")]
        words += [_Words(x + 1.5 * SWATCH, LEGEND_Y, text, "soft") for _, x, text in LEGEND]
        blocks += [(k, _Box(x, LEGEND_Y - 10, SWATCH, SWATCH)) for k, x, _ in LEGEND if k]
        for unit in self.units:
            words += self._texts(self.boxes[unit.name], unit.title, self.lines[unit.name])
        words += self._texts(host, "Host port", self._host())
        ways, labels = zip(*self._arrows(), strict=True)
        words += [label for label in labels if label is not None]
        return _Drawing(host.right + MARGIN, host.bottom + MARGIN, blocks, list(ways), words)

    @staticmethod
    def _texts(box: _Box, title: str, lines: list[tuple[str, str]]) -> list[_Words]:
        x, y = box.x + PADDING, box.y + PADDING + 12
        rows = [_Words(x, y + TITLE + LINE * i, *line) for i, line in enumerate(lines)]
        return [_Words(x, y, title, "title"), *rows]

    def _arrows(self) -> list[tuple[list[tuple[float, float]], _Words | None]]:
        """Return the ways of data, each a broken line through the gaps of the grid, with its label."""
        b = self.boxes
        entering = [self._arrow([(0, b["input"].down(0.5)), (b["input"].x, b["input"].down(0.5))])]
        if self.plan.network.takes_images:
            return entering + self._arrows_of_images() + self._arrows_of_all()
        word = f"{self.plan.target.channels}"
        return [*entering, self._arrow(_across(b["input"], b["array"], 0.5), word)] + (
            self._arrows_of_all()
        )

    def _gaps(self) -> list[float]:
        """Return the middle of the gap after each column but the last."""
        step = COLUMN_WIDTH + COLUMN_GAP
        return [MARGIN + i * step + COLUMN_WIDTH + COLUMN_GAP / 2 for i in range(3)]

    def _arrows_of_images(self) -> list[tuple[list[tuple[float, float]], _Words | None]]:
        """Return the ways of images, between blocks that only a chip has which is given them."""
        b, plan, gap = self.boxes, self.plan, self._gaps()
        word, window = plan.target.channels, plan.target.window
        above = TOP - 22
        ends = b["weights"].bottom + ROW_GAP / 2  # between the second row and the third
        array = b["array"]
        return [
            self._arrow(_across(b["input"], b["maps"], 0.35), f"{word}"),
            self._arrow(
                [(b["maps"].middle, b["maps"].bottom), (b["maps"].middle, b["window"].y)], f"{word}"
            ),
            self._arrow(_across(b["window"], array, 0.5), f"{window}"),
            self._arrow(
                [(array.right, b["signs"].down(0.5)), (b["signs"].x, b["signs"].down(0.5))],
                f"{plan.target.lanes} sums",
            ),
            self._arrow(
                [
                    (b["signs"].middle, b["signs"].y),
                    (b["signs"].middle, above),
                    (b["maps"].middle, above),
                    (b["maps"].middle, b["maps"].y),
                ],
                f"{plan.target.lanes} bits of the next map",
                at=1,
            ),
            self._arrow(
                [
                    (b["maps"].x, b["maps"].down(0.75)),
                    (gap[0] + 14, b["maps"].down(0.75)),
                    (gap[0] + 14, b["lgap"].down(0.5)),
                    (b["lgap"].x, b["lgap"].down(0.5)),
                ]
            ),
            self._arrow(_across(b["lgap"], array, 0.5), f"{word}"),
            self._arrow(
                [
                    (b["weights"].right, b["weights"].down(0.7)),
                    (gap[0] - 4, b["weights"].down(0.7)),
                    (gap[0] - 4, ends - 7),
                    (array.x, ends - 7),
                ],
                f"{window}",
                at=2,
            ),
        ]

    def _arrows_of_all(self) -> list[tuple[list[tuple[float, float]], _Words | None]]:
        """Return the ways of any chip."""
        b, plan, gap = self.boxes, self.plan, self._gaps()
        word, window = plan.target.channels, plan.target.window
        ends = b["classifier"].y - ROW_GAP / 2  # between the second row and the third
        array, error, batch = b["array"], b["error"], b["batch"]
        low = array.down(0.93)
        return [
            self._arrow(
                [
                    (b["classifier"].right, b["classifier"].down(0.25)),
                    (gap[0] - 4, b["classifier"].down(0.25)),
                    (gap[0] - 4, ends + 7),
                    (array.x, ends + 7),
                ],
                f"{window}",
                at=2,
            ),
            self._arrow(
                [(array.right, b["dense"].down(0.5)), (b["dense"].x, b["dense"].down(0.5))], "1 sum"
            ),
            self._arrow(
                [(b["dense"].middle, b["dense"].bottom), (b["dense"].middle, b["replay"].y)],
                f"latent, {word}",
            ),
            self._arrow(
                [
                    (b["replay"].x, b["replay"].down(0.8)),
                    (gap[2] + 10, b["replay"].down(0.8)),
                    (gap[2] + 10, batch.down(0.25)),
                    (batch.right, batch.down(0.25)),
                ]
            ),
            self._arrow([(batch.middle, batch.y), (batch.middle, array.bottom)], "samples, deltas"),
            self._arrow(
                [
                    (array.right, low),
                    (gap[2] - 8, low),
                    (gap[2] - 8, error.y - ROW_GAP / 3),
                    (error.middle, error.y - ROW_GAP / 3),
                    (error.middle, error.y),
                ],
                "logits",
                at=2,
            ),
            self._arrow([(error.x, error.down(0.75)), (batch.right, batch.down(0.75))]),
            self._arrow(
                [
                    (array.x, low),
                    (gap[1], low),
                    (gap[1], b["update"].down(0.4)),
                    (b["update"].right, b["update"].down(0.4)),
                ],
                "gradients",
                at=1,
            ),
            self._arrow(
                [
                    (b["update"].x, b["update"].down(0.3)),
                    (gap[0] + 2, b["update"].down(0.3)),
                    (gap[0] + 2, b["classifier"].down(0.75)),
                    (b["classifier"].right, b["classifier"].down(0.75)),
                ]
            ),
            self._arrow(_across(b["random"], b["update"], 0.75)),
        ]

    @staticmethod
    def _arrow(
        points: list[tuple[float, float]], label: str = "", at: int = 0
    ) -> tuple[list[tuple[float, float]], _Words | None]:
        """Add a way through points, and its label, which stands on its piece number `at`."""
        if not label:
            return points, None
        (x, y), (u, v) = points[at], points[at + 1]
        if x == u:
            return points, _Words(x + 5, (y + v) / 2 + 4, label, "soft")
        return points, _Words((x + u) / 2, y - 4, label, "soft", centred=True)


def _across(left: _Box, right: _Box, share: float) -> list[tuple[float, float]]:
    """Draw a way from a block straight to the one beside it, at a height of the left one."""
    return [(left.right, left.down(share)), (right.x, left.down(share))]
