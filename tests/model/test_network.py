"""PyTorch's integer evaluation against the reference, bit for bit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from xnoreplay.model.network import network
from xnoreplay.spec import bundle, presets, reference  # noqa: E402
from xnoreplay.spec.network import Conv, NetworkSpec  # noqa: E402

pytestmark = pytest.mark.torch


def check(b, target, images, seen):
    """Every latent bit, hidden bit and integer logit of every image."""
    evaluation = network.of_bundle(b).evaluate(images)
    classifier = reference.Classifier.load(b, target)
    for i, image in enumerate(images):
        expected = classifier.forward(reference.latent(b, image), seen)
        np.testing.assert_array_equal(evaluation.latent[i], expected.latent)
        np.testing.assert_array_equal(evaluation.hidden[i], expected.hidden)
        np.testing.assert_array_equal(evaluation.logits[i, :seen], expected.logits)


@st.composite
def networks(draw):
    """Small networks of every kind: colours, levels, groups, pooling, skips, padding."""
    colour, image_channels = draw(st.sampled_from([("grey", 1), ("ycbcr", 3)]))
    levels = tuple(draw(st.integers(1, 3)) * 2 for _ in range(image_channels))
    convs = []
    size = draw(st.sampled_from([4, 8]))
    left = size
    for _ in range(draw(st.integers(1, 3))):
        pool = left > 2 and draw(st.booleans())
        left //= 1 + pool
        filters = draw(st.integers(1, 4)) * 2
        skip = bool(convs) and not convs[-1].pool and draw(st.booleans())
        if skip:
            filters = convs[-2].filters if len(convs) > 1 else sum(levels)
        convs.append(Conv(filters, draw(st.sampled_from([1, 2])), pool, skip))
    return NetworkSpec(
        name="drawn",
        height=size,
        width=size,
        colour=colour,
        levels=levels,
        convs=tuple(convs),
        latent=draw(st.integers(1, 20)),
        hidden=draw(st.integers(1, 9)),
        classes=draw(st.integers(2, 5)),
        pad_bit=draw(st.integers(0, 1)),
    )


@settings(max_examples=40, deadline=None)
@given(net=networks(), seed=st.integers(0, 999))
def test_random_networks_agree_with_the_reference(net, seed):
    target = presets.from_dict({"preset": "tiny", "target": {"proxies_per_pair": 2}}).target
    b = bundle.random(net, seed)
    images = np.random.default_rng(seed).integers(0, 256, (3, *net.image_shape), dtype=np.uint8)
    check(b, target, images, net.classes)


def test_packaged_bundle_agrees_on_every_test_image(packaged):
    preset, dataset, b = packaged
    check(b, preset.target, dataset.test_images, preset.scenario.base)


def test_evaluation_is_what_training_sees(packaged):
    """The trained path in single precision gives alpha times the same integers."""
    _, dataset, b = packaged
    model = network.of_bundle(b)
    images = dataset.test_images[:64]
    with torch.no_grad():
        logits = model(torch.from_numpy(images)).numpy()
    sums = model.evaluate(images).logits
    np.testing.assert_array_equal(np.rint(logits / model.alpha).astype(int), sums)


def test_no_images_are_evaluated_too(packaged):
    _, dataset, b = packaged
    evaluation = network.of_bundle(b).evaluate(dataset.test_images[:0])
    assert [len(field) for field in evaluation] == [0, 0, 0]


def test_3mb_res_agrees_with_the_reference():
    preset = presets.load("3mb-res")
    net = preset.network
    image = np.random.default_rng(0).integers(0, 256, (1, *net.image_shape), dtype=np.uint8)
    target = dataclasses.replace(preset.target, proxies_per_pair=2)  # as random proxies are
    check(bundle.random(net, 5), target, image, net.classes)
