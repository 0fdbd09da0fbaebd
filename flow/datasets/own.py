"""A user's own images: found in a folder, a NumPy archive or Parquet files, and brought to a network's shape.

`listing` finds samples, labels and classes without decoding an image. `prepare` decodes and converts them once, sample
by sample, into an array on disk that every later command maps into memory.
"""

import json
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xnoreplay.flow.datasets import array_file, cached, image_files, listed, parquet_file
from xnoreplay.flow.datasets.image_files import SUFFIXES
from xnoreplay.flow.datasets.splits import split
from xnoreplay.flow.run.files import write_whole
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import pixels, reading, whole
from xnoreplay.spec.errors import ImageError, SpecError, shown, told
from xnoreplay.spec.machine import cores
from xnoreplay.spec.pixels import PixelSpec

CHUNK = 1 << 24  # bytes of an array in an archive that are read at once
ROWS = 16  # of a Parquet file that are read at once
AHEAD = 4  # images that are decoded beside each other: a large one takes 50 MB, and as much while it is decoded
FORMAT = 2  # of prepared arrays; another one is made anew
ARRAYS = ("x_train", "y_train", "x_test", "y_test", "images", "labels", "is_test", *listed.NAMES)
"""Of an archive; each may have capitals."""
LABEL_COLUMNS = ("label", "labels", "fine_label", "class")

Samples = Iterator[tuple[np.ndarray, str]]
_remembered: "dict[tuple[str, bool], Listing] | None" = None
"""Listings of this block of `remembered`, by path and whether they are to train; None outside of one."""


@dataclass(frozen=True)
class Listing:
    """What a data set holds, before its images are decoded.

    name : of the folder or file
    classes : names, in order of their labels
    labels : (n,) int64
    is_test : (n,) bool
    stamp : SHA-256 that changes with what is there
    samples : decodes every k-th sample in order: pairs of samples and layout, as `image_files.decoded` gives them
    place : says where sample i lies, for a sentence
    notes : what a user should know
    has_split : whether the data set itself says which samples test
    """

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray
    is_test: np.ndarray
    stamp: str
    samples: Callable[[int], Samples]
    place: Callable[[int], str]
    notes: tuple[str, ...] = ()
    has_split: bool = False


@dataclass(frozen=True)
class Prepared:
    """A data set in a network's shape.

    images : (n, height, width, channels) uint8, mapped from disk
    notes : what a user should know, of the listing and of its images
    """

    listing: Listing
    images: np.ndarray
    notes: tuple[str, ...]


def listing(path: Path, to_train: bool = True) -> Listing:
    """Find the samples of a data set.

    Parameters
    ----------
    path : Path
        A folder of class folders, alone or below ``train`` and ``test``; a ``.npz`` file with ``x_train, y_train, x_test,
        y_test`` or ``images, labels[, is_test]``; a ``.parquet`` file, or a folder of such files, as Hugging Face has them.
    to_train : bool
        Whether the data set must have two classes or more, each with samples to train and to test.

    Returns
    -------
    Listing
        Without a split of its own, of each class every fourth sample is a test sample, or the last of fewer.

    Raises
    ------
    SpecError
        Where nothing is there, it has none of these layouts, or a class has too few samples.
    ToolError
        Where the library that reads Parquet is missing.
    """
    path = Path(path)
    if _remembered is None:
        return _listing(path, to_train)
    key = str(path.absolute()), to_train
    if key not in _remembered:
        _remembered[key] = _listing(path, to_train)
    return _remembered[key]


@contextmanager
def remembered() -> Iterator[None]:
    """Find the samples of each data set once in the block: the steps of a run look at the same files, as they were.

    Yields
    ------
    None
    """
    global _remembered
    outer, _remembered = _remembered, {} if _remembered is None else _remembered
    try:
        yield
    finally:
        _remembered = outer


def _listing(path: Path, to_train: bool) -> Listing:
    if listed.is_folder(path):
        tables = listed.parquet_files(path)
        if tables:
            _check_alone(path, tables[0])
        found = _parquet(path) if tables else _folder(path)
    elif path.suffix.lower() == ".npz":
        found = _npz(path)
    elif path.suffix.lower() == ".parquet":
        found = _parquet(path)
    elif path.suffix.lower() in (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"):
        raise SpecError(f"the data set must be unpacked first: {path} is an archive")
    else:
        raise SpecError(
            f"the data set must be a folder of class folders, a .npz or a .parquet file, not {path}"
        )
    listed.check_names(path, found.classes)
    if to_train:
        listed.check_depth(path, found.classes)
        listed.check_classes(found, "image")
    return found


def prepare(
    found: Listing, rule: PixelSpec, image_shape: tuple[int, ...], progress: Progress
) -> Prepared:
    """Decode and convert every sample once, and show the notes then; later calls map the result.

    It lies in the folder `spec.caches.writable` gives for "datasets", one folder a listing, rule and shape.

    Parameters
    ----------
    found : Listing
    rule : PixelSpec
    image_shape : tuple of int
        (height, width, channels) of the network.
    progress : Progress

    Raises
    ------
    ImageError
        For the first sample that is damaged or cannot be decoded.
    """
    shape = (len(found.labels), *image_shape)
    return cached.brought(
        [FORMAT, found.stamp, vars(rule), list(image_shape)],
        lambda stem: _kept(found, stem, shape),
        lambda stem: _make(found, rule, image_shape, progress, stem),
        progress,
    )


def _kept(found: Listing, stem: Path, shape: tuple[int, ...]) -> Prepared:
    """Map what `_make` left; raises one of `reading.DAMAGED_ARRAYS` where it is not whole."""
    about = reading.read_json(stem.with_suffix(".json"))
    images = array_file.mapped(stem.with_suffix(".npy"), shape, about["checksum"])
    notes = about["notes"]
    if not all(isinstance(n, str) for n in notes):
        raise ValueError(f"{stem} holds notes that are no texts")
    return Prepared(found, images, (*found.notes, *notes))


def _make(found: Listing, rule: PixelSpec, image_shape, progress: Progress, stem: Path) -> None:
    with whole.whole_file(stem.with_suffix(".npy")) as part:
        notes, checksum = _convert_all(found, rule, image_shape, progress, part)
    write_whole(stem.with_suffix(".json"), json.dumps({"notes": notes, "checksum": checksum}))


def _convert_all(
    found: Listing, rule: PixelSpec, image_shape, progress: Progress, part: Path
) -> tuple[list[str], int]:
    """Write every image into an array file; what a user should know of them, and the file's checksum."""
    count = len(found.labels)
    digests = np.zeros((count, 2), np.uint64)  # 16 bytes an image, of which there may be millions
    sizes, read = set(), 0
    with (
        array_file.written(part, (count, *image_shape)) as images,
        progress.task(f"images of {found.name}", count) as task,
    ):
        for i, (samples, layout) in enumerate(found.samples(1)):
            read = i + 1
            if read > count:
                break
            check_bits(samples, layout, rule, found.place(i))
            images.write(pixels.convert(samples, layout, rule, image_shape).data)
            sizes.add(samples.shape[:2])
            digests[i] = cached.digest(samples)
            task.advance()
    if read != count:
        raise ImageError(
            f"{found.name} must stay as it is while it is read, but no longer has {count:,} images"
        )
    notes = cached.twin_notes(digests, found.is_test, found.place, "image")
    if len(sizes) > 1:
        heights, widths = zip(*sizes, strict=True)
        notes.append(
            f"images of {len(sizes):,} sizes, {min(heights)}x{min(widths)} to {max(heights)}x{max(widths)}, are brought to "
            f"{image_shape[0]}x{image_shape[1]} by fit = {rule.fit!r}"
        )
    return notes, images.checksum


def check_bits(samples: np.ndarray, layout: str, rule: PixelSpec, place: str) -> None:
    """Refuse samples whose bits are not those of the rule.

    Parameters
    ----------
    samples, layout
        As `image_files.decoded` gives them.
    rule : PixelSpec
    place : str
        Where the image lies, for the sentence.

    Raises
    ------
    ImageError
        Where `sample_bits` is given and the image has colours or 8 bits.
    """
    if rule.sample_bits != pixels.MOST_BITS and layout != "grey" and samples.dtype == np.uint8:
        raise ImageError(
            f"sample_bits must be {pixels.MOST_BITS} where images have colours or 8 bits, not {rule.sample_bits}: "
            f"{place} has {layout} of 8 bits"
        )


# --- a folder of class folders


def _check_alone(path: Path, table: Path) -> None:
    """SpecError where images lie in folders beside a Parquet file: one of both is not what is meant."""
    for folder in listed.visible(path):
        if folder.is_dir():
            for file in listed.files_below(folder):
                if file.suffix.lower() in SUFFIXES:
                    raise SpecError(
                        f"{path} must hold Parquet files or class folders, not both: {table} and {file}"
                    )


def _folder(path: Path) -> Listing:
    roots, others = listed.halves(path)
    names: set[str] = set()
    files: list[tuple[str, Path, bool | None]] = []
    ignored = 0
    for root, is_test in roots:
        for folder in sorted(listed.visible(root), key=lambda p: listed.natural(p.name)):
            if not folder.is_dir():
                ignored += 1
                continue
            names.add(folder.name)
            inside = sorted(
                listed.files_below(folder),
                key=lambda p: listed.natural(p.relative_to(folder).as_posix()),
            )
            pictures = [p for p in inside if p.suffix.lower() in SUFFIXES]
            below = (p.relative_to(folder).parts for p in pictures)
            listed.check_half(folder, (parts[0] for parts in below if len(parts) > 1), "images")
            ignored += len(inside) - len(pictures)
            if not pictures and is_test is not True:
                raise SpecError(
                    f"class folder {folder} must hold images ({', '.join(SUFFIXES)}), but holds none"
                )
            files += [(folder.name, p, is_test) for p in pictures]
    if not names:
        raise SpecError(f"{path} must hold a folder of images for each class, but holds no folder")
    classes = tuple(sorted(names, key=listed.natural))
    number = {name: i for i, name in enumerate(classes)}
    labels = np.array([number[name] for name, _, _ in files], np.int64)
    given = roots[0][1] is not None
    tests = np.array([bool(t) for _, _, t in files]) if given else split(labels)
    notes = [f"{ignored:,} files in {path} are no images and are passed over"] if ignored else []
    notes += [f"folder {name} of {path} is passed over" for name in others]
    notes += listed.hidden_notes(path, [root for root, _ in roots])
    paths = [p for _, p, _ in files]
    return Listing(
        path.resolve().name,
        classes,
        labels,
        tests,
        listed.stamp(path, paths),
        lambda k: _decoded(paths[::k]),
        lambda i: str(paths[i]),
        tuple(notes),
        given,
    )


def _decoded(paths: list[Path]) -> Samples:
    """In order, a few beside each other: decoders release Python's lock."""
    with ThreadPoolExecutor(min(cores(), AHEAD)) as pool:
        waiting = deque(pool.submit(image_files.decode, path) for path in paths[:AHEAD])
        for path in paths[AHEAD:]:
            yield waiting.popleft().result()
            waiting.append(pool.submit(image_files.decode, path))
        while waiting:
            yield waiting.popleft().result()


# --- a NumPy archive


def _npz(path: Path) -> Listing:
    try:
        reading.check_file(path)
        with zipfile.ZipFile(path) as archive:
            members = listed.members_of(archive, ARRAYS, path)
            small = {
                name: listed.whole_member(archive, members[name], path)
                for name in members
                if name in ARRAYS and name not in ("x_train", "x_test", "images")
            }
            images = ["x_train", "x_test"] if "x_train" in members else ["images"]
            missing = [
                n
                for n in (*images, *(["y_train", "y_test"] if len(images) == 2 else ["labels"]))
                if n not in members
            ]
            if missing:
                raise SpecError(
                    f"{path} must hold x_train, y_train, x_test and y_test, or images and labels, but has no "
                    f"{missing[0]!r}, only {shown(sorted(members))}"
                )
            heads = [_head(archive, members[n], path, n) for n in images]
    except reading.DAMAGED_ARRAYS as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{path} must be an archive of NumPy arrays, but: {told(error)}") from None
    if len(images) == 2:
        parts = [
            listed.labels_of(small[n], f"{n} of {path}", "an image") for n in ("y_train", "y_test")
        ]
        values = np.concatenate(parts)
        is_test = np.repeat([False, True], [len(p) for p in parts])
    else:
        values = listed.labels_of(small["labels"], f"labels of {path}", "an image")
        parts = [values]
        is_test = None
        if "is_test" in small:
            is_test = listed.tests_of(small["is_test"], values, f"is_test of {path}")
    for (shape, _), part, name in zip(heads, parts, images, strict=True):
        if shape[0] != len(part):
            raise SpecError(
                f"{name} of {path} must have one image a label ({len(part):,}), not {shape[0]:,}"
            )
    names = next(
        (listed.names_of(small[n], f"{n} of {path}") for n in listed.NAMES if n in small), None
    )
    classes, labels = listed.numbered(values, names, str(path), "images")
    chosen = [members[n] for n in images]
    return Listing(
        path.stem,
        classes,
        labels,
        split(labels) if is_test is None else is_test,
        listed.stamp(path, [path]),
        lambda k: islice(_stream(path, chosen), 0, None, k),
        lambda i: f"image {i:,} of {path}",
        has_split=is_test is not None,
    )


def _head(
    archive: zipfile.ZipFile, member: str, path: Path, name: str
) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(member) as file:
        shape, fortran, dtype = listed.header(file)
    if fortran or dtype not in (np.uint8, np.uint16) or len(shape) not in (3, 4):
        raise SpecError(
            f"{name} of {path} must be uint8 or uint16 of shape (n, height, width[, channels]), not "
            f"{dtype} of shape {shape}{' in the order of Fortran' if fortran else ''}"
        )
    most = image_files.MOST_SIDE
    if not all(1 <= side <= most for side in shape[1:3]):
        raise SpecError(
            f"{name} of {path} must have 1 to {most:,} pixels a side, not {shape[1]} x {shape[2]}"
        )
    channels = shape[3] if len(shape) == 4 else 1
    if channels not in BY_CHANNELS:
        raise SpecError(
            f"{name} of {path} must have 1 to 4 channels, the last axis, not {channels} (shape {shape})"
        )
    return shape, dtype


BY_CHANNELS = {1: "grey", 2: "grey+alpha", 3: "rgb", 4: "rgb+alpha"}


def _stream(path: Path, members: list[str]) -> Samples:
    with zipfile.ZipFile(path) as archive:
        for member in members:
            with archive.open(member) as file:
                shape, _, dtype = listed.header(file)
                channels = shape[3] if len(shape) == 4 else 1
                one = (shape[1], shape[2], channels)
                size = int(np.prod(one)) * dtype.itemsize
                at_once = max(1, CHUNK // size)
                for start in range(0, shape[0], at_once):
                    count = min(at_once, shape[0] - start)
                    try:
                        content = file.read(count * size)
                    except reading.DAMAGED_ARRAYS as error:
                        raise ImageError(
                            f"{member} of {path} must be whole, but: {told(error)}"
                        ) from None
                    if len(content) < count * size:
                        raise ImageError(
                            f"{member} of {path} must be whole, but ends at {file.tell():,} bytes"
                        )
                    block = np.frombuffer(content, dtype).reshape(count, *one)
                    yield from ((image, BY_CHANNELS[channels]) for image in block)


# --- Parquet, as Hugging Face lays out image data sets


def _parquet(path: Path) -> Listing:
    files = listed.parquet_files(path) if path.is_dir() else [path]
    tables: list[tuple[Path, bool | None, str]] = []
    labels, names = [], None
    with parquet_file.reader(path) as parquet:
        for file in files:
            reading.check_file(file)
            schema = parquet.read_schema(file)
            image = listed.column_of(schema.names, listed.IMAGE_COLUMNS, file)
            label = listed.column_of(schema.names, LABEL_COLUMNS, file)
            names = names or listed.hugging_names(schema.metadata, label)
            labels.append(parquet_file.integers(parquet, file, label, "an image"))
            tables.append((file, listed.tests_by_name(file), image))
    sizes = [len(part) for part in labels]
    classes, numbered = listed.numbered(np.concatenate(labels), names, str(path), "images")
    halves = {t for _, t, _ in tables}
    given = True in halves and halves != {True}
    tests = np.repeat([bool(t) for _, t, _ in tables], sizes) if given else split(numbered)
    return Listing(
        path.resolve().name,
        classes,
        numbered,
        tests,
        listed.stamp(path, files),
        lambda k: _rows(tables, k),
        listed.place_in(sizes, "row", files),
        has_split=given,
    )


def _rows(tables: list[tuple[Path, bool | None, str]], every: int) -> Samples:
    with parquet_file.rows(ImageError) as parquet:
        for number, (content, name) in enumerate(_each_row(tables, parquet)):
            if number % every == 0:
                yield image_files.decoded(content, name)


def _each_row(
    tables: list[tuple[Path, bool | None, str]], parquet: Any
) -> Iterator[tuple[bytes, str]]:
    """Encoded images, with where each lies."""
    for file, _, column in tables:
        row = 0
        with parquet.ParquetFile(file) as table:
            for value in _cells(table, column):
                content: Any = value.get("bytes") if isinstance(value, dict) else value
                name = f"row {row:,} of {file}"
                if not isinstance(content, bytes):
                    raise ImageError(f"{name} must hold the bytes of an image, not {shown(value)}")
                yield content, name
                row += 1


def _cells(table: Any, column: str) -> Iterator[Any]:
    """Values of a column, a group of rows after the other: pyarrow keeps what it has read until its reader goes."""
    for group in range(table.num_row_groups):
        for batch in table.iter_batches(batch_size=ROWS, row_groups=[group], columns=[column]):
            for cell in batch.column(0):
                yield cell.as_py()
