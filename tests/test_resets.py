"""A reset in any cycle: the hardware and both modes of the simulator agree on what is left."""

import numpy as np
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
from tests.test_equivalence import check, simulate, state_of
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.replay import LFSR_SEEDS


@settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate])
@given(plan=cases(), seed=st.integers(0, 2**32 - 1))
def test_a_reset_in_any_cycle_leaves_what_the_simulator_predicts(plan, seed, tmp_path_factory):
    rng = np.random.default_rng(seed)
    bundle = bundles.random(plan.network, seed)
    classes = plan.network.classes
    saved = tmp_path_factory.mktemp("reset") / "state.npz"
    ended = [
        (ARRIVE, classes, None),
        (INSERT, 0, random_image(rng, plan)),
        (EPOCH, 0, None),
        (STAGE, classes - 1, random_image(rng, plan)),
        (INFER, 0, random_image(rng, plan)),
        (REBALANCE, 0, None),
        (RESTORE, 0, None),
        (RETRAIN, 0, None),
    ]
    commands, resets = [], []
    for i in rng.permutation(len(ended))[:4]:
        before = [(ARRIVE, classes, None), (INSERT, classes - 1, random_image(rng, plan))]
        before += [(STAGE, 0, random_image(rng, plan))]
        commands += [*before, ended[i]]
        resets += [False] * len(before) + [True]
    whole = [(ARRIVE, 2, None), (INSERT, 1, random_image(rng, plan)), (RETRAIN, 0, None)]
    commands += [*whole, (REBALANCE, 0, None), (INFER, 0, random_image(rng, plan))]
    resets += [False] * 5

    for mode in ("fast", "step"):
        chip, probe = Simulator(plan, bundle, mode), Simulator(plan, bundle)
        cycles: list[int | None] = []
        expected = []
        rng = np.random.default_rng(seed)  # the same cycles in both modes
        for command, reset in zip(commands, resets, strict=True):
            start = chip.cycles
            cycles.append(None)
            if reset:
                chip.dump(saved)
                probe.load(saved)
                simulate(probe, *command)
                cycles[-1] = int(rng.integers(1, probe.cycles - start + 1))
                chip.abort(cycles[-1])
            result = simulate(chip, *command)
            took = chip.cycles - start
            if reset:
                chip.reset()
            expected.append((result, start, took, state_of(chip)))
        if mode == "fast":
            observed = run_chip(plan, bundle, commands, resets=cycles)
        for want, seen in zip(expected, observed, strict=True):
            check(*want, seen)


def test_what_a_reset_leaves():
    """Registers and counters as at power-on, no sample, and the classifier as it was."""
    plan, bundle = tiny()
    for mode in ("fast", "step"):
        chip, fresh = Simulator(plan, bundle, mode), Simulator(plan, bundle, mode)
        image = random_image(np.random.default_rng(0), plan)
        chip.arrive(2)
        chip.insert(image, 1)
        chip.retrain()
        classifier = chip.proxies()
        assert (classifier.output != fresh.proxies().output).any()
        chip.reset()
        assert chip.state == fresh.state
        assert (chip.state.lfsr_walk, chip.state.lfsr_error, chip.state.lfsr_update) == tuple(
            LFSR_SEEDS.values()
        )
        assert not any(chip.counters.values())
        assert not any(chip.memory_ints("replay.label"))
        assert not any(chip.memory_ints("replay.count"))
        np.testing.assert_array_equal(chip.proxies().output, classifier.output)
        assert chip.ledger.phases == {}


def tiny():
    """The preset `tiny` and a random bundle of it."""
    preset = presets.load("tiny")
    return plans.compile(preset.network, preset.target), bundles.random(preset.network, 0)
