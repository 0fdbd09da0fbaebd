"""The files that a step names as deciding its result are those that it imports, however far.

But the few lines that call them: a change of `flow/pipeline.py` would repeat every step, one of
`flow/pretrain.py` every training.
"""

import ast
from pathlib import Path

import pytest

from tests.imports import modules
from xnoreplay.flow import explore, pipeline, reproduce
from xnoreplay.flow.step import PACKAGE

HOW = {
    "flow/files.py",
    "flow/guard.py",
    "flow/interrupts.py",
    "flow/keeper.py",
    "flow/processes.py",
    "flow/progress.py",
    "flow/step.py",
    "flow/temporary.py",
    "flow/tools.py",
    "flow/workers.py",
}
"""How a result is computed, shown and stored: not what it is."""
STEPS = pipeline.steps(train=True)
COSIM = ("flow/cosim/__init__.py", "flow/cosim/bare.py")
LISTS = {
    "pretrain": (STEPS["pretrain"].code, ("model/pretrain.py",)),
    "export": (STEPS["export"].code, ("flow/pretrain.py",)),
    "cil": (STEPS["cil"].code, ("flow/cil.py",)),
    "simulate": (STEPS["simulate"].code, ("flow/simulate.py", "flow/simulate_large.py")),
    "generate": (STEPS["generate"].code, ("flow/generate.py",)),
    "cosim": (STEPS["cosim"].code, COSIM),
    "synth": (
        ("spec", "hw", *STEPS["synth"].code),
        ("flow/synth.py", "flow/families.py", "flow/place.py"),
    ),
    "estimate": (STEPS["estimate"].code, ("flow/estimate.py", "flow/session_cost.py")),
    "explore": (STEPS["explore"].code, ("flow/explore.py",)),
    "points of explore": (explore.CODE, ("flow/explore_jobs.py",)),
    "rows of reproduce": (reproduce.CODE, ("flow/systems.py",)),
    "rows of native replay": (
        reproduce.CODE + reproduce.NATIVE_CODE,
        ("flow/systems.py", "model/native.py"),
    ),
}
"""What a list names, and the modules that compute; `synth` has spec and hw from the step before it."""


def file_of(module: str) -> Path | None:
    root, *parts = module.split(".")
    found = [PACKAGE.joinpath(*parts).with_suffix(".py"), PACKAGE.joinpath(*parts, "__init__.py")]
    return next((f for f in found if root == "xnoreplay" and parts and f.exists()), None)


def imports(path: Path) -> set[Path]:
    """Files of the package that a module imports, also inside its functions."""
    names = modules(ast.parse(path.read_text(encoding="utf-8")))
    return {path for path in map(file_of, names) if path}


def closure(modules: tuple[str, ...], but: set[str]) -> set[str]:
    seen: set[str] = set()
    left = [PACKAGE / m for m in modules]
    while left:
        path = left.pop()
        name = path.relative_to(PACKAGE).as_posix()
        if name not in seen | but and path.stat().st_size:  # an empty package decides nothing
            seen.add(name)
            left += imports(path)
    return seen


@pytest.mark.parametrize("which", LISTS)
def test_every_module_that_a_result_depends_on_is_named(which):
    code, modules = LISTS[which]
    but = HOW | ({"model/native.py"} if which == "rows of reproduce" else set())
    needed = closure(modules, but)
    assert len(needed) > 3
    named = [n for n in needed for part in code if n == part or n.startswith(f"{part}/")]
    assert needed - set(named) == set()


@pytest.mark.parametrize("which", LISTS)
def test_every_name_is_there(which):
    assert [part for part in LISTS[which][0] if not (PACKAGE / part).exists()] == []
