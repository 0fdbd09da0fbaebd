"""A window of cycles: how a user names it, and the Verilog that records it."""

import re
from collections.abc import Iterable

from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim import resets
from xnoreplay.flow.verify.cosim.kinds import drive_on, ends_in_reset
from xnoreplay.flow.verify.cosim.script import Script
from xnoreplay.flow.verify.cosim.waves.fst import RECORDER
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, shown
from xnoreplay.spec.plan import Plan

FIRST = "waves_first"  # plusarg: the cycle with which the VCD begins
VCD = "waves.vcd"  # in the folder of the session
FORMS = "FIRST:LAST, two cycles, or command:N, a whole command of the script"
AROUND = 50  # cycles before and after a difference
MODULE = f"""
module {TOP}_waves(input clk, input rst, input busy);
  reg [63:0] cycles = 0;
  reg [63:0] first;
  reg begun = 0;
  wire reached = busy && cycles >= first;
  always @(posedge clk) cycles <= rst ? 64'd0 : cycles + {{63'd0, busy}};
  initial if (!$value$plusargs("{FIRST}=%d", first)) first = 64'hffffffffffffffff;
  always @(posedge reached)
    if (!begun) begin
      begun = 1;
      $dumpfile("{VCD}");
      $dumpvars(0, {TOP});
    end
endmodule
"""
"""It counts the cycles in which a command runs, and opens the VCD in the first one of the window. Verilator
cannot close one again, so the run ends with the window instead."""


def recording(verilog: str) -> str:
    """A chip's Verilog with the recorder in its top module.

    Names that yosys made up get an underscore, which keeps Verilator from tracing them.

    Raises
    ------
    SpecError
        For Verilog without the top module.
    """
    top = re.compile(rf"(^module {TOP}\s*\(.*?)^endmodule", re.MULTILINE | re.DOTALL)
    if not top.search(verilog):
        raise SpecError(f"the Verilog must have a module {TOP}, but has none")
    instance = f"  {TOP}_waves {RECORDER}(.clk(clk), .rst(rst), .busy(|phase));\nendmodule"
    return re.sub(r"\\\$(?=\S)", r"\\_$", top.sub(rf"\g<1>{instance}", verilog, count=1)) + MODULE


def parse(text: str) -> tuple[str, int, int]:
    """Read a window's text: ("cycles", first, last) or ("command", n, n).

    >>> parse("1200:1300"), parse("command:3")
    (('cycles', 1200, 1300), ('command', 3, 3))

    Raises
    ------
    SpecError
        For a text of another form, and for cycles in the wrong order.
    """
    match = re.fullmatch(r"(?:command:(\d+)|(\d+):(\d+))", text.strip())
    if not match:
        raise SpecError(f"--waves must be {FORMS}, not {shown(text)}")
    command, first, last = match.groups()
    if command is not None:
        return "command", int(command), int(command)
    if int(first) > int(last):
        raise SpecError(
            f"the first cycle of --waves must not be past its last, but {shown(text)} is"
        )
    return "cycles", int(first), int(last)


def around(cycle: int, cycles: int) -> str:
    """The window that shows a cycle of a run of so many cycles; "" where the run has none.

    >>> around(20, 1000), around(990, 1000), around(0, 0)
    ('0:70', '940:999', '')
    """
    if not cycles:
        return ""
    cycle = min(cycle, cycles - 1)
    return f"{max(0, cycle - AROUND)}:{min(cycle + AROUND, cycles - 1)}"


def resolve(text: str, spans: list[tuple[int, int]]) -> tuple[int, int]:
    """First and last cycle of a window in a run.

    spans : cycles (first, past the last) of each command

    Raises
    ------
    SpecError
        Where the run has no such cycle or command, or the command takes no cycle.
    """
    kind, first, last = parse(text)
    cycles = spans[-1][1] if spans else 0
    if kind == "command":
        if first >= len(spans):
            raise SpecError(
                f"--waves must name one of the script's commands 0 to {len(spans) - 1}, not {shown(text)}"
            )
        start, stop = spans[first]
        if start == stop:
            raise SpecError(
                f"--waves must name a command that takes cycles, but {shown(text)} takes none"
            )
        return start, stop - 1
    if last >= cycles:
        raise SpecError(
            f"--waves must lie within cycles 0 to {cycles - 1} of the run, not {shown(text)}"
        )
    return first, last


def spans(
    plan: Plan,
    bundle: Bundle,
    script: Script,
    progress: Progress,
    faults: Iterable[tuple[str, int, int]] = (),
) -> list[tuple[int, int]]:
    """Cycles (first, past the last) of each command of a script, by the simulator.

    The counter that a window is named by begins anew with a reset: the first step with one, and those
    after it, have no cycles here.

    faults : bits of its memories that are flipped first
    """
    from xnoreplay.sim.run import Simulator

    chip = Simulator(plan, bundle)
    for name, rows in script.contents.items():
        chip.write(name, rows)
    for memory, row, bit in faults:
        chip.flip(memory, row, bit)
    found = []
    with progress.task("cycles of the script's commands", len(script.steps)) as task:
        for step in script.steps:
            start = chip.cycles
            if ends_in_reset(step) or step.command == resets.HOST:
                break
            drive_on(step, chip, script.images)
            found.append((start, chip.cycles))
            task.advance()
    return found
