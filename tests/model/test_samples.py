"""Chip classes in order of arrival."""

import tracemalloc

import numpy as np
import pytest

from xnoreplay.model.training.samples import Samples, channel_counts, digest, of_classes
from xnoreplay.spec import presets, rows


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


@pytest.mark.parametrize(
    "look", [digest, lambda s: channel_counts(s.images, 1)], ids=["digest", "counts"]
)
def test_images_on_the_disk_are_read_a_chunk_at_a_time(tmp_path, monkeypatch, look):
    monkeypatch.setattr(rows, "AT_ONCE", 1 << 18)
    images = np.random.default_rng(0).integers(0, 256, (1024, 32, 32, 3), np.uint8)
    np.save(tmp_path / "a.npy", images)
    classes = np.arange(1024) % 3
    wanted = look(Samples(images, classes))
    mapped = rows.Rows(np.load(tmp_path / "a.npy", mmap_mode="r"))
    tracemalloc.start()
    found = look(Samples(mapped, classes))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert np.array_equal(found, wanted)
    assert peak < images.nbytes // 2
