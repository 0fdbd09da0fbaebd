"""Properties of memories: no cycle reads the row that it writes, and nobody disturbs another's port."""

from typing import NamedTuple

from xnoreplay.flow.verify.prove import control
from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import (
    CONTROL,
    UNITS,
    implies,
    most_one,
    phase,
    remembered,
    units,
)
from xnoreplay.spec.memories import Kind, Memory, identifier
from xnoreplay.spec.plan import Plan

CLEARING = "clearing"


class How(NamedTuple):
    """How the property of a memory's ports is proved.

    users : units that give its ports something, where the others can be cut; `CLEARING` empties it at a reset
    whole : whether what is proved of the convolutions within a bound is assumed, too
    bounded : cycles within which it is proved, 0 for all; what makes it inductive was not found in minutes
    """

    users: tuple[str, ...]
    whole: bool = False
    bounded: int = 0


HOW = {
    "weights.fe": How(("front", "dense")),
    "weights.lgap": How(("lgap",)),
    "cls.top": How(("dense", "learning"), bounded=40),
    "act.ping": How(("front", "back", "lgap")),
    "act.pong": How(("thermometer", "front", "array", "back", "lgap")),
    # Nothing empties it at a reset, but the proof closes sooner.
    "act.latent": How(("lgap", "latent_input", "dense", "replay", CLEARING)),
    "line.row0": How(("front",)),
    "line.row1": How(("front",)),
    "replay.latent": How(("replay",)),
    "replay.label": How(("replay", CLEARING), whole=True, bounded=40),
    "replay.mean": How(("replay",)),
    "replay.share": How(("replay", CLEARING)),
    "fit.count": How(("replay",)),
    "staging.latent": How(("replay",), whole=True),
    "staging.label": How(("replay", "learning"), whole=True),
    "cls.low": How(("learning",)),
    "cls.hidden_low": How(("learning",)),
    "batch.bank": How(("learning", "replay"), whole=True, bounded=40),
    "batch.label": How(("learning", "replay")),
    "batch.logit": How(("learning", "dense")),
    "batch.delta": How(("learning",), whole=True, bounded=80),
    "batch.class_delta": How(("learning",)),
    "batch.hidden_delta": How(("learning",)),
    "batch.mask": How(("learning",)),
    "table.weight": How(("learning",), whole=True, bounded=80),
}
"""By memory; one that is not here keeps all units."""
GIVEN = (
    "host.leaves-busy-chip",
    "host.starts-idle-chip",
    "host.windows-closed",
    "host.one-window",
)
"""What is assumed of the host, which is cut."""


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's memories."""
    found = [_apart(plan, m, m.apart.value) for m in plan.memories if m.apart is not None]
    return [*found, *_drivers(plan)]


def _apart(plan: Plan, memory: Memory, reason: str) -> Property:
    """That no cycle reads a row of a memory that it writes.

    The first cycle after a reset is left out: the register of a late write port may then still hold a write of the cycle
    before, and nothing is read.
    """
    inside = instances(plan, memory)
    top = inside[0].partition(".")[0]
    how = HOW.get(memory.name, How((*UNITS, CLEARING)))
    users = [unit for unit in how.users if unit in (*units(plan), CLEARING)]
    text, assume = remembered(fresh=(1, "rst")), "1"
    if memory.declaration.late and memory.declaration.window is not None:
        window = f"@host.memory_{identifier(memory.name)}"
        text += "\n" + remembered(wrote=(1, f"{window}__wen"))
        assume = f"~(wrote & {window}__ren)"  # by host.strobes-apart
    return Property(
        f"memory.apart.{memory.name}",
        f"No cycle reads a row of {memory.name} that it writes: {reason}.",
        Statement(
            "~rst & ~fresh",
            " & ".join(f"~@{path}.meets" for path in inside),
            text,
            assume=assume,
            keep=tuple(dict.fromkeys(["sequencer", *users, top])),
        ),
        Method.BOUNDED if how.bounded else Method.PDR,
        (_meeting(plan, memory),),
        depth=how.bounded,
        why="how the state of a walk, or of a minibatch, and its counters belong together is not stated",
        given=(*GIVEN, *(control.all_done if how.whole else control.given_done)(plan)),
    )


def instances(plan: Plan, memory: Memory) -> list[str]:
    """Dotted paths of a memory's macros."""
    path = memory.declaration.path
    bits = plan.rule.delta_bits * plan.target.error_units
    match memory.declaration.kind:
        case Kind.BANKS:
            return [f"learning.bank{n}.array" for n in range(memory.count)]
        case Kind.CLASSIFIER:
            return [f"{identifier(memory.name)}.bank{n}.array" for n in range(2)]
        case Kind.PLANES:
            return [f"{path}.plane{n}.array" for n in range(bits)]
        case Kind.PLANE_BANKS:
            return [
                f"{path}.bank{b}.plane{n}.array"
                for b in range(plan.target.error_units)
                for n in range(plan.rule.delta_bits)
            ]
    return [f"{path}.array"]


def _meeting(plan: Plan, memory: Memory) -> Fault:
    """A read of the row that is written, wherever one is."""
    first = instances(plan, memory)[0].removesuffix(".array")
    return Fault(
        first,
        "read__en",
        "@ | (|write__en)",
        Fault(first, "read__addr", "(|write__en) ? write__addr : @"),
    )


def _drivers(plan: Plan) -> list[Property]:
    valid = ["@dense.valid", "@learning.plane_unit.valid"]
    files = ["@dense.file__lanes", "@replay.file__lanes", "@learning.plane_file__lanes"]
    if plan.network.takes_images:
        valid.append("@front.valid")
        files += ["@front.file__lanes", "@lgap.file__lanes"]
    keep = (*CONTROL, *units(plan))
    return [
        Property(
            "array.one-operand",
            "At most one unit gives the array an operand in a cycle.",
            Statement("~rst", most_one(valid), keep=keep),
            Method.PDR,
            (Fault("dense", "valid", "@ | ~active"),),
        ),
        Property(
            "array.one-writer",
            "At most one unit writes the lanes' files in a cycle.",
            Statement("~rst", most_one(f"|{lanes}" for lanes in files), keep=keep),
            Method.PDR,
            (Fault("dense", "file__lanes", "active ? @ : 2'd1"),),
        ),
        Property(
            "idle.no-writes",
            "While the chip is idle and empties no memory, no unit writes one.",
            Statement(
                "@sequencer.phase == 0 & ~rst",
                implies(phase(plan, "idle"), f"~({_strobes(plan)})"),
                keep=keep,
            ),
            Method.PDR,
            (Fault("dense", "latent__en", "@ | abort"),),
        ),
    ]


def _strobes(plan: Plan) -> str:
    names = ["@dense.latent__en"] if plan.network.takes_images else ["@latent_input.latent__en"]
    if plan.network.takes_images:
        names += ["@back.write__en", "@thermometer.write__en"]
    if not plan.generative:
        names += ["@replay.write__en", "@replay.label_write__en", "@replay.count_write"]
    if plan.replay.staging:
        names += ["@replay.staging_write__en", "@replay.staging_label_write__en"]
    names += ["@learning.top_write"]
    return " | ".join(f"(|{name})" for name in names)
