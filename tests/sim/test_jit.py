"""How kernels and their parts are compiled."""

import pytest

from xnoreplay.sim.common import inlined
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


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_an_edit_after_the_start_is_no_part_of_what_this_process_compiles_with(
    monkeypatch, tmp_path
):
    before = hypotenuse._cache.depends(())
    (tmp_path / "edited.py").write_text("")
    monkeypatch.setattr(inlined, "__file__", str(tmp_path / "edited.py"))
    assert hypotenuse._cache.depends(()) == before


@kernel
def last_odd(n):
    """The sum, over numbers 2 and 3 of each four, of thrice the last odd number: assigned once, on one of two ways."""
    total = 0
    for i in range(n):
        if i % 2:
            odd = 3 * i
        if i % 4 > 1:
            total += odd
    return total


@kernel
def first_of(pair, n):
    """What is assigned once, before every use, is kept out of memory: `first`, from block to block."""
    first = pair[0]
    total = 0
    for i in range(n):
        total += first if i % 2 else pair[1]
    return total


def test_what_is_assigned_once_has_its_value_wherever_it_is_used():
    assert [last_odd(n) for n in range(1, 9)] == [0, 0, 3, 12, 12, 12, 27, 48]
    assert [first_of((5, 2), n) for n in range(4)] == [0, 2, 7, 9]
