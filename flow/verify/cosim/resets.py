"""Resets in mid-work, power cycles and a host that writes: steps of a script beside the commands."""

from dataclasses import dataclass

from xnoreplay.spec import registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import (
    READ_ONLY,
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
