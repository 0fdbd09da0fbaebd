"""Properties of the labels of a stored replay memory: how they change, and that the counts are theirs.

Every label is a register of the model, so these are properties of small memories; `LARGEST` says how small. What is said of
labels in every cycle rests on lemmas about the replay unit, each proved by itself: which state it is in when, and that
what it has read of a slot is what the slot holds.
"""

from collections.abc import Callable

from xnoreplay.flow.verify.prove import control
from xnoreplay.flow.verify.prove.bus import ARGUMENT, STAYS, stale
from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import (
    all_of,
    any_of,
    implies,
    one,
    phase,
    remembered,
    total,
    word,
)
from xnoreplay.spec.commands import Command
from xnoreplay.spec.plan import Plan

LARGEST = 16
"""Slots of the replay memory, and places of the staging memory, that are proved about."""
KEEP = (*control.REST, "replay", "replay_label")
LABELS, COUNTS = "replay_label.array", "replay.replay_count.array"
WALKS = ("evict", "admit", "epoch", "load")
STATES = {
    "REFUSE": ("stage", "insert", "admit"),
    "QUOTA": ("quota",),
    "SEED": ("evict", "admit", "epoch", "seed"),
    "WALK": WALKS,
    "CHECK": ("insert", *WALKS),
    "WEIGH": ("insert", "evict", "admit"),
    "SEEK": ("insert", "admit"),
    "LOOK": ("insert", "admit"),
    "COPY": ("stage", "insert", "admit", "epoch", "load"),
    "ZERO": ("restore",),
    "READ": ("restore",),
    "JUDGE": ("restore",),
}
"""Phases in which the replay unit is in a state of `hw.replay.State`; in `BEGIN` it is in any."""
EMPTYING = "@clearing.active"
LOOKED, PLACE = "@replay.label_read__data", "@replay.place"
LEMMAS = ("replay.one-state", "replay.state-of-phase")


def small(plan: Plan) -> bool:
    """Whether a plan stores its samples, few enough for these proofs."""
    return not plan.generative and max(plan.replay.capacity, plan.replay.staging) <= LARGEST


def given(plan: Plan) -> tuple[str, ...]:
    """Names of the properties that proofs about the replay unit assume."""
    rest = (name for name in control.given(plan) if name != "done.replay")
    return (*rest, "host.refuses-broken-rules", "host.values-in-range")


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's labels: the first lemma alone of a chip larger than `LARGEST`, none of one that draws its samples."""
    if not small(plan):
        return [] if plan.generative else [one_state()]
    labels = Labels(plan)
    return [*labels.lemmas(), *labels.ends(), *labels.changes(), *labels.belong()]


def one_state() -> Property:
    """The lemma that every other of the replay unit rests on."""
    return Property(
        LEMMAS[0],
        "The replay unit is in one state.",
        Statement("1", one("@replay.state"), keep=("replay",)),
        Method.PDR,
        (Fault("replay", "state", "done ? 0 : @"),),
    )


def states(*names: str) -> str:
    """Whether the replay unit's register holds one of some states, by their names in `hw.replay.State`."""
    from xnoreplay.hw.replay import State

    numbers = [getattr(State, name).value.bit_length() - 1 for name in names]
    return any_of(f"@replay.state[{number}]" for number in numbers)


class Labels:
    """The labels and counts of a plan, in Verilog."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.slots, self.classes = plan.replay.capacity, plan.network.classes
        self.bits = plan.memory("replay.label").width - 1
        self.held = 1 << self.bits  # the bit of a label that is there
        self.rows = [f"@{LABELS}.row{s}" for s in range(self.slots)]
        self.counts = [f"@{COUNTS}.row{c}" for c in range(self.classes)]
        self.given = (*given(plan), *LEMMAS)
        self.adds = self.during("insert", "admit")  # an insertion or admission runs
        self.fills = (
            f"{self.adds} & {states('SEEK', 'LOOK', 'COPY')}"  # and has found a class with room
        )

    def during(self, *names: str) -> str:
        """Whether the replay unit is in one of these phases, of those that the plan has."""
        numbers = [self.plan.phases.index(name) for name in names if name in self.plan.phases]
        return any_of(f"@replay.at[{number}]" for number in numbers)

    def at(self, address: str) -> str:
        """The label word at an address; 0 past the last slot."""
        return word(self.rows, address, f"{self.bits + 1}'d0")

    def of(self, row: str, label: int) -> str:
        """Whether a word is the label of a class."""
        return f"({row} == {self.held + label})"

    def seen(self, row: str) -> str:
        """Whether a word is no label of a class that is not seen."""
        return f"({row} < {self.held} | ({row} ^ {self.held}) < @replay.seen)"

    def free(self, row: str) -> str:
        """Whether a word is no label of a class seen: its slot is free."""
        return f"({row} < {self.held} | ({row} ^ {self.held}) >= @replay.seen)"

    def counted(self, among: Callable[[int], str]) -> str:
        """That each count is the number of its class's labels, among the slots of which `among` is 1."""
        return all_of(
            f"{count} == "
            + total(f"({self.of(row, c)} & {among(s)})" for s, row in enumerate(self.rows))
            for c, count in enumerate(self.counts)
        )

    # ------------------------------------------------------------------------ lemmas

    def lemmas(self) -> list[Property]:
        """What the others assume of the replay unit."""
        weighs = f"({states('WEIGH')} | {self.fills})"
        evicts = self.during("evict")
        slot, checked = self.at("@replay.slot"), self.at("@replay.checked")
        return [
            one_state(),
            Property(
                "replay.state-of-phase",
                "The replay unit is in a state that the phase has.",
                Statement(
                    "1",
                    all_of(implies(states(n), self.during(*own)) for n, own in STATES.items()),
                    keep=(*control.REST, "replay"),
                ),
                Method.PDR,
                (Fault("replay", "state", "in_read ? 13'h800 : @"),),
                given=(*given(self.plan), LEMMAS[0]),
            ),
            Property(
                "replay.slot-exists",
                "Insertion and admission look at slots, and fill a slot, that the replay memory has.",
                Statement(self.fills, f"@replay.slot < {self.slots}", keep=KEEP),
                Method.PDR,
                (Fault("replay", "slot", f"count_read ? {self.slots} : @"),),
                given=self.given,
            ),
            Property(
                "replay.read-is-held",
                "The label that an insertion, admission, eviction or restore decides about is the one that its slot holds.",
                Statement(
                    "1",
                    all_of(
                        [
                            implies(states("LOOK"), f"{LOOKED} == {slot}"),
                            implies(
                                f"{self.adds} & {states('COPY')}",
                                self.free(slot),
                            ),
                            implies(
                                f"{evicts} & {states('CHECK')}",
                                f"{LOOKED} == {checked} & @replay.checked < {self.slots}",
                            ),
                            implies(
                                f"{evicts} & {states('WEIGH')} & @replay.known_checked",
                                f"{checked} == {{1'b1, @replay.copied_label}}",
                            ),
                            implies(
                                f"{states('JUDGE')} & @replay.judged_slot",
                                f"{LOOKED} == {self.at(PLACE)}",
                            ),
                        ]
                    ),
                    keep=KEEP,
                    memories=(LABELS,),
                ),
                Method.PDR,
                (Fault("replay", "label_read__addr", "@ ^ walked"),),
                given=(*self.given, "replay.slot-exists"),
            ),
            Property(
                "replay.weighed-is-count",
                "What an insertion, admission or eviction weighs is the count of its class, until it has changed it.",
                Statement(
                    weighs,
                    all_of(
                        implies(f"@replay.copied_label == {c}", f"@replay.weighed == {count}")
                        for c, count in enumerate(self.counts)
                    ),
                    keep=KEEP,
                    memories=(COUNTS,),
                ),
                Method.PDR,
                (Fault("replay", "weighed", "@ ^ walked"),),
                given=self.given,
            ),
            self.restores(),
        ]

    def restores(self) -> Property:
        """The order in which RESTORE looks at places."""
        last = f"{self.slots}" + " + @replay.staged" * bool(self.plan.replay.staging)
        judged = f"@replay.judged_last == ({PLACE} + 1 == {last})"
        if self.plan.replay.staging:
            judged += f" & @replay.judged_slot == ({PLACE} < {self.slots})"
        return Property(
            "replay.restore-in-order",
            "A restore sets the count of each class to 0, then looks at each slot and at each staged sample, and ends.",
            Statement(
                "1",
                all_of(
                    [
                        implies(f"~{self.during('restore')}", f"{PLACE} == 0"),
                        implies(states("BEGIN"), f"{PLACE} == 0"),
                        implies(states("ZERO"), f"{PLACE} < {self.classes}"),
                        implies(states("READ", "JUDGE"), f"{PLACE} < {last}"),
                        implies(states("JUDGE"), judged),
                    ]
                ),
                keep=KEEP,
            ),
            Method.PDR,
            (Fault("replay", "judged_last", "@ | place[0]"),),
            given=(*self.given, *["replay.staged-in-range"] * bool(self.plan.replay.staging)),
        )

    # ------------------------------------------------------------------------ how long operations take

    def took(self, name: str) -> str:
        """Declare ``took``, the cycles since a phase's first, at most 65,535."""
        here = f"{self.during(name)} & ~@replay.done & ~rst & ~@host.abort"
        return (
            "  reg [15:0] took;\n"
            f"  always @(posedge clk) took <= {here} ? took + (took != 65535) : 0;\n"
        )

    def ends(self) -> list[Property]:
        """That a restore and the division of the slots come to their ends; how far they are follows from the cycles that they took."""
        places = f"{self.slots}" + " + @replay.staged" * bool(self.plan.replay.staging)
        restores, divides = self.during("restore"), self.during("quota")
        return [
            Property(
                "replay.restore-ends",
                "A restore takes a cycle a class and at most two a slot and staged sample.",
                Statement(
                    restores,
                    all_of(
                        [
                            f"took < {self.classes} + 2 * ({places})",
                            implies(states("BEGIN"), "took == 0"),
                            implies(states("ZERO"), f"took == {PLACE}"),
                            implies(states("READ"), f"took == {self.classes} + 2 * {PLACE}"),
                            implies(states("JUDGE"), f"took == {self.classes + 1} + 2 * {PLACE}"),
                        ]
                    ),
                    self.took("restore"),
                    keep=KEEP,
                ),
                Method.PDR,
                (Fault("replay", "place", "in_read ? 0 : @"),),
                given=(*self.given, "replay.restore-in-order"),
            ),
            Property(
                "replay.quota-ends",
                "The slots are divided by the classes seen in at most a cycle a slot and one more.",
                Statement(
                    divides,
                    all_of(
                        [
                            f"took <= {self.slots}",
                            f"@replay.rest + took <= {self.slots}",
                            implies(states("BEGIN"), f"took == 0 & @replay.rest == {self.slots}"),
                        ]
                    ),
                    self.took("quota"),
                    keep=KEEP[:-1],
                ),
                Method.PDR,
                (Fault("replay", "left", "walked ? rest : @"),),
                given=self.given,
            ),
        ]

    # ------------------------------------------------------------------------ how labels change

    def changes(self) -> list[Property]:
        """How a label changes while a command runs."""
        before = remembered(
            was=(1, f"~rst & ~{EMPTYING} & ~{phase(self.plan, 'idle')}"),
            evicted=(1, "@replay.evicted"),
            inserted=(1, "@replay.inserted"),
            checked=(16, "@replay.checked"),
            slot=(16, "@replay.slot"),
            label=(self.bits, "@replay.copied_label"),
            **{f"row{s}": (self.bits + 1, row) for s, row in enumerate(self.rows)},
        )
        kept = all_of(
            any_of(
                [
                    f"{row} == row{s}",
                    f"evicted & checked == {s} & {row} == 0",
                    f"inserted & slot == {s} & {row} == {{1'b1, label}}",
                ]
            )
            for s, row in enumerate(self.rows)
        )
        held = self.at("@replay.checked")
        return [
            Property(
                "replay.label-changes",
                "While a command runs, a label changes in two ways alone: an eviction empties the slot that was looked at, or "
                "an insertion puts its sample's label into the slot that was looked at.",
                Statement("was & ~rst", kept, before, keep=KEEP, memories=(LABELS,)),
                Method.PDR,
                (
                    Fault("replay", "evicted", "@ & ~label_read__data[0]"),
                    Fault("replay", "label_write__addr", "evicted ? index : @"),
                    Fault("replay", "label_write__en", "@ | refused"),
                ),
                given=self.given,
            ),
            Property(
                "replay.evicts-above-quota",
                "The slot that an eviction empties holds a label whose class is above the quota.",
                Statement(
                    "@replay.evicted",
                    any_of(
                        f"{self.of(held, c)} & {count} > @replay.quota"
                        for c, count in enumerate(self.counts)
                    ),
                    keep=KEEP,
                    memories=(LABELS, COUNTS),
                ),
                Method.PDR,
                (
                    Fault("replay", "known_checked", "1'b1"),
                    Fault("replay", "weighed", "@ + 1'd1"),
                ),
                given=self.given,
            ),
            Property(
                "replay.fills-free-slot",
                "The slot that an insertion fills holds no label of a class seen.",
                Statement(
                    "@replay.inserted",
                    self.free(self.at("@replay.slot")),
                    keep=KEEP,
                    memories=(LABELS,),
                ),
                Method.PDR,
                (Fault("replay", "state", "in_look & label_read__data[0] ? 13'h80 : @"),),
                given=self.given,
            ),
            Property(
                "replay.quota-not-passed",
                "An insertion or admission adds to a class that is below the quota.",
                Statement(
                    "@replay.inserted",
                    any_of(
                        f"@replay.copied_label == {c} & {count} < @replay.quota"
                        for c, count in enumerate(self.counts)
                    ),
                    keep=KEEP,
                    memories=(COUNTS,),
                ),
                Method.PDR,
                (Fault("replay", "below", "@ | random[0]"),),
                given=self.given,
            ),
        ]

    # ------------------------------------------------------------------------ what labels are

    def belong(self) -> list[Property]:
        """That labels are of classes seen, and counts of labels."""
        settled = f"~{EMPTYING} & ~stale"
        weighs = f"{self.adds} & {states('WEIGH')} & @replay.known_checked"
        inserts = f"@busy & ~{EMPTYING} & @sequencer.kind == {int(Command.INSERT)}"
        rows, counts = list(enumerate(self.rows)), list(enumerate(self.counts))
        return [
            Property(
                "replay.labels-are-seen",
                "While counts are not stale, every label is of a class seen; in a restore those of the slots that it has passed.",
                Statement(
                    "1",
                    all_of(
                        [
                            implies(settled, all_of(self.seen(row) for row in self.rows)),
                            implies(
                                EMPTYING,
                                all_of(
                                    implies(f"@clearing.slot > {s}", f"{r} == 0") for s, r in rows
                                ),
                            ),
                            implies(self.during("restore"), "stale"),
                            implies(
                                states("READ", "JUDGE"),
                                all_of(implies(f"{PLACE} > {s}", self.seen(r)) for s, r in rows),
                            ),
                            implies(
                                f"{weighs} | {self.fills}", "@replay.copied_label < @replay.seen"
                            ),
                            implies(inserts, "@host.argument < @replay.seen"),
                        ]
                    ),
                    stale(self.plan) + ARGUMENT,
                    assume=STAYS,
                    keep=KEEP,
                    memories=(LABELS,),
                ),
                Method.PDR,
                (Fault("replay", "refused", "1'b0"),),
                given=(
                    *self.given,
                    "sequencer.legal-phase",
                    "replay.seen-in-range",
                    "replay.restore-in-order",
                    "replay.read-is-held",
                ),
            ),
            Property(
                "replay.counts-are-labels",
                "While counts are not stale, the count of each class is the number of slots with its label, in every cycle; in "
                "a restore of the slots that it has passed.",
                Statement(
                    "1",
                    all_of(
                        [
                            implies(settled, self.counted(lambda _: "1'b1")),
                            implies(
                                EMPTYING,
                                all_of(
                                    implies(f"@clearing.slot > {c}", f"{n} == 0") for c, n in counts
                                ),
                            ),
                            implies(
                                states("ZERO"),
                                all_of(implies(f"{PLACE} > {c}", f"{n} == 0") for c, n in counts),
                            ),
                            implies(
                                states("READ", "JUDGE"), self.counted(lambda s: f"({PLACE} > {s})")
                            ),
                        ]
                    ),
                    stale(self.plan),
                    keep=KEEP,
                    memories=(LABELS, COUNTS),
                ),
                Method.INDUCTION,
                (Fault("replay", "count_write", "@ & ~walked"),),
                given=(
                    *self.given,
                    "sequencer.rests-while-emptying",
                    "replay.slot-exists",
                    "replay.read-is-held",
                    "replay.weighed-is-count",
                    "replay.restore-in-order",
                    "replay.labels-are-seen",
                ),
            ),
        ]
