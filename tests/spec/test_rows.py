"""Rows of an array that are read where they are asked for."""

import numpy as np
import pytest

from xnoreplay.spec import rows
from xnoreplay.spec.rows import Rows

ARRAY = np.arange(60, dtype=np.uint8).reshape(10, 3, 2)
KEPT = np.array([0, 2, 3, 7, 9])


@pytest.fixture(params=["in memory", "mapped"])
def some(request, tmp_path):
    """Five rows of ten, and what they are."""
    array = ARRAY
    if request.param == "mapped":
        np.save(tmp_path / "a.npy", ARRAY)
        array = np.load(tmp_path / "a.npy", mmap_mode="r")
    return Rows(array).select(KEPT), ARRAY[KEPT]


@pytest.mark.parametrize(
    "which",
    [2, np.int64(4), -1, slice(1, 4), slice(None, None, -1), [3, 1], KEPT % 2 == 1, slice(5, 9)],
    ids=str,
)
def test_an_index_reads_as_from_an_array(some, which):
    found, wanted = some
    assert np.array_equal(found[which], wanted[which])
    assert found[which].dtype == wanted.dtype


def test_rows_are_an_array_in_all_that_is_asked_of_one(some):
    found, wanted = some
    assert (found.shape, found.ndim, found.dtype) == (wanted.shape, 3, wanted.dtype)
    assert (len(found), found.nbytes) == (5, wanted.nbytes)
    assert np.array_equal(found, wanted)
    assert np.array_equal(np.concatenate([found, wanted]), np.concatenate([wanted, wanted]))
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert np.asarray(found, np.int64).dtype == np.int64
    again = found.select(np.array([False, True, True, False, True]))
    assert again.array is found.array  # nothing was copied
    assert np.array_equal(again, wanted[[1, 2, 4]])
    copied = found[1:]
    copied[:] = 0
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize("most", [1, 6, 13, 1 << 24])
def test_chunks_are_all_rows_in_order(some, monkeypatch, most):
    monkeypatch.setattr(rows, "AT_ONCE", most)
    for source in some:
        parts = list(rows.chunks(source))
        assert np.array_equal(np.concatenate(parts), some[1])
        assert all(part.nbytes <= max(most, 6) for part in parts)
