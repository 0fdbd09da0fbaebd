"""Properties of the stored replay memory: its labels, their counts, quotas, and the staging memory.

Every label is a register of the model, so these are properties of small memories; `LARGEST` says how small.
"""

from xnoreplay.flow.verify.prove import control
from xnoreplay.flow.verify.prove.bus import ARGUMENT, STAYS, legal
from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import (
    all_of,
    any_of,
    implies,
    phase,
    remembered,
    total,
    word,
)
from xnoreplay.spec.commands import Operand
from xnoreplay.spec.plan import Plan

LARGEST = 16
"""Slots of the replay memory, and places of the staging memory, that are proved about."""
KEEP = (*control.REST, "replay", "replay_label")
COUNTS = "that counts and labels belong together, of which it is a consequence, is itself bounded"
MEMORIES = ("replay.replay_count.array", "replay_label.array")


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's replay memory; none of one that draws its samples, or is larger than `LARGEST`."""
    if plan.generative or max(plan.replay.capacity, plan.replay.staging) > LARGEST:
        return []
    return Labels(plan).properties()


class Labels:
    """The labels and counts of a plan, in Verilog."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.slots, self.classes = plan.replay.capacity, plan.network.classes
        self.bits = plan.memory("replay.label").width - 1
        self.rows = [f"@replay_label.array.row{s}" for s in range(self.slots)]
        self.counts = [f"@replay.replay_count.array.row{c}" for c in range(self.classes)]
        self.seeks = phase(plan, "insert", "admit")

    def at(self, address: str) -> str:
        """The label word at an address."""
        return word(self.rows, address, f"{self.bits + 1}'d0")

    def is_of(self, row: str, label: int) -> str:
        """Whether a word is a valid label of a class."""
        return f"({row} == {(1 << self.bits) + label})"

    def valid(self, row: str) -> str:
        """Whether a word is of a slot that is taken."""
        return f"({row} >= {1 << self.bits})"

    def equal(self) -> str:
        """That each count is the number of labels of its class."""
        return all_of(
            f"{count} == " + total(self.is_of(row, c) for row in self.rows)
            for c, count in enumerate(self.counts)
        )

    def in_state(self, *states: str) -> str:
        """Whether the unit is in one of some states, by their names in `hw.replay.State`."""
        from xnoreplay.hw.replay import State

        return any_of(f"@replay.state == {getattr(State, name).value}" for name in states)

    def properties(self) -> list[Property]:
        """All of them."""
        given = (
            *(name for name in control.given(self.plan) if name != "done.replay"),
            "host.refuses-broken-rules",
            "host.values-in-range",
        )
        settled = "~@clearing.active & ~@host.stale"
        before = remembered(
            was=(1, f"~rst & ~@clearing.active & ~{phase(self.plan, 'idle')}"),
            evicted=(1, "@replay.evicted"),
            inserted=(1, "@replay.inserted"),
            checked=(16, "@replay.checked"),
            slot=(16, "@replay.slot"),
            above=(1, "@replay.counts_above"),
            **{f"label{s}": (self.bits + 1, row) for s, row in enumerate(self.rows)},
        ).replace(
            "@replay.counts_above",
            any_of(
                f"{self.is_of(self.at('@replay.checked'), c)} & {n} > @replay.quota"
                for c, n in enumerate(self.counts)
            ),
        )
        kept = all_of(
            any_of(
                [
                    f"{row} == label{s}",
                    f"evicted & checked == {s} & above & {row} == 0",
                    f"inserted & slot == {s} & ~{self.valid(f'label{s}')}",
                ]
            )
            for s, row in enumerate(self.rows)
        )
        found = [
            Property(
                "replay.counts-are-labels",
                "While counts are not stale, the count of each class is the number of slots with its label, in every cycle.",
                Statement(
                    "1",
                    implies(settled, self.equal()),
                    keep=("host", *KEEP),
                    memories=MEMORIES,
                ),
                Method.BOUNDED,
                (Fault("host", "stale", "1'b0"),),
                depth=30,
                why="what makes it inductive, how states and registers belong together, is not stated",
                given=(*given, "replay.slot-exists"),
            ),
            Property(
                "replay.slot-exists",
                "Insertion and admission look at slots, and fill a slot, that the replay memory has.",
                Statement(
                    f"{self.seeks} & {self.in_state('SEEK', 'LOOK', 'COPY')}",
                    f"@replay.slot < {self.slots}",
                    keep=KEEP,
                    memories=MEMORIES,
                ),
                Method.BOUNDED,
                (Fault("replay", "slot", f"count_read ? {self.slots} : @"),),
                depth=50,
                given=given,
                why="the order of a walk decides it, and an eviction must have visited every slot",
            ),
            Property(
                "replay.only-evicted",
                "While a command runs, a label changes in two ways alone: an eviction takes it, whose class is "
                "above the quota, or an insertion puts it into a slot that is free.",
                Statement(
                    "was & ~rst",
                    f"{kept}",
                    before,
                    keep=("host", *KEEP),
                    memories=MEMORIES,
                ),
                Method.BOUNDED,
                (
                    Fault("replay", "evicted", "@ & ~label_read__data[0]"),
                    Fault("replay", "label_write__addr", "evicted ? index : @"),
                    Fault("replay", "label_write__en", "@ | refused"),
                ),
                depth=40,
                given=(*given, "replay.slot-exists"),
                why=COUNTS,
            ),
            Property(
                "replay.quota-not-passed",
                "An insertion or admission adds to a class that is below the quota.",
                Statement(
                    "@replay.inserted",
                    any_of(
                        f"@replay.copied_label == {c} & {n} < @replay.quota"
                        for c, n in enumerate(self.counts)
                    ),
                    keep=("host", *KEEP),
                    memories=MEMORIES,
                ),
                Method.BOUNDED,
                (Fault("replay", "below", "@ | random[0]"),),
                depth=40,
                given=given,
                why=COUNTS,
            ),
            Property(
                "replay.quota-is-share",
                "When a rebalance or an arrival begins to evict, the quota is the slots divided by the classes seen.",
                Statement(
                    f"was == {self.plan.phases.index('quota')} & {phase(self.plan, 'evict')} & ~rst",
                    implies(
                        "@replay.seen != 0",
                        f"{{8'd0, @replay.quota}} * @replay.seen <= {self.slots} & "
                        f"({{8'd0, @replay.quota}} + 1) * @replay.seen > {self.slots}",
                    ),
                    remembered(was=(8, "@sequencer.phase")),
                    keep=KEEP[:-1],
                ),
                Method.PDR,
                (Fault("replay", "new_quota", "@ + (rest == 4'd9)"),),
                given=given,
            ),
            Property(
                "replay.seen-in-range",
                "SEEN is at most the classes of the network, and the argument of a command that runs is one that it takes.",
                Statement(
                    "1",
                    f"(@replay.seen <= {self.classes}) & "
                    + implies(
                        "@busy & ~@clearing.active",
                        legal("@sequencer.kind", {Operand.CLASSES: str(self.classes)}),
                    ),
                    ARGUMENT,
                    assume=STAYS,
                    keep=KEEP[:-1],
                ),
                Method.PDR,
                (Fault("", "seen#0", "busy & refused ? 3'd7 : @"),),
                given=(*given, "sequencer.legal-phase"),
            ),
            Property(
                "replay.quota-in-range",
                "QUOTA is at most the slots.",
                Statement("1", f"@replay.quota <= {self.slots}", keep=KEEP[:-1]),
                Method.PDR,
                (Fault("replay", "new_quota", "@ + (rest == 4'd9)"),),
                given=given,
            ),
            Property(
                "replay.minibatch-in-range",
                "A minibatch has at most B samples.",
                Statement("1", f"@replay.samples <= {self.plan.target.batch}", keep=KEEP[:-1]),
                Method.PDR,
                (Fault("replay", "samples", "loading ? 3'd7 : @"),),
                given=given,
            ),
        ]
        if self.plan.replay.staging:
            found.append(
                Property(
                    "replay.staged-in-range",
                    "STAGED is at most the staging places, and a sample is staged in one that is free.",
                    Statement(
                        "1",
                        f"@replay.staged <= {self.plan.replay.staging} & "
                        + implies(
                            "@replay.staging_write__en | @replay.staging_label_write__en",
                            f"@replay.staged < {self.plan.replay.staging}",
                        ),
                        keep=KEEP,
                    ),
                    Method.PDR,
                    (Fault("replay", "new_staged", "@ | 3'd4"),),
                    given=given,
                )
            )
        return found
