"""Parquet files of a user's own data set, read by pyarrow; what is wrong with one is a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xnoreplay.flow.datasets import listed
from xnoreplay.spec.errors import FeatureError, ImageError, SpecError, ToolError, told


@contextmanager
def reader(path: Path) -> Iterator[Any]:
    """Look into the files of a data set.

    Parameters
    ----------
    path : Path
        The data set, for the sentence of an error.

    Yields
    ------
    module
        ``pyarrow.parquet``.

    Raises
    ------
    SpecError
        Where a file is damaged or cannot be read.
    ToolError
        Where pyarrow is missing.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ToolError(
            f"a data set in Parquet must have pyarrow to read it (pip install 'xnoreplay[data]'), but: {error}"
        ) from None
    try:
        yield parquet
    except pyarrow.ArrowException as error:
        raise SpecError(f"{path} must be Parquet, but: {told(error)}") from None
    except OSError as error:
        raise SpecError(
            f"{path} must be Parquet that can be read, but: {error.strerror or told(error)}"
        ) from None


@contextmanager
def rows(kind: type[FeatureError] | type[ImageError]) -> Iterator[Any]:
    """Read the samples of files that `reader` has looked into.

    Parameters
    ----------
    kind : type
        Of the error where a file is no longer whole.

    Yields
    ------
    module
        ``pyarrow.parquet``.

    Raises
    ------
    FeatureError or ImageError
        As `kind` says.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        yield parquet
    except (pyarrow.ArrowException, OSError) as error:
        raise kind(f"a data set in Parquet must be whole, but: {told(error)}") from None


def integers(parquet: Any, file: Path, column: str, what: str) -> np.ndarray:
    """Read a column of labels: (n,) int64.

    Parameters
    ----------
    parquet : module
        Of `reader`.
    file : Path
    column : str
    what : str
        A sample with its article, for the sentence of an error: "an image".

    Raises
    ------
    SpecError
        Where they are no integers, or some are missing.
    """
    import pyarrow

    found = parquet.read_table(file, columns=[column]).column(0)
    if not pyarrow.types.is_integer(found.type) or found.null_count:
        nulls = f" with {found.null_count:,} nulls" if found.null_count else ""
        raise SpecError(f"column {column!r} of {file} must be integers, not {found.type}{nulls}")
    if not len(found):
        return np.zeros(0, np.int64)
    return listed.labels_of(found.to_numpy(), f"column {column!r} of {file}", what)
