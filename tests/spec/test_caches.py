"""Caches: whole, damaged, read-only, of another version, or nowhere."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from xnoreplay.spec import caches

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


def fresh(folder: Path, stamp: str = "0" * 20):
    """A small function, as a new process would compile or find it."""

    def double(x):
        return 2 * x

    compiled = numba.njit(double)
    compiled._cache = caches.KernelCache(
        double, lambda _signature: stamp, dumps, CompileResult._rebuild, str(folder)
    )
    return compiled


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No cache of this machine's user."""
    monkeypatch.setattr(caches, "_chosen", {})
    monkeypatch.setenv(caches.CACHE, str(tmp_path / "user"))
    monkeypatch.delenv(caches.TEMPORARY, raising=False)
    monkeypatch.delenv(caches.WORK, raising=False)


def hits(compiled) -> int:
    assert compiled(np.int64(21)) == 42
    return sum(compiled.stats.cache_hits.values())


def kept(folder: Path) -> Path:
    (path,) = folder.rglob("*.kernel")
    return path


def test_a_kernel_is_kept(tmp_path, capsys):
    assert hits(fresh(tmp_path)) == 0
    assert hits(fresh(tmp_path)) == 1
    assert capsys.readouterr().err == ""


def test_a_changed_source_compiles_anew(tmp_path, capsys):
    hits(fresh(tmp_path))
    assert hits(fresh(tmp_path, "1" * 20)) == 0
    assert capsys.readouterr().err == ""


DAMAGES = {
    "empty": lambda _raw: b"",
    "cut": lambda raw: raw[: len(raw) // 2],
    "longer": lambda raw: raw + b"\0",
    "another": lambda _raw: b"not a kernel" * 100,
    **{
        f"a bit at {share}": lambda raw, share=share: flipped(raw, share)
        for share in (0.0, 0.001, 0.5, 0.999)
    },
}


def flipped(raw: bytes, share: float) -> bytes:
    place = int(share * len(raw))
    return raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_kernel_is_compiled_anew(tmp_path, capsys, damage):
    hits(fresh(tmp_path))
    path = kept(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert hits(fresh(tmp_path)) == 0
    assert (
        f"note: the compiled kernel {path} is damaged; it is compiled anew"
        in capsys.readouterr().err
    )
    assert hits(fresh(tmp_path)) == 1, "the damaged one must have been replaced"


def test_a_folder_in_the_place_of_a_kernel(tmp_path, capsys):
    hits(fresh(tmp_path))
    path = kept(tmp_path)
    path.unlink()
    path.mkdir()
    assert hits(fresh(tmp_path)) == 0
    assert "cannot be read" in capsys.readouterr().err


def test_a_file_in_the_place_of_the_folder(tmp_path, capsys):
    """The user's cache is the next place."""
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    assert hits(fresh(nowhere)) == 0
    assert kept(tmp_path / "user")
    assert hits(fresh(nowhere)) == 1
    assert capsys.readouterr().err == ""


def test_where_nothing_can_be_written_a_temporary_folder_is_used(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(caches.CACHE, "/proc/nonexistent")
    monkeypatch.setattr(caches.tempfile, "tempdir", str(tmp_path))
    nowhere = Path("/proc/nonexistent/x")
    assert hits(fresh(nowhere)) == 0
    told = capsys.readouterr().err
    assert told.startswith(
        "note: /proc/nonexistent/kernels cannot be written (No such file or directory); "
    )
    assert told.count("\n") == 1
    assert hits(fresh(nowhere)) == 1
    assert capsys.readouterr().err == ""


def test_what_does_not_carry_our_mark_stays(tmp_path):
    """Of a function's kernels those that were used last stay; half-written ones of dead processes go."""
    hits(fresh(tmp_path))
    folder = kept(tmp_path).parent
    mine = [folder / name for name in ("double-mine.kernel", "triple-" + "0" * 20 + ".kernel")]
    old, new = folder / ".double.part-old", folder / ".double.part-new"
    for path in (*mine, old, new):
        path.write_text("")
    for path in (*mine, old):
        os.utime(path, (0, 0))
    first = kept_of_double(folder)
    for i in range(caches.KERNEL_VERSIONS + 2):
        for path in kept_of_double(folder):
            os.utime(path, (i, i) if path not in first else (1000, 1000))
        hits(fresh(tmp_path, f"{i}"))
    assert all(path.exists() for path in (*mine, new, *first))
    assert not old.exists()
    assert len(kept_of_double(folder)) == caches.KERNEL_VERSIONS


def kept_of_double(folder: Path) -> list[Path]:
    return [p for p in folder.glob("*.kernel") if "double" in p.name and "mine" not in p.name]


def test_a_use_keeps_a_kernel(tmp_path):
    hits(fresh(tmp_path))
    path = kept(tmp_path)
    os.utime(path, (1, 1))
    assert hits(fresh(tmp_path)) == 1
    assert path.stat().st_mtime > 1


PROGRAM = """
import sys
from xnoreplay.spec import caches
print(caches.writable("cosim"))
print(caches.writable("kernels"))
"""


@pytest.mark.parametrize("home", ["/proc/nonexistent", "/dev/null", ""])
def test_a_home_that_cannot_be_written(tmp_path, home):
    """The temporary cache goes when its process ends."""
    env = {"PATH": os.environ["PATH"], "HOME": home, "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": ""}
    env |= {"PYTHONPATH": str(Path(caches.__file__).parents[2])}
    if not home:
        env |= {caches.CACHE: "/proc/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("note: ") == 1
    assert all(line.startswith(f"{tmp_path}/{caches.PREFIX}") for line in done.stdout.splitlines())
    assert not list(tmp_path.iterdir())


def test_the_temporary_cache_lies_in_the_command_s_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(caches.WORK, str(tmp_path))
    made = caches.temporary()
    assert made.parent == tmp_path
    assert caches.temporary() == made
    assert os.environ.pop(caches.TEMPORARY) == str(made)
