"""The generated Verilog as a core of FuseSoC, which hands it to other tools."""

from pathlib import Path

SMOKE = "smoke.cpp"
VERSION = "1.0.0"


def core(prefix: str, sources: list[str]) -> str:
    """A core file of format CAPI=2.

    Parameters
    ----------
    prefix : str
        Of the modules' names; the core is called so, too.
    sources : list of str
        Names of the Verilog files beside the core file.

    Returns
    -------
    str
        Targets: ``default`` for designs that depend on the core; ``lint``, by Verilator; ``sim``, a model by Verilator
        with the program of `smoke`, which looks for a sign of life.
    """
    files = "\n".join(f"      - {name}" for name in sources)
    return f"""CAPI=2:
name: xnoreplay:chip:{prefix}:{VERSION}
description: Fully-binarised network that keeps learning on the chip

filesets:
  rtl:
    files:
{files}
    file_type: verilogSource
  smoke:
    files:
      - {SMOKE}
    file_type: cppSource

targets:
  default:
    filesets: [rtl]
    toplevel: {prefix}
  lint:
    default_tool: verilator
    filesets: [rtl]
    toplevel: {prefix}
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wall, --timescale, 1ns/1ps, -Wno-MULTITOP]
  sim:
    default_tool: verilator
    filesets: [rtl, smoke]
    toplevel: {prefix}
    tools:
      verilator:
        mode: cc
        verilator_options: [-Wno-fatal, --timescale, 1ns/1ps]
"""


def smoke(prefix: str) -> str:
    """The C++ program that waits until a chip is idle after its reset, and looks at ID and STATUS."""
    text = Path(__file__).with_name(SMOKE).read_text(encoding="ascii")
    return text.replace("VPREFIX", f"V{prefix}")
