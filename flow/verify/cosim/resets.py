"""Resets, power cycles and host writes: transfers that a step offers, and the answers that must be reported."""

from xnoreplay.flow.verify.cosim.script import Step
from xnoreplay.spec import registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.commands import Command
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import (
    READ_ONLY,
    Register,
    Response,
    Status,
)
from xnoreplay.spec.snapshot import Snapshot

RESET, POWER, HOST = "reset", "power", "host"
RESET_CYCLES = 3  # in which rst is high; in every other two resets it is one
LEAD = 6  # cycles before a reset in which requests are offered, so that they are under way then
SILENT = 4  # cycles after one in which nothing is asked, so that nothing may be answered
TRANSFER = 5  # cycles of one transfer at most


def emptying(plan: Plan, kind: int) -> tuple[tuple[int, int | None], ...]:
    """A transfer given while a reset chip empties its replay memory, one of six that `kind` counts through.

    None where the emptying is over too soon.
    """
    window = {w.memory.name: w for w in registers.windows(plan.memories)}[plan.forgotten.name]
    last = window.address(plan.forgotten.depth - 1, 0)
    kinds: tuple[tuple[int, int | None], ...] = (
        (last, None),
        (int(Register.COMMAND), int(Command.ARRIVE) | 1 << 16),
        (int(Register.ABORT), 1),
        (int(Register.STATUS), None),
        (int(Register.SEEN), 1),
        (last, 1),
    )
    fits = plan.forgotten.depth >= SILENT + TRANSFER
    return (kinds[kind % len(kinds)],) if fits else ()


def meanwhile(address: int, data: int | None) -> tuple[int, int]:
    """Response to one of `emptying`, and the word read or 0: nothing is open but STATUS and ABORT."""
    if address == Register.STATUS and data is None:
        return int(Response.OKAY), 1 << Status.BUSY
    return int(Response.OKAY if address == Register.ABORT else Response.SLVERR), 0


def quiet(plan: Plan, step: Step) -> dict:
    """What the test bench must report of a reset.

    Returns
    -------
    dict
        ``answers`` to transfers while the replay memory is emptied; ``high``: handshakes that are not low, none;
        ``empties``: cycles that emptying takes.
    """
    answers = [list(meanwhile(*transfer)) for transfer in step.transfers]
    return {"answers": answers, "high": [], "empties": plan.forgotten.depth}


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


def written(plan: Plan, step: Step) -> list[str]:
    """Memories and registers, of those of `writes`, that a host's step writes before it reads STATUS at its end."""
    if not step.transfers or step.transfers[-1] != (int(Register.STATUS), None):
        return []
    given = {address for address, data in step.transfers[:-1] if data is not None}
    others = given.difference(*writes(plan).values())
    return [] if others else [n for n, addresses in writes(plan).items() if addresses <= given]
