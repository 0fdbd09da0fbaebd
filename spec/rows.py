"""Rows of an array that may be larger than the memory: chosen without a copy, read where they are asked for."""

import mmap
from collections.abc import Iterator

import numpy as np

AT_ONCE = 1 << 24
"""Bytes of a chunk of rows."""


class Rows:
    """Some rows of an array, in an order of their own.

    An index reads as from an array, in the first axis alone: an integer gives a view of one row; a slice, integers or
    Booleans a copy of those rows, and `numpy.asarray` of all.

    Parameters
    ----------
    array : ndarray
        In memory, or mapped from a file: pages of that which were copied are given back at once.
    index : (n,) int64, optional
        Numbers of its rows; all of them without it.

    Examples
    --------
    >>> rows = Rows(np.arange(12).reshape(4, 3)).select(np.array([True, False, True, True]))
    >>> rows.shape, rows[1], rows[1:].tolist()
    ((3, 3), array([6, 7, 8]), [[6, 7, 8], [9, 10, 11]])
    """

    def __init__(self, array: np.ndarray, index: np.ndarray | None = None) -> None:
        self.array = array
        self.index = np.arange(len(array)) if index is None else index

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, and the shape of one."""
        return len(self.index), *self.array.shape[1:]

    @property
    def ndim(self) -> int:
        """Axes, that of the rows included."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self.array.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return int(np.prod(self.shape[1:])) * self.dtype.itemsize * len(self.index)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, which: int | slice | np.ndarray | list) -> np.ndarray:
        if isinstance(which, int | np.integer):
            return self.array[self.index[which]]
        copied = np.asarray(self.array[self.index[which]])
        _give_back(self.array)
        return copied

    def __iter__(self) -> Iterator[np.ndarray]:
        for chunk in self.chunks():
            yield from chunk

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows must be copied to become an array")
        whole = np.empty(self.shape, self.dtype)
        first = 0
        for chunk in self.chunks():
            whole[first : first + len(chunk)] = chunk
            first += len(chunk)
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def select(self, which: np.ndarray) -> "Rows":
        """Choose rows by integers or Booleans; nothing is read."""
        return Rows(self.array, self.index[which])

    def chunks(self) -> Iterator[np.ndarray]:
        """Read all rows, some at a time; see the function of this name."""
        return chunks(self)


Images = np.ndarray | Rows
"""Images (n, height, width, channels) uint8, in memory or not."""


def chunks(rows: Images) -> Iterator[np.ndarray]:
    """Read an array or `Rows`, at most `AT_ONCE` bytes, but one row, at a time.

    Yields
    ------
    ndarray
        The next rows.
    """
    step = max(1, AT_ONCE * len(rows) // max(1, rows.nbytes))
    for first in range(0, len(rows), step):
        yield rows[first : first + step]


def select(rows: Images, which: np.ndarray) -> Images:
    """Choose rows by integers or Booleans: of an array a copy, of `Rows` without reading any."""
    return rows.select(which) if isinstance(rows, Rows) else rows[which]


def _give_back(array: np.ndarray) -> None:
    """Give back the pages of a mapped file, which else count as this process's memory; the file's cache keeps them."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
