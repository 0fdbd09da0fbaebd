"""Streams that are closed, or that nobody reads: a command does its work and ends with its code."""

import shlex
import subprocess
import sys

import pytest

PROGRAM = f"{shlex.quote(sys.executable)} -c 'from xnoreplay.flow.entry import entry; entry()'"
CLOSED = ["2>&-", "0<&- >&- 2>&-", "2</dev/null"]
COMMANDS = {
    "export --preset tiny --untrained --out run": 0,
    "export --preset nope --out run": 1,
}


def shell(command, folder):
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout.split()[-1], done.stdout + done.stderr


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("closed", CLOSED)
def test_closed_streams_change_no_code(tmp_path, command, closed):
    code, told = shell(f"({PROGRAM} {command}) {closed}; echo $?", tmp_path)
    assert int(code) == COMMANDS[command]
    assert "Traceback" not in told
    assert (tmp_path / "run" / "export" / "step.json").is_file() == ("untrained" in command)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("pipe", ["| head -1", "2>&1 | true"])
def test_a_pipe_that_nobody_reads_changes_no_code(tmp_path, command, pipe):
    code, told = shell(f"({PROGRAM} {command}) {pipe}; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert int(code) == COMMANDS[command]
    assert "Traceback" not in told
    assert (tmp_path / "run" / "export" / "step.json").is_file() == ("untrained" in command)
