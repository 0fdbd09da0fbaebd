"""Image files decoded to samples, exactly: whatever the file holds, `spec.pixels` says what becomes of it."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from xnoreplay.spec import limits, reading
from xnoreplay.spec.errors import ImageError, ReadError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
MOST_SIDE = limits.MOST["height"].most
PLAIN = {"L": "grey", "LA": "grey+alpha", "RGB": "rgb", "RGBA": "rgb+alpha", "CMYK": "cmyk"}
"""Pillow's modes whose bytes are samples of a layout as they are."""
WIDE = ("I;16", "I;16L", "I;16B", "I;16N")
"""Grey of 16 bits."""
DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    MemoryError,
    RuntimeError,
    LookupError,
    TypeError,
)
"""What Pillow raises for a file that is damaged."""


def decode(path: Path) -> tuple[np.ndarray, str]:
    """The samples of an image file; see `decoded`. Raises ImageError, also where the file cannot be read."""
    try:
        return decoded(reading.raw(path), str(path))
    except ReadError as error:
        raise ImageError(str(error)) from None
    except OSError as error:
        raise ImageError(
            f"{path} must be an image that can be read, but: {error.strerror}"
        ) from None


def decoded(content: bytes, name: str) -> tuple[np.ndarray, str]:
    """The samples of an encoded image.

    Palettes become the colours that they name, bilevel images black and white, and a camera's orientation is applied.
    Samples of 16 bits stay whole where the image is grey; of coloured images Pillow gives the upper eight bits, which is
    what the rule of `spec.pixels` takes of them where they use all 16. Of several frames the first is taken.

    Parameters
    ----------
    content : bytes
        Of a file in one of `FORMATS`.
    name : str
        For the sentence of an error.

    Returns
    -------
    samples : (height, width, channels) uint8 or uint16
    layout : str
        One of `spec.pixels.LAYOUTS`.

    Raises
    ------
    ImageError
        For no image, a damaged or truncated one, one of over 4,096 pixels a side, and for 32-bit and real samples.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of doubtful metadata, and of sizes that are checked here
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_size(image, name)
                image.load()
                return _samples(ImageOps.exif_transpose(image), name)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} must be an image ({', '.join(FORMATS)}), but is none") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(name)) from None
    except DAMAGED as error:
        what = str(error) or type(error).__name__
        raise ImageError(f"{name} must be a whole image, but is damaged: {what}") from None


def _check_size(image: Image.Image, name: str) -> None:
    if max(image.size) > MOST_SIDE:
        raise ImageError(_too_large(name, f", not {image.size[0]:,} x {image.size[1]:,}"))


def _too_large(name: str, what: str = "") -> str:
    return f"{name} must have at most {MOST_SIDE:,} pixels a side{what}"


def _samples(image: Image.Image, name: str) -> tuple[np.ndarray, str]:
    mode = image.mode
    if mode in WIDE:
        return np.asarray(image).astype(np.uint16)[..., None], "grey"
    if mode == "I":
        return _of_wide_integers(image, name)
    if mode == "F":
        raise ImageError(f"{name} must have samples of 8 or 16 bits, but has real numbers")
    if mode in ("P", "PA") or "transparency" in image.info:
        see_through = mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if see_through else "RGB")
    elif mode == "1":
        image = image.convert("L")
    elif mode not in PLAIN:  # YCbCr, LAB, HSV and premultiplied alpha
        image = image.convert("RGBA" if mode.endswith("a") else "RGB")
    samples = np.asarray(image)
    return samples.reshape(*samples.shape[:2], -1), PLAIN[image.mode]


def _of_wide_integers(image: Image.Image, name: str) -> tuple[np.ndarray, str]:
    """Grey of 32 bits, which Pillow also takes for 16-bit PNM files: as 16 bits, where it fits."""
    samples = np.asarray(image)
    if samples.min() < 0 or samples.max() > 0xFFFF:
        raise ImageError(f"{name} must have samples of 8 or 16 bits, but has {samples.max():,}")
    return samples.astype(np.uint16)[..., None], "grey"
