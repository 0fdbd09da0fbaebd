"""What must hold inside of an idle chip: logic that watches it is added to the text that a simulation compiles.

A reset gives every register the value that it starts with, but for those of `flow.chip.resets`; so does an abort, in the
units that are cleared by it. In the cycle after a reset or an abort each register is compared with its start. The host port
reads and writes no memory but while it serves a transfer. Registers and strobes are found in the generated text. What the logic
finds stays until the simulation ends, so that the test bench looks once a command.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from xnoreplay.flow.run.verilate import TOP

FOUND = "at_rest_found"  # register of a module: a bit for each thing that is watched in it
HOST = rf"\{TOP}.host"
_NAME = r"(\\\S+|\w+)"
_MODULE = re.compile(rf"^module {_NAME} ?\(.*?^endmodule", re.MULTILINE | re.DOTALL)
_INSTANCE = re.compile(rf"^  {_NAME} +{_NAME} +\($", re.MULTILINE)
_START = re.compile(
    rf"^  (?:output )?reg (?:signed )?(?:\[[^\]]*\] )?{_NAME} += ([^;]*);$", re.MULTILINE
)
_DECLARED = re.compile(
    rf"^  (?:output )?(?:reg|wire) (?:signed )?(?:\[[^\]]*\] )?{_NAME}(?: += [^;]*)? ?;$",
    re.MULTILINE,
)
_CLOCKED = re.compile(rf"^  always @\(posedge clk\)\n    {_NAME} +<= (\S+) *;$", re.MULTILINE)
_SET = rf"begin\n      {_NAME} += ([^;]*);\n    end\n"
_ABORTED = rf"    if \((abort) ?\) {_SET}"
_CLEARED = re.compile(rf"^(?:{_ABORTED})?    if \(rst\) {_SET}  end$", re.MULTILINE)


class Watch(NamedTuple):
    """Something that must not be in a module.

    Parameters
    ----------
    net : str
        That it is about, as the Verilog writes it.
    what : str
        What it is, for a reader.
    when : str
        The condition in Verilog, of the module's own names.
    """

    net: str
    what: str
    when: str


def watches(verilog: str) -> dict[str, list[Watch]]:
    r"""What is watched, by module, in a generated text; nothing in a text of another form.

    >>> watches('''module \\xnoreplay.a (clk, rst);
    ...   reg b = 1'h0;
    ...   always @(posedge clk)
    ...     b <= \\$1 ;
    ...   always @* begin
    ...     if (rst) begin
    ...       \\$1  = 1'h0;
    ...     end
    ...   end
    ... endmodule
    ... ''')
    {'\\xnoreplay.a': [Watch(net='b', what='b not put back', when="at_rest_reset && b !== 1'h0")]}
    """
    found: dict[str, list[Watch]] = {}
    for module in _MODULE.finditer(verilog):
        if "$" in module[1]:  # no name that cocotb finds
            continue
        if kept := [*_registers(module[0]), *(_strobes(module[0]) if module[1] == HOST else ())]:
            found[module[1]] = kept
    return found


def _registers(module: str) -> Iterator[Watch]:
    """Registers that a reset, or an abort, too, must put back."""
    starts = dict(_START.findall(module))
    cleared = {net: (value, abort) for abort, _, value, net, _ in _CLEARED.findall(module)}
    for name, net in _CLOCKED.findall(module):
        if name in starts and net in cleared:
            value, abort = cleared[net]
            aborted = abort and value == starts[name]
            after = "(at_rest_reset | at_rest_abort)" if aborted else "at_rest_reset"
            plain = name.removeprefix("\\")
            wrong = f"{after} && {name} !== {starts[name]}"
            yield Watch(name, f"{plain} not put back", wrong)


def _strobes(module: str) -> Iterator[Watch]:
    """Strobes of the host port on memories, which are low while it serves nothing."""
    for name in re.findall(r"^  output (memory_\w+__(?:ren|wen));$", module, re.MULTILINE):
        yield Watch(name, f"{name} without a transfer", f"{name} & ~valid")


def watched(verilog: str, wanted: dict[str, list[Watch]]) -> str:
    """Return a text with the logic that watches.

    Parameters
    ----------
    verilog : str
        The chip's own text, or that text with mutants in it.
    wanted : dict
        Of the chip's own text; see `watches`. What is about a net that the text has no more, which tools leave out
        where nothing reads it, is watched no more.
    """

    def added(module: re.Match) -> str:
        kept = wanted.get(module[1])
        if kept is None:
            return module[0]
        declared = set(_DECLARED.findall(module[0]))
        logic = _logic([w.when if w.net in declared else "1'b0" for w in kept])
        return f"{module[0].removesuffix('endmodule')}{logic}endmodule"

    return _MODULE.sub(added, verilog)


def _logic(whens: list[str]) -> str:
    """The lines that watch for conditions in a module."""
    lines = [f"  reg [{len(whens) - 1}:0] {FOUND} = {len(whens)}'d0;"]
    after = {"reset": "rst", "abort": "abort"}
    used = {n: net for n, net in after.items() if any(f"at_rest_{n}" in when for when in whens)}
    lines += (f"  reg at_rest_{n} = 1'b0;" for n in used)
    lines += ["  always @(posedge clk) begin"]
    lines += (f"    at_rest_{n} <= {net};" for n, net in used.items())
    for n, when in enumerate(whens):
        lines += [f"    if ({when})", f"      {FOUND}[{n}] <= 1'b1;"]
    return "\n".join([*lines, "  end", ""])


def names(verilog: str, wanted: dict[str, list[Watch]]) -> dict[str, list[str]]:
    """What is watched by the dotted path of its unit below the top, in the order of the bits of `FOUND`."""
    units = _units(verilog)
    return {units[module]: [watch.what for watch in kept] for module, kept in wanted.items()}


def _units(verilog: str) -> dict[str, str]:
    """Dotted path below the top of what each module is, which is there once, but for memories; "" for the top."""
    texts = {module[1]: module[0] for module in _MODULE.finditer(verilog)}
    found, left = {TOP: ""}, [TOP]
    while left:
        above = left.pop()
        for module, name in _INSTANCE.findall(texts[above]):
            if module in texts:
                plain = name.removeprefix("\\")
                found[module] = f"{found[above]}.{plain}".lstrip(".")
                left.append(module)
    return found
