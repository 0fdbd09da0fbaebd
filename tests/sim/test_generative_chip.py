"""A chip with generative replay: reference = fast mode = stepping mode, closed forms, save and restore, aborts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.sim.chips import assert_same
from tests.sim.generative_chips import TINY, GenerativeChips, latent_plan, tiny_plan
from tests.strategies import images
from xnoreplay.sim.host import HostPort
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.generative import component_of
from xnoreplay.spec.generative_chip import GenerativeChip
from xnoreplay.spec.learning_plan import LearningPlan, most_cycles, session_cycles
from xnoreplay.spec.plan import SEED_DRAWS, compile
from xnoreplay.spec.registers import Register, Response

CLASSES = TINY.network.classes
PICTURES = images(TINY.network, 16, 0)
BUNDLES = [bundles.random(TINY.network, seed) for seed in range(2)]
SHAPES = st.sampled_from([(1, 1), (2, 4), (4, 4), (1, 64), (1, 128)])


@st.composite
def plans(draw):
    """`tiny` with dials of generative replay; a latent of 12 bits in words of 1 to 128."""
    lanes, channels = draw(SHAPES)
    drawn = draw(st.integers(1, 6))
    return tiny_plan(
        lanes=lanes,
        channels=channels,
        batch=draw(st.sampled_from([b for b in (1, 4, 8) if b <= 9 * channels])),
        hidden_learns=draw(st.booleans()),
        staging_capacity=draw(st.integers(0, 4)),
        staged_per_class=draw(st.integers(1, 3)),
        drawn_per_class=drawn,
        replay_components=min(drawn, draw(st.integers(1, 3))),
        mean_bits=draw(st.integers(1, 4)),
        epochs=1,
    )


def moved(chips: GenerativeChips, command: str, *arguments) -> Counter:
    """What a command adds to each counter."""
    before = chips.fast.counters
    chips.do(command, *arguments)
    return Counter({n: c - before[n] for n, c in chips.fast.counters.items() if c != before[n]})


def taken(chips: GenerativeChips, label: int) -> Counter:
    """What taking a sample of a class must count, as the reference stands before it."""
    form, held = chips.plan.generative, chips.reference.components
    shares = held.share[label].tolist()
    opens, empty = held.open != label, shares.index(0) if 0 in shares else None
    want = form.nearest(empty) + form.count()
    want += form.open() if opens else Counter()
    latents = form.words if empty is not None else form.words * (1 + form.components)
    want += Counter({"act.latent.reads": latents, "replay.insertions": 1})
    want["cycles"] = form.take_cycles(opens, empty, halves=False)
    return want


def kept(chips: GenerativeChips, label: int) -> Counter:
    """What staging a sample that was taken must count."""
    plan, chip = chips.plan, chips.reference
    if not plan.replay.staging:
        return Counter()
    want = Counter({"staging.count.reads": 1, "cycles": 1})
    if (
        len(chip.staged) < plan.replay.staging
        and chip._staged_of(label) < plan.target.staged_per_class
    ):
        words = plan.replay.words
        want += Counter({"act.latent.reads": words, "staging.latent.writes": words})
        want += Counter({"staging.label.writes": 1, "staging.count.writes": 1})
        want["cycles"] += plan.replay.copy_cycles
    return want


def draws(chips: GenerativeChips) -> tuple[list[int], int]:
    """Components of an epoch's draws, and how many draws of classes seen have no samples."""
    chip, components, unknown = chips.reference, [], 0
    for label in range(chip.seen):
        shares = chip.components.share[label].tolist()
        room = max(0, chips.plan.target.drawn_per_class - chip._staged_of(label))
        if any(shares):
            components += [component_of(n, room, shares) for n in range(room)]
        else:
            unknown += room
    return components, unknown


def load_cycles(chips: GenerativeChips) -> int:
    """Cycles of an epoch's walk past its seed."""
    plan = chips.plan
    components, unknown = draws(chips)
    staged = chips.fast.state.staged
    return plan.generative.load_cycles(plan.replay.epoch_walk, staged, components, unknown)


def check_session(plan, seed: int) -> None:
    """Two classes, then sessions with new ones: states, cycles and accesses after every command."""
    rng, chips = (
        np.random.default_rng(seed),
        GenerativeChips(plan, bundles.random(plan.network, seed)),
    )
    form, longest = plan.generative, most_cycles(plan)
    chips.do("infer", PICTURES[0])
    chips.do("arrive", 2)
    for n in range(5):
        label = int(rng.integers(0, 2))
        want = taken(chips, label)
        counted = moved(chips, "insert", PICTURES[n], label)
        check_accesses(counted, want)
        assert counted["cycles"] == plan.feature_cycles + want["cycles"]
        assert want["cycles"] <= longest["take"]
    for n in range(3):
        label = int(rng.integers(0, CLASSES))
        want = taken(chips, label) + kept(chips, label)
        counted = moved(chips, "stage", PICTURES[5 + n], label)
        check_accesses(counted, want)
        assert counted["cycles"] == plan.feature_cycles + want["cycles"]
    staged = chips.fast.state.staged
    assert moved(chips, "restore")["cycles"] == form.restore_cycles(staged)
    components, unknown = draws(chips)
    counted = moved(chips, "epoch")
    assert counted["cycles"] == SEED_DRAWS + load_cycles(chips) <= longest["epoch"]
    want = sum((form.draw(k) for k in components), Counter())
    want["replay.share.reads"] += unknown * form.components
    want["epoch.samples"] = len(components) + staged
    check_accesses(counted, want)
    check_retraining(chips)
    assert moved(chips, "rebalance")["cycles"] == 1 + (CLASSES if plan.replay.staging else 0)
    chips.do("infer", PICTURES[1])


def check_accesses(counted: Counter, want: Counter) -> None:
    """Accesses of the memories of generative replay, and its events."""
    for name in (
        *want,
        *(f"{m}.{way}" for m in ("replay.mean", "fit.count") for way in ("reads", "writes")),
    ):
        if name not in ("cycles", "act.latent.reads"):
            assert counted[name] == want[name], name


def check_retraining(chips: GenerativeChips) -> None:
    """A session's phases against their closed forms."""
    plan, extra = chips.plan, LearningPlan(chips.plan)
    seen, staged = chips.fast.state.seen, chips.fast.state.staged
    expected, longest = load_cycles(chips), most_cycles(plan)
    result = chips.do("retrain")
    ends = [cycle for _, cycle in result.phases[1:]] + [chips.fast.cycles]
    spent: Counter = Counter()
    for (name, start), end in zip(result.phases, ends, strict=True):
        assert end - start <= longest[name], name
        spent[name] += end - start
    assert spent["load"] == expected
    assert spent["balance"] == extra.balance_cycles(seen, staged)
    assert sum(spent.values()) <= session_cycles(plan)


@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate])
@given(plan=plans(), seed=st.integers(0, 2**16))
def test_a_session_is_the_reference_in_both_modes(plan, seed):
    check_session(plan, seed)


SMALL = tiny_plan(
    drawn_per_class=4, replay_components=2, staging_capacity=3, staged_per_class=2, epochs=1
)


def script(pictures: np.ndarray) -> list[tuple]:
    """Commands of a session, with twelve samples."""
    return (
        [("arrive", 2)]
        + [("insert", pictures[n], n // 3) for n in range(6)]
        + [("stage", pictures[n], 2) for n in range(6, 10)]
        + [("epoch",), ("retrain",), ("rebalance",), ("stage", pictures[10], 0), ("restore",)]
        + [("retrain",), ("infer", pictures[11])]
    )


SCRIPT = script(PICTURES)


def test_a_chip_that_is_given_latents_draws_others():
    plan = latent_plan()
    chips = GenerativeChips(plan, bundles.random(plan.network, 2))
    for command, *arguments in script(images(plan.network, 12, 1)):
        chips.do(command, *arguments)
    assert chips.reference.components.share.any(axis=1).tolist() == [True] * 3 + [False]


@pytest.mark.parametrize("mode", ["fast", "step"])
def test_a_chip_is_saved_and_restored_at_every_command_boundary(mode):
    steady, chip = Simulator(SMALL, BUNDLES[0]), Simulator(SMALL, BUNDLES[0], mode)
    reference = GenerativeChip(BUNDLES[0], SMALL.target)
    for name, *arguments in SCRIPT:
        fresh = Simulator(SMALL, BUNDLES[1], mode)
        port = HostPort(fresh)
        words = [HostPort(chip).transfer(address)[1] for address in snapshots.reads(SMALL)]
        saved = snapshots.of_words(SMALL, words)
        for address, data in snapshots.writes(SMALL, saved):
            assert port.transfer(address, data) == (Response.OKAY, 0)
        assert (fresh.state.refused, fresh.state.stale) == (0, 0)
        again = GenerativeChip(BUNDLES[0], SMALL.target)
        assert snapshots.into_chip(SMALL, snapshots.of_chip(SMALL, reference), again)
        chip, reference = fresh, again
        for each in (steady, chip):
            getattr(each, name)(*arguments)
        if name == "epoch":
            list(reference.epoch_order())
        else:
            getattr(reference, name)(*arguments)
        want, told = steady.snapshot(), snapshots.of_chip(SMALL, reference)
        for memory, bits in chip.snapshot().memories.items():
            np.testing.assert_array_equal(bits, want.memories[memory], err_msg=memory)
        assert chip.snapshot().registers == want.registers == told.registers
        for memory in ("replay.share", "fit.open", "draw.state", "staging.count", "cls.top"):
            np.testing.assert_array_equal(told.memories[memory], want.memories[memory], memory)
    assert chip.state.prediction == steady.state.prediction


def test_a_take_that_is_aborted_leaves_a_chip_that_goes_on():
    """In whatever cycle: no class is open then, so that counters come from the means again."""
    first = Simulator(SMALL, BUNDLES[0])
    for name, *arguments in SCRIPT[:6]:
        getattr(first, name)(*arguments)
    start = SMALL.feature_cycles
    for cycles in range(1, SMALL.generative.most_take_cycles):
        chip = first.twin()
        chip.abort(start + cycles)
        result = chip.insert(PICTURES[6], 1)
        if result.finished:
            break
        assert chip.memory_ints("fit.open") == [0]
        chip.restore()
        assert not chip.state.refused
        step = Simulator(SMALL, BUNDLES[0], "step")
        step.put(chip.copied())
        for each in (chip, step):
            each.insert(PICTURES[7], 1)
        assert_same(chip, step)
    assert result.finished
    assert cycles > SMALL.generative.count_cycles


def test_a_staged_class_is_seen_from_its_first_cycle_on():
    """A chip whose stage was aborted can be saved and restored."""
    chip = Simulator(SMALL, BUNDLES[0])
    chip.abort(SMALL.feature_cycles + 1)
    assert not chip.stage(PICTURES[0], 2).finished
    assert chip.state.seen == 3


def test_a_reset_forgets_and_begins_the_registers_anew():
    chip, fresh = Simulator(SMALL, BUNDLES[0]), Simulator(SMALL, BUNDLES[0])
    for name, *arguments in SCRIPT[:12]:
        getattr(chip, name)(*arguments)
    assert chip.memory_ints("draw.state") != fresh.memory_ints("draw.state")
    chip.reset()
    for name in ("replay.share", "fit.open", "draw.state", "staging.count"):
        assert chip.memory_ints(name) == fresh.memory_ints(name)
    assert chip.state == fresh.state


@pytest.mark.parametrize("mode", ["fast", "step"])
@pytest.mark.parametrize(
    ("memory", "row", "value"),
    [
        ("replay.share", 2 * 2, 7),
        ("replay.share", 3 * 2 + 1, 1),
        ("fit.open", 0, 4 | 3),
        ("staging.label", 1, 3),
    ],
)
def test_a_restore_refuses_what_is_of_no_class_seen(memory, row, value, mode):
    chip = Simulator(SMALL, BUNDLES[0], mode)
    chip.arrive(2)
    for n in range(3):
        chip.stage(PICTURES[n], n % 2)
    chip.write_row(memory, row, value)
    assert chip.state.stale
    with pytest.raises(SpecError, match="must wait for a restore"):
        chip.retrain()
    assert chip.restore().refused
    assert chip.state.stale
    chip.write_register(Register.SEEN, CLASSES)
    assert not chip.restore().refused
    assert not chip.state.stale


def test_refused_restores_are_equal_in_both_modes():
    for row in range(SMALL.generative.share_rows):
        chips = [Simulator(SMALL, BUNDLES[0], mode) for mode in ("fast", "step")]
        for chip in chips:
            chip.arrive(1)
            chip.stage(PICTURES[0], 0)
            chip.write_row("replay.share", row, 1)
            assert chip.restore().refused == (row >= SMALL.generative.components)
        assert_same(*chips)


def test_a_snapshot_of_no_chip_is_refused():
    chip = Simulator(SMALL, BUNDLES[0])
    chip.arrive(2)
    chip.stage(PICTURES[0], 1)
    for memory, row, value, sentence in (
        (
            "replay.share",
            5,
            1,
            "a label in replay.share of a snapshot must be of one of the 2 classes seen, not 2",
        ),
        (
            "fit.open",
            0,
            7,
            "a label in fit.open of a snapshot must be of one of the 2 classes seen, not 3",
        ),
        ("staging.count", 1, 2, "staging.count of a snapshot must be the labels'"),
        ("draw.state", 0, 0, "a state in draw.state of a snapshot must be an integer from 1 to"),
    ):
        saved = chip.snapshot()
        width = saved.memories[memory].shape[1]
        saved.memories[memory][row] = value >> np.arange(width) & 1
        with pytest.raises(SpecError, match=sentence):
            Simulator(SMALL, BUNDLES[0]).resume(saved)


def test_a_snapshot_of_the_other_way_or_of_other_dials_is_refused(tmp_path):
    path, stored = tmp_path / "chip.state", compile(TINY.network, TINY.target)
    others = (stored, tiny_plan(replay_components=2, mean_bits=SMALL.target.mean_bits + 1))
    for made, asked in ((stored, SMALL), *((SMALL, other) for other in others)):
        snapshots.write(made, Simulator(made, BUNDLES[0]).snapshot(), path)
        with pytest.raises(SpecError, match="field 'target' must be this chip's"):
            snapshots.read(asked, path)


def test_quota_is_only_read():
    assert Register.QUOTA not in registers.writable(SMALL.memories)
    port = HostPort(Simulator(SMALL, BUNDLES[0]))
    assert port.transfer(Register.QUOTA) == (Response.OKAY, 0)
    assert port.transfer(Register.QUOTA, 0) == (Response.SLVERR, 0)
    window = next(w for w in registers.windows(SMALL.memories) if w.memory.name == "staging.count")
    assert port.transfer(window.address(0, 0), 0) == (Response.SLVERR, 0)


def test_full_shares_are_halved():
    """By a class that a host has given the most samples."""
    chips = GenerativeChips(SMALL, BUNDLES[0])
    chips.do("arrive", 1)
    for n in range(4):
        chips.do("insert", PICTURES[n], 0)
    saved = chips.fast.snapshot()
    for row in range(2):
        saved.memories["replay.share"][row] = 1
    saved.memories["fit.open"][:] = 0
    assert snapshots.into_chip(SMALL, saved, chips.reference)
    for chip in (chips.fast, chips.step):
        assert not chip.resume(saved).refused
    form = SMALL.generative
    want = form.take_cycles(opens=True, empty=None, halves=True)
    assert moved(chips, "insert", PICTURES[5], 0)["cycles"] == SMALL.feature_cycles + want
    assert sorted(chips.fast.memory_ints("replay.share")[:2]) == [511, 512]
    chips.do("insert", PICTURES[6], 0)


def test_memories_of_one_way_of_replay_are_not_those_of_the_other():
    stored, drawn = (
        {m.name for m in p.memories} for p in (compile(TINY.network, TINY.target), SMALL)
    )
    assert stored - drawn == {"replay.latent", "replay.label", "replay.count"}
    assert drawn - stored == {
        "replay.mean",
        "replay.share",
        "fit.count",
        "fit.open",
        "draw.state",
        "staging.count",
    }
