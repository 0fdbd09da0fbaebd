"""Properties of a chip's watchdog: every command comes to an end, whatever keeps it."""

from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import remembered
from xnoreplay.spec.plan import Plan

KEEP = ("sequencer", "watchdog")


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's watchdog; none where the chip has none."""
    bits = plan.target.watchdog_bits
    return [_ends(bits), _from_any_state(bits)] if bits else []


def _ends(bits: int) -> Property:
    """That a command has at most 2^bits cycles."""
    most = 1 << bits
    since = f"""\
  // Cycles of the command before this one.
  reg [{bits}:0] since;
  always @(posedge clk) since <= rst | ~@sequencer.busy ? 0 : since + 1;
"""
    return Property(
        "watchdog.ends-command",
        f"A command has at most {most:,} cycles, whatever its units do.",
        Statement(
            "~rst & @sequencer.busy",
            f"since < {most} & @watchdog.age == since & @watchdog.last == (since == {most - 1})",
            since,
            keep=KEEP,
        ),
        Method.INDUCTION,
        (
            Fault("watchdog", "expired", f"@ & (age != {bits}'d{most - 1})"),
            Fault("watchdog", "age", "busy ? @ | 4 : @"),
        ),
    )


def _from_any_state(bits: int) -> Property:
    """That the count goes on from any state, of the sequencer, too."""
    last = (1 << bits) - 1
    before = remembered(
        ran=(1, "@sequencer.busy & ~rst"),
        count=(bits, "@watchdog.age"),
        ended=(1, "@watchdog.expired"),
    )
    return Property(
        "watchdog.from-any-state",
        "Whatever phases a chip is in and whatever its watchdog holds, the count goes on in each cycle of a command, its last value but "
        "one makes the next cycle the last, and after that no phase but idle is left.",
        Statement(
            "started & ran",
            f"(ended ? @sequencer.at == 1 : @watchdog.age == (count == {last} ? 0 : count + 1)) & "
            f"@watchdog.last == (count == {last - 1})",
            before,
            keep=KEEP,
        ),
        Method.INDUCTION,
        (
            Fault("sequencer", "at", "abort & loaded ? @ | 2 : @"),
            Fault("watchdog", "age", "busy & ~last ? @ ^ 1 : @"),
            Fault("watchdog", "last", "1'b0"),
        ),
    )
