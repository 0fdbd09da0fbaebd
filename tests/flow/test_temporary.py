"""Temporary folders: removed when their owner is dead, and never otherwise."""

import json
import os
import subprocess
import sys

import pytest

from xnoreplay.flow.run import temporary

ENDED = subprocess.Popen([sys.executable, "-c", ""])
ENDED.wait()


def made(parent, name="xnoreplay-1-x", text=None, **owner):
    """A folder as a dead process leaves it, but for what `owner` or `text` changes."""
    folder = parent / name
    (folder / "inside").mkdir(parents=True)
    (folder / "inside" / "file").write_text("x")
    tree = {"mark": temporary.MARK, "pid": ENDED.pid, "started": None} | owner
    (folder / temporary.OWNER).write_text(json.dumps(tree) if text is None else text)
    return folder


def test_what_a_dead_process_left_is_removed(tmp_path):
    left = made(tmp_path)
    reused = made(tmp_path, "xnoreplay-2-x", pid=os.getpid(), started="another boot 12")
    assert temporary.sweep(tmp_path) == [left, reused]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given",
    [
        {"pid": os.getpid()},
        {"pid": os.getpid(), "started": temporary.started(os.getpid())},
        {"mark": "something else"},
        {"text": ""},
        {"text": "[" * 100_000},
        {"text": '{"mark": 1}'},
        {"pid": "x"},
        {"name": "xnoreplayed"},
        {"name": "another-1"},
    ],
)
def test_what_lives_or_is_not_ours_is_kept(tmp_path, given):
    left = made(tmp_path, **given)
    assert temporary.sweep(tmp_path) == []
    assert (left / "inside" / "file").read_text() == "x"


def test_a_lock_is_enough_to_live(tmp_path):
    """Where the owner's number says nothing, as among containers."""
    left = made(tmp_path)
    code = (
        "import fcntl, sys\n"
        "f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, left / temporary.OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        holder.stdout.readline()
        assert temporary.sweep(tmp_path) == []
        holder.stdin.close()
        holder.wait()
    assert temporary.sweep(tmp_path) == [left]


def test_another_users_is_kept(tmp_path, monkeypatch):
    left = made(tmp_path)
    monkeypatch.setattr(temporary.os, "getuid", lambda: os.geteuid() + 1)
    assert temporary.sweep(tmp_path) == []
    assert left.is_dir()


def test_links_are_not_followed(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    left = made(outside)
    inside.mkdir()
    (inside / "xnoreplay-3-x").symlink_to(left)
    other = inside / "xnoreplay-4-x"
    other.mkdir()
    (other / temporary.OWNER).symlink_to(left / temporary.OWNER)
    os.mkfifo(made(inside, "xnoreplay-5-x").joinpath("fifo"))
    os.mkfifo((fifo := inside / "xnoreplay-6-x") and (fifo.mkdir() or fifo / temporary.OWNER))
    (inside / "xnoreplay-5-x" / "link").symlink_to(left / "inside")
    assert [p.name for p in temporary.sweep(inside)] == ["xnoreplay-5-x"]
    assert (left / "inside" / "file").read_text() == "x"
    assert other.is_dir()


def test_folders_are_inside_the_owners_and_go(monkeypatch, tmp_path):
    monkeypatch.setattr(temporary, "_own", None)
    monkeypatch.setattr(temporary.tempfile, "tempdir", str(tmp_path))
    with temporary.folder("work") as work:
        (root,) = tmp_path.iterdir()
        assert work.parent == root == temporary.root()
        assert temporary.environment()["TMPDIR"] == str(root)
        assert temporary.sweep(tmp_path) == [], "its owner is this process"
    assert not work.exists()
    temporary.remove()
    assert not list(tmp_path.iterdir())
