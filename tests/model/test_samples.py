"""Chip classes in order of arrival."""

import numpy as np

from xnoreplay.model.training.samples import Samples, digest, of_classes
from xnoreplay.spec import presets


def test_order_maps_chip_classes_to_labels_and_back():
    scenario = presets.load("digits").scenario
    np.testing.assert_array_equal(scenario.chip_classes(scenario.order), np.arange(10))


def test_a_digest_knows_pixels_classes_and_shape():
    images, classes = np.zeros((2, 3, 4, 1), np.uint8), np.array([0, 1])
    other = images.copy()
    other[1, 2, 3, 0] = 1
    known = {
        digest(Samples(images, classes)),
        digest(Samples(other, classes)),
        digest(Samples(images, classes[::-1])),
        digest(Samples(images.reshape(2, 4, 3, 1), classes)),
    }
    assert len(known) == 4
    assert digest(Samples(images[:, ::-1], classes)) == digest(Samples(images, classes))


def test_only_the_asked_classes_are_kept(tiny):
    preset, dataset = tiny
    samples = of_classes(preset.scenario, range(1, 3), dataset.train_images, dataset.train_labels)
    assert set(samples.classes) == {1, 2}
    wanted = np.isin(dataset.train_labels, preset.scenario.order[1:3])
    np.testing.assert_array_equal(samples.images, dataset.train_images[wanted])
