"""Properties of the stored replay memory: its labels, their counts, quotas, and the staging memory.

Every label is a register of the model, so these are properties of small memories; `LARGEST` says how small.
"""

from xnoreplay.flow.verify.prove import control
from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import (
    CONTROL,
    all_of,
    any_of,
    commands,
    implies,
    phase,
    remembered,
    total,
    word,
)
from xnoreplay.spec.commands import Command
from xnoreplay.spec.plan import Plan

LARGEST = 16
"""Slots of the replay memory, and places of the staging memory, that are proved about."""
KEEP = (*CONTROL, "replay", "replay_label")
MEMORIES = ("replay.replay_count.array", "replay_label.array")
STATES = {
    "stage": ("REFUSE", "COPY"),
    "insert": ("CHECK", "SEEK", "LOOK", "COPY"),
    "quota": ("QUOTA",),
    "evict": ("SEED", "WALK", "CHECK"),
    "admit": ("SEED", "WALK", "CHECK", "SEEK", "LOOK", "COPY"),
    "epoch": ("SEED", "WALK", "CHECK", "COPY"),
    "seed": ("SEED",),
    "load": ("WALK", "CHECK", "COPY"),
    "restore": ("ZERO", "READ", "JUDGE"),
}
"""States of the unit, of `hw.replay.State`, by phase."""


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

    def equal(self, below: str = "") -> str:
        """That each count is the number of labels of its class, in the slots below one."""
        part = f" & {below} > " if below else ""
        return all_of(
            f"{count} == "
            + total(
                f"({self.is_of(row, c)}{part}{s if below else ''})"
                for s, row in enumerate(self.rows)
            )
            for c, count in enumerate(self.counts)
        )

    def in_state(self, *states: str) -> str:
        """Whether the unit is in one of some states, by their names in `hw.replay.State`."""
        from xnoreplay.hw.replay import State

        return any_of(f"@replay.state == {getattr(State, name).value}" for name in states)

    def invariants(self) -> list[str]:
        """What holds in every cycle and is proved together with the counts: how states and registers belong together."""
        plan, restore = self.plan, phase(self.plan, "restore")
        busy = "@sequencer.phase != 0"
        found = [
            implies(f"@sequencer.phase == {n}", commands("@sequencer.kind", own))
            for n, name in enumerate(plan.phases)
            if (own := [c for c in Command if name in c.phases(plan)])
        ]
        found += [
            implies(phase(plan, name), self.in_state(*states))
            for name, states in STATES.items()
            if name in plan.phases
        ]
        free = [c for c in Command if not c.counted]
        counting = f"{restore} & {self.in_state('READ', 'JUDGE')}"
        zeroing = f"{restore} & {self.in_state('ZERO')}"
        found += [
            implies(f"{busy} & @host.stale", commands("@sequencer.kind", free)),
            implies("@host.start & @host.stale", commands("@host.command", free)),
            implies("@host.start", commands("@host.command", Command)),
            f"~({busy} & @host.start)",
            implies(restore, "@host.stale"),
            # The word that was read is the one that is looked at.
            implies(
                f"{phase(plan, 'evict')} & {self.in_state('CHECK')}",
                f"@replay.label_read__data == {self.at('@replay.checked')}",
            ),
            implies(
                f"{self.seeks} & {self.in_state('LOOK')}",
                f"@replay.label_read__data == {self.at('@replay.slot')}",
            ),
            implies(
                f"{restore} & {self.in_state('JUDGE')} & @replay.place < {self.slots}",
                f"@replay.label_read__data == {self.at('@replay.place')}",
            ),
            # A sample is copied into a slot that is free.
            implies(
                f"{self.seeks} & {self.in_state('COPY')}",
                f"~{self.valid(self.at('@replay.slot'))}",
            ),
            # Restore has counted the slots before its place.
            implies(counting, self.equal("@replay.place")),
            implies(counting, f"@replay.place < 16'd{self.slots} + @host.staged"),
            implies(zeroing, f"@replay.place < {self.classes}"),
            implies(
                zeroing,
                all_of(f"{n} == 0 | @replay.place <= {c}" for c, n in enumerate(self.counts)),
            ),
            # A reset has emptied the slots before its place.
            implies("@clearing.active", f"@clearing.slot < {self.slots}"),
            implies(
                "@clearing.active",
                "@sequencer.phase == 0 & ~@host.start & ~@host.stale & @host.seen == 0",
            ),
            implies(
                "@clearing.active",
                all_of(
                    f"{row} == 0 | @clearing.slot <= {k}"
                    for rows in (self.rows, self.counts)
                    for k, row in enumerate(rows)
                ),
            ),
        ]
        if plan.replay.staging:
            found += [
                f"@host.staged <= {plan.replay.staging}",
                implies(
                    f"{phase(plan, 'stage')} & {self.in_state('COPY')}",
                    f"@host.staged < {plan.replay.staging}",
                ),
            ]
        return found

    def properties(self) -> list[Property]:
        """All of them."""
        done = control.given_done(self.plan)
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
                f"{self.is_of(self.at('@replay.checked'), c)} & {n} > @host.quota"
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
                    keep=KEEP,
                    memories=MEMORIES,
                ),
                Method.BOUNDED,
                (Fault("host", "stale", "1'b0"),),
                depth=30,
                why="the invariants that make it inductive do not know the sequencer's registered strobes",
                given=(*done, "replay.slot-exists"),
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
                given=done,
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
                    keep=KEEP,
                    memories=MEMORIES,
                ),
                Method.PDR,
                (
                    Fault("replay", "evicted", "@ & ~label_read__data[0]"),
                    Fault("replay", "label_write__addr", "evicted ? index : @"),
                    Fault("replay", "label_write__en", "@ | refused"),
                ),
                given=(*done, "replay.slot-exists"),
            ),
            Property(
                "replay.quota-not-passed",
                "An insertion or admission adds to a class that is below the quota.",
                Statement(
                    "@replay.inserted",
                    any_of(
                        f"@replay.copied_label == {c} & {n} < @host.quota"
                        for c, n in enumerate(self.counts)
                    ),
                    keep=KEEP,
                    memories=MEMORIES,
                ),
                Method.PDR,
                (Fault("replay", "below", "@ | random[0]"),),
                given=done,
            ),
            Property(
                "replay.quota-is-share",
                "When a rebalance or an arrival begins to evict, the quota is the slots divided by the classes seen.",
                Statement(
                    f"was == {self.plan.phases.index('quota')} & {phase(self.plan, 'evict')} & ~rst",
                    implies(
                        "@host.seen != 0",
                        f"{{8'd0, @host.quota}} * @host.seen <= {self.slots} & "
                        f"({{8'd0, @host.quota}} + 1) * @host.seen > {self.slots}",
                    ),
                    remembered(was=(8, "@sequencer.phase")),
                    keep=KEEP,
                ),
                Method.PDR,
                (Fault("replay", "new_quota", "@ + (rest == 4'd9)"),),
                given=done,
            ),
            Property(
                "replay.seen-in-range",
                "SEEN is at most the classes of the network, and QUOTA at most the slots.",
                Statement(
                    "1", f"@host.seen <= {self.classes} & @host.quota <= {self.slots}", keep=KEEP
                ),
                Method.PDR,
                (Fault("", "seen#0", "busy & refused ? 3'd7 : @"),),
                given=done,
            ),
            Property(
                "replay.minibatch-in-range",
                "A minibatch has at most B samples.",
                Statement("1", f"@replay.samples <= {self.plan.target.batch}", keep=KEEP),
                Method.PDR,
                (Fault("replay", "samples", "loading ? 3'd7 : @"),),
                given=done,
            ),
        ]
        if self.plan.replay.staging:
            found.append(
                Property(
                    "replay.staged-in-range",
                    "STAGED is at most the staging places, and a sample is staged in one that is free.",
                    Statement(
                        "1",
                        f"@host.staged <= {self.plan.replay.staging} & "
                        + implies(
                            "@replay.staging_write__en | @replay.staging_label_write__en",
                            f"@host.staged < {self.plan.replay.staging}",
                        ),
                        keep=KEEP,
                    ),
                    Method.PDR,
                    (Fault("replay", "new_staged", "@ | 3'd4"),),
                    given=done,
                )
            )
        return found
