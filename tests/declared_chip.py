"""What the packages know of a memory and an event that stand in nothing but their tables; see `test_declarations`.

Run as a program in a copy of the packages whose tables have the memory ``pad.word`` and the event ``pad.rounds``.
Prints what it finds as JSON.
"""

import json
import sys

import numpy as np

from xnoreplay.flow import reference
from xnoreplay.flow.chip import generate
from xnoreplay.flow.cost import estimate
from xnoreplay.flow.output import diagram
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim.bench.view import ChipView, Tracer
from xnoreplay.flow.verify.cosim.waves import layout
from xnoreplay.flow.verify.cosim.waves.fst import Signal, Waveform
from xnoreplay.hw import sequencer, verilog
from xnoreplay.sim.common.state import State
from xnoreplay.sim.run import Simulator
from xnoreplay.sim.step import registers as step
from xnoreplay.spec import bundle, plan, presets, snapshot, trace
from xnoreplay.spec.events import Event
from xnoreplay.spec.memories import Mem

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
WORD = 0x12_3456_789A


class Handle:
    """Stands for any handle of a simulator, and knows its path."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __getattr__(self, name: str) -> "Handle":
        return Handle(f"{self.path}.{name}")

    def __getitem__(self, row: int) -> "Handle":
        return Handle(f"{self.path}[{row}]")

    def __len__(self) -> int:
        return 64


def simulated() -> dict:
    """Storage, window, counters and a write in stepping mode."""
    chip = Simulator(PLAN, bundle.random(TINY.network, 0))
    chip.write_row("pad.word", 2, WORD)
    state: State = chip._state
    state.counters.events[Event.PADDED] += 5
    queued = step.new_image_ports(chip._program.geometry, state.counters)
    step.present(queued, Mem.PAD, 2)
    step.write_row(queued, Mem.PAD, 1, np.array([WORD + 1], np.uint64), 1)
    step.apply_writes(state.rows, queued)
    return {
        "rows": chip.memory_ints("pad.word"),
        "read": chip.read_row("pad.word", 2),
        "counters": {n: v for n, v in chip.counters.items() if n.startswith("pad.")},
    }


def viewed() -> dict:
    """Where a test bench looks, and what a line of a trace shows."""
    view = ChipView(Handle("chip"), PLAN, int)
    line = trace.line(7, "input", {"pad.word": 2}, {}, None, None)
    return {
        "row": view.memories["pad.word"].rows[1].path,
        "ren": Tracer(view).strobes["pad.word"].ren.path,
        "counter": view.counters.low[view.counter_names.index("pad.rounds")].path,
        "line": line,
    }


def waves() -> dict:
    """Groups of a waveform that has the ports of the memory's instance."""
    names = ("ren", "raddr", "rdata")
    scope = f"{TOP}.pad_word"
    signals = [Signal(s, n, "", 1, b"") for s in (scope, f"{scope}.array") for n in names]
    groups = layout.groups(Waveform(tuple(signals), (), 0, 1, 0, 0))
    memories = next(group for group in groups if group.name == "memories")
    return {group.name: [s.name for s in group.signals] for group in memories.inner}


def generated() -> dict:
    """The Verilog, the host's map in the manifest, and what is said of an event that no unit counts."""
    text = verilog.generate(PLAN)
    found = {
        "instances": [n for n in ("pad_word", "pad_rounds", "memory_pad_word__ren") if n in text],
        "map": generate.host_map(PLAN),
    }
    sequencer.Sequencer.events = lambda unit: {"cycles": unit.busy}
    try:
        verilog.generate(PLAN)
    except ValueError as error:
        found["uncounted"] = str(error)
    return found


def documented() -> dict:
    """Rows of the page of the host's map, and whether the diagram lists the memory."""
    rows = [line for line in reference.host_map().splitlines() if "pad." in line]
    return {"rows": rows, "drawn": "pad.word" in diagram.chip_svg(PLAN, "tiny")}


def estimated() -> dict:
    """Counts of an estimate's rows, and the memory map's bits."""
    rows = estimate.energy(PLAN, {"pad.word.reads": 3, "pad.rounds": 2}, cycles=1)
    instances = estimate.memory_map(PLAN)["instances"]
    return {
        "rows": {r.event: r.count for r in rows if r.part == "pad.word"},
        "bits": {m["name"]: m["bits"] for m in instances}["pad.word"],
    }


def main() -> None:
    """Print all of it."""
    facts = {
        "saved": [w.memory.name for w in snapshot.windows(PLAN)],
        "simulated": simulated(),
        "viewed": viewed(),
        "waves": waves(),
        "documented": documented(),
        "estimated": estimated(),
        "generated": generated(),
    }
    json.dump(facts, sys.stdout)


if __name__ == "__main__":
    main()
