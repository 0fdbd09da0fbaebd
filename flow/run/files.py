"""Files of a run folder: JSON, digests, and what a user names to be written."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from xnoreplay.spec import reading, whole
from xnoreplay.spec.errors import XnoreplayError
from xnoreplay.spec.reading import read_json
from xnoreplay.spec.whole import OLD, PART, sweep, whole_folder

__all__ = [
    "OLD",
    "PART",
    "dumps",
    "file_digest",
    "plain",
    "read_json",
    "require_writable",
    "sweep",
    "tree_digests",
    "whole_folder",
    "write_json",
    "write_whole",
]


HEAD = 1000  # characters in which a text says what it is


def _plain(value):
    import numpy as np

    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, set | frozenset | range):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} must not be in a result, but {value!r} is")


def dumps(tree: object) -> str:
    """Return a tree as JSON text, keys in the order they were put in; NumPy numbers become plain ones."""
    return json.dumps(tree, indent=1, default=_plain, allow_nan=False) + "\n"


def plain(tree):
    """Return a tree as JSON gives it back: a copy of plain values."""
    return json.loads(dumps(tree))


def write_json(path: Path, tree: object) -> None:
    """Write a tree of plain values to a file as JSON."""
    path.write_text(dumps(tree), encoding="utf-8")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, and make its folder if need be.

    A link stays, and the file that it leads to is written.

    Raises
    ------
    XnoreplayError
        Where its folder cannot be written.
    """
    try:
        with whole.whole_file(Path(os.path.realpath(path))) as part:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise XnoreplayError(f"{path} must be writable: {error.strerror}") from None


def require_writable(path: Path, ours: Callable[[Path], bool] | None) -> None:
    """Refuse a file that could not be written, before the work whose result it is to hold.

    Parameters
    ----------
    path : Path
        The file that a user names.
    ours : callable, optional
        Takes the path of a file that is there, and tells whether the same command wrote it. Another file is not
        replaced. Without it no file is replaced that holds anything.

    Raises
    ------
    XnoreplayError
        For what is no file, for a file that must stay, and where its folder can neither be made
        nor written.
    """
    try:
        there = next(folder for folder in path.absolute().parents if folder.exists())
        if path.exists():
            if not path.is_file():
                what = "is a folder" if path.is_dir() else f"is {reading.kind(path.stat().st_mode)}"
                raise XnoreplayError(f"{path} must be a file to write, but {what}")
            if path.stat().st_size and ours is None:
                raise XnoreplayError(
                    f"{path} must be new, but is there already, and this command replaces no file: "
                    "move it away, or name another file"
                )
            if path.stat().st_size and ours is not None and not _written_by(ours, path):
                raise XnoreplayError(
                    f"{path} must be new, or a file that this command wrote, but holds something else: "
                    "move it away, or name another file"
                )
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise XnoreplayError(f"{path} must be writable: {error.strerror}") from None


def json_with(*keys: str) -> Callable[[Path], bool]:
    """Make the check of `require_writable` that a file is a JSON object with these keys."""
    return lambda path: isinstance(tree := read_json(path), dict) and tree.keys() >= set(keys)


def tensors_of(form: str) -> Callable[[Path], bool]:
    """Make the check of `require_writable` that a file is of safetensors and has this format in its metadata."""
    from xnoreplay.spec import bundle as bundles

    return lambda path: bundles.metadata_of(path).get("format") == form


def text_with(*parts: str) -> Callable[[Path], bool]:
    """Make the check of `require_writable` that all of these parts stand near the begin of a text."""
    return lambda path: all(part in reading.text(path)[:HEAD] for part in parts)


def _written_by(ours: Callable[[Path], bool], path: Path) -> bool:
    try:
        return ours(path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with reading.opened(path) as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def tree_digests(folder: Path, skip: Callable[[str], bool] = lambda _name: False) -> dict[str, str]:
    """Return the SHA-256 of every regular file below a folder, by relative path; marks and links are left out.

    Parameters
    ----------
    folder : Path
        The folder.
    skip : callable
        Takes a relative path, and tells whether the file is left out, too.
    """
    found = {
        p.relative_to(folder).as_posix(): p for p in whole.contents(folder) if whole.is_file(p)
    }
    return {n: file_digest(p) for n, p in found.items() if not (skip(n) or whole.is_mark(p))}
