"""The chip in Amaranth's own simulator, wrapped as a function from commands to observations."""

from dataclasses import dataclass, field

import numpy as np
from amaranth.sim import Simulator

from xnoreplay.hw.top import Chip
from xnoreplay.spec import image
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.registers import Command


@dataclass
class Observation:
    """What the chip holds after one command."""

    phases: list[tuple[str, int]]
    cycles: int
    prediction: int
    refused: bool
    memories: dict[str, list[int]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    lfsr_walk: int = 0


def run_chip(plan, bundle, commands, gaps=None) -> list[Observation]:
    """Run commands on a freshly loaded chip.

    commands : list of (Command, argument, image or None)
    gaps : None for pixels without a pause, or a numpy Generator that chooses pauses
    """
    chip = Chip(plan)
    seen: list[Observation] = []

    async def bench(ctx):
        for name, rows in image.load(plan, bundle).items():
            cells = (
                chip.thermometer.thresholds
                if name == "thermometer.threshold"
                else [chip.rams[name].array.data[i] for i in range(len(rows))]
            )
            for cell, row in zip(cells, rows, strict=True):
                ctx.set(cell, to_int(row))
        for command, argument, pixels in commands:
            phases, cycles = await _command(ctx, chip, plan, command, argument, pixels, gaps)
            seen.append(_observe(ctx, chip, phases, cycles))

    simulator = Simulator(chip)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return seen


async def _command(ctx, chip, plan, command, argument, pixels, gaps):
    ctx.set(chip.host.command, int(command))
    ctx.set(chip.host.argument, argument)
    ctx.set(chip.host.start, 1)
    await ctx.tick()
    ctx.set(chip.host.start, 0)
    queue = [] if pixels is None else list(pixels.reshape(-1, pixels.shape[2]))
    phases, cycles = [], 0
    while ctx.get(chip.busy):
        phase = plan.phases[ctx.get(chip.phase)]
        if not phases or phases[-1][0] != phase:
            phases.append((phase, cycles))
        offered = bool(queue) and (gaps is None or gaps.random() < 0.6)
        ctx.set(chip.s_axis_pixel_tvalid, int(offered))
        if offered:
            ctx.set(chip.s_axis_pixel_tdata, int.from_bytes(queue[0].tobytes(), "little"))
            if ctx.get(chip.s_axis_pixel_tready):
                queue.pop(0)
        await ctx.tick()
        cycles += 1
    return phases, cycles


def _observe(ctx, chip, phases, cycles) -> Observation:
    memories = {
        name: [ctx.get(ram.array.data[i]) for i in range(ram.depth)]
        for name, ram in chip.rams.items()
    }
    unit = chip.counters
    return Observation(
        phases,
        cycles,
        ctx.get(chip.dense.prediction),
        bool(ctx.get(chip.refused)),
        memories,
        {name: ctx.get(unit.value(name)) for name in unit.names},
        ctx.get(chip.random.state),
    )


def random_image(rng: np.random.Generator, plan) -> np.ndarray:
    """Bytes of the network's image shape."""
    return rng.integers(0, 256, plan.network.image_shape, dtype=np.uint8)


INFER, STAGE, INSERT = Command.INFER, Command.STAGE, Command.INSERT
ARRIVE, REBALANCE, EPOCH = Command.ARRIVE, Command.REBALANCE, Command.EPOCH
