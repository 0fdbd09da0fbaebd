"""Vectors in NumPy files: an archive, files with known names, or a file or a folder for each class."""

import re
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from xnoreplay.flow.datasets import array_file, listed
from xnoreplay.flow.datasets.vector_listing import (
    TEST_COLUMN,
    Blocks,
    Part,
    VectorListing,
    joined,
    rows_at_once,
)
from xnoreplay.spec import reading
from xnoreplay.spec.errors import FeatureError, SpecError, shown, told

MOST_TURNED = (
    1 << 29
)  # bytes of an array in the order of Fortran in an archive, which is read whole
PAIRS = (("features", "labels", "is_test"), ("x", "y", "is_test"))
"""Files of a folder, and arrays of an archive: vectors, labels, and which test, where that is said."""
HALVES = ("x_train", "y_train", "x_test", "y_test")
KNOWN = {*HALVES, *PAIRS[0], *PAIRS[1], *listed.NAMES}
LETTERS = {"x", "y"}
"""Names that a class may have in capitals: signs are classes of letters."""
LABELS = ("label", "labels", "target", "targets")
"""Last words of files that hold labels, whatever is before."""
LAYOUTS = (
    "a .npz file (features, labels and, if you like, is_test; or x_train, y_train, x_test, y_test), a folder of such .npy "
    "files, a folder with a .npy file or a folder of them for each class, or Parquet"
)


def of_archive(path: Path) -> VectorListing:
    """List the vectors of a ``.npz`` file; SpecError where it is damaged, or has other arrays."""
    try:
        reading.check_file(path)
        with zipfile.ZipFile(path) as archive:
            members = listed.members_of(archive, KNOWN, path)
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
        raise SpecError(f"{path} must be an archive of NumPy arrays, but: {told(error)}") from None
    return _halves(path, [path], wanted, parts, small)


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


def _halves(
    path: Path,
    files: list[Path],
    wanted: tuple[str, ...],
    parts: list[Part],
    small: dict[str, np.ndarray],
    notes: tuple[str, ...] = (),
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

    return joined(path, files, parts, labels, names, is_test, place, notes)


def _check_header(shape: tuple[int, ...], dtype: np.dtype, what: str) -> tuple[int, int]:
    """Vectors and their width of an array's header."""
    if len(shape) != 2 or dtype.kind not in "fiub" or dtype.itemsize > 8:
        ragged = " (vectors of several lengths)" if dtype.kind == "O" else ""
        if len(shape) in (3, 4) and what.lower().endswith(".npy"):
            ragged = " (arrays of images are read from a .npz file)"
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
                yield from rows_of(listed.whole_member(again, member, path))
                return
            with again.open(member) as file:
                yield from _stream(file, what)

    return Part(count, width, blocks)


def file_part(path: Path) -> Part:
    """The vectors of a ``.npy`` file; one of a single axis is one vector."""
    try:
        with reading.opened(path) as file:
            shape, fortran, dtype = listed.header(file)
    except reading.DAMAGED_ARRAYS as error:
        raise SpecError(f"{path} must be a NumPy array, but: {told(error)}") from None
    one = len(shape) == 1
    count, width = _check_header((1, *shape) if one else shape, dtype, str(path))

    def blocks() -> Blocks:
        if one or fortran:
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except reading.DAMAGED_ARRAYS as error:
                raise FeatureError(f"{path} must be whole, but: {told(error)}") from None
            yield from rows_of(array.reshape(1, -1) if one else array)
            return
        with reading.opened(path) as file:
            yield from _stream(file, str(path))

    return Part(count, width, blocks)


def rows_of(array: np.ndarray) -> Blocks:
    """Read an array in memory, or mapped into it, piece by piece, in the order of C."""
    rows = rows_at_once(array.shape[1] * array.dtype.itemsize)
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows])


def _stream(file: IO[bytes], what: str) -> Blocks:
    shape, _, dtype = listed.header(file)
    size = shape[1] * dtype.itemsize
    rows = rows_at_once(size)
    for start in range(0, shape[0], rows):
        count = min(rows, shape[0] - start)
        try:
            content = file.read(count * size)
        except reading.DAMAGED_ARRAYS as error:
            raise FeatureError(f"{what} must be whole, but: {told(error)}") from None
        if len(content) < count * size:
            raise FeatureError(f"{what} must be whole, but ends at {file.tell():,} bytes")
        yield np.frombuffer(content, dtype).reshape(count, shape[1])


def of_file(path: Path) -> VectorListing:
    """The listing of a ``.npy`` file with vectors, whose labels lie beside it."""
    stem = path.stem.lower()
    pair = next((p for p in ((*HALVES,), *PAIRS) if stem in p[::2][: len(p) // 2]), None)
    if pair is None:
        raise SpecError(
            f"a .npy file of a data set must be features.npy beside labels.npy, x.npy beside y.npy, or x_train.npy beside "
            f"y_train.npy, x_test.npy and y_test.npy, not {path}"
        )
    return _pair(path.parent, path, KNOWN)


def _arrays_in(folder: Path, known: set[str] | None = None) -> dict[str, Path]:
    """The ``.npy`` files of a folder by their names without the ending, as `listed.by_name`.

    known : names that are also found in capitals; without them those that no class has
    """
    files = [
        p for p in sorted(listed.visible(folder)) if p.suffix.lower() == ".npy" and p.is_file()
    ]
    if known is None:
        alone = {p.stem.lower() for p in files} <= KNOWN
        known = KNOWN if alone else KNOWN - LETTERS
    return listed.by_name(((p.stem, p) for p in files), known, folder)


def _pair(folder: Path, path: Path, known: set[str] | None = None) -> VectorListing:
    files = _arrays_in(folder, known)
    wanted = _wanted(files, folder)
    small = {
        n: array_file.read(files[n])
        for n in (*wanted[1::2], TEST_COLUMN, *listed.NAMES)
        if n in files
    }
    parts = [file_part(files[n]) for n in wanted[::2]]
    used = {files[n] for n in (*wanted, *small)}
    others = [p.name for p in files.values() if p not in used]
    notes: tuple[str, ...] = ()
    if others and path == folder:
        notes = (
            f"{shown(others)} of {path} are passed over: {wanted[0]!r} has the vectors of all classes",
        )
    return _halves(path, sorted(used), wanted, parts, small, notes)


def _whole(folder: Path, name: str) -> VectorListing:
    """The listing of a folder with the vectors of all classes in one array, which may also be meant as a class."""
    try:
        return _pair(folder, folder)
    except SpecError as error:
        if _arrays_in(folder).keys() <= KNOWN:
            raise
        rule = (
            f"{name!r} is the array with the vectors of all classes, so no class may be called so"
        )
        raise SpecError(f"{error}; {rule}") from None


def _check_classes(root: Path) -> None:
    """Refuse a folder of a file a class in which a file is called like a half of a data set, or like its labels."""
    arrays = _arrays_in(root)
    layout = "a folder has either x_train.npy, y_train.npy, x_test.npy and y_test.npy, or features.npy and labels.npy"
    for name, file in arrays.items():
        words = re.split(r"[-_. ]", name.lower())
        if {words[0], words[-1]}.intersection((*listed.TRAIN, *listed.TEST)) or words[-1] in LABELS:
            raise SpecError(
                f"a file of a class must not be called like a half of a data set, or like its labels, as {file}: "
                f"{layout}, or a file a class; rename {file.name!r} where it is a class"
            )
    if len(arrays) > 1 and arrays.keys() <= KNOWN:
        raise SpecError(
            f"{root} must hold a file a class, but holds {shown(sorted(p.name for p in arrays.values()))}: {layout}, or "
            "folders 'train' and 'test' with a file a class; rename those that are classes"
        )


def of_folder(path: Path) -> VectorListing:
    """The listing of a folder: arrays with known names, else a file or a folder of files for each class."""
    arrays = _arrays_in(path)
    if whole := [n for n in (HALVES[0], *(p[0] for p in PAIRS)) if n in arrays]:
        return _whole(path, whole[0])
    roots, others = listed.halves(path)
    names: set[str] = set()
    files: list[tuple[str, Path, bool | None]] = []
    ignored = 0
    for root, is_test in roots:
        _check_classes(root)
        for entry in sorted(listed.visible(root), key=lambda p: listed.natural(p.name)):
            if entry.is_dir():
                inside = sorted(
                    listed.files_below(entry), key=lambda p: listed.natural(p.as_posix())
                )
                own = [p for p in inside if p.suffix.lower() == ".npy"]
                within = (p.relative_to(entry).with_suffix("").parts[0] for p in own)
                listed.check_half(entry, within, "vectors")
                ignored += len(inside) - len(own)
                if not own and is_test is not True:
                    raise SpecError(
                        f"class folder {entry} must hold vectors (.npy), but holds none"
                    )
                names.add(entry.name)
                files += [(entry.name, p, is_test) for p in own]
            elif entry.suffix.lower() == ".npy":
                names.add(entry.stem)
                files.append((entry.stem, entry, is_test))
            else:
                ignored += 1
    if not files:
        raise SpecError(f"{path} must hold features: {LAYOUTS}")
    classes = sorted(names, key=listed.natural)
    parts = [file_part(p) for _, p, _ in files]
    counts = [part.size for part in parts]
    labels = np.repeat([classes.index(name) for name, _, _ in files], counts)
    given = roots[0][1] is not None
    tests = np.repeat([bool(t) for _, _, t in files], counts) if given else None
    notes = [f"{ignored:,} files in {path} are no vectors and are passed over"] if ignored else []
    notes += [f"folder {name} of {path} is passed over" for name in others]
    notes += listed.hidden_notes(path, [root for root, _ in roots])

    filled = {name for (name, _, _), count in zip(files, counts, strict=True) if count}
    if empty := [name for name in classes if name not in filled]:
        raise SpecError(f"class {empty[0]!r} of {path} must hold vectors, but holds none")
    paths = [p for _, p, _ in files]
    place = listed.place_in(counts, "vector", paths)
    return joined(path, paths, parts, labels, classes, tests, place, tuple(notes))
