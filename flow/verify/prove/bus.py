"""Properties of the host's port and of the stream."""

from xnoreplay.flow.verify.prove import control
from xnoreplay.flow.verify.prove.design import Statement
from xnoreplay.flow.verify.prove.engine import Method
from xnoreplay.flow.verify.prove.property import Fault, Property
from xnoreplay.flow.verify.prove.words import (
    CONTROL,
    all_of,
    any_of,
    commands,
    implies,
    most_one,
    phase,
    remembered,
)
from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command, Operand
from xnoreplay.spec.memories import identifier
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import READ_ONLY, Response

SLAVE = "host.slave"
OCCUPIED = "occupied"
"""Whether the chip is busy or starts, in the host."""
LONGEST = 16
"""Cycles in which the port answers a write that it has taken whole; it takes fewer, and how many is not the bus's matter."""
ARGUMENT = remembered(worked=(1, "(@busy | @host.start) & ~rst"), argument=(16, "@host.argument"))
STAYS = "(~worked | @host.argument == argument)"
"""That a command's argument stays, with the declarations that it uses: proved of the host, and assumed where that is cut."""


def stale(plan: Plan) -> str:
    """Declare ``stale``, what STALE of STATUS is by the writes, starts and ends that set and clear it."""
    names: dict[object, str] = {
        r: f"@host.set_{r.name.lower()}" for r in registers.writable(plan.memories)
    }
    names |= {m.name: f"@host.memory_{identifier(m.name)}__wen" for m in plan.memories}
    writes = any_of(names[what] for what in registers.STALES if what in names)
    starts = f"@host.start & @host.command == {int(Command.RESTORE)}"
    return (
        "  reg stale;\n"
        f"  always @(posedge clk) stale <= ~rst & ({writes} | ~@restored & (stale | {starts}));\n"
    )


OUTSTANDING = """\
  // Transfers that were taken and whose answer is not.
  reg [2:0] addresses, writes, reads;
  always @(posedge clk)
    if (rst) begin
      addresses <= 0;
      writes <= 0;
      reads <= 0;
    end else begin
      addresses <= addresses + (s_axil_awvalid & s_axil_awready) - (s_axil_bvalid & s_axil_bready);
      writes <= writes + (s_axil_wvalid & s_axil_wready) - (s_axil_bvalid & s_axil_bready);
      reads <= reads + (s_axil_arvalid & s_axil_arready) - (s_axil_rvalid & s_axil_rready);
    end
"""


def properties(plan: Plan) -> list[Property]:
    """Properties of a plan's bus."""
    return [*_axi(), *_host(plan), *_stream(plan)]


def _axi() -> list[Property]:
    held_b = remembered(was=(1, "s_axil_bvalid & ~s_axil_bready"), response=(2, "s_axil_bresp"))
    held_r = remembered(
        was=(1, "s_axil_rvalid & ~s_axil_rready"),
        response=(2, "s_axil_rresp"),
        data=(32, "s_axil_rdata"),
    )
    waiting = f"""{OUTSTANDING}
  reg [5:0] waited;
  wire owed = addresses != 0 & writes != 0 & ~s_axil_bvalid;
  always @(posedge clk) waited <= rst | ~owed ? 0 : waited + (waited != 63);
"""
    reading = f"""{OUTSTANDING}
  reg [5:0] waited;
  wire owed = reads != 0 & ~s_axil_rvalid;
  always @(posedge clk) waited <= rst | ~owed ? 0 : waited + (waited != 63);
"""
    keep = ("host",)
    return [
        Property(
            "axi.write-response-waits",
            "BVALID stays 1, and BRESP as it is, until BREADY or a reset.",
            Statement("was & ~rst", "s_axil_bvalid & s_axil_bresp == response", held_b, keep=keep),
            Method.PDR,
            (Fault(SLAVE, "write_answered", "@ & ~write_answered"),),
        ),
        Property(
            "axi.read-data-waits",
            "RVALID stays 1, and RDATA and RRESP as they are, until RREADY or a reset.",
            Statement(
                "was & ~rst",
                "s_axil_rvalid & s_axil_rresp == response & s_axil_rdata == data",
                held_r,
                keep=keep,
            ),
            Method.PDR,
            (
                Fault(SLAVE, "read_answered", "@ & ~read_answered"),
                Fault(SLAVE, "s_axil_rdata", "read_data"),
            ),
        ),
        Property(
            "axi.write-response-has-cause",
            "A write is answered once, and only after its address and its data were taken.",
            Statement("s_axil_bvalid", "addresses != 0 & writes != 0", OUTSTANDING, keep=keep),
            Method.PDR,
            (Fault(SLAVE, "write_answered", "@ | address_taken"),),
        ),
        Property(
            "axi.read-data-has-cause",
            "A read is answered once, and only after its address was taken.",
            Statement("s_axil_rvalid", "reads != 0", OUTSTANDING, keep=keep),
            Method.PDR,
            (Fault(SLAVE, "read_answered", "@ | s_axil_rready"),),
        ),
        Property(
            "axi.ready-unless-owed",
            "But for reset, READY of a channel is 0 only while a transfer of it that was taken is not yet answered.",
            Statement(
                "~rst",
                "(s_axil_awready | addresses != 0) & (s_axil_wready | writes != 0) & (s_axil_arready | reads != 0)",
                OUTSTANDING,
                keep=keep,
            ),
            Method.PDR,
            (
                Fault(SLAVE, "s_axil_awready", "@ & ~s_axil_bready"),
                Fault(SLAVE, "s_axil_wready", "@ & address_taken"),
                Fault(SLAVE, "s_axil_arready", "@ & ~serving"),
            ),
        ),
        Property(
            "axi.no-exokay",
            "No answer is EXOKAY, which AXI4-Lite has not.",
            Statement(
                "s_axil_bvalid | s_axil_rvalid",
                "(~s_axil_bvalid | s_axil_bresp != 1) & (~s_axil_rvalid | s_axil_rresp != 1)",
                keep=keep,
            ),
            Method.PDR,
            (
                Fault(SLAVE, "s_axil_bresp", "@ == 2'd2 ? 2'd1 : @"),
                Fault(SLAVE, "s_axil_rresp", "@ ^ {1'b0, address[0]}"),
            ),
        ),
        Property(
            "axi.nothing-in-reset",
            "In a cycle of reset no READY and no VALID of the chip is 1, so that nothing is handed over.",
            Statement(
                "rst",
                "~(s_axil_awready | s_axil_wready | s_axil_arready | s_axil_bvalid | s_axil_rvalid)",
                keep=keep,
            ),
            Method.PDR,
            (Fault(SLAVE, "awake", "1'b1"),),
        ),
        Property(
            "axi.write-ends",
            f"A write whose address and data were taken is answered within {LONGEST} cycles, whatever reads do meanwhile.",
            Statement("owed", f"waited < {LONGEST}", waiting, keep=keep),
            Method.PDR,
            (Fault(SLAVE, "write", "@ & ~read_answered"),),
        ),
        Property(
            "axi.read-ends",
            f"A read whose address was taken is answered within {LONGEST} cycles, whatever writes do meanwhile.",
            Statement("owed", f"waited < {LONGEST}", reading, keep=keep),
            Method.PDR,
            (Fault(SLAVE, "read_ready", "@ & ~address_taken"),),
        ),
    ]


def _host(plan: Plan) -> list[Property]:
    keep = CONTROL
    windows = registers.windows(plan.memories)
    ports = [f"@host.memory_{identifier(w.memory.name)}" for w in windows]
    stores = [
        f"{port}__wen"
        for port, w in zip(ports, windows, strict=True)
        if w.memory.name not in READ_ONLY
    ]
    lines = [*(f"{port}__ren" for port in ports), *stores]
    strobes = any_of(lines)
    writes = any_of(f"@host.set_{r.name.lower()}" for r in registers.writable(plan.memories))
    counted = [command for command in Command if not command.counted]
    return [
        Property(
            "host.starts-idle-chip",
            "A command starts only while the chip is idle and empties no memory.",
            Statement("@host.start", "~@busy", keep=keep),
            Method.PDR,
            (Fault("host", OCCUPIED, "start"),),
        ),
        Property(
            "host.busy-follows-start",
            "The cycle after a start the chip is busy, but for a reset.",
            Statement("was & ~rst", "@busy", remembered(was=(1, "@host.start & ~rst")), keep=keep),
            Method.PDR,
            (Fault("sequencer", "at", "start ? 1 : @"),),
        ),
        Property(
            "host.leaves-busy-chip",
            "While the chip is busy or starts, no window's strobe and no write of a register reaches it.",
            Statement("@busy | @host.start", f"~({strobes} | {writes})", keep=keep),
            Method.PDR,
            (Fault("host", OCCUPIED, "start"), Fault("host", OCCUPIED, "busy")),
        ),
        Property(
            "host.windows-closed",
            "While the chip is busy no memory takes its address from the host.",
            Statement("@busy", f"~{any_of(f'{port}__open' for port in ports)}", keep=keep),
            Method.PDR,
            (Fault("host", "closed", "occupied & ~start"),),
        ),
        Property(
            "host.strobes-apart",
            "In the cycle after a window's strobe no window has one.",
            Statement("was", f"~{strobes}", remembered(was=(1, strobes)), keep=("host",)),
            Method.PDR,
            (Fault("host", ports[0].split(".")[1] + "__ren", "@ | s_axil_bvalid"),),
        ),
        Property(
            "host.strobes-rested",
            "In the first cycle after one in which the chip was busy no window has a strobe.",
            Statement("was", f"~{strobes}", remembered(was=(1, "@busy")), keep=keep),
            Method.PDR,
            (Fault("host", ports[0].split(".")[1] + "__ren", "@ | ~occupied"),),
        ),
        Property(
            "host.values-in-range",
            "A register that the chip computes with gets no value from the host beyond its range.",
            Statement("1", _in_range(plan), keep=("host",)),
            Method.PDR,
            (Fault("host", "set_seen", "@ | set_lfsr_walk"),),
        ),
        Property(
            "host.argument-stays",
            "From the start of a command to its end its argument stays.",
            Statement(
                "1",
                STAYS,
                ARGUMENT,
                keep=keep,
            ),
            Method.PDR,
            (Fault("host", OCCUPIED, "start"),),
        ),
        Property(
            "host.one-window",
            "In a cycle at most one memory's window has a strobe, and it reads or writes.",
            Statement(
                strobes,
                most_one(lines),
                keep=("host",),
            ),
            Method.PDR,
            (
                Fault(
                    "host",
                    ports[-1].split(".")[1] + "__ren",
                    "@ | " + ports[0].split(".")[1] + "__ren",
                ),
            ),
        ),
        Property(
            "host.refuses-broken-rules",
            "A command that starts is one of the table, and every rule of its row holds.",
            Statement(
                "@host.start",
                legal(
                    "@host.command",
                    {Operand.SEEN: "@seen#0", Operand.CLASSES: str(plan.network.classes)},
                ),
                keep=keep,
            ),
            Method.PDR,
            (
                Fault("host", "start", "@ | s_axil_wvalid"),
                Fault("host", "argument", "@ | 16'h8000"),
            ),
        ),
        Property(
            "host.acts-on-okay",
            "A write that writes a memory or a register, starts a command or aborts one is answered OKAY: what gets an error "
            "has done nothing.",
            Statement(
                "(@host.start | @host.abort | acted) & ~rst",
                f"s_axil_bvalid & s_axil_bresp == {int(Response.OKAY)}",
                remembered(acted=(1, f"~rst & {any_of([*stores, writes])}")),
                keep=("host",),
            ),
            Method.PDR,
            (
                Fault(SLAVE, "valid", "serving"),
                Fault("host", "abort", "@ | busy & s_axil_wvalid"),
            ),
        ),
        Property(
            "host.stale-has-cause",
            "STALE is set by a write of a label, of SEEN or STAGED and by the start of a RESTORE, cleared by a RESTORE that "
            "refuses no label, and by nothing else.",
            Statement("1", "@host.stale == stale", stale(plan), keep=("host",)),
            Method.PDR,
            (Fault("host", "stale", "@ & ~abort"),),
        ),
        Property(
            "host.refuses-stale",
            "While counts are stale only commands start that do not need them.",
            Statement(
                "@host.start & @host.stale", commands("@host.command", counted), keep=("host",)
            ),
            Method.PDR,
            (Fault("host", "start", "@ | stale"),),
        ),
    ]


def _in_range(plan: Plan) -> str:
    """That what the host writes into SEEN, QUOTA and STAGED is at most what there is."""
    largest = {"seen": plan.network.classes}
    if not plan.generative:
        largest["quota"] = plan.replay.capacity
    if plan.replay.staging:
        largest["staged"] = plan.replay.staging
    return all_of(
        implies(f"@host.set_{name}", f"@host.value <= {most}") for name, most in largest.items()
    )


def legal(command: str, operands: dict[Operand, str]) -> str:
    """That a signal holds the number of a command, and its argument keeps those of its rules whose operands are here."""
    names = {Operand.ARGUMENT: "@host.argument", **operands}
    rows = []
    for each in Command:
        rules = [
            f"{names[r.left]} {r.relation} {r.right if isinstance(r.right, int) else names[r.right]}"
            for r in each.rules
            if r.left in names and (isinstance(r.right, int) or r.right in names)
        ]
        rows.append(implies(commands(command, [each]), all_of(rules)))
    return all_of([commands(command, Command), *rows])


def _stream(plan: Plan) -> list[Property]:
    stream = plan.input.stream
    unit = "thermometer" if plan.network.takes_images else "latent_input"
    taken = f"({stream}_tvalid & {stream}_tready)"
    count = f"""\
  // Transfers of the sample that comes in.
  reg [31:0] count;
  always @(posedge clk)
    if (rst | @host.abort | ~{phase(plan, "input")}) count <= 0;
    else count <= count + {taken};
"""
    waiting = f"""\
  // Cycles in a row in which a transfer is offered in phase input and not taken.
  reg [4:0] waiting;
  always @(posedge clk)
    waiting <= rst | @host.abort | ~{phase(plan, "input")} | ~{stream}_tvalid | {stream}_tready ? 0 : waiting + (waiting != 31);
"""
    return [
        Property(
            "stream.taken-as-input",
            "TREADY is 1 in phase input alone, and in no cycle of reset.",
            Statement(f"{stream}_tready", f"{phase(plan, 'input')} & ~rst", keep=(*CONTROL, unit)),
            Method.PDR,
            (Fault(unit, "done", "@ | ~active"),)
            if not plan.network.takes_images
            else (Fault(unit, "pixel__ready", "@ | ~active"),),
        ),
        Property(
            "stream.whole-sample",
            "Phase input ends with the sample's last transfer: not one fewer, not one more.",
            Statement(
                f"@{unit}.done & ~rst & ~@host.abort",
                f"{phase(plan, 'input')} & count == {plan.input.pixels - 1} & {taken}",
                count,
                keep=("sequencer", unit, "host", "clearing"),
            ),
            Method.PDR,
            (
                Fault(
                    unit,
                    "done",
                    "@ & ~abort | pixel__valid" if unit == "thermometer" else "@ | active",
                ),
            ),
            given=tuple(n for n in control.given(plan) if n not in (*control.HOST, f"done.{unit}")),
        ),
        Property(
            "stream.taken-soon",
            f"A transfer that is offered in phase input is taken within {LONGEST} cycles, but for an abort or a reset.",
            Statement(
                f"{phase(plan, 'input')} & {stream}_tvalid & ~rst",
                f"{stream}_tready | waiting < {LONGEST - 1}",
                waiting,
                keep=(*CONTROL, unit),
            ),
            Method.PDR,
            (
                Fault(
                    unit, "pixel__ready" if plan.network.takes_images else "sample__ready", "1'b0"
                ),
            ),
        ),
    ]
