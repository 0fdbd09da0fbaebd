"""Draws the timing strips of the documents: `python docs/timing_strips.py` renews `docs/timing/*.svg`.

What a strip shows comes from the chip: its memory and its interrupt are run in Amaranth's simulator, and the other
strips are read from the trace of a simulated `tiny` chip in stepping mode. Stages that the trace leaves out lie between
two that it has; `_expect` refuses a strip whose trace disagrees with them. WaveDrom draws them, without a network.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import wavedrom

from xnoreplay.sim.run import Result, Simulator
from xnoreplay.spec import bundle, plan, presets

FOLDER = Path(__file__).parent / "timing"
EMPTY = "x"  # how WaveDrom names a cycle in which nothing happens
PLAIN, WARM, COLD = "plain", "warm", "cold"
GROUNDS = {
    "default": {PLAIN: "=", WARM: "4", COLD: "5"},
    "narrow": {PLAIN: "5", WARM: "=", COLD: "3"},
}
"""How each of WaveDrom's skins names a value on one of three grounds."""

COLOURS = {
    # name: in the light, in the dark, and what WaveDrom's skins call it
    "ink": ("#1f2933", "#e4e7eb", ("#000000", "#000")),
    "frame": ("#ffffff", "#12181f", ("#ffffff", "#fff")),
    "muted": ("#616e7c", "#a7b3c2", ("#aaa",)),
    "name": ("#0b4f8a", "#8fc7f5", ("#0041c4",)),
    "yellow": ("#fdf6d8", "#4a431c", ("#ffffb4",)),
    "warm": ("#fdf1dc", "#4d3a17", ("#ffe0b9",)),
    "cold": ("#e3f0fb", "#173a57", ("#b9e0ff",)),
}


class Disagreement(Exception):
    """A trace does not show a stage where the strip would draw it."""


def strips() -> dict[str, str]:
    """The SVG of every strip, by the name of its file without the ending."""
    chip = _chip()
    image = np.zeros((chip.plan.network.height, chip.plan.network.width, 1), np.uint8)
    shown = chip.infer(image)
    for label in (0, 1, 0, 1):
        chip.insert(image, label)
    chip.stage(image, 2)
    session = chip.retrain()
    return {
        "array": _array(chip, shown),
        "tiles": _tiles(chip, shown),
        "memory": _memory(),
        "error": _error(session, chip.state.seen),
        "interrupt": _interrupt(),
    }


def _chip() -> Simulator:
    preset = presets.load("tiny")
    compiled = plan.compile(preset.network, preset.target)
    chip = Simulator(compiled, bundle.random(preset.network, 0), "step", trace=True)
    chip.arrive(preset.scenario.base)
    return chip


# ------------------------------------------------------------------------------ the strips


def _array(chip: Simulator, shown: Result) -> str:
    """One word after another through the array, in the hidden layer of an image."""
    lines = _phase(shown, "hidden")
    reads = _cycles(lines, r" cls\.top\.r@(\d+)")
    rows = len(reads)
    _expect(reads, range(rows))
    _expect(_cycles(lines, r" x=(\w+)/"), range(2, rows + 2))
    _expect(_cycles(lines, r" acc=(\S+)"), range(5, rows + 5))
    words = chip.memory_ints("cls.top")
    sums = _cycles(lines, r" acc=(\S+)")
    stages = [
        ("address of row", 0, list(reads.values()), COLD),
        ("weights in hex", 1, [f"{words[int(a)]:x}" for a in reads.values()], COLD),
        ("x of row", 2, list(reads.values()), PLAIN),
        ("counts of row", 3, list(reads.values()), PLAIN),
        ("nodes of row", 4, list(reads.values()), PLAIN),
        ("accumulator", 5, list(sums.values()), WARM),
    ]
    signals = [
        _row(
            name, {first + i: text for i, text in enumerate(texts)}, rows + 6, ground, joined=False
        )
        for name, first, texts, ground in stages
    ]
    return _svg(signals)


def _tiles(chip: Simulator, shown: Result, cycles: int = 50) -> str:
    """The first tiles of a convolution: the next one's weights come while windows stream."""
    op = chip.plan.convolutions[0]
    lines = _phase(shown, op.name)
    lanes, slots = op.lanes, 2 * op.beats
    weights = _cycles(lines, r" weights\.fe\.r@(\d+)")
    loaded = _cycles(lines, r" lane\.file\.w@(\d+)")
    windows = _cycles(lines, r" x=\w+/(\d+)/")
    outputs = _cycles(lines, r" act\.pong\.w@(\d+)")
    _expect(loaded, [cycle + 1 for cycle in weights])
    _expect(outputs, [cycle + 3 for cycle in windows])
    tile = {cycle: (int(a) - op.weight_base) // (lanes * op.beats) for cycle, a in weights.items()}
    signals = [
        _row("weights read", {c: f"tile {t}" for c, t in tile.items()}, cycles, COLD),
        *(
            _row(
                f"lane file slot {slot}",
                {
                    c + 1: f"tile {t}"
                    for c, t in tile.items()
                    if int(loaded[c + 1]) % slots // op.beats == slot
                },
                cycles,
                COLD,
            )
            for slot in range(2)
        ),
        _row(
            "map read",
            {c: f"pixels for tile {_nth(c, op)}" for c in _cycles(lines, r" act\.ping\.r@(\d+)")},
            cycles,
            PLAIN,
        ),
        _row(
            "windows (x)",
            {c: f"tile {i // op.period}, against slot {windows[c]}" for i, c in enumerate(windows)},
            cycles,
            PLAIN,
        ),
        _row(
            "map written",
            {c: f"tile {i // op.period}" for i, c in enumerate(outputs)},
            cycles,
            WARM,
        ),
    ]
    return _svg(signals, "narrow")


def _nth(cycle: int, op: plan.Convolution) -> int:
    """The tile to which a read of the source map belongs."""
    return (cycle - op.load) // op.period


def _memory() -> str:
    """A read, a read beside a write of another row, which is read next, and a word that is held."""
    from amaranth.sim import Simulator as Clocks

    from xnoreplay.hw.parts.memory import Ram

    # (ren, raddr, wen, waddr, wdata) in each cycle
    script = [
        (0, 0, 1, 3, 0xA),
        (1, 3, 0, 0, 0),
        (1, 3, 1, 5, 0xB),
        (1, 5, 0, 0, 0),
        (0, 0, 1, 5, 0xC),
        (0, 0, 0, 0, 0),
        (1, 5, 0, 0, 0),
        (0, 0, 0, 0, 0),
    ]
    ram = Ram(8, 4)
    words: list[int] = []

    async def drive(clocks):
        for ren, raddr, wen, waddr, wdata in script:
            for signal, value in (
                (ram.ren, ren),
                (ram.raddr, raddr),
                (ram.wen, wen),
                (ram.waddr, waddr),
                (ram.wdata, wdata),
            ):
                clocks.set(signal, value)
            words.append(clocks.get(ram.rdata))
            await clocks.tick()

    clocks = Clocks(ram)
    clocks.add_clock(1e-6)
    clocks.add_testbench(drive)
    clocks.run()
    cycles = range(len(script))
    read, written = ([bool(line[i]) for line in script] for i in (0, 2))
    first = read.index(True) + 1  # nothing was read before
    signals = [
        {"name": "clk", "wave": [("p", None, 0)] * len(script)},
        {"name": "ren", "wave": _levels(read)},
        _row("raddr", {c: str(script[c][1]) for c in cycles if read[c]}, len(script), COLD),
        _row("rdata", {c: f"{words[c]:X}" for c in cycles if c >= first}, len(script), WARM),
        {"name": "wen", "wave": _levels(written)},
        _row("waddr", {c: str(script[c][3]) for c in cycles if written[c]}, len(script), COLD),
        _row("wdata", {c: f"{script[c][4]:X}" for c in cycles if written[c]}, len(script), PLAIN),
    ]
    return _svg(signals)


def _interrupt() -> str:
    """The pins of a chip on AXI: a sample of three transfers, the end of its command, a read of STATUS."""
    from amaranth.sim import Simulator as Clocks

    from xnoreplay.hw import bridges
    from xnoreplay.spec.registers import Register

    transfers, cycles = 3, range(12)
    # The chip takes a transfer in the cycles of both.
    offered = {1, 2, 4, 5}
    wanted = {2, 3, 4, 5}
    taken = sorted(offered & wanted)
    busy, looks = range(1, 8), {10}
    ports = bridges.AxiPorts(1, transfers)
    shown: list[tuple[bool, bool]] = []

    async def drive(clocks):
        for cycle in (None, *cycles):  # first the reset
            clocks.set(ports.aresetn, cycle is not None)
            clocks.set(ports.chip_busy, cycle in busy)
            clocks.set(ports.s_axis_pixel_tvalid, cycle in offered)
            clocks.set(ports.s_axis_pixel_tlast, cycle == taken[-1])
            clocks.set(ports.ready, cycle in wanted)
            clocks.set(ports.s_axil_araddr, Register.STATUS)
            clocks.set(ports.s_axil_arvalid, cycle in looks)
            clocks.set(ports.s_axil_arready, 1)
            clocks.set(ports.aclk, 0)
            await clocks.delay(1e-6)
            shown.append((bool(clocks.get(ports.irq)), bool(clocks.get(ports.pixel_error))))
            clocks.set(ports.aclk, 1)
            await clocks.delay(1e-6)

    clocks = Clocks(ports)
    clocks.add_testbench(drive)
    clocks.run()
    irq, error = zip(*shown[1:], strict=True)
    _expect([cycle for cycle in cycles if irq[cycle]], range(busy.stop + 1, max(looks) + 1))
    _expect([cycle for cycle in cycles if error[cycle]], [])
    number = {cycle: str(i) for i, cycle in enumerate(taken)}
    data = {c: number[next(t for t in taken if t >= c)] for c in offered}
    signals = [
        {"name": "aclk", "wave": [("p", None, 0)] * len(cycles)},
        {"name": "tvalid", "wave": _levels(c in offered for c in cycles)},
        {"name": "tready", "wave": _levels(c in wanted for c in cycles)},
        _row("tdata", data, len(cycles), COLD),
        {"name": "tlast", "wave": _levels(c == taken[-1] for c in cycles)},
        {"name": "busy", "wave": _levels(c in busy for c in cycles)},
        {"name": "irq", "wave": _levels(irq)},
        _row("araddr", dict.fromkeys(looks, f"{int(Register.STATUS)}"), len(cycles), WARM),
    ]
    return _svg(signals)


def _error(session: Result, classes: int) -> str:
    """The errors of one sample: its logits are read twice."""
    length = 2 * classes + 13
    lines = _phase(session, "error")[: length + 1]
    logits = list(_cycles(lines, r" batch\.logit\.r@(\d+)"))
    errors = list(_cycles(lines, r" batch\.delta\.w@(\d+)"))
    first, second = range(classes), range(classes + 8, 2 * classes + 8)
    _expect(logits, [*first, *second, length])  # the last is the next sample's
    _expect(errors, [cycle + 5 for cycle in second])
    label = _cycles(lines, r" batch\.label\.r@(\d+)")
    weight = _cycles(lines, r" table\.weight\.r@(\d+)")
    _expect([*label, *weight], [0, length, 1])

    def stage(name: str, *cycles: Iterable[int], ground: str = PLAIN) -> dict:
        texts = {c: f"{i}" for part in cycles for i, c in enumerate(part)}
        return _row(name, texts, length, ground)

    def later(part: Iterable[int], by: int) -> list[int]:
        return [cycle + by for cycle in part]

    signals = [
        stage("logits of class", first, second, ground=COLD),
        _row("label, weight", {0: "y", 1: "w"}, length, COLD),
        stage("exponential", later(first, 1), later(second, 1)),
        stage("sum takes it in", later(first, 2)),
        _row("exponent of the sum", {classes + 2: "l"}, length, PLAIN),
        _row(
            "reciprocal, bit",
            {classes + 3 + i: f"{4 - i}" for i in range(5)},
            length,
            PLAIN,
        ),
        stage("product with it", later(second, 2)),
        stage("probability", later(second, 3)),
        stage("error (p - [c = y]) w", later(second, 4)),
        stage("rounded, and written", later(second, 5), ground=WARM),
    ]
    return _svg(signals)


# ------------------------------------------------------------------------------ reading a trace


def _phase(result: Result, name: str) -> list[str]:
    """The trace's lines of the first phase of that name."""
    number = [phase for phase, _ in result.phases].index(name)
    starts = [cycle for _, cycle in result.phases]
    before = starts[number] - int(result.trace[0].split()[0])
    end = starts[number + 1] - starts[number] if number + 1 < len(starts) else None
    return result.trace[before:][:end]


def _cycles(lines: list[str], pattern: str) -> dict[int, str]:
    """What a pattern's group found, by the cycle of the phase from 0."""
    found = {cycle: re.search(pattern, line) for cycle, line in enumerate(lines)}
    return {cycle: match[1] for cycle, match in found.items() if match}


def _expect(have: Iterable[int], want: Iterable[int]) -> None:
    have, want = list(have), list(want)
    if have != want:
        raise Disagreement(f"a strip would show cycles {want}, but the trace has {have}")


# ------------------------------------------------------------------------------ drawing


def _row(
    name: str, values: Mapping[int, str], cycles: int, ground: str, joined: bool = True
) -> dict:
    """A signal with the text of each cycle that has one; equal neighbours share a box if `joined`."""
    wave = [
        (ground, values.get(cycle), 0 if joined or cycle not in values else cycle)
        for cycle in range(cycles)
    ]
    return {"name": name, "wave": wave}


def _levels(bits: Iterable[bool]) -> list[tuple[str, None, int]]:
    return [(str(int(bit)), None, 0) for bit in bits]


def _svg(signals: list[dict], skin: str = "default") -> str:
    """The picture of some signals, with the number of each cycle above, for light and dark pages.

    The number k stands at the edge that begins cycle k. A cycle without anything stands before cycle 0, since
    WaveDrom misplaces the text of the first one.

    Parameters
    ----------
    signals : list of dict
        `name`, and `wave`: for each cycle (ground or WaveDrom's symbol, text or None, number of its box). Neighbours
        that are equal in all three are drawn as one.
    skin : str
        A key of `GROUNDS`: "narrow" takes half the width and numbers every fifth cycle.
    """
    drawn = []
    for signal in signals:
        wave, texts, last = EMPTY, [], (EMPTY, None, 0)
        for kind, text, box in signal["wave"]:
            ground = kind in GROUNDS[skin]
            symbol = kind if not ground else GROUNDS[skin][kind] if text else EMPTY
            if (symbol, text, box) == last:
                wave += "."
            else:
                wave += symbol
                texts += [text] * bool(text)
            last = symbol, text, box
        drawn.append({"name": signal["name"], "wave": wave, "data": texts})
    source = {"signal": drawn, "head": {"tick": -1}, "config": {"skin": skin}}
    text = wavedrom.render(json.dumps(source)).tostring()
    every = 5 if skin == "narrow" else 1
    text = re.sub(
        r'<text class="muted"[^>]*>(-?\d+)</text>',
        lambda tick: tick[0] if int(tick[1]) >= 0 and int(tick[1]) % every == 0 else "",
        text,
    )
    return _in_both_lights(_without_unused(text)) + "\n"


def _without_unused(svg: str) -> str:
    """The picture without the shapes that it does not use, which are most of WaveDrom's skin."""
    used = set(re.findall(r'xlink:href="#([^"]+)"', svg))
    start, end = svg.index("<defs>") + len("<defs>"), svg.index("</defs>")
    shapes = re.sub(
        r'<g id="([^"]+)">.*?</g>',
        lambda shape: shape[0] if shape[1] in used else "",
        svg[start:end],
        flags=re.DOTALL,
    )
    return svg[:start] + shapes + svg[end:]


def _in_both_lights(svg: str) -> str:
    """The picture with colours that follow the reader's light or dark theme, on a ground of their own."""
    start, end = svg.index("<style"), svg.index("</style>")
    style = svg[start:end]
    for name, (_, _, theirs) in COLOURS.items():
        for colour in theirs:
            style = re.sub(rf"{colour}\b", f"var(--{name})", style)
    style = style.replace("text{", "text{fill:var(--ink);").replace("Helvetica", "sans-serif")
    light = "".join(f"--{name}:{c[0]};" for name, c in COLOURS.items())
    dark = "".join(f"--{name}:{c[1]};" for name, c in COLOURS.items())
    rules = f"svg{{{light}background:var(--frame)}}\n@media(prefers-color-scheme:dark){{svg{{{dark}}}}}\n"
    return svg[:start] + style.replace("<![CDATA[", f"<![CDATA[\n{rules}") + svg[end:]


def main() -> None:
    """Write every strip as an SVG into `docs/timing`."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in strips().items():
        (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
