"""Locks of run folders and caches, errors of a full disk, and the ways in which a run is stopped."""

import errno
import fcntl
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from xnoreplay.flow.run import interrupts
from xnoreplay.spec import reading, whole
from xnoreplay.spec.errors import XnoreplayError

LOCK = ".lock"
FULL = (errno.ENOSPC, errno.EDQUOT)


def check_lock(folder: Path) -> None:
    """Raise XnoreplayError where a folder's lock is no plain file: a link is not followed, a pipe not opened."""
    lock = folder / LOCK
    if whole.is_there(lock) and not whole.is_file(lock):
        raise XnoreplayError(
            f"{lock} must be a plain file, which a run locks, but is {reading.kind(lock.lstat().st_mode)}"
        )


def open_lock(folder: Path) -> IO[str]:
    """Open a folder's lock file, which is made if need be and never changed.

    Raises
    ------
    XnoreplayError
        Where the lock is no plain file.
    OSError
        Where the lock cannot be opened.
    """
    check_lock(folder)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(folder / LOCK, flags, 0o644), "r+")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder, which is made if need be.

    Raises
    ------
    XnoreplayError
        Where the folder cannot be written, its lock is no plain file, or another run holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open_lock(folder)
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
        yield


@contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Hold a folder of a cache; wait while another process holds it, so that one at a time builds what all want.

    Where a file system has no locks, two may build the same: each replaces its target by a whole one.

    Parameters
    ----------
    folder : Path
        An existing folder; its file `LOCK` is made if need be.

    Raises
    ------
    XnoreplayError
        Where the lock is no plain file.
    OSError
        Where the folder cannot be written.
    """
    with open_lock(folder) as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _number(error: Exception) -> int | None:
    """Return the system's number of an error, also where a library wraps it in its own; None without one."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if told := re.search(r"\(os error (\d+)\)", str(error)):  # as Rust's do, safetensors among them
        return int(told[1])
    return next((n for n in FULL if os.strerror(n) in str(error)), None)


def is_disk_error(error: Exception) -> bool:
    """Tell whether an error is of the disk or the file system, not of the program or its user."""
    return not isinstance(error, XnoreplayError) and (
        isinstance(error, OSError) or _number(error) is not None
    )


def disk_error(step: str, error: Exception) -> XnoreplayError:
    """Make the error for a disk error in the middle of a step."""
    if _number(error) in FULL:
        return XnoreplayError(
            f"step {step} must have room to write, but the disk is full; nothing of it was kept"
        )
    return XnoreplayError(f"step {step} stopped, and nothing of it was kept: {error}")


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Treat SIGTERM as Ctrl-C while the block runs, and lose neither.

    Python drops an exception that a signal raises inside a callback of a compiled library, as
    numba's compiler is.

    Yields
    ------
    callable
        Without arguments; raises KeyboardInterrupt where a signal came whose exception was dropped.

    Raises
    ------
    KeyboardInterrupt
        When a signal comes.
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
