"""A design as a netlist of gates, so that what synthesis makes of it can be held to the simulator.

yosys maps all logic to two-input gates, multiplexers and flip-flops. Modules, their ports and the memories
keep their names, which is how the test bench finds its way; memories stay arrays, as they would be
macros on a chip.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.chip.synth import cells, yosys
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.spec.errors import CheckFailure

SOURCE, NETLIST, COUNTED = "rtl.v", "netlist.v", "netlist.json"
GATES = "AND,NAND,OR,NOR,XOR,XNOR,MUX"
SCRIPT = f"""\
read_verilog -nosynthesis {SOURCE}
hierarchy -check -top {TOP}
proc
opt
memory -nomap
opt -full
techmap
opt -fast
abc -g {GATES}
opt_clean
check -assert
tee -o {COUNTED} stat -json
write_verilog -noattr {NETLIST}
"""
KEPT = r"\$mem(_v2)?"  # the only cells of the result that are no gate


@dataclass(frozen=True)
class Netlist:
    """A design as gates.

    Parameters
    ----------
    verilog : str
        Its text.
    gates, flip_flops, memories : int
        How many it has.
    """

    verilog: str
    gates: int
    flip_flops: int
    memories: int


def build(verilog: str, folder: Path, progress: Progress) -> Netlist:
    """Map a design to gates; `folder` is for the tool's files.

    Raises
    ------
    CheckFailure
        Where yosys refuses the design, or leaves anything but gates and memories.
    ToolError
        Where yosys is missing.
    """  # noqa: DOC502  raised by `yosys`
    folder.mkdir(parents=True)
    (folder / SOURCE).write_text(verilog, encoding="utf-8")
    (folder / "netlist.ys").write_text(SCRIPT, encoding="utf-8")
    with progress.task("yosys: map to gates (the first use prepares it)"):
        yosys(folder, "netlist", "map to gates")
    counted = cells(files.read_json(folder / COUNTED), COUNTED)
    memories = sum(n for name, n in counted.items() if re.fullmatch(KEPT, name))
    gates = {n: k for n, k in counted.items() if re.fullmatch(r"\$_[A-Z]+_", n)}
    flip_flops = {n: k for n, k in counted.items() if re.match(r"\$_S?DFF", n)}
    rest = counted.keys() - gates.keys() - flip_flops.keys()
    if others := sorted(n for n in rest if not re.fullmatch(KEPT, n)):
        raise CheckFailure(
            f"the netlist must have gates, flip-flops and memories alone, not {others[0]}"
        )
    text = (folder / NETLIST).read_text(encoding="utf-8")
    return Netlist(text, sum(gates.values()), sum(flip_flops.values()), memories)
