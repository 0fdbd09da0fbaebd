"""Presets as TOML text, the inverse of `spec.presets.from_file`."""

import dataclasses
import json
from collections.abc import Iterable, Mapping

from xnoreplay.spec import presets
from xnoreplay.spec.errors import printable
from xnoreplay.spec.presets import Preset


def to_toml(
    preset: Preset, reasons: Mapping[str, str] | None = None, head: Iterable[str] = ()
) -> str:
    """Return a preset as a spec file: `presets.from_dict(tomllib.loads(text))` is the preset.

    It gives every field of the target; of network and scenario those that have a meaning with it.

    Parameters
    ----------
    preset : Preset
        What the file says.
    reasons : mapping of str to str, optional
        Why a field has its value, by the field's name: a comment above it.
    head : iterable of str
        Comments at the top, a line each.
    """
    # Of a target, `to_dict` leaves out what was added later and is as by default.
    tree = presets.to_dict(preset) | {"target": dataclasses.asdict(preset.target)}
    lines = [*(f"# {printable(line)}" for line in head), f"name = {_value(tree.pop('name'))}"]
    for section, fields in tree.items():
        lines += ["", f"[{section}]"]
        for name, value in fields.items():
            if reasons and name in reasons:
                lines.append(f"# {reasons[name]}")
            lines.append(f"{name} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _value(value) -> str:
    """Return a value as TOML writes it: strings, numbers and booleans are written as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list | tuple):
        items = [_value(v) for v in value]
        if any(isinstance(v, dict) for v in value):
            return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
        return "[" + ", ".join(items) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
