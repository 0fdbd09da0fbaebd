"""The timeline: what `docs/learning_datapath.md` states in numbers, and when the error unit does what."""

import re

import numpy as np
import pytest

from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, learning, plan, presets, timeline

TINY = presets.load("tiny")


@pytest.mark.parametrize("seen", [1, 2, 10, 240, 1024])
def test_cycles_follow_the_page(seen):
    assert timeline.balance_cycles(seen, 7, staging=9, division=33) == 56 * seen + 7 + 1
    assert timeline.balance_cycles(seen, 0, staging=0, division=36) == 59 * seen
    assert timeline.error_cycles(seen, groups=3) == 3 * (2 * seen + 13)
    assert timeline.update_cycles(seen, 1, 5, 6) == seen + 5 + 6 + 7
    assert timeline.stream_cycles(seen) == seen + 5
    words, hidden, blocks = 2 * seen * 3, 32, 2
    want = words + 1 + 4 * (blocks + hidden + 2) + 8 + 9 + 5
    assert timeline.back_cycles(words, 1, 4, blocks, hidden, 8, 9) == want


@pytest.mark.parametrize("classes", [2, 100, 240, 248, 249, 500, 1024])
def test_a_class_weights_dividend_fits_its_bits(classes):
    """The most that it can be, of classes with one sample each; up to 248 classes 32 bits are enough."""
    inverse = learning.BALANCE_BITS
    dividend = (classes << inverse + learning.WEIGHT_BITS) + (classes << inverse) // 2
    bits = timeline.weight_cycles(classes) - timeline.READ_LATENCY
    assert dividend < 1 << bits
    assert bits == 32 if classes <= 248 else dividend >= 1 << bits - 1


def test_a_group_is_worked_on_when_the_timeline_says():
    """The trace of a group: logits in both readings, label and weight, and the deltas' writes, as the page has them."""
    compiled = plan.compile(TINY.network, TINY.target)
    chip = Simulator(compiled, bundle.random(TINY.network, 0), "step", trace=True)
    seen = TINY.network.classes
    chip.arrive(seen)
    latents = np.random.default_rng(0).integers(0, 2, (seen, TINY.network.latent), np.uint8)
    chip.remember(latents, np.arange(seen))
    result = chip.retrain()
    start = next(cycle for name, cycle in result.phases if name == "error")
    reads: dict[str, list[int]] = {}
    writes = set()
    for line in result.trace:
        cycle, phase, *items = line.split()
        t = int(cycle) - start
        if phase != "error" or not 0 <= t < 2 * seen + 13:
            continue
        for item in items:
            memory, _, address = re.fullmatch(r"([a-z.]+)\.([rw])@(\d+).*", item).groups()
            reads.setdefault(memory, []).append(t)
            if memory == "batch.delta":
                writes.add((t, int(address) // compiled.rule.delta_bits))
    readings = [*range(seen), *range(seen + 8, 2 * seen + 8)]
    assert reads["batch.logit"] == readings
    assert (reads["batch.label"], reads["table.weight"]) == ([0], [1])
    assert writes == {(seen + 13 + c, c) for c in range(seen)}
    assert timeline.second_reading(seen) == seen + 8
