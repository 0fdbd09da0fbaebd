"""CIFAR-100 in its official Python layout: folder cifar-100-python with pickles train, test, meta.

Pickles are read by an unpickler that builds arrays and plain values and nothing else.
"""

import hashlib
from pathlib import Path

import numpy as np

from xnoreplay.flow.datasets import user_files
from xnoreplay.spec import pixels, reading
from xnoreplay.spec.errors import XnoreplayError, told

FOLDER = "cifar-100-python"
SITE = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
SIDE, CHANNELS, CLASSES = 32, 3, 100
BLOCK = 1 << 20  # pixels converted at a time
SIZES = {"train": 50_000, "test": 10_000}
MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
"""Of the files on SITE. Other files of the same layout and content serve as well."""


def read(folder: Path | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read all images in the order of the files, training images first.

    Parameters
    ----------
    folder : Path, optional
        Holds the folder `FOLDER`, or is it; else what `user_files.VARIABLE` names.

    Returns
    -------
    tuple
        images (60000, 32, 32, 3) uint8 RGB, labels (60000,) int64, is_test (60000,) bool.

    Raises
    ------
    XnoreplayError
        For a missing or damaged file: where to get it, and what was expected.
    """
    folder = user_files.folder(folder, "cifar100", FOLDER, _get())
    parts = [_split(folder / name, size) for name, size in SIZES.items()]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return images, labels, np.arange(len(labels)) >= SIZES["train"]


def to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """The pixels of `xnoreplay.spec.pixels.to_ycbcr`, block by block: (..., 3) uint8 to the same.

    >>> to_ycbcr(np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], np.uint8)).tolist()
    [[0, 128, 128], [255, 128, 128], [77, 85, 255]]
    """
    flat = rgb.reshape(-1, CHANNELS)
    found = np.empty_like(flat)
    for start in range(0, len(flat), BLOCK):  # in wide integers, all at once take gigabytes
        block = slice(start, start + BLOCK)
        found[block] = pixels.to_ycbcr(flat[block])
    return found.reshape(rgb.shape)


def _split(path: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = user_files.unpickle(reading.raw(path), "bytes")
        data, labels = content[b"data"], np.asarray(content[b"fine_labels"])
    except OSError as error:
        raise XnoreplayError(
            f"{path} must be a file of CIFAR-100, but: {error.strerror}; {_get()}"
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises almost anything
        raise _damaged(path, f"cannot be read ({type(error).__name__}: {told(error)})") from None
    shape = (size, CHANNELS * SIDE * SIDE)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape != shape:
        got = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise _damaged(path, f"has data of {got}, not uint8 {shape}")
    counts = np.bincount(labels, minlength=CLASSES) if _are_labels(labels) else np.zeros(0)
    if labels.shape != (size,) or not np.array_equal(counts, [size // CLASSES] * CLASSES):
        raise _damaged(
            path, f"has not {size // CLASSES} images of each of the labels 0 to {CLASSES - 1}"
        )
    images = data.reshape(size, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels.astype(np.int64)


def _are_labels(labels: np.ndarray) -> bool:
    """Tell whether labels may be counted, which takes memory for every number up to the greatest."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return False
    return labels.min(initial=0) >= 0 and labels.max(initial=0) < CLASSES


def _damaged(path: Path, what: str) -> XnoreplayError:
    return XnoreplayError(
        f"{path} must be CIFAR-100's {path.name} (md5 {MD5[path.name]}), but {what} "
        f"and its md5 is {_md5(path)}; {_get()}"
    )


def _md5(path: Path) -> str:
    return hashlib.md5(reading.raw(path), usedforsecurity=False).hexdigest()


def _get() -> str:
    return f"unpack {SITE} (169 MB) into that folder, so that it has {FOLDER}/train and /test"
