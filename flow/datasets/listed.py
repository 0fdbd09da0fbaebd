"""What a listing of a user's own data set needs, whatever its samples are: labels, names of classes, files and folders."""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol, TypeVar

import numpy as np

from xnoreplay.spec import limits, reading
from xnoreplay.spec.errors import SpecError, shown

TRAIN, TEST = ("train", "training"), ("test", "testing", "val", "valid", "validation")
"""Folders of a split, and first words of Parquet files, in the order in which they are looked for; in capitals, too."""
NAMES = ("class_names", "classes", "label_names")
"""Arrays of an archive that name the classes."""
IMAGE_COLUMNS = ("image", "img", "pixel_values")
"""Columns of Parquet in which images are looked for, in this order."""

T = TypeVar("T")


class Labelled(Protocol):
    """The part of a listing that says which class each sample is of, and what it is for.

    name : of the folder or file
    classes : names, in order of their labels
    labels : (n,) int64
    is_test : (n,) bool
    has_split : whether the data set itself says which samples test
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def labels(self) -> np.ndarray: ...  # noqa: D102
    @property
    def is_test(self) -> np.ndarray: ...  # noqa: D102
    @property
    def has_split(self) -> bool: ...  # noqa: D102


def is_folder(path: Path) -> bool:
    """Tell whether a data set is a folder or a file; SpecError where nothing is there."""
    try:
        exists, folder = path.exists(), path.is_dir()
    except (OSError, ValueError):
        exists = folder = False
    if not exists:
        raise SpecError(
            f"the data set must be a folder or a file that is there, not {shown(str(path))}"
        )
    return folder


def place_in(sizes: Iterable[int], what: str, where: Sequence[object]) -> Callable[[int], str]:
    """A function that says where sample i lies, for a sentence.

    Parameters
    ----------
    sizes : iterable of int
        Samples of each part of a data set, in order.
    what : str
        A sample: "row".
    where : sequence
        Each part, as a sentence calls it.

    Examples
    --------
    >>> place_in([2, 0, 1], "row", ["a", "b", "c"])(2)
    'row 0 of c'
    """
    starts = np.cumsum([0, *sizes])

    def place(i: int) -> str:
        part = int(np.searchsorted(starts, i, "right")) - 1
        return f"{what} {i - starts[part]:,} of {where[part]}"

    return place


def check_classes(found: Labelled, what: str) -> None:
    """Refuse a listing without two classes or more, each with samples to train and to test.

    Parameters
    ----------
    found : Labelled
    what : str
        A sample, for the sentence of an error: "image".

    Raises
    ------
    SpecError
        Names the class.
    """
    classes = len(found.classes)
    if classes < 2:
        raise SpecError(f"{found.name} must have at least two classes, not {classes}")
    if classes > limits.LABELS:
        raise SpecError(
            f"{found.name} must have at most {limits.LABELS:,} classes, not {classes:,}"
        )
    for test, use in ((False, "to train"), (True, "to test")):
        counts = np.bincount(found.labels[found.is_test == test], minlength=classes)
        if not counts.all():
            label = int(np.flatnonzero(counts == 0)[0])
            total = int((found.labels == label).sum())
            raise SpecError(
                f"class {found.classes[label]!r} of {found.name} must have at least one {what} to train and one to test, "
                f"but has none {use} ({total} in all)"
            )


def check_depth(path: Path, classes: tuple[str, ...]) -> None:
    """Refuse a data set whose only class is a folder of folders, as an archive unpacks: it begins a folder too high.

    Parameters
    ----------
    path : Path
        Of the data set, a folder or a file.
    classes : tuple of str

    Raises
    ------
    SpecError
        Names the folder that may be meant.
    """
    only = path / classes[0]
    if len(classes) == 1 and only.is_dir() and sum(p.is_dir() for p in visible(only)) > 1:
        raise SpecError(
            f"{path} must have at least two classes, not {classes[0]!r} alone; where the folders in it are classes, the data "
            f"set is {only}"
        )


def check_names(path: Path, classes: tuple[str, ...]) -> None:
    """Refuse a path and names of classes that no UTF-8 can hold; raises SpecError."""
    for name in (str(path), *classes):
        if reading.LONE.search(name):
            raise SpecError(f"names of a data set and its classes must be UTF-8, not {shown(name)}")


def labels_of(values: np.ndarray, name: str, what: str) -> np.ndarray:
    """Check labels, (n,) or (n, 1) of any integers: (n,) int64.

    Parameters
    ----------
    values : ndarray
    name : str
        Of the array, for the sentence of an error.
    what : str
        A sample with its article: "an image".

    Raises
    ------
    SpecError
        Where they are no integers, or none.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if not values.size:
        raise SpecError(f"{name} must be integers, one {what}, but the array is empty")
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise SpecError(
            f"{name} must be integers, one {what}, not {values.dtype} of shape {values.shape}"
        )
    if values.max() > np.iinfo(np.int64).max:
        raise SpecError(f"{name} must be integers below 2^63, not {values.max()}")
    return values.astype(np.int64)


def tests_of(values: np.ndarray, labels: np.ndarray, name: str) -> np.ndarray:
    """Check the array that says which samples test, one a label: (n,) bool; SpecError for any other."""
    if values.dtype.kind not in "biu" or values.shape != labels.shape:
        raise SpecError(
            f"{name} must have one value a label, Boolean or integer, not {values.dtype} of shape {values.shape}"
        )
    return values.astype(bool)


def names_of(values: np.ndarray, name: str) -> list[str]:
    """Check an array of class names; SpecError where it holds no texts."""
    if values.ndim != 1 or values.dtype.kind != "U":
        raise SpecError(
            f"{name} must be texts, one a class, not {values.dtype} of shape {values.shape}"
        )
    return values.tolist()


def numbered(
    values: np.ndarray, names: list[str] | None, where: str, what: str
) -> tuple[tuple[str, ...], np.ndarray]:
    """Return class names, and labels from 0 on, of any integers.

    Parameters
    ----------
    values : (n,) int64
    names : list of str, optional
        Of the classes 0, 1, ...; without them a class has the name of its number.
    where : str
        The data set, for the sentence of an error.
    what : str
        Its samples, in the plural.

    Raises
    ------
    SpecError
        Where there is no sample, or a label without a name.
    """
    if not len(values):
        raise SpecError(f"{where} must hold {what}, but holds none")
    found, labels = np.unique(values, return_inverse=True)
    if names is None:
        return tuple(str(v) for v in found), labels
    if found[0] < 0 or found[-1] >= len(names):
        raise SpecError(
            f"labels of {where} must be numbers of its {len(names)} class names, 0 to {len(names) - 1}, "
            f"not {found[0] if found[0] < 0 else found[-1]}"
        )
    return tuple(str(names[v]) for v in found), labels


def by_name(found: Iterable[tuple[str, T]], known: Iterable[str], where: Path) -> dict[str, T]:
    """Arrays by name; one of the known names in capitals, too, by the name in small letters.

    Parameters
    ----------
    found : iterable of (str, T)
        Names, each with what has it.
    known : iterable of str
        In small letters.
    where : Path
        What holds them, for the sentence of an error.

    Raises
    ------
    SpecError
        Where two names differ in the case of their letters alone.

    Examples
    --------
    >>> by_name([("X_train", 1), ("Z", 2)], ["x_train", "y_train"], Path("a.npz"))
    {'x_train': 1, 'Z': 2}
    """
    made: dict[str, T] = {}
    for name, value in found:
        key = name.lower() if name.lower() in known else name
        if key in made:
            raise SpecError(f"{where} must have one array that is called {key!r}, not two")
        made[key] = value
    return made


def members_of(archive: zipfile.ZipFile, known: Iterable[str], path: Path) -> dict[str, str]:
    """Arrays of an archive, by name as in `by_name`: their files in it."""
    files = ((Path(n).stem, n) for n in archive.namelist() if n.endswith(".npy"))
    return by_name(files, known, path)


def check_half(folder: Path, names: Iterable[str], what: str) -> None:
    """Refuse a class folder in which halves of a split lie: all would count as samples of either half.

    Parameters
    ----------
    folder : Path
        Of a class.
    names : iterable of str
        Of the folders and files in it that may be halves.
    what : str
        Its samples, in the plural.

    Raises
    ------
    SpecError
        Names both halves.
    """
    inside = {name.lower(): name for name in names}
    train, test = ([inside[n] for n in half if n in inside] for half in (TRAIN, TEST))
    if train and test:
        raise SpecError(
            f"class folder {folder} must hold {what} of one half, not {train[0]!r} beside {test[0]!r}: halves are folders "
            f"above those of the classes, 'train/{folder.name}' and 'test/{folder.name}'"
        )


def whole_member(archive: zipfile.ZipFile, member: str, path: Path) -> np.ndarray:
    """Read one array of an archive; SpecError for one that is too large, and what NumPy raises."""
    if archive.getinfo(member).file_size > reading.MOST:
        raise SpecError(f"{member} of {path} must have at most {reading.MOST:,} bytes")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read an array's header: its shape, whether it has the order of Fortran, and its type."""
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    return read(file)


def natural(name: str) -> tuple:
    """A key that sorts names as people do: runs of digits by their value.

    >>> sorted(["c10", "c9", "b"], key=natural)
    ['b', 'c9', 'c10']
    """
    parts = re.split(r"(\d+)", name)
    return tuple((int(p), "") if p.isdigit() and p.isascii() else (-1, p) for p in parts), name


def stamp(root: Path, paths: list[Path]) -> str:
    """SHA-256 over the names, sizes and times of files, and where the data set lies.

    Raises
    ------
    SpecError
        For a link that leads nowhere, and a file that is gone.
    """
    h = hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape"))
    for path in paths:
        try:
            stat = path.stat()
        except OSError as error:
            what = "a link that leads nowhere" if path.is_symlink() else error.strerror
            raise SpecError(f"{path} must be a file that can be read, not {what}") from None
        name = path.relative_to(root) if path.is_relative_to(root) and path != root else path.name
        h.update(f"\n{name} {stat.st_size} {stat.st_mtime_ns}".encode(errors="surrogateescape"))
    return h.hexdigest()


def visible(folder: Path) -> list[Path]:
    """List what is in a folder and not hidden."""
    return [p for p in folder.iterdir() if not p.name.startswith((".", "__MACOSX"))]


def hidden_notes(path: Path, roots: list[Path]) -> list[str]:
    """Say which folders of a data set are passed over because their names begin with a point.

    Parameters
    ----------
    path : Path
        Of the data set.
    roots : list of Path
        Its folders of classes: the data set itself, or its halves.

    Returns
    -------
    list of str
        No note, or one.
    """
    folders = {p for f in (path, *roots) for p in f.iterdir() if p.name.startswith(".")}
    names = sorted(p.relative_to(path).as_posix() for p in folders if p.is_dir())
    if not names:
        return []
    return [f"folders of {path} whose names begin with '.' are passed over: {shown(names)}"]


def files_below(folder: Path) -> Iterator[Path]:
    """Find the files in a folder and the folders inside, but for hidden ones. Links are followed, once to each folder."""
    known: set[tuple[int, int]] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        stat = os.stat(root)
        if (stat.st_dev, stat.st_ino) in known:
            folders.clear()
            continue
        known.add((stat.st_dev, stat.st_ino))
        folders[:] = [f for f in folders if not f.startswith((".", "__MACOSX"))]
        yield from (Path(root, name) for name in names if not name.startswith("."))


def halves(path: Path) -> tuple[list[tuple[Path, bool | None]], list[str]]:
    """Find the folders of a split: `TRAIN` and `TEST`, whatever the case of their letters.

    Returns
    -------
    list of (Path, bool or None)
        The folders, with whether their samples test; the folder itself with None where it has no split.
    list of str
        Names of folders that are passed over.

    Raises
    ------
    SpecError
        For a test folder alone, and for others beside the two.
    """
    folders = [p for p in visible(path) if p.is_dir()]
    folders.sort(key=lambda p: (p.name != p.name.lower(), p.name))  # 'train' before 'Train'
    train, test = (
        next((p for n in names for p in folders if p.name.lower() == n), None)
        for names in (TRAIN, TEST)
    )
    if train is None:
        if test is not None:
            raise SpecError(f"{path} must have a folder 'train' beside {test.name!r}, but has none")
        return [(path, None)], []
    others = sorted(p.name for p in folders if p not in (train, test))
    if strange := [name for name in others if name.lower() not in (*TRAIN, *TEST)]:
        raise SpecError(
            f"{path} must hold class folders, or folders {train.name!r} and 'test' of class folders, not {train.name!r} "
            f"beside {shown(strange[0])}; rename {train.name!r} where it is a class"
        )
    return ([(train, False), (test, True)] if test else [(train, None)]), others


def parquet_files(folder: Path) -> list[Path]:
    """Find the Parquet files of a folder, and of its folder `data`, as Hugging Face has it."""
    inside = (p for d in (folder, folder / "data") if d.is_dir() for p in d.iterdir())
    return sorted(p for p in inside if p.suffix.lower() == ".parquet")


def tests_by_name(file: Path) -> bool | None:
    """Tell whether a Parquet file's name begins with a word of a test half, or of a training half; None for neither."""
    first = re.split(r"[-_.]", file.name)[0].lower()
    return True if first in TEST else False if first in TRAIN else None


def column_of(names: list[str], wanted: tuple[str, ...], file: Path) -> str:
    """Return the first wanted column that a Parquet file has; SpecError where it has none."""
    for name in wanted:
        if name in names:
            return name
    raise SpecError(
        f"{file} must have a column {' or '.join(map(repr, wanted))}, but has {shown(names)}"
    )


def hugging_names(metadata: dict | None, label: str) -> list[str] | None:
    """Names of the classes, where a Parquet schema's metadata has them."""
    try:
        tree = json.loads((metadata or {})[b"huggingface"])
        names = tree["info"]["features"][label]["names"]
        if isinstance(names, dict):
            names = [names[k] for k in sorted(names, key=natural)]
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    return [str(n) for n in names] if isinstance(names, list) else None


def reserve(part: Path) -> None:
    """Take the room of a mapped file on the disk: without it, a full one ends the process at the write (SIGBUS)."""
    if hasattr(os, "posix_fallocate"):  # macOS has none
        with open(part, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
