"""Properties of the sequencer, of an abort, and of what units may do at one time."""

from collections.abc import Iterable

from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import (
    CONTROL,
    all_of,
    commands,
    implies,
    one,
    phase,
    remembered,
    units,
)
from xnoreplay.spec.commands import SESSION, Command
from xnoreplay.spec.plan import PLANE_PHASES, Plan

HOST = (
    "host.leaves-busy-chip",
    "host.starts-idle-chip",
    "host.windows-closed",
    "host.one-window",
)
"""Properties of the host that proofs without it assume."""
ONE_PHASE = "sequencer.one-phase"
LEARNING = {
    "learning.balance": ("balance",),
    "learning.error_unit": ("error",),
    "learning.plane_unit": PLANE_PHASES,
}
"""Parts of the learning unit, and the phases that they end."""
REST = ("sequencer", "clearing")
"""What is kept of `CONTROL` where properties of the host are assumed instead."""
STORED = ("stage", "insert", "quota", "evict", "admit", "epoch", "seed", "load", "restore")
GENERATED = ("take", "stage", "quota", "empty", "epoch", "seed", "load", "restore")
"""Phases that the replay unit ends, of stored and of generative replay."""


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's control."""
    return [_emptied(plan), *_sequencer(plan), *_done(plan), *_abort(plan)]


def _emptied(plan: Plan) -> Property:
    """That a reset's emptying comes to its end."""
    rows = plan.forgotten.depth
    since = """\
  // Cycles since the last one of reset, at most 65,535.
  reg [15:0] since;
  always @(posedge clk) since <= rst ? 0 : since + (since != 65535);
"""
    return Property(
        "reset.empties-once",
        f"After a reset the chip empties its memories for {rows} cycles, a row a cycle in their order, and then no more.",
        Statement(
            "~rst",
            f"@clearing.active == (since < {rows}) & (~@clearing.active | @clearing.slot == since)",
            since,
            keep=("clearing",),
        ),
        Method.PDR,
        (
            Fault("clearing", "active", "@ & (slot != 1)"),
            Fault("clearing", "slot", "@ & ~1"),
        ),
    )


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
            ONE_PHASE,
            "The sequencer is in one phase.",
            Statement("1", one("@sequencer.at"), keep=("sequencer",)),
            Method.PDR,
            (Fault("sequencer", "at", "start ? 3 : @"),),
        ),
        Property(
            "sequencer.rests-while-emptying",
            "While the chip empties its memories no command runs.",
            Statement("@clearing.active", idle, keep=REST),
            Method.PDR,
            (Fault("sequencer", "at", "loaded ? 2 : @"),),
            given=HOST,
        ),
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
    dense = ["latent", "hidden", "output", "hidden.forward", "output.forward"]
    own = {
        "thermometer": ["input"],
        "front": [op.name for op in plan.convolutions],
        "lgap": ["lgap"],
        "latent_input": ["input"],
        "dense": dense,
        "replay": GENERATED if plan.generative else STORED,
        **LEARNING,
    }
    enders = {u: phases for u, phases in own.items() if u.partition(".")[0] in units(plan)}
    learning = [name for phases in LEARNING.values() for name in phases]
    return [
        *(
            Property(
                f"done.{unit}",
                _ends(plan, unit, phases),
                Statement(f"@{unit}.done", phase(plan, *phases), keep=(*REST, unit)),
                Method.PDR,
                (Fault(unit, "done", "@ | ~abort" if "." not in unit else "1'b1"),),
                given=(*HOST, ONE_PHASE),
                given_before=tuple(n for n in _ended(enders, unit) if n != f"done.{unit}"),
            )
            for unit, phases in enders.items()
        ),
        Property(
            "done.learning",
            _ends(plan, "learning", learning),
            # A part of the unit is kept so that what stands around its parts is.
            Statement("@learning.done", phase(plan, *learning), keep=(*REST, "learning.balance")),
            Method.PDR,
            (Fault("learning", "done", "1'b1"),),
            given=tuple(f"done.{unit}" for unit in LEARNING),
        ),
    ]


def _ends(plan: Plan, unit: str, phases: Iterable[str]) -> str:
    own = ", ".join(name for name in phases if name in plan.phases)
    return f"Unit {unit} ends no operation but its own: {own}."


def given(plan: Plan, *keep: str) -> tuple[str, ...]:
    """Names of the properties that a proof assumes of the host, the sequencer and the other units, where these paths are kept."""
    names = [p.name.removeprefix("done.") for p in _done(plan)]
    return (*HOST, ONE_PHASE, *_ended(names, *keep))


def _ended(enders: Iterable[str], *keep: str) -> list[str]:
    """Names of the properties `done` that can be assumed: of the learning unit as a whole, or where a part is kept of its parts."""
    parts = any(path.partition(".")[0] == "learning" for path in keep)
    left_out = {"learning"} if parts else set(LEARNING)
    names = dict.fromkeys((*enders, "learning"))
    return [f"done.{name}" for name in names if name not in left_out]


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
            given=given(plan)[len(HOST) :],
        ),
    ]
