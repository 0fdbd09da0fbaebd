"""Steps: whole or absent, repeated only where something changed."""

import errno
import json
import os
import shutil
import signal
import threading
import time

import pytest

from xnoreplay.flow.run import files
from xnoreplay.flow.run import locks as guard
from xnoreplay.flow.run import step as steps
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.records import RECORD, RECORDED, RESULT
from xnoreplay.flow.run.step import Run, Step
from xnoreplay.spec import whole
from xnoreplay.spec.errors import CheckFailure, XnoreplayError


def write_text(context):
    (context.out / "text.txt").write_text(context.config["text"])
    return {"length": len(context.config["text"])}


def double(context):
    return {"length": 2 * context.result("first")["length"]}


def build(tmp_path, table=None, **configs):
    table = table or [Step("first", write_text), Step("second", double, needs=("first",))]
    named = {s.name: s for s in table}
    configs = {"first": {"text": "abc"}, **configs}
    return Run(
        tmp_path / "run", named, {n: configs.get(n, {}) for n in named}, Silent(), ("run.json",)
    )


def statuses(outcomes):
    return {o.step: o.status for o in outcomes}


def snapshot(folder):
    """Of every path below a folder but its lock: what a link leads to, a file's bytes, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
        if path.name != guard.LOCK
    }


def leftovers(folder):
    return sorted(p.name for p in folder.iterdir() if p.name not in (guard.LOCK,))


def test_a_step_records_what_it_was_made_from(tmp_path):
    run = build(tmp_path)
    assert statuses(run.update(["first", "second"])) == {"first": "done", "second": "done"}
    record = run.record("second")
    assert files.read_json(run.folder / "second" / RESULT) == {"length": 6}
    assert set(record["inputs"]) == {"first/result.json", "first/text.txt"}
    assert record["outputs"] == {RESULT: files.file_digest(run.folder / "second" / RESULT)}
    assert record["failure"] == ""
    assert record["seconds"] >= 0


def test_an_up_to_date_step_is_kept(tmp_path):
    build(tmp_path).update(["first", "second"])
    assert statuses(build(tmp_path).update(["first", "second"])) == {
        "first": "kept",
        "second": "kept",
    }


def test_what_stands_beside_the_outputs_of_a_step_is_none_of_them(tmp_path):
    """It keeps the step up to date, and goes with the next run of it."""
    table = [Step("first", write_text, added_later=("added",))]
    run = build(tmp_path, table)
    run.update(["first"])
    added = run.folder / "first" / "added"
    added.mkdir()
    (added / "file").write_text("x")
    assert statuses(build(tmp_path, table).update(["first"])) == {"first": "kept"}
    assert statuses(build(tmp_path, table, first={"text": "d"}).update(["first"])) == {
        "first": "done"
    }
    assert not added.exists()
    (run.folder / "first" / "other").write_text("x")
    with pytest.raises(XnoreplayError, match="first .* has 'other', which no run put there"):
        build(tmp_path, table, first={"text": "e"}).update(["first"])
    assert (run.folder / "first" / "other").read_text() == "x"


def test_a_step_that_must_be_asked_for_runs_only_where_it_is_named(tmp_path):
    table = [
        Step("first", write_text),
        Step("extra", double, only_by_name=True),
        Step("last", double),
    ]
    run = build(tmp_path, table)
    assert run.between("first", "last") == ["first", "last"]
    assert run.between("extra", "last") == ["extra", "last"]
    assert run.between("first", "extra") == ["first", "extra"]


def test_force_repeats(tmp_path):
    build(tmp_path).update(["first", "second"])
    outcomes = build(tmp_path).update(["first", "second"], force=["first"])
    assert statuses(outcomes) == {"first": "done", "second": "kept"}


def test_a_changed_configuration_repeats_what_depends_on_it(tmp_path):
    build(tmp_path).update(["first", "second"])
    changed = build(tmp_path, first={"text": "abcd"})
    assert statuses(changed.update(["first", "second"])) == {"first": "done", "second": "done"}


def test_a_changed_program_repeats(tmp_path, monkeypatch):
    build(tmp_path).update(["first"])
    monkeypatch.setattr(steps.code, "digest", lambda _parts: "another")
    assert build(tmp_path).pending(["first"]) == ["first"]


def test_a_damaged_output_repeats(tmp_path):
    run = build(tmp_path)
    run.update(["first"])
    (run.folder / "first" / "text.txt").write_text("ab")
    assert statuses(build(tmp_path).update(["first"])) == {"first": "done"}
    assert (run.folder / "first" / "text.txt").read_text() == "abc"


@pytest.mark.parametrize("damage", ["{", "[]", "null", "5", "{}", *RECORDED])
def test_a_damaged_record_counts_as_none(tmp_path, damage):
    """Of an earlier step and of one that is used: it is skipped, and not replaced."""
    table = [
        Step("first", write_text),
        Step("second", double, needs=("first",)),
        Step("third", lambda c: {"used": list(c.inputs)}, uses=("first",)),
    ]
    run = build(tmp_path, table)
    run.update(["first", "second", "third"])
    path = run.folder / "first" / RECORD
    record = run.record("first")
    path.write_text(damage if damage not in record else json.dumps(record | {damage: None}))
    assert statuses(build(tmp_path, table).update(["second", "third"])) == {
        "second": "skipped",
        "third": "done",
    }
    assert files.read_json(run.folder / "third" / RESULT) == {"used": []}
    assert build(tmp_path, table).pending(["first", "second", "third"]) == ["first", "second"]
    before = snapshot(run.folder)
    with pytest.raises(
        XnoreplayError, match="first must be new, empty or what first wrote, but has no whole step"
    ):
        build(tmp_path, table).update(["first", "second"])
    assert snapshot(run.folder) == before
    shutil.rmtree(run.folder / "first")
    assert statuses(build(tmp_path, table).update(["first", "second"])) == {
        "first": "done",
        "second": "kept",
    }


def test_a_user_file_is_known_by_content(tmp_path):
    table = [Step("first", lambda c: {"text": open(c.config["file"]).read()}, files=("file",))]
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("x")
    two.write_text("x")
    build(tmp_path, table, first={"file": str(one)}).update(["first"])
    moved = build(tmp_path, table, first={"file": str(two)})
    assert moved.pending(["first"]) == []
    assert str(tmp_path) not in (moved.folder / "first" / RECORD).read_text()
    two.write_text("y")
    assert moved.pending(["first"]) == ["first"]


@pytest.mark.parametrize("way", ["path", "link"])
def test_a_file_that_is_edited_where_a_step_replaces_it_is_refused(tmp_path, way):
    table = [Step("first", write_text), Step("last", lambda _c: {}, ("first",), files=("file",))]
    run = build(tmp_path, table)
    run.update(["first"])
    file = run.folder / "first" / "text.txt"
    (tmp_path / "link").symlink_to(file)
    given = build(tmp_path, table, last={"file": str(tmp_path / "link" if way == "link" else file)})
    assert [o.status for o in given.update(["first", "last"])] == ["kept", "done"]
    file.write_text("edited")
    with pytest.raises(
        XnoreplayError,
        match="file .* must be as step first wrote it, or lie elsewhere, but it is edited",
    ):
        given.update(["first", "last"])
    assert file.read_text() == "edited"


def test_a_missing_user_file_is_one_sentence(tmp_path):
    table = [Step("first", write_text, files=("file",))]
    run = build(tmp_path, table, first={"file": str(tmp_path / "none")})
    with pytest.raises(XnoreplayError, match="file .*none must be a readable file: No such file"):
        run.update(["first"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "the disk is full; nothing of it was"),
        (RuntimeError("io: No space left on device (os error 28)"), "the disk is full"),
        (RuntimeError("io: Disk quota exceeded (os error 122)"), "the disk is full"),
        (RuntimeError("io: Disk quota exceeded"), "the disk is full"),
        (RuntimeError("io: File too large (os error 27)"), "step first stopped, .* File too large"),
        (
            OSError(errno.EIO, "Input/output error"),
            "step first stopped, and nothing of it was kept",
        ),
    ],
    ids=[
        "full",
        "full, wrapped",
        "quota, wrapped",
        "quota, in words",
        "too large, wrapped",
        "broken",
    ],
)
def test_a_disk_error_leaves_the_old_folder_and_nothing_else(tmp_path, error, message):
    build(tmp_path).update(["first"])

    def fail(context):
        (context.out / "half.txt").write_text("half")
        raise error

    run = build(tmp_path, [Step("first", fail)])
    with pytest.raises(XnoreplayError, match=message):
        run.update(["first"], force=["first"])
    assert leftovers(run.folder) == ["first"]
    assert leftovers(run.folder / "first") == [RESULT, RECORD, "text.txt"]


def test_a_bug_is_not_hidden(tmp_path):
    def fail(_context):
        raise ZeroDivisionError("a bug")

    run = build(tmp_path, [Step("first", fail)])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        run.update(["first"])
    assert leftovers(run.folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_leaves_nothing(tmp_path, number):
    def slow(context):
        (context.out / "half.txt").write_text("half")
        threading.Timer(0.1, os.kill, (os.getpid(), number)).start()
        time.sleep(30)

    run = build(tmp_path, [Step("first", write_text), Step("second", slow)])
    with pytest.raises(KeyboardInterrupt):
        run.update(["first", "second"])
    assert leftovers(run.folder) == ["first"]
    assert statuses(build(tmp_path).update(["first", "second"])) == {
        "first": "kept",
        "second": "done",
    }


def test_scratch_outlives_an_interrupt_but_not_success(tmp_path):
    def train(context):
        context.scratch.mkdir(parents=True, exist_ok=True)
        checkpoint = context.scratch / "epoch"
        if not checkpoint.exists():
            checkpoint.write_text("1")
            raise KeyboardInterrupt
        return {"resumed_from": checkpoint.read_text()}

    run = build(tmp_path, [Step("first", train)])
    with pytest.raises(KeyboardInterrupt):
        run.update(["first"])
    run.update(["first"])
    assert files.read_json(run.folder / "first" / RESULT) == {"resumed_from": "1"}
    assert not list((run.folder / steps.SCRATCH).iterdir())


def test_what_a_killed_run_left_is_swept(tmp_path):
    run = build(tmp_path)
    run.update(["first"])
    for name in ("second", "run.json"):
        part = whole.beside(run.folder / name, whole.PART)
        (part / "below").mkdir(parents=True)
        whole.mark(part)
        (part / "below" / "half").write_text("x")
    whole.beside(run.folder / "second", whole.PART).mkdir()  # killed before it was marked
    old = whole.beside(run.folder / "first", whole.OLD)
    whole.mark(run.folder / "first", old.name)
    (run.folder / "first").rename(old)
    spare = whole.beside(run.folder / "first", whole.OLD)
    spare.mkdir()
    whole.mark(spare)
    os.utime(spare / whole.MARK, ns=(1, 1))  # that one was being cleared when it was left
    assert statuses(build(tmp_path).update(["first"])) == {"first": "kept"}
    assert leftovers(run.folder) == ["first"]


def test_a_failed_check_keeps_its_evidence_and_the_rest_goes_on(tmp_path):
    def fail(context):
        (context.out / "evidence.txt").write_text("cycle 7")
        raise CheckFailure("the RTL must equal the simulator", {"cycle": 7})

    table = [
        Step("first", fail),
        Step("second", double, needs=("first",)),
        Step("third", write_text),
    ]
    run = build(tmp_path, table, third={"text": "x"})
    outcomes = run.update(["first", "second", "third"])
    assert statuses(outcomes) == {"first": "failed", "second": "skipped", "third": "done"}
    assert outcomes[0].message == "the RTL must equal the simulator"
    assert (run.folder / "first" / "evidence.txt").read_text() == "cycle 7"
    assert files.read_json(run.folder / "first" / RESULT)["cycle"] == 7
    assert run.pending(["first"]) == ["first"], "a failed check is not up to date"


def test_two_runs_do_not_share_a_folder(tmp_path):
    run = build(tmp_path)
    with guard.locked(run.folder), pytest.raises(XnoreplayError, match="another run is using it"):
        run.update(["first"])


def test_a_file_is_no_run_folder(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(XnoreplayError, match="must be a writable folder"):
        build(tmp_path).update(["first"])


def test_unknown_steps_suggest_the_nearest(tmp_path):
    run = build(tmp_path)
    with pytest.raises(XnoreplayError, match="did you mean 'second'"):
        run.require("secnd")
    with pytest.raises(XnoreplayError, match="--from second must not come after --to first"):
        run.between("second", "first")
    assert run.span("second", "second") == ["first", "second"]


def test_a_result_that_had_more_stays_up_to_date(tmp_path):
    """A comparison of real images is not repeated with random ones; the other way round it is."""
    table = [Step("first", write_text, weaker_if="less")]

    def status(less):
        run = build(tmp_path, table, first={"text": "abc", "less": less})
        return statuses(run.update(["first"]))["first"]

    assert [status(less) for less in (True, True, False, False, True)] == [
        "done",
        "kept",
        "done",
        "kept",
        "kept",
    ]
