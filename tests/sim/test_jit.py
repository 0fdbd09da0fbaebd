"""How kernels and their parts are compiled."""

import pytest

from xnoreplay.sim.common.inlined import PartLibrary
from xnoreplay.sim.common.jit import COMPILED, kernel, part


@part
def square(x):
    return x * x


@part
def sum_of_squares(x, y):
    return square(x) + square(y)


@kernel
def hypotenuse(x, y):
    return sum_of_squares(x, y) * sum_of_squares(y, x)


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_a_part_becomes_no_machine_code_of_its_own():
    hypotenuse._cache.load_overload = lambda *_: None  # a whole one would need no part
    assert hypotenuse(3, 4) == 625
    for each in (square, sum_of_squares):
        (result,) = each.overloads.values()
        library = result.library
        assert isinstance(library, PartLibrary)
        assert not library.codegen._engine.is_symbol_defined(result.fndesc.llvm_func_name)
    (whole,) = hypotenuse.overloads.values()
    assert whole.library.codegen._engine.is_symbol_defined(whole.fndesc.llvm_func_name)
