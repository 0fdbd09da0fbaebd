"""Resets in mid-work, power cycles and a host that writes: steps of a script beside the commands."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

import numpy as np

from xnoreplay.flow.verify.cosim import minibatches
from xnoreplay.spec import registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import (
    READ_ONLY,
    STALE_COMMANDS,
    STALES,
    Command,
    Register,
    Response,
    Status,
)
from xnoreplay.spec.snapshot import Snapshot

RESET, POWER, HOST = "reset", "power", "host"
STEPS = (RESET, POWER, HOST)
"""Steps that are no command: a reset of the idle chip; a power cycle, in which the host saves the chip and
writes it back; transfers on the bus."""
RESET_CYCLES = 3  # in which rst is high; in every other two resets it is one
LEAD = 6  # cycles before a reset in which requests are offered, so that they are under way then
SILENT = 4  # cycles after one in which nothing is asked, so that nothing may be answered
TRANSFER = 5  # cycles of one transfer at most


@dataclass
class Done:
    """What such a step did to the simulator, in the terms of a command's result.

    saved : what the host read before the power went
    answers : (response, word read or 0) of each transfer
    """

    phases: list[tuple[str, int]]
    saved: Snapshot | None = None
    answers: list[tuple[int, int]] | None = None
    events = ()
    trace = ()


def carry_out(step, chip) -> Done:
    """A step of `STEPS` on a simulated chip."""
    if step.command == HOST:
        from xnoreplay.sim.host import HostPort

        port = HostPort(chip)
        answers = [port.transfer(address, data) for address, data in step.transfers]
        return Done([], answers=[(int(response), word) for response, word in answers])
    saved = chip.snapshot() if step.command == POWER else None
    chip.reset()
    if saved is None:
        return Done([])
    for name, bits in chip.memories().items():
        chip.write(name, 1 - bits)
    return Done(chip.resume(saved).phases, saved)


def ends(step) -> bool:
    """Whether a reset is part of a step."""
    return bool(step.reset) or step.command in (RESET, POWER)


def emptying(plan: Plan, kind: int) -> tuple[tuple[int, int | None], ...]:
    """A transfer of one of several kinds, given while a reset chip empties its replay memory; none where
    that is over too soon."""
    window = {w.memory.name: w for w in registers.windows(plan.memories)}["replay.label"]
    last = window.address(plan.replay.capacity - 1, 0)
    kinds: tuple[tuple[int, int | None], ...] = (
        (last, None),
        (int(Register.COMMAND), int(Command.ARRIVE) | 1 << 16),
        (int(Register.ABORT), 1),
        (int(Register.STATUS), None),
        (int(Register.SEEN), 1),
        (last, 1),
    )
    fits = plan.replay.capacity >= SILENT + TRANSFER
    return (kinds[kind % len(kinds)],) if fits else ()


def meanwhile(address: int, data: int | None) -> tuple[int, int]:
    """(response, word read or 0) of one of `emptying`: nothing is open but STATUS and ABORT."""
    if address == Register.STATUS and data is None:
        return int(Response.OKAY), 1 << Status.BUSY
    return int(Response.OKAY if address == Register.ABORT else Response.SLVERR), 0


def lost(step, start: int) -> int:
    """What `cycles` had come to when a step reset it; 0 where it did not.

    start : value of `cycles` before the step
    """
    if step.reset:
        return start + step.reset + 1
    return start if ends(step) else 0


def rows(plan: Plan, snapshot: Snapshot) -> dict[str, list[int]]:
    """Rows of the memories of a snapshot, as integers."""
    return {w.memory.name: snapshot.ints(w.memory.name) for w in snapshots.windows(plan)}


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
    from xnoreplay.flow.verify.cosim.script import Step

    plan, steps = chip.plan, []
    image = int(rng.integers(len(images)))

    kinds = count()

    def do(command: str, **fields) -> None:
        step = Step(command, **(look | fields))
        if ends(step):
            step = replace(step, transfers=emptying(plan, next(kinds)))
        if step.abort:
            from xnoreplay.flow.verify.cosim.script import BUS

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


def writes(plan: Plan) -> dict[str, frozenset[int]]:
    """Addresses of what a host may write, by the memory's or the register's name."""
    windows = (w for w in registers.windows(plan.memories) if w.memory.name not in READ_ONLY)
    found = {
        w.memory.name: frozenset(w.address(0, chunk) for chunk in range(w.chunks)) for w in windows
    }
    return found | {r.name.lower(): frozenset({int(r)}) for r in registers.writable(plan.memories)}


def written(plan: Plan, step) -> list[str]:
    """Names of `writes` that a host's step writes before it reads STATUS at its end."""
    if not step.transfers or step.transfers[-1] != (int(Register.STATUS), None):
        return []
    given = {address for address, data in step.transfers[:-1] if data is not None}
    others = given.difference(*writes(plan).values())
    return [] if others else [n for n, addresses in writes(plan).items() if addresses <= given]


def _staged(plan: Plan) -> int:
    """Samples in a staging memory of which the last one's label is refused: as many as there is time for."""
    from xnoreplay.flow.verify.cosim.coverage import can_fill_staging

    return plan.replay.staging if can_fill_staging(plan) else min(2, plan.replay.staging)


def brief(base: int, look: dict) -> tuple:
    """A reset in mid-work, and that the chip goes on from there: for a slow simulator."""
    from xnoreplay.flow.verify.cosim.script import Step

    return Step("epoch", reset=20, **look), Step("arrive", base, **look)


def length(chip, command: Callable) -> int:
    """Cycles of a command on a chip like this one, which is not changed."""
    spans = minibatches.spans(chip, command)
    return spans[-1][2] - spans[0][1]


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
