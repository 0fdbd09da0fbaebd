"""Verilog text of a plan's chip."""

from amaranth.back import verilog

from xnoreplay.hw.top import Chip
from xnoreplay.spec.plan import Plan

TOP = "xnoreplay"


def generate(plan: Plan) -> str:
    """The whole chip, top module `xnoreplay`. The same plan gives the same text anywhere.

    The text is Verilog-2005 and must be read as such: under the rules of SystemVerilog the
    declarations that start constant `always @*` blocks start nothing in some simulators
    (Icarus with ``-g2012``).
    """
    return verilog.convert(Chip(plan), name=TOP, emit_src=False)
