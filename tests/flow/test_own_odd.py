"""A user's own images that lie as nobody would have thought, and caches that are damaged."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.flow.test_own import RGB, SHAPE, archive, encoded, folder_of, hugging
from xnoreplay.flow.datasets import cached, image_files, own, registry, vectors
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.learning import use
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import pixels, presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.pixels import PixelSpec
from xnoreplay.spec.rows import Rows


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("XNOREPLAY_CACHE", str(folder))
    return folder


class Told(Silent):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_class_folders_beside_parquet_are_refused(tmp_path):
    root = folder_of(tmp_path / "own", {"a": 2, "b": 2})
    hugging(root / "stray.parquet", [0, 1], [encoded(Image.fromarray(RGB))] * 2)
    with pytest.raises(SpecError, match="must hold Parquet files or class folders, not both"):
        own.listing(root)
    (root / "stray.parquet").unlink()
    assert own.listing(root).classes == ("a", "b")


def test_halves_are_found_in_capitals(tmp_path):
    root = tmp_path / "own"
    folder_of(root / "Train", {"a": 2, "b": 2})
    folder_of(root / "Test", {"a": 1, "b": 1})
    found = own.listing(root)
    assert found.classes == ("a", "b")
    assert found.is_test.tolist() == [False] * 4 + [True] * 2
    folder_of(root / "test", {"a": 3, "b": 3})
    found = own.listing(root)
    assert found.is_test.sum() == 6
    assert found.notes == (f"folder Test of {root} is passed over",)


def test_a_class_that_is_called_train_is_to_be_renamed(tmp_path):
    root = folder_of(tmp_path / "own", {"car": 3, "Train": 3})
    with pytest.raises(
        SpecError, match="not 'Train' beside 'car'; rename 'Train' where it is a class"
    ):
        own.listing(root)


def test_halves_below_the_classes_are_refused(tmp_path):
    """As MVTec AD and others lie: all images would count as of either half."""
    root = folder_of(tmp_path / "own", {"nut/train": 2, "nut/Test": 2, "bolt/a": 2, "bolt/test": 1})
    with pytest.raises(
        SpecError,
        match="nut must hold images of one half, not 'train' beside 'Test': .* above .* 'train/nut' and",
    ):
        own.listing(root)
    (root / "nut" / "train").rename(root / "nut" / "left")
    assert own.listing(root).classes == ("bolt", "nut")


@pytest.mark.parametrize("kind", [own, vectors])
def test_a_folder_too_high_is_told(tmp_path, kind):
    root = folder_of(tmp_path / "own" / "parts", {"a": 2, "b": 2}).parent
    if kind is vectors:
        for picture in sorted(root.rglob("*.png")):
            np.save(picture.with_suffix(".npy"), np.arange(3.0))
            picture.unlink()
    with pytest.raises(SpecError, match="not 'parts' alone; where .* the data set is .*own/parts$"):
        kind.listing(root)
    assert kind.listing(root, to_train=False).classes == ("parts",)
    assert kind.listing(root / "parts").classes == ("a", "b")


def test_names_of_arrays_are_found_in_capitals(tmp_path):
    images = np.arange(4 * 64, dtype=np.uint8).reshape(4, 8, 8)
    labels = np.array([0, 1, 0, 1])
    path = tmp_path / "own.npz"
    np.savez(path, X_train=images[:2], Y_train=labels[:2], X_test=images[2:], y_TEST=labels[2:])
    assert not vectors.are_at(path)
    found = own.listing(path)
    assert found.is_test.tolist() == [False, False, True, True]
    assert np.array_equal(np.stack([samples[..., 0] for samples, _ in found.samples(1)]), images)
    np.savez(path, Images=images, LABELS=labels)
    assert own.listing(path).labels.tolist() == labels.tolist()
    np.savez(path, Images=images, images=images, labels=labels)
    with pytest.raises(SpecError, match="must have one array that is called 'images', not two"):
        own.listing(path)


def test_hidden_class_folders_are_told(tmp_path):
    root = folder_of(tmp_path / "own", {"a": 2, "b": 2, ".c": 2})
    told = "folders of {} whose names begin with '.' are passed over: {}"
    found = own.listing(root)
    assert (found.classes, found.notes) == (("a", "b"), (told.format(root, "['.c']"),))
    split = tmp_path / "split"
    folder_of(split / "train", {"a": 2, ".b": 2, "c": 2})
    folder_of(split / "test", {"a": 2, "c": 2})
    folder_of(split, {".d": 1})
    names = "['.d', 'train/.b']"
    assert own.listing(split).notes == (told.format(split, names),)


def test_endings_in_capitals_are_read(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8), np.uint8)
    path = archive(tmp_path / "a.npz", images=images, labels=np.arange(8) % 2)
    assert own.listing(path.rename(tmp_path / "A.NPZ")).classes == ("0", "1")
    hugging(tmp_path / "b.parquet", [0, 1] * 2, [encoded(Image.fromarray(RGB))] * 4)
    one = (tmp_path / "b.parquet").rename(tmp_path / "B.PARQUET")
    assert own.listing(one).classes == own.listing(tmp_path).classes == ("0", "1")
    preset = presets.load("digits")
    for name, count in (("A.NPZ", 8), ("B.PARQUET", 4)):
        assert use.read(preset, [tmp_path / name], Silent()).classes.shape == (count,)
    np.save(tmp_path / "d.npy", images[..., None] % 17)
    batch = use.read(preset, [(tmp_path / "d.npy").rename(tmp_path / "D.NPY")], Silent())
    assert np.array_equal(batch.images, images[..., None] % 17)
    (tmp_path / "c.ZIP").write_bytes(b"PK")
    with pytest.raises(SpecError, match="must be unpacked first"):
        own.listing(tmp_path / "c.ZIP")


def test_an_empty_array_is_said_to_be_empty(tmp_path):
    empty = {"images": np.zeros((0, 8, 8), np.uint8), "labels": np.zeros(0, int)}
    with pytest.raises(SpecError, match="labels of .* one an image, but the array is empty"):
        own.listing(archive(tmp_path / "a.npz", **empty))


def test_links_are_followed_and_those_to_nowhere_named(tmp_path):
    root = folder_of(tmp_path / "own", {"a": 2, "b": 2})
    elsewhere = folder_of(tmp_path / "elsewhere", {"more": 3}, start=7)
    (root / "a" / "linked").symlink_to(elsewhere / "more")
    (root / "b" / "extra.png").symlink_to(elsewhere / "more" / "7.png")
    (root / "b" / "back").symlink_to(root / "b")
    (root / "c").symlink_to(elsewhere / "more")
    found = own.listing(root)
    assert np.bincount(found.labels).tolist() == [5, 3, 3]
    (root / "b" / "lost.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(
        SpecError, match=r"lost\.png must be a file .* not a link that leads nowhere"
    ):
        own.listing(root)


def test_a_flipped_byte_of_a_prepared_image_is_noticed(tmp_path, cache):
    found = own.listing(folder_of(tmp_path / "parts", {"a": 3, "b": 3}))
    first = np.array(own.prepare(found, PixelSpec(), SHAPE, Silent()).images)
    (target,) = (cache / "datasets").glob("*.npy")
    content = bytearray(target.read_bytes())
    content[-9] ^= 4
    target.write_bytes(content)
    told = Told()
    assert np.array_equal(own.prepare(found, PixelSpec(), SHAPE, told).images, first)
    assert told.notes == [f"{target} is damaged, and is made anew"]


def test_a_data_set_is_listed_once_in_a_run(tmp_path):
    root = folder_of(tmp_path / "parts", {"a": 3, "b": 3})
    with own.remembered():
        first = own.listing(root)
        (root / "a" / "new.png").write_bytes(encoded(Image.fromarray(RGB)))
        with own.remembered():
            assert own.listing(root) is first
        assert own.listing(root) is first
    assert own.listing(root).stamp != first.stamp


@pytest.mark.parametrize(("split", "learned"), [(True, 4), (False, 6)])
def test_learning_and_classifying_take_their_halves_of_a_split(tmp_path, split, learned):
    root = tmp_path / "new"
    folder_of(root / "train" if split else root, {"5": 3, "6": 1} if split else {"5": 4, "6": 2})
    if split:
        folder_of(root / "test", {"5": 1, "6": 1}, start=9)
    told = Told()
    batch = use.read(presets.load("digits"), [root], told, to_learn=True)
    assert len(batch.images) == len(batch.names) == len(batch.classes) == learned
    assert not any("/test/" in name for name in batch.names)
    assert told.notes == (["2 test images of new are not learned from"] if split else [])
    told = Told()
    batch = use.read(presets.load("digits"), [root], told)
    assert len(batch.images) == len(batch.names) == len(batch.classes) == (2 if split else 6)
    assert not any("/train/" in name for name in batch.names)
    assert told.notes == (["4 training images of new are not classified"] if split else [])


def png_of_16_bits(samples: np.ndarray, key: tuple[int, int, int]) -> bytes:
    """Encode (height, width, 3) uint16 with a transparent colour; Pillow writes no such file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    height, width, _ = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)),
        (b"tRNS", struct.pack(">HHH", *key)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_the_transparent_colour_of_16_bits_is_compared_in_all_of_them():
    key = (0x1234, 0x5678, 0x9ABC)
    samples = np.random.default_rng(0).integers(0, 1 << 16, (4, 5, 3))
    samples[0, 0] = samples[2, 3] = key
    samples[1, 1] = np.array(key) + 1  # of the same upper bytes
    found, layout = image_files.decoded(png_of_16_bits(samples, key), "it")
    assert layout == "rgb+alpha"
    assert np.array_equal(found[..., :3], samples >> 8)
    assert np.argwhere(found[..., 3] == 0).tolist() == [[0, 0], [2, 3]]
    assert set(found[..., 3].ravel()) == {0, 255}


def test_a_damaged_tiff_says_nothing_beside_its_sentence(capfd):
    content = bytearray(encoded(Image.fromarray(RGB), "TIFF", compression="tiff_lzw"))
    content[8:60] = bytes(b ^ 0xFF for b in content[8:60])
    with pytest.raises(image_files.ImageError, match="must be a whole image"):
        image_files.decoded(bytes(content), "it")
    assert capfd.readouterr().err == ""


def test_few_images_are_decoded_ahead(tmp_path, monkeypatch):
    root = folder_of(tmp_path / "parts", {"a": 20, "b": 20})
    begun = []
    decode = image_files.decode
    monkeypatch.setattr(image_files, "decode", lambda path: begun.append(path) or decode(path))
    for taken, _ in enumerate(own.listing(root).samples(1), start=1):
        assert len(begun) <= taken + own.AHEAD
    assert taken == 40


def test_a_group_of_rows_of_parquet_is_in_memory_at_a_time(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    noise = np.random.default_rng(0).integers(0, 256, (24, 300, 300, 3), np.uint8)
    hugging(tmp_path / "a.parquet", [0, 1] * 12, [encoded(Image.fromarray(i)) for i in noise])
    table = parquet.read_table(tmp_path / "a.parquet")
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    size = (tmp_path / "a.parquet").stat().st_size
    del table
    before, most = pyarrow.total_allocated_bytes(), 0
    for (samples, _), wanted in zip(own.listing(tmp_path).samples(1), noise, strict=True):
        assert np.array_equal(samples, wanted)
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert 0 < most < size // 2


def test_a_large_image_is_converted_in_little_memory():
    samples = np.zeros((1024, 4096, 3), np.uint8)
    tracemalloc.start()
    found = pixels.convert(samples, "rgb", PixelSpec(), (128, 128, 3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50_000_000
    assert found.flags.c_contiguous  # as it is written


@pytest.mark.parametrize("seed", range(3))
def test_twins_are_those_of_a_slow_search(seed):
    rng = np.random.default_rng(seed)
    digests = rng.integers(0, 4, (40, 2)).astype(np.uint64)
    is_test = rng.integers(0, 2, 40).astype(bool)
    train = {tuple(d) for d in digests[~is_test]}
    wanted = [i for i in np.flatnonzero(is_test) if tuple(digests[i]) in train]
    number, one, other = cached.twins(digests, is_test)
    assert (number, other) == (len(wanted), wanted[0])
    assert not is_test[one]
    assert np.array_equal(digests[one], digests[other])
    assert cached.twins(digests[is_test], is_test[is_test]) == (0, 0, 0)


def test_own_images_are_chosen_without_a_copy(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    labels = np.arange(40) % 4
    found = own.listing(archive(tmp_path / "a.npz", images=images, labels=labels))
    made = own.prepare(found, PixelSpec(), (8, 8, 1), Silent())
    data = Dataset("own", Rows(made.images), found.labels, found.is_test)
    for part in (data.train_images, data.test_images, data.some(labels == 1).images):
        assert isinstance(part, Rows)
        assert part.array is made.images
    assert np.array_equal(data.train_images, images[~found.is_test][..., None])
    few = registry.first_of_each(data, most=2 * 64 * 8)
    assert np.bincount(2 * few.labels + few.is_test).tolist() == [2] * 8
    assert np.array_equal(few.images[0], images[0][..., None])
    assert registry.first_of_each(data) is data
