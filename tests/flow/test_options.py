"""An option of a run folder is one field: command line, help, page, memory and configuration follow from it."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import xnoreplay
from xnoreplay.flow import cli
from xnoreplay.flow.commands.options import step_command
from xnoreplay.flow.commands.steps import COMMANDS as FUNCTIONS
from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.pipeline import options, steps
from xnoreplay.flow.pipeline.options import COMMANDS, Memory, Option
from xnoreplay.flow.pipeline.resolve import resolve
from xnoreplay.flow.pipeline.settings import SETTINGS, Request, Settings, offered, table
from xnoreplay.spec import limits, presets
from xnoreplay.spec.errors import SpecError

TINY = presets.load("tiny")
PACKAGE = Path(xnoreplay.__file__).parent
FIELD = """
    trials: int = option(
        2,
        "Trials of each session.",
        "N",
        steps=("cil",),
        memory=Memory.FOLDER,
        bound="seeds",
    )
"""
USE = """
import json, sys
from pathlib import Path
import typer
from xnoreplay.flow import cli, reference
from xnoreplay.flow.pipeline import settings, steps
from xnoreplay.flow.pipeline.resolve import resolve

def configured(folder):
    _, chosen = resolve(folder, {})
    return steps.configs(chosen)

folder = Path(sys.argv[1])
parser = typer.main.get_command(cli.app).commands["cil"]
asked = ["--untrained", "--preset", "tiny", "--out", str(folder)]
assert cli.main(["export", *asked]) == 0
before = configured(folder)
wrong = cli.main(["cil", "--out", str(folder), "--trials", "1001"])
_, given = resolve(folder, {"trials": 5})
run = steps.open_run(folder, given, None)
steps.set_up(run, given, ["cil"])
print(json.dumps({
    "help": parser.get_help(typer.Context(parser, info_name="cil")),
    "page": reference.commands().split("## xnoreplay cil\\n")[1].split("\\n## ")[0],
    "elsewhere": reference.commands().count("--trials"),
    "default": before["cil"]["trials"],
    "later": configured(folder)["cil"]["trials"],
    "steps": [name for name, config in before.items() if "trials" in config],
    "remembered": json.loads((folder / settings.SETTINGS).read_text())["trials"],
    "wrong": wrong,
}))
"""


def with_edit(folder: Path, file: str, old: str, new: str) -> None:
    """Lay out the package in a folder by links, but for one file in which a text is replaced."""
    source, target = PACKAGE, folder / PACKAGE.name
    for part in [*Path(file).parts, None]:
        if part is None:
            text = source.read_text(encoding="utf-8")
            assert text.count(old) == 1
            target.write_text(text.replace(old, new), encoding="utf-8")
            return
        target.mkdir()
        for path in source.iterdir():
            if path.name not in (part, "__pycache__"):
                (target / path.name).symlink_to(path.resolve())
        source, target = source / part, target / part


def test_a_new_option_is_one_edit(tmp_path):
    place = "    sweep: dict[str, list] | None = option("
    with_edit(tmp_path, "flow/pipeline/settings.py", place, FIELD.lstrip("\n") + place)
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "--trials N" in found["help"]
    assert "Trials of each session. [default: the run" in found["help"]
    row = "| `--trials N` | Trials of each session. [default: the run folder's, or 2] |"
    assert row in found["page"]
    assert found["elsewhere"] == 1  # no other command offers it
    assert (found["default"], found["later"], found["remembered"]) == (2, 5, 5)
    assert found["steps"] == ["cil"]
    assert found["wrong"] == cli.BAD_INPUT
    assert (
        "error: trials must be at most 1,000 (a mean's standard error is then 3 % of the spread), not 1001"
        in (done.stderr)
    )


def test_every_command_is_there_and_named():
    assert tuple(f.__name__ for f in FUNCTIONS) == COMMANDS
    assert {c for o in table().values() for c in o.commands} <= set(COMMANDS)
    names = steps.steps(train=True)
    assert {s for o in table().values() for s in o.steps} <= set(names)


def test_a_number_without_a_bound_is_refused_at_import():
    kind = dataclasses.make_dataclass(
        "Kind", [("trials", int | None, options.option(None, "Trials.", "N"))]
    )
    with pytest.raises(ValueError, match=r"option trials must have a bound in spec/limits\.py"):
        options.of_fields(kind)


@pytest.mark.parametrize("name", options.of_fields(Settings))
def test_every_setting_can_be_used(name):
    """It reaches a step, or the memory; a number has a bound; the default passes its own check."""
    declared = options.of_fields(Settings)[name]
    assert declared.help.endswith(".")
    assert declared.steps or declared.memory is not Memory.NONE
    assert declared.base is not int or declared.bound in limits.MOST
    assert declared.commands or name in ("sweep", "own_training")
    declared.check(name, declared.default)
    assert declared.restore(json.loads(json.dumps(declared.plain(declared.default)))) == (
        declared.default
    )


@pytest.mark.parametrize(
    ("kind", "value"), [(Path | None, Path("a/b")), (tuple[str, ...], ("a", "b")), (int, 3)]
)
def test_a_folder_can_remember_a_value_of_any_type(kind, value):
    declared = Option("Some help.", kind=kind)
    written = json.loads(json.dumps(declared.plain(value)))
    assert declared.restore(written) == value
    assert declared.restore({}) == {}  # of no type of ours: for the check to refuse


@pytest.mark.parametrize("step", steps.steps(train=True))
def test_a_configuration_has_the_settings_of_its_step(step):
    settings = Settings(TINY, BundleSource("random"), images=7, faults=("a",), epochs=4)
    config = steps.configs(settings)[step]
    declared = {n for n, o in options.of_fields(Settings).items() if step in o.steps}
    assert declared <= config.keys()
    if step == "cosim":
        assert (config["images"], config["faults"]) == (7, ["a"])
    assert json.loads(json.dumps(config)) == config


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("images", 0, "images must be a positive integer, not 0"),
        ("place", 1, "place must be true or false, not 1"),
        ("objective", 3, "objective must be a word, not 3"),
        ("families", ("ecp6",), "family must be one of .* not 'ecp6'; did you mean 'ecp5'"),
    ],
)
def test_a_value_is_checked_by_its_field(name, value, sentence):
    with pytest.raises(SpecError, match=sentence):
        Settings(TINY, BundleSource("random"), **{name: value})


def test_a_request_keeps_what_was_given_and_leaves_the_rest_open():
    asked = []

    def cosim(request: Request, extra: str | None = None) -> None:
        asked.append((request, extra))

    step_command(cosim)(
        **dict.fromkeys(offered("cosim"))
        | {"preset": "tiny", "faults": ["x", "y"], "trust": False, "extra": "more"}
    )
    request, extra = asked[0]
    assert (request.preset, request.out, extra) == ("tiny", None, "more")
    given = {name: value for name, value in request.settings.items() if value is not None}
    assert given == {"faults": ("x", "y")}
    assert request.chosen["preset"] == "tiny"
    step_command(cosim)(**dict.fromkeys(offered("cosim")), extra=None)  # all is left open
    assert asked[1][0] == Request(settings=dict.fromkeys(request.settings))


def test_the_memory_of_a_folder_is_what_the_fields_say(tmp_path):
    _, settings = resolve(
        tmp_path, {"preset": "tiny", "seeds": 4, "trust": True, "untrained": True}
    )
    run = steps.open_run(tmp_path, settings, None)
    steps.set_up(run, settings, [])
    written = json.loads((tmp_path / SETTINGS).read_text())
    kept = {n for n, o in table().items() if o.memory is not Memory.NONE}
    assert written.keys() == {"preset", *kept}
    assert written["seeds"] == 4
