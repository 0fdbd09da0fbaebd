"""A bitstream for a board: the chip behind its UART, with the board's clock, reset and pins, by yosys, nextpnr and the family's packer.

What nextpnr reads, `NETLIST`, stays, so that the very netlist of the bitstream can be simulated
(`xnoreplay.flow.board.first_steps`); and the same as Verilog, `SIMULATED`, for other simulators.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.board import boards, pll
from xnoreplay.flow.board.boards import Board
from xnoreplay.flow.board.pll import Pll
from xnoreplay.flow.chip import bridges, place, synth
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec.errors import CheckFailure, SpecError
from xnoreplay.spec.plan import Plan

STEP = "build"  # in the record of its folder
SIMULATED, VERILOG = "netlist.v", "board.v"
NETLIST = synth.NETLIST


@dataclass(frozen=True)
class Clocking:
    """The clock of a chip on a board, and its serial line.

    Parameters
    ----------
    pll : Pll, optional
        Makes the clock; without it the oscillator is the clock.
    clock : int
        Hz.
    baud, bit : int
        Bits a second, and clock cycles of a bit.
    """

    pll: Pll | None
    clock: int
    baud: int
    bit: int


@dataclass(frozen=True)
class Design:
    """A chip on a board."""

    board: Board
    plan: Plan
    clocks: Clocking

    def verilog(self) -> str:
        """Return the whole design: chip, UART and the board's top module."""
        from xnoreplay.hw import verilog
        from xnoreplay.hw.board import Wiring

        made = self.clocks.pll
        wires = Wiring(
            frozenset(signal for signal, pin in self.board.pins.items() if pin.inverted),
            len(self.board.high),
            made.parameters() if made else {},
            made.attributes() if made else {},
        )
        uart = verilog.uart(self.plan, self.clocks.bit)
        return "\n".join([verilog.generate(self.plan), uart, verilog.on_board(wires)])


def clocking(board: Board, clock: float, baud: int | None) -> Clocking:
    """Return how a board makes a clock in Hz, and a rate of the UART from it; see `bridges.clocks_of`.

    Raises
    ------
    SpecError
        For a clock that the PLL does not make, one that is not the oscillator's where the tools know no PLL, or a rate that the
        clock does not make.
    """
    made = None
    if clock != board.oscillator:
        if not board.fpga.tools.has_pll:
            raise SpecError(
                f"clock must be that of the oscillator, {board.oscillator / 1e6:g} MHz, because the open tools know no PLL of "
                f"{board.title}, not {clock / 1e6:g} MHz"
            )
        made = pll.of_clock(board.oscillator, round(clock))
    hertz = round(made.clock) if made else board.oscillator
    rate = bridges.clocks_of(hertz, baud)
    if rate is None:
        raise SpecError(f"clock must be one that makes a rate of the UART, not {hertz:,} Hz")
    return Clocking(made, hertz, *rate)


def check(board: Board, plan: Plan) -> None:
    """Refuse, before any work, a chip that the board cannot have.

    Raises
    ------
    SpecError
        For a chip with more memory than the board's FPGA.
    """  # noqa: DOC502  raised by what is called
    boards.check_memory(board, plan)


def make(
    design: Design,
    seeds: int,
    minutes: float,
    out: Path,
    scratch: Path,
    progress: Progress,
) -> dict:
    """Make the bitstream, from the first seed that is routed and meets the clock.

    Parameters
    ----------
    design : Design
    seeds : int
        How many seeds are tried at most.
    minutes : float
        Time by the clock after which a seed is given up.
    out : Path
        Receives the bitstream, the file of sites, `NETLIST`, `SIMULATED`, `VERILOG`, nextpnr's report and log.
    scratch : Path
        Where whole files wait for a repetition of a run that was stopped.
    progress : Progress

    Returns
    -------
    dict
        board, title, family, device, package, speed; oscillator, clock: Hz; baud, clocks of a bit; byte_lanes: bytes of a
        transfer of the chip's stream; inverted: signals that are 0 where the button is down, and the light is on; pins: site
        of each; seed; reached: Hz that the routed design could have; utilization; load, serial: of the board; bitstream: its
        file.

    Raises
    ------
    CheckFailure
        `place.TooLarge` where the design does not fit; else where no seed is routed and meets the clock.
    """
    from xnoreplay.hw.verilog import BOARD

    board, clocks = design.board, design.clocks
    text, sites = design.verilog(), boards.constraints(board)
    work = scratch / hashlib.sha256(f"{board} {clocks} {sites} {text}".encode()).hexdigest()
    work.mkdir(parents=True, exist_ok=True)
    (work / board.fpga.tools.sites).write_text(sites, encoding="ascii")
    place.mapped(text, BOARD, work, progress, board.fpga.family)
    seed, placed = _routed(design, seeds, minutes, work, progress)
    bitstream = place.packed(work, seed, out, board.fpga, progress)
    (work / "simulated.ys").write_text(
        f"read_json {NETLIST}\nwrite_verilog -noattr {SIMULATED}\n", encoding="ascii"
    )
    with progress.task("yosys: the netlist as Verilog"):
        synth.yosys(work, "simulated")
    (out / VERILOG).write_text(text, encoding="utf-8")
    for name, target in (
        (NETLIST, NETLIST),
        (SIMULATED, SIMULATED),
        (board.fpga.tools.sites, board.fpga.tools.sites),
        (f"placed-{seed}.json", "nextpnr.json"),
        (f"nextpnr-{seed}.log", "nextpnr.log"),
    ):
        shutil.copyfile(work / name, out / target)
    return {
        "board": board.name,
        "title": board.title,
        "family": board.fpga.family,
        "device": board.device,
        "package": board.package,
        "speed": board.speed,
        "oscillator": board.oscillator,
        "clock": clocks.clock,
        "baud": clocks.baud,
        "clocks": clocks.bit,
        "byte_lanes": design.plan.input.byte_lanes,
        "inverted": sorted(signal for signal, pin in board.pins.items() if pin.inverted),
        "pins": {signal: pin.site for signal, pin in board.pins.items()},
        "seed": seed,
        "reached": placed["clock_hz"],
        "utilization": placed["utilization"],
        "load": board.load.format(bitstream),
        "serial": board.serial,
        "bitstream": bitstream,
    }


def _routed(
    design: Design, seeds: int, minutes: float, work: Path, progress: Progress
) -> tuple[int, dict]:
    """The first seed that meets the clock, and what `place.placement` says of it.

    Raises
    ------
    CheckFailure
        As `make`.
    """
    best, clock, sites = 0.0, design.clocks.clock, design.board.fpga.tools.sites
    with progress.task(f"nextpnr: place and route, up to {seeds} seeds", seeds) as task:
        for seed in range(seeds):
            try:
                report, _ = place.placed(
                    work, seed, clock, minutes, progress, design.board.fpga, sites
                )
            except tools.TooLong:
                task.advance(1, f"seed {seed}: not routed in {minutes:g} minutes")
                continue
            placed = place.placement(synth.load(report), report.name)
            task.advance(1, f"seed {seed}: {placed['clock_hz'] / 1e6:.2f} MHz")
            if placed["clock_hz"] >= clock:
                task.advance(seeds - 1 - seed)
                return seed, placed
            best = max(best, placed["clock_hz"])
    what = (
        f"reaches {best / 1e6:.2f} MHz at most"
        if best
        else f"none was routed in {minutes:g} minutes"
    )
    raise CheckFailure(
        f"the design must be routed at {clock / 1e6:g} MHz with one of {seeds} seeds, but {what}; a lower --clock, "
        "or more --seeds or --minutes, may help"
    )


def text(result: dict, folder: Path) -> str:
    """Return what a user is told of a bitstream."""
    name = result["bitstream"]
    clock = f"{result['clock'] / 1e6:g} MHz of {result['reached'] / 1e6:.2f} MHz"
    return "\n".join(
        [
            f"{result['device']}, {result['package']}: {clock} that the routed design reaches, seed {result['seed']}",
            *(
                f"{kind}: {n['used']:,} of {n['available']:,}"
                for kind, n in result["utilization"].items()
            ),
            f"serial line: {result['baud']:,} bits a second, at {result['serial']}",
            "",
            f"load:  {result['load'].replace(name, str(folder / name))}",
        ]
    )
