"""Stochastic rounding of a value to a quantised delta."""

from amaranth.hdl import Module, Mux, Signal, Value, signed

from xnoreplay.spec.learning import DECAYS, DRAW_BITS


def clamp(value: Value, low: int, high: int) -> Value:
    """The value, or `low` or `high` where it is beyond."""
    return Mux(value > high, high, Mux(value < low, low, value))


def rounded_delta(
    m: Module, value: Value, draw: Value, decay: Value, shift: int, bits: int
) -> Signal:
    """A signal that is (value + offset) >> (shift + decay), in the symmetric range of so many bits.

    The offset comes from four random bits; see `spec.learning.delta_offset`.
    """
    delta = Signal(signed(bits))
    top = (1 << bits - 1) - 1
    with m.Switch(decay):
        for k in range(DECAYS + 1):
            t = shift + k
            if t <= DRAW_BITS:
                offset = draw[:t] if t else 0
            else:
                offset = (draw[:DRAW_BITS] << t - DRAW_BITS) + (1 << t - DRAW_BITS - 1)
            with m.Case(k):
                m.d.comb += delta.eq(clamp((value + offset) >> t, -top, top))
    return delta
