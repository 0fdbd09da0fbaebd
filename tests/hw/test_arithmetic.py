"""Products by adders, for every value."""

import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.sim import Simulator

from xnoreplay.hw.parts.arithmetic import times

FACTORS = [*range(34), 63, 100, 255, 341, 1023]


@pytest.mark.parametrize("bits", [1, 3, 6])
def test_products_are_exact(bits):
    m = Module()
    value = Signal(bits)
    products = [times(value, factor) for factor in FACTORS]
    for factor, product in zip(FACTORS, products, strict=True):
        assert len(product) == (((1 << bits) - 1) * factor).bit_length()

    async def bench(ctx):
        for n in range(1 << bits):
            ctx.set(value, n)
            assert [ctx.get(p) for p in products] == [n * factor for factor in FACTORS]

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(("value", "factor"), [(Signal(3), -1), (Const(-1), 3)])
def test_signed_ones_are_refused(value, factor):
    with pytest.raises(ValueError, match="a product must be of an unsigned value and factor"):
        times(value, factor)
