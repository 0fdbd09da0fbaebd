"""Absurd options end in one sentence, before any work and before a folder remembers them."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.explore import space as explore_space
from xnoreplay.flow.pipeline.resolve import resolve
from xnoreplay.flow.pipeline.settings import SETTINGS
from xnoreplay.spec import limits, presets
from xnoreplay.spec.errors import SpecError

ABSURD = (
    "0",
    "-1",
    str(1 << 31),
    "1" + "0" * 9,
    "1" + "0" * 23,
    "1" * 5000,
    "nan",
    "inf",
    "",
    "1e400",
    "true",
    "[1]",
)
OPTIONS = {
    "run": ["--seeds", "--images"],
    "cil": ["--seeds", "--step"],
    "cosim": ["--images"],
    "pretrain": ["--epochs"],
    "explore": ["--seeds", "--jobs"],
    "upset": ["--sessions", "--replays", "--flip-flops", "--jobs"],
    "dials": ["--seeds", "--workers"],
    "systems": ["--seeds", "--step", "--epochs", "--buffer", "--workers"],
    "reproduce": ["--seeds", "--buffer", "--workers"],
    "bench": ["--epochs"],
    "estimate": ["--task"],
    "characterize": ["--node"],
    "place": ["--seeds", "--minutes"],
}
NEEDED = {"characterize": ["--cacti", "none"]}
SETS = [
    name for name in limits.MOST if name in presets.PRESETS["digits"].target.__dataclass_fields__
]


@pytest.fixture(autouse=True)
def _room():
    """A bound that is lost ends in a MemoryError of this test, not in the machine's memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:  # no Linux
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(
        resource.RLIMIT_AS, (pages * resource.getpagesize() + 2 * limits.GIB, before[1])
    )
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def sentence(capsys, *arguments):
    """What the command line says of a mistake: one line, and not long."""
    assert cli.main([str(a) for a in arguments]) == cli.BAD_INPUT, arguments
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    return text.removeprefix("error: ").strip()


@pytest.mark.parametrize(
    ("command", "option"),
    [(c, o) for c, options in OPTIONS.items() for o in options],
    ids=lambda v: v,
)
@pytest.mark.parametrize("value", ABSURD, ids=lambda v: v[:24] or "empty")
def test_an_absurd_option_is_refused(capsys, tmp_path, monkeypatch, command, option, value):
    monkeypatch.chdir(tmp_path)
    if (option, value) == ("--minutes", "true"):
        pytest.skip("a number like another")
    sentence(capsys, command, *NEEDED.get(command, ()), f"{option}={value}")
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("value", ABSURD, ids=lambda v: v[:24] or "empty")
def test_an_absurd_dial_is_refused(capsys, name, value):
    if name == "clock_hz" and value in ABSURD[2:4]:
        pytest.skip("a fast clock, but one")
    assert len(sentence(capsys, "estimate", "--set", f"{name}={value}")) < 400


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--seeds", "1" + "0" * 8),
        ("--seeds", "1" + "0" * 23),
        ("--images", "1" + "0" * 9),
        ("--step", "1" + "0" * 9),
    ],
)
def test_a_refusal_takes_no_memory(tmp_path, option, value):
    """A process of its own, whose address space has no room for a list of as many."""
    command = "cosim" if option == "--images" else "cil"
    code = f"from xnoreplay.flow.cli import main; raise SystemExit(main(['{command}', '{option}', '{value}']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limits.GIB, limits.GIB)),
    )
    assert done.returncode == cli.BAD_INPUT, done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "error: "
    )  # after progress, if the machine is busy
    assert not list(tmp_path.iterdir())


def test_a_sweep_has_a_bound(capsys, tmp_path):
    values = ",".join(map(str, range(1, 102)))
    sweep = [f"--sweep={dial}={values}" for dial in ("epochs", "clock_hz")]
    told = sentence(capsys, "explore", "--out", tmp_path / "x", *sweep)
    assert told.startswith("designs of a sweep, all dials' values combined, must be at most 10,000")
    assert told.endswith("not 10201")


def test_a_sweep_without_a_valid_design_is_not_remembered(capsys, tmp_path):
    told = sentence(capsys, "explore", "--out", tmp_path / "x", "--sweep", "lanes=3")
    assert "a sweep must have at least one valid point" in told
    assert not (tmp_path / "x").exists()


def settings(**changed):
    return {
        "preset": presets.to_dict(presets.load("tiny")),
        "seeds": 3,
        "images": 5,
        "simulator": "verilator",
        "place": False,
        "all_classes": False,
        "sweep": None,
        "objective": "supervised",
        "augment": True,
        "dump": False,
        "epochs": None,
        "own_training": False,
        "start": False,
    } | changed


BAD = {
    "seeds": [10**23, "3", None, 1.5, True],
    "images": [10**10, []],
    "epochs": [10**23, "all"],
    "place": [3],
    "dump": ["yes"],
    "augment": [0],
    "simulator": [["verilator"], "icarus9", 3],
    "objective": [None, {}],
    "sweep": [3, [1], {"lanes": 4}, {"lane": [4]}, {"lanes": []}],
}


GOOD = {"sweep": {"lanes": [2]}, "epochs": 5}


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in BAD.items() for v in values], ids=str
)
def test_a_folder_with_a_bad_setting_is_not_dead(capsys, tmp_path, name, value):
    """It says so, and how to go on; and it goes on."""
    folder = tmp_path / "run"
    folder.mkdir()
    remembered = folder / SETTINGS
    remembered.write_text(json.dumps(settings(**{name: value})))
    told = sentence(capsys, "export", "--out", folder)
    assert str(remembered) in told
    assert "give that option anew, or remove the file and name the preset again" in told
    assert json.loads(remembered.read_text())[name] == value
    _, mended = resolve(folder, {name: GOOD.get(name, settings()[name])})
    assert mended.preset == presets.load("tiny")
    remembered.unlink()
    assert cli.main(["export", "--preset", "tiny", "--untrained", "--out", str(folder)]) == 0


def test_a_choice_beside_good_settings_has_its_own_sentence(tmp_path):
    (tmp_path / SETTINGS).write_text(json.dumps(settings()))
    with pytest.raises(
        SpecError,
        match=r"^seeds must be at most 1,000 \(a mean's standard error is then 3 % of the spread\), not 1001$",
    ):
        resolve(tmp_path, {"seeds": 1001})


def test_settings_that_cannot_be_read_say_how_to_go_on(tmp_path):
    (tmp_path / SETTINGS).write_text('{"preset": {"preset": "digits", "target": {"lanes": 3}}}')
    with pytest.raises(
        cli.XnoreplayError, match="remove it and name the preset again: what the steps left stays"
    ):
        resolve(tmp_path, {})


def test_the_default_sweep_is_within_the_bound():
    for preset in presets.PRESETS.values():
        explore_space.checked(explore_space.default(preset))


def test_a_design_that_takes_too_much_names_the_limit(capsys, tmp_path, monkeypatch):
    spec = tmp_path / "huge.toml"
    spec.write_text(
        'preset = "digits"\n[network]\nheight = 4096\nwidth = 4096\nlatent = 65536\nhidden = 65536\n'
    )
    for command in (
        ["estimate"],
        ["export", "--untrained"],
        ["place"],
        ["explore", "--untrained"],
        ["dials"],
    ):
        told = sentence(capsys, *command, "--preset", spec)
        if command != ["dials"]:  # it has no bundle for it
            assert "GiB; set XNOREPLAY_MEMORY to more GiB to allow it" in told
    monkeypatch.setenv(limits.CYCLES, "1000")
    for command in (["estimate"], ["export"], ["explore"], ["bench"]):
        told = sentence(capsys, *command, "--preset", "digits")
        assert told.endswith("set XNOREPLAY_CYCLES to more to allow it"), told
