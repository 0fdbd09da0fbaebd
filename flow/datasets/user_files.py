"""Data sets of the user: where they lie, and pickles read without executing anything."""

import io
import os
import pickle
from pathlib import Path

from xnoreplay.spec.errors import XnoreplayError

VARIABLE = "XNOREPLAY_DATA"
"""Environment variable that names the folder of all data sets a user brings."""

ALLOWED = {
    (module, name)
    for name in ("_reconstruct", "ndarray", "dtype")
    for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
} | {("_codecs", "encode")}


class DataMissing(XnoreplayError):
    """Nobody said where a data set is: neither `--data` nor the environment variable `VARIABLE`."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def unpickle(raw: bytes, encoding: str):
    """Read arrays and plain values of a pickle; `encoding` is of the strings of Python 2.

    Raises almost anything for a damaged pickle, and UnpicklingError for one that asks for more.
    """
    return _Unpickler(io.BytesIO(raw), encoding=encoding).load()


def folder(given: Path | None, dataset: str, inner: str, get: str) -> Path:
    """Find the folder of a data set.

    Parameters
    ----------
    given : Path, optional
        Holds the folder `inner`, or is it; else what the environment variable `VARIABLE` names.
    dataset, inner : str
        The data set's name and its folder's.
    get : str
        Where to get it, for the sentence of an error.

    Raises
    ------
    DataMissing
        Where neither is given.
    """
    if given is None:
        named = os.environ.get(VARIABLE)
        if not named:
            raise DataMissing(
                f"data set {dataset!r} must be given as a folder with --data or {VARIABLE}, "
                f"but neither is set; {get}"
            )
        given = Path(named)
    below = given / inner
    return given if given.name == inner and not below.is_dir() else below
