"""Properties of the sequencer, of an abort, and of what units may do at one time."""

from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import (
    CONTROL,
    all_of,
    commands,
    implies,
    phase,
    remembered,
    units,
)
from xnoreplay.spec.commands import SESSION, Command
from xnoreplay.spec.plan import Plan

FRONT = 90
"""Cycles within which unit `front` is proved to end no other's operation; it ends its first after some 70."""
LATE = ("replay", "learning")
"""Units whose state outlives an operation that another unit ends: of these the proof assumes that of `front`, which is bounded."""
STORED = ("stage", "insert", "quota", "evict", "admit", "epoch", "seed", "load", "restore")
GENERATED = ("take", "stage", "quota", "empty", "epoch", "seed", "load", "restore")
"""Phases that the replay unit ends, of stored and of generative replay."""


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's control."""
    return [*_sequencer(plan), *_done(plan), *_abort(plan)]


def _sequencer(plan: Plan) -> list[Property]:
    idle = "@sequencer.phase == 0"
    moves = "@sequencer.phase != 0 & @sequencer.done & ~@sequencer.abort & ~rst"
    before = remembered(
        was=(8, "@sequencer.phase"),
        kind=(8, "@sequencer.kind"),
        epoch=(16, "@sequencer.epoch"),
        moved=(1, moves),
        stayed=(1, "@sequencer.phase != 0 & ~@sequencer.done & ~@sequencer.abort & ~rst"),
        began=(1, f"{idle} & @sequencer.start & ~rst"),
        command=(8, "@sequencer.command"),
    )
    keep = CONTROL
    return [
        Property(
            "sequencer.legal-phase",
            "The phase is one that the running command has.",
            Statement("1", _of_command(plan, "@sequencer.phase", "@sequencer.kind"), keep=keep),
            Method.PDR,
            (
                Fault("sequencer", "kind", "done ? 8'd1 : @"),
                Fault("sequencer", "at", "done & loaded ? {at, 1'b0} : @"),
            ),
        ),
        Property(
            "sequencer.first-phase",
            "A command begins with the first phase of its row.",
            Statement(
                "began & ~rst",
                all_of(
                    implies(f"command == {int(c)}", phase(plan, c.phases(plan)[0])) for c in Command
                ),
                before,
                keep=keep,
            ),
            Method.PDR,
            (Fault("sequencer", "at", "start & command == 8'd6 ? 1 : @"),),
        ),
        Property(
            "sequencer.order",
            "An operation that ends is followed by the next of its command, and the last by idle.",
            Statement("moved & ~rst", _order(plan), before, keep=keep),
            Method.PDR,
            (Fault("sequencer", "at", "kind == 8'd4 & done ? 1 : @"),),
        ),
        Property(
            "sequencer.waits",
            "An operation that has not ended goes on, but for an abort or a reset.",
            Statement("stayed & ~rst", "@sequencer.phase == was", before, keep=keep),
            Method.PDR,
            (Fault("sequencer", "at", "loaded & walked & ~done ? 1 : @"),),
        ),
        Property(
            "sequencer.every-epoch",
            "A session that is not aborted ends with its last epoch, and with no other.",
            Statement(
                f"moved & kind == {int(Command.RETRAIN)} & {idle} & ~rst",
                f"epoch == {plan.rule.epochs - 1}",
                before,
                keep=keep,
            ),
            Method.PDR,
            (Fault("sequencer", "at", "done & ~loaded ? 1 : @"),),
        ),
    ]


def _of_command(plan: Plan, phase: str, kind: str) -> str:
    """That a phase is idle or one of the command's."""
    rows = []
    for number, name in enumerate(plan.phases):
        if number:
            own = [command for command in Command if name in command.phases(plan)]
            rows.append(implies(f"{phase} == {number}", commands(kind, own)))
    return all_of([f"{phase} < {len(plan.phases)}", *rows])


def _order(plan: Plan) -> str:
    """That a phase follows the one before in the row of a command; of a session that it is one of its own."""
    rows = []
    for command in Command:
        names = command.phases(plan)
        if SESSION in command.operations:
            holds = phase(plan, "idle", *names)
        else:
            follow = zip(names, (*names[1:], "idle"), strict=True)
            holds = all_of(
                implies(f"was == {plan.phases.index(a)}", phase(plan, b)) for a, b in follow
            )
        rows.append(implies(f"kind == {int(command)}", holds))
    return all_of(rows)


def _done(plan: Plan) -> list[Property]:
    """Of each unit that it ends operations of its own alone; proofs without the unit assume it."""
    learning = ["balance", "error", "output.update", "hidden.update", "back"]
    dense = ["latent", "hidden", "output", "hidden.forward", "output.forward"]
    own = {
        "thermometer": ["input"],
        "front": [op.name for op in plan.convolutions],
        "lgap": ["lgap"],
        "latent_input": ["input"],
        "dense": dense,
        "learning": learning,
        "replay": GENERATED if plan.generative else STORED,
    }
    enders = [unit for unit in units(plan) if unit in own]
    return [
        Property(
            f"done.{unit}",
            f"Unit {unit} ends no operation but its own: {', '.join(n for n in own[unit] if n in plan.phases)}.",
            Statement(f"@{unit}.done", phase(plan, *own[unit]), keep=("sequencer", unit, "host")),
            Method.BOUNDED if unit == "front" else Method.PDR,
            (Fault(unit, "done", "@ | ~abort"),),
            depth=FRONT if unit == "front" else 0,
            why="its counters of a whole convolution decide it" if unit == "front" else "",
            given_before=tuple(
                f"done.{other}"
                for other in enders
                if other != unit and (other != "front" or unit in LATE)
            ),
        )
        for unit in enders
    ]


def all_done(plan: Plan) -> tuple[str, ...]:
    """Names of the properties of `_done`."""
    return tuple(p.name for p in _done(plan))


def given_done(plan: Plan) -> tuple[str, ...]:
    """Names of those properties of `_done` that hold in every cycle: a proof from a bounded one is bounded."""
    bounded = {"done.front", *(f"done.{unit}" for unit in LATE)}
    return tuple(p.name for p in _done(plan) if p.name not in bounded)


def _abort(plan: Plan) -> list[Property]:
    return [
        Property(
            "abort.idle",
            "An abort in any state of the chip makes its cycle the command's last: the next is idle.",
            Statement(
                "was & ~rst",
                "@sequencer.phase == 0",
                remembered(was=(1, "@host.abort")),
                keep=CONTROL,
            ),
            Method.PDR,
            (Fault("sequencer", "at", "at[1] & abort ? at : @"),),
        ),
        Property(
            "abort.unfinished",
            "A command that is aborted before its last cycle leaves FINISHED 0.",
            Statement(
                "was & ~rst",
                "~@host.finished",
                remembered(was=(1, "@host.abort & @busy & ~@sequencer.finished & ~@host.start")),
                keep=CONTROL,
            ),
            Method.PDR,
            (Fault("", "finished#1", "@ | abort"),),
        ),
        Property(
            "abort.registers-stay",
            "While the chip is idle, SEEN, STAGED and REFUSED change with a write of the host, or a start, alone.",
            Statement(
                "was & ~rst",
                "@host.seen == seen & @host.staged == staged & @host.refused == refused",
                remembered(
                    was=(
                        1,
                        "@sequencer.phase == 0 & ~rst & ~@host.start & ~@host.set_seen & ~@host.set_staged",
                    ),
                    seen=(8, "@host.seen"),
                    staged=(16, "@host.staged"),
                    refused=(1, "@host.refused"),
                ),
                keep=(*CONTROL, "replay"),
            ),
            Method.PDR,
            (Fault("replay", "refused", "@ | abort"),),
            given=all_done(plan),
        ),
    ]
