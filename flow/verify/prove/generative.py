"""Properties of generative replay: which class's components a sample changes, and what is drawn of whom."""

from xnoreplay.flow.verify.prove import control
from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import all_of, any_of, implies, phase, remembered
from xnoreplay.spec.generative import SHARE_BITS
from xnoreplay.spec.lfsr import WIDE_BITS
from xnoreplay.spec.plan import Plan


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's generative replay; none of one that stores its samples."""
    if not plan.generative:
        return []
    form = plan.generative
    done = control.given(plan)
    words = form.words * form.mean_bits  # of a component's means

    over = (
        "  reg over, going;\n"
        "  always @(posedge clk) begin\n"
        "    over <= rst | @replay.fit.abort | @replay.fit.done | (over & ~@replay.fit.enter);\n"
        "    going <= ~(rst | @replay.fit.abort | @replay.fit.done) & @replay.fit.active;\n"
        "  end\n"
    )
    top = plan.memory("fit.open").width - 1
    is_open = f"@open_class.open0[{top}]"
    fitting = ("replay", "open_class")
    entered = (
        "~(over & @replay.fit.active) & ~(going & ~@replay.fit.active) & "
        "~(@open_class.host__wen & @replay.fit.active)"
    )

    def of_class(port: str, rows: int) -> str:
        """Whether the fit unit's port addresses the sample's class, of so many rows."""
        address = f"@replay.fit.{port}__addr"
        return any_of(
            f"@replay.fit.label == {c} & {address} >= {c * rows} & {address} < {(c + 1) * rows}"
            for c in range(plan.network.classes)
        )

    found = [
        Property(
            "generative.own-class",
            "A sample that is taken changes shares and means of its own class alone.",
            Statement(
                f"@replay.fit.label < {plan.network.classes} & "
                "(@replay.fit.share_write__en | @replay.fit.mean_write__en)",
                implies("@replay.fit.share_write__en", of_class("share_write", form.components))
                + " & "
                + implies(
                    "@replay.fit.mean_write__en", of_class("mean_write", form.components * words)
                ),
                over,
                assume=entered,
                keep=fitting,
            ),
            Method.PDR,
            (
                Fault("replay.fit", "share_write__addr", "@ + step[3]"),
                Fault("replay.fit", "chosen", f"reading ? @ : {form.components}"),
            ),
        ),
        Property(
            "generative.take-entered",
            "The fit unit works from a cycle after it was entered to its last, an abort or a reset, without a gap, and "
            "the host does not write fit.open meanwhile.",
            Statement(
                "~rst", entered, over, keep=("sequencer", "clearing", "replay", "open_class")
            ),
            Method.PDR,
            (Fault("sequencer", "at", f"loaded ? {1 << plan.phases.index('take')} : @"),),
            given=done,
        ),
        Property(
            "generative.counters-closed",
            "No class is open in a cycle that writes counters, so that none is after a take that was aborted.",
            Statement(
                "@replay.fit.count_write__en",
                f"~{is_open}",
                over,
                assume=entered,
                keep=fitting,
            ),
            Method.PDR,
            (Fault("replay.fit", "set_entry", "@ & ~first"),),
        ),
        Property(
            "generative.opened-whole",
            "A class becomes open in the last cycle of a take of its sample, and in no other but by the host.",
            Statement(
                f"~was & {is_open} & ~rst & ~host",
                "ended & @open_class.open0 == named",
                over
                + remembered(
                    was=(1, f"{is_open} | rst"),
                    host=(1, "@open_class.host__wen"),
                    ended=(1, "@replay.fit.done"),
                    named=(top + 1, "{1'b1, @replay.fit.label}"),
                ),
                assume=entered,
                keep=fitting,
            ),
            Method.PDR,
            (
                Fault("replay.fit", "new_entry", "first ? {1'b1, label} : @"),
                Fault("replay.fit", "new_entry", "@ ^ done"),
            ),
        ),
        Property(
            "generative.share-never-wraps",
            f"A component that took a sample has a share of at least 1: {(1 << SHARE_BITS) - 1} is halved, and does "
            "not become 0.",
            Statement(
                "@replay.fit.done",
                "@replay.share_write__data != 0",
                over,
                assume=entered,
                keep=fitting,
            ),
            Method.PDR,
            (Fault("replay.fit", "full", "1'b0"),),
        ),
        Property(
            "generative.seen-in-take",
            "A command adds to the classes seen in a take alone.",
            Statement(
                "@replay.sees", phase(plan, "take"), keep=("sequencer", "clearing", "replay")
            ),
            Method.PDR,
            (Fault("replay.fit", "first", "@ | ~active"),),
            given=done,
        ),
        Property(
            "generative.seen-are-drawn",
            "An index of the walk becomes a draw only where its class is seen.",
            Statement(
                f"walked & @replay.state == {_state('TOTAL')}",
                "@replay.owner < seen",
                remembered(
                    walked=(1, f"@replay.state == {_state('WALK')} & ~@replay.enter & ~rst"),
                    seen=(16, "@replay.seen"),
                ),
                keep=("replay",),
            ),
            Method.PDR,
            (Fault("replay", "is_known", "1'b1"),),
        ),
        Property(
            "generative.drawn-has-samples",
            "A class is drawn only where its components stand for a sample.",
            Statement(
                f"@replay.state == {_state('SCALE')}", "@replay.total != 0", keep=("replay",)
            ),
            Method.PDR,
            (Fault("replay", "total", "@ & ~walked"),),
        ),
        Property(
            "generative.random-never-zero",
            "A wide register is never 0, unless the host writes 0 into it.",
            Statement(
                "~zeroed & ~rst",
                all_of(f"@draw.state{i} != 0" for i in range(plan.memory("draw.state").depth)),
                "  reg zeroed;\n"
                "  always @(posedge clk)\n"
                "    zeroed <= ~rst & (zeroed | (@draw.host__wen & @draw.host__wdata == 0));\n",
                keep=("draw",),
            ),
            Method.INDUCTION,
            (Fault("draw", "state0", f"step ? {{@}} & {WIDE_BITS}'d1 : @"),),
        ),
    ]
    if form.staging:
        found.append(
            Property(
                "generative.staged-in-free",
                "A sample is staged only where STAGED is not the places that there are, and its class has fewer than it may.",
                Statement(
                    f"looked & @replay.state == {_state('STAGE')} & ~ended",
                    f"places != {form.staging} & count < {form.most_staged}",
                    remembered(
                        looked=(1, f"@replay.state == {_state('KEEP')} & ~@replay.enter & ~rst"),
                        ended=(1, "@replay.done"),
                        places=(16, "@replay.staged"),
                        count=(16, "@replay.rdata"),
                    ),
                    keep=("replay",),
                ),
                Method.PDR,
                (Fault("replay", "done#1", "@ & ~staged[0]"),),
            )
        )
    return found


def _state(name: str) -> int:
    """Number of a state of the replay unit, by its name in `hw.generative.State`."""
    from xnoreplay.hw.generative import State

    return int(getattr(State, name).value)
