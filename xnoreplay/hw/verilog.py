"""Verilog text of a plan's chip."""

from amaranth.back import verilog

from xnoreplay.hw.macros import Macros
from xnoreplay.hw.top import Chip
from xnoreplay.spec.plan import Plan

TOP = "xnoreplay"


def generate(plan: Plan) -> str:
    """The whole chip, top module `xnoreplay`. The same plan gives the same text anywhere.

    The text is Verilog-2005 and must be read as such: under the rules of SystemVerilog the
    declarations that start constant `always @*` blocks start nothing in some simulators
    (Icarus with ``-g2012``).
    """
    return with_macros(plan)[0]


def with_macros(plan: Plan) -> tuple[str, list[dict]]:
    """The text, and its memory macros as `Macros.manifest` lists them."""
    macros = Macros()
    text = verilog.convert(Chip(plan), name=TOP, emit_src=False, platform=macros)
    return f"{text}\n{macros.verilog()}", macros.manifest()
