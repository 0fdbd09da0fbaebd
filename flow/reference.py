"""Pages of the reference that are read from the code: commands, fields of a spec file, the host's map."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.presets import must_be_given
from xnoreplay.spec.registers import Register, Status


def pages() -> dict[str, str]:
    """Markdown of each generated page, by its path below the documents' folder."""
    return {
        "reference/commands.md": commands(),
        "reference/spec.md": spec_fields(),
        "reference/registers.md": host_map(),
    }


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
    if parameter.param_type_name == "argument":
        names = re.sub(r" <.*>$", "", names)  # its Python type
    return f"| `{_cell(names)}` | {_cell(meaning)} |"


def _paragraphs(text: str) -> str:
    return inspect.cleandoc(text).replace("\b", "")


def _cell(text: str) -> str:
    """A text as one cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def spec_fields() -> str:
    """Every field of a spec file by section: type, default, meaning."""
    from xnoreplay.spec.features import FeatureSpec
    from xnoreplay.spec.network import Conv, NetworkSpec
    from xnoreplay.spec.pixels import PixelSpec
    from xnoreplay.spec.scenario import FeatureSource, ImageSource, ScenarioSpec
    from xnoreplay.spec.target import TargetSpec

    lines = [
        "# Fields of a spec file",
        "",
        "`xnoreplay presets show NAME` prints a spec file to change. A file may also name the preset it",
        'starts from, as in `preset = "digits"`, and say only what differs. The most of a number that has no range',
        "here is in [Limits](../limits.md).",
        "",
    ]
    sections = {
        "[network]": NetworkSpec,
        "[[network.convs]]": Conv,
        "[target]": TargetSpec,
        "[scenario]": ScenarioSpec,
    }
    for title, kind in sections.items():
        lines += [f"## {title}", "", _summary(kind), "", *FIELD_TABLE, *_fields(kind), ""]
    lines += [
        "## dataset, as a table",
        "",
        '`dataset` of [scenario] is also a table, as in `dataset = { path = "parts", fit = "pad" }`: a data set of',
        "your own, see [Your own images](../own_images.md). Its fields are the path, a name, and how an image becomes",
        "the [pixels](../pixels.md) of the network.",
        "",
        *FIELD_TABLE,
        *_fields(ImageSource),
        NAME_ROW,
        *_fields(PixelSpec),
        "",
        "## dataset of features, as a table",
        "",
        'Of a network that is given latents the table names vectors of features, as in `dataset = { path = "x.npz",',
        'binarise = "thermometer" }`, see [Your own features](../own_features.md). Its fields are the path, a name, and how a',
        "vector becomes a [latent](../features.md).",
        "",
        *FIELD_TABLE,
        *_fields(FeatureSource),
        NAME_ROW,
        *_fields(FeatureSpec),
        "",
    ]
    return "\n".join(lines)


FIELD_TABLE = ("| field | type | default | meaning |", "|---|---|---|---|")
NAME_ROW = "| `name` | `str` | of the path | What reports call the data set. |"
FROM_TABLE = ("source", "pixels", "features")
"""Fields that a spec file gives as the table `dataset`."""


def fields_of(kind: type) -> list[dataclasses.Field]:
    """Return the fields of a class that a spec file gives by their own name."""
    return [f for f in dataclasses.fields(kind) if f.init and f.name not in FROM_TABLE]


def _summary(kind: type) -> str:
    return _cell(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0])


def _fields(kind: type) -> Iterator[str]:
    """A row of `FIELD_TABLE` for each field of a class."""
    meanings = parameters(kind)
    for field in fields_of(kind):
        default = "" if must_be_given(field) else f"`{field.default!r}`"
        kind_name = getattr(field.type, "__name__", str(field.type))
        cells = (f"`{field.name}`", f"`{_cell(kind_name)}`", default, _cell(meanings[field.name]))
        yield f"| {' | '.join(cells)} |"


SHOWN = ("tiny", "digits")
"""Presets whose numbers stand beside those of every chip."""


def host_map() -> str:
    """Registers, commands, bits of STATUS, windows and counters as the host addresses them."""
    from xnoreplay.spec import plan, presets

    plans = {}
    for name in SHOWN:
        preset = presets.load(name)
        plans[name] = plan.compile(preset.network, preset.target)
    lines = [
        "# Registers, commands and windows",
        "",
        "All addresses are in bytes, all words of 32 bits. [What a host reads and writes](../host.md) says how they",
        "are used. `manifest.json`, which `generate` writes, has `registers`, `commands`, `windows` and `counters`",
        "of one chip.",
        "",
        "## Registers",
        "",
        "| offset | name | access | bits |",
        "|---|---|---|---|",
    ]
    for register in Register:
        row = (
            f"`{int(register):#05x}`",
            f"`{register.name}`",
            register.access,
            _cell(register.bits),
        )
        lines.append(f"| {' | '.join(row)} |")
    lines += ["", "Values that a write is taken with:", ""]
    lines += [f"| register | every chip | {' | '.join(SHOWN)} |", "|---|---|" + "---|" * len(SHOWN)]
    for register in Register:
        if register.values is None:
            continue
        ranges = [registers.writable(p.memories)[register] for p in plans.values()]
        shown = [f"{r.start} to {r.stop - 1:,}" for r in ranges]
        lines.append(f"| `{register.name}` | {register.values.words} | {' | '.join(shown)} |")
    lines += [
        "",
        "## Commands",
        "",
        "| number | name | argument | what it does | operations | what outlasts it and may change |",
        "|---|---|---|---|---|---|",
    ]
    for command in Command:
        cells = (
            str(int(command)),
            f"`{command.name}`",
            command.title_of_argument(),
            command.meaning,
            ", ".join(command.operations),
            ", ".join(f"`{name}`" for name in command.changes),
        )
        lines.append(f"| {' | '.join(cells)} |")
    waits = ", ".join(c.name for c in Command if c.counted)
    images = ", ".join(c.name for c in Command if c.image)
    lines += [
        "",
        "Where the argument is none, any is taken and ignored; COMMAND reads back with it.",
        "",
    ]
    lines += [f"While STALE is 1, these are refused: {waits}.", ""]
    lines += [
        f"These take an image from the pixel stream: {images}. Those of a chip without convolutions"
    ]
    lines += ["take a latent from its latent stream.", ""]
    lines += [
        "*features* are the operations that make an image's latent: input, convolutions, lgap, latent (input alone",
        "where latents are given);",
    ]
    lines += [
        "*session* those of a retraining. The operation `admit` is none of a chip without staging memory."
    ]
    lines += ["", "## Bits of STATUS", "", "| bit | name | meaning |", "|---|---|---|"]
    lines += [f"| {int(bit)} | `{bit.name}` | {bit.meaning} |" for bit in Status]
    lines += ["", "Bits above are 0.", "", "## Windows", ""]
    lines += ["Rows x bits of a memory; a chip without it answers DECERR in its place.", ""]
    lines += [
        f"| base | memory | access | {' | '.join(SHOWN)} |",
        "|---|---|---|" + "---|" * len(SHOWN),
    ]
    for i, memory in enumerate(registers.HOST_MEMORIES):
        there = [{m.name: m for m in p.memories}.get(memory) for p in plans.values()]
        sizes = [f"{m.depth:,} x {m.width:,}" if m else "absent" for m in there]
        access = "read while idle" if memory in registers.READ_ONLY else "read, write while idle"
        base = (i + 1) << registers.WINDOW_SHIFT
        lines.append(f"| `{base:#010x}` | `{memory}` | {access} | {' | '.join(sizes)} |")
    lines += ["", "## Counters", ""]
    lines += [
        (
            "In this order; a chip has none of a memory that it lacks, and none of a group that `counters` of its "
            "target leaves out, and those after it move up. Where `counter_bits` is 0 there are none."
        ),
        "",
    ]
    lines += [
        f"| counter | what it counts | {' | '.join(f'offset in {n}' for n in SHOWN)} | group |",
        "|---|---|" + "---|" * len(SHOWN) + "---|",
    ]
    names = [registers.counters(p.memories, p.target) for p in plans.values()]
    for counter in registers.COUNTERS:
        places = [
            f"`{Register.COUNTERS + 8 * own.index(counter):#x}`" if counter in own else "absent"
            for own in names
        ]
        lines.append(
            f"| `{counter}` | {registers.meaning(counter)} | {' | '.join(places)} | {registers.group(counter)} |"
        )
    return "\n".join([*lines, ""])


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
    ...
    ...     Raises
    ...     ------
    ...     ValueError
    ...         For no point.
    ...     '''
    >>> parameters(Point)
    {'x': 'Pixels from the corner.', 'y': 'Pixels from the corner.', 'name': ''}
    """
    text = inspect.cleandoc(kind.__doc__ or "")
    found = re.search(
        r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL
    )
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
