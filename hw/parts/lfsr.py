"""The chip's shift registers; `spec/lfsr.py` is their meaning."""

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.spec.lfsr import WALK_TAPS, WIDE_BITS


def draw(state: Value) -> Value:
    """The next 32-bit state: eight steps of one register in one level of XORs."""
    byte = state[24:32] ^ state[22:30] ^ state[18:26] ^ state[17:25]
    return Cat(byte, state[:24])


def walk_next(state: Value, bits: int) -> Value:
    """The next state of a maximal-length register of so many bits."""
    new = state[WALK_TAPS[bits][0] - 1]
    for tap in WALK_TAPS[bits][1:]:
        new = new ^ state[tap - 1]
    return Cat(new, state[: bits - 1])


def wide_next(state: Value, steps: int) -> tuple[Value, Value]:
    """(the new bits, the next state) of a 63-bit register after 1 to 32 steps in one level of XORs."""
    new = state[WIDE_BITS - steps :] ^ state[WIDE_BITS - 1 - steps : -1]
    return new, Cat(new, state[: WIDE_BITS - steps])


class DrawRegister(wiring.Component):
    """A 32-bit source of random bits.

    ``state`` becomes ``value`` where ``load`` is high, else ``next`` where ``step`` is.
    """

    def __init__(self, seed: int):
        self.seed = seed
        super().__init__(
            {
                "step": In(1),
                "load": In(1),
                "value": In(32),
                "state": Out(32, init=seed),
                "next": Out(32),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.d.comb += self.next.eq(draw(self.state))
        with m.If(self.load):
            m.d.sync += self.state.eq(self.value)
        with m.Elif(self.step):
            m.d.sync += self.state.eq(self.next)
        return m
