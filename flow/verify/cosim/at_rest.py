"""What must hold inside of a chip: logic that watches it is added to the text that a simulation compiles.

- A reset gives every register the value that it starts with, but for those of `flow.chip.resets`; so does an abort, in the
  units that are cleared by it.
- The host port writes a memory only while it serves a transfer, and reads one only in the first cycle of a transfer.
- A memory is read only where its unit is asked to, by the chip or by the host.
- A memory changes the bits that are written and no others, in the row that is written; the word that it gives is that of the row
  that was read last.

Registers, strobes and memories are found in the generated text. The logic looks in the middle of each cycle, before the test bench
changes anything, and what a reset is about to do when rst rises. What it finds stays until the simulation ends, so that the test bench
looks once a command.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from xnoreplay.flow.chip.resets import CLOCKED, MODULE, NAME
from xnoreplay.flow.run.verilate import TOP

FOUND = "at_rest_found"  # register of a module: a bit for each thing that is watched in it
HOST = rf"\{TOP}.host"
RISEN = "at_rest_risen"
"""Register that changes when rst rises, once all that hangs on it has settled."""
_INSTANCE = re.compile(rf"^  {NAME} +{NAME} +\($", re.MULTILINE)
_START = re.compile(
    rf"^  (?:output )?reg (?:signed )?(?:\[[^\]]*\] )?{NAME} += ([^;]*);$", re.MULTILINE
)
_MEMORY = re.compile(rf"{TOP}_(?:ram|file)_")
_ROWS = re.compile(r"^  reg (?:\[\d+:0\] )?rows \[0:(\d+)\];$", re.MULTILINE)
_PORT = re.compile(r"^  (?:in|out)put (?:\[(\d+):0\] )?(\w+);$", re.MULTILINE)
_DECLARED = re.compile(
    rf"^  (?:output |reg |wire |output reg )(?:signed )?(?:\[[^\]]*\] )?{NAME}(?: += [^;]*)? ?;$",
    re.MULTILINE,
)
_SET = rf"begin\n      {NAME} += ([^;]*);\n    end\n"
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
        The condition in Verilog.
    event : str
        At which it is looked at: in the middle of a cycle, or `RISEN`.
    """

    net: str
    what: str
    when: str
    event: str = "negedge clk"


class Watched(NamedTuple):
    """What is watched in a module.

    Parameters
    ----------
    watches : list of Watch
    held : dict of str to str
        Further registers: declaration to the statements that set them at a rising edge of the clock.
    """

    watches: list[Watch]
    held: dict[str, str]


def watches(verilog: str) -> dict[str, Watched]:
    r"""What is watched, by module, in a generated text; nothing in a text of another form.

    >>> found = watches('''module \\xnoreplay.a (clk, rst);
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
    >>> for watch in found["\\xnoreplay.a"].watches:
    ...     print(watch.what, "when", watch.when)
    b not put back when at_rest_reset && b !== 1'h0
    b not to be put back when rst && \$1 !== 1'h0
    """
    found: dict[str, Watched] = {}
    for module in MODULE.finditer(verilog):
        if "$" in module[1]:  # no name that cocotb finds
            continue
        if _MEMORY.match(module[1]):
            if rows := _ROWS.search(module[0]):
                found[module[1]] = _of_memory(module[0], int(rows[1]) + 1)
        elif kept := [*_registers(module[0]), *_strobes(module[1], module[0])]:
            nets = {"reset": "rst", "abort": "abort"}
            used = [n for n in nets if any(f"at_rest_{n}" in w.when for w in kept)]
            held = {f"at_rest_{n} = 1'b0": f"at_rest_{n} <= {nets[n]};" for n in used}
            found[module[1]] = Watched(kept, held)
    return found


def _registers(module: str) -> Iterator[Watch]:
    """Registers that a reset, or an abort, too, must put back."""
    starts = dict(_START.findall(module))
    cleared = {net: (value, abort) for abort, _, value, net, _ in _CLEARED.findall(module)}
    for name, net in CLOCKED.findall(module):
        if name in starts and net in cleared:
            value, abort = cleared[net]
            aborted = abort and value == starts[name]
            after = "(at_rest_reset | at_rest_abort)" if aborted else "at_rest_reset"
            plain = name.removeprefix("\\")
            wrong = f"{after} && {name} !== {starts[name]}"
            yield Watch(name, f"{plain} not put back", wrong)
            # The test bench can also show what a reset would do in a cycle, without one; see `script.Step.probes`.
            yield Watch(
                net, f"{plain} not to be put back", f"rst && {net} !== {starts[name]}", RISEN
            )


def _strobes(name: str, module: str) -> Iterator[Watch]:
    """Strobes that nobody has asked for: of the host port on memories, and of a unit on the memory in it."""
    if name == HOST:
        for net in re.findall(r"^  output (memory_\w+__ren);$", module, re.MULTILINE):
            yield Watch(net, f"{net} unasked", f"{net} & (~valid | looked_up | joins)")
        for net in re.findall(r"^  output (memory_\w+__wen);$", module, re.MULTILINE):
            yield Watch(net, f"{net} unasked", f"{net} & ~valid")
    elif re.search(rf"^  {TOP}_ram_\w+ +array +\($", module, re.MULTILINE):
        if asks := re.findall(r"^  input ((?:host__)?ren);$", module, re.MULTILINE):
            yield Watch(asks[0], "read unasked", f"array.ren & ~({' | '.join(asks)})")


def _of_memory(module: str, depth: int) -> Watched:
    """What a memory does, as `hw.parts.macros` describes it, held against what it was given at the edge before."""
    bits = {name: int(high or 0) + 1 for high, name in _PORT.findall(module)}
    width = bits["rdata"]

    def row(port: str) -> str:
        return f"rows[{port}]" if port in bits else "rows[0]"

    def there(port: str, address: str) -> str:
        """The condition that a row has an address, which is one of a port."""
        some_missing = port in bits and depth < 1 << bits[port]
        return f"{address} < {depth}" if some_missing else "1'b1"

    granule = width // bits["wen"]
    enables = [f"wen[{n}]" for n in reversed(range(bits["wen"]))] if bits["wen"] > 1 else ["wen"]
    mask = f"{{{', '.join(f'{{{granule}{{{enable}}}}}' for enable in enables)}}}"
    span = f"[{width - 1}:0] "
    held = {
        "at_rest_begun = 1'b0": "at_rest_begun <= 1'b1;",
        f"{span}at_rest_row = {width}'d0": (
            f"at_rest_row <= ({row('waddr')} & ~{mask}) | (wdata & {mask});"
        ),
    }
    at = "0"
    if "waddr" in bits:
        at = "at_rest_at"
        held[f"[{bits['waddr'] - 1}:0] {at} = {bits['waddr']}'d0"] = f"{at} <= waddr;"
    begun = f"at_rest_begun && {there('waddr', at)}"
    kept = [Watch("rdata", "row not as written", f"{begun} && rows[{at}] !== at_rest_row")]
    read = there("raddr", "raddr")
    if "ren" in bits:
        held[f"{span}at_rest_word = {width}'d0"] = f"at_rest_word <= ren ? {row('raddr')} : rdata;"
        # Of an address without a row any word may come.
        held["at_rest_none = 1'b0"] = f"at_rest_none <= ren & ~({read});"
        wrong = "at_rest_begun && !at_rest_none && rdata !== at_rest_word"
    else:
        wrong = f"{read} && rdata !== {row('raddr')}"
    return Watched([*kept, Watch("rdata", "word not as read", wrong)], held)


def watched(verilog: str, wanted: dict[str, Watched]) -> str:
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
        there = [w if w.net in declared else w._replace(when="1'b0") for w in kept.watches]
        return f"{module[0].removesuffix('endmodule')}{_logic(there, kept.held)}endmodule"

    return MODULE.sub(added, verilog)


def _logic(watches: list[Watch], held: dict[str, str]) -> str:
    """The lines that watch in a module, with the registers that these need."""
    lines = [f"  reg [{len(watches) - 1}:0] {FOUND} = {len(watches)}'d0;"]
    lines += (f"  reg {register};" for register in held)
    if held:
        lines.append("  always @(posedge clk) begin")
        lines += (f"    {statement}" for statement in held.values())
        lines.append("  end")
    events = dict.fromkeys(w.event for w in watches)
    if RISEN in events:
        lines += [f"  reg {RISEN} = 1'b0;", f"  always @(posedge rst) {RISEN} <= ~{RISEN};"]
    for event in events:
        lines.append(f"  always @({event}) begin")
        for n, watch in enumerate(watches):
            if watch.event == event:
                lines += [f"    if ({watch.when})", f"      {FOUND}[{n}] <= 1'b1;"]
        lines.append("  end")
    return "\n".join([*lines, ""])


def names(verilog: str, wanted: dict[str, Watched]) -> dict[str, list[str]]:
    """What is watched by the dotted path of its unit below the top, in the order of the bits of `FOUND`."""
    return {
        unit: [watch.what for watch in wanted[module].watches]
        for unit, module in _units(verilog)
        if module in wanted
    }


def _units(verilog: str) -> Iterator[tuple[str, str]]:
    """Dotted path below the top, "" for the top itself, and module of each instance that cocotb finds by its name."""
    texts = {module[1]: module[0] for module in MODULE.finditer(verilog)}
    left = [("", TOP)]
    while left:
        above, kind = left.pop()
        yield above, kind
        for module, name in _INSTANCE.findall(texts[kind]):
            plain = name.removeprefix("\\")
            if module in texts and "$" not in plain:
                left.append((f"{above}.{plain}".lstrip("."), module))
