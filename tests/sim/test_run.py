"""The way in: modes, faults, saved states, traces and messages."""

import numpy as np
import pytest

from tests.sim.chips import assert_same
from tests.strategies import images
from xnoreplay.sim.common import jit
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, trace
from xnoreplay.spec.errors import ImageError, SpecError
from xnoreplay.spec.reference import Random
from xnoreplay.spec.trace import first_difference

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
BUNDLE = bundles.random(TINY.network, 3)
IMAGES = images(TINY.network, 4, 5)


def chip(mode: str = "fast", trace: bool = False, **options) -> Simulator:
    """A tiny chip with two remembered and two staged latents."""
    made = Simulator(PLAN, BUNDLE, mode, trace, **options)
    made.arrive(2)
    for n in range(2):
        made.insert(IMAGES[n], n)
        made.stage(IMAGES[n + 2], 2)
    return made


@pytest.mark.parametrize("mode", ["fast", "step"])
def test_saved_state_continues(mode, tmp_path):
    first, second = chip(mode), Simulator(PLAN, BUNDLE, mode)
    first.retrain()
    first.dump(tmp_path / "state.npz")
    second.load(tmp_path / "state.npz")
    assert_same(first, second)
    for each in (first, second):
        each.rebalance()
        each.infer(IMAGES[0])
        each.retrain()
    assert_same(first, second)
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]


def test_saved_state_of_another_plan_is_refused(tmp_path):
    chip().dump(tmp_path / "state.npz")
    digits = presets.load("digits")
    plan = plans.compile(digits.network, digits.target)
    other = Simulator(plan, bundles.random(digits.network, 0))
    with pytest.raises(SpecError, match="must come from the same network and target"):
        other.load(tmp_path / "state.npz")


def test_fault_is_located_by_the_trace():
    sound, faulty = (Simulator(PLAN, BUNDLE, "step", trace=True) for _ in range(2))
    faulty.flip("weights.fe", 1, 7)
    difference = first_difference(sound.infer(IMAGES[0]).trace, faulty.infer(IMAGES[0]).trace)
    assert (difference.phase, difference.signal) == ("conv0", "lane.file.w")
    assert difference.address == str(PLAN.slots * (1 // PLAN.convolutions[0].beats))


@pytest.mark.parametrize("name", [m.name for m in PLAN.memories])
def test_flip_changes_one_bit(name):
    made, other = chip(), chip()
    memory = PLAN.memory(name)
    row, bit = memory.depth * memory.count - 1, memory.width - 1
    made.flip(name, row, bit)
    for key, bits in made.memories().items():
        different = np.argwhere(bits != other.memories()[key]).tolist()
        assert different == ([[row, bit]] if key == name else [])


def test_trace_has_one_line_a_cycle():
    made = Simulator(PLAN, BUNDLE, "step", trace=True)
    lines = made.arrive(2).trace + made.stage(IMAGES[0], 1).trace + made.retrain().trace
    assert [int(line.split()[0]) for line in lines] == list(range(made.cycles))
    phases = {line.split()[1] for line in lines}
    assert {"quota", "evict", "input", "conv1", "stage", "balance", "error"} <= phases
    assert any("batch.delta.w@" in line for line in lines)
    assert any("cls.low.w@" in line for line in lines)


def test_seeds_change_the_session():
    made, other = chip(), chip(random=Random(walk=77, error=78, update=79))
    for each in (made, other):
        each.retrain()
    assert (made.proxies().output != other.proxies().output).any()


def test_messages():
    with pytest.raises(SpecError, match="mode must be 'fast' or 'step', not 'slow'"):
        Simulator(PLAN, BUNDLE, "slow")
    with pytest.raises(SpecError, match="a trace must come from mode 'step', not 'fast'"):
        Simulator(PLAN, BUNDLE, trace=True)
    made = chip()
    with pytest.raises(SpecError, match="label must be of one of the 3 classes seen, not 3"):
        made.insert(IMAGES[0], 3)
    with pytest.raises(SpecError, match="label must be an integer from 0 to 3, not 4"):
        made.stage(IMAGES[0], 4)
    with pytest.raises(ImageError, match="must be of type uint8"):
        made.infer(IMAGES[0].astype(float))
    with pytest.raises(ImageError, match="must be uint8 of shape"):
        made.predict(IMAGES[:, :2])
    with pytest.raises(SpecError, match="gaps must be 16 numbers of cycles"):
        made.infer(IMAGES[0], gaps=[1])
    with pytest.raises(SpecError, match="a fault's memory must be one of"):
        made.flip("weights", 0, 0)
    with pytest.raises(SpecError, match="rows of 36 bits, not row 0, bit 99"):
        made.flip("cls.top", 0, 99)
    with pytest.raises(SpecError, match="seen must be an integer from 3 to 4, not 2"):
        made.arrive(2)


@pytest.mark.parametrize(
    ("verb", "arguments", "error", "message"),
    [
        ("infer", (None,), ImageError, "an image must be of type uint8, not object"),
        ("stage", (None, 0), ImageError, "an image must be of type uint8, not object"),
        ("stage", (IMAGES[0], 1.5), SpecError, "label must be an integer, not 1.5"),
        ("insert", (IMAGES[0], "a"), SpecError, "label must be an integer, not 'a'"),
        ("insert", (IMAGES[0], True), SpecError, "label must be an integer, not True"),
        ("arrive", (None,), SpecError, "seen must be an integer, not None"),
        ("arrive", (9,), SpecError, "seen must be an integer from 0 to 4, not 9"),
    ],
)
def test_bad_arguments_are_one_sentence(verb, arguments, error, message):
    fresh = Simulator(PLAN, BUNDLE)
    with pytest.raises(error) as raised:
        getattr(fresh, verb)(*arguments)
    assert str(raised.value) == message
    assert fresh.cycles == 0


def test_a_file_that_is_no_state(tmp_path):
    fresh = Simulator(PLAN, BUNDLE)
    path = tmp_path / "state.npz"
    with pytest.raises(SpecError, match="must be a whole file that save wrote"):
        fresh.load(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(SpecError, match="must be a whole file that save wrote"):
        fresh.load(path)


@pytest.mark.skipif(not jit.COMPILED, reason="nothing is compiled")
@pytest.mark.parametrize("mode", ["fast", "step"])
def test_how_an_array_lies_compiles_no_kernel_anew(mode):
    """Images and gaps that cannot be written, and an image whose rows lie apart: run_image takes twelve seconds."""
    made = Simulator(PLAN, BUNDLE, mode)
    made.infer(IMAGES[0], np.zeros(PLAN.input.pixels, np.int64))
    known = [len(kernel.signatures) for kernel in jit.KERNELS]
    gaps = np.zeros(PLAN.input.pixels, np.int64)
    for image in (IMAGES[0].copy(), np.asfortranarray(IMAGES[0]), IMAGES[0][:, ::-1]):
        image.flags.writeable = gaps.flags.writeable = False
        made.infer(image, gaps)
    assert [len(kernel.signatures) for kernel in jit.KERNELS] == known


@pytest.mark.parametrize("mode", ["fast", "step"])
def test_the_ledger_has_every_event_once(mode):
    """Counters by phase add up to the chip's own, and cycles to those between phase boundaries."""
    made = Simulator(PLAN, BUNDLE, mode)
    made.arrive(2)
    image = IMAGES[0]
    made.stage(image, 1)
    session = made.retrain()
    result = made.infer(image)
    phases = made.ledger.phases
    for name, total in made.counters.items():
        assert sum(events[name] for events in phases.values()) == total
    (_, first), (_, second) = result.phases[:2]
    entered = 2 * (second - first)  # both images
    assert phases["input"]["cycles"] == entered
    assert phases["balance"]["cycles"] == session.phases[1][1] - session.phases[0][1]


def test_remembered_latents_must_fit():
    made = Simulator(PLAN, BUNDLE)
    n = TINY.target.replay_capacity + 1
    with pytest.raises(SpecError, match=f"at most the {n - 1} that fit, not {n}"):
        made.remember(np.zeros((n, TINY.network.latent), np.uint8), np.zeros(n, np.int64))


def test_a_state_with_a_memory_of_another_shape_is_refused_whole(tmp_path):
    chip().dump(tmp_path / "state.npz")
    with np.load(tmp_path / "state.npz") as file:
        tree = dict(file)
    names = sorted(name for name in tree if tree[name].ndim == 2)
    for name, other in (
        (names[0], tree[names[0]][:1, :0]),
        (names[-1], tree[names[-1]].astype(float)),
    ):
        np.savez(tmp_path / "other.npz", **tree | {name: other})
        fresh, untouched = Simulator(PLAN, BUNDLE), Simulator(PLAN, BUNDLE)
        with pytest.raises(SpecError, match=f"{name} must be .* of shape .*, not"):
            fresh.load(tmp_path / "other.npz")
        assert_same(fresh, untouched)


def test_a_twin_remembers_the_same_and_is_apart():
    """So is what a chip brings back of a copy: memories, registers and counters, in either mode."""
    first = chip()
    before, saved = everything(first), first.copied()
    twin, stepping = first.twin(), Simulator(PLAN, BUNDLE, "step")
    stepping.put(saved)
    assert everything(twin) == everything(stepping) == before
    twin.retrain()
    assert everything(twin) != before
    assert everything(first) == before
    first.retrain()
    stepping.retrain()
    assert everything(first) == everything(stepping) == everything(twin)
    first.put(saved)
    assert everything(first) == before


def everything(simulator: Simulator) -> tuple:
    """All that a chip remembers, as plain values."""
    memories = {name: bits.tolist() for name, bits in simulator.memories().items()}
    return memories, simulator.state, simulator.counters


def test_traced_cycles_are_those_of_the_lines():
    """A program gets as numbers what a trace's lines say."""
    texts, numbers = (Simulator(PLAN, BUNDLE, "step", trace=True) for _ in range(2))
    numbers.trace_cycles()
    for each in (texts, numbers):
        each.arrive(2)
    lines, cycles = texts.infer(IMAGES[0]).trace, numbers.infer(IMAGES[0]).trace
    assert [trace.line(*cycle) for cycle in cycles] == lines
    assert any(cycle.sums for cycle in cycles)


def test_words_of_the_line_buffer_outlast_an_abort():
    """What its rings gave last enters a row when the next image begins, and is still there where that is aborted, too.

    A convolution that comes to its end leaves words of 0.
    """
    first = PLAN.input.pixels + PLAN.convolutions[0].load

    def aborted(*cycles: int) -> tuple[int, int]:
        """The word that the first ring gave last, and what the second then holds after one more abort."""
        chip = Simulator(PLAN, BUNDLE)
        chip.arrive(2)
        for cycle in cycles[:-1]:
            chip.abort(cycle)
            chip.infer(IMAGES[0])
        word = int(chip.copied()["line.word"][0, 0])
        chip.abort(cycles[-1])
        chip.infer(IMAGES[0])
        return word, chip.memory_ints("line.row1")[0]

    ends = range(first, first + 5)
    assert {aborted(n) for n in ends} == {(0, 0)}
    found = {aborted(first + 12, n) for n in ends}
    assert (word := next(iter(found))[0])
    assert (word, word) in found
