"""Development boards: their FPGA, and what the pins of a chip are wired to.

Pins and oscillators are those of the package amaranth-boards; a table here says which of them a chip takes. The sites
that a package has, and so that a user may choose, are those of the place and route tool's own database.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any

from xnoreplay.flow.chip import asic, families
from xnoreplay.flow.chip.devices import ECP5, GOWIN, Device
from xnoreplay.spec.errors import SpecError, ToolError, require, shown
from xnoreplay.spec.plan import Plan

SIGNALS = ("clk", "button", "uart_rx", "uart_tx", "busy")
"""Ports of `hw.board.Board` that are each on a pin."""
PACKAGES = {"BG381": "CABGA381", "MG285": "CSFBGA285"}
"""What Project Trellis calls a package, by what Lattice does."""


DEVICES = {"LFE5U-85F": ECP5, "GW5AST-138C": GOWIN}


@dataclass(frozen=True)
class Pin:
    """A pin of an FPGA on its board.

    Parameters
    ----------
    site : str
        Its name on the package.
    inverted : bool
        Whether a button that is down, or a light that is on, is 0 there.
    attributes : tuple of (str, str)
        Of its buffer, such as IO_TYPE.
    """

    site: str
    inverted: bool = False
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Board:
    """A board.

    Parameters
    ----------
    name, title : str
    device : str
        Of `DEVICES`.
    package, speed : str
        Package and speed grade, in nextpnr's words.
    oscillator : int
        Hz at ``clk``.
    pins : dict of str to Pin
        For each of `SIGNALS`, and ``high_0`` and so on for outputs that must be 1.
    load : str
        Command that loads ``{}``, the bitstream, once.
    serial : str
        How a computer reaches the serial line.
    """

    name: str
    title: str
    device: str
    package: str
    speed: str
    oscillator: int
    pins: dict[str, Pin]
    load: str
    serial: str

    @property
    def fpga(self) -> Device:
        """Its FPGA."""
        return replace(
            DEVICES[self.device], title=self.title, package=self.package, speed=self.speed
        )

    @property
    def high(self) -> tuple[str, ...]:
        """Names of the pins that must be 1."""
        return tuple(name for name in self.pins if name not in SIGNALS)


@dataclass(frozen=True)
class Known:
    """Where amaranth-boards has a board, and which of its resources a chip takes.

    Parameters
    ----------
    title, module, platform : str
        The board's name; and those of the module, and of its class.
    resources : dict of str to tuple
        For each pin: name and number of a resource, and the names of a part where it has parts; or "connector", name and
        number of a connector, and the name of its pin.
    load, serial : str
        As of `Board`.
    """

    title: str
    module: str
    platform: str
    resources: dict[str, tuple]
    load: str
    serial: str


BOARDS = {
    "ulx3s-85f": Known(
        "ULX3S with LFE5U-85F",
        "ulx3s",
        "ULX3S_85F_Platform",
        {
            "clk": ("clk25", 0),
            "button": ("button_fire", 0),
            "uart_rx": ("uart", 0, "rx"),
            "uart_tx": ("uart", 0, "tx"),
            "busy": ("led", 0),
            # The ESP32 beside the FPGA starts its boot loader while this pin is 0.
            "high_0": ("esp32", 0, "gpio0"),
        },
        "openFPGALoader -b ulx3s {}",
        "its USB socket US1",
    ),
    "orangecrab-85f": Known(
        "OrangeCrab r0.2 with LFE5U-85F",
        "orangecrab_r0_2",
        "OrangeCrabR0_2_85FPlatform",
        {
            "clk": ("clk", 0),
            "button": ("button", 0),
            # LiteX has its serial line there, too: feather_serial of litex_boards.platforms.gsd_orangecrab.
            "uart_rx": ("connector", "io", 0, "0"),
            "uart_tx": ("connector", "io", 0, "1"),
            "busy": ("rgb_led", 0, "g"),
        },
        "dfu-util -a 0 -D {}",
        "an adapter of 3.3 V: its TX at pin 0, its RX at pin 1",
    ),
    "tang-mega-138k": Known(
        "Tang Mega 138K Pro Dock with GW5AST-138C",
        "tang_mega_138k_pro_dock",
        "TangMega138kProDockPlatform",
        {
            "clk": ("clk50", 0),
            "button": ("button", 0),
            # amaranth-boards 0.0.21 has them the other way round: LiteX's sipeed_tang_mega_138k_pro and Sipeed's own
            # example pro_ddr_test have the FPGA's output at P15, and LiteX its input at N16.
            "uart_rx": ("uart", 0, "tx"),
            "uart_tx": ("uart", 0, "rx"),
            "busy": ("led", 0),
        },
        "openFPGALoader -b tangmega138k {}",
        "its USB socket of the debugger",
    ),
}


def load(name: str, pins: Iterable[str] = ()) -> Board:
    """Return a board.

    Parameters
    ----------
    name : str
        Of `BOARDS`.
    pins : iterable of str
        SIGNAL=SITE each, for signals that are wired elsewhere.

    Raises
    ------
    SpecError
        For a pin without a site, a board or a signal that is unknown, a site that the package has not, or one with two signals.
    ToolError
        Where amaranth-boards or nextpnr is missing, or has no such board.
    """
    require.choice("board", name, BOARDS)
    board = _read(name)
    chosen = dict(board.pins)
    for text in pins:
        signal, equals, site = text.partition("=")
        if not (equals and site):
            own = board.pins["uart_rx"].site
            raise SpecError(f"--pin must be SIGNAL=SITE, such as uart_rx={own}, not {shown(text)}")
        require.choice("the signal of a pin", signal, SIGNALS)
        if site not in board.fpga.pins():
            raise SpecError(
                f"a pin of {board.title} must be one of {board.package}, such as {board.pins[signal].site}, "
                f"not {shown(site)}"
            )
        chosen[signal] = replace(chosen[signal], site=site)
    taken: dict[str, str] = {}
    for signal, pin in chosen.items():
        if (other := taken.setdefault(pin.site, signal)) != signal:
            raise SpecError(
                f"each signal must have a pin of its own, but {other} and {signal} are both at {pin.site}"
            )
    return replace(board, pins=chosen)


@cache
def _read(name: str) -> Board:
    known = BOARDS[name]
    try:
        platform = getattr(import_module(f"amaranth_boards.{known.module}"), known.platform)
        found = {(r.name, r.number): r for r in platform.resources}
        wired = {(c.name, c.number): c.mapping for c in platform.connectors}
        clock = found[known.resources["clk"]].clock
        pins = {
            signal: _of_connector(wired, path)
            if path[0] == "connector"
            else _of_resource(found, path)
            for signal, path in known.resources.items()
        }
        gowin = not hasattr(platform, "package")  # but the name that Gowin sells the FPGA by
        device, package, speed = (
            _gowin(platform.part)
            if gowin
            else (platform.device, PACKAGES[platform.package], platform.speed)
        )
        line = dict(pins["uart_rx"].attributes)
        line["PULL_MODE" if gowin else "PULLMODE"] = "UP"  # idle where nothing is plugged in
        pins["uart_rx"] = replace(pins["uart_rx"], attributes=tuple(sorted(line.items())))
        return Board(
            name,
            known.title,
            device,
            package,
            speed,
            round(clock.frequency),
            pins,
            known.load,
            known.serial,
        )
    except ModuleNotFoundError:
        raise ToolError(
            "amaranth-boards must be installed for the pins of a board, but is not; xnoreplay doctor says how"
        ) from None
    except (AttributeError, KeyError, StopIteration) as error:
        raise ToolError(f"amaranth-boards must have {known.title}, but lacks {error}") from None


def _gowin(part: str) -> tuple[str, str, str]:
    """Device, package and speed grade of a GW5AST-138, of which the open tools know revision C alone."""
    match = re.fullmatch(r"(GW5AST-LV138\w+?)(C\d/I\d)", part)
    if match is None:
        raise AttributeError(f"a GW5AST-138 in {part}")
    return GOWIN.size, match[1], match[2]


def _of_connector(wired: dict[tuple, dict[str, str]], path: tuple) -> Pin:
    _, name, number, pin = path
    return Pin(wired[name, number][pin], attributes=(("IO_TYPE", "LVCMOS33"),))


def _of_resource(found: dict[tuple, Any], path: tuple) -> Pin:
    name, number, *part = path
    resource = found[name, number]
    entry, attributes = resource.ios[0], dict(resource.attrs)
    if part:
        entry = next(io for io in resource.ios if io.name == part[0])
        attributes |= dict(entry.attrs)
        entry = entry.ios[0]
    return Pin(entry.names[0], entry.invert, tuple(sorted(attributes.items())))


def check_memory(board: Board, plan: Plan) -> None:
    """Refuse a chip whose large memories have more bits than all block memories of a board's FPGA.

    Raises
    ------
    SpecError
        For such a chip.
    """
    needed = sum(row.bits * row.instances for row in asic.table(plan) if row.bits > families.LARGE)
    if needed > (most := board.fpga.block_bits):
        raise SpecError(
            f"the memories of a chip on {board.title} must have at most the {most:,} bits of its block memories, "
            f"not {needed:,}"
        )


def constraints(board: Board) -> str:
    """Return a board's pins as its FPGA's nextpnr reads them, for ECP5 with its oscillator."""
    lines = []
    if board.fpga.family == "ecp5":  # Gowin's file has pins alone
        lines.append(f'FREQUENCY PORT "clk" {board.oscillator / 1e6:g} MHZ;')
    for signal, pin in board.pins.items():
        port = f"high[{signal.removeprefix('high_')}]" if signal in board.high else signal
        port = "high" if board.high == (signal,) else port
        lines += board.fpga.site_lines(port, pin.site, pin.attributes)
    return "\n".join([*lines, ""])
