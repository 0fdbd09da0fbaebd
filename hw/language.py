"""What the Verilog may say, so that every tool reads it alike.

See "The Verilog keeps to what every tool reads alike" in docs/design.md.
"""

import re

SYSTEMVERILOG = frozenset(
    """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin
bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos
config const constraint context continue cover covergroup coverpoint cross deassign default defparam design
disable dist do edge else end endcase endchecker endclass endclocking endconfig endfunction endgenerate
endgroup endinterface endmodule endpackage endprimitive endprogram endproperty endsequence endspecify endtable
endtask enum event eventually expect export extends extern final first_match for force foreach forever fork
forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins implements
implies import incdir include initial inout input inside instance int integer interconnect interface intersect
join join_any join_none large let liblist library local localparam logic longint macromodule matches medium
modport module nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1 null or output
package packed parameter pmos posedge primitive priority program property protected pull0 pull1 pulldown pullup
pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime ref reg
reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime
s_until s_until_with scalared sequence shortint shortreal showcancelled signed small soft solve specify
specparam static string strong strong0 strong1 struct super supply0 supply1 sync_accept_on sync_reject_on table
tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg
type typedef union unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
""".split()
)
"""Keywords of IEEE 1800-2017, annex B; those of Verilog-2005 are among them."""

VERILOG_AMS = frozenset(
    """
above abs absdelay absdelta abstol access acos acosh ac_stim aliasparam analog analysis asin asinh atan atan2
atanh branch ceil connect connectmodule connectrules continuous cos cosh ddt ddt_nature ddx discipline discrete
domain driver_update endconnectrules enddiscipline endnature endparamset exclude exp final_step flicker_noise
floor flow from ground hypot idt idtmod idt_nature inf initial_step laplace_nd laplace_np laplace_zd laplace_zp
last_crossing limexp ln log max merged min nature net_resolution noise_table noise_table_log paramset potential
pow resolveto sin sinh slew split sqrt tan tanh timer transition units white_noise wreal zi_nd zi_np zi_zd zi_zp
""".split()
)
"""Keywords that Verilog-AMS 2.4, annex B, adds to those of Verilog."""

VHDL = frozenset(
    """
abs access after alias all and architecture array assert assume assume_guarantee attribute begin block body
buffer bus case component configuration constant context cover default disconnect downto else elsif end entity
exit fairness file for force function generate generic group guarded if impure in inertial inout is label
library linkage literal loop map mod nand new next nor not null of on open or others out package parameter port
postponed procedure process property protected pure range record register reject release rem report restrict
restrict_guarantee return rol ror select sequence severity shared signal sla sll sra srl strong subtype then to
transport type unaffected units until use variable vmode vprop vunit wait when while with xnor xor
""".split()
)
"""Reserved words of IEEE 1076-2008, 15.10; upper and lower case are the same."""

_NAME = r"(\\\S+|\w+)"
_DECLARED = re.compile(
    rf"^\s*(?:input|output|wire|reg|integer)\s+(?:signed\s+)?(?:\[[^\]]*\]\s+)?{_NAME}",
    re.MULTILINE,
)
_INSTANCE = re.compile(rf"^\s*{_NAME}\s+{_NAME}\s*\($", re.MULTILINE)
_MODULE = re.compile(rf"^module\s+{_NAME}\s*\(([^)]*)\)", re.MULTILINE)
_STARTED = re.compile(rf"^\s*reg\s+(?:signed\s+)?(?:\[[^\]]*\]\s+)?{_NAME}\s+=", re.MULTILINE)
_CLOCKED = re.compile(
    rf"^\s*(?:if \([^\n]*\)|else)?\s*{_NAME}\s*(?:\[[^\]]*\]\s*)?<=", re.MULTILINE
)
_WIDTH = re.compile(r"\[[^\]:]*-[^\]:]*:[^\]]*\]")


def _plain(name: str) -> str:
    return name.removeprefix("\\")


def names(text: str) -> set[str]:
    """Names of modules, ports, signals, memories and instances, escaped ones without the backslash."""
    found = {name for pattern in (_DECLARED, _INSTANCE) for name in pattern.findall(text)}
    flat = {part for name in found for part in ((name,) if isinstance(name, str) else name)}
    return {_plain(name) for name in flat | {name for name, _ in _MODULE.findall(text)}}


def faults(text: str) -> list[str]:
    """Sentences about what tools would read in different ways.

    - a range such as ``[-1:0]``: what is meant is no bit at all, what is declared are two
    - a keyword of SystemVerilog or Verilog-AMS as a name; an escaped one too, for writers of netlists
      lose the escape
    - a reserved word of VHDL as the name of the top module, of a memory macro, or of a port of theirs
    - a register that its declaration starts and no clock sets: Verilog-2005 takes the start for an
      event, SystemVerilog does not, and a block that waits for it keeps X

    Parameters
    ----------
    text : str
        Verilog as yosys writes it: a declaration a line.
    """
    found = [
        f"a range must not be negative, as is {bad}" for bad in sorted(set(_WIDTH.findall(text)))
    ]
    keywords = names(text) & (SYSTEMVERILOG | VERILOG_AMS)
    found += [
        f"a name must not be a keyword of Verilog, as is {name!r}" for name in sorted(keywords)
    ]
    outside: set[str] = set()
    for module, ports in _MODULE.findall(text):
        if "." not in module:  # the top or a macro; modules inside have their path as a name
            outside |= {module, *re.findall(_NAME, ports)}
    words = {name for name in map(_plain, outside) if name.lower() in VHDL}
    found += [
        f"a name must not be a reserved word of VHDL, as is {name!r}" for name in sorted(words)
    ]
    for module in text.split("\nendmodule"):
        idle = set(_STARTED.findall(module)) - set(_CLOCKED.findall(module))
        found += [
            f"a register must be started by an initial block where no clock sets it, as {name!r} is not"
            for name in sorted(map(_plain, idle))
        ]
    return found
