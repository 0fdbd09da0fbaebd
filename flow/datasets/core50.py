"""CORe50 in its official layout: 128x128 images of 50 objects, New Classes (NC) protocol.

Folder `core50` holds the images, as files or as one array, and what belongs to which batch, as file
lists or as look-up tables::

    core50_128x128/s1/o1/C_01_01_000.png ...        session, object, frame
    core50_imgs.npz, paths.pkl                      or: the same as array `x`, and its paths in order
    batches_filelists/NC_inc/run0/train_batch_00_filelist.txt ... 08, test_filelist.txt
    LUP.pkl, labels.pkl, paths.pkl                  or: indices into paths.pkl, and labels

A file list has a line an image, "s1/o1/C_01_01_000.png 0". Runs 0 to 9 are ten class orders. In each
the first batch brings ten classes and eight more bring five; test images are those of sessions 3, 7
and 10. Source: Lomonaco and Maltoni, CoRL 2017, arXiv 1705.03550.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnoreplay.flow.datasets import user_files
from xnoreplay.flow.datasets.cifar100 import to_ycbcr
from xnoreplay.spec import reading
from xnoreplay.spec.errors import ToolError, XnoreplayError, shown, told

FOLDER, IMAGES, ARRAY = "core50", "core50_128x128", "core50_imgs.npz"
LISTS = "batches_filelists/NC_inc"
SITE = "https://vlomonaco.github.io/core50"
SIDE, CHANNELS = 128, 3
BATCHES = (10, 5, 5, 5, 5, 5, 5, 5, 5)  # new classes of each training batch
CLASSES = sum(BATCHES)
OBJECTS = (
    *("plug_adapter", "mobile_phone", "scissor", "light_bulb", "can"),
    *("glass", "ball", "marker", "cup", "remote_control"),
)
"""What objects o1 to o50 are, five of each, spelt as in public code that reads the data set's `core50_labels.txt`."""
MOST_DIGITS = 9  # of a label; int() takes no more than some thousand


class Listed(NamedTuple):
    """The images of one run: relative paths, and (n,) labels and training batches (-1 for test images)."""

    paths: list[str]
    labels: np.ndarray
    batch: np.ndarray


def read(run: int = 0, folder: Path | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read all images of one run, batch after batch in the order of its lists, test images last.

    Needs 49,152 bytes of memory an image, 8.1 GB for the whole data set, and as much again while it
    is read from the array.

    Parameters
    ----------
    run : int
        Official class order, 0 to 9.
    folder : Path, optional
        Holds the folder `FOLDER`, or is it; else what `user_files.VARIABLE` names.

    Returns
    -------
    tuple
        images (n, 128, 128, 3) uint8 YCbCr, labels (n,) int64, is_test (n,) bool. Labels are
        numbered in the order in which the run's batches bring them.

    Raises
    ------
    XnoreplayError
        For a missing or damaged file: where to get it, and what was expected.
    """
    folder = user_files.folder(folder, "core50", FOLDER, _get())
    if not folder.is_dir():
        raise XnoreplayError(f"{folder} must be the folder of CORe50, but is none; {_get()}")
    listed = _lists(folder, run)
    return _images(folder, listed.paths), _arrival(folder, run, listed), listed.batch < 0


def names(run: int = 0, folder: Path | None = None) -> tuple[str, ...]:
    """Names of the classes of one run, in order of arrival: "plug_adapter1" is object o1, "mobile_phone1" o6.

    Parameters
    ----------
    run, folder
        As of `read`; the file lists or tables are enough.

    Raises
    ------
    XnoreplayError
        As `read`, and for a list whose paths do not say which object a class is.
    """
    folder = user_files.folder(folder, "core50", FOLDER, _get())
    listed = _lists(folder, run)
    found: dict[int, str] = {}
    labels = _arrival(folder, run, listed).tolist()
    for path, label in zip(listed.paths, labels, strict=True):
        part = path.split("/")[-2] if "/" in path else ""
        number = int(part[1:]) - 1 if part[1:].isdecimal() and len(part) < MOST_DIGITS else -1
        if not part.startswith("o") or not 0 <= number < CLASSES:
            raise XnoreplayError(
                f"images of CORe50 must lie in folders o1 to o{CLASSES}, not {path[:80]!r}; {_get()}"
            )
        name = f"{OBJECTS[number // 5]}{number % 5 + 1}"
        if found.setdefault(label, name) != name:
            raise XnoreplayError(
                f"a class of run {run} in {folder} must be one object, not {found[label]} and {name}; {_get()}"
            )
    return tuple(found[label] for label in range(CLASSES))


def _lists(folder: Path, run: int) -> Listed:
    """Read the lists of a run from its file lists where there are any, else from the tables."""
    lists = folder / LISTS
    for name in (f"run{run}", f"Run{run}"):
        if (lists / name).is_dir():
            names = [f"train_batch_{i:02d}_filelist.txt" for i in range(len(BATCHES))]
            parts = [_list(lists / name / n) for n in [*names, "test_filelist.txt"]]
            return _join(parts)
    if all((folder / name).is_file() for name in ("LUP.pkl", "labels.pkl", "paths.pkl")):
        return _tables(folder, run)
    raise XnoreplayError(
        f"{lists / f'run{run}'} must be a folder of CORe50's file lists, or {folder} hold LUP.pkl, "
        f"labels.pkl and paths.pkl, but neither is there; {_get()}"
    )


def _list(path: Path) -> tuple[list[str], list[int]]:
    try:
        lines = reading.text(path).split("\n")
    except (OSError, ValueError) as error:
        raise XnoreplayError(
            f"{path} must be a file list of CORe50, but: {told(error)}; {_get()}"
        ) from None
    paths, labels = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdecimal() or len(label) > MOST_DIGITS or int(label) >= CLASSES:
            raise XnoreplayError(
                f"{path}: line {number} must be an image's path and its label, 0 to {CLASSES - 1}, "
                f"not {line[:80]!r}; {_get()}"
            )
        paths.append(_relative(name))
        labels.append(int(label))
    return paths, labels


def _tables(folder: Path, run: int) -> Listed:
    paths = _paths(folder)
    indices, labels = (_table(folder / name) for name in ("LUP.pkl", "labels.pkl"))
    try:
        parts = [
            ([paths[_whole(i, len(paths))] for i in chosen], [_whole(y, CLASSES) for y in known])
            for chosen, known in zip(indices["nc"][run], labels["nc"][run], strict=True)
        ]
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise XnoreplayError(
            f"{folder}: LUP.pkl, labels.pkl and paths.pkl must list run {run} of scenario 'nc', but "
            f"do not ({type(error).__name__}: {error}); {_get()}"
        ) from None
    if len(parts) != len(BATCHES) + 1:
        raise XnoreplayError(
            f"{folder / 'LUP.pkl'} must have {len(BATCHES)} training batches and a test batch in "
            f"run {run} of scenario 'nc', not {len(parts)} in all; {_get()}"
        )
    return _join(parts)


def _whole(value, below: int) -> int:
    """Return an index or a label as an integer; ValueError, TypeError or OverflowError where it is none in range."""
    number = int(value)
    if number != value or not 0 <= number < below:
        raise ValueError(f"{shown(value)} must be an integer from 0 to {below - 1}")
    return number


def _paths(folder: Path) -> list[str]:
    """Return the relative path of each image that the array holds and the tables count."""
    path = folder / "paths.pkl"
    try:
        return [_relative(name) for name in _table(path)]
    except (TypeError, AttributeError) as error:
        raise XnoreplayError(
            f"{path} must be a list of the paths of CORe50's images, but is none ({error}); {_get()}"
        ) from None


def _table(path: Path):
    try:
        return user_files.unpickle(reading.raw(path), "latin1")
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises almost anything
        raise XnoreplayError(
            f"{path} must be a table of CORe50, but cannot be read "
            f"({type(error).__name__}: {error}); {_get()}"
        ) from None


def _relative(path: str) -> str:
    """Return the end of a path, s1/o1/C_01_01_000.png, whatever folder a list puts before it."""
    return "/".join(path.split("/")[-3:])


def _join(parts: list[tuple[list[str], list[int]]]) -> Listed:
    batches = [*range(len(parts) - 1), -1]
    return Listed(
        [path for paths, _ in parts for path in paths],
        np.concatenate([np.asarray(labels, np.int64) for _, labels in parts]),
        np.repeat(batches, [len(paths) for paths, _ in parts]),
    )


def _arrival(folder: Path, run: int, listed: Listed) -> np.ndarray:
    """Number labels by arrival, and check that the batches are those of the protocol."""
    order: list[int] = []
    for batch, expected in enumerate(BATCHES):
        labels = np.unique(listed.labels[listed.batch == batch])
        new = [int(y) for y in labels if y not in order]
        if len(new) != expected or len(labels) != expected:
            raise XnoreplayError(
                f"training batch {batch} of run {run} in {folder} must bring {expected} new classes "
                f"and no others, not {len(new)} new ones of {len(labels)}; {_get()}"
            )
        order += new
    tested = np.unique(listed.labels[listed.batch < 0]).tolist()
    if tested != sorted(order):
        raise XnoreplayError(
            f"the test images of run {run} in {folder} must be of its {CLASSES} classes, not of "
            f"{len(tested)}; {_get()}"
        )
    rank = {label: i for i, label in enumerate(order)}
    return np.array([rank[int(y)] for y in listed.labels], np.int64)


def _images(folder: Path, paths: list[str]) -> np.ndarray:
    """Read (n, 128, 128, 3) uint8 YCbCr from the image files where there are any, else from the array."""
    if not (folder / IMAGES).is_dir():
        return _from_array(folder, paths)
    try:
        from PIL import Image
    except ImportError as error:
        raise ToolError(f"data set 'core50' must have pillow installed, but: {error}") from None
    images = np.empty((len(paths), SIDE, SIDE, CHANNELS), np.uint8)

    def decode(i: int) -> None:
        path = folder / IMAGES / paths[i]
        try:
            with reading.opened(path) as file, Image.open(file) as image:
                size = image.size  # known before a pixel is decoded
                if size == (SIDE, SIDE):
                    images[i] = to_ycbcr(np.asarray(image.convert("RGB")))
        except Exception as error:  # noqa: BLE001 - a damaged image raises almost anything
            raise XnoreplayError(
                f"{path} must be an image of CORe50, but: {told(error)}; {_get()}"
            ) from None
        if size != (SIDE, SIDE):
            raise XnoreplayError(
                f"{path} must be of {SIDE}x{SIDE} pixels, not {size[0]}x{size[1]}; {_get()}"
            )

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, range(len(paths))):
            pass
    return images


def _from_array(folder: Path, paths: list[str]) -> np.ndarray:
    if not (folder / ARRAY).is_file():
        raise XnoreplayError(
            f"{folder / IMAGES} must be the folder of CORe50's images, or {ARRAY} beside it, but "
            f"neither is there; {_get()}"
        )
    known = _paths(folder)
    try:
        with np.load(folder / ARRAY, allow_pickle=False) as file:
            array = file["x"]
    except Exception as error:  # noqa: BLE001 - a damaged archive raises almost anything
        raise XnoreplayError(
            f"{folder / ARRAY} must be CORe50's array of images, but cannot be read "
            f"({type(error).__name__}: {error}); {_get()}"
        ) from None
    if array.dtype != np.uint8 or array.shape != (len(known), SIDE, SIDE, CHANNELS):
        raise XnoreplayError(
            f"{folder / ARRAY} must have an array 'x' of uint8 "
            f"{(len(known), SIDE, SIDE, CHANNELS)}, one image for each of paths.pkl, not "
            f"{array.dtype} {array.shape}; {_get()}"
        )
    place = {path: i for i, path in enumerate(known)}
    strangers = [path for path in paths if path not in place]
    if strangers:
        raise XnoreplayError(
            f"{folder / 'paths.pkl'} must name every listed image, but not {shown(strangers[0])}; {_get()}"
        )
    images = np.empty((len(paths), SIDE, SIDE, CHANNELS), np.uint8)
    for i, path in enumerate(paths):
        images[i] = to_ycbcr(array[place[path]])
    return images


def _get() -> str:
    return (
        f"get core50_128x128.zip and batches_filelists.zip from {SITE} and unpack them into a "
        f"folder {FOLDER}, so that it has {IMAGES}/s1 to s11 and {LISTS}/run0 to run9"
    )
