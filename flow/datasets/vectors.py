"""A user's own features: vectors found in NumPy files, folders of them or Parquet files, and brought to a network's latents.

`listing` finds samples, labels and classes without reading a vector. `prepare` trains the binarisation on the training
samples of the base classes and applies it to every sample, once, into an array on disk that every later command maps into
memory.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xnoreplay.flow.datasets import listed, vector_files, vector_tables
from xnoreplay.flow.datasets.image_files import SUFFIXES
from xnoreplay.flow.datasets.vector_listing import VectorListing, joined, read_doubles
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import caches, features, reading, whole
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.errors import FeatureError, SpecError, shown
from xnoreplay.spec.features import Binariser, FeatureSpec

FORMAT = 2  # of prepared arrays; another one is made anew
IMAGE_COLUMNS = ("image", "img", "pixel_values")


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
        suffix = path.suffix.lower()
        if suffix == ".npy":
            return path.is_file()
        if suffix == ".npz":
            reading.check_file(path)
            with zipfile.ZipFile(path) as archive:
                members = vector_files.members_of(archive)
                known = next((n for n in ("features", "x", "x_train") if n in members), None)
                if known is None:
                    return False
                with archive.open(members[known]) as member:
                    axes = len(listed.header(member)[0])
                lacks_axis = axes < 2 and "images" not in members
                return known == "features" or axes == 2 or lacks_axis
        if path.is_dir() and not listed.parquet_files(path):
            endings = {p.suffix.lower() for p in listed.files_below(path)}
            return ".npy" in endings and not endings.intersection(SUFFIXES)
        if path.is_dir() or suffix == ".parquet":
            import pyarrow.parquet as parquet

            file = (listed.parquet_files(path) if path.is_dir() else [path])[0]
            schema = parquet.read_schema(file)
            types = [schema.field(n).type for n in schema.names if n in IMAGE_COLUMNS]
            return not any(vector_tables.holds_bytes(t) for t in types)
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
    suffix = path.suffix.lower()
    if suffix == ".parquet" or (is_folder and listed.parquet_files(path)):
        found = vector_tables.of_parquet(path)
    elif is_folder:
        found = vector_files.of_folder(path)
    elif suffix == ".npz":
        found = vector_files.of_archive(path)
    elif suffix == ".npy":
        found = vector_files.of_file(path)
    else:
        raise SpecError(f"features must be {vector_files.LAYOUTS}, not {path}")
    listed.check_names(path, found.classes)
    if to_train:
        listed.check_classes(found, "vector")
    return found


def look(found: VectorListing, base: tuple[int, ...], progress: Progress) -> None:
    """Read every vector, and refuse what `prepare` would refuse; see there.

    Raises
    ------
    FeatureError
        As `prepare`, also where no feature varies among the training samples of the base.
    """
    from xnoreplay.flow.datasets import binarise

    binarise.values(_samples(found, base, progress)[0])


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
    parts = [vector_files.file_part(path) for path in paths]
    starts = np.cumsum([0, *(part.size for part in parts)])

    def place(i: int) -> str:
        file = int(np.searchsorted(starts, i, "right")) - 1
        return f"vector {i - starts[file]:,} of {paths[file]}"

    labels = np.zeros(starts[-1], np.int64)
    return joined(paths[0], list(paths), parts, labels, None, None, place)


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
    from xnoreplay.flow.datasets import binarise

    return binarise.train(*_samples(found, base, progress), rule, latent)


def _samples(
    found: VectorListing, base: tuple[int, ...], progress: Progress
) -> tuple[np.ndarray, np.ndarray]:
    """Read every vector, and keep those to train on: (n, d) float64, and their labels (n,)."""
    from xnoreplay.flow.datasets import binarise

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
    return samples, found.labels[chosen]


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
