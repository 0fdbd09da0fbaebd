"""The simulated host port: what gathers of a wide row, and what does not."""

import pytest

from xnoreplay.sim.host import HostPort
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, registers
from xnoreplay.spec.registers import Response

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
WINDOWS = registers.windows(PLAN.memories)
WIDE = max(WINDOWS, key=lambda w: w.chunks)
WORD = 0x1111


@pytest.mark.parametrize("name", [w.memory.name for w in WINDOWS if w.chunks < WIDE.chunks])
def test_the_last_word_of_a_row_does_not_gather(name):
    """A row of another window between the words of a wide one takes its own last word alone."""
    port = HostPort(Simulator(PLAN, bundles.random(TINY.network, 0)))
    other = next(w for w in WINDOWS if w.memory.name == name)
    for chunk in range(WIDE.chunks - 1):
        assert port.transfer(WIDE.address(0, chunk), WORD) == (Response.OKAY, 0)
    answer, _ = port.transfer(other.address(0, other.chunks - 1), 1)
    assert (answer is Response.SLVERR) == (name in registers.READ_ONLY)
    assert port.transfer(WIDE.address(0, WIDE.chunks - 1), 0) == (Response.OKAY, 0)
    got = [port.transfer(WIDE.address(0, chunk))[1] for chunk in range(WIDE.chunks)]
    assert got == [WORD] * (WIDE.chunks - 1) + [0]


def test_words_never_written_are_zero():
    port = HostPort(Simulator(PLAN, bundles.random(TINY.network, 0)))
    assert port.transfer(WIDE.address(0, WIDE.chunks - 1), 1) == (Response.OKAY, 0)
    row = [port.transfer(WIDE.address(0, chunk))[1] for chunk in range(WIDE.chunks)]
    assert row == [0] * (WIDE.chunks - 1) + [1]
