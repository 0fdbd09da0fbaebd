"""Children of this process, and how they end.

Each runs in a process group of its own, which is ended with all that it began: on an interrupt, on an
error here, and by the `keeper` when this process is killed. Their temporary files go into this
process's own folder.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.run import keeper, temporary

POLITE = 0.4  # seconds between SIGTERM and SIGKILL
LOOK = 0.5  # seconds between two looks of who watches a child
_alive: dict[int, subprocess.Popen] = {}
_lock = threading.RLock()
_keeper: subprocess.Popen | None = None


@dataclass(frozen=True)
class Done:
    """A child that ended: its exit code, and its output as text."""

    returncode: int
    stdout: str
    stderr: str


def start(
    command: Sequence[object], env: dict[str, str] | None = None, **options
) -> subprocess.Popen:
    """Begin a child process in a process group of its own, and tell the keeper.

    The caller calls `forget` once the child has ended by itself and was waited for, or `end` to end it.

    Parameters
    ----------
    command : sequence
        Program and arguments; each is turned into text.
    env : dict of str to str, optional
        The child's environment, this process's without it; variables that name the temporary folder are added.
    options
        Others of `subprocess.Popen`. There is no standard input unless `stdin` is given.

    Returns
    -------
    subprocess.Popen

    Raises
    ------
    OSError
        Where the program cannot be run.
    """
    options.setdefault("stdin", subprocess.DEVNULL)
    given = (dict(os.environ) if env is None else env) | temporary.environment()
    with _lock:
        _watch()
        process = subprocess.Popen([str(c) for c in command], env=given, process_group=0, **options)
        _alive[process.pid] = process
        _tell(f"+ {process.pid}")
    return process


def forget(process: subprocess.Popen) -> None:
    """Note that a child has ended by itself."""
    with _lock:
        if _alive.pop(process.pid, None):
            _tell(f"- {process.pid}")


def end(*processes: subprocess.Popen) -> None:
    """End children and all that they began: with SIGTERM, then with SIGKILL; return when all are gone."""
    for process in processes:
        _send(process, signal.SIGTERM)
    patience = time.monotonic() + POLITE
    while time.monotonic() < patience and not all(map(_ended, processes)):
        time.sleep(0.01)
    for process in processes:
        _send(process, signal.SIGKILL)
    for process in processes:
        process.wait()
        forget(process)


def end_all() -> None:
    """End every child."""
    with _lock:
        left = list(_alive.values())
    end(*left)


def _send(process: subprocess.Popen, number: int) -> None:
    with suppress(OSError):  # the group has ended
        os.killpg(process.pid, number)


def _ended(process: subprocess.Popen) -> bool:
    """Tell whether a child has ended; one that has keeps its number until `wait`, and so does its group."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except (AttributeError, ChildProcessError):
        return False


def run_program(
    command: Sequence[object],
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float | None = None,
    look: Callable[[], None] | None = None,
) -> Done:
    """Run a program to its end, and return its exit code and output.

    Parameters
    ----------
    command : sequence
        Program and arguments; each is turned into text.
    env : dict of str to str, optional
        The environment, as of `start`.
    cwd : Path, optional
        Folder that the program runs in.
    seconds : float, optional
        Time after which the program is ended.
    look : callable, optional
        Called without arguments about twice a second while the program runs.

    Raises
    ------
    OSError
        Where the program cannot be run.
    subprocess.TimeoutExpired
        Where the program did not end in time.
    """
    process = start(
        command,
        env,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last = None if seconds is None else time.monotonic() + seconds
    try:
        while True:
            left = LOOK if last is None else min(LOOK, max(0.0, last - time.monotonic()))
            try:
                out, err = process.communicate(timeout=left)
                break
            except subprocess.TimeoutExpired:
                if last is not None and time.monotonic() >= last:
                    raise
                if look is not None:
                    look()
    except BaseException:
        end(process)
        raise
    forget(process)
    return Done(process.returncode, out, err)


@contextmanager
def started(command: Sequence[object], **options) -> Iterator[subprocess.Popen]:
    """Run a child during the block; it is ended where the block raises an error. Options are those of `start`."""
    with start(command, **options) as process:
        try:
            yield process
            process.wait()
        except BaseException:
            end(process)
            raise
        forget(process)


@contextmanager
def pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Make threads that run children; an error or an interrupt in the block ends the children."""
    executor = ThreadPoolExecutor(workers)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        end_all()
        executor.shutdown()
        raise
    executor.shutdown()


def _watch() -> None:
    """Begin the keeper, once; without a keeper children end only with an orderly end of this process."""
    global _keeper
    if _keeper is not None and _keeper.poll() is None:
        return
    with suppress(OSError):
        _keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if k != temporary.MARKED},
        )
        atexit.register(_end_keeper, _keeper)
        _tell(f"= {temporary.root()}")
        for pid in _alive:
            _tell(f"+ {pid}")


def _tell(line: str) -> None:
    if _keeper is not None and _keeper.stdin is not None:
        with suppress(OSError, ValueError):
            os.write(_keeper.stdin.fileno(), f"{line}\n".encode())


def _end_keeper(process: subprocess.Popen) -> None:
    end_all()
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(1.0)


def watch() -> None:
    """Begin the keeper now, without waiting for a first child of `start`.

    Processes that other libraries begin are ended by the keeper, too, when this process is killed: they carry the
    temporary folder in their environment (`temporary.redirect_temporary_files`).
    """
    with _lock:
        _watch()


@contextmanager
def without_sigint() -> Iterator[None]:
    """Block SIGINT while children are begun in the block, which they inherit for good.

    So Ctrl-C ends a child only when its parent ends it. A SIGINT that comes to this process in the block is handled
    right after it.
    """
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def die_with_parent() -> None:
    """End this process, a worker of `multiprocessing`, when the process that began it ends."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    die_on_linux(parent.pid)


def exit_without_cleanup() -> None:
    """Have ``exit``, of the C library, end this process at once, with code 1 and without the clean-up of others.

    For a copy that a program of several threads makes of itself with `os.fork`: it has none of the other threads, and
    a clean-up that waits for them never ends.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    ends = ctypes.cast(libc._exit, ctypes.c_void_p)
    libc.__cxa_atexit(ends, ctypes.c_void_p(1), None)


def die_on_linux(parent: int | None) -> None:
    """Ask the kernel to end this process with its parent, which does not need a free interpreter."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
