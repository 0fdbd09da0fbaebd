"""What memories promise of reads and writes in one cycle, held to every cycle of the stepping simulator."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from tests.strategies import DRAWING
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.memories import Apart
from xnoreplay.spec.network import Conv
from xnoreplay.spec.trace import Cycle, Stream, Write

TINY = presets.load("tiny")
CHIPS = {
    "stored": TINY,
    "skips": replace(
        TINY,
        network=replace(
            TINY.network,
            convs=(Conv(8), Conv(4, skip=True), Conv(8), Conv(4, pool=True, skip=True)),
        ),
    ),
    "hidden": presets.vary(TINY, "target", hidden_learns=True),
    "generative": presets.vary(TINY, "target", **DRAWING),
}


NEEDED = {
    "stored": {
        "cls.low": Apart.STATES,
        "cls.top": Apart.PHASES,
        "replay.label": Apart.PHASES,
    },
    "skips": {"act.ping": Apart.PHASES},
    "hidden": {"batch.bank": Apart.PHASES, "cls.hidden_low": Apart.STATES},
    "generative": {"fit.count": Apart.STATES, "replay.mean": Apart.PHASES},
}
"""Reasons that do not hold of some memories, which therefore have weaker ones."""


def seen_apart(cycles, depths: dict[str, int]) -> dict[str, set[Apart]]:
    """What is true of each memory in some cycles, of `Apart`; a memory's words are its rows modulo its depth."""
    reading, writing = defaultdict(set), defaultdict(set)
    both, met = set(), set()
    for cycle in cycles:
        for name, row in cycle.reads.items():
            reading[name].add(cycle.phase)
            written = {write.address % depths[name] for write in cycle.writes.get(name, ())}
            if written:
                both.add(name)
            if row % depths[name] in written:
                met.add(name)
        for name, writes in cycle.writes.items():
            if writes:
                writing[name].add(cycle.phase)
    found = {}
    for name in depths:
        held = {
            Apart.UNWRITTEN: not writing[name],
            Apart.PHASES: not reading[name] & writing[name],
            Apart.STATES: name not in both,
            Apart.ROWS: name not in met,
        }
        found[name] = {apart for apart, true in held.items() if true}
    return found


def early(cycles, late: dict[str, int], slots: int) -> set[str]:
    """Memories of late writes of which a cycle reads a row that was given a word in the cycle before.

    late : words of each; slots : of a lane's file, whose reads show in the operand: enabled taps of the lanes at work
    """
    found = set()
    for before, cycle in zip(cycles, cycles[1:], strict=False):
        for name, depth in late.items():
            written = {write.address % depth for write in before.writes.get(name, ())}
            if name in cycle.reads and cycle.reads[name] % depth in written:
                found.add(name)
        stream = cycle.stream
        for write in before.writes.get("lane.file", ()) if stream else ():
            lane, slot = divmod(write.address, slots)
            enabled = (1 << stream.taps) - 1
            if slot == stream.slot and stream.lanes >> lane & 1 and write.mask & enabled:
                found.add("lane.file")
    return found


def cycles_of(preset):
    """Every cycle of samples that come, a session, its end, and of an image."""
    compiled = plan.compile(preset.network, preset.target)
    weights = bundle.random(preset.network, 0, preset.scenario.max_pixel)
    chip = Simulator(compiled, weights, "step", trace=True)
    chip.trace_cycles()
    shape = preset.network.image_shape
    pictures = np.random.default_rng(3).integers(0, 17, (10, *shape)).astype(np.uint8)
    results = [chip.arrive(2)]
    results += [chip.insert(picture, n % 2) for n, picture in enumerate(pictures[:6])]
    results += [chip.arrive(3)]
    results += [chip.stage(picture, 2) for picture in pictures[6:9]]
    results += [chip.epoch(), chip.retrain(), chip.rebalance(), chip.restore()]
    results += [chip.infer(pictures[9])]
    return compiled, [cycle for result in results for cycle in result.trace]


@pytest.mark.parametrize("name", CHIPS)
def test_reads_and_writes_are_apart_as_declared(name):
    compiled, cycles = cycles_of(CHIPS[name])
    depths = {memory.name: memory.depth for memory in compiled.memories}
    found = seen_apart(cycles, depths)
    declared = {m.name: m.apart for m in compiled.memories if m.declaration.traced and m.apart}
    assert {n: apart for n, apart in declared.items() if apart not in found[n]} == {}
    late = {m.name: m.depth for m in compiled.memories if m.declaration.late and m.apart}
    slots = compiled.memory("lane.file").depth
    assert len(late) > 2
    assert early(cycles, late, slots) == set()
    # Who has a weaker reason than others needs it.
    assert [n for n, stronger in NEEDED[name].items() if stronger in found[n]] == []


@pytest.mark.parametrize(("taps", "found"), [(1, {"a"}), (2, {"a", "lane.file"})])
def test_a_read_of_what_was_just_given_is_seen(taps, found):
    """Row 3 of one memory; slot 1 of lane 1, whose second tap is written."""
    given = {"a": (Write(3, 0),), "lane.file": (Write(5, 0, 0b10),)}
    first = Cycle(0, "some", {}, given, None, None)
    then = Cycle(1, "some", {"a": 3}, {}, Stream(0, 1, taps, 0b10), None)
    assert early([first, then], {"a": 8}, 4) == found
    assert early([first, first, then._replace(reads={"a": 4}, stream=None)], {"a": 8}, 4) == set()


def test_no_memory_with_a_clocked_read_may_meet():
    compiled = plan.compile(TINY.network, TINY.target)
    kinds = ("RAM", "BANKS", "PLANES", "PLANE_BANKS", "CLASSIFIER")
    clocked = [m for m in compiled.memories if m.declaration.kind.name in kinds]
    assert [m.name for m in clocked if m.apart is None] == []
