"""Steps of a script in which resets end commands, power goes, and a host writes what a restore counts."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np

from xnoreplay.flow.verify.cosim import minibatches
from xnoreplay.flow.verify.cosim.coverage import can_fill_staging
from xnoreplay.flow.verify.cosim.resets import HOST, POWER, RESET, emptying, ends
from xnoreplay.flow.verify.cosim.script import BUS, Step
from xnoreplay.spec import registers
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import READ_ONLY, STALE_COMMANDS, STALES, Command, Register


def build(chip, images: np.ndarray, label: int, rng: np.random.Generator, look: dict) -> list:
    """Power cycles, writes that make counts stale or leave them, labels that are refused, and a reset in
    the midst of every command.

    Parameters
    ----------
    chip : sim.run.Simulator
        As the script's commands so far leave it; it is driven on.
    label : int
        A class of the network.
    look : dict
        Fields of each step, that say what is looked at after it.
    """
    plan, steps = chip.plan, []
    image = int(rng.integers(len(images)))

    kinds = count()

    def do(command: str, **fields) -> None:
        step = Step(command, **(look | fields))
        if ends(step):
            step = replace(step, transfers=emptying(plan, next(kinds)))
        if step.abort:
            chip.abort(step.abort + BUS)
        step.carry_out(chip, images)
        steps.append(step)

    session = (
        {"command": "stage", "argument": label, "image": image},
        {"command": "retrain"},
        {"command": "rebalance"},
        {"command": "infer", "image": image},
    )
    do("stage", argument=label, image=image)
    do(POWER)
    for step in session:
        do(**step)
    for what, transfers in rewritten(chip).items():
        do(HOST, transfers=transfers)
        if what in STALES:
            do("restore")
    for transfers in _bad_label(chip):
        do(HOST, transfers=transfers)
        do("restore")
    do("restore", abort=plan.network.classes)
    do(HOST, transfers=refused(chip))
    do("restore", trace=True)
    for whole in (
        *session,
        {"command": "insert", "argument": 0, "image": image},
        {"command": "arrive", "argument": plan.network.classes},
        {"command": "epoch"},
        {"command": "restore"},
    ):
        do("arrive", argument=plan.network.classes)
        do("insert", argument=label, image=image)
        do("stage", argument=0, image=image)
        cycles = length(chip, lambda other, whole=whole: Step(**whole).carry_out(other, images))
        do(reset=int(rng.integers(1, cycles)), **whole)
    do(RESET)
    do("arrive", argument=plan.network.classes)
    do("insert", argument=0, image=image)
    if plan.replay.staging:
        for sample in range(staged := _staged(plan)):
            do("stage", argument=label if sample == staged - 1 else 0, image=image)
        for seen in (label, plan.network.classes):  # without the last one's class, and with it
            do(HOST, transfers=((int(Register.SEEN), seen), (int(Register.STATUS), None)))
            do("restore")
    for step in session:
        do(**step)
    return steps


def rewritten(chip) -> dict[str | Register, tuple[tuple[int, int | None], ...]]:
    """Transfers that write what is there and read STATUS: of each window's first row and each register.

    By window's memory or register. Those of `STALES` alone make the counts stale; each begins with
    counts that are not.
    """
    plan, status = chip.plan, (int(Register.STATUS), None)
    found: dict[str | Register, tuple[tuple[int, int | None], ...]] = {}
    for window in registers.windows(plan.memories):
        name = window.memory.name
        if name not in READ_ONLY:
            value = chip.read_row(name, 0)
            words = [value >> 32 * chunk & 0xFFFFFFFF for chunk in range(window.chunks)]
            row = tuple((window.address(0, chunk), word) for chunk, word in enumerate(words))
            found[name] = (*row, status)
    for register in registers.writable(plan.memories):
        found[register] = ((int(register), getattr(chip.state, register.name.lower())), status)
    return found


def refused(chip) -> tuple[tuple[int, int], ...]:
    """Writes of commands, of which a chip with stale counts takes none."""
    seen, classes = chip.state.seen, chip.plan.network.classes
    found = []
    for command in Command:
        legal = registers.arguments(command, seen, classes)
        if command not in STALE_COMMANDS and legal:
            found.append((int(Register.COMMAND), command | legal.start << 16))
    return tuple(found)


def _bad_label(chip) -> list[tuple[tuple[int, int | None], ...]]:
    """Transfers that write a label of no class seen, and those that put it right again.

    With the last slot's label the chip has counted the others before it refuses. The commands after
    either write are refused, because no restore has come yet.
    """
    plan = chip.plan
    window = {w.memory.name: w for w in registers.windows(plan.memories)}["replay.label"]
    slot, seen = plan.replay.capacity - 1, chip.state.seen
    address = window.address(slot, 0)
    status = (int(Register.STATUS), None)
    was = chip.memory_ints("replay.label")[slot]
    valid = 1 << window.memory.width - 1
    bad, found = valid | min(seen, valid - 1), []
    if bad - valid >= seen:
        found.append(((address, bad), status, *refused(chip)))
    else:  # every label that the memory can hold is of a class seen
        lower = (int(Register.SEEN), seen - 1)
        found.append(((address, valid | seen - 1), lower, status, *refused(chip)))
    back = ((address, was), (int(Register.SEEN), seen), status)
    counts = {w.memory.name: w for w in registers.windows(plan.memories)}["replay.count"]
    readings = tuple((counts.address(row, 0), None) for row in range(counts.memory.depth))
    found.append((*back, *readings, (counts.address(0, 0), 1), *refused(chip)))
    return found


def _staged(plan: Plan) -> int:
    """Samples in a staging memory of which the last one's label is refused: as many as there is time for."""
    return plan.replay.staging if can_fill_staging(plan) else min(2, plan.replay.staging)


def brief(base: int, look: dict) -> tuple:
    """A reset in mid-work, and that the chip goes on from there: for a slow simulator."""
    return Step("epoch", reset=20, **look), Step("arrive", base, **look)


def length(chip, command: Callable) -> int:
    """Cycles of a command on a chip like this one, which is not changed."""
    spans = minibatches.spans(chip, command)
    return spans[-1][2] - spans[0][1]
