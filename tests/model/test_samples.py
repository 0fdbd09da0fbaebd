"""Chip classes in order of arrival."""

import numpy as np

from xnoreplay.model.samples import of_classes
from xnoreplay.spec import presets


def test_order_maps_chip_classes_to_labels_and_back():
    scenario = presets.load("digits").scenario
    np.testing.assert_array_equal(scenario.chip_classes(scenario.order), np.arange(10))


def test_only_the_asked_classes_are_kept(tiny):
    preset, dataset = tiny
    samples = of_classes(preset.scenario, range(1, 3), dataset.train_images, dataset.train_labels)
    assert set(samples.classes) == {1, 2}
    wanted = np.isin(dataset.train_labels, preset.scenario.order[1:3])
    np.testing.assert_array_equal(samples.images, dataset.train_images[wanted])
