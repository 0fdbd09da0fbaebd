"""Ctrl-C and SIGTERM: one sentence, code 130, nothing half-written, in every command and at any time."""

import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.flow.test_processes import SLOW, gone, number
from xnoreplay.flow.run import interrupts
from xnoreplay.flow.verify.cosim import session

TOLD = f"error: {interrupts.STOPPED}"


def command(code: str, *arguments: str) -> list[str]:
    """The command line, in an interpreter that runs some code first."""
    text = f"import sys\nsys.argv[1:] = {list(arguments)!r}\n{code}\nfrom xnoreplay.__main__ import entry\nentry()"
    return [sys.executable, "-c", text]


def ended(arguments: list[str]) -> tuple[int, list[str]]:
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stderr.splitlines()


AT_IMPORT = """\
import os, signal
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name
)
@pytest.mark.parametrize(
    "module", ["typer", "xnoreplay.spec.presets", "xnoreplay.flow.cost.session_cost"]
)
def test_while_packages_are_imported(module, number):
    code = AT_IMPORT.format(module=module, number=int(number))
    assert ended(command(code, "estimate", "--preset", "tiny")) == (130, [TOLD])


def test_after_the_command_has_ended():
    code = (
        "import atexit, os, signal\natexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))"
    )
    assert ended(command(code, "version")) == (130, [TOLD])


IN_COMMAND = """\
import os, signal, time
from xnoreplay.flow.commands import doctor
def examine():
{body}
doctor.examine = examine
"""
SWALLOWED = """\
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except BaseException:
        pass
"""


@pytest.mark.parametrize(
    "rest",
    [
        "    raise ValueError('of a library')",
        "    from xnoreplay.spec.errors import ToolError; raise ToolError('x')",
        "    time.sleep(600)",
        "    return []",
    ],
    ids=["error", "sentence", "waits", "goes on"],
)
def test_an_interrupt_that_a_library_swallows(rest):
    """It is enforced in the end, and whatever comes of it is not told as an error of its own."""
    assert ended(command(IN_COMMAND.format(body=SWALLOWED + rest), "doctor")) == (130, [TOLD])


def test_a_second_interrupt_does_not_disturb_the_end():
    body = "    for _ in range(5):\n        os.kill(os.getpid(), signal.SIGINT)"
    body = f"    try:\n        os.kill(os.getpid(), signal.SIGINT)\n    finally:\n    {body.replace(chr(10), chr(10) + '    ')}"
    assert ended(command(IN_COMMAND.format(body=body), "doctor")) == (130, [TOLD])


def test_an_enforced_end_leaves_no_part_of_a_folder(tmp_path):
    body = f"""\
    from pathlib import Path
    from xnoreplay.flow.run import files
    with files.whole_folder(Path({str(tmp_path / "step")!r})) as part:
        (part / "file").write_text("x")
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except BaseException:
            time.sleep(600)
"""
    assert ended(command(IN_COMMAND.format(body=body), "doctor")) == (130, [TOLD])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number_of", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_step_with_a_slow_tool(tmp_path, number_of):
    """The tool is ended, and the run folder has nothing of the step."""
    (tmp_path / "slow.py").write_text(SLOW)
    code = f"""\
from xnoreplay.flow.chip import synth
from xnoreplay.flow.run import tools
def output(arguments, cwd, **_):
    return tools.processes.run_program([sys.executable, {str(tmp_path / "slow.py")!r}, {str(tmp_path / "pid")!r}], cwd=cwd)
tools.output = output
tools.require = lambda steps: None
"""
    out = tmp_path / "run"
    with subprocess.Popen(
        command(code, "synth", "--preset", "tiny", "--untrained", "--out", str(out)),
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        pid = number(tmp_path / "pid")
        run.send_signal(number_of)
        told = run.stderr.read().splitlines()
    assert (run.returncode, told[-1]) == (130, TOLD)
    assert gone(pid)
    assert not (out / "synth").exists()
    assert not [p for p in os.listdir(out) if "part-" in p]


def test_a_simulator_whose_folder_an_interrupt_removed_ends_in_silence(tmp_path, monkeypatch):
    """The thread that waits for it finds its log gone: no traceback of a thread beside the command's sentence."""

    def ended(*_arguments):
        raise RuntimeError("Command failed with return code: -9")

    monkeypatch.setattr(session.runners, "runner", ended)
    setup = SimpleNamespace(simulator="icarus", waves=(), build=tmp_path)
    session._simulate(setup, tmp_path / "gone", lambda _process: None)
    assert not (tmp_path / "gone").exists()
