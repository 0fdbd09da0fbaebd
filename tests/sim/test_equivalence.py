"""Reference = fast mode = stepping mode, on networks and machines drawn at random."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.chips import Chips, destination_bank
from tests.strategies import LATENTS, RESIDUAL, any_designs, images
from xnoreplay.sim.common.jit import COMPILED
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, reference


@given(design=any_designs(), seed=st.integers(0, 1000), seen=st.integers(0, 2))
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


@given(
    design=any_designs(),
    seed=st.integers(0, 1000),
    script=st.lists(st.integers(0, 99), max_size=12),
)
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


@given(design=any_designs(), seed=st.integers(0, 1000))
def test_data_set(design, seed):
    plan, bundle = design
    chips = Chips.of(plan, bundle)
    pictures = images(plan.network, 3, seed)
    chips.do("arrive", 2)
    told = [chips.reference.infer(image) for image in pictures]
    np.testing.assert_array_equal(chips.fast.latents(pictures), [f.latent for f in told])
    assert chips.fast.predict(pictures).tolist() == [f.prediction for f in told]


@pytest.mark.parametrize("name", RESIDUAL)
def test_corners_of_skips(name):
    plan = RESIDUAL[name]
    net, op = plan.network, plan.lgap
    bundle = bundles.random(net, 3)
    chips = Chips.of(plan, bundle)
    chips.do("arrive", 2)
    for image in images(net, 3, 1):
        chips.do("infer", image)
        expected = reference.feature_maps(bundle, image)[-1].reshape(op.pixels, -1)
        words = chips.step.memories()[op.source_bank][: op.pixels * op.words]
        stored = words.reshape(op.pixels, -1)[:, : net.lgap_map.channels]
        np.testing.assert_array_equal(stored, expected)
        np.testing.assert_array_equal(
            chips.fast.latents(image[None])[0], reference.latent(bundle, image)
        )


@pytest.mark.parametrize("name", LATENTS)
def test_corners_of_latents(name):
    plan = LATENTS[name]
    net = plan.network
    bundle = bundles.random(net, 3)
    chips = Chips.of(plan, bundle)
    chips.do("arrive", 2)
    for packed in images(net, 3, 1):
        chips.do("infer", packed)
        expected = np.unpackbits(packed, bitorder="little")[: net.latent]
        words = chips.step.memories()["act.latent"].reshape(-1)
        np.testing.assert_array_equal(words[: net.latent], expected)
        assert not words[net.latent :].any()
        np.testing.assert_array_equal(chips.fast.latents(packed[None])[0], expected)


def test_a_skip_changes_what_its_convolution_makes():
    net = RESIDUAL["skip upon skip"].network
    bundle, image = bundles.random(net, 3), images(net, 1, 1)[0]
    convs = tuple(dataclasses.replace(c, skip=False) for c in net.convs)
    plain = dataclasses.replace(bundle, network=dataclasses.replace(net, convs=convs))
    pairs = zip(*(reference.feature_maps(b, image) for b in (bundle, plain)), strict=True)
    assert [bool((a != b).any()) for a, b in pairs] == [False, False, True, True, True]


@pytest.mark.skipif(not COMPILED, reason="hours where kernels run as plain Python")
def test_3mb_res_at_its_size():
    preset = presets.load("3mb-res")
    plan = plans.compile(preset.network, preset.target)
    bundle = bundles.random(plan.network, 5)
    chips = Chips.of(plan, bundle)
    chips.do("arrive", 50)
    image = images(plan.network, 1, 0)[0]
    before = chips.fast.counters
    chips.do("infer", image)
    counted = {name: n - before[name] for name, n in chips.fast.counters.items()}
    assert counted["cycles"] == plan.infer_cycles(50)
    moves = {bank: 0 for bank in ("act.ping", "act.pong")}
    for op in plan.convolutions:
        moves[op.source_bank] += op.tiles * op.pixels * op.beats
        moves[destination_bank(op)] += op.tiles * op.pixels if op.skip_shift else 0
    moves[plan.lgap.source_bank] += plan.lgap.words * plan.lgap.pixels
    assert {bank: counted[f"{bank}.reads"] for bank in moves} == moves
