"""Bounded reading of untrusted files; every fault is one sentence.

A named pipe would never end and a folder cannot be read, so only regular files are, and none that would fill
the memory: a file of holes takes no room on a disk. JSON and TOML that their readers cannot take, for depth,
for length of a number, or for bytes that are no text, are refused.
"""

import gzip
import io
import json
import lzma
import math
import os
import re
import stat
import tokenize
import tomllib
import zipfile
import zlib
from io import BufferedReader
from pathlib import Path

from xnoreplay.spec.errors import ReadError, shown, told

MOST = 1 << 30
"""Bytes of a file that is read whole."""
MOST_TEXT = 1 << 28
"""Bytes of a text that is parsed and was made by a tool: Liberty, Verilog, a table."""
MOST_SPEC = 1 << 24
"""Bytes of a text that a person writes."""

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}
DAMAGED_ARRAYS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What NumPy raises for an array or an archive of arrays that is damaged: it reads a header as Python's text."""
LONG = re.compile(r"Exceeds the limit \((\d+) digits\)")
"""As Python says it of a number whose digits are too many."""
LONE = re.compile("[\ud800-\udfff]")
"""Half of a UTF-16 pair: no character, and no UTF-8 can hold it."""


def kind(mode: int) -> str:
    """What a file that is no regular one is, from its mode.

    >>> kind(stat.S_IFIFO)
    'a named pipe'
    """
    return KINDS.get(stat.S_IFMT(mode), "no regular file")


def check_file(path: Path) -> None:
    """Refuse what is no regular file, before a reader waits for its end.

    OSError where there is nothing.

    Raises
    ------
    ReadError
        For a folder, a named pipe, a socket or a device.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a name with a zero byte
        raise ReadError(f"{shown(str(path))} can be no file's name: {error}") from None
    if not stat.S_ISREG(mode):
        raise ReadError(f"{path} is {kind(mode)}, not a regular file")


def opened(path: Path) -> BufferedReader:
    """A regular file, opened to be read; raises as `check_file`, and OSError where it may not be read."""
    check_file(path)
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def check_size(path: Path, most: int = MOST) -> None:
    """ReadError where a file has more bytes than may be read of it; raises as `check_file`."""
    check_file(path)
    _check_size(path, os.stat(path).st_size, most)


def _check_size(path: Path, size: int, most: int) -> None:
    """Refuse a file of so many bytes if they are more than `most`; raises ReadError."""
    if size > most:
        raise ReadError(f"{path} must have at most {most:,} bytes, not {size:,}")


def raw(path: Path, most: int = MOST) -> bytes:
    """The bytes of a regular file, `most` of them; raises as `opened`, and ReadError where it has more."""
    with opened(path) as file:
        _check_size(path, os.fstat(file.fileno()).st_size, most)
        return file.read(most)


def unpacked(path: Path, most: int = MOST) -> bytes:
    """The bytes of a regular file, unpacked where it is gzipped: `most` of them, before and after.

    What `raw` raises, and what gzip raises of a damaged file: EOFError, zlib.error and OSError.

    Raises
    ------
    ReadError
        Where it unpacks to more bytes.
    """
    content = raw(path, most)
    if content[:2] != b"\x1f\x8b":
        return content
    with gzip.open(io.BytesIO(content)) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ReadError(f"{path} must unpack to at most {most:,} bytes, but has more")
    return content


def text(path: Path, most: int = MOST) -> str:
    """The text of a regular file in UTF-8, its lines ended by newlines; raises as `raw`, and ReadError."""
    try:
        with io.TextIOWrapper(io.BytesIO(raw(path, most)), encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ReadError(
            f"{path} must be text in UTF-8: {error.reason} at byte {error.start:,}"
        ) from None


def json_of(content: str, name: str):
    """The value of a JSON text: as the standard has it, so no NaN, no infinity and no lone surrogate.

    name : what the text is, for the sentence of an error

    Raises
    ------
    ReadError
        For any other text.
    """
    try:
        value = json.loads(content, parse_constant=_no_number, parse_float=_finite)
        _check_surrogates(content, value)
        return value
    except RecursionError:
        raise ReadError(f"{name} must be JSON, but is nested too deeply") from None
    except ValueError as error:
        raise ReadError(f"{name} must be JSON: {_told(error)}") from None


def _check_surrogates(content: str, value: object) -> None:
    """Refuse a JSON value with a text that is half of a surrogate pair; raises ValueError."""
    escaped = re.search(r"\\u[dD][89a-fA-F]", content)
    if escaped and LONE.search(json.dumps(value, ensure_ascii=False)):
        raise ValueError("a text in it has half of a surrogate pair, which is no character")


def _no_number(constant: str):
    """Refuse a constant of Python that JSON has not; raises ValueError."""
    raise ValueError(f"{constant} is no number of JSON")


def _finite(digits: str) -> float:
    """The number of its digits; ValueError where it is beyond the greatest."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{shown(digits)} is beyond the greatest number")
    return number


def _told(error: Exception) -> str:
    """An error of a reader in one sentence, without Python's own words for it."""
    if found := LONG.search(str(error)):
        return f"a number in it has more than {int(found[1]):,} digits"
    return getattr(error, "strerror", None) or told(error)


def read_json(path: Path):
    """The value of a JSON file; raises as `text` and `json_of`."""
    return json_of(text(path), str(path))


def read_toml(path: Path, what: str) -> dict:
    """The tables of a TOML file; what: the kind of file, for the sentence. Raises ReadError."""
    name = f"{what} {path}"
    try:
        return tomllib.loads(text(path, MOST_SPEC))
    except RecursionError:
        raise ReadError(f"{name} must be readable TOML, but is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ReadError(f"{name} must be readable TOML: {_told(error)}") from None
