"""Where what is costly to make is kept between runs, and what happens where nothing can be kept.

A cache may be read-only, of another user, or in a home that is not there. What it holds is used where it is
whole; what is made anew goes to the first place that can be written, at last to a folder in the temporary
one that goes when the process ends.
"""

import atexit
import hashlib
import os
import pickle
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CACHE = "XNOREPLAY_CACHE"
"""Environment variable: the folder of all caches of this package."""
TEMPORARY = "XNOREPLAY_TEMPORARY_CACHE"
"""Environment variable: the temporary cache of a process, for the processes that it starts."""
WORK = "XNOREPLAY_WORK"
"""Environment variable: the temporary folder of the command, which is removed even where that is killed."""
PREFIX = "xnoreplay-cache-"


def home() -> Path | None:
    """The user's folder of all programs' caches; None where the user has no home."""
    given = os.environ.get("XDG_CACHE_HOME")
    if (
        given and Path(given).is_absolute()
    ):  # others are to be ignored, says the specification of XDG
        return Path(given)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # no HOME, and no entry of this user
        return None


def folder(kind: str) -> Path | None:
    """The cache of a kind, as "cosim", whether it can be written or not."""
    given = os.environ.get(CACHE)
    if given:
        return Path(given) / kind
    base = home()
    return base / "xnoreplay" / kind if base else None


def unusable(place: Path | None) -> str:
    """Why a folder cannot hold a cache, after an attempt to make it and write a file; empty where it can."""
    if place is None:
        return "there is no home folder"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return error.strerror or str(error)
    return ""


def writable(kind: str) -> Path:
    """A folder for what is made anew: the cache of a kind, or a temporary one, of which a note is printed."""
    place = folder(kind)
    reason = unusable(place)
    if place is not None and not reason:
        return place
    return _temporary_for(kind, place, reason)


def _temporary_for(kind: str, place: Path | None, reason: str) -> Path:
    """The part of the temporary cache that takes the place of a cache that cannot be written.

    A note is printed where the temporary cache is made.
    """
    there = bool(os.environ.get(TEMPORARY))
    base = temporary()
    if not there:
        note(
            f"{place or 'a cache'} cannot be written ({reason}); {base} is used, and removed at the end"
        )
    (base / kind).mkdir(exist_ok=True)
    return base / kind


def temporary() -> Path:
    """The temporary cache of this process, and of those that it starts; gone when this one ends."""
    given = os.environ.get(TEMPORARY)
    if given and Path(given).name.startswith(PREFIX) and not unusable(Path(given)):
        return Path(given)
    work = os.environ.get(WORK)
    made = Path(
        tempfile.mkdtemp(prefix=PREFIX, dir=work if work and not unusable(Path(work)) else None)
    )
    os.environ[TEMPORARY] = str(made)
    atexit.register(_remove, made, os.getpid())
    return made


@contextmanager
def for_programs() -> Iterator[dict[str, str]]:
    """Give other programs a cache that they can write, while the block runs.

    yosys and nextpnr come as WebAssembly: they keep what their first use compiles in the user's cache, and
    end in a traceback where they cannot. A temporary one takes its place there.

    Yields
    ------
    dict
        The environment that such a program is started with.
    """
    place = home()
    given = os.environ.get("XDG_CACHE_HOME")
    if reason := unusable(place):
        os.environ["XDG_CACHE_HOME"] = str(_temporary_for("programs", place, reason))
    env = dict(os.environ)
    if "YOWASP_CACHE_DIR" in env and unusable(Path(env["YOWASP_CACHE_DIR"])):
        del env["YOWASP_CACHE_DIR"]
    try:
        yield env
    finally:
        if given is None:
            os.environ.pop("XDG_CACHE_HOME", None)
        else:
            os.environ["XDG_CACHE_HOME"] = given


def _remove(made: Path, owner: int) -> None:
    """Remove a temporary cache, in the process that made it alone."""
    if os.getpid() == owner:  # not in a forked child
        shutil.rmtree(made, ignore_errors=True)


def note(text: str) -> None:
    """Print one line to standard error, if it is open."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(
                f"note: {text}\n"
            )  # in one piece, because other threads write there too
            sys.stderr.flush()


class KernelCache:
    """Where a function that numba compiled is kept: one file for each signature, with its digest.

    It stands in for numba's own cache, which raises what pickle raises for a damaged file, hands damaged
    machine code to LLVM, and refuses to work where it finds no folder to write. A file here is used where
    its digest is right and its key is asked for; else the function is compiled anew, with a note where the
    file was damaged. Numba calls `load_overload` before it compiles and `save_overload` after it.

    Runs side by side share the files: each is written whole and renamed into place, and its name tells all that it
    depends on. Of a function's files those that were used last are kept, `KERNEL_VERSIONS` of them.

    Parameters
    ----------
    function : callable
        What is compiled.
    depends : callable
        A signature -> digest of all that the compiled code depends on beside signature and processor: sources,
        versions of the compilers. It is called when the function is.
    dumps, rebuild : callable
        Numba's own: a value -> bytes; a target context and the parts of a result -> the result.
    """

    def __init__(
        self,
        function: Any,
        depends: Callable[[Any], str],
        dumps: Callable,
        rebuild: Callable,
        given: str = "",
    ) -> None:
        """Keep what is compiled of a function.

        given : NUMBA_CACHE_DIR, a folder before all others; empty for none
        """
        self.function, self.depends = function, depends
        self.dumps, self.rebuild = dumps, rebuild
        self.used: list[Path] = []  # files that this process read or wrote
        self.name = function.__qualname__.replace("<", "").replace(">", "")
        self.beside = (
            Path(given) if given else Path(function.__code__.co_filename).parent / "__pycache__"
        )

    @property
    def cache_path(self) -> str:
        """The first place that is looked at."""
        return str(self.beside / KERNELS)

    def enable(self) -> None:
        """Do nothing: this cache is always in use."""

    def disable(self) -> None:
        """Do nothing: this cache cannot be turned off."""

    def flush(self) -> None:
        """Do nothing: what is out of date has another name."""

    def load_overload(self, signature, target_context):
        """The compiled function; None where no whole file holds it."""
        target_context.refresh()
        key = self._key(signature, target_context.codegen())
        for folder in kernels_to_read(self.beside):
            path = folder / self._file(key)
            data = self._read(path, key)
            if data is not None:
                with suppress(OSError):  # a cache that can only be read
                    os.utime(path)
                self.used.append(path)
                return self.rebuild(target_context, *data)
        return None

    def save_overload(self, signature, result) -> None:
        """Keep a compiled function where that is possible."""
        key = self._key(signature, result.library.codegen)
        payload = self.dumps((key, result._reduce()))
        name = self._file(key)
        with suppress(OSError):  # a full disk: it is compiled again the next time
            folder = kernels_to_write(self.beside)
            folder.mkdir(exist_ok=True)
            if (folder / name).is_dir():
                return
            write_renamed(folder / name, hashlib.sha256(payload).digest() + payload)
            self.used.append(folder / name)
            self._prune(folder)

    def _prune(self, folder: Path) -> None:
        """Remove the function's files that were not used for longest, and what killed processes left half-written."""
        ours = re.compile(rf"{re.escape(self.name)}-[0-9a-f]{{20}}\.kernel")
        used = {p: p.stat().st_mtime for p in folder.iterdir() if p.is_file()}
        whole = sorted((p for p in used if ours.fullmatch(p.name)), key=lambda p: -used[p])
        left = [p for p in used if ".part-" in p.name and used[p] < time.time() - ABANDONED]
        for path in [*whole[KERNEL_VERSIONS:], *left]:
            path.unlink(missing_ok=True)

    def _key(self, signature, codegen) -> tuple:
        """Signature, processor, which function, and what it depends on."""
        which = f"{self.function.__module__}.{self.name}"
        return signature, codegen.magic_tuple(), which, self.depends(signature)

    def _file(self, key: tuple) -> str:
        """Name of the file of a key."""
        return f"{self.name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:20]}.kernel"

    def _read(self, path: Path, key: tuple) -> tuple | None:
        """What a file holds for a key; None where there is no whole file of that key."""
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            note(
                f"the compiled kernel {path} cannot be read ({error.strerror}); it is compiled anew"
            )
            return None
        digest, payload = raw[:32], raw[32:]
        if hashlib.sha256(payload).digest() != digest:
            note(f"the compiled kernel {path} is damaged; it is compiled anew")
            return None
        found, data = pickle.loads(payload)
        return data if found == key else None


KERNELS = "kernels"
"""Folder of compiled kernels in each place that may hold them."""
KERNEL_VERSIONS = 8  # of a function that are kept in one folder: few have two signatures
ABANDONED = 3600.0  # seconds after which nobody goes on writing a file


def stamp_of(sources: Iterable[Path], versions: Iterable[str]) -> str:
    """Digest of source files and of versions: 20 hexadecimal digits."""
    digest = hashlib.sha256("\0".join([*versions, sys.version]).encode())
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def kernels_to_read(beside: Path) -> list[Path]:
    """Folders that compiled kernels may lie in, that beside their source first."""
    given = os.environ.get(TEMPORARY)
    places = [beside, folder("kernels"), Path(given) / "kernels" if given else None]
    return [place / KERNELS for place in places if place is not None]


_chosen: dict[Path, Path] = {}


def kernels_to_write(beside: Path) -> Path:
    """The folder that compiled kernels are written to, which may have to be made; tried once in a process."""
    if beside not in _chosen:
        _chosen[beside] = writable("kernels") if unusable(beside) else beside
    return _chosen[beside] / KERNELS


def write_renamed(target: Path, data: bytes) -> None:
    """Write a file whole, so that a process beside this one sees all of it or none."""
    handle, part = tempfile.mkstemp(prefix=f".{target.name[:40]}.part-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(part, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise


def prune(parent: Path, pattern: str, keep: int) -> None:
    """Remove the folders of a pattern of ours that were not used for longest, all but `keep`."""
    with suppress(OSError):
        ours = [
            p
            for p in parent.iterdir()
            if re.fullmatch(pattern, p.name) and p.is_dir() and not p.is_symlink()
        ]
        ours.sort(key=lambda p: p.stat().st_mtime)
        for old in ours[: max(0, len(ours) - keep)]:
            shutil.rmtree(old, ignore_errors=True)
