"""Speed as a table: what is measured, and what the figures are of."""

import pytest

from xnoreplay.flow import bench
from xnoreplay.flow.progress import Silent
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.errors import XnoreplayError

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0)


def test_figures_are_of_the_work_they_name(monkeypatch):
    monkeypatch.setattr(bench, "FAST_CYCLES", 5_000)
    result = bench.run(TINY, BUNDLE, Silent(), ("fast", "functional", "session"), epochs=2)
    assert list(result["figures"]) == ["fast", "functional", "session"]
    fast = result["figures"]["fast"]
    assert fast["cycles"] == fast["images"] * PLAN.infer_cycles(TINY.scenario.classes)
    assert fast["cycles_per_second"] == pytest.approx(fast["cycles"] / fast["cpu"])
    session = result["figures"]["session"]
    batch = TINY.target.batch
    assert session["minibatches"] == 2 * -(-session["samples"] // batch)
    assert 0 < session["array_busy"] < 1
    text = bench.markdown(result)
    assert "| simulator, fast mode |" in text
    assert "peak memory" in text


def test_ratios():
    figures = {
        "step": {"cycles_per_second": 50.0}, "fast": {"cycles_per_second": 400.0},
        "bare": {"cycles_per_second": 2.0}, "functional": {"images_per_second": 30.0},
        "torch": {"images_per_second": 3.0},
    }  # fmt: skip
    assert bench.ratios(figures) == {
        "step / bare": 25, "fast / bare": 200, "functional / torch": 10
    }  # fmt: skip


def test_an_unknown_measurement_suggests_the_nearest():
    with pytest.raises(XnoreplayError, match="did you mean 'cocotb'"):
        bench.run(TINY, BUNDLE, Silent(), ("cocot",))
