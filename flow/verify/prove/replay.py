"""Properties of the stored replay unit's registers: quota, classes seen, minibatch, staged samples; `labels` has the rest."""

from xnoreplay.flow.verify.prove import labels
from xnoreplay.flow.verify.prove.bus import ARGUMENT, STAYS, legal
from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.labels import KEEP, LEMMAS
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import implies, phase, remembered
from xnoreplay.spec.commands import Operand
from xnoreplay.spec.plan import Plan


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's replay unit; none of a chip that draws its samples, or is larger than `labels.LARGEST`."""
    if not labels.small(plan):
        return []
    slots, classes = plan.replay.capacity, plan.network.classes
    given = (*labels.given(plan), *LEMMAS)
    found = [
        Property(
            "replay.quota-is-share",
            "When a rebalance or an arrival begins to evict, the quota is the slots divided by the classes seen.",
            Statement(
                f"was == {plan.phases.index('quota')} & {phase(plan, 'evict')} & ~rst",
                implies(
                    "@replay.seen != 0",
                    f"{{8'd0, @replay.quota}} * @replay.seen <= {slots} & "
                    f"({{8'd0, @replay.quota}} + 1) * @replay.seen > {slots}",
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
                f"(@replay.seen <= {classes}) & "
                + implies(
                    "@busy & ~@clearing.active",
                    legal("@sequencer.kind", {Operand.CLASSES: str(classes)}),
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
            Statement("1", f"@replay.quota <= {slots}", keep=KEEP[:-1]),
            Method.PDR,
            (Fault("replay", "new_quota", "@ + (rest == 4'd9)"),),
            given=given,
        ),
        Property(
            "replay.minibatch-in-range",
            "A minibatch has at most B samples.",
            Statement("1", f"@replay.samples <= {plan.target.batch}", keep=KEEP[:-1]),
            Method.PDR,
            (Fault("replay", "samples", "loading ? 3'd7 : @"),),
            given=given,
        ),
    ]
    if plan.replay.staging:
        found.append(
            Property(
                "replay.staged-in-range",
                "STAGED is at most the staging places, and a sample is staged in one that is free.",
                Statement(
                    "1",
                    f"@replay.staged <= {plan.replay.staging} & "
                    + implies(
                        "@replay.staging_write__en | @replay.staging_label_write__en",
                        f"@replay.staged < {plan.replay.staging}",
                    ),
                    keep=KEEP,
                ),
                Method.PDR,
                (Fault("replay", "new_staged", "@ | 3'd4"),),
                given=given,
            )
        )
    return found
