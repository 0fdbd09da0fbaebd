"""The cache of compiled simulations: whole or built anew, read-only, raced, interrupted. No compiler runs."""

import os
import re
import threading
from pathlib import Path

import pytest

from xnoreplay.flow.run import locks, verilate
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.verilate import DIGESTS, TOP, Verilate
from xnoreplay.spec import caches
from xnoreplay.spec.errors import ToolError

pytestmark = pytest.mark.usefixtures("fake")


class Notes(Silent):
    """Progress that remembers its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Tools:
    """Stands in for Verilator and g++: writes what they would, and notes what is compiled and linked."""

    def __init__(self) -> None:
        self.linked = 0
        self.failure: BaseException | None = None
        self.before_link = lambda: None
        self.generated = {"Vtop.cpp": 9}  # bytes of each file that Verilator writes
        self.compiled: list[tuple[str, str, list[str]]] = []  # name, option, files included
        self.included: list[list[Path]] = []  # arguments of the compiler that name headers

    def execute(self, arguments, _env, cwd=None) -> str:
        words = [str(a) for a in arguments]
        if "--version" in words:
            return f"{words[0]} 1.0\n"
        if words[0] == "verilator":
            for name, size in self.generated.items():
                (cwd / name).write_text("/" * size)
        elif "-c" in words:
            if "-include" in words:
                self.included.append([Path(w) for w in words])
            source = Path(words[words.index("-c") + 1])
            text = (cwd / source).read_text()
            option = words[words.index("-c") - 1]
            self.compiled.append((source.stem, option, re.findall('#include "(.*)"', text)))
            (cwd / words[-1]).write_text(f"object {words[-1]}")
        else:
            self.before_link()
            if self.failure:
                raise self.failure
            self.linked += 1
            (cwd / TOP).write_text("program")
            (cwd / TOP).chmod(0o755)
        return ""


@pytest.fixture
def fake(monkeypatch, tmp_path):
    made = Tools()
    monkeypatch.setattr(verilate, "execute", made.execute)
    root = tmp_path / "verilator"
    (root / "include").mkdir(parents=True)
    for name in (*verilate.RUNTIME, *verilate.TRACER):
        (root / "include" / f"{name}.cpp").write_text("library")
    (tmp_path / "main.cpp").write_text("main")
    monkeypatch.setenv(caches.CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(caches.TEMPORARY, raising=False)
    monkeypatch.delenv(caches.WORK, raising=False)
    return made


def build(tmp_path, progress=None, text="module xnoreplay; endmodule", optimise="-O2"):
    made = Verilate({"VERILATOR_ROOT": str(tmp_path / "verilator")}, optimise)
    return made.build(
        text, "bare", [], "", tmp_path / "main.cpp", verilate.BARE_RUNTIME, [], progress or Silent()
    )


def test_a_build_is_kept(fake, tmp_path):
    first, second = build(tmp_path), build(tmp_path)
    assert (first.kept, second.kept, fake.linked) == (False, True, 1)
    assert first.folder == second.folder == next((tmp_path / "cache" / "cosim").glob("bare-*"))
    assert build(tmp_path, text="module xnoreplay; wire a; endmodule").folder != first.folder


def test_a_design_with_a_waveform_has_the_library_of_those_without(fake, tmp_path):
    build(tmp_path)
    assert {name for name, *_ in fake.compiled} >= set(verilate.RUNTIME)
    fake.compiled.clear()
    made = Verilate({"VERILATOR_ROOT": str(tmp_path / "verilator")}, traced=True)
    text, main = "module xnoreplay; endmodule", tmp_path / "main.cpp"
    made.build(text, "traced", [], "", main, made.names, [], Silent())
    names = {name for name, *_ in fake.compiled}
    assert names & {*verilate.RUNTIME, *verilate.TRACER} == set(verilate.TRACER)


def truncate(folder: Path) -> None:
    os.truncate(folder / TOP, 3)


def flip(folder: Path) -> None:
    raw = bytearray((folder / TOP).read_bytes())
    raw[2] ^= 1
    (folder / TOP).write_bytes(raw)


MIXED = {"Vtop.cpp": 30, "V0.cpp": 500, "V1.cpp": 400, "V2.cpp": 300, "V3.cpp": 10}
MIXED |= {"V0__Slow.cpp": 700, "V1__Slow.cpp": 600, "V2__Slow.cpp": 5}
JOINS = {  # cores, bytes that a compiler reads at most -> what it reads together
    "two cores": (2, 10_000, ["V0 V3 Vtop", "V1 V2", "V0__Slow V1__Slow V2__Slow"]),
    "one core": (1, 10_000, ["V0 V1 V2 V3 Vtop", "V0__Slow V1__Slow V2__Slow"]),
    "many cores": (9, 10_000, ["V0", "V1", "V2 V3 Vtop", "V0__Slow V1__Slow V2__Slow"]),
    "little memory": (1, 650, ["V0 V3 Vtop", "V1 V2", "V0__Slow", "V1__Slow", "V2__Slow"]),
}


@pytest.mark.parametrize("case", JOINS.values(), ids=JOINS)
def test_generated_files_are_compiled_together(fake, tmp_path, monkeypatch, case):
    """Each in one file, so that few runs of the compiler read the headers."""
    available, most, expected = case
    fake.generated = MIXED
    monkeypatch.setattr(verilate, "cores", lambda: available)
    for name, value in {"OFTEN": 400, "ONCE": 1000, "MOST": most}.items():
        monkeypatch.setattr(verilate, name, value)
    build(tmp_path)
    joined = [row for row in fake.compiled if row[2]]
    files = {tuple(sorted(n.removesuffix(".cpp") for n in row[2])): row[1] for row in joined}
    assert files == {
        tuple(names.split()): "-O0" if "Slow" in names else "-O2" for names in expected
    }
    assert len(fake.compiled) == len(joined) + len(verilate.RUNTIME) + 1, "the library, and main"


@pytest.mark.parametrize(("most", "files"), [(10_000, 1), (1300, 2)])
def test_what_is_not_optimised_is_compiled_with_its_main_program(
    fake, tmp_path, monkeypatch, most, files
):
    """In one file on any number of cores; in more only where the compiler would need too much memory."""
    fake.generated = MIXED
    monkeypatch.setattr(verilate, "cores", lambda: 9)
    monkeypatch.setattr(verilate, "MOST_PLAIN", most)
    build(tmp_path, optimise="-O0")
    joined = [row for row in fake.compiled if row[2]]
    assert {row[1] for row in joined} == {"-O0"}
    assert sorted(n for row in joined for n in row[2]) == sorted([*MIXED, "main.cpp"])
    assert len(joined) == files
    assert len(fake.compiled) == files + len(verilate.RUNTIME) + 1, "the library, and its headers"


def test_headers_are_compiled_once_for_what_is_not_optimised(fake, tmp_path):
    for optimise, text in (("-O2", "c"), ("-O0", "a"), ("-O0", "b")):
        build(tmp_path, text=f"module xnoreplay; wire {text}; endmodule", optimise=optimise)
        assert [name for name, *_ in fake.compiled].count("all") == (optimise == "-O0")
    (place,) = (tmp_path / "cache" / "cosim").glob("headers-*")
    assert sorted(p.name for p in place.iterdir()) == ["all.h", "all.h.gch", DIGESTS]
    assert [arguments.count(place / "all.h") for arguments in fake.included] == [1, 1]


DAMAGES = {
    "cut": truncate,
    "a bit": flip,
    "gone": lambda folder: (folder / TOP).unlink(),
    "a text": lambda folder: (folder / "top.v").write_text("module other; endmodule"),
    "not to be run": lambda folder: (folder / TOP).chmod(0o644),
    "one more file": lambda folder: (folder / "extra").write_text(""),
    "no digests": lambda folder: (folder / DIGESTS).unlink(),
    "empty digests": lambda folder: (folder / DIGESTS).write_text(""),
    "digests of nothing": lambda folder: (folder / DIGESTS).write_text("{}"),
    "garbled digests": lambda folder: (folder / DIGESTS).write_bytes(b"\xff{"),
    "deep digests": lambda folder: (folder / DIGESTS).write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_build_is_built_anew(fake, tmp_path, damage):
    folder = build(tmp_path).folder
    damage(folder)
    progress = Notes()
    again = build(tmp_path, progress)
    assert (again.folder, again.kept, fake.linked) == (folder, False, 2)
    assert f"what is kept in {folder} is damaged; it is built anew" in progress.notes
    assert verilate.whole(folder)
    assert build(tmp_path).kept


def test_a_file_in_the_place_of_a_build(tmp_path):
    folder = build(tmp_path).folder
    folder.rename(tmp_path / "aside")
    folder.write_text("")
    assert not build(tmp_path).kept
    assert verilate.whole(folder)
    assert not list(folder.parent.glob(".*.old-*"))


def test_a_link_in_the_place_of_a_build_is_not_followed(tmp_path):
    folder = build(tmp_path).folder
    mine = tmp_path / "mine"
    folder.rename(tmp_path / "aside")
    mine.mkdir()
    (mine / "thesis.tex").write_text("mine")
    folder.symlink_to(mine)
    assert not build(tmp_path).kept
    assert [p.name for p in mine.iterdir()] == ["thesis.tex"]
    assert not folder.is_symlink()
    assert not list(folder.parent.glob(".*.old-*"))


def test_a_damaged_library_is_compiled_anew(tmp_path):
    build(tmp_path)
    runtime = next((tmp_path / "cache" / "cosim").glob("runtime-*"))
    (runtime / "verilated.o").write_text("")
    progress = Notes()
    build(tmp_path, progress, text="module xnoreplay; wire a; endmodule")
    assert any(str(runtime) in note for note in progress.notes)
    assert verilate.whole(runtime)


def test_an_interrupted_build_leaves_nothing(fake, tmp_path):
    fake.failure = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path)
    assert [p.name for p in (tmp_path / "cache" / "cosim").glob("*bare*")] == []
    fake.failure = None
    assert not build(tmp_path).kept


def read_only(monkeypatch, place: Path) -> None:
    real = caches.unusable
    monkeypatch.setattr(
        caches, "unusable", lambda p: "Read-only file system" if p == place else real(p)
    )


def test_a_read_only_cache_is_used_where_it_is_whole(tmp_path, monkeypatch, capsys):
    folder = build(tmp_path).folder
    read_only(monkeypatch, tmp_path / "cache" / "cosim")
    again = build(tmp_path)
    assert (again.folder, again.kept) == (folder, True)
    assert capsys.readouterr().err == ""


def test_what_a_read_only_cache_lacks_is_built_elsewhere(fake, tmp_path, monkeypatch, capsys):
    folder = build(tmp_path).folder
    before = sorted((tmp_path / "cache").rglob("*"))
    truncate(folder)
    place = tmp_path / "cache" / "cosim"
    read_only(monkeypatch, place)
    monkeypatch.setattr(caches.tempfile, "tempdir", str(tmp_path))
    again = build(tmp_path)
    assert again.folder.is_relative_to(tmp_path)
    assert caches.PREFIX in str(again.folder)
    assert f"note: {place} cannot be written (Read-only file system)" in capsys.readouterr().err
    assert sorted((tmp_path / "cache").rglob("*")) == before
    assert build(tmp_path).kept, "the temporary cache serves the process"
    assert fake.linked == 2
    assert capsys.readouterr().err == ""


def test_a_caller_s_own_folder_must_be_writable(tmp_path, monkeypatch):
    made = Verilate({"VERILATOR_ROOT": str(tmp_path / "verilator")}, cache=tmp_path / "own")
    monkeypatch.setattr(caches, "unusable", lambda _place: "Read-only file system")
    monkeypatch.setattr(caches, "writable", lambda _kind: tmp_path / "own")
    with pytest.raises(ToolError, match="must be writable, but is not: Read-only file system"):
        made.build("", "bare", [], "", tmp_path / "main.cpp", (), [], Silent())


def test_of_two_at_once_one_builds(fake, tmp_path, monkeypatch):
    """The other one waits for the lock, and takes what it finds."""
    built = []
    asks = threading.Event()
    other = threading.Thread(target=lambda: built.append(build(tmp_path)))
    real = locks.fcntl.flock

    def flock(lock, operation):
        if threading.current_thread() is other:
            asks.set()
        real(lock, operation)

    def start_other():
        if other.ident is None:
            other.start()
            assert asks.wait(20), "the other one must ask for the lock"

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    fake.before_link = start_other
    built.append(build(tmp_path))
    other.join(60)
    assert sorted(b.kept for b in built) == [False, True]
    assert fake.linked == 1


def test_only_our_own_builds_are_pruned(tmp_path, monkeypatch):
    monkeypatch.setattr(verilate, "KEEP", 2)
    place = tmp_path / "cache" / "cosim"
    for name in ("bare-mine", "notes-2024", "bare-" + "z" * 20):
        (place / name).mkdir(parents=True)
    for i in range(4):
        build(tmp_path, text=f"module xnoreplay; wire a{i}; endmodule")
    left = [p.name for p in place.iterdir() if not p.name.startswith(".")]
    assert {"bare-mine", "notes-2024", "bare-" + "z" * 20} <= set(left)
    assert len(left) < 3 + 4
