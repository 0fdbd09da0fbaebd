"""Files of a run folder: JSON, digests, and folders that appear whole or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from xnoreplay.flow import interrupts
from xnoreplay.spec.errors import XnoreplayError

PART, OLD = ".part-", ".old-"  # suffixes of a folder being written, and of one being replaced


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset | range):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} must not be in a result, but {value!r} is")


def dumps(tree: object) -> str:
    """JSON text, keys in the order they were put in. NumPy numbers become plain ones."""
    return json.dumps(tree, indent=1, default=_plain, allow_nan=False) + "\n"


def plain(tree):
    """The tree as JSON gives it back: a copy of plain values."""
    return json.loads(dumps(tree))


def write_json(path: Path, tree: object) -> None:
    path.write_text(dumps(tree), encoding="utf-8")


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, and make its folder if need be.

    Raises
    ------
    XnoreplayError
        Where its folder cannot be written.
    """
    part = path.with_name(f".{path.name}{PART}{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise XnoreplayError(f"{path} must be writable: {error.strerror}") from None


def require_writable(path: Path) -> None:
    """Refuse a file that could not be written, before the work whose result it is to hold.

    Raises
    ------
    XnoreplayError
        For a folder, and where its folder can neither be made nor written.
    """
    try:
        if path.is_dir():
            raise XnoreplayError(f"{path} must be a file to write, but is a folder")
        there = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise XnoreplayError(f"{path} must be writable: {error.strerror}") from None


def read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def tree_digests(folder: Path, skip: tuple[str, ...] = ()) -> dict[str, str]:
    """SHA-256 of every file under a folder, by relative path; `skip` names files and folders in it."""
    return {
        p.relative_to(folder).as_posix(): file_digest(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.relative_to(folder).parts[0] not in skip
    }


def sweep(parent: Path) -> None:
    """Clear what a killed process left: parts go, a replaced folder without successor returns."""
    for left in parent.glob(f".*{PART}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    for left in parent.glob(f".*{OLD}*"):
        target = parent / left.name[1:].split(OLD)[0]
        if target.exists():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.rename(target)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block ends without an error.

    Nothing is left of it otherwise, and `target` stays as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}{PART}", dir=target.parent))
    interrupts.unfinished.add(part)
    part.chmod(0o755)
    try:
        yield part
        with interrupts.lock:
            interrupts.unfinished.discard(part)
        replace_folder(part, target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        interrupts.unfinished.discard(part)
        raise


def replace_folder(part: Path, target: Path) -> None:
    """Rename `part` to `target`; a folder of that name is set aside first and removed last."""
    old = None
    if target.exists():
        old = target.with_name(f".{target.name}{OLD}{os.getpid()}")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    try:
        part.rename(target)
    except BaseException:
        if old is not None:
            old.rename(target)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
