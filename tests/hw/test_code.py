"""The circuits of codes: check bits and decoders give what `spec.codes` says, and a memory keeps and reports it."""

import itertools

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from xnoreplay.hw.parts.code import Checks, Decoder
from xnoreplay.hw.parts.memory import Ram
from xnoreplay.spec.codes import KINDS, Code, Verdict


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1, 4, 12])
def test_a_decoder_is_the_codes(kind, width):
    """Every word of four bits at most and some longer ones, with no, one, two and three wrong bits."""
    code = Code(kind, width)
    bits = width + code.checks
    m = Module()
    m.submodules.checks, m.submodules.decoder = checks, decoder = Checks(code), Decoder(code)
    words = (
        range(1 << width)
        if width <= 4
        else np.random.default_rng(0).integers(1 << width, size=4).tolist()
    )
    patterns = [
        sum(1 << i for i in places)
        for count in range(4)
        for places in itertools.combinations(range(bits), count)
    ]

    async def bench(sim):
        for word in words:
            sim.set(checks.word, word)
            assert sim.get(checks.bits) == code.check(word)
            for pattern in patterns if width <= 4 else patterns[:: 1 + len(patterns) // 300]:
                sim.set(decoder.row, row := code.encode(word) ^ pattern)
                told = Verdict.CORRECTED * sim.get(decoder.corrected) + Verdict.WRONG * sim.get(
                    decoder.wrong
                )
                assert (sim.get(decoder.word), told) == code.decode(row)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def test_a_memory_keeps_check_bits_and_tells_of_wrong_ones_as_a_word_comes():
    code = Code("ecc", 6)
    ram = Ram(4, 6, code=code)
    words = (0b101010, 0, 0b111111, 5)

    async def read(sim, row: int, host: bool) -> tuple[int, Verdict]:
        enable, address = (ram.host.ren, ram.host.addr) if host else (ram.ren, ram.raddr)
        sim.set(ram.host.open, host)
        sim.set(enable, 1)
        sim.set(address, row)
        await sim.tick()
        sim.set(enable, 0)
        found = (sim.get(ram.host.rdata if host else ram.rdata), told(sim))
        await sim.tick()
        assert told(sim) is Verdict.RIGHT  # of a word that came a cycle ago nothing is told again
        return found

    def told(sim) -> Verdict:
        return Verdict(
            Verdict.CORRECTED * sim.get(ram.corrected) + Verdict.WRONG * sim.get(ram.wrong)
        )

    async def bench(sim):
        for row, word in enumerate(words):
            host = row % 2
            sim.set(ram.host.open, host)
            for signal, value in (
                (ram.host.wen if host else ram.wen, 1),
                (ram.host.addr if host else ram.waddr, row),
                (ram.host.wdata if host else ram.wdata, word),
            ):
                sim.set(signal, value)
            await sim.tick()
            sim.set(ram.host.wen if host else ram.wen, 0)
        assert [sim.get(ram.array.data[row]) for row in range(4)] == list(map(code.encode, words))
        for row, pattern in ((0, 1 << 2), (1, 1 << 7), (2, 0b11), (3, 0)):
            sim.set(ram.array.data[row], code.encode(words[row]) ^ pattern)
            for host in (False, True):
                assert await read(sim, row, host) == code.decode(code.encode(words[row]) ^ pattern)

    simulator = Simulator(ram)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
