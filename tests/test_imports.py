"""Who may import whom, and what must run without PyTorch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.imports import modules

ROOT = Path(__file__).parent.parent / "xnoreplay"
ARROWS: dict[str, set[str]] = {
    "spec": set(),
    "model": {"spec"},
    "sim": {"spec"},
    "hw": {"spec"},
    "host": {"spec", "sim"},
    "flow": {"spec", "model", "sim", "hw", "host"},
}
ROOMS: dict[str, set[str]] = {
    "spec": set(),
    "hw/parts": set(),
    "hw/host": {"hw/parts"},
    "hw/inference": {"hw/parts"},
    "hw/learning": {"hw/parts", "hw/host", "hw/inference"},
    "hw": {"hw/parts", "hw/host", "hw/inference", "hw/learning"},
    "sim/common": set(),
    "sim/fast": {"sim/common"},
    "sim/functional": {"sim/common"},
    "sim/step": {"sim/common", "sim/fast"},
    "sim": {"sim/common", "sim/fast", "sim/functional", "sim/step"},
    "host": set(),
    "model/network": set(),
    "model/training": {"model/network"},
    "model": {"model/network", "model/training"},
    "flow/run": set(),
    "flow/output": set(),
    "flow/datasets": {"flow/run"},
    "flow/learning": {"flow/run", "flow/output", "flow/datasets"},
    "flow/learning/paper": {"flow/run", "flow/output", "flow/datasets", "flow/learning"},
    "flow/cost/tables": set(),
    "flow/cost": {"flow/run", "flow/output", "flow/datasets", "flow/learning", "flow/cost/tables"},
    "flow/cost/cells": {"flow/run", "flow/output", "flow/cost", "flow/cost/tables"},
    "flow/chip": {"flow/run", "flow/cost/cells"},
    "flow/verify": {"flow/run", "flow/datasets"},
    "flow/board": {
        "flow/run",
        "flow/datasets",
        "flow/chip",
        "flow/verify",
        "flow/verify/cosim",
    },
    "flow/verify/cosim/waves": {"flow/run"},
    "flow/verify/cosim": {
        "flow/run",
        "flow/datasets",
        "flow/chip",
        "flow/verify",
        "flow/verify/cosim/waves",
    },
    "flow/verify/cosim/bench": {"flow/run", "flow/verify/cosim"},
    "flow/verify/mutation": {
        "flow/run",
        "flow/datasets",
        "flow/cost",
        "flow/chip",
        "flow/verify/cosim",
        "flow/verify/cosim/bench",
        "flow/verify/prove",
    },
    "flow/verify/prove": {
        "flow/run",
        "flow/chip",
        "flow/cost/cells",
    },
    "flow/explore": {
        "flow/run",
        "flow/output",
        "flow/datasets",
        "flow/learning",
        "flow/cost",
        "flow/cost/tables",
    },
    "flow/upset": {
        "flow/run",
        "flow/output",
        "flow/datasets",
        "flow/learning",
        "flow/cost",
        "flow/explore",
        "flow/verify",
        "flow/verify/cosim",
    },
    "flow/speed": {
        "flow/run",
        "flow/output",
        "flow/datasets",
        "flow/cost",
        "flow/verify",
        "flow/verify/cosim",
    },
    "flow/report": {
        "flow/run",
        "flow/output",
        "flow/datasets",
        "flow/cost",
        "flow/chip",
        "flow/verify",
        "flow/verify/mutation",
        "flow/verify/prove",
        "flow/explore",
        "flow/upset",
    },
}
"""Folders that a folder may import, of its own package. Those of `flow` that join all others are `JOINING`."""
JOINING = ("flow", "flow/pipeline", "flow/commands")
TORCH_FREE = ("spec", "sim", "hw", "host", "flow")


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


def files() -> dict[str, Path]:
    """Every module of ours by its dotted name, with its path below the package."""
    found = [path.relative_to(ROOT) for package in ARROWS for path in sources(package)]
    return {
        ".".join(("xnoreplay", *p.with_suffix("").parts)).removesuffix(".__init__"): p
        for p in found
    }


def run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a syntax tree that are run: not what stands below `if TYPE_CHECKING`, for the reader of types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from run_nodes(node)


@cache
def arrows() -> dict[Path, set[Path]]:
    """The files of ours that each file imports, inside functions too.

    `from package import module` is an arrow to the module, not to its package.
    """
    known, found = files(), {}
    for path in known.values():
        nodes = run_nodes(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        names = set()
        for node in nodes:
            if isinstance(node, ast.ImportFrom):
                full = {alias: f"{node.module}.{alias.name}" for alias in node.names}
                names |= {full[a] if full[a] in known else str(node.module) for a in node.names}
            elif isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
        found[path] = {known[n] for n in names if n in known} - {path}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_arrows_between_folders(room):
    package = room.split("/")[0]
    seen = {
        other.parent.as_posix()
        for path, others in arrows().items()
        if path.parent.as_posix() == room
        for other in others
    }
    assert {s for s in seen if s.split("/")[0] == package} <= ROOMS[room] | {room}


def test_every_folder_has_its_arrows_here():
    folders = {p.parent.as_posix() for p in files().values()}
    assert folders == {*ROOMS, *JOINING}


def in_circles(graph: dict) -> set:
    """What remains of a graph when everything that leads only to what is taken away is taken away, again and again."""
    left = {node: set(others) - {node} for node, others in graph.items()}
    while free := [node for node, others in left.items() if not others & left.keys()]:
        for node in free:
            del left[node]
    return set(left)


def test_no_circle_between_folders():
    graph: dict[str, set[str]] = {}
    for path, others in arrows().items():
        graph.setdefault(path.parent.as_posix(), set()).update(o.parent.as_posix() for o in others)
    assert in_circles(graph) == set()
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {"a", "b", "c"}


def test_no_circle_between_files():
    """A package's `__init__` counts where a name is taken from it, not where it stands above a module."""
    assert in_circles(arrows()) == set()


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
    if "cosim" not in source.parts:  # runs as one step, or inside the HDL simulator
        assert not ours & {"model", "sim", "hw"}


@pytest.mark.parametrize(
    "statement",
    [
        "from xnoreplay.flow import api, cli; from xnoreplay.flow.pipeline import steps; from xnoreplay.flow.cost import estimate; from xnoreplay.flow.report import page",
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
