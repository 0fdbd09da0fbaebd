"""Notes of kernels that are in the cache."""

import json
from pathlib import Path

import numpy as np
import pytest

from xnoreplay.sim.common import ahead, sources
from xnoreplay.sim.common.jit import COMPILED, part
from xnoreplay.sim.fast import arithmetic
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")


@pytest.fixture
def noted(monkeypatch, tmp_path):
    """A note of some work, in a folder of its own."""
    monkeypatch.setattr(ahead, "BESIDE", tmp_path)
    tiny = presets.load("tiny")
    chip = Simulator(plans.compile(tiny.network, tiny.target), bundles.random(tiny.network, 0))
    chip.infer(np.zeros(tiny.network.image_shape, np.uint8))
    assert not ahead.is_noted("an image")
    ahead.note("an image")
    assert ahead.is_noted("an image")
    assert not ahead.is_noted("a session")
    (path,) = tmp_path.rglob("*.json")
    return path


@pytest.mark.parametrize("damage", ["", "[1", "3", '["/nowhere"]'])
def test_a_note_is_believed_where_it_is_whole_and_its_files_are_there(noted, damage):
    noted.write_text(damage)
    assert not ahead.is_noted("an image")


def test_a_note_names_files(noted):
    names = [Path(name).name for name in json.loads(noted.read_text())]
    assert any(name.startswith("conv_phase-") for name in names)


@pytest.mark.usefixtures("noted")
def test_an_edit_of_any_kernel_makes_a_note_void(monkeypatch):
    @part
    def another(*_given):
        return 0

    monkeypatch.setattr(arithmetic, "pair_sum", another)
    sources._own.cache_clear()
    assert not ahead.is_noted("an image")
    monkeypatch.undo()
    sources._own.cache_clear()
