"""A UART: bytes on two wires, eight data bits, no parity, one stop bit, low bits first."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import cdc, wiring
from amaranth.lib.wiring import In, Out

FRAME = 10  # bits of a byte on the wire: start, data, stop
LEAST_CLOCKS = 4
"""Clock cycles of a bit, at least: with fewer, a bit is not looked at near its middle."""


class Uart(wiring.Component):
    """Receiver and transmitter of one rate.

    A bit is looked at in its middle. A byte without its stop bit is dropped. What is received is not kept: it must be
    taken in its cycle.

    Parameters
    ----------
    clocks : int
        Clock cycles of a bit, `LEAST_CLOCKS` at least.

    Members
    -------
    uart_rx : In(1), uart_tx : Out(1)
        Wires; 1 while idle. ``uart_rx`` may change at any time.
    rx : Out(8), rx_valid : Out(1)
        A received byte, for one cycle.
    tx : In(8), tx_valid : In(1), tx_ready : Out(1)
        A byte to send, taken in a cycle in which both are 1.
    """

    def __init__(self, clocks: int) -> None:
        if clocks < LEAST_CLOCKS:
            raise ValueError(f"a bit must take at least {LEAST_CLOCKS} clocks, not {clocks}")
        self.clocks = clocks
        super().__init__(
            {
                "uart_rx": In(1, init=1),
                "uart_tx": Out(1, init=1),
                "rx": Out(8),
                "rx_valid": Out(1),
                "tx": In(8),
                "tx_valid": In(1),
                "tx_ready": Out(1),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        self._build_receiver(m)
        self._build_transmitter(m)
        return m

    def _build_receiver(self, m: Module) -> None:
        level = Signal(init=1)
        m.submodules.settled = cdc.FFSynchronizer(self.uart_rx, level, init=1)
        pause = Signal(range(self.clocks))
        left = Signal(range(FRAME + 1))
        got = Signal(FRAME - 1)  # data and stop
        m.d.sync += self.rx_valid.eq(0)
        with m.If(left == 0):
            with m.If(~level):
                m.d.sync += [left.eq(FRAME), pause.eq(self.clocks // 2 - 1)]
        with m.Elif(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.Else():
            m.d.sync += [
                pause.eq(self.clocks - 1),
                left.eq(left - 1),
                got.eq(Cat(got, level)[1:]),
            ]
            with m.If((left == FRAME) & level):  # a spike, and no start bit
                m.d.sync += left.eq(0)
            with m.If(left == 1):
                m.d.sync += [self.rx.eq(got[1:]), self.rx_valid.eq(level)]

    def _build_transmitter(self, m: Module) -> None:
        pause = Signal(range(self.clocks))
        left = Signal(range(FRAME + 1))
        bits = Signal(FRAME, init=(1 << FRAME) - 1)
        m.d.comb += [self.tx_ready.eq(left == 0)]
        m.d.sync += self.uart_tx.eq(bits[0])
        with m.If(left == 0):
            with m.If(self.tx_valid):
                m.d.sync += [
                    bits.eq(Cat(Const(0, 1), self.tx, Const(1, 1))),
                    left.eq(FRAME),
                    pause.eq(self.clocks - 1),
                ]
        with m.Elif(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.Else():
            m.d.sync += [
                pause.eq(self.clocks - 1),
                left.eq(left - 1),
                bits.eq(Cat(bits[1:], Const(1, 1))),
            ]
