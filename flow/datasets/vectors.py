"""A user's own features: vectors found in NumPy files, folders of them or Parquet files, and brought to a network's latents.

`listing` finds samples, labels and classes without reading a vector. `prepare` trains the binarisation on the training
samples of the base classes and applies it to every sample, once, into an array on disk that every later command maps into
memory.
"""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xnoreplay.flow.datasets import array_file, cached, listed, vector_files, vector_tables
from xnoreplay.flow.datasets.image_files import SUFFIXES
from xnoreplay.flow.datasets.vector_listing import VectorListing, joined, read_doubles
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import features, reading, whole
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.errors import FeatureError, SpecError
from xnoreplay.spec.features import Binariser, FeatureSpec

FORMAT = 3  # of prepared arrays; another one is made anew


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
                members = listed.members_of(archive, {*vector_files.KNOWN, "images"}, path)
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
            types = [schema.field(n).type for n in schema.names if n in listed.IMAGE_COLUMNS]
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
    is_folder = listed.is_folder(path)
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
        listed.check_depth(path, found.classes)
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
    return cached.brought(
        [FORMAT, "features", found.stamp, vars(rule), latent, sorted(base)],
        lambda stem: _kept(found, latent, stem),
        lambda stem: _make(found, rule, latent, base, progress, stem),
        progress,
    )


def without_labels(paths: Sequence[Path]) -> VectorListing:
    """Find the vectors of ``.npy`` files, (n, features) or one vector each; all count as of one class.

    Raises
    ------
    SpecError
        Where a file holds no vectors, or others than the first.
    """
    parts = [vector_files.file_part(path) for path in paths]
    sizes = [part.size for part in parts]
    labels = np.zeros(sum(sizes), np.int64)
    place = listed.place_in(sizes, "vector", paths)
    return joined(paths[0], list(paths), parts, labels, None, None, place)


def latents(found: VectorListing, rule: Binariser, progress: Progress) -> np.ndarray:
    """Turn every vector into a packed latent: (n, bytes) uint8.

    Raises
    ------
    FeatureError
        As `prepare`, and for vectors of another number of features than the binarisation takes.
    """
    if found.features != rule.features:
        raise FeatureError(
            f"a vector must have {rule.features:,} features, not {found.features:,} as those of {found.name}"
        )
    packed = np.empty((len(found.labels), ceil_div(rule.latent, 8)), np.uint8)
    with progress.task(f"latents of {found.name}", len(packed)) as task:
        for start, block in _checked(found):
            packed[start : start + len(block)] = rule.packed(block)
            task.advance(len(block))
    return packed


def _kept(found: VectorListing, latent: int, stem: Path) -> Latents:
    """Map what `_make` left; raises one of `reading.DAMAGED_ARRAYS` where it is not whole."""
    with np.load(stem.with_suffix(".npz"), allow_pickle=False) as arrays:
        rule = Binariser(**{name: arrays[name] for name in features.shapes(1, 1, 1)})
        notes = tuple(map(str, arrays["notes"].tolist()))
        checksum = int(arrays["checksum"])
    if rule.latent != latent:
        raise ValueError(f"{stem} holds other latents")
    shape = (len(found.labels), ceil_div(latent, 8))
    packed = array_file.mapped(stem.with_suffix(".npy"), shape, checksum)
    return Latents(found, packed, rule, (*found.notes, *notes))


def _make(  # noqa: PLR0913  what decides the latents, and where they go
    found: VectorListing,
    rule: FeatureSpec,
    latent: int,
    base: tuple[int, ...],
    progress: Progress,
    stem: Path,
) -> None:
    trained = _train(found, rule, latent, base, progress)
    with whole.whole_file(stem.with_suffix(".npy")) as part:
        notes, checksum = _convert_all(found, trained, progress, part)
    arrays = {name: getattr(trained, name) for name in features.shapes(1, 1, 1)}
    with whole.whole_file(stem.with_suffix(".npz")) as part, open(part, "wb") as file:
        np.savez(file, notes=np.array(notes, np.str_), checksum=np.array(checksum), **arrays)


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
    found: VectorListing, rule: Binariser, progress: Progress, part: Path
) -> tuple[list[str], int]:
    """Write every latent into an array file; what a user should know of the vectors, and the file's checksum."""
    count = len(found.labels)
    digests = np.zeros((count, 2), np.uint64)
    with (
        array_file.written(part, (count, ceil_div(rule.latent, 8))) as latents,
        progress.task(f"latents of {found.name}", count) as task,
    ):
        for start, block in _checked(found):
            latents.write(rule.packed(block).data)
            digests[start : start + len(block)] = [cached.digest(row) for row in block]
            task.advance(len(block))
    return cached.twin_notes(digests, found.is_test, found.place, "vector"), latents.checksum


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
