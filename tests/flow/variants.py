"""Many changed texts of one design as one text, so that a simulator is built once for all."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.verilate import Verilate, cocotb_build
from xnoreplay.flow.verify.cosim.bench.requests import SELECT
from xnoreplay.flow.verify.cosim.session import Setup
from xnoreplay.flow.verify.mutation import catalogue
from xnoreplay.flow.verify.mutation.server import Server
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.presets import Preset

_CHOICE = re.compile(r"(\s*(?:else )?if \()(.*)(\) begin)|(\s*(?:assign )?\S+ +<?= )(.*)(;)")
"""A line whose value may be chosen: what comes before the value, the value, and what comes after."""


def joined(text: str, changed: list[str]) -> str:
    """The text with an input `SELECT`: where it is n, the n-th changed text acts, and at 0 the text itself.

    The texts differ in the values of lines alone.
    """
    bits = len(changed).bit_length()
    lines = catalogue.planted(text, {}, bits).splitlines()
    right = text.splitlines()
    for number, other in enumerate(changed, 1):
        for index, (was, now) in enumerate(zip(right, other.splitlines(), strict=True)):
            if was != now:
                kept, wrong = _parts(lines[index]), _parts(now)
                value = f"{SELECT} == {bits}'d{number} ? {wrong[1]} : ({kept[1]})"
                assert (kept[0], kept[2]) == (wrong[0], wrong[2])
                lines[index] = f"{kept[0]}{value}{kept[2]}"
    return "\n".join([*lines, ""])


def _parts(line: str) -> list[str]:
    found = _CHOICE.fullmatch(line)
    assert found is not None, line
    return [group for group in found.groups() if group is not None]


@contextmanager
def served(
    text: str, preset: Preset, weights: Bundle, folder: Path, **more: Any
) -> Iterator[Server]:
    """A simulator of a text with `SELECT`, which begins a copy of itself for each comparison; more is of its `Setup`."""
    build = cocotb_build(Verilate(tools.verilator_env(), "-O0"), text, Silent(), (SELECT,))
    server = Server(Setup(preset, weights, "verilator", build.folder, **more), folder / "server")
    try:
        yield server
    finally:
        server.close()
