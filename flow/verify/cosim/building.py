"""Helpers that build scripts: a simulated chip that is driven ahead, windows of cycles, stages on the host port."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from xnoreplay.flow.verify.cosim import minibatches
from xnoreplay.flow.verify.cosim.kinds import carry_out, drive_on
from xnoreplay.flow.verify.cosim.script import BUS, PORT, Step
from xnoreplay.flow.verify.cosim.stage import Stage
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.learning_plan import most_cycles
from xnoreplay.spec.plan import Plan

SHORT = 20_000
"""A command of so many cycles at most is short enough to be carried out several times."""
STAGE_CYCLES = 6000  # busy ones that a stage on the host port takes at most, without inferences
EDGE = 4  # cycles of the first and of the last part of a phase in which a command is aborted
STAGE_INFERS = 10  # whole inferences of a stage


def port(plan: Plan, seed: int, look: tuple[str, ...], **more) -> Step:
    """The step of a stage on the host port, with cycles for all that it may do; `more` are fields of `Stage`.

    All but the last one leave to later commands what an inference leaves.
    """
    stage = Stage(0, seed, **more)
    cycles = STAGE_CYCLES + 4 * most_cycles(plan)["restore"]
    if stage.infers:
        cycles += STAGE_INFERS * (plan.infer_cycles(plan.network.classes) + STAGE_CYCLES // 10)
    if stage.commands:
        most = most_cycles(plan)
        walks = ("quota", "evict", "admit", "empty", "epoch", "insert", "take", "restore")
        cycles += 4 * sum(most.get(name, 0) for name in walks) + 4 * plan.feature_cycles
    return Step(PORT, image=0, memories=look, stage=replace(stage, cycles=cycles))


def others(named: Iterable[Step], image: int, seen: int, classes: int) -> list[Step]:
    """A step for each command that none of some steps gives, so that every command is carried out.

    Parameters
    ----------
    named : iterable of Step
    image : int
        Index of the image that is given to those that take one.
    seen, classes : int
        Classes announced when the steps begin, and those of the network.
    """
    given = {step.command for step in named}
    return [
        Step(c.name.lower(), c.arguments(seen, classes).start, image if c.image else None)
        for c in Command
        if c.name.lower() not in given
    ]


def prepared(
    plan: Plan,
    bundle: Bundle,
    steps: list[Step],
    images: np.ndarray,
    contents: dict[str, np.ndarray] | None = None,
):
    """A simulated chip that has carried out some steps; those that change nothing are left out."""
    from xnoreplay.sim.run import Simulator

    chip = Simulator(plan, bundle)
    for name, rows in (contents or {}).items():
        chip.write(name, rows)
    for step in steps:
        if step.command not in ("infer", PORT):
            drive_on(step, chip, images)
    return chip


def merged(windows: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Windows in order, with those that touch or overlap made one.

    >>> merged([(5, 9), (0, 5), (20, 30)])
    ((0, 9), (20, 30))
    """
    found: list[tuple[int, int]] = []
    for start, stop in sorted(windows):
        if found and start <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(stop, found[-1][1])
        else:
            found.append((start, stop))
    return tuple(found)


def within(  # noqa: PLR0913  what runs, where in it, and what draws
    chip, step: Step, images: np.ndarray, phase: str, rng: np.random.Generator, part=(0, 1)
) -> int:
    """When to write ABORT so that it takes effect in an early run of a phase; 0 where none is.

    A command's first `BUS` cycles are over before a write can reach the chip. `part` is (n, of how many): the run's part that the
    cycle is drawn from, which may be a neighbour of a part that has none; the first and the last have `EDGE` cycles.
    """
    lengths = [
        range(max(first, BUS) + 1, last)  # cycles that the aborted command then takes
        for name, first, last in spans(chip, step, images)
        if name == phase
    ]
    possible = [cycles for cycles in lengths if cycles]
    if not possible:
        return 0
    cycles = possible[min(int(rng.integers(3)), len(possible) - 1)]
    number, parts = part
    if number == 0 and parts > 1:  # most begins, and ends, in few cycles
        chosen = cycles[:EDGE]
    elif number == parts - 1 and parts > 1:
        chosen = cycles[-EDGE:]
    else:
        first = len(cycles) * number // parts
        chosen = cycles[first : max(first + 1, len(cycles) * (number + 1) // parts)]
    return int(rng.choice(chosen)) - BUS


def phases(chip, step: Step, images: np.ndarray) -> list[str]:
    """Names of the phases that a step would run on a chip, which is not changed, each once."""
    return list(dict.fromkeys(name for name, _, _ in spans(chip, step, images)))


def spans(chip, step: Step, images: np.ndarray) -> list[tuple[str, int, int]]:
    """(phase, first cycle, cycle past its last) of a step on a chip, which is not changed."""
    return minibatches.spans(chip, lambda other: carry_out(step, other, images))
