"""The files that decide a step's result are those that it imports, however far.

But the few lines that call them: a change of `flow/pipeline/steps.py` would repeat every step, one of
`flow/learning/pretrain.py` every training.
"""

import ast
from pathlib import Path

import pytest

from tests.imports import modules
from xnoreplay.flow.explore import search as explore
from xnoreplay.flow.learning.paper import reproduce
from xnoreplay.flow.pipeline import steps as pipeline
from xnoreplay.flow.run import code
from xnoreplay.flow.run.code import PACKAGE
from xnoreplay.flow.upset import campaign

HOW = {
    "flow/run/code.py",
    "flow/run/files.py",
    "flow/run/locks.py",
    "flow/run/interrupts.py",
    "flow/run/keeper.py",
    "flow/run/kernels.py",
    "flow/run/processes.py",
    "flow/run/progress.py",
    "flow/run/records.py",
    "flow/run/step.py",
    "flow/run/temporary.py",
    "flow/run/tools.py",
    "flow/run/workers.py",
}
"""How a result is computed, shown and stored: not what it is."""
STEPS = pipeline.steps(train=True)
COSIM = ("flow/verify/cosim/__init__.py", "flow/verify/cosim/bare.py")
LISTS = {
    "pretrain": (STEPS["pretrain"].code, ("model/training/pretrain.py",)),
    "export": (STEPS["export"].code, ("flow/learning/pretrain.py",)),
    "cil": (STEPS["cil"].code, ("flow/learning/cil.py",)),
    "simulate": (
        STEPS["simulate"].code,
        ("flow/verify/simulate.py", "flow/verify/simulate_large.py"),
    ),
    "generate": (STEPS["generate"].code, ("flow/chip/generate.py",)),
    "cosim": (STEPS["cosim"].code, COSIM),
    "mutate": (
        STEPS["mutate"].code,
        ("flow/verify/mutation/measure.py", "flow/verify/cosim/bench/mutants.py"),
    ),
    "prove": (STEPS["prove"].code, ("flow/verify/prove/run.py",)),
    "synth": (
        STEPS["synth"].code,
        ("flow/chip/synth.py", "flow/chip/families.py", "flow/chip/place.py"),
    ),
    "estimate": (STEPS["estimate"].code, ("flow/cost/estimate.py", "flow/cost/session_cost.py")),
    "explore": (STEPS["explore"].code, ("flow/explore/search.py",)),
    "upset": (STEPS["upset"].code, ("flow/upset/campaign.py", "flow/upset/replayed.py")),
    "sessions of upset": (campaign.CODE, ("flow/upset/sessions.py",)),
    "points of explore": (explore.CODE, ("flow/explore/jobs.py",)),
    "rows of reproduce": (reproduce.CODE, ("flow/learning/systems.py",)),
    "rows of native replay": (
        reproduce.CODE,
        ("flow/learning/systems.py", "model/training/native.py"),
    ),
}
"""The roots of a step, and the modules that compute."""


def file_of(module: str) -> Path | None:
    root, *parts = module.split(".")
    found = [PACKAGE.joinpath(*parts).with_suffix(".py"), PACKAGE.joinpath(*parts, "__init__.py")]
    return next((f for f in found if root == "xnoreplay" and parts and f.exists()), None)


def imports(path: Path) -> set[Path]:
    """Files of the package that a module imports, also inside its functions."""
    names = modules(ast.parse(path.read_text(encoding="utf-8")))
    return {path for path in map(file_of, names) if path}


def says_more(path: Path) -> bool:
    """Whether a module has more than its docstring, and so can decide anything."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return any(not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)) for n in body)


def closure(modules: tuple[str, ...], but: set[str]) -> set[str]:
    seen: set[str] = set()
    left = [PACKAGE / m for m in modules]
    while left:
        path = left.pop()
        name = path.relative_to(PACKAGE).as_posix()
        if name not in seen | but and says_more(path):
            seen.add(name)
            left += imports(path)
    return seen


@pytest.mark.parametrize("which", LISTS)
def test_every_module_that_a_result_depends_on_is_found(which):
    roots, modules = LISTS[which]
    but = {"model/training/native.py"} if which == "rows of reproduce" else set()
    needed = closure(modules, HOW | but)
    assert len(needed) > 3
    found = set(code.deciding(roots, but))
    assert needed - found == set()
    assert not found & (HOW | but)


@pytest.mark.parametrize("which", LISTS)
def test_every_root_is_there(which):
    assert [part for part in LISTS[which][0] if not (PACKAGE / part).exists()] == []


def test_what_is_far_away_is_found_and_what_is_not_imported_is_not():
    cosim = code.deciding(STEPS["cosim"].code)
    assert {
        "hw/parts/arithmetic.py",
        "sim/common/jit.py",
        "flow/verify/cosim/bench/view.py",
        "flow/verify/cosim/bare.cpp",
        "flow/run/verilate.py",
        "data/latents/3mb.safetensors",
    } <= set(cosim)
    far = ("flow/report/", "flow/cost/tables/", "model/")
    assert not [n for n in cosim if n.startswith(far)]
    assert "flow/cost/tables/events.csv" in code.deciding(STEPS["estimate"].code)


def test_a_change_of_a_helper_changes_the_digest_and_one_of_a_stranger_does_not(
    tmp_path, monkeypatch
):
    texts = {
        "sim/run.py": "def run():\n    from xnoreplay.sim.parts import helper\n",
        "sim/parts/__init__.py": '"""Says nothing."""\n',
        "sim/parts/helper.py": "import numpy\nfrom xnoreplay.sim.parts.last import X\n",
        "sim/parts/last.py": "X = 1\n",
        "sim/parts/table.csv": "a,1\n",
        "sim/stranger.py": "Y = 1\n",
    }
    for name, text in texts.items():
        (tmp_path / "xnoreplay" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "xnoreplay" / name).write_text(text)
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "xnoreplay")

    def digest_with(name: str | None) -> str:
        code._imports.cache_clear()
        for path, text in texts.items():
            (tmp_path / "xnoreplay" / path).write_text(text + "# new\n" * (path == name))
        return code.digest(["sim/run.py"])

    first = digest_with(None)
    differ = {name for name in texts if digest_with(name) != first}
    assert differ == {
        "sim/run.py",
        "sim/parts/helper.py",
        "sim/parts/last.py",
        "sim/parts/table.csv",
    }
    code._imports.cache_clear()
