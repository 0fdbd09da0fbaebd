"""How the simulator's kernels are compiled.

What is compiled is kept: beside this file, in the user's cache, or for the time of a process; see
`spec.caches`. It is compiled anew where a function that it calls or a constant has changed; see `sources`.
"""

from pathlib import Path

import llvmlite
import numba
import numpy as np
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.np.unsafe.ndarray import to_fixed_tuple

from xnoreplay.sim.common import inlined, sources
from xnoreplay.sim.common.ctpop import ctpop
from xnoreplay.spec import bits, caches

COMPILED = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]  # set at import
KERNELS: list = []
"""Every kernel of the modules that are imported."""


def _compilers() -> str:
    """Digest of what turns functions into machine code: versions, numba's options, and how parts are compiled."""
    config = numba.config
    options = [f"{name}={getattr(config, name)}" for name in ("OPT", "BOUNDSCHECK")]
    versions = [numba.__version__, llvmlite.__version__, np.__version__]
    return caches.stamp_of([Path(inlined.__file__)], [*versions, *options])


COMPILERS = _compilers()
"""As they were when this process began: what is edited later is not what it compiles with."""


def kernel(function):
    """Compile a kernel that Python calls, of integers alone.

    It does not hold the interpreter's lock, so that threads can share the work on a data set.
    """
    compiled = numba.njit(  # type: ignore[call-overload]  # as below
        nogil=True, no_cfunc_wrapper=True, _nrt=False, pipeline_class=inlined.KernelCompiler
    )(function)
    if COMPILED:

        def depends(signature) -> str:
            kinds = map(sources.fields, getattr(signature, "args", signature))
            options = sorted(map(repr, compiled.targetoptions.items()))
            return " ".join([COMPILERS, *options, sources.digest(function), *kinds])

        compiled._cache = caches.KernelCache(
            function, depends, dumps, CompileResult._rebuild, numba.config.CACHE_DIR
        )
        KERNELS.append(compiled)
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


if COMPILED:

    @part
    def popcount(word):
        """Number of ones of a uint64 word, as int64."""
        return ctpop(np.uint64(word))

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
