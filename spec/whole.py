"""Files and folders that appear whole or not at all, and what a killed process left of them.

What is being written lies beside its place in a folder `.NAME.part-PID-DRAW`, a folder that is being
replaced in `.NAME.old-PID-DRAW`. Each holds a file `MARK` that names it. Only a folder with such a name
and its own mark is ever cleared, so nothing that somebody else put there is.
"""

import os
import re
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PART, OLD = ".part-", ".old-"  # in the name of a folder being written, and of one being replaced
MARK = ".xnoreplay"
"""File in a folder that is ours to clear; it names the folder."""
SAYS = "xnoreplay may clear "
LONGEST_NAME = 2048  # characters of a name and what stands around it, escaped
LEFT = re.compile(r"\.(?P<name>.+)(?P<kind>\.part-|\.old-)\d+-[0-9a-f]{16}", re.DOTALL)


unfinished: set[Path] = set()
"""Folders being written, which an enforced end removes. One is taken out under `lock` before it is renamed."""
lock = threading.Lock()


def beside(target: Path, kind: str) -> Path:
    """A path in the folder of `target` for a folder that is written for it or was replaced by it.

    Its name is ``.NAME`` + `kind` + ``PID-DRAW``, DRAW 16 random hexadecimal digits, so no other process takes it.
    Nothing is made.

    kind : `PART` or `OLD`
    """
    return target.with_name(f".{target.name}{kind}{os.getpid()}-{secrets.token_hex(8)}")


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet; no link is followed."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def mark(folder: Path, name: str = "") -> None:
    """Make a folder recognisable as ours; `name` is what it will be called, if not as now."""
    with suppress(FileNotFoundError):
        (folder / MARK).unlink()
    write_new(folder / MARK, _sentence(name or folder.name))


def _sentence(name: str) -> str:
    return f"{SAYS}{ascii(name)}\n"


def is_folder(path: Path) -> bool:
    """Whether a path is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether a path is a plain file itself, not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def is_there(path: Path) -> bool:
    """Whether there is anything, a link that leads nowhere too."""
    return os.path.lexists(path)


def is_mark(path: Path) -> bool:
    """Whether a file is a mark, its own folder's or one of a folder that was renamed."""
    text = _marked(path)
    return text.startswith(SAYS) and text.find("\n") == len(text) - 1


def is_marked(folder: Path) -> bool:
    """Whether a folder has its own mark."""
    return is_folder(folder) and _marked(folder / MARK) == _sentence(folder.name)


def _marked(path: Path) -> str:
    if not is_file(path):
        return ""
    try:
        with path.open("rb") as file:
            return file.read(2 * LONGEST_NAME).decode("utf-8", errors="replace")
    except OSError:
        return ""


def contents(folder: Path) -> Iterator[Path]:
    """List everything below a folder that is no folder itself, links among it, in path order.

    What a killed process left there is passed over.

    Yields
    ------
    Path
        The next one.
    """
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        if LEFT.fullmatch(path.name) and is_marked(path) and path != folder:
            continue
        if is_folder(path):
            waiting += sorted(path.iterdir(), reverse=True)
        else:
            yield path


def clear(folder: Path) -> None:
    """Remove a marked folder; its mark goes last, so that what is left is still recognised."""
    for path in folder.iterdir():
        if is_folder(path):
            shutil.rmtree(path)
        elif path.name != MARK:
            path.unlink()
    (folder / MARK).unlink(missing_ok=True)
    folder.rmdir()


def sweep(parent: Path, known: Callable[[str], object]) -> None:
    """Clear what killed processes left of `whole_file` and `whole_folder` in a folder.

    A folder that was being written is removed. One that was being replaced gets its name back where nothing has
    taken that, and is removed otherwise. Of these, only folders with a name of `beside` are touched that are
    marked as ours, or empty. Errors of the file system are passed over: the next call tries again.

    Parameters
    ----------
    parent : Path
        Folder that the targets lie in; it need not be there.
    known : callable
        Takes a target's name; true where it is one of those that are written there.
    """
    # Of two that could return, the one set aside last is whole: the other was being cleared.
    for left in sorted(parent.iterdir(), key=_marked_at, reverse=True) if parent.is_dir() else ():
        match = LEFT.fullmatch(left.name)
        if match is None or not is_folder(left) or not known(match["name"]):
            continue
        target = parent / match["name"]
        with suppress(OSError):  # the next run tries again
            if not is_marked(left):
                left.rmdir()  # killed before it was marked, or when it was cleared: it is empty
            elif match["kind"] == OLD and not is_there(target):
                left.rename(target)
                (target / MARK).unlink()
            else:
                clear(left)


def _marked_at(folder: Path) -> int:
    """When a folder was marked, in ns since the epoch; 0 for any other."""
    try:
        return (folder / MARK).lstat().st_mtime_ns
    except OSError:
        return 0


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A marked folder beside `target`, whose folder is made if need be; cleared if it is still there at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = beside(target, PART)
    part.mkdir()
    unfinished.add(part)
    try:
        mark(part)
        yield part
    finally:
        unfinished.discard(part)
        if is_folder(part):
            with suppress(OSError):
                clear(part)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write a file that takes the place of `path` when the block ends without an error.

    Nothing is left of it otherwise, and `path` stays as it was.

    Yields
    ------
    Path
        The name under which the file is to be written.
    """
    with _part(path) as part:
        yield part / path.name
        (part / path.name).replace(path)


@contextmanager
def whole_folder(
    target: Path, check: Callable[[Path], None] = lambda _folder: None
) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block ends without an error.

    Nothing is left of it otherwise, and `target` stays as it was.

    Parameters
    ----------
    target : Path
    check : callable
        Takes the path of a folder that would be replaced, and raises an XnoreplayError where it must not be. It is
        called with `target` before the block, with `target` again before that is set aside, and with the name
        under which it was set aside, which nobody else knows, before the new folder takes its place.

    Yields
    ------
    Path
        The new folder, under a name of its own, to write in.
    """
    check(target)
    with _part(target) as part:
        yield part
        with lock:
            unfinished.discard(part)
        replace_folder(part, target, check)


def replace_folder(part: Path, target: Path, check: Callable[[Path], None]) -> None:
    """Rename `part` to `target`; a folder of that name is set aside first and cleared last."""
    old = None
    if is_there(target):
        check(target)
        old = beside(target, OLD)
        mark(target, old.name)
        target.rename(old)
    try:
        if old is not None:
            check(old)
        part.rename(target)
    except BaseException:
        if old is not None:
            old.rename(target)
            (target / MARK).unlink(missing_ok=True)
        raise
    (target / MARK).unlink(missing_ok=True)
    if old is not None:
        with suppress(OSError):
            clear(old)
