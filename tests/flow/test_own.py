"""A user's own images: every layout and file format, what is refused, and what is kept for the next command."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from xnoreplay.flow.datasets import image_files, listed, own
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import pixels
from xnoreplay.spec.errors import ImageError, SpecError
from xnoreplay.spec.pixels import PixelSpec

RNG = np.random.default_rng(11)
SHAPE = (4, 6, 3)
RGB = RNG.integers(0, 256, (8, 12, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("XNOREPLAY_CACHE", str(folder))
    return folder


def encoded(image: Image.Image, kind: str = "PNG", **more) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return file.getvalue()


def folder_of(root, classes: dict[str, int], start: int = 0):
    """Class folders with so many images each; all images differ."""
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixel = RNG.integers(0, 256, (5, 7, 3), np.uint8)
            (root / name / f"{start + i}.png").write_bytes(encoded(Image.fromarray(pixel)))
    return root


@pytest.mark.parametrize(
    ("image", "kind", "more", "layout", "wanted"),
    [
        (Image.fromarray(RGB), "PNG", {}, "rgb", RGB),
        (Image.fromarray(RGB), "BMP", {}, "rgb", RGB),
        (Image.fromarray(RGB), "TIFF", {}, "rgb", RGB),
        (Image.fromarray(RGB), "WEBP", {"lossless": True}, "rgb", RGB),
        (Image.fromarray(RGB[..., 0]), "PNG", {}, "grey", RGB[..., :1]),
        (Image.fromarray(RGB[..., 0] > 99), "PNG", {}, "grey", 255 * (RGB[..., :1] > 99)),
        (Image.fromarray(RGB[..., :2], "LA"), "PNG", {}, "grey+alpha", RGB[..., :2]),
        (
            Image.fromarray(RGB.repeat(2, 2)[..., :4], "RGBA"),
            "PNG",
            {},
            "rgb+alpha",
            RGB.repeat(2, 2)[..., :4],
        ),
        (
            Image.fromarray(RGB.repeat(2, 2)[..., :4], "CMYK"),
            "TIFF",
            {},
            "cmyk",
            RGB.repeat(2, 2)[..., :4],
        ),
        (
            Image.fromarray(RGB[..., 0].astype(np.uint16) * 257),
            "PNG",
            {},
            "grey",
            RGB[..., :1].astype(np.uint16) * 257,
        ),
        (
            Image.fromarray(RGB[..., 0].astype(np.uint16) * 9),
            "TIFF",
            {},
            "grey",
            RGB[..., :1].astype(np.uint16) * 9,
        ),
    ],
    ids=lambda v: v if isinstance(v, str) else None,
)
def test_a_format_without_loss_gives_its_samples(image, kind, more, layout, wanted):
    samples, found = image_files.decoded(encoded(image, kind, **more), "it")
    assert found == layout
    assert samples.dtype == (np.uint16 if wanted.dtype == np.uint16 else np.uint8)
    assert np.array_equal(samples, wanted)


def test_palettes_become_colours_and_transparency_alpha():
    palette = Image.fromarray(RGB).quantize(8)
    samples, layout = image_files.decoded(encoded(palette), "it")
    assert layout == "rgb"
    assert np.array_equal(samples, np.asarray(palette.convert("RGB")))
    clear = encoded(palette, transparency=int(np.asarray(palette)[0, 0]))
    samples, layout = image_files.decoded(clear, "it")
    assert layout == "rgb+alpha"
    assert samples[0, 0, 3] == 0


def test_a_jpeg_is_decoded_and_turned_as_its_camera_says():
    image = Image.fromarray(RGB)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    plain, _ = image_files.decoded(encoded(image, "JPEG"), "it")
    turned, _ = image_files.decoded(encoded(image, "JPEG", exif=exif), "it")
    assert turned.shape == (12, 8, 3)
    assert np.array_equal(turned, np.rot90(plain, -1))
    grey, layout = image_files.decoded(encoded(Image.fromarray(RGB[..., 0]), "JPEG"), "it")
    assert (layout, grey.shape) == ("grey", (8, 12, 1))
    ink, layout = image_files.decoded(
        encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG"), "it"
    )
    assert layout == "cmyk"
    assert pixels.convert(ink, layout, PixelSpec(), (1, 1, 1)).item() > 250  # no ink is white paper


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "must be an image"),
        (b"GIF89a" + bytes(40), "must be an image"),
        (encoded(Image.fromarray(RGB))[:-40], "must be a whole image, but is damaged"),
        (encoded(Image.fromarray(RGB), "JPEG")[:300], "must be a"),
        (
            encoded(Image.new("L", (5000, 2))),
            "must have at most 4,096 pixels a side, not 5,000 x 2",
        ),
        (encoded(Image.fromarray(RGB[..., 0].astype(np.float32)), "TIFF"), "but has real numbers"),
        (
            encoded(Image.fromarray(RGB[..., 0].astype(np.int32) * 4000), "TIFF"),
            "samples of 8 or 16 bits",
        ),
    ],
)
def test_what_is_no_image_is_one_sentence(content, sentence):
    with pytest.raises(ImageError, match=sentence):
        image_files.decoded(content, "it")


def test_class_folders_are_classes_in_natural_order(tmp_path):
    root = folder_of(tmp_path / "parts", {"10": 4, "9": 5, "a": 2})
    (root / "9" / "notes.txt").write_text("no image")
    (root / "9" / ".hidden.png").write_text("no image")
    found = own.listing(root)
    assert found.name == "parts"
    assert found.classes == ("9", "10", "a")
    assert found.labels.tolist() == [0] * 5 + [1] * 4 + [2] * 2
    assert found.is_test.astype(int).tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1]
    assert found.notes == (f"1 files in {root} are no images and are passed over",)
    assert found.place(0) == str(root / "9" / "0.png")


def test_folders_train_and_test_are_the_split(tmp_path):
    root = tmp_path / "own"
    folder_of(root / "train", {"b": 3, "a": 2})
    folder_of(root / "test", {"a": 1, "b": 1}, start=50)
    found = own.listing(root)
    assert found.classes == ("a", "b")
    assert found.is_test.sum() == 2
    assert found.labels[found.is_test].tolist() == [0, 1]


def archive(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


IMAGES = RNG.integers(0, 256, (9, 6, 5, 3), np.uint8)


@pytest.mark.parametrize(
    "arrays",
    [
        {
            "x_train": IMAGES[:6],
            "y_train": [5, 7, 5, 7, 5, 7],
            "x_test": IMAGES[6:],
            "y_test": [5, 7, 7],
        },
        {"images": IMAGES, "labels": [5, 7, 5, 7, 5, 7, 5, 7, 7], "is_test": [0] * 6 + [1] * 3},
        {
            "images": IMAGES,
            "labels": np.array([[5, 7, 5, 7, 5, 7, 5, 7, 7]]).T,
            "is_test": [0] * 6 + [1] * 3,
        },
    ],
)
def test_an_archive_of_arrays(tmp_path, arrays):
    found = own.listing(archive(tmp_path / "a.npz", **arrays))
    assert found.classes == ("5", "7")
    assert found.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 1]
    assert found.is_test.tolist() == [False] * 6 + [True] * 3
    whole = own.prepare(found, PixelSpec(), SHAPE, Silent())
    for image, wanted in zip(whole.images, IMAGES, strict=True):
        assert np.array_equal(image, pixels.convert(wanted, "rgb", PixelSpec(), SHAPE))


def test_an_archive_is_streamed_a_part_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(own, "CHUNK", 2 * IMAGES[0].nbytes + 1)
    names = np.array(["screw", "nut"])
    found = own.listing(
        archive(tmp_path / "a.npz", images=IMAGES, labels=[0, 1] * 4 + [0], class_names=names)
    )
    assert found.classes == ("screw", "nut")
    assert all(np.array_equal(s, i) for (s, _), i in zip(found.samples(1), IMAGES, strict=True))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"images": IMAGES, "labels": [0.0, 1.0] * 4 + [0.0]},
            "labels of .* must be integers, one an image, not float64",
        ),
        ({"images": IMAGES, "labels": ["a", "b"] * 4 + ["a"]}, "labels of .* must be integers"),
        ({"images": IMAGES, "labels": [0, 1]}, r"must have one image a label \(2\), not 9"),
        ({"images": IMAGES.astype(float), "labels": [0, 1]}, "must be uint8 or uint16 of shape"),
        (
            {"images": IMAGES[..., :0], "labels": [0] * 9},
            "must have 1 to 4 channels, the last axis, not 0",
        ),
        ({"images": IMAGES}, "but has no 'labels'"),
        ({"x_train": IMAGES, "y_train": [0] * 9, "x_test": IMAGES}, "but has no 'y_test'"),
        ({"images": IMAGES, "labels": [0] * 9}, "must have at least two classes, not 1"),
        ({"images": IMAGES, "labels": [0, 1] + [0] * 7}, "class '1' of .* but has none to test"),
        (
            {"images": IMAGES, "labels": [0, 1] * 4 + [0], "is_test": [1]},
            "must have one value a label",
        ),
        ({"images": np.array([{}] * 9), "labels": [0, 1] * 4 + [0]}, "must be uint8 or uint16"),
        (
            {"images": IMAGES, "labels": [0, 9] * 4 + [0], "class_names": ["a", "b"]},
            "numbers of its 2 class names",
        ),
    ],
)
def test_an_archive_that_is_none_is_one_sentence(tmp_path, arrays, sentence):
    arrays = {k: np.asarray(v) for k, v in arrays.items()}
    with pytest.raises(SpecError, match=sentence):
        own.listing(archive(tmp_path / "a.npz", **arrays))


def hugging(path, labels: list, images: list[bytes], names=None, **columns):
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    table = pyarrow.table(
        {"image": [{"bytes": i, "path": None} for i in images], "label": labels} | columns
    )
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    path.parent.mkdir(exist_ok=True, parents=True)
    parquet.write_table(table, path)


def test_parquet_as_hugging_face_has_it(tmp_path):
    pictures = [encoded(Image.fromarray(i)) for i in IMAGES]
    hugging(
        tmp_path / "set" / "data" / "train-00000-of-00001.parquet",
        [1, 0, 1, 0],
        pictures[:4],
        ["cat", "dog"],
    )
    hugging(
        tmp_path / "set" / "data" / "test-00000-of-00001.parquet",
        [0, 1],
        pictures[4:6],
        ["cat", "dog"],
    )
    found = own.listing(tmp_path / "set")
    assert (found.name, found.classes) == ("set", ("cat", "dog"))
    order = [4, 5, 0, 1, 2, 3]  # files by name
    assert found.labels.tolist() == [0, 1, 1, 0, 1, 0]
    assert found.is_test.tolist() == [True, True, False, False, False, False]
    assert all(
        np.array_equal(s, IMAGES[i]) for (s, _), i in zip(found.samples(1), order, strict=True)
    )
    assert found.place(3).startswith("row 1 of ")
    single = tmp_path / "one.parquet"
    hugging(single, [0, 1] * 4, pictures[:8])
    assert own.listing(single).is_test.astype(int).tolist() == [0, 0, 0, 0, 0, 0, 1, 1]
    hugging(single, [0.5, 1.0] * 4, pictures[:8])
    with pytest.raises(SpecError, match="column 'label' of .* must be integers, not double"):
        own.listing(single)
    single.write_bytes(single.read_bytes()[:-9])
    with pytest.raises(SpecError, match="must be Parquet"):
        own.listing(single)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda _: None, "must be a folder or a file that is there"),
        (lambda p: p.mkdir(), "must hold a folder of images for each class, but holds no folder"),
        (lambda p: folder_of(p, {"a": 2, "b": 0}), "class folder .* must hold images"),
        (
            lambda p: folder_of(p, {"a": 2, "b": 1}),
            "class 'b' of .* but has none to test \\(1 in all\\)",
        ),
        (lambda p: folder_of(p, {"a": 2}), "at least two classes, not 1"),
        (lambda p: folder_of(p / "test", {"a": 2}), "must have a folder 'train' beside 'test'"),
        (lambda p: p.write_bytes(b"x"), "must be a folder of class folders"),
    ],
)
def test_a_folder_that_is_none_is_one_sentence(tmp_path, make, sentence):
    make(tmp_path / "own")
    with pytest.raises(SpecError, match=sentence):
        own.listing(tmp_path / "own")


def test_an_archive_to_unpack_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.zip", "w"):
        pass
    with pytest.raises(SpecError, match="must be unpacked first"):
        own.listing(tmp_path / "own.zip")
    (tmp_path / "own.npz").write_bytes(b"PK no archive")
    with pytest.raises(SpecError, match="must be an archive of NumPy arrays"):
        own.listing(tmp_path / "own.npz")


def test_images_are_converted_once_and_again_when_something_changes(tmp_path, cache, monkeypatch):
    root = folder_of(tmp_path / "parts", {"a": 3, "b": 3})
    first = own.prepare(own.listing(root), PixelSpec(), SHAPE, Silent())
    assert first.images.shape == (6, *SHAPE)
    with monkeypatch.context() as patch:
        patch.setattr(own, "_make", lambda *_: pytest.fail("made again"))
        again = own.prepare(own.listing(root), PixelSpec(), SHAPE, Silent())
    assert np.array_equal(first.images, again.images)
    assert len(list((cache / "datasets").iterdir())) == 2
    own.prepare(own.listing(root), PixelSpec("pad"), SHAPE, Silent())
    assert len(list((cache / "datasets").iterdir())) == 4
    before = own.listing(root).stamp
    path = root / "a" / "0.png"
    stat = path.stat()
    path.write_bytes(encoded(Image.fromarray(RGB)))
    assert own.listing(root).stamp != before
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert own.listing(root).stamp != before


def test_twins_and_sizes_are_told(tmp_path):
    root = tmp_path / "own"
    folder_of(root / "train", {"a": 2, "b": 2})
    folder_of(root / "test", {"a": 1, "b": 1}, start=50)
    (root / "test" / "b" / "copy.png").write_bytes((root / "train" / "b" / "1.png").read_bytes())
    (root / "test" / "b" / "large.png").write_bytes(encoded(Image.fromarray(RGB)))
    shown: list[str] = []

    class Told(Silent):
        def note(self, text: str) -> None:
            shown.append(text)

    notes = own.prepare(own.listing(root), PixelSpec(), SHAPE, Told()).notes
    assert own.prepare(own.listing(root), PixelSpec(), SHAPE, Told()).notes == notes
    assert tuple(shown) == notes  # at the first use alone
    assert len(notes) == 2
    assert notes[0].startswith("1 test images are also training images")
    assert str(root / "train" / "b" / "1.png") in notes[0]
    assert notes[1].startswith("images of 2 sizes, 5x7 to 8x12, are brought to 4x6")


def test_a_damaged_image_leaves_nothing_behind(tmp_path, cache):
    root = folder_of(tmp_path / "parts", {"a": 3, "b": 3})
    path = root / "b" / "1.png"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ImageError, match=r"b/1\.png must be a whole image"):
        own.prepare(own.listing(root), PixelSpec(), SHAPE, Silent())
    assert list((cache / "datasets").iterdir()) == []


def pnm(text: str, *values: int, wide: bool = True) -> bytes:
    return text.encode() + np.array(values, ">u2" if wide else np.uint8).tobytes()


def test_pnm_keeps_its_range_and_is_refused_where_pillow_rounds():
    samples, layout = image_files.decoded(pnm("P5 2 2 4095\n", 0, 255, 256, 4095), "it")
    assert (layout, samples[..., 0].tolist()) == ("grey", [[0, 255], [256, 4095]])
    with pytest.raises(ImageError, match="must have samples of 8 bits where it is PNM in colour"):
        image_files.decoded(pnm("P6 1 1 65535\n", 1, 2, 3), "it")


def test_grey_of_sixteen_bits_keeps_transparency_and_white_at_zero():
    wide = RGB[..., 0].astype(np.uint16) * 257
    clear = encoded(Image.fromarray(wide), transparency=int(wide[0, 0]))
    samples, layout = image_files.decoded(clear, "it")
    assert layout == "grey+alpha"
    assert np.array_equal(samples[..., 0], wide)
    assert np.array_equal(samples[..., 1] == 0, wide == wide[0, 0])
    white = encoded(Image.fromarray(wide), "TIFF", tiffinfo={262: 0})
    samples, _ = image_files.decoded(white, "it")
    assert np.array_equal(samples[..., 0], 65535 - wide)


@pytest.mark.parametrize("orientation", range(10))
def test_orientations_are_those_of_pillow(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(RGB), "WEBP", exif=exif, lossless=True)
    with Image.open(io.BytesIO(content)) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(image_files.decoded(content, "it")[0], wanted)


def test_a_file_of_holes_is_refused_before_it_fills_the_memory(tmp_path):
    with open(tmp_path / "large.png", "wb") as file:
        file.truncate(1 << 29)
    with pytest.raises(ImageError, match="must have at most"):
        image_files.decode(tmp_path / "large.png")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (
            {"images": np.zeros((2, 0, 8), np.uint8)},
            "must have 1 to 4,096 pixels a side, not 0 x 8",
        ),
        (
            {"images": np.zeros((2, 1, 5000), np.uint8)},
            "must have 1 to 4,096 pixels a side, not 1 x 5000",
        ),
        ({"labels": np.array([0, 2**64 - 1], np.uint64)}, "must be integers below 2\\^63"),
        ({"is_test": np.array(["no", "yes"])}, "must have one value a label, Boolean or integer"),
        ({"is_test": np.array([0.0, np.nan])}, "must have one value a label, Boolean or integer"),
        (
            {"class_names": np.array(["a", "b"], "S1")},
            "class_names of .* must be texts, one a class",
        ),
        ({"class_names": np.array("ab")}, "class_names of .* must be texts, one a class"),
    ],
)
def test_an_archive_with_an_odd_array_is_one_sentence(tmp_path, arrays, sentence):
    arrays = {"images": np.zeros((2, 4, 4), np.uint8), "labels": np.array([0, 1])} | arrays
    with pytest.raises(SpecError, match=sentence):
        own.listing(archive(tmp_path / "a.npz", **arrays))


@pytest.mark.parametrize(
    "change", ["cut", "empty", "other shape", "other type", "about", "list", "notes"]
)
def test_a_damaged_cache_is_made_anew(tmp_path, cache, change):
    found = own.listing(folder_of(tmp_path / "parts", {"a": 3, "b": 3}))
    first = np.array(own.prepare(found, PixelSpec(), SHAPE, Silent()).images)
    (target,) = (cache / "datasets").glob("*.npy")
    about = target.with_suffix(".json")
    damage = {
        "cut": lambda: target.write_bytes(target.read_bytes()[:200]),
        "empty": lambda: target.write_bytes(b""),
        "other shape": lambda: np.save(target, np.zeros((2, *SHAPE), np.uint8)),
        "other type": lambda: np.save(target, np.zeros((6, *SHAPE))),
        "about": lambda: about.write_text(""),
        "list": lambda: about.write_text("[]"),
        "notes": lambda: about.write_text('{"notes": 5}'),
    }
    damage[change]()
    assert np.array_equal(own.prepare(found, PixelSpec(), SHAPE, Silent()).images, first)


@pytest.mark.parametrize("count", [3, 5])
def test_a_data_set_that_changes_while_it_is_read_is_refused(tmp_path, cache, count):
    images = np.zeros((4, 4, 4), np.uint8)
    found = own.listing(archive(tmp_path / "a.npz", images=images, labels=[0, 1, 0, 1]))
    archive(tmp_path / "a.npz", images=np.zeros((count, 4, 4), np.uint8), labels=[0] * count)
    with pytest.raises(
        ImageError, match="must stay as it is while it is read, but no longer has 4 images"
    ):
        own.prepare(found, PixelSpec(), SHAPE, Silent())
    assert list((cache / "datasets").iterdir()) == []


def test_a_full_disk_is_told_before_a_write_that_would_end_the_process(
    tmp_path, cache, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(listed.os, "posix_fallocate", full, raising=False)
    found = own.listing(folder_of(tmp_path / "parts", {"a": 3, "b": 3}))
    with pytest.raises(OSError, match="No space left"):
        own.prepare(found, PixelSpec(), SHAPE, Silent())
    assert list((cache / "datasets").iterdir()) == []


def test_a_class_that_is_called_train_does_not_hide_the_others(tmp_path):
    root = folder_of(tmp_path / "own", {"car": 3, "plane": 3})
    folder_of(root / "train", {"steam": 3, "diesel": 3})
    with pytest.raises(SpecError, match="not 'train' beside 'car'"):
        own.listing(root)
    split = tmp_path / "split"
    for half in ("train", "test", "val"):
        folder_of(split / half, {"a": 2, "b": 2})
    assert own.listing(split).notes == (f"folder val of {split} is passed over",)


def test_a_name_that_is_no_utf_8_is_refused(tmp_path):
    root = folder_of(tmp_path / "own", {"a": 2})
    folder = os.fsencode(root) + b"/\xff"
    os.mkdir(folder)
    with open(folder + b"/0.png", "wb") as file:
        file.write(encoded(Image.fromarray(RGB)))
    with pytest.raises(SpecError, match="must be UTF-8"):
        own.listing(root)


def test_a_pipe_among_parquet_files_does_not_hang(tmp_path):
    pytest.importorskip("pyarrow")
    os.mkfifo(tmp_path / "train.parquet")
    with pytest.raises((SpecError, ValueError), match="named pipe"):
        own.listing(tmp_path)
