"""A run that is killed or interrupted at any operation on a file leaves what a second run makes whole."""

import os
import random
import signal
import sys

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.run import files
from xnoreplay.flow.run.records import RECORD

EVENTS = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "shutil.rmtree",
    "os.listdir",
}
COMMAND = ["cil", "--preset", "tiny", "--untrained", "--seeds", "1"]
KILLS = 12


def child(folder, number: int, at: int) -> int:
    """Run the command in a process of its own that sends itself a signal at the event number `at` of files below `folder`.

    Returns
    -------
    int
        What `os.waitstatus_to_exitcode` says of it: minus the signal's number where that killed it.
    """
    process = os.fork()
    if process == 0:
        seen = 0

        def hook(event, arguments):
            nonlocal seen
            if event in EVENTS and str(folder) in str(arguments[:2]):
                seen += 1
                if seen == at:
                    os.kill(os.getpid(), number)

        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.addaudithook(hook)
        os._exit(cli.main([*COMMAND, "--out", str(folder)]))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def content(folder) -> dict[str, str]:
    """Digests of what a run made, by path; records have times."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != RECORD)
    return {str(p.relative_to(folder)): files.file_digest(p) for p in found}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert cli.main([*COMMAND, "--out", str(folder)]) == 0
    return content(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda n: n.name)
def test_at_any_operation_on_a_file(tmp_path, whole, number):
    rng, hit = random.Random(number), 0
    for n in range(KILLS):
        folder = tmp_path / str(n) / "run"
        code = child(folder, number, rng.randrange(1, 60))
        hit += code != 0
        assert code in (0, -number, cli.INTERRUPTED)
        assert cli.main([*COMMAND, "--out", str(folder)]) == 0
        assert content(folder) == whole
    assert hit >= KILLS // 2
