"""A trained chip put to use: images classified, and new classes learned, by the simulator in the chip's integers.

The state between two uses is a snapshot as a host restores it into the chip, `xnoreplay.spec.snapshot`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xnoreplay.flow.datasets import array_file, image_files, listed, own, registry, vectors
from xnoreplay.flow.datasets.bundles import check_binariser
from xnoreplay.flow.datasets.image_files import SUFFIXES
from xnoreplay.flow.datasets.listed import Labelled
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import limits, pixels, replay, snapshot
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bits import sign
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError, shown
from xnoreplay.spec.features import Binariser
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.reference import Classifier
from xnoreplay.spec.rows import Images, Rows, chunks, select

if TYPE_CHECKING:
    from xnoreplay.sim.run import Simulator


class Batch(NamedTuple):
    """Images, or latents of vectors, as they enter the chip.

    images : (n, height, width, channels) uint8, or (n, bytes) uint8, packed latents
    names : where each lies, n of them
    classes : (n,) int64 chip classes, -1 where a class is not one of the scenario's; None without labels
    """

    images: Images
    names: tuple[str, ...]
    classes: np.ndarray | None


class Guesses(NamedTuple):
    """What a chip says of images.

    classes : (n, k) int64 chip classes, the likeliest first; ties go to the lower class
    logits : (n, k) int64 their integer sums
    """

    classes: np.ndarray
    logits: np.ndarray

    @property
    def margins(self) -> np.ndarray:
        """(n,) int64: by how much the first class's sum exceeds the second's; 0 where only one class is named."""
        if self.logits.shape[1] < 2:
            return np.zeros(len(self.logits), np.int64)
        return self.logits[:, 0] - self.logits[:, 1]


def power_on(preset: Preset, bundle: Bundle, state: Path | None, progress: Progress) -> "Simulator":
    """Return a chip that has learned: from a saved state, else with the base classes of the preset's data set.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
    state : Path, optional
        A file of `save`, or of a host.
    progress : Progress

    Raises
    ------
    SpecError
        For a state of another chip, or of a bundle with other classes, another input rule, another binarisation or
        another training.
    XnoreplayError
        Where the data set cannot be read.
    """
    from xnoreplay.sim.run import Simulator

    plan = plans.compile(preset.network, preset.target)
    chip = Simulator(plan, bundle)
    if state is not None:
        chip.resume(snapshot.read(plan, state, preset.scenario.interface, bundle))
        return chip
    data = registry.of_preset(preset, progress)
    check_binariser(bundle, data)
    classes = preset.scenario.chip_classes(data.train_labels)
    base = (classes >= 0) & (classes < preset.scenario.base)
    chip.arrive(preset.scenario.base)
    what = f"{sample_word(preset, 2)} of the base classes"
    given = np.flatnonzero(base)
    given = given[replay.entry_order(preset.target, classes[given])]
    with progress.task(what, len(given)) as task:
        for image, label in zip(
            select(data.train_images, given), classes[given].tolist(), strict=True
        ):
            chip.insert(image, label)
            task.advance()
    return chip


def read(
    preset: Preset,
    paths: Sequence[Path],
    progress: Progress,
    binariser: Binariser | None = None,
    to_learn: bool = False,
) -> Batch:
    """Read images or vectors to classify, or to learn, and bring them to what the network takes.

    Images as the spec says; vectors of features by the binarisation that the bundle carries.

    Parameters
    ----------
    preset : Preset
        Its scenario's class names give labelled images their chip classes.
    paths : sequence of Path
        Image files and folders of image files; or one data set in a layout of `own.listing`, whose labels are kept; or
        one ``.npy`` file of uint8 images in the network's own shape, which are taken as they are. Of vectors: a data set in
        a layout of `vectors.listing`, whose labels are kept, or ``.npy`` files of (n, features) numbers.
    progress : Progress
    binariser : Binariser, optional
        The bundle's, for vectors.
    to_learn : bool
        What the samples are for, which decides which half of a data set with a split of its own is read: the training
        samples to learn them, else the test samples. Of any other data set all are.

    Raises
    ------
    SpecError
        Where there is no image, the half of a data set is empty, or an array is of another shape or has greater values than
        pixels have.
    ImageError
        For an image that is damaged, or of other bits than the spec says.
    FeatureError
        For a vector that is damaged, or has another number of features.
    """
    if not preset.network.takes_images:
        return _vectors(preset, paths, progress, binariser, to_learn)
    rule, shape = preset.scenario.pixels, preset.network.image_shape
    suffix = paths[0].suffix.lower() if len(paths) == 1 else ""
    if suffix == ".npy":
        return _array(preset, paths[0])
    if suffix in (".npz", ".parquet") or (len(paths) == 1 and _has_folders(paths[0])):
        found = own.listing(paths[0], to_train=False)
        made = own.prepare(found, rule, shape, progress)
        kept = _kept(found, to_learn, "image", progress)
        names = tuple(found.place(i) for i in kept.tolist())
        return Batch(Rows(made.images, kept), names, _chip_classes(preset, found)[kept])
    files = [file for path in paths for file in _image_files(path)]
    if not files:
        raise SpecError("there must be images to read, but none was given")
    images = np.empty((len(files), *shape), np.uint8)
    for i, file in enumerate(files):
        samples, layout = image_files.decode(file)
        own.check_bits(samples, layout, rule, str(file))
        images[i] = pixels.convert(samples, layout, rule, shape)
    return Batch(images, tuple(map(str, files)), None)


def _vectors(
    preset: Preset,
    paths: Sequence[Path],
    progress: Progress,
    rule: Binariser | None,
    to_learn: bool,
) -> Batch:
    if rule is None:
        raise SpecError(
            "the bundle must carry a binarisation to read vectors of features, but has none"
        )
    if all(path.suffix.lower() == ".npy" and path.is_file() for path in paths):
        found = vectors.without_labels(paths)
        names = tuple(found.place(i) for i in range(len(found.labels)))
        return Batch(vectors.latents(found, rule, progress), names, None)
    if len(paths) > 1:
        raise SpecError(
            f"vectors must be one data set, or .npy files, not {shown([str(p) for p in paths])}"
        )
    found = vectors.listing(paths[0], to_train=False)
    kept = _kept(found, to_learn, "vector", progress)
    names = tuple(found.place(i) for i in kept.tolist())
    packed = vectors.latents(found, rule, progress)[kept]
    for note in found.notes:
        progress.note(note)
    return Batch(packed, names, _chip_classes(preset, found)[kept])


def _kept(found: Labelled, to_learn: bool, what: str, progress: Progress) -> np.ndarray:
    """Numbers of the samples to use: of a data set with a split of its own one half; SpecError where that is empty."""
    total = len(found.labels)
    if not found.has_split:
        return np.arange(total)
    kept = np.flatnonzero(found.is_test != to_learn)
    half, other = ("training", "test") if to_learn else ("test", "training")
    if not len(kept):
        raise SpecError(
            f"{found.name} must have {half} {what}s to {'learn' if to_learn else 'classify'}, but says that all of its "
            f"{total:,} are {other} {what}s"
        )
    if left := total - len(kept):
        done = "learned from" if to_learn else "classified"
        progress.note(
            f"{left:,} {other} {plural(what, left)} of {found.name} {'is' if left == 1 else 'are'} not {done}"
        )
    return kept


def plural(word: str, count: int) -> str:
    """Return a noun for so many things: with an s, but for one.

    >>> plural("image", 1), plural("image", 0)
    ('image', 'images')
    """
    return word if count == 1 else f"{word}s"


def sample_word(preset: Preset, count: int) -> str:
    """Return what so many samples of a preset are called: images, or vectors where its network is given latents."""
    return plural("image" if preset.network.takes_images else "vector", count)


def classify(chip: "Simulator", images: Images, most: int = 1) -> Guesses:
    """Classify images by the integer sums of the chip's output layer; counts no cycles and changes nothing.

    Parameters
    ----------
    chip : Simulator
    images : (n, height, width, channels) uint8
    most : int
        Classes to name of each image, at most those seen.

    Raises
    ------
    SpecError
        Where the chip has not seen a class.
    """
    seen = chip.state.seen
    if not seen:
        raise SpecError("a chip must have seen a class to name one, but has seen none")
    proxies = chip.proxies()
    classifier = Classifier(chip.plan.rule, proxies.hidden, proxies.output)
    found = []
    for chunk in chunks(images):
        latents = chip.latents(chunk)
        hidden = sign(classifier.hidden_sum(latents))
        logits = classifier.logits(np.concatenate([latents, hidden], axis=1), seen)
        order = np.argsort(-logits, axis=1, kind="stable")[:, : min(most, seen)]
        found.append(Guesses(order, np.take_along_axis(logits, order, axis=1)))
    return Guesses(*map(np.concatenate, zip(*found, strict=True)))


Given = tuple[Command, int, int | None]
"""A command of a session: its argument, and the number of its sample if it takes one."""


def learn(chip: "Simulator", preset: Preset, batch: Batch, progress: Progress) -> range:
    """Let a chip learn the new classes of a batch in one session.

    Parameters
    ----------
    chip : Simulator
        Changed.
    preset : Preset
    batch : Batch
        With labels. Images of classes that the chip has seen are new samples of these.
    progress : Progress

    Returns
    -------
    range
        The chip classes that are new.

    Raises
    ------
    SpecError
        As `session`.
    """
    seen = chip.state.seen
    given = session(chip, preset, batch)
    what = f"{sample_word(preset, 2)} to learn"
    with progress.task(what, len(batch.images)) as task:
        for command, argument, i in given:
            chip.carry_out(command, argument, None if i is None else batch.images[i])
            if i is not None:
                task.advance()
    return range(seen, chip.state.seen)


def session(chip: "Simulator", preset: Preset, batch: Batch) -> list[Given]:
    """List the commands with which a chip learns a batch, in order; the chip stays as it is.

    Parameters
    ----------
    chip : Simulator
    preset : Preset
    batch : Batch
        As of `learn`.

    Raises
    ------
    SpecError
        Where samples have no labels, a class is none of the scenario's, new classes are not the next to arrive, or there
        are more samples than the staging memory of stored replay holds.
    """
    scenario, seen = preset.scenario, chip.state.seen
    one, many = sample_word(preset, 1), sample_word(preset, 2)
    if batch.classes is None:
        lie = "lie in class folders" if preset.network.takes_images else "lie in a file a class"
        raise SpecError(f"{many} to learn must {lie}, or have labels")
    if (batch.classes < 0).any():
        wrong = batch.names[int(np.flatnonzero(batch.classes < 0)[0])]
        raise SpecError(f"{many} to learn must be of the scenario's classes, but {wrong} is not")
    after = max(seen, int(batch.classes.max()) + 1)
    missing = [c for c in range(seen, after) if not (batch.classes == c).any()]
    if missing:
        raise SpecError(
            f"new classes must come in the order of the scenario: {shown(scenario.name_of(missing[0]))} is next, but has "
            f"no {one}"
        )
    staging = chip.plan.replay.staging
    if staging and len(batch.images) > staging and not chip.plan.generative:
        raise SpecError(
            f"a session must bring at most {staging:,} {sample_word(preset, staging)}, which the staging memory holds, "
            f"not {len(batch.images):,}"
        )
    given: list[Given] = [] if staging else [(Command.ARRIVE, after, None)]
    enter = Command.STAGE if staging else Command.INSERT
    order = replay.entry_order(preset.target, batch.classes).tolist()
    given += [(enter, int(batch.classes[i]), i) for i in order]
    return [*given, (Command.RETRAIN, 0, None), (Command.REBALANCE, 0, None)]


def save(chip: "Simulator", preset: Preset, path: Path) -> None:
    """Write what a host restores into the chip, and of which inputs and classes it is, whole or not at all.

    See `xnoreplay.spec.snapshot.write`; `power_on` refuses the file with a bundle of other ones.
    """
    interface, binariser = preset.scenario.interface, chip.bundle.binariser
    snapshot.write(chip.plan, chip.snapshot(), path, interface, binariser)


def confusion(classes: np.ndarray, guesses: Guesses, seen: int) -> np.ndarray:
    """Count images by class and prediction.

    Parameters
    ----------
    classes : (n,) int64
        Chip classes; those outside the classes seen are not counted.
    guesses : Guesses
    seen : int
        Classes seen.

    Returns
    -------
    (seen, seen) int64
        Row: what an image is; column: what the chip says.
    """
    counted = (classes >= 0) & (classes < seen)
    table = np.zeros((seen, seen), np.int64)
    np.add.at(table, (classes[counted], guesses.classes[counted, 0]), 1)
    return table


def confused(table: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """Name the most frequent confusions.

    Parameters
    ----------
    table : (n, n) int64
        Of `confusion`.
    most : int
        How many are named, at most.

    Returns
    -------
    list of (int, int, int)
        What images are, what the chip says, and how many they are: the most frequent first, ties in the order of classes.

    Examples
    --------
    >>> confused(np.array([[5, 1, 0], [0, 4, 2], [0, 1, 9]]), 2)
    [(1, 2, 2), (0, 1, 1)]
    """
    wrong = table * (1 - np.eye(len(table), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = (divmod(int(i), len(table)) for i in order)
    return [(c, d, int(wrong[c, d])) for c, d in pairs if wrong[c, d]]


def _chip_classes(preset: Preset, found: Labelled) -> np.ndarray:
    """Chip class of each sample, by the names of the classes; of a known data set also by their labels."""
    scenario = preset.scenario
    by_name = (
        {f"{label}": c for c, label in enumerate(scenario.order)} if not scenario.source else {}
    )
    by_name |= {name: c for c, name in enumerate(scenario.names)}
    table = np.array([by_name.get(name, -1) for name in found.classes])
    return table[found.labels]


def _array(preset: Preset, path: Path) -> Batch:
    shape, greatest = preset.network.image_shape, preset.scenario.max_pixel
    images = array_file.read(path)
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or images.shape[1:] != shape:
        raise SpecError(
            f"{path} must hold uint8 images of the network's shape {('n', *shape)}, not {images.dtype} of "
            f"{images.shape}"
        )
    if images.size and images.max() > greatest:
        raise SpecError(f"pixels of {path} must be at most {greatest}, not {images.max()}")
    return Batch(images, tuple(f"image {i:,} of {path}" for i in range(len(images))), None)


def _has_folders(path: Path) -> bool:
    return path.is_dir() and any(p.is_dir() for p in path.iterdir() if not p.name.startswith("."))


def _image_files(path: Path) -> list[Path]:
    if not path.exists():
        raise SpecError(f"an image must be a file that is there, not {shown(str(path))}")
    if path.is_file():
        return [path]
    inside = (
        p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    )
    files = sorted(inside, key=lambda p: listed.natural(p.name))
    limits.count("images", len(files), f"images of {path}")
    return files
