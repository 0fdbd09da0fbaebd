"""Which minibatches are traced: what each kind means, held by what the chip then does."""

from dataclasses import replace

import numpy as np
import pytest

from xnoreplay.flow.verify.cosim import minibatches
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets

TINY = presets.load("tiny")
CLASSES = TINY.network.classes


def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 17, (7, *TINY.network.image_shape), dtype=np.uint8)


def about_to_retrain(**dials):
    """A chip with seven samples of four classes, whose minibatches of four leave a rest of three."""
    target = replace(TINY.target, **dials)
    plan = plans.compile(TINY.network, target)
    return plan, stopped(Simulator(plan, bundles.random(TINY.network, 3)), 0)


def test_windows_begin_with_a_load_and_hold_one_minibatch():
    plan, chip = about_to_retrain(replay_capacity=9, epochs=2)
    found = minibatches.windows(plan, chip)
    assert {"first", "partial"} <= found.keys()
    before = chip.cycles
    phases = [(name, cycle - before) for name, cycle in chip.retrain().phases]
    for kind, (start, stop) in found.items():
        inside = [name for name, cycle in phases if start <= cycle < stop]
        assert inside.count("error") == 1
        assert inside[0] == ("balance" if kind == "first" else "load")


def test_looking_for_windows_changes_nothing():
    plan, chip = about_to_retrain()
    cycles, state = chip.cycles, chip.state
    minibatches.windows(plan, chip)
    assert (chip.cycles, chip.state) == (cycles, state)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_a_saturating_minibatch_holds_a_proxy_at_its_end(bits):
    plan, chip = about_to_retrain(proxy_bits=bits, epochs=2, rate_shift=0)
    start, stop = minibatches.windows(plan, chip)["saturating"]
    before, after = stopped(chip, start), stopped(chip, stop)
    samples = after.counters["learn.samples"] - before.counters["learn.samples"]
    low, high, step = -(1 << bits - 1), (1 << bits - 1) - 1, 1 << max(0, plan.rule.update_shift)
    held = 0
    for row in range(CLASSES):
        old, new = (c.proxies().output[row][0] for c in (before, after))
        for column, gradient in enumerate(gradients(after, row, samples)):
            outwards = (old[column] == low and gradient >= step) or (
                old[column] == high and gradient <= -step
            )
            assert not outwards or new[column] == old[column]
            held += outwards
    assert held


def test_an_all_correct_minibatch_updates_nothing():
    """Deltas of two bits are 0 unless an error is large, so late minibatches of few samples have none."""
    plan, chip = about_to_retrain(delta_bits=2, epochs=30, rate_shift=-2)
    start, stop = minibatches.windows(plan, chip)["all-correct"]
    before, after = stopped(chip, start), stopped(chip, stop)
    np.testing.assert_array_equal(before.proxies().output, after.proxies().output)
    assert after.counters["learn.rows"] == before.counters["learn.rows"]
    assert after.counters["learn.minibatches"] == before.counters["learn.minibatches"] + 1


def gradients(chip: Simulator, row: int, samples: int) -> list[int]:
    """Sums of delta times input of one class, from what the last minibatch left, one by one."""
    plan, net = chip.plan, chip.plan.network
    bits, words = plan.target.delta_bits, plan.memory("batch.bank").depth
    banks, planes = chip.memories()["batch.bank"], chip.memories()["batch.delta"]
    hidden = plan.replay.words * plan.target.channels
    total = [0] * net.output_inputs
    for n in range(samples):
        worth = [(1 << k) * (1 if k < bits - 1 else -1) for k in range(bits)]
        delta = sum(w for k, w in enumerate(worth) if planes[row * bits + k][n])
        word = banks[n * words : (n + 1) * words].ravel()
        for i in range(net.output_inputs):
            at = i if i < net.latent else hidden + i - net.latent
            total[i] += delta if word[at] else -delta
    return total


def stopped(chip: Simulator, cycles: int) -> Simulator:
    """A chip like this one whose session was aborted after so many cycles."""
    other = Simulator(chip.plan, chip.bundle)
    for n, image in enumerate(images()):
        if n == 0:
            other.arrive(CLASSES)
        other.insert(image, n % CLASSES)
    if cycles:
        other.abort(cycles)
        other.retrain()
    return other
