"""Eight uint64 words side by side, which LLVM keeps in one register of 512 bits, or in several shorter.

`Words` have the operators ^, &, |, + and -, lane by lane, modulo 2^64. Arrays of them are
(rows, LANES) uint64. Where kernels run as plain Python, Words are rows of such arrays.
"""

import operator

import numpy as np
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from xnoreplay.sim.common.jit import COMPILED

LANES = 8

ir = cgutils.ir  # numba's own builder of LLVM's code


class _Type(types.Type):
    """Numba's type of Words."""

    def __init__(self) -> None:
        super().__init__("Words")


_words = _Type()
_VECTOR = ir.VectorType(ir.IntType(64), LANES)


@register_model(_Type)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, kind) -> None:
        super().__init__(manager, kind, _VECTOR)


def _operator(function, build) -> None:
    """Teach numba an operator of two Words: `build` emits its instruction."""

    @infer_global(function)
    class _Template(ConcreteTemplate):
        cases = [signature(_words, _words, _words)]

    @lower_builtin(function, _words, _words)
    def _lower(_context, builder, _signature, arguments):
        return build(builder, *arguments)


_operator(operator.xor, ir.IRBuilder.xor)
_operator(operator.and_, ir.IRBuilder.and_)
_operator(operator.or_, ir.IRBuilder.or_)
_operator(operator.add, ir.IRBuilder.add)
_operator(operator.sub, ir.IRBuilder.sub)


def _spread(builder, word):
    """A vector with a word in every lane."""
    empty, index = ir.Constant(_VECTOR, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(empty, word, ir.Constant(index, 0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(index, LANES), None))


def _pointer(context, builder, kind, array, row):
    """The address of a row of an array of (rows, LANES) uint64."""
    data = context.make_array(kind)(context, builder, array).data
    first = builder.gep(data, [builder.mul(row, ir.Constant(row.type, LANES))])
    return builder.bitcast(first, _VECTOR.as_pointer())


@intrinsic
def _load(_context, array, _row):
    def build(context, builder, kinds, arguments):
        return builder.load(_pointer(context, builder, kinds.args[0], *arguments), align=8)

    return _words(array, types.intp), build


@intrinsic
def _store(_context, array, _row, _value):
    def build(context, builder, kinds, arguments):
        array, row, value = arguments
        builder.store(value, _pointer(context, builder, kinds.args[0], array, row), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, _words), build


@intrinsic
def _splat(_context, _word):
    def build(_context, builder, _kinds, arguments):
        return _spread(builder, *arguments)

    return _words(types.uint64), build


@intrinsic
def _ones(_context, _value):
    def build(_context, builder, _kinds, arguments):
        kind, name = ir.FunctionType(_VECTOR, [_VECTOR]), f"llvm.ctpop.v{LANES}i64"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    return _words(_words), build


@intrinsic
def _at_most(_context, _value, _limit, _bit):
    def build(_context, builder, _kinds, arguments):
        value, limit, bit = arguments
        flags = builder.icmp_signed("<=", value, _spread(builder, limit))
        return builder.select(flags, _spread(builder, bit), ir.Constant(_VECTOR, None))

    return _words(_words, types.int64, types.uint64), build


if COMPILED:
    load, store, splat, ones, at_most = _load, _store, _splat, _ones, _at_most
else:

    def load(array, row):  # type: ignore[misc]
        """Words of a row of an array."""
        return array[row].copy()

    def store(array, row, value):  # type: ignore[misc]
        """Write Words into a row of an array."""
        array[row] = value

    def splat(word):  # type: ignore[misc]
        """A uint64 in every lane."""
        return np.full(LANES, word, np.uint64)

    def ones(value):  # type: ignore[misc]
        """Ones of each lane."""
        return np.bitwise_count(value).astype(np.uint64)

    def at_most(value, limit, bit):  # type: ignore[misc]
        """`bit` in each lane that is, as a signed integer, at most `limit`; zero in the others."""
        return np.where(value.view(np.int64) <= limit, np.uint64(bit), np.uint64(0))
