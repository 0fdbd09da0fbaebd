"""Draws the sequence diagrams of `docs/host.md`: `python docs/sequence_diagrams.py` renews `docs/sequences/*.svg`.

What a diagram shows was recorded: the page's own Python runs on a simulated `tiny` chip, over a bus that writes down each
transfer and the cycles in between. A diagram is an SVG file of its own, which needs no program of the reader's.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from xnoreplay.flow.chip.generate import hex_text
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, frames, host_map, image, plan, presets, registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.frames import Code
from xnoreplay.spec.registers import Register, Response, Status

DOCS = Path(__file__).parent
FOLDER, PAGE = DOCS / "sequences", DOCS / "host.md"
LISTING = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
UNTIL_IDLE = "read STATUS until BUSY is 0"
SHOWN = {Register.ID.name: "{:#x}", Register.PREDICTION.name: "class {}"}
"""Registers whose word a diagram shows; of others it shows the answer."""


@dataclass(frozen=True)
class Arrow:
    """One exchange: what goes from the host to the chip, and what comes back.

    Parameters
    ----------
    text : str
    answer : str
        "" where none comes.
    busy : int
        Cycles of a command that ends with this exchange: the chip is shown at work since the one that began it. -1 where
        a picture has no number.
    begins : bool
        The chip is at work from this exchange on.
    back : bool
        It goes from the chip to the host, as the interrupt does.
    parts : tuple of str
        Registers and memories, where neighbours that do the same are drawn as one.
    """

    text: str
    answer: str = ""
    busy: int = 0
    begins: bool = False
    back: bool = False
    parts: tuple[str, ...] = ()


def sequences() -> dict[str, str]:
    """The SVG of every diagram, by the name of its file without the ending."""
    preset = presets.load("tiny")
    compiled = plan.compile(preset.network, preset.target)
    network = bundle.random(preset.network, 0)
    # A chip at power-on: its memories hold nothing of the network yet.
    bus = Recorder(Simulator(compiled, bundle.random(preset.network, 99)))
    with _laid_out(compiled, network):
        return _recorded(bus, compiled)


def _recorded(bus: "Recorder", compiled: plan.Plan) -> dict[str, str]:
    """The SVG of every diagram, from calls of the page's functions in an order that a chip allows."""
    page, record = listing(bus), bus.record
    size = page["sample_bytes"]
    samples = [bytes([16 * (i % 2)] * (size // 2) + [8] * (size - size // 2)) for i in range(4)]
    drawn = {
        "power_on": [
            Arrow("reset for a clock edge", begins=True),
            *_busy(record(page["power_on"]), compiled.replay.capacity),
        ],
        "load": record(page["load"], 2),
        "remember": record(page["remember"], samples[0], 1),
        "classify": record(page["classify"], samples[1]),
    }
    drawn["interrupt"] = _interrupted(drawn["classify"])
    drawn["abort"] = record(page["start_and_abort"])
    drawn["learn"] = record(page["enrol"], samples[2], 2) + record(page["learn"])
    saved: list[dict] = []
    drawn["save"] = record(lambda: saved.append(page["save"]()))
    drawn["restore"] = record(page["restore"], saved[0])
    drawn["refused"] = record(page["refused"])
    pictures = {name: _svg(arrows, "chip") for name, arrows in drawn.items()}
    return pictures | {"frames": _svg(_frames(samples[1]), "bridge")}


def listing(bus: Any, printed: Callable | None = None) -> dict[str, Any]:
    """Run the Python of the page on a bus; its names.

    Parameters
    ----------
    bus : Bus
        As the page describes it.
    printed : callable, optional
        Is called as `print` is, where the page's own program is to run; without it, its functions are made alone.
    """
    pieces = LISTING.findall(PAGE.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"bus": bus, "print": printed}
    for piece in pieces if printed else pieces[:-1]:
        exec(compile(piece, str(PAGE), "exec"), names)
    return names


@contextmanager
def _laid_out(compiled: plan.Plan, network: bundle.Bundle) -> Iterator[None]:
    """A working folder with what the page reads of the folder that `generate` leaves."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "runs/tiny/generate"
        (folder / "memories").mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps(host_map.host_map(compiled)))
        for memory, rows in image.load(compiled, network).items():
            (folder / "memories" / f"{memory}.hex").write_text(hex_text(rows))
        os.chdir(name)
        try:
            yield
        finally:
            os.chdir(before)


# ------------------------------------------------------------------------------ recording


class Recorder:
    """A bus to a simulated chip that writes down what goes over it."""

    def __init__(self, chip: Simulator) -> None:
        self._bus, self._chip = SimulatedBus(chip), chip
        self._arrows: list[Arrow] = []
        self._began: int | None = None  # the counter of cycles before the command that runs
        self._windows = registers.windows(chip.plan.memories)

    def record(self, call: Callable, *arguments: Any) -> list[Arrow]:
        """What a call sends and receives."""
        self._arrows = []
        call(*arguments)
        return self._arrows

    def read(self, address: int) -> tuple[Response, int]:
        """Read a word."""
        answer, word = self._bus.read(address)
        if address == Register.STATUS:
            names = [bit.name for bit in Status if word >> bit & 1]
            told = ", ".join(names) or "0"
            if Status.BUSY.name in names:
                self._add(Arrow("read STATUS", told))
            else:
                self._add(self._ended(Arrow(UNTIL_IDLE, told)))
        else:
            self._exchange("read", address, answer, word)
        return answer, word

    def write(self, address: int, word: int) -> Response:
        """Write a word."""
        before = self._chip.counters["cycles"]
        answer = self._bus.write(address, word)
        if address == Register.COMMAND:
            command = Command(word & 255)
            argument = f", argument {word >> 16}" if command.argument else ""
            taken = answer is Response.OKAY
            self._began = before if taken else self._began
            self._add(Arrow(f"write COMMAND: {command.name}{argument}", answer.name, begins=taken))
        elif address == Register.ABORT:
            self._began = None  # how long it ran is the host's choice
            self._add(Arrow("write ABORT", answer.name, busy=-1))
        else:
            self._exchange("write", address, answer, word)
        return answer

    def stream(self, data: bytes) -> None:
        """Offer a sample."""
        self._bus.stream(data)
        self._add(Arrow(f"a sample on the stream, {len(data)} bytes"))

    def pause(self) -> None:
        """Wait; a simulated chip never needs it."""
        self._bus.pause()

    def _ended(self, arrow: Arrow) -> Arrow:
        if self._began is None:
            return arrow
        cycles, self._began = self._chip.counters["cycles"] - self._began, None
        return replace(arrow, busy=cycles)

    def _exchange(self, way: str, address: int, answer: Response, word: int) -> None:
        """Write down a transfer; one that does what the transfer before did is drawn with it."""
        name = self._name(address)
        shown = answer is Response.OKAY and way == "read" and name in SHOWN
        told = SHOWN[name].format(word) if shown else answer.name
        last = self._arrows[-1] if self._arrows else Arrow("")
        parts = (name,)
        alike = (way, told, "." in name)
        if last.parts and alike == (last.text.split()[0], last.answer, "." in last.parts[0]):
            parts = last.parts + parts
            self._arrows.pop()
        names = list(dict.fromkeys(parts))
        words = f": {len(parts)} words" if len(parts) > 1 else ""
        self._add(Arrow(f"{way} {', '.join(names)}{words}", told, parts=parts))

    def _name(self, address: int) -> str:
        """The register or the memory at an address, or the address."""
        if address in set(Register):
            return Register(address).name
        for window in self._windows:
            if window.base <= address < window.base + (1 << registers.WINDOW_SHIFT):
                return window.memory.name
        return f"{address:#x}"

    def _add(self, arrow: Arrow) -> None:
        self._arrows.append(arrow)


def _busy(arrows: list[Arrow], cycles: int) -> list[Arrow]:
    return [replace(arrows[0], busy=cycles), *arrows[1:]]


def _interrupted(arrows: list[Arrow]) -> list[Arrow]:
    """The same command with a host that sleeps until the interrupt in place of its polls."""
    found = [Arrow("read STATUS", "no interrupt is pending")]
    for arrow in arrows:
        if arrow.text == UNTIL_IDLE:
            found.append(Arrow("irq rises: the host wakes", busy=arrow.busy, back=True))
            arrow = Arrow("read STATUS", f"{arrow.answer}; irq falls")
        found.append(arrow)
    return found


def _frames(sample: bytes) -> list[Arrow]:
    """A command behind a serial line, byte by byte."""

    def word(value: int) -> str:
        return frames.answer(Code.OKAY, value.to_bytes(4, "little")).hex(" ")

    taken = frames.answer(Code.OKAY).hex(" ")
    start = frames.write(Register.COMMAND, Command.INFER)
    status = frames.read(Register.STATUS)
    return [
        Arrow(f"read ID: {frames.read(Register.ID).hex(' ')}", word(registers.ID)),
        Arrow(f"write COMMAND: {start.hex(' ')}", taken, begins=True),
        Arrow(f"pixels: {frames.pixels(sample[:4]).hex(' ')}", taken),
        Arrow(f"read STATUS: {status.hex(' ')}", word(1 << Status.BUSY)),
        Arrow("the other pixels, STATUS until BUSY is 0", word(1 << Status.FINISHED), busy=-1),
    ]


# ------------------------------------------------------------------------------ drawing

WIDTH, HOST, CHIP = 760, 60, 600
ABOVE, STEP, LINE = 40, 46, 15  # heights, in pixels: of the head, an exchange, a line of text
CHARACTERS = 72  # of a line above an arrow
STYLE = """<style>
svg{--ink:#1f2933;--frame:#ffffff;--muted:#616e7c;--work:#fdf1dc;background:var(--frame);font:13px sans-serif}
@media(prefers-color-scheme:dark){svg{--ink:#e4e7eb;--frame:#12181f;--muted:#a7b3c2;--work:#4d3a17}}
text{fill:var(--ink)}.back{fill:var(--muted)}line{stroke:var(--ink)}line.life,line.back{stroke:var(--muted)}
line.life{stroke-dasharray:2 4}line.back{stroke-dasharray:5 3}path{fill:var(--ink)}path.back{fill:var(--muted)}
rect{fill:var(--work);stroke:var(--ink)}
</style>"""


def _svg(arrows: list[Arrow], other: str) -> str:
    """The picture of exchanges between the host and the chip, or the bridge before it, from top to bottom."""
    shapes: list[str] = []
    y, began = ABOVE, None
    for arrow in arrows:
        lines = _wrapped(arrow.text)
        y += LINE * (len(lines) - 1)
        at = y + LINE
        for i, line in enumerate(lines):
            shapes.append(_text((HOST + CHIP) / 2, at - 5 - LINE * (len(lines) - 1 - i), line))
        shapes.append(_arrow(at, arrow.back, ""))
        if arrow.answer:
            shapes.append(_text((HOST + CHIP) / 2, at + 15, arrow.answer, "back"))
            shapes.append(_arrow(at + 20, True, "back"))
        if arrow.busy:
            assert began is not None
            # Under the arrows, which end at its edge.
            end = at + 20 if arrow.answer and not arrow.back else at
            shapes.insert(
                0, f'<rect x="{CHIP - 5}" y="{began}" width="10" height="{end - began}"/>'
            )
            told = f"busy, {arrow.busy:,} cycles" if arrow.busy > 0 else "busy"
            shapes.append(_text(CHIP + 12, (began + end) / 2 + 4, told, anchor="start"))
            began = None
        if arrow.begins:
            began = at
        y += STEP if arrow.answer else STEP - 18
    height = y + 12
    lives = [
        f'<line class="life" x1="{x}" y1="28" x2="{x}" y2="{height - 8}"/>' for x in (HOST, CHIP)
    ]
    heads = [_text(HOST, 20, "host"), _text(CHIP, 20, other)]
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
    return "\n".join([start, STYLE, *lives, *heads, *shapes, "</svg>", ""])


def _wrapped(text: str) -> list[str]:
    """A text in lines of `CHARACTERS` at most, broken between words."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= CHARACTERS:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "middle") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _arrow(y: int, back: bool, kind: str) -> str:
    """An arrow between the two lives; back: from the chip to the host."""
    named = f' class="{kind}"' if kind else ""
    left, right = HOST + 2, CHIP - 6
    head = f"M{left} {y}l8 -4v8z" if back else f"M{right} {y}l-8 -4v8z"
    return f'<line{named} x1="{left}" y1="{y}" x2="{right}" y2="{y}"/><path{named} d="{head}"/>'


def main() -> None:
    """Write every diagram as an SVG into `docs/sequences`."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in sequences().items():
        (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
