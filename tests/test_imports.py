"""Who may import whom, and what must run without PyTorch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import modules

ROOT = Path(__file__).parent.parent / "xnoreplay"
ARROWS: dict[str, set[str]] = {
    "spec": set(),
    "model": {"spec"},
    "sim": {"spec"},
    "hw": {"spec"},
    "flow": {"spec", "model", "sim", "hw"},
}
TORCH_FREE = ("spec", "sim", "hw", "flow")


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(package: str) -> set[str]:
    """Our own packages that a package imports."""
    names = set()
    for source in sources(package):
        for name in modules(ast.parse(source.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if parts[0] == "xnoreplay" and len(parts) > 1:
                names.add(parts[1])
    return names


@pytest.mark.parametrize("package", ARROWS)
def test_arrows(package):
    assert imported(package) & ARROWS.keys() <= ARROWS[package] | {package}


@pytest.mark.parametrize("package", TORCH_FREE)
def test_only_the_model_imports_torch(package):
    for source in sources(package):
        names = modules(ast.parse(source.read_text(encoding="utf-8")))
        assert not {n for n in names if n.split(".")[0] == "torch"}, source


@pytest.mark.parametrize("source", sources("flow"), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_flow_imports_other_packages_inside_functions(source):
    top = ast.Module(
        [
            n
            for n in ast.parse(source.read_text(encoding="utf-8")).body
            if isinstance(n, ast.Import | ast.ImportFrom)
        ],
        [],
    )
    ours = {n.split(".")[1] for n in modules(top) if n.startswith("xnoreplay.")}
    if source.parent.name != "cosim":  # runs as one step, or inside the HDL simulator
        assert not ours & {"model", "sim", "hw"}


@pytest.mark.parametrize(
    "statement",
    [
        "from xnoreplay.flow import cli, pipeline, estimate, report",
        "from xnoreplay.sim import run",
        "from xnoreplay.hw import verilog",
        "from xnoreplay.spec import plan, reference, bundle, learning",
    ],
)
def test_no_torch_behind_estimating_simulating_and_generating(statement):
    """In a process of its own, where nothing else has imported it."""
    code = f"import sys; sys.modules['torch'] = None; {statement}; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr
