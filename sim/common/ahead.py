"""Which work has its kernels in the cache, so that nobody need begin processes that compile them.

A process that has done some work for its kernels' sake notes which files it used. The note is of that work and of the
sources of all kernels: where one of these has changed it is not found, and where a file is gone it is not believed.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

from numba.core.registry import cpu_target

from xnoreplay.sim.common.jit import COMPILED, KERNELS
from xnoreplay.spec import caches

BESIDE = Path(__file__).parent / "__pycache__"
ROOMS = tuple(
    f"{__name__.rpartition('.common.')[0]}.{room}." for room in ("fast", "functional", "step")
)
"""What the names of modules begin with whose kernels `sim.run` imports: a note is of all of these."""


def note(work: str) -> None:
    """Write down the files of all kernels that this process has called, for some work by name."""
    used = [str(path) for kernel in KERNELS for path in kernel._cache.used]
    with suppress(OSError):  # a full disk: the next process looks again
        folder = caches.kernels_to_write(BESIDE)
        folder.mkdir(exist_ok=True)
        caches.write_renamed(folder / _name(work), json.dumps(used).encode())


def is_noted(work: str) -> bool:
    """Whether the kernels of some work are in the cache; true where nothing is compiled."""
    return not COMPILED or any(
        _is_there(folder / _name(work)) for folder in caches.kernels_to_read(BESIDE)
    )


def _is_there(path: Path) -> bool:
    """Whether a note is there and whole, and the files that it names are there."""
    try:
        return all(os.path.isfile(name) for name in json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return False


def _name(work: str) -> str:
    """Name of a note's file."""
    ours = [k for k in KERNELS if k.py_func.__module__.startswith(ROOMS)]
    made_of = [kernel._cache.depends(()) for kernel in ours]
    text = repr((work, cpu_target.target_context.codegen().magic_tuple(), sorted(made_of)))
    return f"ahead-{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"
