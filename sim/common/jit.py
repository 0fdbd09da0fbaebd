"""How the simulator's kernels are compiled.

What is compiled is kept: beside this file, in the user's cache, or for the time of a process; see
`spec.caches`. Its name carries a digest of every source it depends on, callees' files too, so a change of
any of them compiles it anew, and a change elsewhere does not.
"""

from functools import cache
from pathlib import Path

import numba
import numpy as np
from numba.core import cgutils, types
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.extending import intrinsic
from numba.np.unsafe.ndarray import to_fixed_tuple

from xnoreplay.sim.common import inlined
from xnoreplay.spec import bits, caches

ROOT = Path(__file__).parents[1]
COMPILED = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # set at import
CONSTANTS = [
    ROOT.parent / "spec" / f"{name}.py"
    for name in (
        "bits",
        "events",
        "generative",
        "learning",
        "lfsr",
        "memories",
        "network",
        "plan",
        "replay",
        "timeline",
    )
]
ROOMS = {
    "fast": ("common", "fast"),
    "functional": ("common", "functional"),
    "step": ("common", "fast", "step"),
}
"""Rooms of the simulator whose sources the kernels of a room are made of."""


@cache
def stamp(room: str) -> str:
    """Digest of the sources of a room's kernels; of any other kernel's, as a test's, all of the simulator's."""
    folders = [ROOT / name for name in ROOMS.get(room, ())]
    sources = [p for f in folders for p in sorted(f.glob("*.py"))] or sorted(ROOT.rglob("*.py"))
    return caches.stamp_of([*sources, *CONSTANTS], [numba.__version__, np.__version__])


def kernel(function):
    """Compile a kernel that Python calls, of integers alone.

    It does not hold the interpreter's lock, so that threads can share the work on a data set.
    """
    compiled = numba.njit(nogil=True, _nrt=False)(function)
    if COMPILED:
        folder = Path(function.__code__.co_filename).parent
        room = folder.name if folder.parent == ROOT else ""
        compiled._cache = caches.KernelCache(
            function, stamp(room), dumps, CompileResult._rebuild, numba.config.CACHE_DIR
        )
    return compiled


part = numba.njit(  # type: ignore[call-overload]  # options that its types do not know
    nogil=True,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    _nrt=False,
    forceinline=True,
    pipeline_class=inlined.PartCompiler,
)
"""Compile a part of a kernel, which only kernels call: no way in from Python, which saves much
of the time to compile, and no cache of its own."""


@intrinsic
def _ctpop(_context, _word):
    """LLVM's population count: numba compiles neither int.bit_count nor np.bitwise_count."""

    def build(_ctx, builder, _signature, arguments):
        count = cgutils.get_or_insert_function(
            builder.module,
            cgutils.ir.FunctionType(cgutils.ir.IntType(64), [cgutils.ir.IntType(64)]),
            "llvm.ctpop.i64",
        )
        return builder.call(count, arguments)

    return types.int64(types.uint64), build


if COMPILED:

    @part
    def popcount(word):
        """Number of ones of a uint64 word, as int64."""
        return _ctpop(np.uint64(word))

    fixed_tuple = to_fixed_tuple

else:

    def fixed_tuple(row, length):  # type: ignore[misc]  # an intrinsic has a context before
        """The first `length` numbers of a row as a tuple, whose length the compiler knows."""
        return tuple(row[:length])

    def popcount(word):
        """Ones of a uint64 word."""
        return int(word).bit_count()


ceil_div = part(bits.ceil_div)
ZERO, ONE = np.uint64(0), np.uint64(1)
FULL = np.uint64(0xFFFFFFFFFFFFFFFF)


@part
def low_bits(n):
    """uint64 with the n lowest bits set; n is clamped to 0..64."""
    if n <= 0:
        return ZERO
    if n >= 64:
        return FULL
    return FULL >> np.uint64(64 - n)


@part
def get_bit(row, i):
    """Bit i of a row of uint64 words, as int64."""
    return np.int64(row[i >> 6] >> np.uint64(i & 63) & ONE)


@part
def put_bit(row, i, value):
    """Set bit i of a row of uint64 words."""
    bit = ONE << np.uint64(i & 63)
    if value:
        row[i >> 6] |= bit
    else:
        row[i >> 6] &= ~bit


@part
def draw(state):
    """Step a 32-bit register by eight, as `spec.lfsr.draw`, on int64."""
    byte = (state >> 24 ^ state >> 22 ^ state >> 18 ^ state >> 17) & 0xFF
    return (state << 8 & 0xFFFFFFFF) | byte


@part
def walk_next(state, bits, taps):
    """Step a maximal-length register of so many bits; bit t - 1 of `taps` is 1 where t is a tap."""
    new = popcount(np.uint64(state & taps)) & 1
    return (state << 1 & (1 << bits) - 1) | new
