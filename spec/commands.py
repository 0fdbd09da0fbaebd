"""What a chip refuses of a command: one rule for the reference, the learner and the simulator.

`hw/host/host.py` refuses the same by SLVERR. A command that is refused changes nothing. A sample that finds no
room is no mistake: the command is carried out, and its sample is refused.
"""

from collections.abc import Sequence

import numpy as np

from xnoreplay.spec.errors import SpecError, require


def stage_label(label: object, classes: int) -> int:
    """The class of a sample to stage, which may be new, as a Python integer.

    Raises
    ------
    SpecError
        Where it is not one of the network's classes.
    """
    number = require.whole("label", label)
    require.between("label", number, 0, classes - 1)
    return number


def insert_label(label: object, seen: int) -> int:
    """The class of a sample to insert as a Python integer.

    Raises
    ------
    SpecError
        Where it is not one of the classes seen.
    """
    number = require.whole("label", label)
    if not 0 <= number < seen:
        raise SpecError(f"label must be of one of the {seen} classes seen, not {number!r}")
    return number


def arriving(seen: object, before: int, classes: int) -> int:
    """Check the number of classes that an `arrive` announces.

    Parameters
    ----------
    seen : object
        How many classes there are from now on, new and old.
    before : int
        How many had been announced.
    classes : int
        Of the network.

    Returns
    -------
    int
        `seen`.

    Raises
    ------
    SpecError
        Where it is no integer from `before` to `classes`.
    """
    number = require.whole("seen", seen)
    require.between("seen", number, before, classes)
    return number


def check_counted(command: str, stale: object) -> None:
    """Refuse a command that needs the counts of labels while these are stale.

    Parameters
    ----------
    command : str
        Its name; one that needs them, which is any but infer and restore.
    stale : object
        True where a host has written labels, SEEN or STAGED, and no restore has come to its end unrefused since.

    Raises
    ------
    SpecError
        Where `stale` is true.
    """
    if stale:
        raise SpecError(
            f"{command} must wait for a restore that is not refused, because the host has written "
            "labels, seen or staged, but there was none"
        )


def check_retrain(seen: int) -> None:
    """Refuse a session on a chip that knows no class.

    Parameters
    ----------
    seen : int
        How many classes have been announced.

    Raises
    ------
    SpecError
        Where it is 0.
    """
    if not seen:
        raise SpecError("a class must have been announced before retraining, but none was")


def bits_of(what: str, bits: object, shape: Sequence[int | None]) -> np.ndarray:
    """Bits as a uint8 array of a shape, whose None is any number.

    Raises
    ------
    SpecError
        For another shape, for numbers that are no integers, and for values other than 0 and 1.
    """
    array = np.asarray(bits)
    said = str(tuple("n" if n is None else n for n in shape)).replace("'", "")
    fits = array.ndim == len(shape) and all(
        n in (None, m) for n, m in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise SpecError(f"{what} must have shape {said}, not {array.shape}")
    if array.dtype.kind not in "bui":
        raise SpecError(f"{what} must be bits in integers, as uint8, not {array.dtype}")
    if array.size and (array.min() < 0 or array.max() > 1):
        raise SpecError(f"{what} must be bits, 0 and 1, not {array.min()} to {array.max()}")
    return array.astype(np.uint8, copy=False)


def labels_of(labels: object, count: int, classes: int) -> np.ndarray:
    """(count,) classes of samples as int64.

    Raises
    ------
    SpecError
        For another shape, for numbers that are no integers, and for classes that the network has not.
    """
    array = np.asarray(labels)
    if array.shape != (count,):
        raise SpecError(f"labels must be {count:,}, one a sample, not of shape {array.shape}")
    if count and array.dtype.kind not in "ui":
        raise SpecError(f"labels must be integers, not {array.dtype}")
    if count and (array.min() < 0 or array.max() >= classes):
        raise SpecError(
            f"labels must be from 0 to {classes - 1}, not {array.min()} to {array.max()}"
        )
    return array.astype(np.int64)
