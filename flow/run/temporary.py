"""Temporary folders of this process, all in one that says whose it is.

A process that is killed removes nothing. So the outermost folder names its owner, and holds a lock
that ends with it; `sweep` removes the folders whose owner is gone. What another user, a living process
or another program made is never touched.
"""

import atexit
import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.spec import caches

PREFIX, OWNER = "xnoreplay-", ".owner.json"
MARK = "temporary folder of an xnoreplay process"
MARKED = caches.WORK  # environment variable: the folder of the process that a child belongs to
LONGEST = 4096  # bytes of an owner's file


@dataclass(frozen=True)
class _Own:
    pid: int
    folder: Path
    lock: int  # file descriptor, open as long as the process lives


_own: _Own | None = None
_parent: Path | None = (
    None  # the system's temporary folder, where `redirect_temporary_files` put another in its place
)


def _system() -> Path:
    return _parent or Path(tempfile.gettempdir())


def root() -> Path:
    """Return the folder of this process's temporary files, made at its first use and removed when the process ends."""
    global _own
    if _own is None or _own.pid != os.getpid() or not _own.folder.is_dir():
        _own = _made(_system())
        atexit.register(remove)
    return _own.folder


def _made(parent: Path) -> _Own:
    pid = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{pid}-", dir=parent))
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(lock, json.dumps({"mark": MARK, "pid": pid, "started": started(pid)}).encode())
    return _Own(pid, folder, lock)


def remove() -> None:
    """Remove the folder of this process's temporary files now."""
    global _own
    if _own is not None and _own.pid == os.getpid():
        own, _own = _own, None
        shutil.rmtree(own.folder, ignore_errors=True)
        with suppress(OSError):
            os.close(own.lock)


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """Make a folder in `root`, which is removed at the end of the block."""
    with tempfile.TemporaryDirectory(
        prefix=f"{name}-", dir=root(), ignore_cleanup_errors=True
    ) as work:
        yield Path(work)


def environment() -> dict[str, str]:
    """Return the variables that children are given: their temporary files go into `root`, and they carry its name."""
    own = str(root())
    return {"TMPDIR": own, MARKED: own}


def redirect_temporary_files() -> None:
    """Let all temporary files go into `root`: this process's, and those of children that libraries begin."""
    global _parent
    with suppress(OSError):  # no room or no right there: what needs the folder will say so
        _parent = _system()
        os.environ.update(environment())
        tempfile.tempdir = str(root())


def started(pid: int) -> str | None:
    """Return when a process started, as no later process of its number did; None where it is unknown."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {ticks}"
    except (OSError, IndexError):
        return None


def alive(pid: int, when: str | None) -> bool:
    """Tell whether the process of that number lives, and is the one that started at `when` where that is known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return when is None or started(pid) in (None, when)


def sweep(parent: Path | None = None) -> list[Path]:
    """Remove the folders of dead processes of this user, and return their paths.

    Parameters
    ----------
    parent : Path, optional
        Where the folders are looked for; the system's temporary folder without it.
    """
    found = []
    for left in sorted((parent or _system()).glob(f"{PREFIX}*")):
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            if _abandoned(left):
                found.append(left)
    return found


def _abandoned(left: Path) -> bool:
    """Remove a folder if a dead process of ours owned it; tell whether it did."""
    for path, is_kind in ((left, stat.S_ISDIR), (left / OWNER, stat.S_ISREG)):
        seen = path.lstat()
        if seen.st_uid != os.getuid() or not is_kind(seen.st_mode):
            return False
    lock = os.open(left / OWNER, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError: its owner lives
        owner = json.loads(os.read(lock, LONGEST))
        if owner["mark"] != MARK or alive(int(owner["pid"]), owner["started"]):
            return False
        shutil.rmtree(left, ignore_errors=True)
        return True
    finally:
        os.close(lock)
