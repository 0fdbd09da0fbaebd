"""Files that are damaged, odd or too deep: a sentence that names the file, and exit code 1."""

import gzip
import json
import os
import random
import shutil
import socket

import numpy as np
import pytest

from tests.flow import sample_run
from xnoreplay.flow.cli import main
from xnoreplay.flow.cost.cells import liberty
from xnoreplay.flow.cost.tables import measured
from xnoreplay.flow.datasets.bundles import BUNDLE
from xnoreplay.flow.output import plots as figures
from xnoreplay.flow.report import compare
from xnoreplay.flow.report import page as report
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.records import RECORD, RESULT, result_of
from xnoreplay.flow.run.step import Run, Step
from xnoreplay.flow.speed import simulators as bench
from xnoreplay.flow.verify.cosim import recorded
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, reading
from xnoreplay.spec.errors import BundleError, ReadError, XnoreplayError, shown

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
DEEP = "[" * 100_000 + "]" * 100_000
LONG = "9" * 5_000


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Folders of every step, and what a report makes of them."""
    folder = tmp_path_factory.mktemp("sample")
    inputs = sample_run.write(folder, TINY, sample_run.results(PLAN), {})
    bundles.write(bundles.random(TINY.network, 0), inputs["export"] / BUNDLE)
    out = folder / "report"
    out.mkdir()
    result = report.write_report(TINY, inputs, out)
    files.write_json(out / RESULT, result)
    return folder, inputs


def copied(sample, tmp_path):
    folder, inputs = sample
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return {name: tmp_path / name for name in inputs}


DAMAGE = [
    "",
    "{",
    "null",
    "5",
    "[]",
    "{}",
    '"text"',
    DEEP,
    LONG,
    '{"a": NaN}',
    '{"a": 1e999}',
    '{"a": "\\ud800"}',
    "\xff",
    '{"failure": ""}',
    '{"cycles": null}',
]


@pytest.mark.parametrize("damage", DAMAGE, ids=range(len(DAMAGE)))
@pytest.mark.parametrize("name", ["export", "cil", "simulate", "explore"])
def test_a_damaged_result_is_named(sample, tmp_path, name, damage):
    inputs = copied(sample, tmp_path)
    path = inputs[name] / RESULT
    path.write_bytes(damage.encode("latin-1"))
    with pytest.raises(XnoreplayError, match=f"{name}/{RESULT} must be as step '{name}' wrote it"):
        report.read(TINY, inputs)
    with pytest.raises(XnoreplayError, match=f"{name}/{RESULT} must be as step"):
        result_of(inputs[name])


def damaged(tree, rng):
    """A tree with one value somewhere of another kind."""
    while isinstance(tree, dict | list) and tree:
        key = rng.choice(list(tree)) if isinstance(tree, dict) else rng.randrange(len(tree))
        if not isinstance(tree[key], dict | list) or rng.random() < 0.2:
            tree[key] = rng.choice([None, "high", [], {}, -1, 10**400, {"a": 1}, True, [None]])
            return
        tree = tree[key]


@pytest.mark.parametrize("seed", range(24))
def test_a_result_of_another_shape_is_one_sentence(sample, tmp_path, monkeypatch, seed):
    """Also where its record has the digest of what is there, as an older version's has."""
    rng = random.Random(seed)
    inputs = copied(sample, tmp_path)
    name = rng.choice(
        [
            "export",
            "cil",
            "simulate",
            "generate",
            "cosim",
            "mutate",
            "prove",
            "synth",
            "estimate",
            "explore",
            "upset",
        ]
    )
    tree = files.read_json(inputs[name] / RESULT)
    for _ in range(3):
        damaged(tree, rng)
    (inputs[name] / RESULT).write_text(json.dumps(tree))
    record = files.read_json(inputs[name] / RECORD)
    record["outputs"] = {RESULT: files.file_digest(inputs[name] / RESULT)}
    files.write_json(inputs[name] / RECORD, record)
    monkeypatch.setattr(figures, "draw", lambda *_, **__: figures.Picture("", "", b""))
    shutil.rmtree(tmp_path / "report")
    (tmp_path / "report").mkdir()
    try:
        report.write_report(TINY, inputs, tmp_path / "report")
    except XnoreplayError as error:
        assert "repeat the steps" in str(error) or str(inputs[name]) in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "damage",
    [
        *DAMAGE,
        '{"preset": "x", "metrics": [5]}',
        '{"preset": "x", "metrics": [{"name": 1, "value": 1, "unit": "J", "better": "lower", "origin": "tool"}]}',
        '{"preset": "x", "metrics": [{"name": "a", "value": "high", "unit": "J", "better": "lower", "origin": "tool"}]}',
        f'{{"preset": "x", "metrics": [{{"name": "a", "value": 1{"0" * 400}, "unit": "J", "better": "lower", "origin": "tool"}}]}}',
    ],
    ids=range(len(DAMAGE) + 4),
)
def test_a_damaged_report_is_compared_in_a_sentence(sample, tmp_path, damage, capsys):
    folder, _ = sample
    (tmp_path / "report.json").write_bytes(damage.encode("latin-1"))
    assert main(["compare", str(folder), str(tmp_path / "report.json")]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "report.json" in told
    assert len(told) < 1000


def test_a_report_in_a_run_folder_is_held_to_its_record(sample, tmp_path, capsys):
    copied(sample, tmp_path)
    out = tmp_path / "report"
    record = {
        "step": "report",
        "version": "0",
        "code": "",
        "config": {},
        "inputs": {},
        "seconds": 1,
        "failure": "",
    }
    files.write_json(out / RECORD, record | {"outputs": files.tree_digests(out)})
    assert compare.read(tmp_path)[0] == "tiny"
    text = (out / report.NUMBERS).read_text()
    (out / report.NUMBERS).write_text(text.replace('"value": 996', '"value": 997'))
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 1
    assert "report/report.json must be as step 'report' wrote it" in capsys.readouterr().err


def test_a_step_does_not_trust_a_damaged_input(tmp_path):
    table = [
        Step("first", lambda _c: {"n": 1}),
        Step("last", lambda c: {"n": c.result("first")["n"]}, uses=("first",)),
    ]
    run = Run(tmp_path / "run", {s.name: s for s in table}, {s.name: {} for s in table}, Silent())
    run.update(["first", "last"])
    (run.folder / "first" / RESULT).write_text('{"n": 2}')
    for force in ((), ("last",)):
        with pytest.raises(
            XnoreplayError, match=f"first/{RESULT} must be as step 'first' wrote it"
        ):
            run.update(["last"], force)


@pytest.mark.parametrize(
    "settings",
    [
        DEEP,
        LONG,
        "[]",
        '{"preset": 5}',
        f'{{"seeds": {LONG}}}',
        '{"a": NaN}',
        f'{{"preset": {DEEP}}}',
    ],
    ids=range(7),
)
def test_damaged_settings_are_one_sentence(tmp_path, settings, capsys):
    (tmp_path / "run.json").write_text(settings)
    assert main(["export", "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {tmp_path}/run.json must be the settings of a run, but is not")
    assert len(told) < 1000
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


KINDS = {
    "null": None,
    "a text": "high",
    "a list": [1],
    "a table": {"a": 1},
    "a fraction": 1.5,
    "a number": 5,
    "a flag": True,
}


@pytest.mark.parametrize("kind", KINDS)
def test_settings_of_another_kind_are_one_sentence(tmp_path, kind, capsys):
    plain = {"preset": presets.to_dict(TINY)}
    for name in (
        "seeds",
        "images",
        "simulator",
        "place",
        "all_classes",
        "sweep",
        "objective",
        "augment",
        "dump",
        "epochs",
        "own_training",
        "start",
    ):
        (tmp_path / "run.json").write_text(json.dumps(plain | {name: KINDS[kind]}))
        main(["report", "--untrained", "--out", str(tmp_path)])
        told = capsys.readouterr().err
        assert "Traceback" not in told
        assert told.startswith(("error: ", "[report]"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (f"a = {DEEP}", "is nested too deeply"),
        (f"a = {LONG}", "a number in it has more than 4,300 digits"),
        ("a = [", "Invalid value"),
        (None, "No such file"),
    ],
    ids=["deep", "long", "cut", "absent"],
)
@pytest.mark.parametrize(
    "arguments", [["presets", "show", "{}"], ["explore", "--spec", "{}"]], ids=["spec", "sweep"]
)
def test_toml_that_cannot_be_read_is_one_sentence(
    tmp_path, capsys, monkeypatch, arguments, content, why
):
    monkeypatch.chdir(tmp_path)
    if content:
        (tmp_path / "a.toml").write_text(content)
    assert main([a.format("a.toml") for a in arguments]) == 1
    told = capsys.readouterr().err
    assert "file a.toml must be readable TOML" in told
    assert why in told
    assert len(told) < 500


def odd(tmp_path, kind):
    path = tmp_path / "odd"
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    return str(path)


@pytest.mark.parametrize("kind", ["a named pipe", "a folder", "a device", "a socket"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "--preset", "{}.toml"],
        ["presets", "show", "{}"],
        ["export", "--bundle", "{}"],
        ["pretrain", "--start", "{}"],
        ["explore", "--spec", "{}"],
        ["cosim", "--untrained", "--verilog", "{}"],
        ["estimate", "--sram", "{}"],
        ["estimate", "--logic", "{}"],
        ["estimate", "--json", "{}"],
        ["characterize", "--liberty", "{}"],
        ["characterize", "--cacti", "{}"],
        ["compare", "{}", "{}"],
        ["latents", "{}"],
        ["systems", "--dump", "{}"],
        ["systems", "--latents", "{}"],
        ["draw", "{}"],
        ["systems", "--system", "native", "--checkpoint", "{}"],
        ["reproduce", "--preset", "digits", "--also", "{}"],
        ["synth", "--untrained", "--liberty", "{}"],
    ],
    ids=lambda arguments: " ".join(arguments[:-1]),
)
def test_an_odd_file_is_refused_at_once(tmp_path, capsys, monkeypatch, kind, arguments):
    path = odd(tmp_path, kind)
    if arguments[-1].endswith(".toml"):
        os.rename(path, f"{path}.toml")
    monkeypatch.chdir(tmp_path)
    assert main([a.format(path) for a in arguments]) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("error: ")
    assert path in told or os.path.realpath(path) in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("provenance", "why"),
    [
        ('{"base_test_accuracy": NaN}', "NaN is no number of JSON"),
        ('{"base_test_accuracy": -Infinity}', "-Infinity is no number of JSON"),
        ('{"base_test_accuracy": 1e999}', "'1e999' is beyond the greatest number"),
        ('{"hardware": "\\ud800"}', "half of a surrogate pair"),
        (DEEP, "nested too deeply"),
        (LONG, "more than 4,300 digits"),
        ("[]", "an object, not "),
    ],
    ids=range(7),
)
def test_provenance_that_is_no_json_is_refused(tmp_path, provenance, why):
    path = tmp_path / "a.safetensors"
    bundles.write(bundles.random(TINY.network, 0), path)
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    header["__metadata__"]["provenance"] = provenance
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[end:])
    with pytest.raises(BundleError, match=f"field 'provenance' must be .*{why}"):
        bundles.read(path)


@pytest.mark.parametrize("value", ["high", None, [], {}, True, -0.5, 2, 10**400, {"a": {}}])
def test_an_accuracy_that_is_none_is_no_number_of_the_report(sample, tmp_path, value):
    inputs = copied(sample, tmp_path)
    tree = files.read_json(inputs["export"] / RESULT)
    tree["provenance"] = {"base_test_accuracy": value, "hardware": value, "recipe": value}
    section = report.provenance({"export": tree}, {})
    assert not [m for m in section.metrics if m.name == "pretrain.base_test_accuracy"]
    assert bundles.share({"a": 0.5}, "a") == 0.5


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (DEEP, "nested too deeply"),
        (LONG, "more than 4,300 digits"),
        ("[NaN]", "NaN is no number"),
        ('["\\udfff"]', "half of a surrogate pair"),
        ("[1e400]", "'1e400' is beyond"),
        ("{", "Expecting property name"),
    ],
    ids=range(6),
)
def test_json_that_cannot_be_read(tmp_path, text, why):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ReadError, match=f"a.json must be JSON.*{why}"):
        reading.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('["\\ud83d\\ude00", 1e300, 2]')
    assert reading.read_json(tmp_path / "a.json") == ["\U0001f600", 1e300, 2]


def test_a_long_value_is_cut():
    assert shown("a" * 100) == "'" + "a" * 59 + "... (102 characters)"
    assert shown(10**5000) == "a value of 16,610 bits that is too long to write out"
    assert shown(b"\xff\x00") == r"b'\xff\x00'"


@pytest.mark.parametrize("before", ["mine", '{"preset": "x"}', '{"preset": {}, "seeds": 3}', ""])
@pytest.mark.parametrize(
    "arguments",
    [
        ["estimate", "--preset", "tiny", "--untrained", "--json", "{}"],
        ["draw", "{}", "--preset", "tiny"],
        ["characterize", "--liberty", "none", "--out", "{}"],
        ["characterize", "--cacti", "none", "--out", "{}"],
        ["latents", "{}", "--preset", "tiny"],
        ["bench", "--json", "{}", "--only", "nosuch"],
        ["bench", "--scaling", "--json", "{}"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_file_of_somebody_else_s_is_not_written_over(
    tmp_path, capsys, monkeypatch, before, arguments
):
    path = tmp_path / "out"
    path.write_text(before)
    monkeypatch.setattr(bench, "samples", lambda *_: pytest.fail("measured"))
    code = (
        main([a.format(path) for a in arguments]) if before or "--scaling" not in arguments else 1
    )
    told = capsys.readouterr().err
    if before:
        assert code == 1
        assert (
            f"{path} must be new, or a file that this command wrote, but holds something else"
            in told
        )
        assert path.read_text() == before


def test_a_file_of_its_own_is_written_again_through_a_link(tmp_path, capsys):
    arguments = ["draw", str(tmp_path / "link"), "--preset", "tiny"]
    (tmp_path / "link").symlink_to("file")
    assert [main(arguments), main(arguments)] == [0, 0]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text().startswith("<svg")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--out", ""],
        ["export", "--bundle="],
        ["latents", ""],
        ["compare", "", "a"],
        ["pretrain", "--data", ""],
    ],
)
def test_an_empty_path_is_refused(capsys, arguments):
    assert main(arguments) == 1
    assert "must be given a value, not ''" in capsys.readouterr().err


HOLES = 8 << 40
"""Bytes of a file that takes no room on the disk, and no machine's memory."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["presets", "show", "{}"],
        ["explore", "--spec", "{}"],
        ["estimate", "--untrained", "--sram", "{}"],
        ["estimate", "--untrained", "--logic", "{}"],
        ["estimate", "--bundle", "{}"],
        ["export", "--bundle", "{}"],
        ["dials", "--latents", "{}"],
        ["cosim", "--verilog", "{}"],
        ["synth", "--untrained", "--liberty", "{}"],
        ["compare", "{}", "{}"],
        ["latents", "{}"],
        ["draw", "{}"],
        ["estimate", "--untrained", "--json", "{}"],
    ],
    ids=" ".join,
)
def test_a_file_that_fills_no_disk_but_the_memory_is_refused(
    tmp_path, monkeypatch, capsys, arguments
):
    monkeypatch.chdir(tmp_path)
    holes = tmp_path / "holes.toml"
    holes.touch()
    os.truncate(holes, HOLES)
    assert main([a.format(holes) for a in arguments]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "holes.toml" in told
    assert [p.name for p in tmp_path.iterdir()] == [holes.name]


def test_settings_that_fill_the_memory_are_refused(tmp_path, capsys):
    (tmp_path / "run.json").touch()
    os.truncate(tmp_path / "run.json", HOLES)
    assert main(["export", "--out", str(tmp_path)]) == 1
    assert "run.json must have at most 1,073,741,824 bytes" in capsys.readouterr().err


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    packed = tmp_path / "cells.lib.gz"
    packed.write_bytes(gzip.compress(b" " * 10_000))
    assert reading.unpacked(packed, 10_000) == b" " * 10_000
    monkeypatch.setattr(reading, "MOST_TEXT", 9_999)
    with pytest.raises(
        XnoreplayError, match="cells.lib.gz must unpack to at most 9,999 bytes, but has more"
    ):
        liberty.text_of(packed)


def test_memory_that_is_not_there_is_one_sentence(monkeypatch, capsys):
    def lacking(*_arguments, **_options):
        raise MemoryError

    monkeypatch.setattr(presets, "load", lacking)
    assert main(["presets", "show", "tiny"]) == 1
    assert capsys.readouterr().err == (
        "error: the work must fit into the memory that this process may take, but does not\n"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{}", "'format' is missing"),
        ("5", "a value in it is of another kind"),
        ("null", "a value in it is of another kind"),
    ],
    ids=["empty", "number", "null"],
)
def test_logic_costs_of_another_shape_are_a_plain_sentence(tmp_path, content, why):
    (tmp_path / "logic.json").write_text(content)
    with pytest.raises(
        XnoreplayError, match=f"logic.json must be a file of characterize, but: {why}"
    ):
        measured.read(tmp_path / "logic.json")


@pytest.mark.parametrize(
    "header",
    ["{'descr': (", "{'descr': '|u1", "\x00", "'a'.b", "{'shape': (10**30,)}", "[" * 5000],
    ids=["open", "text", "zero", "name", "size", "deep"],
)
def test_an_array_with_a_damaged_header_is_one_sentence(tmp_path, header):
    text = header.encode().ljust(5200)
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    (tmp_path / "images.npy").write_bytes(content)
    with pytest.raises(recorded.DAMAGE):
        np.load(tmp_path / "images.npy", allow_pickle=False)
    bundles.write(bundles.random(TINY.network, 0), tmp_path / recorded.BUNDLE)
    files.write_json(
        tmp_path / recorded.RECORD,
        {
            "preset": presets.to_dict(TINY),
            "simulator": "icarus",
            "optimise": "-O0",
            "faults": [],
            "commands": [],
        },
    )
    with pytest.raises(XnoreplayError, match="must be a folder that cosim recorded: "):
        recorded.read(tmp_path)
