"""The chip on a development board: an oscillator, a button, a serial line and a light.

Its module is around that of `verilog.uart`, which stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from amaranth.hdl import ClockDomain, ClockSignal, Instance, Module, ResetSignal, Signal
from amaranth.lib import cdc, wiring
from amaranth.lib.wiring import In, Out

HELD = 255
"""Clock cycles of a reset after power-on, after the button, and after the PLL has lost its clock."""


@dataclass(frozen=True)
class Wiring:
    """What a board's top module must know of the board.

    Parameters
    ----------
    inverted : frozenset of str
        Those of the ports ``button`` and ``busy`` that are 0 where the button is down, and the light is on.
    high : int
        Outputs that must be 1.
    parameters, attributes : mapping of str to int or str
        Of the EHXPLLL that makes the clock; without parameters the oscillator is the clock.
    """

    inverted: frozenset[str] = frozenset()
    high: int = 0
    parameters: Mapping[str, int | str] = field(default_factory=dict)
    attributes: Mapping[str, int | str] = field(default_factory=dict)


class Board(wiring.Component):
    """The top module of a board.

    The chip is in reset for `HELD` cycles of a clock that the PLL says is right: from power-on, when all registers start
    as the bitstream has them, and after the button was down. Button and serial input belong to no clock; each passes two
    registers.

    Parameters
    ----------
    wires : Wiring
    top : str
        The module of the chip behind its UART; "" leaves `reset` and `working` to a test, in its place.

    Members
    -------
    clk : In(1)
        The oscillator.
    button : In(1)
        Resets the chip.
    uart_rx : In(1), uart_tx : Out(1)
        1 while idle.
    busy : Out(1)
        A light, which is on while the chip works.
    high : Out(n)
        All 1; not there where ``wires.high`` is 0.
    """

    def __init__(self, wires: Wiring, top: str) -> None:
        self.wires, self.top = wires, top
        self.reset = Signal(init=1, reset_less=True)
        self.working = Signal()
        ports = {name: In(1) for name in ("clk", "button", "uart_rx")}
        ports |= {name: Out(1) for name in ("uart_tx", "busy")}
        if wires.high:
            ports["high"] = Out(wires.high)
        super().__init__(ports)

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        locked = Signal()
        m.domains.sync = domain = ClockDomain("sync", local=True)
        m.d.comb += domain.clk.eq(self._build_clock(m, locked))
        down = Signal()
        m.d.comb += down.eq(self.button ^ ("button" in self.wires.inverted))
        right = Signal()  # the clock is, and nobody holds the button
        m.submodules.right = cdc.FFSynchronizer(locked & ~down, right, init=0)
        left = Signal(range(HELD + 1), init=HELD, reset_less=True)
        m.d.sync += [self.reset.eq(left != 0), left.eq(left - (left != 0))]
        with m.If(~right):
            m.d.sync += left.eq(HELD)
        m.d.comb += domain.rst.eq(self.reset)
        if self.top:
            m.submodules.chip = Instance(
                self.top,
                i_clk=ClockSignal(),
                i_rst=ResetSignal(),
                i_uart_rx=self.uart_rx,
                o_uart_tx=self.uart_tx,
                o_busy=self.working,
            )
        m.d.comb += self.busy.eq(self.working ^ ("busy" in self.wires.inverted))
        if self.wires.high:
            m.d.comb += self.high.eq(-1)
        return m

    def _build_clock(self, m: Module, locked: Signal) -> Signal:
        """The chip's clock, and whether it is right."""
        if not self.wires.parameters:
            m.d.comb += locked.eq(1)
            return self.clk
        back = Signal()
        made = Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            *(("a", name, value) for name, value in self.wires.attributes.items()),
            *(("p", name, value) for name, value in self.wires.parameters.items()),
            i_CLKI=self.clk,
            i_CLKFB=back,
            i_RST=0,
            i_STDBY=0,
            i_PHASESEL0=0,
            i_PHASESEL1=0,
            i_PHASEDIR=1,
            i_PHASESTEP=1,
            i_PHASELOADREG=1,
            i_PLLWAKESYNC=0,
            i_ENCLKOP=0,
            i_ENCLKOS=0,
            o_CLKOP=back,
            o_CLKOS=made,
            o_LOCK=locked,
        )
        return made
