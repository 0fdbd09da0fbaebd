"""Data sets: shapes, the fixed split, and clear refusals."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.datasets import user_files as brought
from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.pipeline import steps as pipeline
from xnoreplay.flow.pipeline.settings import Settings
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import presets
from xnoreplay.spec.errors import ImageError, SpecError, ToolError, XnoreplayError


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_digits_are_all_there_in_the_library_s_order(digits):
    from sklearn.datasets import load_digits

    raw = load_digits()
    assert digits.images.shape == (1797, 8, 8, 1)
    assert digits.images.dtype == np.uint8
    assert (digits.images.min(), digits.images.max(), digits.max_pixel) == (0, 16, 16)
    np.testing.assert_array_equal(digits.images[..., 0], raw.images)
    np.testing.assert_array_equal(digits.labels, raw.target)


def test_every_fourth_sample_of_a_class_is_a_test_sample(digits):
    for label in range(10):
        of_class = digits.is_test[digits.labels == label]
        np.testing.assert_array_equal(of_class, np.arange(len(of_class)) % 4 == 3)
    assert len(digits.train_images) + len(digits.test_images) == 1797
    assert len(digits.test_images) == len(digits.test_labels) == digits.is_test.sum()


def test_tiny_images_are_block_means(digits):
    tiny = data.load("digits", (4, 4, 1))
    assert tiny.images.shape == (1797, 4, 4, 1)
    block = digits.images[7, 2:4, 4:6, 0].astype(int)
    assert tiny.images[7, 1, 2, 0] == block.sum() // 4


@pytest.mark.parametrize("shape", [(5, 5, 1), (16, 16, 1), (8, 8, 3), (4, 8, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ImageError, match=r"must take images of \(8, 8, 1\) or of that divided"):
        data.load("digits", shape)


def test_unknown_data_sets_suggest_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'digits'"):
        data.load("digit")


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ToolError, match="must have scikit-learn installed"):
        data.load("digits")


def test_digits_are_read_without_their_library(monkeypatch, digits):
    for name in ("sklearn.datasets", "sklearn.base", "scipy", "scipy.stats"):
        monkeypatch.setitem(sys.modules, name, None)  # what imports one of them fails
    np.testing.assert_array_equal(data.load("digits").images, digits.images)


def test_a_library_without_its_file_is_named(monkeypatch, tmp_path):
    library = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda _name: library)
    with pytest.raises(ToolError, match=r"must be scikit-learn's .*digits.csv.gz, but: .*No such"):
        data.load("digits")


def test_random_images_fit_any_network():
    preset = presets.from_dict(
        {
            "preset": "tiny",
            "network": {"height": 6, "width": 10, "colour": "ycbcr", "levels": [3, 2, 2]},
            "scenario": {"dataset": "random"},
        }
    )
    dataset = data.of_preset(preset)
    assert dataset.images.shape[1:] == preset.network.image_shape
    assert set(dataset.labels) == set(range(preset.scenario.classes))
    assert (dataset.images == data.of_preset(preset).images).all()


def test_every_class_of_random_images_has_one_to_test():
    preset = presets.from_dict(
        {
            "preset": "tiny",
            "network": {"classes": 120},
            "scenario": {"dataset": "random", "classes": 120, "base": 118, "step": 1},
        }
    )
    dataset = data.of_preset(preset)
    assert set(dataset.test_labels) == set(dataset.train_labels) == set(range(120))


def test_more_classes_than_the_data_set_has():
    preset = presets.from_dict(
        {
            "preset": "digits",
            "network": {"classes": 20},
            "scenario": {"classes": 20, "base": 5},
        }
    )
    with pytest.raises(SpecError, match="classes of the scenario must be at most the 10 of data"):
        data.of_preset(preset)


def _config(preset):
    return pipeline.configs(Settings(preset, BundleSource("random")))["cosim"]


def test_random_images_stand_in_for_a_data_set_that_nobody_brought(monkeypatch):
    monkeypatch.delenv(brought.VARIABLE, raising=False)
    notes = []
    progress = Silent()
    monkeypatch.setattr(progress, "note", notes.append)
    full = presets.load("3mb")
    found = data.of_preset_or_random(full, progress)
    assert found.name == data.RANDOM
    assert found.images.shape[1:] == full.network.image_shape
    assert np.bincount(found.labels[~found.is_test]).min() >= 2
    assert notes == [
        "data set 'cifar100' is not here (XNOREPLAY_DATA is not set): random images stand in for it"
    ]
    # A comparison of random images is out of date where the data set is brought.
    assert _config(full)["stand_in"]
    monkeypatch.setenv(brought.VARIABLE, "/nowhere")
    assert not _config(full)["stand_in"]
    with pytest.raises(XnoreplayError, match="must be a file of CIFAR-100"):
        data.of_preset_or_random(full, progress)
    assert data.of_preset_or_random(presets.load("tiny"), progress).name == "digits"
