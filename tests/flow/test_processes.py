"""Children: they end by themselves, with an error, with an interrupt, and with a parent that is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from xnoreplay.flow.run import processes
from xnoreplay.spec.errors import ToolError

SLOW = """\
import os, subprocess, sys, time
if sys.argv[2:]:  # a tool that begins another one, and does not end when asked to
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    other = {k: v for k, v in os.environ.items() if k != "XNOREPLAY_WORK"}
    subprocess.Popen([sys.executable, __file__, sys.argv[1] + "-inner"], env=other)
with open(sys.argv[1] + ".part", "w") as f:
    f.write(str(os.getpid()))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""


@pytest.fixture
def slow(tmp_path):
    """Command of a tool of ten minutes that leaves its number in a file `pid`."""
    (tmp_path / "slow.py").write_text(SLOW)
    return [sys.executable, str(tmp_path / "slow.py"), str(tmp_path / "pid")]


def number(path) -> int:
    """What a tool wrote, once it is there."""
    for _ in range(3000):
        if path.exists():
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError(f"{path} must be written, but is not")


def gone(pid: int) -> bool:
    """Whether a process ends; one that nobody has waited for counts as ended."""
    for _ in range(1500):
        try:
            with open(f"/proc/{pid}/stat") as f:
                if f.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_a_command_that_ends():
    done = processes.run_program(["sh", "-c", "echo out; echo bad >&2; printf '\\377' >&2; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "bad\n\ufffd")
    assert not processes._alive


def test_a_child_cannot_read_and_has_its_own_temporary_folder():
    done = processes.run_program(["sh", "-c", "cat; echo $TMPDIR"])
    assert done.stdout.strip() == str(processes.temporary.root())


def test_whoever_looks_is_asked_until_the_end(monkeypatch):
    monkeypatch.setattr(processes, "LOOK", 0.02)
    looked = []
    processes.run_program(["sleep", "0.3"], look=lambda: looked.append(1))
    assert looked


def test_an_error_ends_the_child_and_what_it_began(slow, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "LOOK", 0.02)

    def look():
        if (tmp_path / "pid").exists() and (tmp_path / "pid-inner").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        processes.run_program([*slow, "stubborn"], look=look)
    assert gone(number(tmp_path / "pid"))
    assert gone(number(tmp_path / "pid-inner"))
    assert not processes._alive


def test_what_waits_in_a_pool_never_begins(slow, tmp_path):
    begun = []

    def job(n):
        begun.append(n)
        return processes.run_program([*slow[:2], tmp_path / str(n)])

    with pytest.raises(ToolError), processes.pool(2) as pool:  # noqa: PT012
        for n in range(10):
            pool.submit(job, n)
        pids = [number(tmp_path / "0"), number(tmp_path / "1")]
        raise ToolError("one failed")
    assert all(map(gone, pids))
    assert len(begun) == 2


def test_a_parent_that_is_killed_takes_its_children_along(slow, tmp_path):
    """Those of `processes`, with what they began, and those that a library began."""
    code = f"""\
import subprocess
from xnoreplay.flow.run import processes, temporary
temporary.redirect_temporary_files()
processes.watch()
print(temporary.root(), flush=True)
subprocess.Popen({[*slow[:2], str(tmp_path / "other")]!r})
processes.run_program({[*slow, "stubborn"]!r})
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        root = parent.stdout.readline().strip()
        pids = [number(tmp_path / name) for name in ("pid", "pid-inner", "other")]
        assert os.path.isdir(root)
        parent.send_signal(signal.SIGKILL)
    assert all(map(gone, pids))
    for _ in range(500):
        if not os.path.exists(root):
            break
        time.sleep(0.02)
    assert not os.path.exists(root)


def test_a_worker_of_multiprocessing_ends_with_its_parent(tmp_path):
    (tmp_path / "killed.py").write_text(f"""\
import multiprocessing, os, time
from xnoreplay.flow.run import processes

def work():
    processes.die_with_parent()
    with open({str(tmp_path / "part")!r}, "w") as f:
        f.write(str(os.getpid()))
    os.rename({str(tmp_path / "part")!r}, {str(tmp_path / "pid")!r})
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=work).start()
    time.sleep(600)
""")
    with subprocess.Popen([sys.executable, str(tmp_path / "killed.py")]) as parent:
        pid = number(tmp_path / "pid")
        parent.send_signal(signal.SIGKILL)
    assert gone(pid)


def test_children_begun_deaf_do_not_see_ctrl_c():
    with processes.without_sigint():
        child = subprocess.Popen(
            [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(600)"],
            stdout=subprocess.PIPE,
        )
    with child:
        child.stdout.readline()
        child.send_signal(signal.SIGINT)
        child.send_signal(signal.SIGTERM)
    assert child.returncode == -signal.SIGTERM
