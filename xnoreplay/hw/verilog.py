"""Verilog text of a plan's chip."""

from amaranth.back import verilog

from xnoreplay.hw.top import Chip
from xnoreplay.spec.plan import Plan

TOP = "xnoreplay"


def generate(plan: Plan) -> str:
    """The whole chip, top module `xnoreplay`. The same plan gives the same text anywhere."""
    return verilog.convert(Chip(plan), name=TOP, emit_src=False)
