"""Properties of memories: no cycle reads the row that it writes, or uses a single port twice, and nobody disturbs a port."""

import itertools

from xnoreplay.flow.chip.asic import ONE_PORT
from xnoreplay.flow.verify.prove import control, labels
from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import (
    UNITS,
    any_of,
    phase,
    remembered,
    units,
)
from xnoreplay.spec.memories import Apart, Kind, Memory, identifier
from xnoreplay.spec.plan import PLANE_PHASES, Plan

CLEARING = "clearing"


ERRORS = ("learning.error_unit", "learning.plane_unit")
READERS = {
    "act.latent": ("replay", "latent__en", ("take", "insert", "stage")),
    "table.weight": ("learning.error_unit", "weight__en", ("error",)),
}
"""Of memories with a reader that is cut: it, its enable of the memory, and the phases that it reads in."""
USERS = {
    "weights.fe": ("front", "dense"),
    "weights.lgap": ("lgap",),
    "cls.top": ("dense", "learning.plane_unit", "learning.update_unit", "learning.forward_rows"),
    "act.ping": ("front", "back", "lgap"),
    "act.pong": ("thermometer", "front", "array", "back", "lgap"),
    "act.latent": ("lgap", "latent_input", "dense", CLEARING),
    "line.row0": ("front",),
    "line.row1": ("front",),
    "replay.latent": ("replay",),
    "replay.label": ("replay", CLEARING),
    "replay.mean": ("replay",),
    "replay.share": ("replay", "learning.balance", CLEARING),
    "fit.count": ("replay",),
    "staging.latent": ("replay",),
    "staging.label": ("replay", "learning.balance"),
    "cls.low": ("learning.update_unit", "learning.plane_unit"),
    "cls.hidden_low": ("learning.update_unit", "learning.plane_unit"),
    "batch.bank": ("learning", "replay"),
    "batch.label": ("learning", "replay"),
    "batch.logit": ("learning.error_unit", "learning.forward_rows", "dense"),
    "batch.delta": ERRORS,
    "batch.class_delta": ERRORS,
    "batch.hidden_delta": ("learning",),
    "batch.mask": ("learning",),
    "table.weight": ("learning.balance",),
}
"""Units that give a memory's ports something, where the others can be cut; `CLEARING` empties it at a reset. A memory that is
not here keeps all units."""


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's memories."""
    found = [_apart(plan, m, m.apart) for m in plan.memories if m.apart is not None]
    return [*_readers(plan), *found, *_drivers(plan)]


def _apart(plan: Plan, memory: Memory, reason: Apart) -> Property:
    """That no cycle reads a row of a memory that it writes; of a memory with one port, that no cycle reads and writes at all.

    The first cycle after a reset is left out: the register of a late write port may then still hold a write of the cycle
    before, and nothing is read.
    """
    inside = instances(plan, memory)
    present = (*units(plan), CLEARING)
    users = [
        unit
        for unit in USERS.get(memory.name, (*UNITS, CLEARING))
        if unit.partition(".")[0] in present
    ]
    keep = ("sequencer", *users, *(path.rpartition(".")[0] for path in inside))
    text, assume = remembered(fresh=(1, "rst")), "1"
    if memory.declaration.late and memory.declaration.window is not None:
        window = f"@host.memory_{identifier(memory.name)}"
        text += "\n" + remembered(wrote=(1, f"{window}__wen"), worked=(1, "@busy"))
        assume = f"~((wrote | worked) & {window}__ren)"  # by host.strobes-apart and -rested
    name, says, met = "apart", f"reads a row of {memory.name} that it writes", "meets"
    if reason in ONE_PORT:
        name, says, met = "one-port", f"both reads and writes {memory.name}", "both"
    return Property(
        f"memory.{name}.{memory.name}",
        f"No cycle {says}: {reason.value}.",
        Statement(
            "~rst & ~fresh",
            " & ".join(f"~@{path}.{met}" for path in inside),
            text,
            assume=assume,
            keep=tuple(dict.fromkeys(keep)),
        ),
        Method.PDR,
        (_meeting(plan, memory, any_row=reason in ONE_PORT),),
        given=(
            *control.given(plan, *keep),
            *((f"memory.reader.{memory.name}",) if memory.name in READERS else ()),
            *_states(plan, *users),
        ),
    )


def _states(plan: Plan, *keep: str) -> tuple[str, ...]:
    """Names of the lemmas about the replay unit's states that a proof with the unit assumes, where they are proved."""
    if "replay" not in keep or plan.generative:
        return ()
    return labels.LEMMAS if labels.small(plan) else labels.LEMMAS[:1]


def _readers(plan: Plan) -> list[Property]:
    """When units read memories; the proofs of those memories' ports assume it, and have no such unit."""
    present = {memory.name for memory in plan.memories}
    found = []
    for name, (unit, signal, phases) in READERS.items():
        own = [p for p in phases if p in plan.phases]
        if name in present:
            found.append(
                Property(
                    f"memory.reader.{name}",
                    f"Unit {unit} reads {name} in its own phases alone: {', '.join(own)}.",
                    Statement(
                        f"@{unit}.{signal}",
                        phase(plan, *own),
                        keep=("sequencer", CLEARING, unit),
                    ),
                    Method.PDR,
                    (Fault(unit, signal, "~@"),),
                    given=control.given(plan, unit),
                )
            )
    return found


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


def _meeting(plan: Plan, memory: Memory, any_row: bool) -> Fault:
    """A read in every cycle that writes: of any row, or of the one that is written."""
    first = instances(plan, memory)[0].removesuffix(".array")
    same = None if any_row else Fault(first, "read__addr", "(|write__en) ? write__addr : @")
    return Fault(first, "read__en", "@ | (|write__en)", same)


def _drivers(plan: Plan) -> list[Property]:
    """That units which share the array, or the ports of memories, use them one at a time: each by itself, in its own phases."""
    return [*_operands(plan), _no_stray_sum(plan), _drained(plan), *_writers(plan), *_idle(plan)]


def _sources(plan: Plan) -> tuple[str, ...]:
    """Units that give the array operands."""
    return ("dense", *["front"] * plan.network.takes_images, "learning.plane_unit")


FIRST = "@sequencer.at != were & ~rst"
"""The first cycle of a phase, by what `_phases` remembers."""


def _phases(plan: Plan) -> str:
    """Declare what `FIRST` reads."""
    return remembered(were=(len(plan.phases), "rst ? 1 : @sequencer.at"))


def _no_stray_sum(plan: Plan) -> Property:
    """That no sum comes in the first cycle of a phase; proofs without the array assume it, so it names no signal inside of that."""
    sources = _sources(plan)
    return Property(
        "array.no-stray-sum",
        "In the first cycle of a phase the array gives no sum.",
        Statement(
            FIRST,
            "~@array.done",
            _phases(plan),
            keep=("sequencer", CLEARING, "array", *sources),
        ),
        Method.PDR,
        (Fault("dense", "done", "@ | active & sum_valid"),),
        given=_others(plan, sources),
    )


def _others(plan: Plan, sources: tuple[str, ...]) -> tuple[str, ...]:
    """What is assumed beside the units that give operands.

    Nothing of themselves: a fault of one would break the assumption, and be looked for no further.
    """
    rest = (n for n in control.given(plan, *sources) if n.removeprefix("done.") not in sources)
    return (*rest, *["generative.seen-in-take"] * bool(plan.generative))


def _drained(plan: Plan) -> Property:
    """That the array is empty in the first cycle of a phase, in which units still read what the phase before asked of them.

    A convolution alone gives an operand in its first cycle; the other units read a memory first.
    """
    sources = _sources(plan)
    stages = [f"@array.{name}" for name in ("x_valid", "c_last", "n_last", "done")]
    for lane in range(plan.target.lanes):
        stages += [f"@array.lane{lane}.{s}_valid" for s in "xcn"]
    given = [f"@{unit}.valid" for unit in sources if unit != "front"]
    return Property(
        "array.drained",
        "In the first cycle of a phase the array is empty: no operand is in it or in a lane, it gives no sum, and none but a "
        "convolution gives it an operand.",
        Statement(
            FIRST,
            f"~{any_of([*stages, *given])}",
            _phases(plan),
            keep=("sequencer", CLEARING, "array", *sources),
        ),
        Method.PDR,
        (
            Fault("dense", "done", "@ | active & sum_valid"),
            Fault("learning.plane_unit", "done", "@ | valid"),
            Fault("learning.plane_unit", "done", "@ | issued[1]"),
            *[Fault("front", "done", "@ | valid")] * plan.network.takes_images,
        ),
        given=_others(plan, sources),
    )


def _operands(plan: Plan) -> list[Property]:
    """That no two units give the array an operand in one cycle; the others are cut."""
    signals = {"dense": "@dense.valid", "learning.plane_unit": "@learning.plane_unit.valid"}
    if plan.network.takes_images:
        signals["front"] = "@front.valid"
    found = []
    for a, b in itertools.combinations(signals, 2):
        unit, _, signal = signals[a].removeprefix("@").rpartition(".")
        found.append(
            Property(
                f"array.one-operand.{a}-{b}",
                f"In no cycle both {a} and {b} give the array an operand.",
                Statement(signals[a], f"~{signals[b]}", keep=("sequencer", CLEARING, a, b)),
                Method.PDR,
                (Fault(unit, signal, "~@"),),
                given=control.given(plan, a, b),
            )
        )
    return found


def _writers(plan: Plan) -> list[Property]:
    """That a unit writes the lanes' files in its own phases alone: in others its writes would be lost."""
    convolutions = tuple(operation.name for operation in plan.convolutions)
    phases = {
        "dense": ("latent", "hidden"),
        "replay": ("epoch", "load"),
        "learning.forward_rows": ("hidden.forward",),
        "learning.plane_unit": PLANE_PHASES,
    }
    if plan.network.takes_images:
        phases |= {"front": convolutions, "lgap": ("lgap",)}
    else:
        phases |= {"latent_input": ("input",)}
    return [
        Property(
            f"array.own-phase.{unit}",
            f"Unit {unit} writes the lanes' files in its own phases alone.",
            Statement(
                f"(|@{unit}.file__lanes) & ~rst & ~fresh",
                phase(plan, *own),
                remembered(fresh=(1, "rst")),
                keep=("sequencer", CLEARING, unit),
            ),
            Method.PDR,
            (Fault(unit, "file__lanes", "~@"),),
            given=(
                *control.given(plan, unit),
                *["array.no-stray-sum"] * (unit == "dense"),
                *_states(plan, unit),
            ),
        )
        for unit, own in phases.items()
    ]


def _idle(plan: Plan) -> list[Property]:
    """That an idle chip's units write no memory."""
    found = []
    for unit, signals in _strobes(plan).items():
        faults = []
        for signal in signals:
            written, _, strobe = signal.rpartition(".")
            faults.append(Fault(written, strobe, "~@"))
        # What the back writes comes from the stages before it.
        before = ("front", "array") if unit == "back" else ()
        found.append(
            Property(
                f"idle.no-writes.{unit}",
                f"While the chip is idle and empties no memory, unit {unit} writes none.",
                Statement(
                    f"{phase(plan, 'idle')} & ~rst",
                    f"~({' | '.join(f'(|@{signal})' for signal in signals)})",
                    keep=("sequencer", CLEARING, *before, unit),
                ),
                Method.PDR,
                tuple(faults),
                given=control.given(plan, unit),
            )
        )
    return found


def _strobes(plan: Plan) -> dict[str, list[str]]:
    """Enables of memories that a unit gives, by unit."""
    from xnoreplay.hw.learning.update import LOW_BITS

    present = {memory.name for memory in plan.memories}
    low = [
        f"learning.update_unit.{short}_write__en"
        for short, name in LOW_BITS.items()
        if name in present
    ]
    strobes = {"learning": ["top_write", *low]}
    if plan.network.takes_images:
        for unit, own in (("dense", "latent"), ("back", "write"), ("thermometer", "write")):
            strobes[unit] = [f"{unit}.{own}__en"]
    else:
        strobes["latent_input"] = ["latent_input.latent__en"]
    replay = ["write__en", "label_write__en", "count_write"]
    if plan.generative:
        replay = ["fit.mean_write__en", "fit.share_write__en", "fit.count_write__en"]
    if plan.replay.staging:
        replay += ["staging_write__en", "staging_label_write__en"]
    strobes["replay"] = [f"replay.{name}" for name in replay]
    return strobes
