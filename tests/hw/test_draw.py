"""The draw unit against the reference, bit by bit, with gaps between its steps."""

import numpy as np
import pytest
from amaranth.hdl import Cat
from amaranth.sim import Simulator

from xnoreplay.hw.learning import draw
from xnoreplay.spec import generative
from xnoreplay.spec.bits import to_int


def simulate(unit, bench):
    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def planes_of(mean, channels, bits):
    """Planes of each word as the memory of means has them, the lowest first."""
    words = -(-len(mean) // channels)
    padded = np.zeros(words * channels, np.int64)
    padded[: len(mean)] = mean
    return [
        [to_int((word >> b & 1).astype(np.uint8)) for b in range(bits)]
        for word in padded.reshape(words, channels)
    ]


def check(channels, latent, bits, seed=0, draws=3):
    """Some draws of one component equal the reference's, and so do the registers after them."""
    rng = np.random.default_rng(seed)
    held = generative.Components(1, 1, latent, bits)
    held.mean[0, 0] = rng.integers(0, 1 << bits, latent)
    states = generative.power_on(channels)
    unit = draw.DrawUnit(channels)

    async def bench(ctx):
        async def idle():
            ctx.set(unit.step, 0)
            ctx.set(unit.plane, int(rng.integers(0, 1 << min(channels, 32))))
            for _ in range(int(rng.integers(0, 3))):
                await ctx.tick()

        for _ in range(draws):
            drawn = []
            for planes in planes_of(held.mean[0, 0], channels, bits):
                for n, plane in enumerate([0, *planes]):
                    await idle()
                    ctx.set(unit.plane, plane)
                    ctx.set(unit.first, n == 0)
                    ctx.set(unit.step, 1)
                    await ctx.tick()
                await idle()
                drawn += [ctx.get(unit.word) >> j & 1 for j in range(channels)]
            expected = held.draw(0, 0, states, channels)
            assert drawn[:latent] == expected.tolist()
            assert [ctx.get(unit.state(i)) for i in range(len(states))] == states

    simulate(unit, bench)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize(("channels", "latent"), [(1, 5), (4, 12), (16, 128), (32, 40), (64, 100)])
def test_it_equals_the_reference(channels, latent, bits):
    check(channels, latent, bits, seed=channels + bits)


def test_a_register_takes_what_is_loaded_alone():
    unit, value = draw.DrawUnit(64), 0x123456789ABCDEF

    async def bench(ctx):
        ctx.set(unit.host.wen, 1)
        ctx.set(unit.host.addr, 1)
        ctx.set(unit.host.wdata, value)
        ctx.set(unit.step, 1)
        await ctx.tick()
        stepped = generative.power_on(64)
        generative.random_word(stepped, 64)
        assert ctx.get(unit.state1) == value
        assert ctx.get(unit.state0) == stepped[0]

    simulate(unit, bench)


FAULTS = {
    "a plane works the other way": ("joined", lambda w, p, r: (p & w & r) | (~p & (w | r))),
    "a word keeps nothing": ("joined", lambda _w, _p, r: r),
    "a tap is one too low": (
        "wide_next",
        lambda s, n: (s[-n:] ^ s[-n - 2 : -2], Cat(s[-n:] ^ s[-n - 2 : -2], s[:-n])),
    ),
    "a register starts elsewhere": (
        "power_on",
        lambda channels: [1] * generative.registers(channels),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, monkeypatch):
    monkeypatch.setattr(draw, *FAULTS[fault])
    with pytest.raises(AssertionError):
        check(4, 12, 2)
