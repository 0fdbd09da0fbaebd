"""Converts the samples of an image file to the pixels that enter the chip: one exact rule in integers.

`convert` is the rule in Python; `c/xnoreplay_pixels.c` beside this file is the same function for a host without Python.
`docs/pixels.md` says it in words, so that it can be written again.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.errors import ImageError, require, shown

BYTE = 255
FITS = ("crop", "pad", "stretch")
LEAST_BITS, MOST_BITS = 8, 16
STRIP = 1 << 18  # pixels of an image that are converted at once: some 20 MB of intermediate values


class Layout(NamedTuple):
    """Channels of a decoded image: their number, and the code that the C function knows them by."""

    channels: int
    code: int


LAYOUTS = {
    "grey": Layout(1, 0),
    "grey+alpha": Layout(2, 1),
    "rgb": Layout(3, 2),
    "rgb+alpha": Layout(4, 3),
    "cmyk": Layout(4, 4),
}
"""How the samples of one pixel follow each other. A sample of ``cmyk`` is the amount of ink: 0 is white paper."""


@dataclass(frozen=True)
class PixelSpec:
    """How an image of any size becomes the pixels of a network.

    Parameters
    ----------
    fit : str
        ``"crop"``: the largest centred part of the network's proportions. ``"pad"``: the whole image, centred on
        `background`. ``"stretch"``: the whole image, whatever its proportions.
    background : int
        Grey value, 0 to 255, around a padded image and below transparent pixels.
    sample_bits : int
        Bits that samples of 16-bit files use, 8 to 16: the upper eight of them are taken, and greater values count as the
        greatest. A camera of 12 bits whose files hold 0 to 4095 has 12.
    greatest : int
        Greatest value of a pixel that enters the chip, 1 to 255; 0 is the least. Samples are scaled to it.

    Raises
    ------
    SpecError
        Where a field breaks a rule; the message states the rule and the value.
    """

    fit: str = "crop"
    background: int = 0
    sample_bits: int = MOST_BITS
    greatest: int = BYTE

    def __post_init__(self) -> None:
        require.choice("fit", self.fit, FITS)
        require.between("background", self.background, 0, BYTE)
        require.between("sample_bits", self.sample_bits, LEAST_BITS, MOST_BITS)
        require.between("greatest", self.greatest, 1, BYTE)


class Frame(NamedTuple):
    """Rows or columns of an image beside those of the canvas that is resized.

    The canvas has `size` rows; row 0 of the image is its row `start`, which is negative where rows are cut away.
    """

    size: int
    start: int


def frames(fit: str, height: int, width: int, rows: int, columns: int) -> tuple[Frame, Frame]:
    """The canvas of an image, as frames of its rows and of its columns.

    Parameters
    ----------
    fit : str
        One of `FITS`.
    height, width : int
        Of the image, in pixels.
    rows, columns : int
        Of the network's input, in pixels.

    >>> frames("crop", 10, 20, 8, 8), frames("pad", 10, 20, 8, 8)
    ((Frame(size=10, start=0), Frame(size=10, start=-5)), (Frame(size=20, start=5), Frame(size=20, start=0)))
    """
    wide, tall = width * rows > height * columns, width * rows < height * columns
    tall_to, wide_to = height, width
    if fit == "crop" and wide:
        wide_to = max(1, height * columns // rows)
    elif fit == "crop" and tall:
        tall_to = max(1, width * rows // columns)
    elif fit == "pad" and wide:
        tall_to = ceil_div(width * rows, columns)
    elif fit == "pad" and tall:
        wide_to = ceil_div(height * columns, rows)
    return _centred(height, tall_to), _centred(width, wide_to)


def _centred(whole: int, size: int) -> Frame:
    return Frame(size, (size - whole) // 2 if size >= whole else -((whole - size) // 2))


def convert(
    samples: np.ndarray, layout: str, spec: PixelSpec, image_shape: tuple[int, ...]
) -> np.ndarray:
    """Convert the samples of one decoded image to the pixels that enter the chip.

    In this order: 16-bit samples to eight bits; ink to light; transparent pixels onto the background; grey, or YCbCr of
    ITU-R BT.601 as in JPEG; the fit; the floor of the mean over the area that each output pixel covers; the range.

    ImageError where the samples do not have the layout's shape, or are of another type.

    Parameters
    ----------
    samples : (height, width, channels) uint8 or uint16
        As a decoder gives them, channels in the order of the layout.
    layout : str
        One of `LAYOUTS`.
    spec : PixelSpec
    image_shape : tuple of int
        (rows, columns, 1 or 3) of the network, `NetworkSpec.image_shape`.

    Returns
    -------
    image_shape uint8
        Grey, or Y, Cb and Cr.

    Examples
    --------
    >>> half = np.array([[[0], [255]], [[10], [21]]], np.uint8)
    >>> convert(half, "grey", PixelSpec(), (1, 1, 1)).item()
    71
    """
    _check(samples, layout)
    (height, width, _), (rows, columns, channels) = samples.shape, image_shape
    back = _colour(np.full((1, 1, 1), spec.background, np.int32), channels).astype(np.int64)
    down, across = frames(spec.fit, height, width, rows, columns)
    narrow = np.empty((height, columns, channels), np.int64)
    at_once = max(1, STRIP // width)
    for top in range(0, height, at_once):
        strip = samples[top : top + at_once]
        light = _light(_to_bytes(strip, spec.sample_bits), layout, spec.background)
        narrow[top : top + at_once] = _areas(_colour(light, channels), across, columns, axis=1)
    sums = _areas(narrow, down, rows, axis=0)
    total = down.size * across.size
    by_row, by_column = (
        _areas(np.ones(n, np.int64), frame, outputs, axis=0)
        for n, frame, outputs in ((height, down, rows), (width, across, columns))
    )
    uncovered = total - np.outer(by_row, by_column)
    means = (sums + uncovered[..., None] * back) // total
    return ((means * spec.greatest + BYTE // 2) // BYTE).astype(np.uint8)


def to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """Full-range YCbCr (ITU-R BT.601, as in JPEG) in integers of eight bits of fraction.

    Parameters
    ----------
    rgb : (..., 3) integers, 0 to 255

    Returns
    -------
    (..., 3) of the same type

    >>> to_ycbcr(np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], np.uint8)).tolist()
    [[0, 128, 128], [255, 128, 128], [77, 85, 255]]
    """
    r, g, b = np.moveaxis(rgb, -1, 0).astype(np.int32)
    y = (77 * r + 150 * g + 29 * b + 128) >> 8
    cb = (128 * 256 - 43 * r - 85 * g + 128 * b + 128) >> 8
    cr = (128 * 256 + 128 * r - 107 * g - 21 * b + 128) >> 8
    return np.stack([y, cb, cr], axis=-1).clip(0, BYTE).astype(rgb.dtype)


def _check(samples: np.ndarray, layout: str) -> None:
    require.choice("layout", layout, tuple(LAYOUTS))
    channels = LAYOUTS[layout].channels
    if samples.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"samples must be uint8 or uint16, not {samples.dtype}")
    if samples.ndim != 3 or samples.shape[2] != channels or not samples.size:
        raise ImageError(
            f"an image of layout {layout!r} must have the shape (height, width, {channels}), "
            f"not {shown(samples.shape)}"
        )


def _to_bytes(samples: np.ndarray, bits: int) -> np.ndarray:
    """(..., channels) int32, 0 to 255."""
    wide = samples.astype(np.int32)
    if samples.dtype == np.uint8:
        return wide
    return np.minimum(wide >> bits - LEAST_BITS, BYTE)


def _light(samples: np.ndarray, layout: str, background: int) -> np.ndarray:
    """(..., 1 or 3) int32: grey or red, green, blue, without ink and alpha."""
    if layout == "cmyk":
        return ((BYTE - samples[..., :3]) * (BYTE - samples[..., 3:]) + BYTE // 2) // BYTE
    if not layout.endswith("alpha"):
        return samples
    alpha = samples[..., -1:]
    return (samples[..., :-1] * alpha + background * (BYTE - alpha) + BYTE // 2) // BYTE


def _colour(light: np.ndarray, channels: int) -> np.ndarray:
    """(..., channels) int32: grey where the network has one channel, else YCbCr."""
    if channels == 1:
        return light if light.shape[-1] == 1 else to_ycbcr(light)[..., :1]
    return to_ycbcr(np.broadcast_to(light, (*light.shape[:-1], 3)))


def _areas(values: np.ndarray, frame: Frame, outputs: int, axis: int) -> np.ndarray:
    """Sum rows or columns over the part of the canvas that each output covers, in units of 1/outputs row.

    Output i covers the canvas from i size / outputs to (i + 1) size / outputs; outside the image its values are 0. Each
    sum is a difference of sums from the image's first row on, up to a row and a part of the next.

    Parameters
    ----------
    values : ndarray of integers
        Along `axis` the image.
    frame : Frame
        Of that axis.
    outputs : int
    axis : int

    Returns
    -------
    ndarray of int64
        `outputs` along `axis`; at most 255 times the canvas's pixels, below 2^53.
    """
    count = values.shape[axis]
    row, rest = np.divmod(np.arange(outputs + 1) * frame.size, outputs)
    row -= frame.start
    rest[(row < 0) | (row >= count)] = 0
    before = np.cumsum(values, axis=axis, dtype=np.int64)
    whole = np.take(before, row.clip(1, count) - 1, axis=axis)
    last = np.take(values, row.clip(0, count - 1), axis=axis).astype(np.int64)
    shape = [-1 if a == axis else 1 for a in range(values.ndim)]
    sums = (outputs * (row > 0)).reshape(shape) * whole + rest.reshape(shape) * last
    return np.diff(sums, axis=axis)
