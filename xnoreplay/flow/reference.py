"""Pages of the reference that are read from the code: commands, and the fields of a spec file."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any


def pages() -> dict[str, str]:
    """Markdown of each generated page, by its path below the documents' folder."""
    return {"reference/commands.md": commands(), "reference/spec.md": spec_fields()}


def commands() -> str:
    """Every command with its options, as its own `--help` describes them."""
    import typer

    from xnoreplay.flow import cli

    root = typer.main.get_command(cli.app)
    lines = ["# Commands", "", "`xnoreplay COMMAND --help` prints the same.", ""]
    for name, command in _walk(root, "xnoreplay"):
        lines += [f"## {name}", "", _paragraphs(command.help or ""), ""]
        context = typer.Context(command, info_name=name)
        rows = [_option(p, context) for p in command.params if p.name != "help"]
        if rows:
            lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """(full name, command) of all commands below one that runs nothing itself."""
    for part, below in getattr(command, "commands", {}).items():
        if hasattr(below, "commands"):
            yield from _walk(below, f"{name} {part}")
        else:
            yield f"{name} {part}", below


def _option(parameter: Any, context: Any) -> str:
    record = parameter.get_help_record(context)
    if record is None:  # an argument without a help of its own
        record = (parameter.make_metavar(context), "")
    names, meaning = record
    return f"| `{_cell(names)}` | {_cell(meaning)} |"


def _paragraphs(text: str) -> str:
    return inspect.cleandoc(text).replace("\b", "")


def _cell(text: str) -> str:
    """A text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def spec_fields() -> str:
    """Every field of a spec file by section: type, default, meaning."""
    from xnoreplay.spec.network import Conv, NetworkSpec
    from xnoreplay.spec.scenario import ScenarioSpec
    from xnoreplay.spec.target import TargetSpec

    lines = [
        "# Fields of a spec file",
        "",
        "`xnoreplay presets show NAME` prints a spec file to change. A file may also name the preset it",
        'starts from, as in `preset = "digits"`, and say only what differs.',
        "",
    ]
    sections = {
        "[network]": NetworkSpec,
        "[[network.convs]]": Conv,
        "[target]": TargetSpec,
        "[scenario]": ScenarioSpec,
    }
    for title, kind in sections.items():
        summary = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0]
        lines += [f"## {title}", "", _cell(summary), ""]
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        meanings = parameters(kind)
        for field in dataclasses.fields(kind):
            has = field.default is not dataclasses.MISSING
            default = f"`{field.default!r}`" if has else ""
            kind_name = getattr(field.type, "__name__", str(field.type))
            meaning = _cell(meanings.get(field.name, ""))
            lines.append(f"| `{field.name}` | `{_cell(kind_name)}` | {default} | {meaning} |")
        lines.append("")
    return "\n".join(lines)


def parameters(kind: type) -> dict[str, str]:
    """Meaning of each parameter in a class's docstring of NumPy's form.

    A line "a, b : int" gives both names the text below it; a parameter without text has its type's.

    >>> class Point:
    ...     '''A point.
    ...
    ...     Parameters
    ...     ----------
    ...     x, y : int
    ...         Pixels from
    ...         the corner.
    ...     name : str
    ...     '''
    >>> parameters(Point)
    {'x': 'Pixels from the corner.', 'y': 'Pixels from the corner.', 'name': ''}
    """
    text = inspect.cleandoc(kind.__doc__ or "")
    found = re.search(r"^Parameters\n-+\n(.*?)(?=^\w.*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL)
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in found[1].splitlines() if found else ():
        if line and not line[0].isspace():
            names = [n.strip() for n in line.partition(":")[0].split(",")]
            meanings |= dict.fromkeys(names, "")
        elif line.strip():
            for name in names:
                meanings[name] = f"{meanings[name]} {line.strip()}".strip()
    return meanings
