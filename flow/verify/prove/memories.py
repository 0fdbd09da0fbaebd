"""Properties of memories: no cycle reads the row that it writes, and nobody disturbs another's port."""

from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import CONTROL, implies, most_one, phase, units
from xnoreplay.spec.memories import Kind, Memory, identifier
from xnoreplay.spec.plan import Plan


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's memories."""
    found = [
        Property(
            f"memory.apart.{memory.name}",
            f"No cycle reads a row of {memory.name} that it writes: {memory.apart.value}.",
            Statement(
                "~rst",
                " & ".join(f"~@{path}.meets" for path in instances(plan, memory)),
                keep=(*CONTROL, *units(plan), instances(plan, memory)[0].partition(".")[0]),
            ),
            Method.PDR,
            (_meeting(plan, memory),),
        )
        for memory in plan.memories
        if memory.apart is not None
    ]
    return [*found, *_drivers(plan)]


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
