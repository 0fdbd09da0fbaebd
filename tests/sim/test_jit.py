"""How kernels and their parts are compiled."""

import ast
import shutil
from pathlib import Path

import pytest

from tests.test_imports import ROOMS
from xnoreplay.sim.common import jit
from xnoreplay.sim.common.inlined import PartLibrary
from xnoreplay.sim.common.jit import COMPILED, CONSTANTS, ROOT, kernel, part
from xnoreplay.sim.fast.images import conv_phase
from xnoreplay.sim.functional.kernels import classify
from xnoreplay.sim.step.sequencer import run_operation


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


def test_kernels_are_made_of_the_rooms_that_theirs_may_import():
    for room, rooms in jit.ROOMS.items():
        assert {f"sim/{name}" for name in rooms} == ROOMS[f"sim/{room}"] | {f"sim/{room}"}


@pytest.mark.parametrize("room", ["common", *jit.ROOMS])
def test_sources_of_constants_are_sources_of_the_kernels(room):
    """A kernel has the constants of `spec` compiled in."""
    for path in (ROOT / room).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("xnoreplay.spec."):
                if any(alias.name.isupper() for alias in node.names):
                    name = node.module.removeprefix("xnoreplay.spec.")
                    assert name in [p.stem for p in CONSTANTS], path


EDITS = {  # file -> rooms whose kernels are compiled anew, and whether a test's are
    "common/vectors.py": {"fast", "functional", "step", ""},
    "fast/arithmetic.py": {"fast", "step", ""},
    "functional/kernels.py": {"functional", ""},
    "step/conv.py": {"step", ""},
    "run.py": {""},
    "../spec/lfsr.py": {"fast", "functional", "step", ""},
}


@pytest.mark.parametrize("edited", EDITS)
def test_an_edit_compiles_anew_what_may_call_it(tmp_path, monkeypatch, edited):
    shutil.copytree(ROOT, tmp_path / "sim", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "spec").mkdir()
    for path in CONSTANTS:
        shutil.copy(path, tmp_path / "spec")
    monkeypatch.setattr(jit, "ROOT", tmp_path / "sim")
    monkeypatch.setattr(jit, "CONSTANTS", [tmp_path / "spec" / p.name for p in CONSTANTS])
    stamps = [{room: jit.stamp.__wrapped__(room) for room in (*jit.ROOMS, "")}]
    path = tmp_path / "sim" / edited
    path.write_text(path.read_text() + "\n")
    stamps += [{room: jit.stamp.__wrapped__(room) for room in (*jit.ROOMS, "")}]
    assert {room for room in stamps[0] if stamps[0][room] != stamps[1][room]} == EDITS[edited]


@pytest.mark.skipif(not COMPILED, reason="nothing is kept")
def test_a_kernel_is_kept_under_the_stamp_of_its_room():
    kernels = {"fast": conv_phase, "functional": classify, "step": run_operation, "": hypotenuse}
    for room, compiled in kernels.items():
        assert Path(compiled._cache.cache_path).name == f"kernels-{jit.stamp(room)}"
