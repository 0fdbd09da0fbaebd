"""LLVM's population count: numba compiles neither int.bit_count nor np.bitwise_count."""

from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic
def ctpop(_context, _word):
    """Ones of a uint64, as int64."""

    def build(_ctx, builder, _signature, arguments):
        count = cgutils.get_or_insert_function(
            builder.module,
            cgutils.ir.FunctionType(cgutils.ir.IntType(64), [cgutils.ir.IntType(64)]),
            "llvm.ctpop.i64",
        )
        return builder.call(count, arguments)

    return types.int64(types.uint64), build
