"""What a run is guarded against: a second run, a full disk, and being stopped."""

import errno
import fcntl
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xnoreplay.flow import files, interrupts
from xnoreplay.spec.errors import XnoreplayError

LOCK = ".lock"
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder, made if need be, and clear what a killed run left in it.

    Raises
    ------
    XnoreplayError
        Where the folder cannot be written, or another run holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise XnoreplayError(
            f"run folder {folder} must be a writable folder: {error.strerror}"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise XnoreplayError(
                f"run folder {folder} must be free, but another run is using it"
            ) from None
        files.sweep(folder)
        yield


def _number(error: Exception) -> int | None:
    """The system's number of an error, of one too that a library wraps in its own."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if told := re.search(r"\(os error (\d+)\)", str(error)):  # as Rust's do, safetensors among them
        return int(told[1])
    return next((n for n in FULL if os.strerror(n) in str(error)), None)


def is_disk_error(error: Exception) -> bool:
    """Whether it is the disk's fault, not the program's or the user's."""
    return not isinstance(error, XnoreplayError) and (
        isinstance(error, OSError) or _number(error) is not None
    )


def disk_error(step: str, error: Exception) -> XnoreplayError:
    """The sentence for a disk error in the middle of a step."""
    if _number(error) in FULL:
        return XnoreplayError(
            f"step {step} must have room to write, but the disk is full; nothing of it was kept"
        )
    return XnoreplayError(f"step {step} stopped, and nothing of it was kept: {error}")


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Treat SIGTERM as Ctrl-C, and lose neither; yields a check for those that were swallowed.

    Python drops an exception that a signal raises inside a callback of a compiled library, as
    numba's compiler is. The check raises it again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    if interrupts.in_force():  # of the whole command
        yield interrupts.check
        return
    asked = False

    def interrupt(_signal, _frame):
        nonlocal asked
        asked = True
        raise KeyboardInterrupt

    def check():
        if asked:
            raise KeyboardInterrupt

    previous = {s: signal.signal(s, interrupt) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield check
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
