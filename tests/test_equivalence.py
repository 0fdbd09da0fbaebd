"""Reference, simulator in both modes, and hardware: one meaning.

The hardware runs in Amaranth's own simulator here, over random tiny specs; co-simulation holds its
Verilog to the simulator at full size.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.hw.chip_bench import (
    ARRIVE,
    EPOCH,
    INFER,
    INSERT,
    REBALANCE,
    RESTORE,
    RETRAIN,
    STAGE,
    random_image,
    run_chip,
)
from tests.hw.test_chip import cases
from tests.strategies import CORNERS, LATENTS, RESIDUAL, designs
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import image, reference
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.target import TargetSpec


def simulate(chip: Simulator | reference.Chip, command, argument, pixels):
    """One command on the simulator, or on the reference."""
    given = [pixels] if command.image else []
    if command in (ARRIVE, INSERT, STAGE):
        given.append(argument)
    return getattr(chip, command.name.lower())(*given)


def state_of(chip: Simulator) -> dict:
    """Everything of a simulated chip that an observation of the hardware shows."""
    registers = chip.state._asdict()
    memories = {name: chip.memory_ints(name) for name in chip.memories()}
    return {"counters": chip.chip_counters, "memories": memories, **registers}


def check(result, start: int, cycles: int, state: dict, observed) -> None:
    """Hold one command of the hardware to the simulator's."""
    assert [(name, cycle - start) for name, cycle in result.phases] == observed.phases
    assert cycles == observed.cycles
    for name, rows in observed.memories.items():
        assert state["memories"][name] == rows, name
    for name in (
        "counters",
        "seen",
        "quota",
        "staged",
        "refused",
        "prediction",
        "finished",
        "lfsr_walk",
        "lfsr_error",
        "lfsr_update",
        "stale",
    ):
        assert state[name] == getattr(observed, name), name


@settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate])
@given(plan=cases(), seed=st.integers(0, 2**32 - 1))
def test_hardware_equals_both_modes(plan, seed):
    hold_sessions(plan, seed)


@pytest.mark.parametrize("name", CORNERS)
def test_corners_in_hardware(name):
    hold_sessions(CORNERS[name], 0)


@pytest.mark.parametrize("name", LATENTS)
def test_latents_in_hardware(name):
    """Bits of the stream that carry nothing are 1: the chip must ignore them."""
    hold_sessions(LATENTS[name], 0)


@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])
@given(design=designs(latents=True), seed=st.integers(0, 2**32 - 1))
def test_hardware_of_drawn_latents_equals_both_modes(design, seed):
    hold_sessions(design[0], seed)


def hold_sessions(plan, seed: int) -> None:
    """Sessions of nothing and of few samples, images and an epoch, through the hardware, both modes and the reference."""
    rng = np.random.default_rng(seed)
    bundle = bundles.random(plan.network, seed)
    base = plan.network.classes - 1
    commands = [(ARRIVE, base, None), (RETRAIN, 0, None)]  # a session of nothing
    commands += [(INSERT, n % base, random_image(rng, plan)) for n in range(4)]
    commands += [(INFER, 0, random_image(rng, plan))]
    commands += [(STAGE, base, random_image(rng, plan)) for _ in range(3)]
    commands += [(EPOCH, 0, None), (RETRAIN, 0, None), (RESTORE, 0, None), (REBALANCE, 0, None)]
    commands += [(RETRAIN, 0, None)]
    commands += [(INFER, 0, random_image(rng, plan))]
    hardware = run_chip(plan, bundle, commands)

    for mode in ("fast", "step"):
        chip = Simulator(plan, bundle, mode)
        for (command, argument, pixels), observed in zip(commands, hardware, strict=True):
            start = chip.cycles
            result = simulate(chip, command, argument, pixels)
            check(result, start, chip.cycles - start, state_of(chip), observed)
    hold_reference(plan, bundle, commands, hardware)


def hold_reference(plan, bundle, commands, hardware) -> None:
    """Predictions, what is remembered, and the walk's register are the reference's; cycles the plan's closed forms."""
    chip = reference.Chip(bundle, plan.target)
    for (command, argument, pixels), seen in zip(commands, hardware, strict=True):
        if command == INFER:
            result = chip.infer(pixels)
            assert seen.cycles == plan.infer_cycles(chip.seen)
            assert seen.prediction == result.prediction
            assert seen.memories["act.latent"] == words(plan, result.latent)
        elif command == EPOCH:
            samples = sum(1 for _ in chip.epoch_order())
            assert seen.cycles == plan.replay.epoch_cycles(len(chip.staged), samples)
            assert seen.counters.get("epoch.samples", samples) == samples  # not every target counts
        else:
            simulate(chip, command, argument, pixels)
            if command == ARRIVE:
                assert seen.cycles == plan.replay.quota_cycles(argument) + plan.replay.evict_cycles
        valid = 1 << plan.memory("replay.label").width - 1
        labels = [w - valid if w >= valid else -1 for w in seen.memories["replay.label"]]
        assert labels == chip.labels.tolist()
        for slot, label in enumerate(labels):
            if label >= 0:
                first = slot * plan.replay.words
                stored = seen.memories["replay.latent"][first : first + plan.replay.words]
                assert stored == words(plan, chip.latents[slot])
        assert seen.lfsr_walk == chip.random.walk


def words(plan, bits) -> list[int]:
    """A latent as the chip stores it."""
    return [to_int(w) for w in image.vector_words([bits], plan.target.channels)]


def test_a_folded_minibatch_of_a_learning_hidden_layer():
    """Sixteen samples fill the nodes of two channels; deltas and proxies at their widest."""
    network = NetworkSpec("folded", 4, 4, "grey", (4,), (Conv(4, pool=True),), 10, 6, 3)
    target = TargetSpec(
        "folded",
        2,
        4,
        16,
        proxy_bits=12,
        delta_bits=8,
        proxies_per_pair=2,
        hidden_learns=True,
        replay_capacity=18,
        staging_capacity=4,
        epochs=2,
        rate_shift=0,
    )
    plan, rng = plans.compile(network, target), np.random.default_rng(1)
    commands = [(ARRIVE, 2, None), *((INSERT, n % 2, random_image(rng, plan)) for n in range(18))]
    commands += [(STAGE, 2, random_image(rng, plan)) for _ in range(3)]
    commands += [(RETRAIN, 0, None), (REBALANCE, 0, None), (INFER, 0, random_image(rng, plan))]
    bundle = bundles.random(network, 2)
    hardware = run_chip(plan, bundle, commands)
    for mode in ("fast", "step"):
        chip = Simulator(plan, bundle, mode)
        for command, observed in zip(commands, hardware, strict=True):
            start = chip.cycles
            result = simulate(chip, *command)
            check(result, start, chip.cycles - start, state_of(chip), observed)
            if command[0] == RETRAIN:
                planes = chip.memories()["batch.delta"]
                assert planes[:, 9:].any()  # nodes past the first nine samples
                assert chip.counters["learn.hidden.planes"]
                assert chip.counters["learn.back.planes"]


def hold_images(plan, seed: int) -> None:
    """Images through the hardware and both modes; an abort leaves a map half overwritten."""
    rng = np.random.default_rng(seed)
    bundle = bundles.random(plan.network, seed)
    first, second, third = (random_image(rng, plan) for _ in range(3))
    commands = [(ARRIVE, 2, None), (INFER, 0, first), (INFER, 0, second), (INSERT, 1, third)]
    aborts = [None, None, int(rng.integers(1, plan.infer_cycles(2))), None]
    observations = run_chip(plan, bundle, commands, aborts=aborts)
    for mode in ("fast", "step"):
        chip = Simulator(plan, bundle, mode)
        for command, abort, observed in zip(commands, aborts, observations, strict=True):
            start = chip.cycles
            if abort:
                chip.abort(abort)
            result = simulate(chip, *command)
            check(result, start, chip.cycles - start, state_of(chip), observed)


@settings(max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate])
@given(plan=cases(residual=True), seed=st.integers(0, 2**32 - 1))
def test_hardware_with_skips_equals_both_modes(plan, seed):
    hold_images(plan, seed)


@pytest.mark.parametrize("name", RESIDUAL)
def test_corners_of_skips_in_hardware(name):
    hold_images(RESIDUAL[name], 0)


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
@given(plan=cases(), seed=st.integers(0, 2**32 - 1))
def test_an_abort_in_any_cycle_leaves_what_the_simulator_predicts(plan, seed, tmp_path_factory):
    rng = np.random.default_rng(seed)
    bundle = bundles.random(plan.network, seed)
    classes = plan.network.classes
    saved = tmp_path_factory.mktemp("abort") / "state.npz"
    base = [(ARRIVE, classes - 1, None)]
    base += [(INSERT, n % (classes - 1), random_image(rng, plan)) for n in range(4)]
    aborted = [
        (ARRIVE, classes, None),
        (INSERT, 0, random_image(rng, plan)),
        (EPOCH, 0, None),
        (STAGE, classes - 1, random_image(rng, plan)),
        (INFER, 0, random_image(rng, plan)),
        (REBALANCE, 0, None),
        (RESTORE, 0, None),
        *[(RETRAIN, 0, None)] * 3,
    ]
    # What an aborted restore leaves, only another restore goes on from.
    ordered = [aborted[i] for i in rng.permutation(len(aborted))]
    chosen = [[(c, True)] + [(c, False)] * (c[0] == RESTORE) for c in ordered]
    ended = [(c, False) for c in base] + [pair for pairs in chosen for pair in pairs]
    whole = [(STAGE, 0, random_image(rng, plan)), (RETRAIN, 0, None), (REBALANCE, 0, None)]
    whole += [(INFER, 0, random_image(rng, plan))]
    ended += [(c, False) for c in whole]
    commands = [c for c, _ in ended]

    chip, probe = Simulator(plan, bundle), Simulator(plan, bundle)
    aborts: list[int | None] = []
    expected = []
    for i, (command, aborts_it) in enumerate(ended):
        start = chip.cycles
        aborts.append(None)
        if aborts_it:
            chip.dump(saved)
            probe.load(saved)
            simulate(probe, *command)
            # One more than its cycles comes too late.
            aborts[i] = int(rng.integers(1, probe.cycles - start + 2))
            chip.abort(aborts[i])
        result = simulate(chip, *command)
        expected.append((result, start, chip.cycles - start, state_of(chip)))
    for want, observed in zip(
        expected, run_chip(plan, bundle, commands, aborts=aborts), strict=True
    ):
        check(*want, observed)


def test_a_watchdog_ends_what_takes_too_long():
    """Fewer cycles than a spec may ask for, so that commands end in many of their phases: in both modes and in hardware."""
    reached: Counter[str] = Counter()

    @settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate])
    @given(plan=cases(), seed=st.integers(0, 2**32 - 1), bits=st.integers(1, 10))
    def held(plan, seed, bits):
        reached.update(hold_watchdog(plan, seed, bits))

    held()
    assert len(reached) >= 6
    assert reached.total() >= 20


def hold_watchdog(plan, seed: int, bits: int) -> list[str]:
    """Commands through the hardware and both modes of a chip with a watchdog; the phases in which it ended one."""
    rng = np.random.default_rng(seed)
    guarded = replace(plan, target=replace(plan.target, watchdog_bits=bits))
    bundle = bundles.random(plan.network, seed)
    classes = plan.network.classes
    commands = [(ARRIVE, classes - 1, None)]
    commands += [(INSERT, n % (classes - 1), random_image(rng, plan)) for n in range(3)]
    commands += [(STAGE, classes - 1, random_image(rng, plan)), (EPOCH, 0, None)]
    commands += [(RETRAIN, 0, None), (REBALANCE, 0, None), (INFER, 0, random_image(rng, plan))]
    hardware = run_chip(guarded, bundle, commands)
    for mode in ("fast", "step"):
        chip = Simulator(guarded, bundle, mode)
        ended = []
        for (command, argument, pixels), observed in zip(commands, hardware, strict=True):
            start = chip.cycles
            result = simulate(chip, command, argument, pixels)
            assert chip.cycles - start <= 1 << bits
            if not result.finished:
                ended.append(result.phases[-1][0])
            check(result, start, chip.cycles - start, state_of(chip), observed)
        free = Simulator(plan, bundle, mode)
        longest = 0
        for command, argument, pixels in commands:
            start = free.cycles
            simulate(free, command, argument, pixels)
            longest = max(longest, free.cycles - start)
        assert bool(ended) == (longest > 1 << bits)
    return ended
