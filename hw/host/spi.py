"""An SPI slave: mode 0, bytes with the high bit first, selected by a low `spi_cs_n`."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import cdc, wiring
from amaranth.lib.wiring import In, Out

LEAST_CLOCKS = 16
"""Clock cycles of one of the serial clock, at least: its wires are looked at by the chip's own clock."""


class SpiSlave(wiring.Component):
    """Bytes to and from a master, eight periods of its clock each.

    While nothing is to be sent, the bytes that the master reads are 0.

    Members
    -------
    spi_sck, spi_cs_n, spi_mosi : In(1), spi_miso : Out(1)
        Wires of the master, which may change at any time, but an edge of ``spi_sck`` comes at least
        `LEAST_CLOCKS` / 2 cycles after another one or after the select. ``spi_miso`` is driven while the chip is not
        selected, too.
    rx : Out(8), rx_valid : Out(1)
        A received byte, for one cycle.
    ended : Out(1)
        1 while the chip is not selected.
    tx : In(8), tx_valid : In(1), tx_ready : Out(1)
        A byte to send, taken in a cycle in which both are 1: before the first bit of a byte.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "spi_sck": In(1),
                "spi_cs_n": In(1, init=1),
                "spi_mosi": In(1),
                "spi_miso": Out(1),
                "rx": Out(8),
                "rx_valid": Out(1),
                "ended": Out(1),
                "tx": In(8),
                "tx_valid": In(1),
                "tx_ready": Out(1),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        clock = Signal()
        away = Signal(init=1)
        data = Signal()
        m.submodules.clock = cdc.FFSynchronizer(self.spi_sck, clock)
        m.submodules.select = cdc.FFSynchronizer(self.spi_cs_n, away, init=1)
        m.submodules.data = cdc.FFSynchronizer(self.spi_mosi, data)
        was_high = Signal()
        was_away = Signal(init=1)
        rises, falls = clock & ~was_high, ~clock & was_high
        got = Signal(8)
        sent = Signal(8)
        count = Signal(3)
        # A byte is chosen right after the master's last falling edge or select, well before it reads the first bit.
        turn = Signal()
        m.d.comb += [
            self.ended.eq(away),
            self.spi_miso.eq(sent[7]),
            turn.eq(~away & (was_away | (falls & (count == 0)))),
            self.tx_ready.eq(turn),
        ]
        m.d.sync += [was_high.eq(clock), was_away.eq(away), self.rx_valid.eq(0)]
        with m.If(away):
            m.d.sync += [count.eq(0), sent.eq(0)]
        with m.Else():
            with m.If(rises):
                m.d.sync += [got.eq(Cat(data, got)), count.eq(count + 1)]
                with m.If(count == 7):
                    m.d.sync += [self.rx.eq(Cat(data, got)), self.rx_valid.eq(1)]
            with m.If(falls):
                m.d.sync += sent.eq(sent << 1)
            with m.If(turn):
                m.d.sync += sent.eq(0)
                with m.If(self.tx_valid):
                    m.d.sync += sent.eq(self.tx)
        return m
