r"""Verilog that is not ours: what reaches out of its simulation is refused, however it is written."""

import re

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.verify.cosim import read_verilog, trust
from xnoreplay.spec.errors import SpecError

HOLD = "module xnoreplay; initial begin\n{}\nend endmodule\n"

EVASIONS = {
    "plain": '$system("x");',
    "no space": 'a=1;$system("x");',
    "file": 'f = $fopen("/tmp/x");',
    "write": '$fwrite(f, "x");',
    "memory": '$readmemh("/etc/passwd", m);',
    "dump": '$dumpfile("x");',
    "c": '$c("x");',
    "escaped": '\\$system ("x");',
    "escaped, not last": 'a = \\$fopen ("x");',
    "after a comment": '/* $signed */ $system("x");',
    "after a line comment": '// " \n$system("x");',
    "between strings": '$display("a"); $system("b");',
    "after an escaped quote": '$display("a\\"", $system("b"));',
    "after an escaped name with a quote": '\\a" $system("b"); // "',
    "after an escaped name with a comment": '\\a/* $system("b"); // */',
    "a string across lines": '$display("a\\\n"); $system("b"); //");',
    "triple quotes": '$display("""a" """); $system("b"); // ");',
    "triple quotes around an import": '"""a" """ import "DPI-C" function int system(string s); //"',
    "a string that ends a skipped part": '`ifdef X\n"`endif $system("touch x"); // "\n`endif',
    "defined": '`define S $system\n`S("x");',
    "pasted": '`define S(a) $``a\n`S(system)("x");',
    "pasted to a harmless one": '`define S(a) $write/**/a\n`S(memh)("x", m);',
    "a sign alone": '`define S(a) $ a\n`S(system)("x");',
    "a comment that a macro does not have": '`define A /*\n$system("x");\n// */',
    "a continued comment": '// a \\\n$display("b");',
    "a continued macro": '`define A \\\n $system\n`A("x");',
    "include": '`include "/etc/passwd"',
    "include as a macro's body": '`define I `include "/etc/passwd"\n`I',
    "c++ of Verilator": "`systemc_implementation\nint x = system(0);\n`verilog",
    "c++ behind a macro's name": "`define systemc_header 1\n`systemc_header\nint x;",
    "control file": "`verilator_config",
    "undefined macro": "`PRINTF",
    "import": 'import "DPI-C" function int system(string s);',
    "import in two lines": 'import\n"DPI-C" function int system(string s);',
    "import with a comment": 'import /* a */ "DPI-C" function int system(string s);',
    "import of a macro": '`define D import\n`D "DPI-C" function int system(string s);',
    "export": 'export "DPI-C" function f;',
    "comment without an end": "/* $signed",
    "carriage return": '// a\r$system("x");',
    "form feed in a name": '\\a\x0c$system("x");',
    "zero byte": "a\0b",
}

HARMLESS = {
    "comment": "// $system in words, and `include\n/* $fopen */",
    "string": '$display("a // b /* %d", 1);',
    "escape": '$display("a\\n\\t\\"\\\\");',
    "signed": "a = $signed(b) + $clog2(c) + $unsigned(d);",
    "names of yosys": "\\$auto$verilog_backend.cc:2355:dump_module$4 = \\$1 + \\$signal$3 + \\$signal + \\nodes.1 ;",
    "names with a sign": "sum$1 = a$23 + b;",
    "macro": "`define W 8 // bits\n`ifdef W\na = `W'd3;\n`endif",
    "macro in two lines": "`define MAX(a, b) \\\n  ((a) > (b) ? (a) : (b))\nx = `MAX(1, 2);",
    "import of a package": "import types::*;",
    "a dollar in a comment": "(* keep *) /* 5 $ */",
}


@pytest.mark.parametrize("text", EVASIONS.values(), ids=EVASIONS)
def test_what_reaches_out_is_refused(text):
    with pytest.raises(
        SpecError, match=r"^FILE must not reach out of its simulation, but line \d+ has .*--trust"
    ):
        trust.check(HOLD.format(text), "FILE")


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_does_not_reach_out_passes(text):
    trust.check(HOLD.format(text), "FILE")


def test_the_line_is_named():
    with pytest.raises(SpecError, match=re.escape("but line 3 has $fopen;")):
        trust.check('a\n/* b\n*/ $fopen("x")', "FILE")


def test_no_harmless_task_begins_one_that_is_not():
    """A macro could append the rest of a name."""
    others = {
        "$system",
        "$fopen",
        "$fwrite",
        "$fdisplay",
        "$readmemh",
        "$readmemb",
        "$writememh",
        "$sformat",
        "$sreadmemh",
        "$dumpfile",
        "$dumpvars",
        "$fmonitor",
        "$fstrobe",
        "$sdf_annotate",
        "$value$plusargs",
        "$test$plusargs",
        "$cpure",
        "$c",
        "$fread",
        "$fscanf",
        "$swrite",
        "$monitor",
        "$save",
        "$restart",
    }
    assert not [(a, b) for a in trust.HARMLESS for b in others if b.startswith(a)]


def test_a_file_is_read_where_it_is_trusted(tmp_path):
    path = tmp_path / "chip.v"
    path.write_text(HOLD.format('$system("false");'))
    with pytest.raises(SpecError, match=re.escape(f"{path} must not reach out")):
        read_verilog(path)
    assert read_verilog(path, trust=True) == path.read_text()


def test_the_command_refuses_before_it_does_anything(tmp_path, capsys):
    path, out = tmp_path / "chip.v", tmp_path / "run"
    path.write_text(HOLD.format('$fopen("x");'))
    arguments = [
        "cosim",
        "--preset",
        "tiny",
        "--untrained",
        "--out",
        str(out),
        "--verilog",
        str(path),
    ]
    assert cli.main(arguments) == cli.BAD_INPUT
    assert "line 2 has $fopen; add --trust" in capsys.readouterr().err
    assert not out.exists()
