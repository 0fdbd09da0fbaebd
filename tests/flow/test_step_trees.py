"""A step touches only what carries its own record: over random trees of files, folders and links."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnoreplay.flow.run import locks as guard
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.records import own_folder, own_scratch
from xnoreplay.flow.run.step import Run, Step
from xnoreplay.spec import whole
from xnoreplay.spec.errors import CheckFailure, XnoreplayError

DRAW = "0123456789abcdef"
STEPS = ("first", "second")
LEFT = [
    f".{name}.{kind}-7-{DRAW}" for name in (*STEPS, "run.json", "other") for kind in ("part", "old")
]
NAMES = [
    *STEPS,
    *LEFT,
    "other",
    "step.json",
    "result.json",
    "text.txt",
    "run.json",
    "waves",
    ".lock",
    ".resume",
    ".xnoreplay",
    ".foo.part-1",
    ".bashrc.old-2024",
    ".first.part-",
    ".first.part-1",
    ".second.old-x",
    ".first.part-7-0123456789abcdeg",
    "thesis.tex",
    "a b",
    "\udcff",
]


def record(step, *outputs):
    return json.dumps(
        {
            "step": step,
            "version": "0",
            "code": "",
            "config": {},
            "inputs": {},
            "outputs": dict.fromkeys(outputs, "00"),
            "seconds": 1,
            "failure": "",
        }
    )


CONTENTS = [
    "",
    "mine",
    "{",
    "[]",
    record("first"),
    record("first", "text.txt", "result.json"),
    record("second", "text.txt"),
    record("other", "text.txt"),
    record("first", "text.txt").replace('"seconds": 1', '"seconds": NaN'),
    *(f"xnoreplay may clear {name!r}\n" for name in (*LEFT, *STEPS)),
]
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(lambda names: "/".join(names))
nodes = st.tuples(
    paths,
    st.one_of(
        st.sampled_from(CONTENTS).map(lambda text: ("file", text)),
        st.just(("folder", "")),
        st.sampled_from(["../outside", "../outside/file", "nowhere", ".", "first", "/"]).map(
            lambda target: ("link", target)
        ),
    ),
)


def mark(name):
    return "file", f"xnoreplay may clear {name!r}\n"


MINE = ("file", "mine")
pieces = st.one_of(
    st.just(
        [("first/step.json", ("file", record("second", "text.txt"))), ("first/text.txt", MINE)]
    ),
    st.just([(".resume/first/mine", MINE)]),
    st.sampled_from(LEFT).map(
        lambda name: [(f"{name}/.xnoreplay", mark(name)), (f"{name}/mine", MINE)]
    ),
    st.just(
        [("other/.xnoreplay", mark(LEFT[0])), ("other/mine", MINE), (LEFT[0], ("link", "other"))]
    ),
    nodes.map(lambda node: [node]),
)
"""What could be taken for a run's own, and is not; and single nodes."""
trees = st.lists(pieces, max_size=5).map(lambda found: [node for piece in found for node in piece])


def plant(root, tree):
    """Make what of a tree can be made; a path that is taken, or below a file or a link, is passed over."""
    for name, (kind, value) in tree:
        path = root / name
        below = [root.joinpath(*Path(name).parts[:n]) for n in range(1, len(Path(name).parts))]
        if os.path.lexists(path) or any(
            os.path.lexists(p) and not whole.is_folder(p) for p in below
        ):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "file":
            path.write_text(value)
        elif kind == "folder":
            path.mkdir()
        else:
            path.symlink_to(value)


def snapshot(folder):
    """Every file's bytes and every link's target, by path."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink():
                found[path.relative_to(folder)] = os.readlink(path)
            elif path.is_file():
                found[path.relative_to(folder)] = path.read_bytes()
    return found


def carries_its_record(name, before):
    """The rule once more, from a snapshot: whether all files of a step's folder are in its own record."""
    inside = {
        p.relative_to(f"run/{name}").as_posix(): v
        for p, v in before.items()
        if p.parts[:2] == ("run", name)
    }
    try:
        found = json.loads(inside["step.json"])
        own = (
            found["step"] == name
            and isinstance(found["seconds"], int | float)
            and found["seconds"] >= 0
        )
        return own and all(
            isinstance(v, bytes) and (p == "step.json" or p in found["outputs"] or is_mark(p, v))
            for p, v in inside.items()
        )
    except (KeyError, TypeError, ValueError):
        return False


def is_mark(path, content):
    return path == ".xnoreplay" and content.startswith(b"xnoreplay may clear ")


def may_go(path, before):
    """Whether a run may take a file away: it is of a step with a record, or of a folder with a mark."""
    _, name, *_ = path.parts
    if name in STEPS:
        return carries_its_record(name, before) or is_mark("/".join(path.parts[2:]), before[path])
    folder = path.parts[1:3] if name == ".resume" else path.parts[1:2]
    known = name in LEFT[:6] or folder[0] == ".resume" and folder[-1] in STEPS
    marked = (
        before.get(Path("run", *folder, ".xnoreplay"))
        == f"xnoreplay may clear {folder[-1]!r}\n".encode()
    )
    return known and marked


ENDS = {
    "succeed": None,
    "fail the check": CheckFailure("no"),
    "break": ZeroDivisionError("a bug"),
    "be interrupted": KeyboardInterrupt(),
    "find the disk full": OSError(28, "No space left on device"),
    "refuse": XnoreplayError("bad input"),
}


def steps_that(end):
    def write(context):
        (context.out / "text.txt").write_text("abc")
        (context.scratch / "half").write_text("half")
        if ENDS[end] is not None:
            raise ENDS[end]
        return {"length": 3}

    return {name: Step(name, write) for name in STEPS}


@settings(max_examples=200, deadline=None)
@given(
    tree=trees,
    had_run=st.booleans(),
    end=st.sampled_from(list(ENDS)),
    force=st.booleans(),
    settings_too=st.booleans(),
)
def test_a_run_touches_only_what_carries_its_own_record(tree, had_run, end, force, settings_too):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "outside").mkdir()
        (root / "outside" / "file").write_text("outside")
        if had_run:
            Run(root / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent()).update(
                STEPS
            )
        (root / "run").mkdir(exist_ok=True)
        plant(root / "run", tree)
        before = snapshot(root)
        run = Run(root / "run", steps_that(end), dict.fromkeys(STEPS, {}), Silent(), ("run.json",))
        refused = False
        try:
            run.require_ready(STEPS)
        except XnoreplayError:
            refused = True
        assert snapshot(root) == before, "a look changes nothing"
        try:
            if settings_too and not refused and "run.json" not in [p.name for p in before]:
                run.write_settings("run.json", {})
            run.update(STEPS, STEPS if force else ())
        except (XnoreplayError, ZeroDivisionError, KeyboardInterrupt):
            pass
        after = snapshot(root)
        if refused:
            assert after == before
        for path, content in before.items():
            assert after.get(path) == content or may_go(path, before), path
        for name in STEPS:
            own = [p for p in before if p.parts[:2] == ("run", name)]
            if (
                own
                and not carries_its_record(name, before)
                and not all(p.name == ".xnoreplay" for p in own)
            ):
                assert refused


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("first/mychip.v", "run/first must be .* but has no whole step.json of it"),
        ("second/report/thesis.tex", "run/second must be .* but has no whole step.json of it"),
        ("first", "run/first must be .* but is no folder"),
        (".resume/first/notes", "resume/first must be .* but is somebody else's"),
        (".resume", ".resume must be a folder, but is a link or a file"),
    ],
)
def test_a_folder_of_somebody_else_s_is_refused_before_anything_is_written(
    tmp_path, path, sentence
):
    mine = tmp_path / "run" / path
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(XnoreplayError, match=sentence):
        Run(tmp_path / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent()).update(
            STEPS
        )
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("what", ["a file", "a link", "a link in place of an output", "a pipe"])
def test_what_is_added_to_a_step_s_folder_stays(tmp_path, what):
    run = Run(tmp_path / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent())
    run.update(STEPS)
    mine = run.folder / "first" / "deep" / "mine"
    mine.parent.mkdir()
    if what == "a file":
        mine.write_text("mine")
    elif what == "a pipe":
        os.mkfifo(mine)
    else:
        mine = run.folder / "first" / "text.txt" if "output" in what else mine
        mine.unlink(missing_ok=True)
        mine.symlink_to(tmp_path)
    name = mine.relative_to(run.folder / "first").as_posix()
    for force in ((), STEPS):
        with pytest.raises(
            XnoreplayError, match=f"first must be .* has '{name}', which no run put there"
        ):
            run.update(STEPS, force)
    assert os.path.lexists(mine)


def test_a_step_s_folder_that_is_a_link_stays(tmp_path):
    run = Run(tmp_path / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent())
    run.update(STEPS)
    shutil.move(run.folder / "first", tmp_path / "elsewhere")
    (run.folder / "first").symlink_to("../elsewhere")
    before = snapshot(tmp_path)
    with pytest.raises(XnoreplayError, match="run/first must be .* but is a symbolic link"):
        run.update(STEPS, STEPS)
    assert snapshot(tmp_path) == before


def test_a_run_folder_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to("real")
    run = Run(tmp_path / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent())
    assert [o.status for o in run.update(STEPS)] == ["done", "done"]
    left = whole.beside(tmp_path / "real" / "first", whole.PART)
    left.mkdir()
    whole.mark(left)
    assert [o.status for o in run.update(STEPS)] == ["kept", "kept"]
    assert not left.exists()


def test_what_comes_while_a_step_runs_stays(tmp_path):
    """A file that a user lays into the folder of a step that is being repeated: the repetition goes."""
    run = Run(tmp_path / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent())
    run.update(STEPS)

    def lay(context):
        (context.out.parent / "first" / "mine").write_text("mine")
        return {}

    run.steps["first"] = Step("first", lay)
    with pytest.raises(
        XnoreplayError, match="first must stay as it was while step first ran, but has 'mine'"
    ):
        run.update(["first"], ["first"])
    assert (run.folder / "first" / "mine").read_text() == "mine"
    assert (run.folder / "first" / "text.txt").read_text() == "abc"
    assert not [p for p in run.folder.iterdir() if p.name.startswith(".first")]


def test_what_comes_at_the_last_moment_stays(tmp_path, monkeypatch):
    run = Run(tmp_path / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent())
    run.update(STEPS)
    marking = whole.mark

    def lay(folder, name=""):
        marking(folder, name)
        if name:  # a folder that is about to be set aside
            (folder / "mine").write_text("mine")

    monkeypatch.setattr(whole, "mark", lay)
    with pytest.raises(
        XnoreplayError, match="first must stay as it was while step first ran, but has 'mine'"
    ):
        run.update(["first"], ["first"])
    assert (run.folder / "first" / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    "make",
    [lambda lock: lock.symlink_to("../mine"), os.mkfifo, os.mkdir],
    ids=["link", "pipe", "folder"],
)
def test_a_lock_that_is_no_plain_file_is_not_opened(tmp_path, make):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    make(tmp_path / "run" / guard.LOCK)
    run = Run(tmp_path / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent())
    with pytest.raises(
        XnoreplayError, match=r"run/.lock must be a plain file, which a run locks, but is a "
    ):
        run.update(STEPS)
    with (
        pytest.raises(XnoreplayError, match=r"run/.lock must be a plain file"),
        guard.locked(run.folder),
    ):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_lock_keeps_what_is_in_it(tmp_path):
    (tmp_path / guard.LOCK).write_text("mine")
    with guard.locked(tmp_path):
        pass
    assert (tmp_path / guard.LOCK).read_text() == "mine"


def test_own_folders_and_scratch_outside_a_run_hold_to_the_rule(tmp_path):
    with own_folder(tmp_path / "own", "place") as part:
        (part / "report").write_text("1")
    with own_folder(tmp_path / "own", "place") as part:
        (part / "report").write_text("2")
    assert sorted(p.name for p in (tmp_path / "own").iterdir()) == ["report", "step.json"]
    with pytest.raises(
        XnoreplayError, match="own must be new, empty or what scaling wrote, but is of step 'place'"
    ):
        own_folder(tmp_path / "own", "scaling").__enter__()
    (tmp_path / "own.resume").mkdir()
    (tmp_path / "own.resume" / "mine").write_text("mine")
    with pytest.raises(
        XnoreplayError, match="own.resume must be new, empty or what a stopped run left"
    ):
        own_scratch(tmp_path / "own.resume").__enter__()
    assert (tmp_path / "own.resume" / "mine").read_text() == "mine"


@pytest.mark.parametrize("inside", ["first", "first/new", "link"])
def test_a_run_in_the_folder_of_a_step_is_refused(tmp_path, inside):
    """The run around it would be refused from then on."""
    run = Run(tmp_path / "run", steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent())
    run.update(STEPS)
    (tmp_path / "run" / "link").symlink_to("first")
    before = snapshot(tmp_path)
    inner = Run(run.folder / inside, steps_that("succeed"), dict.fromkeys(STEPS, {}), Silent())
    with pytest.raises(
        XnoreplayError,
        match="must not lie in a step's folder, which takes nothing else, but .*first has",
    ):
        inner.update(STEPS)
    assert snapshot(tmp_path) == before
    assert [o.status for o in run.update(STEPS)] == ["kept", "kept"]
