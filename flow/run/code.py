"""Which files of the package decide a result: the modules that compute it, and all that these import.

A step is repeated when one of the files changes, see `flow.run.step`.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import xnoreplay

PACKAGE = Path(xnoreplay.__file__).parent
RUN = Path(__file__).parent
KEPT = ("verilate.py",)
"""Files of this folder that decide results. All others say how a result is computed, shown and stored: not what
it is."""


def digest(roots: Iterable[str], but: Iterable[str] = ()) -> str:
    """Return the SHA-256 over names and contents of the files that `deciding` finds, in path order.

    Parameters
    ----------
    roots, but : iterable of str
        As of `deciding`.
    """
    h = hashlib.sha256()
    for name in deciding(roots, but):
        h.update(f"{name}\n".encode())
        h.update((PACKAGE / name).read_bytes())
    return h.hexdigest()


def deciding(roots: Iterable[str], but: Iterable[str] = ()) -> list[str]:
    """Find the files that decide what the roots compute.

    Parameters
    ----------
    roots : iterable of str
        Paths below the package. A module stands for itself, for every module of the package that it imports directly or
        through others, inside functions too, and for the files of other kinds in their folders (tables, C++). A folder
        stands for every file in it.
    but : iterable of str
        Modules that are not followed.

    Returns
    -------
    list of str
        Paths below the package, sorted.
    """
    found: set[str] = set()
    left = []
    for root in roots:
        path = PACKAGE / root
        if path.is_dir():
            found |= {
                _name(p) for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts
            }
        else:
            left.append(root)
    seen = set(but)
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        path = PACKAGE / name
        if path.parent == RUN and path.name not in KEPT:
            continue
        names, says = _imports(path)
        left += names
        if says:
            found.add(name)
            found |= {_name(p) for p in path.parent.iterdir() if p.is_file() and p.suffix != ".py"}
    return sorted(found)


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def _imports(path: Path) -> tuple[tuple[str, ...], bool]:
    """List the files of the package that a module imports, and tell whether the module has more than a docstring."""
    tree = ast.parse(path.read_bytes())
    names = {name for module in _modules(tree) for name in _files(module)}
    return tuple(sorted(names)), len(tree.body) > (ast.get_docstring(tree) is not None)


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(module: str) -> Iterator[str]:
    root, *parts = module.split(".")
    if root == PACKAGE.name and parts:
        for path in (
            PACKAGE.joinpath(*parts).with_suffix(".py"),
            PACKAGE.joinpath(*parts, "__init__.py"),
        ):
            if path.is_file():
                yield _name(path)
