"""Every event counter of images and replay memory against its closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.chips import destination_bank
from tests.strategies import any_designs, images
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import registers
from xnoreplay.spec.plan import SEED_DRAWS, Plan


def conv_counters(op) -> dict[str, int]:
    """Strobes and beats of one convolution."""
    pixels = op.tiles * op.pixels
    moves = op.cycles - op.load - 1
    writes = pixels // 4 if op.pool else pixels
    forms = {
        "cycles": op.cycles,
        "array.beats": pixels * op.beats,
        "array.taps": pixels * op.beats * 9 * op.lanes,
        "weights.fe.reads": op.tiles * op.load,
        "lane.file.writes": op.tiles * op.load,
        "lane.file.reads": pixels * op.beats * op.lanes,
        f"{op.source_bank}.reads": pixels * op.beats,
        f"{destination_bank(op)}.writes": writes,
    }
    for ring in ("line.row0", "line.row1"):
        forms |= {f"{ring}.reads": moves, f"{ring}.writes": moves}
    if op.skip_shift:
        forms[f"{destination_bank(op)}.reads"] = pixels
    if op.pool:
        forms |= {"pool.row.reads": writes, "pool.row.writes": writes}
    return forms


def rows_counters(memory: str, rows: int, beats: int, last_taps: int) -> dict[str, int]:
    """Beats of rows that stream past one lane."""
    return {
        f"{memory}.reads": rows * beats,
        "lane.file.reads": rows * beats,
        "array.beats": rows * beats,
        "array.taps": rows * ((beats - 1) * 9 + last_taps),
    }


def infer_counters(plan: Plan, seen: int, stalls: int) -> dict[str, int]:
    """Everything one inference counts."""
    word = plan.target.channels
    layers = [op for op in (plan.latent, plan.hidden) if op]
    words = {op.name: -(-op.rows // word) for op in layers}
    parts = [conv_counters(op) for op in plan.convolutions]
    for op in layers:
        parts.append(rows_counters(op.memory, op.rows, op.beats, op.last_taps))
        parts.append({"cycles": op.cycles, "lane.file.tap_writes": words[op.name]})
    out = plan.output
    parts.append(rows_counters(out.memory, 2 * seen, out.beats, out.last_taps))
    entering = {
        "cycles": plan.input.cycles + stalls,
        "input.stalls": stalls,
        "images": 1,
        "act.latent.writes": -(-plan.network.latent // word),
    }
    parts += [{"cycles": out.cycles_for(seen)}, entering]
    if plan.lgap:
        reads = plan.lgap.words * plan.lgap.pixels
        parts += [
            {"act.ping.writes": plan.input.cycles},
            {
                "cycles": plan.lgap.cycles,
                f"{plan.lgap.source_bank}.reads": reads,
                "weights.lgap.reads": reads,
                "lane.file.tap_writes": 2 * plan.lgap.words,
            },
        ]
    else:
        parts.append({"lane.file.tap_writes": -(-plan.network.latent // word)})
    total = dict.fromkeys(registers.events(plan.memories), 0)
    for part in parts:
        for name, n in part.items():
            total[name] += n
    return total


def moved(chip: Simulator, command: str, *arguments, **options) -> dict[str, int]:
    """What a command adds to each counter."""
    before = chip.counters
    getattr(chip, command)(*arguments, **options)
    return {name: n - before[name] for name, n in chip.counters.items()}


@pytest.mark.parametrize("mode", ["fast", "step"])
@given(design=any_designs(), seed=st.integers(0, 1000), seen=st.integers(0, 4))
def test_inference(mode, design, seed, seen):
    plan, bundle = design
    chip = Simulator(plan, bundle, mode)
    seen = min(seen, plan.network.classes)
    chip.arrive(seen)
    gaps = np.random.default_rng(seed).integers(0, 2, plan.input.pixels)
    image = images(plan.network, 1, seed)[0]
    counted = moved(chip, "infer", image, gaps=gaps)
    assert counted == infer_counters(plan, seen, int(gaps.sum()))
    assert counted["cycles"] == plan.infer_cycles(seen) + gaps.sum()


@pytest.mark.parametrize("mode", ["fast", "step"])
@given(design=any_designs(), seed=st.integers(0, 1000), new=st.integers(0, 6))
def test_replay(mode, design, seed, new):
    plan, bundle = design
    r, chip = plan.replay, Simulator(plan, bundle, mode)
    pictures = images(plan.network, 2, seed)
    counted = moved(chip, "arrive", 2)
    assert counted["cycles"] == r.quota_cycles(2) + r.evict_cycles
    assert counted["replay.label.reads"] == r.capacity
    for n in range(r.capacity):
        before = chip.memory_ints("replay.label")
        full = chip.memory_ints("replay.count")[n % 2] == r.capacity // 2
        counted = moved(chip, "insert", pictures[n % 2], n % 2)
        slot = None if full else before.index(0)
        assert counted["cycles"] == plan.feature_cycles + r.insert_cycles(slot)
        assert counted["replay.label.reads"] == (0 if full else slot + 1)
        assert counted["replay.latent.writes"] == (0 if full else r.words)
        assert counted["replay.refusals"] == full
    label = plan.network.classes - 1
    for n in range(new):
        refused = n >= r.staging
        counted = moved(chip, "stage", pictures[n % 2], label)
        assert counted["cycles"] == plan.feature_cycles + (1 if refused else r.copy_cycles)
        assert counted["replay.refusals"] == refused
    staged, held = chip.state.staged, sum(chip.memory_ints("replay.count"))
    counted = moved(chip, "restore")
    assert {name: n for name, n in counted.items() if n} == {
        name: n
        for name, n in {
            "cycles": r.restore_cycles(plan.network.classes, staged),
            "replay.label.reads": r.capacity,
            "replay.count.reads": held,
            "replay.count.writes": plan.network.classes + held,
            "staging.label.reads": staged,
        }.items()
        if n
    }
    hits = staged + held
    counted = moved(chip, "epoch")
    assert counted["cycles"] == r.epoch_cycles(staged, hits)
    assert counted["epoch.samples"] == hits
    assert counted["lane.file.tap_writes"] == hits * r.words
    assert counted["replay.latent.reads"] == held * r.words
    assert counted["replay.label.reads"] == r.capacity
    counted = moved(chip, "rebalance")
    admitted = counted["replay.insertions"]
    seeks = counted["replay.label.reads"] - r.capacity
    forms = r.quota_cycles(chip.state.seen) + r.evict_cycles
    if r.staging:
        forms += r.admit_cycles(staged, admitted, seeks)
        assert counted["staging.latent.reads"] == admitted * r.words
    assert counted["cycles"] == forms
    assert counted["replay.count.reads"] == held + staged
    assert counted["replay.count.writes"] == admitted + counted["replay.evictions"]
    assert forms >= SEED_DRAWS
