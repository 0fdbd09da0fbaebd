"""Memories of the Verilog: one module for each shape, which a user may replace by a macro.

Amaranth writes the start value of every word of a memory; at five million bits of latents that is
most of the text and of the time. Here a loop starts them, and every memory of one shape is an
instance of one module.
"""

from collections import Counter
from dataclasses import dataclass

from amaranth.hdl import ClockSignal, Instance
from amaranth.lib.memory import Memory

from xnoreplay.spec import memories
from xnoreplay.spec.memories import MET, Kind
from xnoreplay.spec.plan import Plan

GUARD = "XNOREPLAY_MACROS"  # a user who defines it gives modules of the same names and ports
ROWS = "rows"  # the variable that holds a macro's words
MODULES = ("xnoreplay_ram_", "xnoreplay_file_")
"""What the names of macros begin with."""
APART = '(* no_rw_check, ramstyle = "no_rw_check", rw_addr_collision = "no" *)'
"""Tells yosys, Quartus and Vivado that no cycle reads the row that it writes: none builds anything for that case."""


@dataclass(frozen=True)
class Macro:
    """The shape of a memory with one read and one write port.

    depth, width : words, and bits of a word
    granule : bits that one write enable covers
    latency : cycles from an address to its word, 0 or 1; with 1 ``ren`` holds the word while low, and no cycle reads
        the row that it writes, see `spec.memories.Apart`
    """

    depth: int
    width: int
    granule: int
    latency: int

    @property
    def name(self) -> str:
        """Name of the module."""
        kind = "ram" if self.latency else "file"
        part = f"_g{self.granule}" if self.granule < self.width else ""
        return f"xnoreplay_{kind}_{self.depth}x{self.width}{part}"

    @property
    def address_bits(self) -> int:
        """Bits of an address; 0 where there is one word."""
        return (self.depth - 1).bit_length()

    @property
    def enables(self) -> int:
        """Write enables of a word."""
        return self.width // self.granule

    def ports(self) -> list[dict]:
        """Name, direction and bits of each port; a memory of one word has no addresses."""
        table = [("clk", "input", 1)]
        if self.latency:
            table.append(("ren", "input", 1))
        table += [
            ("raddr", "input", self.address_bits),
            ("rdata", "output", self.width),
            ("wen", "input", self.enables),
            ("waddr", "input", self.address_bits),
            ("wdata", "input", self.width),
        ]
        return [{"name": n, "direction": d, "bits": b} for n, d, b in table if b]

    def verilog(self, started: bool = True) -> str:
        """The module's text; a read without a clock returns what was there before a write of the same cycle.

        With a clock no cycle reads the row that it writes: synthesis is told so, and in simulation the register `MET`
        becomes 1 with a cycle that does. Synthesis does not see the start value: a loop over thousands of words takes
        it minutes, and memories of FPGAs start at 0 by themselves. Without ``started`` there is none.
        """
        addressed = bool(self.address_bits)
        lines = [f"module {self.name}({', '.join(p['name'] for p in self.ports())});"]
        for port in self.ports():
            high = f" [{port['bits'] - 1}:0]" if port["bits"] > 1 else ""
            lines.append(f"  {port['direction']}{high} {port['name']};")
        span = f" [{self.width - 1}:0]" if self.width > 1 else ""
        read = f"{ROWS}[{'raddr' if addressed else 0}]"
        written = f"{ROWS}[{'waddr' if addressed else 0}]"
        if self.latency:
            lines.append(f"  {APART}")
        lines.append(f"  reg{span} {ROWS} [0:{self.depth - 1}];")
        if self.latency:
            lines.append(f"  reg{span} rdata;")
        begins = [
            "  integer i;",
            "  initial begin",
            *([f"    rdata = {self.width}'d0;"] if self.latency else []),
            f"    for (i = 0; i < {self.depth}; i = i + 1)",
            f"      {ROWS}[i] = {self.width}'d0;",
            "  end",
        ]
        lines += [
            "`ifndef SYNTHESIS",
            *(begins if started else []),
            *(self._watch() if self.latency else []),
            "`endif",
        ]
        if self.latency:
            lines += [
                "  always @(posedge clk)",
                "    if (ren)",
                f"      rdata <= {read};",
            ]
        else:
            lines.append(f"  assign rdata = {read};")
        lines.append("  always @(posedge clk) begin")
        for i in range(self.enables):
            part = f"[{(i + 1) * self.granule - 1}:{i * self.granule}]" if self.width > 1 else ""
            enable = f"wen[{i}]" if self.enables > 1 else "wen"
            lines += [f"    if ({enable})", f"      {written}{part} <= wdata{part};"]
        return "\n".join([*lines, "  end", "endmodule", ""])

    def _watch(self) -> list[str]:
        """Lines of what tells that a cycle has read a row that it wrote."""
        same = "raddr == waddr" if self.address_bits else "1'b1"
        written = "|wen" if self.enables > 1 else "wen"
        return [
            f"  reg {MET};",
            f"  initial {MET} = 1'b0;",
            "  always @(posedge clk)",
            f"    if (ren && {written} && {same})",
            f"      {MET} <= 1'b1;",
        ]


class Macros:
    """Amaranth's platform for `generate`: it makes every memory an instance of a macro.

    ``used`` counts the instances of each.
    """

    def __init__(self) -> None:
        self.used: Counter[Macro] = Counter()

    def get_memory(self, memory: Memory) -> Instance:
        """The instance of a macro that takes a memory's place; Amaranth calls this."""
        (read,), (write,) = memory.read_ports, memory.write_ports
        width = len(write.data)
        latency = 0 if read.domain == "comb" else 1
        macro = Macro(memory.depth, width, width // len(write.en), latency)
        self.used[macro] += 1
        if read.transparent_for:
            raise ValueError(f"a read of {macro.name} must not see a write of the same cycle")
        given = {"i_wen": write.en, "i_wdata": write.data, "o_rdata": read.data}
        if macro.latency:
            given["i_ren"] = read.en
        if macro.address_bits:
            given |= {"i_raddr": read.addr, "i_waddr": write.addr}
        return Instance(macro.name, i_clk=ClockSignal("sync"), **given)

    def verilog(self) -> str:
        """Text of every macro's module, which is left out where a user gives others."""
        found = sorted(self.used, key=lambda macro: macro.name)
        return "\n".join([f"`ifndef {GUARD}", *(macro.verilog() for macro in found), "`endif", ""])

    def manifest(self) -> list[dict]:
        """Name, depth, width, granule, latency, instances and ports of each macro."""
        return [
            {
                "name": macro.name,
                "depth": macro.depth,
                "width": macro.width,
                "granule": macro.granule,
                "latency": macro.latency,
                "instances": count,
                "bits": macro.depth * macro.width,
                "ports": macro.ports(),
            }
            for macro, count in sorted(self.used.items(), key=lambda item: item[0].name)
        ]


def macros_of(plan: Plan, memory: memories.Memory) -> list[Macro]:
    """Return the macros, one an instance, that hold a memory with a clocked read; none of another."""
    bits, units = plan.rule.delta_bits, plan.target.error_units
    depths, granule = [memory.depth] * memory.count, memory.granule or memory.width
    match memory.declaration.kind:
        case Kind.RAM:
            pass
        case Kind.BANKS:
            granule = memory.width
        case Kind.CLASSIFIER:
            depths = [plan.classifier_rows, plan.network.classes * plan.output.beats]
        case Kind.PLANES:
            depths, granule = [memory.depth // bits] * bits, 1
        case Kind.PLANE_BANKS:
            depths, granule = [memory.depth // (bits * units)] * (bits * units), 1
        case _:
            return []
    if memory.code:  # a word is written as a whole, with its check bits
        granule = memory.stored
    return [Macro(depth, memory.stored, granule, 1) for depth in depths]
