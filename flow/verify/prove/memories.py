"""Properties of memories: no cycle reads the row that it writes, and nobody disturbs another's port."""

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

USERS = {
    "weights.fe": ("front", "dense"),
    "weights.lgap": ("lgap",),
    "cls.top": ("dense", "learning"),
    "act.ping": ("front", "back", "lgap"),
    "act.pong": ("thermometer", "front", "array", "back", "lgap"),
    "act.latent": ("lgap", "latent_input", "dense", "replay"),
    "line.row0": ("front",),
    "line.row1": ("front",),
    "replay.latent": ("replay",),
    "replay.label": ("replay",),
    "replay.mean": ("replay",),
    "replay.share": ("replay",),
    "fit.count": ("replay",),
    "staging.latent": ("replay",),
    "staging.label": ("replay", "learning"),
    "cls.low": ("learning",),
    "cls.hidden_low": ("learning",),
    "batch.bank": ("learning", "replay"),
    "batch.label": ("learning", "replay"),
    "batch.logit": ("learning", "dense"),
    "batch.delta": ("learning",),
    "batch.class_delta": ("learning",),
    "batch.hidden_delta": ("learning",),
    "batch.mask": ("learning",),
    "table.weight": ("learning",),
}
"""Of a memory the units that give its ports something, where the others can be cut."""
EMPTIED = {
    "replay.label": ("clearing",),
    "replay.share": ("clearing",),
    "act.latent": ("clearing",),
}
"""Of a memory that a reset empties the unit that does so; with act.latent a proof closes sooner with it."""
WHOLE = (
    "staging.latent",
    "staging.label",
    "replay.label",
    "batch.bank",
    "batch.delta",
    "table.weight",
)
"""Of these a proof assumes also what is proved of the convolutions within a bound."""
BOUNDED = {
    "cls.top": 40,
    "replay.label": 40,
    "batch.bank": 40,
    "batch.delta": 80,
    "table.weight": 80,
}
"""Cycles within which these are proved; the search for what makes them inductive was given up after minutes."""
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
    users = [unit for unit in USERS.get(memory.name, UNITS) if unit in units(plan)]
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
            keep=tuple(dict.fromkeys(["sequencer", *users, top, *EMPTIED.get(memory.name, ())])),
        ),
        Method.BOUNDED if memory.name in BOUNDED else Method.PDR,
        (_meeting(plan, memory),),
        depth=BOUNDED.get(memory.name, 0),
        why="how the state of a walk, or of a minibatch, and its counters belong together is not stated",
        given=(*GIVEN, *(control.all_done if memory.name in WHOLE else control.given_done)(plan)),
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
