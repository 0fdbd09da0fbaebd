"""Array files: a user's, and one of ours that is written row by row and whose checksum is looked at before it is used."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from xnoreplay.flow.datasets import listed
from xnoreplay.spec import reading
from xnoreplay.spec.errors import SpecError, told

CHUNK = 1 << 24  # bytes that are read at once
_checksums: dict[tuple, int] = {}
"""Of files that this process has looked at, by path, node, size and time."""


class Writer:
    """Writes the rows of an array one after another; ``checksum`` is the CRC-32 of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.checksum = file, 0

    def write(self, content: bytes | memoryview) -> None:
        """Write what comes next."""
        self.file.write(content)
        self.checksum = zlib.crc32(content, self.checksum)


@contextmanager
def written(path: Path, shape: tuple[int, ...]) -> Iterator[Writer]:
    """Write a ``.npy`` file of bytes, whose room on the disk is taken before the first row; an OSError says it is full.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Of the array, of type uint8; as many bytes are to be written.

    Yields
    ------
    Writer
    """
    with open(path, "wb") as file:
        head = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, head)
        file.truncate(file.tell() + int(np.prod(shape)))
        listed.reserve(path)
        yield Writer(file)


def mapped(path: Path, shape: tuple[int, ...], checksum: int) -> np.ndarray:
    """Map a ``.npy`` file into memory, once its bytes have the checksum that `Writer` found.

    A file is read for that once in a process, as long as its size and time stay.

    Parameters
    ----------
    path : Path
    shape : tuple of int
    checksum : int

    Returns
    -------
    ndarray
        Of the shape, uint8, read-only.

    Raises
    ------
    ValueError
        Where the file holds other bytes, or an array of another shape or type.
    """
    reading.check_file(path)
    stat = path.stat()
    known = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if known not in _checksums:
        _checksums[known] = _checksum(path)
    if _checksums[known] != checksum:
        raise ValueError(f"{path} holds other bytes than were written")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.shape != shape or array.dtype != np.uint8:
        raise ValueError(f"{path} holds {array.dtype} of {array.shape}, not uint8 of {shape}")
    return array


def read(path: Path) -> np.ndarray:
    """Read one array, without executing anything; SpecError where the file holds none."""
    try:
        reading.check_size(path)
        values = np.load(path, allow_pickle=False)
        if not isinstance(values, np.ndarray):
            raise ValueError("it is an archive")
        return values
    except reading.DAMAGED_ARRAYS as error:
        raise SpecError(f"{path} must be a NumPy array, but: {told(error)}") from None


def _checksum(path: Path) -> int:
    """CRC-32 of an array file behind its header; raises what NumPy raises for a file that is none."""
    found = 0
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        while chunk := file.read(CHUNK):
            found = zlib.crc32(chunk, found)
    return found
