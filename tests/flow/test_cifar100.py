"""CIFAR-100's loader on a small made folder of the official layout, and its refusals."""

import pickle
import re

import numpy as np
import pytest

from xnoreplay.flow.cli import BAD_INPUT, main
from xnoreplay.flow.datasets import cifar100
from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.datasets import user_files as brought
from xnoreplay.spec import pixels, presets
from xnoreplay.spec.errors import XnoreplayError

SIZES = {"train": 400, "test": 100}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the layout, with fewer images; the variable names it."""
    monkeypatch.setattr(cifar100, "SIZES", SIZES)
    monkeypatch.setenv(brought.VARIABLE, str(tmp_path))
    rng = np.random.default_rng(0)
    for name, size in SIZES.items():
        content = {
            b"data": rng.integers(0, 256, (size, 3072), dtype=np.uint8),
            b"fine_labels": rng.permutation(np.arange(size) % 100).tolist(),
        }
        put(tmp_path, name, content)
    return tmp_path


def put(folder, name, content):
    (folder / cifar100.FOLDER).mkdir(exist_ok=True)
    (folder / cifar100.FOLDER / name).write_bytes(pickle.dumps(content, protocol=2))


def content_of(folder, name):
    return pickle.loads((folder / cifar100.FOLDER / name).read_bytes())


def test_training_images_come_first_and_keep_their_order(folder):
    dataset = data.load("cifar100")
    assert dataset.images.shape == (500, 32, 32, 3)
    assert dataset.is_test.tolist() == [False] * 400 + [True] * 100
    raw = content_of(folder, "test")
    assert dataset.test_labels.tolist() == raw[b"fine_labels"]
    planes = raw[b"data"][7].reshape(3, 32, 32)  # red, green, blue
    rgb = planes.transpose(1, 2, 0)
    np.testing.assert_array_equal(dataset.test_images[7], cifar100.to_ycbcr(rgb))


def test_the_folder_itself_may_be_named(folder):
    outer, inner = cifar100.read(folder), cifar100.read(folder / cifar100.FOLDER)
    for a, b in zip(outer, inner, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("folder")
def test_the_preset_takes_it():
    assert data.of_preset(presets.load("3mb")).name == "cifar100"


def test_ycbcr_is_jpeg_s_to_one_step():
    rgb = np.random.default_rng(1).integers(0, 256, (1000, 3), dtype=np.uint8)
    matrix = np.array(
        [
            [0.299, 0.587, 0.114],
            [-0.168736, -0.331264, 0.5],
            [0.5, -0.418688, -0.081312],
        ]
    )
    exact = (rgb @ matrix.T + [0, 128, 128]).clip(0, 255)
    assert np.abs(cifar100.to_ycbcr(rgb) - exact).max() < 1.5


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_are_converted_like_the_whole(monkeypatch, block):
    rgb = np.random.default_rng(2).integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
    monkeypatch.setattr(cifar100, "BLOCK", block)
    np.testing.assert_array_equal(cifar100.to_ycbcr(rgb), pixels.to_ycbcr(rgb))


SOURCE = r"--data or XNOREPLAY_DATA.*cifar-100-python.tar.gz"


def test_without_a_folder_the_sentence_says_where_to_get_it(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv(brought.VARIABLE, raising=False)
    with pytest.raises(XnoreplayError, match=SOURCE):
        cifar100.read()
    pytest.importorskip("torch")
    assert main(["pretrain", "--preset", "3mb", "--out", str(tmp_path)]) == BAD_INPUT
    assert re.search(SOURCE, capsys.readouterr().err)


def test_the_option_stands_before_the_variable(monkeypatch, tmp_path, capsys):
    pytest.importorskip("torch")
    monkeypatch.setenv(brought.VARIABLE, str(tmp_path / "elsewhere"))
    folder = tmp_path / "here"
    assert main(["pretrain", "--preset", "3mb", "--out", str(tmp_path), "--data", str(folder)]) == 1
    assert f"{folder / cifar100.FOLDER / 'train'} must be a file" in capsys.readouterr().err


def test_a_missing_file_is_named(folder):
    (folder / cifar100.FOLDER / "test").unlink()
    with pytest.raises(XnoreplayError, match=r"/test must be a file of CIFAR-100.*No such file"):
        cifar100.read()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda c: c | {b"data": c[b"data"][:-1]}, r"has data of uint8 \(99, 3072\), not uint8"),
        (lambda c: c | {b"data": c[b"data"].astype(float)}, r"has data of float64"),
        (lambda c: c | {b"data": 3}, r"has data of int, not uint8"),
        (lambda c: c | {b"fine_labels": [0] * 100}, "has not 1 images of each of the labels"),
        (lambda c: c | {b"fine_labels": [-1] * 100}, "has not 1 images of each of the labels"),
        (lambda c: c | {b"fine_labels": [1 << 40] * 100}, "has not 1 images of each of the labels"),
        (lambda _: {}, "cannot be read"),
        (lambda _: 7, "cannot be read"),
    ],
)
def test_damage_is_told_with_both_digests(folder, damage, sentence):
    put(folder, "test", damage(content_of(folder, "test")))
    with pytest.raises(XnoreplayError, match=sentence) as told:
        cifar100.read()
    assert cifar100.MD5["test"] in str(told.value)


def test_a_truncated_file_is_told(folder):
    path = folder / cifar100.FOLDER / "train"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(XnoreplayError, match=r"train must be CIFAR-100's train .* cannot be read"):
        cifar100.read()


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_pickle_cannot_execute_anything(folder, capsys):
    put(folder, "train", {b"data": Evil()})
    with pytest.raises(XnoreplayError, match="it asks for .*print"):
        cifar100.read()
    assert "executed" not in capsys.readouterr().out
