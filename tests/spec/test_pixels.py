"""Pixels of a decoded image: the Python rule, the C function, a slow reference and Pillow beside each other."""

import ctypes
import shutil
import subprocess
from fractions import Fraction
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xnoreplay.spec import pixels
from xnoreplay.spec.errors import ImageError, SpecError
from xnoreplay.spec.pixels import FITS, LAYOUTS, PixelSpec


class CSpec(ctypes.Structure):
    _fields_ = [
        ("fit", ctypes.c_int),
        ("background", ctypes.c_uint8),
        ("sample_bits", ctypes.c_uint8),
        ("greatest", ctypes.c_uint8),
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = resources.files("xnoreplay.spec") / "c"
    target = tmp_path_factory.mktemp("c") / "pixels.so"
    compiler = shutil.which("cc") or shutil.which("g++")
    source = str(folder / "xnoreplay_pixels.c")
    flags = ["-O1", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-std=c99", "-pedantic"]
    subprocess.run([compiler, "-x", "c", *flags, source, "-o", str(target)], check=True)
    return ctypes.CDLL(str(target))


def in_c(library, samples, layout, spec: PixelSpec, shape) -> np.ndarray | None:
    """What the C function gives; None where it refuses."""
    rows, columns, channels = shape
    out = np.full(shape, 0xAA, np.uint8)
    samples = np.ascontiguousarray(samples)
    chosen = CSpec(FITS.index(spec.fit), spec.background, spec.sample_bits, spec.greatest)
    code = library.xnoreplay_convert(
        samples.ctypes.data_as(ctypes.c_void_p),
        int(samples.dtype == np.uint16),
        LAYOUTS[layout].code,
        *samples.shape[:2],
        ctypes.byref(chosen),
        rows,
        columns,
        channels,
        out.ctypes.data_as(ctypes.c_void_p),
    )
    return None if code else out


@st.composite
def cases(draw):
    layout = draw(st.sampled_from(sorted(LAYOUTS)))
    height, width = draw(st.integers(1, 13)), draw(st.integers(1, 13))
    wide = draw(st.booleans())
    seed = draw(st.integers(0, 2**32 - 1))
    top = 65535 if wide else 255
    size = (height, width, LAYOUTS[layout].channels)
    rng = np.random.default_rng(seed)
    samples = rng.choice([0, 1, top, None], size)
    samples = np.where(samples == None, rng.integers(0, top + 1, size), samples)  # noqa: E711
    spec = PixelSpec(
        draw(st.sampled_from(FITS)),
        draw(st.sampled_from([0, 128, 255])),
        draw(st.integers(8, 16)),
        draw(st.sampled_from([1, 16, 255])),
    )
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.sampled_from([1, 3])))
    return samples.astype(np.uint16 if wide else np.uint8), layout, spec, shape


def by_fractions(samples, layout, spec: PixelSpec, shape) -> np.ndarray:
    """The page read aloud: one pixel, one output and one fraction at a time."""
    rows, columns, channels = shape
    height, width = samples.shape[:2]

    def value(y: int, x: int) -> list[int]:
        s = [int(v) for v in samples[y, x]]
        if samples.dtype == np.uint16:
            s = [min(v >> spec.sample_bits - 8, 255) for v in s]
        if layout == "cmyk":
            s = [((255 - v) * (255 - s[3]) + 127) // 255 for v in s[:3]]
        elif layout.endswith("alpha"):
            s = [(v * s[-1] + spec.background * (255 - s[-1]) + 127) // 255 for v in s[:-1]]
        return colour(s)

    def colour(s: list[int]) -> list[int]:
        if channels == 1 and len(s) == 1:
            return s
        r, g, b = s * 3 if len(s) == 1 else s
        y = (77 * r + 150 * g + 29 * b + 128) // 256
        cb = (32768 - 43 * r - 85 * g + 128 * b + 128) // 256
        cr = (32768 + 128 * r - 107 * g - 21 * b + 128) // 256
        return [max(0, min(255, v)) for v in (y, cb, cr)][:channels]

    if spec.fit == "stretch":
        tall, wide = height, width
    elif (width * rows > height * columns) == (spec.fit == "crop"):
        tall, wide = height, width
        if spec.fit == "crop":
            wide = max(1, height * columns // rows)
        else:
            wide = max(width, -(-height * columns // rows))
    else:
        tall, wide = height, width
        if spec.fit == "crop":
            tall = min(height, max(1, width * rows // columns))
        else:
            tall = max(height, -(-width * rows // columns))
    top, left = (
        ((tall - height) // 2 if tall >= height else -((height - tall) // 2)),
        ((wide - width) // 2 if wide >= width else -((width - wide) // 2)),
    )
    out = np.zeros(shape, np.uint8)
    for i in range(rows):
        for j in range(columns):
            sums = [Fraction(0)] * channels
            for y in range(tall):
                for x in range(wide):
                    h = min(Fraction((i + 1) * tall, rows), y + 1) - max(
                        Fraction(i * tall, rows), y
                    )
                    w = min(Fraction((j + 1) * wide, columns), x + 1) - max(
                        Fraction(j * wide, columns), x
                    )
                    if h <= 0 or w <= 0:
                        continue
                    inside = 0 <= y - top < height and 0 <= x - left < width
                    v = value(y - top, x - left) if inside else colour([spec.background])
                    sums = [s + h * w * c for s, c in zip(sums, v, strict=True)]
            area = Fraction(tall, rows) * Fraction(wide, columns)
            means = [s / area for s in sums]
            out[i, j] = [(int(m) * spec.greatest + 127) // 255 for m in means]
    return out


@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_c_and_python_give_the_same_bits(library, case):
    assert np.array_equal(in_c(library, *case), pixels.convert(*case))


@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_python_gives_what_the_page_says(case):
    assert np.array_equal(pixels.convert(*case), by_fractions(*case))


@pytest.mark.parametrize(
    ("size", "to"), [((40, 40), (8, 8)), ((37, 61), (37, 61)), ((36, 50), (12, 10))]
)
def test_a_stretched_image_is_pillows_box_filter_but_for_its_rounding(size, to):
    """Pillow rounds each direction to a byte, to nearest; the rule takes one floor at the end.

    Only where whole blocks are averaged: elsewhere Pillow weighs pixels by their centres, and the rule by their areas.
    """
    image = np.random.default_rng(7).integers(0, 256, size, np.uint8)
    ours = pixels.convert(image[..., None], "grey", PixelSpec("stretch"), (*to, 1))[..., 0]
    box = Image.fromarray(image).resize(to[::-1], Image.Resampling.BOX)
    difference = np.asarray(box).astype(int) - ours
    assert difference.min() >= -1
    assert difference.max() <= 2
    if size == to:
        assert np.array_equal(ours, image)


def test_by_hand():
    """A 2x4 image of grey values to 2x2: cropped to its middle columns; padded by two rows; stretched."""
    image = np.array([[0, 10, 20, 30], [40, 50, 60, 70]], np.uint8)[..., None]
    shape = (2, 2, 1)
    crop = pixels.convert(image, "grey", PixelSpec("crop"), shape)[..., 0]
    assert crop.tolist() == [[10, 20], [50, 60]]
    # Rows of the canvas: background, image, image, background; each output is a block of 2x2.
    pad = pixels.convert(image, "grey", PixelSpec("pad", background=100), shape)[..., 0]
    assert pad.tolist() == [[(200 + 10) // 4, (200 + 50) // 4], [(200 + 90) // 4, (200 + 130) // 4]]
    assert pixels.convert(image, "grey", PixelSpec("stretch"), shape)[..., 0].tolist() == [
        [5, 25],
        [45, 65],
    ]
    small = pixels.convert(image, "grey", PixelSpec("crop", greatest=16), shape)[..., 0]
    assert small.tolist() == [[1, 1], [3, 4]]  # 16 x 10 / 255 is 0.6, 1.3, 3.1, 3.8
    twelve = (image.astype(np.uint16) << 4) + 15
    assert np.array_equal(
        pixels.convert(twelve, "grey", PixelSpec(sample_bits=12), shape),
        pixels.convert(image, "grey", PixelSpec(), shape),
    )


def test_the_page_s_example():
    """Those of docs/pixels.md: a grey image of 12 bits, padded, into two rows of two pixels."""
    page = (Path(__file__).parents[2] / "docs" / "pixels.md").read_text(encoding="utf-8")
    shown = page.split("## An example")[1].split("\n\n")[2]
    rows = [line.split("|")[2] for line in shown.splitlines()[2:]]
    samples, small, _, area, light = (
        [[int(v) for v in row.split(",")] for row in cell.split("so ")[-1].split(";")]
        for cell in rows
    )
    given = np.array(samples, np.uint16)[..., None]
    assert np.minimum(given >> 4, 255)[..., 0].tolist() == small
    for greatest, values in ((255, area), (15, light)):
        found = pixels.convert(given, "grey", PixelSpec("pad", 16, 12, greatest), (2, 2, 1))
        assert found[..., 0].tolist() == values


def test_the_mean_of_whole_blocks_is_what_the_presets_data_sets_have():
    from xnoreplay.flow.datasets import registry

    images = np.random.default_rng(3).integers(0, 256, (3, 12, 8, 3), np.uint8)
    ycbcr = pixels.to_ycbcr(images)
    reduced = registry.reduce(ycbcr, (6, 4, 3))
    for image, wanted in zip(images, reduced, strict=True):
        assert np.array_equal(pixels.convert(image, "rgb", PixelSpec(), (6, 4, 3)), wanted)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"fit": "zoom"}, "fit must be .*crop.*, not .zoom."),
        ({"background": 256}, "background must be"),
        ({"sample_bits": 7}, "sample_bits must be"),
        ({"greatest": 0}, "greatest must be"),
    ],
)
def test_a_bad_rule_is_refused(change, sentence):
    with pytest.raises(SpecError, match=sentence):
        PixelSpec(**change)


@pytest.mark.parametrize(
    ("samples", "layout", "sentence"),
    [
        (np.zeros((2, 2, 3), np.float32), "rgb", "samples must be uint8 or uint16, not float32"),
        (np.zeros((2, 2), np.uint8), "grey", r"must have the shape \(height, width, 1\)"),
        (np.zeros((2, 2, 3), np.uint8), "rgb+alpha", r"must have the shape \(height, width, 4\)"),
        (np.zeros((0, 2, 1), np.uint8), "grey", "must have the shape"),
    ],
)
def test_samples_that_are_none_are_refused(samples, layout, sentence):
    with pytest.raises(ImageError, match=sentence):
        pixels.convert(samples, layout, PixelSpec(), (2, 2, 1))


def test_c_refuses_what_is_out_of_range(library):
    image = np.zeros((2, 2, 1), np.uint8)
    assert in_c(library, image, "grey", PixelSpec(), (2, 2, 1)) is not None
    assert in_c(library, image, "grey", PixelSpec(), (2, 2, 2)) is None
    assert in_c(library, image, "grey", PixelSpec(), (0, 2, 1)) is None
    assert in_c(library, image, "grey", PixelSpec(), (2, 5000, 1)) is None
