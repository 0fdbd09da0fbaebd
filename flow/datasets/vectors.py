"""A user's own features: vectors found in NumPy files, folders of them or Parquet files, and brought to a network's latents.

`listing` finds samples, labels and classes without reading a vector. `prepare` trains the binarisation on the training
samples of the base classes and applies it to every sample, once, into an array on disk that every later command maps into
memory.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from xnoreplay.flow.datasets import listed
from xnoreplay.flow.datasets.splits import split
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import caches, features, reading, whole
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.errors import FeatureError, SpecError, ToolError, shown
from xnoreplay.spec.features import MOST_FEATURES, Binariser, FeatureSpec

CHUNK = 1 << 24  # bytes of vectors that are read at once
MOST_TURNED = (
    1 << 29
)  # bytes of an array in the order of Fortran in an archive, which is read whole
FORMAT = 1  # of prepared arrays; another one is made anew
PAIRS = (("features", "labels", "is_test"), ("x", "y", "is_test"))
"""Files of a folder, and arrays of an archive: vectors, labels, and which test, where that is said."""
HALVES = ("x_train", "y_train", "x_test", "y_test")
VECTOR_COLUMNS = ("features", "embedding", "embeddings", "vector", "x")
"""Columns of Parquet that are looked for where several hold lists of numbers."""
LABEL_COLUMNS = ("label", "labels", "fine_label", "class", "y", "target")
IMAGE_COLUMNS = ("image", "img", "pixel_values")
TEST_COLUMN = "is_test"
LAYOUTS = (
    "a .npz file (features, labels and, if you like, is_test; or x_train, y_train, x_test, y_test), a folder of such .npy "
    "files, a folder with a .npy file or a folder of them for each class, or Parquet"
)

Blocks = Iterator[np.ndarray]


class Part(NamedTuple):
    """Vectors that follow each other in one file.

    size, width : vectors, and features of each
    blocks : reads them in order: arrays (m, width) of the file's type
    """

    size: int
    width: int
    blocks: Callable[[], Blocks]


@dataclass(frozen=True)
class VectorListing:
    """What a data set of vectors holds, before they are read.

    name : of the folder or file
    classes : names, in order of their labels
    labels : (n,) int64
    is_test : (n,) bool
    stamp : SHA-256 that changes with what is there
    features : of each vector
    blocks : reads every vector in order: arrays (m, features), floats or integers
    place : says where sample i lies, for a sentence
    has_split : whether the data set itself says which samples test
    notes : what a user should know
    """

    name: str
    classes: tuple[str, ...]
    labels: np.ndarray
    is_test: np.ndarray
    stamp: str
    features: int
    blocks: Callable[[], Blocks]
    place: Callable[[int], str]
    has_split: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Latents:
    """A data set of vectors as latents.

    packed : (n, ceil(latent / 8)) uint8, mapped from disk
    binariser : what made them
    notes : what a user should know, of the listing and of its vectors
    """

    listing: VectorListing
    packed: np.ndarray
    binariser: Binariser
    notes: tuple[str, ...]


def are_at(path: Path) -> bool:
    """Tell whether a path holds vectors, as far as its layout shows; False for images, and for what is not there."""
    with suppress(*reading.DAMAGED_ARRAYS):
        if path.suffix == ".npy":
            return path.is_file()
        if path.suffix == ".npz":
            reading.check_file(path)
            with zipfile.ZipFile(path) as archive:
                members = _members(archive)
                known = next((n for n in ("features", "x", "x_train") if n in members), None)
                if known is None:
                    return False
                with archive.open(members[known]) as member:
                    return known == "features" or len(listed.header(member)[0]) == 2
        if path.is_dir() and not listed.parquet_files(path):
            return any(p.suffix == ".npy" for p in listed.files_below(path))
        if path.is_dir() or path.suffix == ".parquet":
            import pyarrow.parquet as parquet

            file = (listed.parquet_files(path) if path.is_dir() else [path])[0]
            schema = parquet.read_schema(file)
            types = [schema.field(n).type for n in schema.names if n in IMAGE_COLUMNS]
            return not any(_holds_bytes(t) for t in types)
    return False


def listing(path: Path, to_train: bool = True) -> VectorListing:
    """Find the vectors of a data set.

    Parameters
    ----------
    path : Path
        A ``.npz`` file with ``features, labels[, is_test]`` or ``x_train, y_train, x_test, y_test``; a folder of ``.npy``
        files of these names, or one of them; a folder with ``CLASS.npy`` or ``CLASS/*.npy``, alone or below ``train`` and
        ``test``; a ``.parquet`` file, or a folder of such files, with a column of lists of numbers or columns of numbers.
    to_train : bool
        Whether the data set must have two classes or more, each with samples to train and to test.

    Returns
    -------
    VectorListing
        Without a split of its own, of each class every fourth sample is a test sample, or the last of fewer.

    Raises
    ------
    SpecError
        Where nothing is there, it has none of these layouts, or a class has too few samples.
    ToolError
        Where the library that reads Parquet is missing.
    """
    path = Path(path)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError):
        exists = is_folder = False
    if not exists:
        raise SpecError(
            f"the data set must be a folder or a file that is there, not {shown(str(path))}"
        )
    if path.suffix == ".parquet" or (is_folder and listed.parquet_files(path)):
        found = _parquet(path)
    elif is_folder:
        found = _folder(path)
    elif path.suffix == ".npz":
        found = _archive(path)
    elif path.suffix == ".npy":
        found = _beside(path)
    else:
        raise SpecError(f"features must be {LAYOUTS}, not {path}")
    listed.check_names(path, found.classes)
    if to_train:
        listed.check_classes(found, "vector")
    return found


def prepare(
    found: VectorListing,
    rule: FeatureSpec,
    latent: int,
    base: tuple[int, ...],
    progress: Progress,
) -> Latents:
    """Train the binarisation and apply it to every sample once, and show the notes then; later calls map the result.

    It lies in the folder `spec.caches.writable` gives for "datasets", one folder a listing, rule, width and base.

    Parameters
    ----------
    found : VectorListing
    rule : FeatureSpec
    latent : int
        Bits of a latent.
    base : tuple of int
        Labels whose training samples the binarisation is trained on.
    progress : Progress

    Raises
    ------
    FeatureError
        For the first vector that is damaged, of another length, or not finite.
    """
    words = [FORMAT, "features", found.stamp, vars(rule), latent, sorted(base)]
    key = hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:32]
    readable = caches.folder("datasets")  # a cache that cannot be written can be read
    if readable is not None:
        with suppress(*reading.DAMAGED_ARRAYS):
            return _kept(found, latent, readable / key)
    folder = caches.writable("datasets")
    if folder != readable:
        with suppress(*reading.DAMAGED_ARRAYS):
            return _kept(found, latent, folder / key)
    trained = _train(found, rule, latent, base, progress)
    notes = _convert_all(found, trained, progress, folder / key)
    arrays = {name: getattr(trained, name) for name in features.shapes(1, 1, 1)}
    with whole.whole_file((folder / key).with_suffix(".npz")) as part, open(part, "wb") as file:
        np.savez(file, notes=np.array(notes, np.str_), **arrays)
    made = _kept(found, latent, folder / key)
    for note in made.notes:
        progress.note(note)
    return made


def without_labels(paths: Sequence[Path]) -> VectorListing:
    """Find the vectors of ``.npy`` files, (n, features) or one vector each; all count as of one class.

    Raises
    ------
    SpecError
        Where a file holds no vectors, or others than the first.
    """
    parts = [_file_part(path) for path in paths]
    starts = np.cumsum([0, *(part.size for part in parts)])

    def place(i: int) -> str:
        file = int(np.searchsorted(starts, i, "right")) - 1
        return f"vector {i - starts[file]:,} of {paths[file]}"

    labels = np.zeros(starts[-1], np.int64)
    return _listing(paths[0], list(paths), parts, labels, None, None, place)


def latents(found: VectorListing, rule: Binariser, progress: Progress) -> np.ndarray:
    """Turn every vector into a packed latent: (n, bytes) uint8; raises as `prepare`."""
    packed = np.empty((len(found.labels), ceil_div(rule.latent, 8)), np.uint8)
    with progress.task(f"latents of {found.name}", len(packed)) as task:
        for start, block in _checked(found):
            packed[start : start + len(block)] = rule.packed(block)
            task.advance(len(block))
    return packed


def _kept(found: VectorListing, latent: int, stem: Path) -> Latents:
    """Map what `prepare` left; raises one of `reading.DAMAGED_ARRAYS` where it is not whole."""
    target = stem.with_suffix(".npy")
    reading.check_file(target)
    packed = np.load(target, mmap_mode="r", allow_pickle=False)
    with np.load(stem.with_suffix(".npz"), allow_pickle=False) as arrays:
        rule = Binariser(**{name: arrays[name] for name in features.shapes(1, 1, 1)})
        notes = tuple(map(str, arrays["notes"].tolist()))
    shape = (len(found.labels), ceil_div(latent, 8))
    if packed.shape != shape or packed.dtype != np.uint8 or rule.latent != latent:
        raise ValueError(f"{target} holds other latents")
    return Latents(found, packed, rule, (*found.notes, *notes))


def _train(
    found: VectorListing, rule: FeatureSpec, latent: int, base: tuple[int, ...], progress: Progress
) -> Binariser:
    from xnoreplay.model import binarise

    chosen = np.flatnonzero(~found.is_test & np.isin(found.labels, base))
    chosen = chosen[:: ceil_div(len(chosen), binarise.most_samples(found.features))]
    if not len(chosen):
        raise SpecError(
            f"{found.name} must have training samples of the base classes, but has none"
        )
    samples = np.empty((len(chosen), found.features))
    with progress.task(f"features of {found.name}", len(found.labels)) as task:
        for start, block in _checked(found):
            inside = chosen[(chosen >= start) & (chosen < start + len(block))]
            samples[np.searchsorted(chosen, inside)] = block[inside - start]
            task.advance(len(block))
    return binarise.train(samples, found.labels[chosen], rule, latent)


def _convert_all(
    found: VectorListing, rule: Binariser, progress: Progress, stem: Path
) -> list[str]:
    """Write every latent into an array file; what a user should know of the vectors."""
    count = len(found.labels)
    digests = np.empty(count, "S8")
    with whole.whole_file(stem.with_suffix(".npy")) as part:
        shape = (count, ceil_div(rule.latent, 8))
        packed = np.lib.format.open_memmap(part, "w+", np.uint8, shape)
        listed.reserve(part)
        with progress.task(f"latents of {found.name}", count) as task:
            for start, block in _checked(found):
                packed[start : start + len(block)] = rule.packed(block)
                digests[start : start + len(block)] = [
                    hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in block
                ]
                task.advance(len(block))
        packed.flush()
        del packed
    notes = []
    twins = np.intersect1d(digests[found.is_test], digests[~found.is_test])
    if len(twins):
        here = np.isin(digests, twins)
        one = int(np.flatnonzero(here & found.is_test)[0])
        other = int(np.flatnonzero((digests == digests[one]) & ~found.is_test)[0])
        notes.append(
            f"{int((here & found.is_test).sum()):,} test vectors are also training vectors, so their accuracy says "
            f"little: {found.place(one)} is {found.place(other)}"
        )
    return notes


def _checked(found: VectorListing) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks as float64, each with the number of its first sample; FeatureError as `prepare` says."""
    start = 0
    for raw in found.blocks():
        if start + len(raw) > len(found.labels):
            break
        yield start, read_doubles(raw, found.place, start)
        start += len(raw)
    if start != len(found.labels):
        raise FeatureError(
            f"{found.name} must stay as it is while it is read, but no longer has {len(found.labels):,} vectors"
        )


def read_doubles(raw: np.ndarray, place: Callable[[int], str], start: int = 0) -> np.ndarray:
    """Return vectors, or a column of them, as float64 of the same shape.

    Parameters
    ----------
    raw : ndarray
        (m, d) or (m,), floats or integers.
    place : callable
        Says where a sample lies, for a sentence.
    start : int
        Number of the first.

    Raises
    ------
    FeatureError
        With the place of the first that holds what is no finite number.
    """
    try:
        return features.doubles(raw)
    except FeatureError:
        for i in range(len(raw)):
            try:
                features.doubles(raw[i : i + 1])
            except FeatureError as error:
                raise FeatureError(f"{place(start + i)}: {error}") from None
        raise


# --- NumPy files


def _listing(  # noqa: PLR0913  what the layouts have in common
    path: Path,
    files: list[Path],
    parts: list[Part],
    labels: np.ndarray,
    names: list[str] | None,
    is_test: np.ndarray | None,
    place: Callable[[int], str],
    notes: tuple[str, ...] = (),
) -> VectorListing:
    """Join parts of one width; labels (n,) of any integers."""
    widths = {part.width for part in parts}
    if len(widths) > 1:
        raise SpecError(
            f"vectors of {path} must all have the same number of features, not {min(widths):,} and {max(widths):,}"
        )
    (width,) = widths
    if not 1 <= width <= MOST_FEATURES:
        raise SpecError(
            f"vectors of {path} must have 1 to {MOST_FEATURES:,} features, not {width:,}"
        )
    classes, numbers = listed.numbered(labels, names, str(path), "vectors")

    def blocks() -> Blocks:
        for part in parts:
            yield from part.blocks()

    name = path.resolve().name if path.is_dir() else path.stem
    tests = split(numbers) if is_test is None else is_test
    stamp = listed.stamp(path, files)
    has_split = is_test is not None
    return VectorListing(
        name, classes, numbers, tests, stamp, width, blocks, place, has_split, notes
    )


def _members(archive: zipfile.ZipFile) -> dict[str, str]:
    return {Path(n).stem: n for n in archive.namelist() if n.endswith(".npy")}


def _archive(path: Path) -> VectorListing:
    try:
        reading.check_file(path)
        with zipfile.ZipFile(path) as archive:
            members = _members(archive)
            wanted = _wanted(members, path)
            small = {
                n: listed.whole_member(archive, members[n], path)
                for n in members
                if n in (*wanted[1::2], TEST_COLUMN, *listed.NAMES)
            }
            parts = [_member_part(archive, members[n], path) for n in wanted[::2]]
    except reading.DAMAGED_ARRAYS as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{path} must be an archive of NumPy arrays, but: {error}") from None
    return _joined(path, [path], wanted, parts, small)


def _wanted(names, path: Path) -> tuple[str, ...]:
    """Names of the arrays with vectors and with their labels, in turn."""
    for pair in ((*HALVES,), *(p[:2] for p in PAIRS)):
        if pair[0] in names:
            missing = [n for n in pair if n not in names]
            if missing:
                raise SpecError(
                    f"{path} must hold {', '.join(pair[:-1])} and {pair[-1]}, but has no {missing[0]!r}"
                )
            return pair
    raise SpecError(
        f"{path} must hold features and labels, or x_train, y_train, x_test and y_test, but has only "
        f"{shown(sorted(names))}"
    )


def _joined(
    path: Path,
    files: list[Path],
    wanted: tuple[str, ...],
    parts: list[Part],
    small: dict[str, np.ndarray],
) -> VectorListing:
    """A listing of one or two arrays of vectors, each beside its labels."""
    given = [listed.labels_of(small[n], f"{n} of {path}", "a vector") for n in wanted[1::2]]
    for part, own, name in zip(parts, given, wanted[::2], strict=True):
        if part.size != len(own):
            raise SpecError(
                f"{name} of {path} must have one vector a label ({len(own):,}), not {part.size:,}"
            )
    labels = np.concatenate(given)
    is_test = None
    if len(parts) == 2:
        is_test = np.repeat([False, True], [len(own) for own in given])
    elif TEST_COLUMN in small:
        is_test = listed.tests_of(small[TEST_COLUMN], labels, f"{TEST_COLUMN} of {path}")
    names = next(
        (listed.names_of(small[n], f"{n} of {path}") for n in listed.NAMES if n in small), None
    )
    first = parts[0].size

    def place(i: int) -> str:
        return (
            f"vector {i if i < first else i - first:,} of {wanted[0 if i < first else 2]} of {path}"
        )

    return _listing(path, files, parts, labels, names, is_test, place)


def _check_header(shape: tuple[int, ...], dtype: np.dtype, what: str) -> tuple[int, int]:
    """Vectors and their width of an array's header."""
    if len(shape) != 2 or dtype.kind not in "fiub" or dtype.itemsize > 8:
        ragged = " (vectors of several lengths)" if dtype.kind == "O" else ""
        raise SpecError(
            f"{what} must be floats or integers of at most 64 bits and of shape (n, features), not {dtype} of shape "
            f"{shape}{ragged}"
        )
    return shape[0], shape[1]


def _member_part(archive: zipfile.ZipFile, member: str, path: Path) -> Part:
    what = f"{Path(member).stem} of {path}"
    with archive.open(member) as file:
        shape, fortran, dtype = listed.header(file)
    count, width = _check_header(shape, dtype, what)
    if fortran and archive.getinfo(member).file_size > MOST_TURNED:
        raise SpecError(
            f"{what} must be in the order of C where it has more than {MOST_TURNED:,} bytes; "
            "numpy.ascontiguousarray makes it so"
        )

    def blocks() -> Blocks:
        with zipfile.ZipFile(path) as again:
            if fortran:
                yield from _rows_of(listed.whole_member(again, member, path))
                return
            with again.open(member) as file:
                yield from _stream(file, what)

    return Part(count, width, blocks)


def _file_part(path: Path) -> Part:
    """The vectors of a ``.npy`` file; one of a single axis is one vector."""
    try:
        with reading.opened(path) as file:
            shape, fortran, dtype = listed.header(file)
    except reading.DAMAGED_ARRAYS as error:
        raise SpecError(f"{path} must be a NumPy array, but: {error}") from None
    one = len(shape) == 1
    count, width = _check_header((1, *shape) if one else shape, dtype, str(path))

    def blocks() -> Blocks:
        if one or fortran:
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except reading.DAMAGED_ARRAYS as error:
                raise FeatureError(f"{path} must be whole, but: {error}") from None
            yield from _rows_of(array.reshape(1, -1) if one else array)
            return
        with reading.opened(path) as file:
            yield from _stream(file, str(path))

    return Part(count, width, blocks)


def _rows_of(array: np.ndarray) -> Blocks:
    rows = max(1, CHUNK // max(1, array.shape[1] * array.dtype.itemsize))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows])


def _stream(file: IO[bytes], what: str) -> Blocks:
    shape, _, dtype = listed.header(file)
    size = shape[1] * dtype.itemsize
    rows = max(1, CHUNK // max(1, size))
    for start in range(0, shape[0], rows):
        count = min(rows, shape[0] - start)
        try:
            content = file.read(count * size)
        except reading.DAMAGED_ARRAYS as error:
            raise FeatureError(f"{what} must be whole, but: {error}") from None
        if len(content) < count * size:
            raise FeatureError(f"{what} must be whole, but ends at {file.tell():,} bytes")
        yield np.frombuffer(content, dtype).reshape(count, shape[1])


def _beside(path: Path) -> VectorListing:
    """The listing of a ``.npy`` file with vectors, whose labels lie beside it."""
    pair = next((p for p in ((*HALVES,), *PAIRS) if path.stem in p[::2][: len(p) // 2]), None)
    if pair is None:
        raise SpecError(
            f"a .npy file of a data set must be features.npy beside labels.npy, x.npy beside y.npy, or x_train.npy beside "
            f"y_train.npy, x_test.npy and y_test.npy, not {path}"
        )
    return _pair(path.parent, path)


def _pair(folder: Path, path: Path) -> VectorListing:
    files = {p.stem: p for p in sorted(folder.glob("*.npy"))}
    wanted = _wanted(files, folder)
    small = {
        n: read_array(files[n]) for n in (*wanted[1::2], TEST_COLUMN, *listed.NAMES) if n in files
    }
    parts = [_file_part(files[n]) for n in wanted[::2]]
    used = [files[n] for n in (*wanted, *small)]
    return _joined(path, sorted(set(used)), wanted, parts, small)


def read_array(path: Path) -> np.ndarray:
    """Read one array, without executing anything; SpecError where the file holds none."""
    try:
        reading.check_size(path)
        values = np.load(path, allow_pickle=False)
        if not isinstance(values, np.ndarray):
            raise ValueError("it is an archive")
        return values
    except reading.DAMAGED_ARRAYS as error:
        raise SpecError(f"{path} must be a NumPy array, but: {error}") from None


def _folder(path: Path) -> VectorListing:
    """The listing of a folder: arrays with known names, else a file or a folder of files for each class."""
    if any((path / f"{n}.npy").is_file() for n in (HALVES[0], *(p[0] for p in PAIRS))):
        return _pair(path, path)
    roots, others = listed.halves(path)
    names: set[str] = set()
    files: list[tuple[str, Path, bool | None]] = []
    ignored = 0
    for root, is_test in roots:
        for entry in sorted(listed.visible(root), key=lambda p: listed.natural(p.name)):
            if entry.is_dir():
                inside = sorted(
                    listed.files_below(entry), key=lambda p: listed.natural(p.as_posix())
                )
                arrays = [p for p in inside if p.suffix == ".npy"]
                ignored += len(inside) - len(arrays)
                if not arrays and is_test is not True:
                    raise SpecError(
                        f"class folder {entry} must hold vectors (.npy), but holds none"
                    )
                names.add(entry.name)
                files += [(entry.name, p, is_test) for p in arrays]
            elif entry.suffix == ".npy":
                names.add(entry.stem)
                files.append((entry.stem, entry, is_test))
            else:
                ignored += 1
    if not files:
        raise SpecError(f"{path} must hold features: {LAYOUTS}")
    classes = sorted(names, key=listed.natural)
    parts = [_file_part(p) for _, p, _ in files]
    counts = [part.size for part in parts]
    labels = np.repeat([classes.index(name) for name, _, _ in files], counts)
    starts = np.cumsum([0, *counts])
    given = roots[0][1] is not None
    tests = np.repeat([bool(t) for _, _, t in files], counts) if given else None
    notes = [f"{ignored:,} files in {path} are no vectors and are passed over"] if ignored else []
    notes += [f"folder {name} of {path} is passed over" for name in others]

    def place(i: int) -> str:
        file = int(np.searchsorted(starts, i, "right")) - 1
        return f"vector {i - starts[file]:,} of {files[file][1]}"

    filled = {name for (name, _, _), count in zip(files, counts, strict=True) if count}
    if empty := [name for name in classes if name not in filled]:
        raise SpecError(f"class {empty[0]!r} of {path} must hold vectors, but holds none")
    paths = [p for _, p, _ in files]
    return _listing(path, paths, parts, labels, classes, tests, place, tuple(notes))


# --- Parquet


def _parquet(path: Path) -> VectorListing:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ToolError(
            f"a data set in Parquet must have pyarrow to read it (pip install 'xnoreplay[data]'), but: {error}"
        ) from None
    files = listed.parquet_files(path) if path.is_dir() else [path]
    parts, labels, tests, names = [], [], [], None
    given = False
    try:
        for file in files:
            reading.check_file(file)
            schema = parquet.read_schema(file)
            label = listed.column_of(schema.names, LABEL_COLUMNS, file)
            columns, width = _columns(schema, label, file)
            names = names or listed.hugging_names(schema.metadata, label)
            count = parquet.read_metadata(file).num_rows
            if not count:
                continue
            labels.append(_integers(parquet, file, label))
            if TEST_COLUMN in schema.names:
                flags = parquet.read_table(file, columns=[TEST_COLUMN]).column(0).to_numpy()
                tests.append(
                    listed.tests_of(flags, labels[-1], f"column {TEST_COLUMN!r} of {file}")
                )
                given = True
            else:
                by_name = listed.tests_by_name(file)
                given = given or by_name is True
                tests.append(np.full(count, bool(by_name)))
            if width is None:
                width = _first_width(parquet, file, columns[0])
            parts.append(_parquet_part(file, columns, count, width))
    except pyarrow.ArrowException as error:
        raise SpecError(f"{path} must be Parquet, but: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise SpecError(
            f"{path} must be Parquet that can be read, but: {error.strerror or error}"
        ) from None
    if not parts:
        raise SpecError(f"{path} must hold vectors, but holds none")
    starts = np.cumsum([0, *(part.size for part in parts)])

    def place(i: int) -> str:
        table = int(np.searchsorted(starts, i, "right")) - 1
        return f"row {i - starts[table]:,} of {files[table]}"

    is_test = np.concatenate(tests)
    given = given and not is_test.all()
    return _listing(
        path, files, parts, np.concatenate(labels), names, is_test if given else None, place
    )


def _integers(parquet: Any, file: Path, column: str) -> np.ndarray:
    import pyarrow

    found = parquet.read_table(file, columns=[column]).column(0)
    if not pyarrow.types.is_integer(found.type) or found.null_count:
        nulls = f" with {found.null_count:,} nulls" if found.null_count else ""
        raise SpecError(f"column {column!r} of {file} must be integers, not {found.type}{nulls}")
    return listed.labels_of(found.to_numpy(), f"column {column!r} of {file}", "a vector")


def _holds_bytes(kind: Any) -> bool:
    import pyarrow

    is_bytes = pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
    return is_bytes or pyarrow.types.is_struct(kind)


def _is_number(kind: Any) -> bool:
    import pyarrow

    return pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)


def _columns(schema: Any, label: str, file: Path) -> tuple[list[str], int | None]:
    """Columns that hold the features, and their number; None where the rows of a column of lists say it."""
    import pyarrow

    types = {n: schema.field(n).type for n in schema.names if n not in (label, TEST_COLUMN)}
    lists = [
        n
        for n, t in types.items()
        if (
            pyarrow.types.is_list(t)
            or pyarrow.types.is_large_list(t)
            or pyarrow.types.is_fixed_size_list(t)
        )
        and _is_number(t.value_type)
    ]
    if len(lists) > 1:
        lists = [n for n in VECTOR_COLUMNS if n in lists][:1]
    if lists:
        kind = types[lists[0]]
        fixed = pyarrow.types.is_fixed_size_list(kind)
        return lists, kind.list_size if fixed else None
    numbers = [n for n, t in types.items() if _is_number(t)]
    if not numbers:
        raise SpecError(
            f"{file} must have a column of lists of numbers, or columns of numbers, beside {label!r}, but has "
            f"{shown(list(types))}"
        )
    return numbers, len(numbers)


def _first_width(parquet: Any, file: Path, column: str) -> int:
    with parquet.ParquetFile(file) as table:
        first = next(table.iter_batches(batch_size=1, columns=[column])).column(0)
        return len(first[0].as_py() or ())


def _parquet_part(file: Path, columns: list[str], count: int, width: int) -> Part:
    import pyarrow
    import pyarrow.parquet as parquet

    def blocks() -> Blocks:
        row, rows = 0, max(1, min(1 << 16, CHUNK // (8 * max(1, width))))
        try:
            with parquet.ParquetFile(file) as table:
                for batch in table.iter_batches(batch_size=rows, columns=columns):
                    yield _of_batch(batch, columns, width, file, row)
                    row += len(batch)
        except (pyarrow.ArrowException, OSError) as error:
            raise FeatureError(
                f"a data set in Parquet must be whole, but: {' '.join(str(error).split())}"
            ) from None

    return Part(count, width, blocks)


def _of_batch(batch: Any, columns: list[str], width: int, file: Path, start: int) -> np.ndarray:
    """The vectors of some rows: (m, width)."""
    for name in columns:
        column = batch.column(batch.schema.get_field_index(name))
        if column.null_count:
            row = start + next(i for i, v in enumerate(column) if not v.is_valid)
            raise FeatureError(f"row {row:,} of {file} must have {name!r}, but has a null there")
    if len(columns) > 1 or _is_number(batch.column(0).type):
        parts = [
            read_doubles(
                batch.column(batch.schema.get_field_index(n)).to_numpy(zero_copy_only=False),
                lambda i: f"row {i:,} of {file}",
                start,
            )
            for n in columns
        ]
        return np.stack(parts, axis=1)
    column = batch.column(0)
    lengths = column.value_lengths().to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        row = int(np.flatnonzero(lengths != width)[0])
        raise FeatureError(
            f"row {start + row:,} of {file} must have {width:,} features, as the first has, not {lengths[row]:,}"
        )
    values = column.flatten()
    if values.null_count:
        row = next(i for i, v in enumerate(values) if not v.is_valid) // width
        raise FeatureError(f"row {start + row:,} of {file} must have numbers alone, but has a null")
    return values.to_numpy(zero_copy_only=False).reshape(-1, width)
