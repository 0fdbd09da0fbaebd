"""What stages on the host port must come to, so that a wrong port would show."""

from collections import Counter
from collections.abc import Iterator

from xnoreplay.flow.verify.cosim.addresses import control_registers, one_bit_off
from xnoreplay.flow.verify.cosim.protocol import ANSWERS, DECERR, OKAY, SLVERR, WHOLE
from xnoreplay.flow.verify.cosim.stage import Stage
from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import READ_ONLY, WINDOW_SHIFT


def required(plan: Plan, stages: tuple[Stage, ...]) -> dict[str, int]:
    """What stages must come to, and how often at least.

    Returns
    -------
    dict
        Least number by name; a name is a key of `protocol.Judge.reached`.
    """
    names = [*_memories(plan), *_registers(plan), *_commands(plan), *_transfers()]
    names.append("command INFER aborted")
    if any(s.infers for s in stages):
        # An abort's own write is served in the command's last cycle, so that no read is.
        names += ["command INFER to its end", "read at last busy", "wait on T"]
        if plan.input.words == 1:  # else the chip is ready only for a pixel that is offered already
            names.append("pause before T")
    if any(s.commands for s in stages):
        names += [f"write COMMAND {c.name} OKAY" for c in Command]
    if any(not s.brief for s in stages):
        names += _all_numbers(plan)
    if any(s.commands and not s.brief for s in stages):
        bits = {bit for found in one_bit_off(plan).values() for bit in found}
        names += (f"{way} with address bit {b} wrong" for b in bits for way in ("read", "write"))
    return dict.fromkeys(names, 1)


def _memories(plan: Plan) -> Iterator[str]:
    """Each window read and written with every answer that it can give."""
    for window in registers.windows(plan.memories):
        name = window.memory.name
        answers = [OKAY, SLVERR]
        if window.address(window.memory.depth, 0) >> WINDOW_SHIFT == window.index + 1:
            answers.append(DECERR)
        for answer in answers:
            yield f"read {name} {ANSWERS[answer]}"
            if answer != OKAY or name not in READ_ONLY:
                yield f"write {name} {ANSWERS[answer]}"
        if name not in READ_ONLY:
            yield f"row of {name} written"


def _registers(plan: Plan) -> Iterator[str]:
    """Each register read, and written with every answer that it can give."""
    writable = registers.writable(plan.memories)
    for register in control_registers(plan):
        yield f"read {register.name} OKAY"
        if register in writable:
            yield f"write {register.name} OKAY"
            yield f"write {register.name} of a wrong value"
        elif not register.strobe:
            yield f"write {register.name} SLVERR"
    yield "write ABORT OKAY"
    yield "abort while idle"


def _commands(plan: Plan) -> Iterator[str]:
    """Each command refused for every reason that a stage can give whatever the classes announced."""
    yield "write COMMAND unknown SLVERR"
    for command in Command:
        yield f"write COMMAND {command.name} busy SLVERR"
        if command.counted and command.arguments(0, plan.network.classes):
            yield f"write COMMAND {command.name} stale SLVERR"
        if command.argument and command.rules:
            yield f"write COMMAND {command.name} illegal SLVERR"


def _transfers() -> Iterator[str]:
    """Transfers in every order, at every moment of a command, to addresses where nothing is, and with every strobe."""
    for way in ("read", "write"):
        yield from (f"{way} unmapped {what} DECERR" for what in ("register", "window"))
        yield f"unaligned {way}"
    yield from (f"strobe {strobe} SLVERR" for strobe in range(WHOLE))
    yield from (f"write {order}" for order in ("together", "address first", "data first"))
    yield from (f"wait on {channel}" for channel in ("AW", "W", "AR", "B", "R"))
    # What is chosen in a command's start cycle is served in its first busy one.
    moments = ("first busy", "busy", "first idle", "idle")
    yield from (f"read at {moment}" for moment in moments)
    yield from (f"write at {moment}" for moment in ("busy", "idle"))


def _all_numbers(plan: Plan) -> Iterator[str]:
    """Every half of a counter read and written, and every number that is no command."""
    for name in registers.counters(plan.memories, plan.target):
        for half in ("low", "high"):
            yield f"read counter {name} {half} OKAY"
            yield f"write counter {name} {half} SLVERR"
    taken = [int(c) for c in Command]
    yield from (f"unknown command {n}" for n in range(256) if n not in taken)


def missing(plan: Plan, stages: tuple[Stage, ...], reached: Counter[str]) -> list[str]:
    """What stages on the host port had to come to, and did not."""
    return [name for name, least in required(plan, stages).items() if reached[name] < least]
