"""What a kernel is made of, and that an edit of it is seen."""

import sys
from types import ModuleType

import pytest
from numba.core.dispatcher import Dispatcher

import xnoreplay.sim.run  # noqa: F401  whose modules have the kernels
from xnoreplay.sim.common import sources
from xnoreplay.sim.common.jit import COMPILED, part
from xnoreplay.sim.fast import arithmetic
from xnoreplay.sim.step import conv

TEXT = """
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.jit import kernel, part

LIMIT = 3
TABLE = np.array([1, 2, 3])


class Flop(IntEnum):
    K = 0
    DONE = 1


class Pair(NamedTuple):
    first: int
    second: int


@part
def helper(x):
    \"\"\"Words.\"\"\"
    return x + 1


@part
def caller(x):
    return 2 * helper(x)


@kernel
def calls(x):
    return caller(x)


@kernel
def names(x):
    return x + LIMIT + Flop.DONE


@kernel
def looks(x):
    return TABLE[x]


@kernel
def takes(pair):
    return pair.first - 2 * pair.second
"""
KERNELS = ("calls", "names", "looks", "takes")
EDITS = {
    ("x + 1", "x + 2"): {"calls"},
    ("Words", "Other words"): set(),
    ("LIMIT = 3", "# a limit\nLIMIT = 3"): set(),
    ("LIMIT = 3", "LIMIT = 4"): {"names"},
    ("DONE = 1", "DONE = 2"): {"names"},
    ("K = 0", "K = 5"): set(),
    ("2, 3]", "2, 4]"): {"looks"},
    ("2 * pair", "3 * pair"): {"takes"},
}


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Import a text as a new process would, as the same module from the same file."""

    def load(text: str) -> ModuleType:
        path = tmp_path / "edited.py"
        path.write_text(text)
        module = ModuleType("edited")
        monkeypatch.setitem(sys.modules, "edited", module)
        exec(compile(text, path, "exec"), vars(module))  # a file of bytecode could be older
        return module

    return load


def digests(module: ModuleType) -> dict[str, str]:
    return {name: digest(getattr(module, name)) for name in KERNELS}


def digest(compiled) -> str:
    return sources.digest(getattr(compiled, "py_func", compiled))


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_an_edit_changes_what_it_touches_and_what_calls_that(loaded, edit):
    before, after = digests(loaded(TEXT)), digests(loaded(TEXT.replace(*edit, 1)))
    assert {name for name in KERNELS if before[name] != after[name]} == EDITS[edit]


@pytest.mark.skipif(not COMPILED, reason="nothing is kept")
def test_an_edit_of_a_helper_is_seen(loaded):
    def carried_out(text: str) -> tuple[int, int, int]:
        """What both kernels return, and how many of them were found compiled."""
        module = loaded(text)
        given = module.calls(3), module.takes(module.Pair(5, 1))
        hits = [sum(getattr(module, name).stats.cache_hits.values()) for name in ("calls", "takes")]
        return *given, sum(hits)

    assert carried_out(TEXT) == (8, 3, 0)
    assert carried_out(TEXT) == (8, 3, 2)
    assert carried_out(TEXT.replace("x + 1", "x + 2")) == (10, 3, 1)
    swapped = TEXT.replace("first: int\n    second: int", "second: int\n    first: int")
    assert carried_out(swapped) == (8, -9, 1), "the fields of a named tuple have changed places"
    assert carried_out(TEXT) == (8, 3, 2)


def test_what_is_not_known_is_refused(loaded):
    module = loaded(TEXT.replace("LIMIT = 3", "LIMIT = {1: 2}"))
    with pytest.raises(TypeError, match="LIMIT of a kernel must be a number"):
        digest(module.names)


def kernels() -> dict[str, Dispatcher]:
    """The kernels of the simulator by name."""
    return {
        f"{module.__name__}.{name}": value
        for module in list(sys.modules.values())
        if module.__name__.startswith("xnoreplay.sim.")
        for name, value in vars(module).items()
        if isinstance(value, Dispatcher) and hasattr(value._cache, "depends")
        if value.py_func.__module__ == module.__name__
    }


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_every_kernel_of_the_simulator_has_a_digest_of_its_own():
    found = {name: digest(value) for name, value in kernels().items()}
    assert len(found) > 30
    assert len(set(found.values())) == len(found)


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@pytest.mark.parametrize(
    ("module", "edited", "touched"),
    [(conv, "_result", {"run_image"}), (arithmetic, "pair_sum", {"binarise", "update"})],
    ids=["step", "fast"],
)
def test_a_part_of_the_simulator_is_of_its_kernels(monkeypatch, module, edited, touched):
    @part
    def another(*_given):
        return 0

    before = {name: digest(value) for name, value in kernels().items()}
    monkeypatch.setattr(module, edited, another)
    sources._own.cache_clear()
    changed = {
        name.rpartition(".")[2]
        for name, value in kernels().items()
        if digest(value) != before[name]
    }
    sources._own.cache_clear()
    assert changed == touched
