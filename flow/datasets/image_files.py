"""Image files decoded to samples, exactly: whatever the file holds, `spec.pixels` says what becomes of it."""

import ctypes
import io
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError, _imaging

from xnoreplay.spec import limits, reading
from xnoreplay.spec.errors import ImageError, ReadError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")
ORIENTATION, PHOTOMETRIC, BITS = 0x0112, 262, 258
"""Tags of EXIF and TIFF."""
MOST_SIDE = limits.MOST["height"].most
PLAIN = {"L": "grey", "LA": "grey+alpha", "RGB": "rgb", "RGBA": "rgb+alpha", "CMYK": "cmyk"}
"""Pillow's modes whose bytes are samples of a layout as they are."""
WIDE = ("I;16", "I;16L", "I;16B", "I;16N")
"""Grey of 16 bits."""
WIDE_RGB, LOW_RGB = "RGB;16B", "RGB;16L"
"""As Pillow calls coloured samples of 16 bits, upper byte first; read as lower byte first, they give the lower bytes."""
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


def _silence_tiff() -> None:
    """Keep libtiff from writing to the process's stderr: what is wrong with a file, the error of Pillow says."""
    with suppress(OSError, AttributeError):  # a Pillow that was built in another way
        library = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(library, name)(None)


_silence_tiff()


def decode(path: Path) -> tuple[np.ndarray, str]:
    """The samples of an image file; see `decoded`. Raises ImageError, also where the file cannot be read."""
    try:
        return decoded(reading.raw(path, reading.MOST_TEXT), str(path))
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
                most = _greatest(image, name)
                key = _wide_key(image)
                image.load()
                bits = _inverted(image)
                if key:
                    _see_through(image, content, key)
                samples, layout = _samples(_upright(image), name)
                if bits:  # Pillow inverts such images of 8 bits alone
                    samples[..., 0] = (1 << bits) - 1 - samples[..., 0]
                if most:  # Pillow has scaled them to 16 bits
                    samples = ((samples.astype(np.int64) * most + 32767) // 65535).astype(np.uint16)
                return samples, layout
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} must be an image ({', '.join(FORMATS)}), but is none") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(name)) from None
    except DAMAGED as error:
        what = str(error) or type(error).__name__
        raise ImageError(f"{name} must be a whole image, but is damaged: {what}") from None


def _wide_key(image: Image.Image) -> tuple[int, ...] | None:
    """The transparent colour of a coloured PNG file of 16 bits, of which Pillow gives the upper bytes; None for others."""
    key = image.info.get("transparency")
    is_wide = image.format == "PNG" and image.mode == "RGB" and _way(image) == WIDE_RGB
    return key if is_wide and isinstance(key, tuple) else None


def _way(image: Image.Image) -> object:
    """How Pillow reads the samples of a file, in its own words; None for an image that is read already."""
    tile = getattr(image, "tile", None)
    return tile[0][-1] if tile else None


def _see_through(image: Image.Image, content: bytes, key: tuple[int, ...]) -> None:
    """Give an image of upper bytes the alpha channel that the transparent colour of 16 bits says."""
    with Image.open(io.BytesIO(content), formats=FORMATS) as other:
        other.tile = [tile._replace(args=LOW_RGB) for tile in other.tile]  # type: ignore[attr-defined]
        wide = np.asarray(image).astype(np.uint16) << 8 | np.asarray(other)
    clear = (wide == np.array(key, np.uint16)).all(axis=-1)
    del image.info["transparency"]
    image.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))


UPRIGHT = dict(zip(range(2, 9), (Image.Transpose(n) for n in (0, 3, 1, 5, 4, 6, 2)), strict=True))
"""What brings an image of each EXIF orientation upright."""


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF says. Pillow's own function also writes the EXIF anew, and fails where a field is odd."""
    turn = UPRIGHT.get(image.getexif().get(ORIENTATION) or 0)
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = image.info
    return turned


def _check_size(image: Image.Image, name: str) -> None:
    if max(image.size) > MOST_SIDE:
        raise ImageError(_too_large(name, f", not {image.size[0]:,} x {image.size[1]:,}"))


def _greatest(image: Image.Image, name: str) -> int:
    """The greatest value of a PNM file that Pillow scales to 16 bits; 0 for others."""
    tile = getattr(image, "tile", None)
    if image.format != "PPM" or not tile or tile[0][0] not in ("ppm", "ppm_plain"):
        return 0
    most = tile[0][3][-1]
    if most > 255 and image.mode != "I":
        raise ImageError(
            f"{name} must have samples of 8 bits where it is PNM in colour, not 0 to {most:,}"
        )
    return most if most > 255 else 0


def _inverted(image: Image.Image) -> int:
    """Bits of the samples of a TIFF file of 16 bits in which 0 is white; 0 for others. Pillow inverts those of 8 bits."""
    tags = getattr(image, "tag_v2", {})
    is_white = image.format == "TIFF" and image.mode in WIDE and tags.get(PHOTOMETRIC) == 0
    return int(tags[BITS][0]) if is_white else 0


def _too_large(name: str, what: str = "") -> str:
    return f"{name} must have at most {MOST_SIDE:,} pixels a side{what}"


def _samples(image: Image.Image, name: str) -> tuple[np.ndarray, str]:
    mode = image.mode
    if mode in WIDE:
        samples = np.asarray(image).astype(np.uint16)
        key = image.info.get("transparency")
        if key is None:
            return samples[..., None], "grey"
        return np.stack(
            [samples, np.where(samples == key, 0, 0xFFFF).astype(np.uint16)], -1
        ), "grey+alpha"
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
        wrong = samples.min() if samples.min() < 0 else samples.max()
        raise ImageError(f"{name} must have samples of 8 or 16 bits, but has {wrong:,}")
    return samples.astype(np.uint16)[..., None], "grey"
