"""The chip in Amaranth's own simulator, wrapped as a function from commands to observations."""

from dataclasses import dataclass, field

import numpy as np
from amaranth.hdl import ClockDomain, Module
from amaranth.sim import Simulator

from xnoreplay.hw.top import Chip
from xnoreplay.spec import image, registers
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.commands import Command
from xnoreplay.spec.host_map import host_map
from xnoreplay.spec.image import bank_row


@dataclass
class Observation:
    """What the chip holds after one command."""

    phases: list[tuple[str, int]]
    cycles: int
    prediction: int
    refused: bool
    seen: int
    quota: int
    staged: int
    finished: bool
    memories: dict[str, list[int]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    lfsr_walk: int = 0
    lfsr_error: int = 0
    lfsr_update: int = 0
    stale: int = 0


def run_chip(
    plan, bundle, commands, gaps=None, aborts=None, resets=None, contents=None, counters=None
) -> list[Observation]:
    """Run commands on a freshly loaded chip.

    commands : list of (Command, argument, image or None)
    gaps : None for pixels without a pause, or a numpy Generator that chooses pauses
    aborts : None, or for each command None or the number of its cycles, the last one's included
    resets : the same, of commands that a reset ends in the last of these cycles
    contents : None, or rows as integers of memories, by name, as a host writes them before the first command
    counters : None, or what the chip's counters hold before it, by name
    """
    chip = Chip(plan)
    top, domain = Module(), ClockDomain("sync")
    top.domains += domain
    top.submodules.chip = chip
    seen: list[Observation] = []

    async def bench(ctx):
        await emptied(ctx, chip)
        for name, rows in image.load(plan, bundle).items():
            cells = (
                chip.thermometer.thresholds
                if name == "thermometer.threshold"
                else cells_of(chip, plan, name)
            )
            for cell, row in zip(cells, rows, strict=True):
                ctx.set(cell, to_int(row))
        for name, values in (contents or {}).items():
            for cell, value in zip(cells_of(chip, plan, name), values, strict=False):
                ctx.set(cell, value)
        if counters:
            put_counters(ctx, chip.counters, counters)
        for i, (command, argument, pixels) in enumerate(commands):
            abort = aborts[i] if aborts else None
            reset = (domain.rst, resets[i]) if resets and resets[i] else None
            phases, cycles = await _command(
                ctx, chip, plan, command, argument, pixels, gaps, abort, reset
            )
            if reset:
                told = host_map(plan)["reset_cycles"]
                assert await emptied(ctx, chip) == plan.forgotten.depth == told
            await ctx.tick()  # the lane files have what the last cycle wrote
            seen.append(_observe(ctx, chip, plan, phases, cycles))

    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


async def emptied(ctx, chip) -> int:
    """Wait until the chip has emptied its replay memory after a reset; the cycles that it took."""
    cycles = 0
    while ctx.get(chip.busy):
        assert ctx.get(chip.phase) == 0
        await ctx.tick()
        cycles += 1
    return cycles


async def _command(ctx, chip, plan, command, argument, pixels, gaps, abort, reset=None):
    ctx.set(chip.host.command, int(command))
    ctx.set(chip.host.argument, argument)
    ctx.set(chip.host.start, 1)
    await ctx.tick()
    ctx.set(chip.host.start, 0)
    queue = [] if pixels is None else plan.input.payloads(pixels, idle=1)
    pins = {n: getattr(chip, f"{plan.input.stream}_{n}") for n in ("tvalid", "tdata", "tready")}
    phases, cycles = [], 0
    while ctx.get(chip.phase):
        phase = plan.phases[ctx.get(chip.phase)]
        if not phases or phases[-1][0] != phase:
            phases.append((phase, cycles))
        offered = bool(queue) and (gaps is None or gaps.random() < 0.6)
        ctx.set(pins["tvalid"], int(offered))
        if offered:
            ctx.set(pins["tdata"], queue[0])
            if ctx.get(pins["tready"]):
                queue.pop(0)
        ctx.set(chip.host.abort, int(cycles + 1 == abort))
        if reset:
            ctx.set(reset[0], int(cycles + 1 == reset[1]))
        await ctx.tick()
        cycles += 1
    if reset:
        ctx.set(reset[0], 0)
    ctx.set(chip.host.abort, 0)
    ctx.set(pins["tvalid"], 0)
    return phases, cycles


def cells_of(chip, plan, name) -> list:
    """The rows of one of the chip's memories, in the order of the memory map."""
    unit = chip.learning
    memory = plan.memory(name)
    if name == "cls.top":
        places = [bank_row(plan, row) for row in range(memory.depth)]
        return [chip.cls.banks[bank].array.data[row] for bank, row in places]
    if name == "fit.open":
        return [chip.open.open0]
    if name == "draw.state":
        return [chip.draw.state(i) for i in range(memory.depth)]
    if name in ("replay.count", "staging.count"):
        return [chip.replay.counts.array.data[i] for i in range(memory.depth)]
    if name == "batch.bank":
        return [ram.array.data[i] for ram in unit.banks for i in range(memory.depth)]
    if name == "batch.class_delta":
        return class_rows(unit.plane_rams[name], plan)
    if name in unit.plane_rams:
        planes = unit.plane_rams[name].rams
        return [ram.array.data[i] for i in range(memory.depth // len(planes)) for ram in planes]
    if name == "table.inverse":
        return [unit.balance.inverse.array.data[i] for i in range(memory.depth)]
    ram = (chip.rams | unit.rams)[name]
    return [ram.array.data[i] for i in range(memory.depth)]


def class_rows(ram, plan) -> list:
    """Rows of batch.class_delta: sample after sample out of the banks, blocks and planes inside."""
    units, batch = plan.target.error_units, plan.target.batch
    blocks = -(-plan.network.classes // batch)
    return [
        plane.array.data[n // units * blocks + block]
        for n in range(batch)
        for block in range(blocks)
        for plane in ram.banks[n % units].rams
    ]


def lane_word(ctx, file, slot: int) -> int:
    """A lane's word, whose bits lie in parts."""
    word = 0
    for part, columns in zip(file.parts, file.columns, strict=True):
        bits = ctx.get(part.array.data[slot])
        word |= sum((bits >> i & 1) << column for i, column in enumerate(columns))
    return word


def _observe(ctx, chip, plan, phases, cycles) -> Observation:
    names = [*chip.rams, "cls.top", "batch.bank", "table.inverse"]
    beside = ("replay.count", "staging.count", "fit.open", "draw.state")
    names += [m.name for m in plan.memories if m.name in beside]
    names += [*chip.learning.rams, *chip.learning.plane_rams]
    memories = {name: [ctx.get(cell) for cell in cells_of(chip, plan, name)] for name in names}
    slots = range(plan.memory("lane.file").depth)
    memories["lane.file"] = [
        lane_word(ctx, lane.file, i) for lane in chip.array.units for i in slots
    ]
    unit = chip.counters
    return Observation(
        phases,
        cycles,
        ctx.get(chip.prediction),
        bool(ctx.get(chip.refused)),
        ctx.get(chip.seen),
        0 if plan.generative else ctx.get(chip.quota),
        ctx.get(chip.staged),
        bool(ctx.get(chip.finished)),
        memories,
        held_counters(ctx, unit) if unit else {},
        *(ctx.get(chip.lfsrs[name].state) for name in ("walk", "error", "update")),
        ctx.get(chip.host.stale),
    )


def put_counters(ctx, unit, values: dict[str, int]) -> None:
    """Let all counters have counted so many, by name; what the sweep is about to write is dropped."""
    ctx.set(unit.fresh, 0)
    ctx.set(unit.writing, 0)
    for i, name in enumerate(unit.names):
        before = values[name] - ctx.get(unit.pending[name]) & (1 << unit.bits) - 1
        ctx.set(unit.rows.array.data[i], before)
        ctx.set(unit.low[name], before & (1 << unit.low_bits[name]) - 1)


def held_counters(ctx, unit) -> dict[str, int]:
    """What each counter has counted, by name."""
    fresh = ctx.get(unit.fresh)
    return {
        name: registers.counted(
            0 if fresh else ctx.get(unit.rows.array.data[i]),
            ctx.get(unit.low[name]),
            ctx.get(unit.pending[name]),
            unit.low_bits[name],
            unit.bits,
        )
        for i, name in enumerate(unit.names)
    }


def random_image(rng: np.random.Generator, plan) -> np.ndarray:
    """Bytes of the network's image shape: an image, or a packed latent."""
    return rng.integers(0, 256, plan.network.image_shape, dtype=np.uint8)


INFER, STAGE, INSERT = Command.INFER, Command.STAGE, Command.INSERT
ARRIVE, REBALANCE, EPOCH = Command.ARRIVE, Command.REBALANCE, Command.EPOCH
RETRAIN, RESTORE = Command.RETRAIN, Command.RESTORE
