"""Ctrl-C, SIGTERM and a closed terminal, alike in every command: they end it within two seconds.

This module imports little, because it must be at work before the packages that take long to load.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn

from xnoreplay.spec.whole import lock, unfinished

CODE = 130
STOPPED = "interrupted; nothing half-written is left, and what has a run folder goes on from here"
PATIENCE = 1.2  # seconds for an orderly end, before it is enforced

_asked = _said = _orderly = False


def asked() -> bool:
    """Tell whether a signal asked the command to end, also where a library swallowed its exception."""
    return _asked


def check() -> None:
    """Raise KeyboardInterrupt if a signal asked the command to end.

    A long work calls this between two of its parts: a library may have caught the exception that the signal raised.

    Raises
    ------
    KeyboardInterrupt
        Where a signal came.
    """
    if _asked:
        raise KeyboardInterrupt


def in_force() -> bool:
    """Tell whether signals end this process as `carry_out` says.

    It is true once `carry_out` has begun a command, and false where a script imported the package.
    """
    return _orderly


def carry_out(load: Callable[[], Callable[[], int]]) -> NoReturn:
    """Run a command line as a program, and end the process with its exit code, or with `CODE` where a signal came.

    It handles SIGINT, SIGTERM and, unless that is ignored as under nohup, SIGHUP; begins the keeper; and clears what
    killed commands left.

    Parameters
    ----------
    load : callable
        Imports the command line and returns its main function, which returns an exit code. It is called once the
        handlers are at work, because imports take long.
    """
    numbers: list[int] = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, _at_once)
    main = load()
    from xnoreplay.flow.run import processes, streams, temporary

    streams.make_lasting()
    temporary.sweep()
    temporary.redirect_temporary_files()
    processes.watch()
    try:
        _begin(numbers)
        code = main()
    except KeyboardInterrupt:  # between two lines of `main`
        code = report()
    for number in numbers:
        signal.signal(number, _at_once)
    if _asked:
        _leave()
    sys.exit(code)


def _at_once(_number, _frame) -> None:
    """End the process when a signal comes before the command began or after it ended."""
    report()
    os._exit(CODE)


def report() -> int:
    """Print once that the command was interrupted, and return its exit code."""
    global _said
    if not _said:
        _said = True
        line = f"error: {STOPPED}\n".encode()
        try:
            os.write(2, b"\x1b[?25h" + line if os.isatty(2) else line)  # a bar hides the cursor
        except OSError:
            pass  # nobody reads
    return CODE


def _begin(numbers: list[int]) -> None:
    global _orderly
    _orderly = True
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_enforce, args=(read, set(numbers)), daemon=True).start()
    for number in numbers:
        signal.signal(number, _ask)


def _ask(_number, _frame) -> None:
    """Raise KeyboardInterrupt at the first signal; a later one does not disturb the end that the first one began."""
    global _asked
    if not _asked:
        _asked = True
        raise KeyboardInterrupt


def _enforce(read: int, numbers: set[int]) -> None:
    """End the process after `PATIENCE` seconds where it waits in a library or lost the exception.

    Signals reach this thread through a pipe that the interpreter's own handler writes to, which needs
    no free main thread.
    """
    while not numbers & set(os.read(read, 64)):
        pass
    time.sleep(PATIENCE)
    _leave()


def _leave() -> None:
    """End the process at once: remove what is half-written and end the children.

    Python's own end is skipped: it takes seconds.
    """
    from xnoreplay.flow.run import processes, temporary

    lock.acquire()  # for good: from here on no folder is renamed into place
    for part in list(unfinished):
        shutil.rmtree(part, ignore_errors=True)
    processes.end_all()
    temporary.remove()
    report()
    os._exit(CODE)
