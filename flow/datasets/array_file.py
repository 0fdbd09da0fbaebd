"""An array file that is written row by row, and whose checksum is looked at before it is used."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from xnoreplay.flow.datasets import listed

CHUNK = 1 << 24  # bytes that are read at once


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


def mapped(path: Path, checksum: int, checked: dict[tuple, int]) -> np.ndarray:
    """Map a ``.npy`` file into memory, once its bytes have the checksum that `Writer` found.

    Parameters
    ----------
    path : Path
    checksum : int
    checked : dict
        Checksums of files that were looked at before, by path, size and time: these are not read again.

    Returns
    -------
    ndarray
        Read-only.

    Raises
    ------
    ValueError
        Where the file holds other bytes.
    """
    stat = path.stat()
    known = (str(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if known not in checked:
        checked[known] = _checksum(path)
    if checked[known] != checksum:
        raise ValueError(f"{path} holds other bytes than were written")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _checksum(path: Path) -> int:
    """CRC-32 of an array file behind its header; raises what NumPy raises for a file that is none."""
    found = 0
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        while chunk := file.read(CHUNK):
            found = zlib.crc32(chunk, found)
    return found
