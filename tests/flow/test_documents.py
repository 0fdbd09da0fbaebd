"""The documents: the tutorial runs as it is written, generated pages say what the code says."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest

from xnoreplay.flow import cli, reference
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.scenario import ScenarioSpec
from xnoreplay.spec.target import TargetSpec

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
EXIT = re.compile(r"  # exit code (\d)$")


def test_the_tutorial_runs(tmp_path, monkeypatch, capfd):
    """Files are written, commands end with the exit code that they name, Python runs as one script."""
    monkeypatch.chdir(tmp_path)
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    ran = []
    for language, title, body in BLOCK.findall(text):
        if language == "toml":
            Path(title).write_text(body, encoding="utf-8")
        elif language == "console":
            for line in body.splitlines():
                command = line.removeprefix("$ ")
                expected = int(found[1]) if (found := EXIT.search(command)) else 0
                program, *arguments = shlex.split(EXIT.sub("", command))
                assert program == "xnoreplay"
                assert cli.main(arguments) == expected, capfd.readouterr().err
                ran.append(arguments[0])
        else:
            assert language == "python"
            exec(compile(body, "tutorial.md", "exec"), {})
            ran.append(language)
    assert ran == ["run", "generate", "cosim", "run", "report", "report", "compare", "cosim", "cosim", "python"]
    said = capfd.readouterr()
    assert "must equal the simulator, but: command" in said.err
    assert re.search(r"[\d,]+ cycles, [\d.]+ ms", said.out)
    assert list(tmp_path.glob("runs/mine/cosim/waves/10-60/*.fst"))


@pytest.mark.parametrize("kind", [NetworkSpec, Conv, TargetSpec, ScenarioSpec])
def test_every_field_of_a_spec_is_on_its_page(kind):
    page = reference.spec_fields()
    for field in dataclasses.fields(kind):
        row = next(r for r in page.splitlines() if r.startswith(f"| `{field.name}` |"))
        if field.default is not dataclasses.MISSING:
            assert f"`{field.default!r}`" in page, row


def test_every_command_and_option_is_on_its_page():
    import typer

    page = reference.commands()
    root = typer.main.get_command(cli.app)
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            continue
        section = page.split(f"## xnoreplay {name}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            if parameter.name != "help":
                assert any(option in section for option in parameter.opts), (name, parameter.opts)
    assert "## xnoreplay presets show\n" in page
