"""A new command of the chip is one row of a table, a new kind of step one class: shown in a copy of the package.

The copy consists of links to the package's files, but for those that are edited.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xnoreplay.flow.run import tools

ROOT = Path(__file__).parent.parent / "xnoreplay"
ROW = """
    TRIM = (
        9,
        Row(
            "sets QUOTA, and evicts what is above it",
            operations=("quota", "evict"),
            changes=_TRIMMED,
            argument="label",
            rules=(
                Rule(
                    Operand.ARGUMENT,
                    "<",
                    Operand.SEEN,
                    "label to trim",
                    "label must be below {seen}, not {argument}",
                ),
            ),
        ),
    )
"""
CLASS = '''
class Wait(Kind):
    """A pause."""

    name = "wait"
    meaning = "lets clocks pass"

    async def drive(self, bench, step: dict) -> dict:
        """Let clocks pass."""
        await bench.clocks(step["argument"])
        return {}


'''
EDITS = {
    "spec/commands.py": ("    def phases(self", ROW.lstrip("\n") + "\n"),
    "flow/verify/cosim/kinds.py": ("KINDS: dict", CLASS.lstrip("\n")),
}
"""File, the text before which something comes in, and what comes in."""
PROBE = """
import json
import sys
from pathlib import Path

import numpy as np

from xnoreplay.flow import reference
from xnoreplay.flow.chip import generate
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify.cosim import chip, coverage, kinds, port_points, session, short, waveforms
from xnoreplay.flow.verify.cosim.script import Script, Step
from xnoreplay.hw import verilog
from xnoreplay.sim.host import HostPort
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.commands import Command
from xnoreplay.spec.registers import Register

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0, TINY.scenario.max_pixel)
folder, simulator = Path(sys.argv[1]), sys.argv[2]
data = registry.of_preset(TINY)
script = short.build(TINY, PLAN, data, BUNDLE)
needed = coverage.required(PLAN, BUNDLE, script)
enumerated = {e.name: e for e in waveforms.enumerations(PLAN)}
found = {
    "page": [r for r in reference.host_map().splitlines() if "`TRIM`" in r],
    "manifest": generate.host_map(PLAN)["commands"].get("TRIM"),
    "names": kinds.names(),
    "needed": [needed["commands"], needed["commands refused"]],
    "port": [n for n in port_points.required(PLAN, script.stages) if " TRIM " in n],
    "steps": [s.command for s in script.steps],
    "waveform": enumerated["command"].texts,
    "verilog": verilog.generate(PLAN),
}
model = Simulator(PLAN, BUNDLE)
port = HostPort(model)
model.arrive(2)
found["answers"] = [int(port.transfer(Register.COMMAND, 9 | n << 16)[0]) for n in (0, 1, 2, 65_535)]
try:
    model.carry_out(Command.TRIM, 2)
except ValueError as error:
    found["sentence"] = str(error)
if simulator:
    (folder / chip.VERILOG).write_text(found["verilog"], encoding="utf-8")
    look = {"memories": tuple(m.name for m in PLAN.memories), "bus": True}
    steps = [
        Step("refuse", 9, **look),
        Step("arrive", 2, **look),
        *(Step("insert", n % 2, n, **look) for n in range(3)),
        *(Step("refuse", 9 | n << 16, **look) for n in (2, 65_535)),
        Step("trim", 1, trace=True, **look),
        Step("wait", 20, **look),
        Step("trim", 0, **look),
    ]
    with chip.opened(TINY, BUNDLE, folder, Silent(), optimise="-O0") as design:
        setup, _ = design.setup(simulator)
        run = session.compare(setup, Script(tuple(steps), data.images), folder / "run", "", Silent())
    found["differences"] = [str(d) for d in run.differences]
    found["compared"] = run.compared
del found["verilog"]
print(json.dumps(found))
"""


def copied(source: Path, target: Path, edits: dict[str, tuple[str, str]]) -> None:
    """Link what a folder holds, and write the files below it that are edited."""
    target.mkdir()
    for path in source.iterdir():
        if path.name in edits:
            mark, text = edits[path.name]
            whole = path.read_text(encoding="utf-8")
            assert whole.count(mark) == 1
            (target / path.name).write_text(whole.replace(mark, text + mark), encoding="utf-8")
            continue
        prefix = f"{path.name}/"
        inside = {n.removeprefix(prefix): e for n, e in edits.items() if n.startswith(prefix)}
        if inside:
            copied(path, target / path.name, inside)
        elif path.name != "__pycache__":
            (target / path.name).symlink_to(path.resolve())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What every part of the edited package knows of the new command and the new step."""
    folder = tmp_path_factory.mktemp("edited")
    copied(ROOT, folder / "xnoreplay", EDITS)
    simulator = "icarus" if tools.icarus() else ""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, folder, simulator],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_documents_and_programs_know_a_new_command(found):
    assert found["manifest"] == 9
    (row,) = found["page"]
    assert "label, below SEEN | sets QUOTA, and evicts what is above it | quota, evict |" in row
    assert found["waveform"][9] == "trim"


def test_the_simulator_refuses_what_a_new_rule_refuses(found):
    assert found["answers"] == [0, 0, 2, 2]
    assert found["sentence"] == "label must be below 2, not 2"


def test_a_script_must_reach_a_new_command_and_does(found):
    commands, refused = found["needed"]
    assert "trim" in commands
    assert "label to trim" in refused
    assert "trim" in found["steps"]
    assert {"trim", "wait"} <= set(found["names"])
    answers = {"busy SLVERR", "stale SLVERR", "illegal SLVERR", "OKAY"}
    tried = {n.removeprefix("write COMMAND TRIM ") for n in found["port"]}
    assert answers - {"stale SLVERR"} <= tried


@pytest.mark.skipif(not tools.icarus(), reason="no Icarus Verilog")
def test_the_chip_carries_out_a_new_command_as_the_simulator_does(found):
    """In every bit and cycle, and it refuses the same words; the new step is carried out on both sides."""
    assert found["differences"] == []
    assert found["compared"]["commands.trim"] == 2
    assert found["compared"]["commands.wait"] == 1
    assert found["compared"]["responses"] == 3
    assert found["compared"]["trace.lines"] > 0
