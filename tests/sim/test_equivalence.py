"""Reference = fast mode = stepping mode, on networks and machines drawn at random."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.chips import Chips
from tests.strategies import designs, images


@given(design=designs(), seed=st.integers(0, 1000), seen=st.integers(0, 2))
def test_images(design, seed, seen):
    plan, bundle = design
    chips = Chips.of(plan, bundle)
    chips.do("arrive", seen)
    gaps = np.random.default_rng(seed).integers(0, 3, plan.input.pixels)
    first, second = images(plan.network, 2, seed)
    chips.do("infer", first, gaps=None)
    before = chips.fast.cycles
    chips.fast.infer(second, gaps=gaps)
    chips.step.infer(second, gaps=gaps)
    assert chips.fast.cycles - before == plan.infer_cycles(seen) + gaps.sum()
    assert chips.fast.counters["input.stalls"] == gaps.sum()
    chips.do("infer", first)


@given(design=designs(), seed=st.integers(0, 1000), script=st.lists(st.integers(0, 99), max_size=12))
def test_replay_memory(design, seed, script):
    plan, bundle = design
    classes = plan.network.classes
    chips = Chips.of(plan, bundle)
    pictures = images(plan.network, 4, seed)
    chips.do("arrive", 2)
    for choice in script:
        image, label = pictures[choice % 4], choice % classes
        seen = chips.fast.state.seen
        match choice % 6:
            case 0:
                chips.do("stage", image, label)
            case 5:
                chips.do("epoch")
            case 4:
                chips.do("arrive", max(seen, label))
            case _:
                chips.do("insert", image, label % seen)
    chips.do("rebalance")
    chips.do("epoch")


@given(design=designs(), seed=st.integers(0, 1000))
def test_data_set(design, seed):
    plan, bundle = design
    chips = Chips.of(plan, bundle)
    pictures = images(plan.network, 3, seed)
    chips.do("arrive", 2)
    told = [chips.reference.infer(image) for image in pictures]
    np.testing.assert_array_equal(chips.fast.latents(pictures), [f.latent for f in told])
    assert chips.fast.predict(pictures).tolist() == [f.prediction for f in told]
