"""The host's side of the chip: control registers, counters and windows on the memories."""

from functools import reduce
from operator import and_, or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.host import axi
from xnoreplay.hw.parts.ports import HostPort, index_shape
from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command, Operand
from xnoreplay.spec.memories import Memory, identifier
from xnoreplay.spec.registers import (
    READ_ONLY,
    STALES,
    WINDOW_SHIFT,
    Register,
    Response,
    Status,
    Window,
)
from xnoreplay.spec.target import TargetSpec

CHUNK = 32  # bits of a row that one bus word carries
TOGETHER = 8  # words that a read chooses from in one cycle


class Host(wiring.Component):
    """Commands, control registers, counters and memory windows behind an AXI4-Lite port.

    The address map is `spec.registers`. One transfer is served at a time, in
    ``axi.LiteSlave.LATENCY`` + 1 cycles, a read in two more: its first cycle decodes and looks up, its second and third choose.

    - A row wider than a bus word is written low words first: its words gather in one register,
      shared by all windows, and the write of the last one commits the row. Reads leave that
      register alone.
    - While `busy`, a memory window and a write of COMMAND or of a register of `spec.registers.writable`
      get SLVERR and change nothing; control registers and counters can always be read. A counter's
      halves are two reads, and belong together while the chip is idle. A write of ABORT strobes
      ``abort``; while idle it does nothing.
    - SLVERR also answers a write of a read-only register or memory, a value that `writable` does not
      name, an unknown command, and a command of which a rule of `spec.commands` does not hold. DECERR answers
      addresses that are not mapped.
    - A write to what `spec.registers.STALES` names sets `stale`, and so does the start of RESTORE;
      a cycle of `restored` clears it.
      While it is set, commands that are ``counted`` in `spec.commands` get SLVERR.

    Parameters
    ----------
    memories : tuple of Memory
        A plan's memories.
    target : TargetSpec
        Says which counters there are, and how many bits they have.

    Members
    -------
    s_axil_* : see `axi.lite_members`
    command : Out(8), argument : Out(16), start : Out(1)
        `start` is high for one cycle, never while `busy`, which must be high from the next cycle
        to the command's end; the others hold from then on.
    abort : Out(1)
    stale : Out(1), restored : In(1)
    set_<register> : Out(1), one for each of `spec.registers.writable`; see `strobe`
        The register becomes ``value`` : Out(32) at the cycle's end.
    busy, refused, finished : In(1)
    prediction, seen : In(16), quota, staged : In(17), phase : In(8)
    lfsr_walk, lfsr_error, lfsr_update : In(32)
    look : Out(1), index : Out, count : In, of the target's `counter_bits`; where there are counters
        `count` is the value of counter `index` of `spec.registers.counters` of two cycles before, if `look` was high then; see
        `counters.Counters`. It need not be one that there is: every read looks.
    corrected_<name>, wrong_<name> : In(1), for each of `spec.registers.coded`
        A word was read that its code has corrected, or found wrong: sets the memory's bit of `errors`, which is ERRORS.
    memory_<name> : `ports.HostPort` of each of `spec.registers.windows`; see `port`
    """

    def __init__(self, memories: tuple[Memory, ...], target: TargetSpec):
        self.windows = registers.windows(memories)
        self.counter_names = registers.counters(memories, target)
        self.classes = next(m.depth for m in memories if m.name == "table.weight")
        self.writable = registers.writable(memories)
        self.coded = registers.coded(memories)
        counters = {}
        if self.counter_names:
            counters = {
                "look": Out(1),
                "index": Out(index_shape(len(self.counter_names))),
                "count": In(target.counter_bits),
            }
        super().__init__(
            axi.lite_members()
            | {
                "command": Out(unsigned(8)),
                "argument": Out(16),
                "start": Out(1),
                "busy": In(1),
                "refused": In(1),
                "finished": In(1),
                "abort": Out(1),
                "stale": Out(1),
                "restored": In(1),
                "value": Out(CHUNK),
                "prediction": In(16),
                "seen": In(16),
                "quota": In(17),
                "staged": In(17),
                "phase": In(8),
                "lfsr_walk": In(32),
                "lfsr_error": In(32),
                "lfsr_update": In(32),
            }
            | counters
            | {
                f"{what}_{identifier(memory.name)}": In(1)
                for memory in self.coded
                for what in ("corrected", "wrong")
            }
            | {f"set_{register.name.lower()}": Out(1) for register in self.writable}
            | {
                f"memory_{identifier(w.memory.name)}": Out(HostPort(w.memory.depth, w.memory.width))
                for w in self.windows
            }
        )

    def port(self, name: str):
        """The host's port on a memory, by the memory's name."""
        return getattr(self, f"memory_{identifier(name)}")

    def corrected(self, name: str) -> Signal:
        """High where a word of a memory with a code comes corrected, by the memory's name."""
        return getattr(self, f"corrected_{identifier(name)}")

    def wrong(self, name: str) -> Signal:
        """High where a word of a memory with a code comes with wrong bits, by the memory's name."""
        return getattr(self, f"wrong_{identifier(name)}")

    def strobe(self, name: str) -> Signal:
        """High where the host writes a register, by the register's name in lower case."""
        return getattr(self, f"set_{name}")

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.submodules.slave = slave = axi.LiteSlave()
        axi.forward(m, self, slave)

        # A counter is looked up from the cycle on in which the read is chosen.
        if self.counter_names:
            m.d.comb += [
                self.look.eq(slave.reading),
                self.index.eq(slave.read_address[1:] - Register.COUNTERS // 8),
            ]

        # The chip is busy from the strobe on, one cycle before the sequencer says so. A request is refused by what
        # was in the cycle in which it was chosen: no decoding waits for the end of a command.
        occupied = Signal()
        closed = Signal(init=1)  # in the first cycle after a reset no window is open
        m.d.comb += occupied.eq(self.busy | self.start)
        m.d.sync += closed.eq(occupied)

        address = Signal(axi.ADDRESS_BITS)
        region = Signal(axi.ADDRESS_BITS - WINDOW_SHIFT)
        looked_up = Signal()  # in the second cycle of a read
        joins = Signal()  # and in its third
        m.d.comb += [
            address[2:].eq(slave.address),
            region.eq(address[WINDOW_SHIFT:]),
            slave.response.eq(Response.DECERR),
            slave.done.eq(slave.write | joins),
        ]
        m.d.comb += self.value.eq(slave.data)
        self.errors = self._errors(m) if self.coded else None
        m.d.sync += [
            self.start.eq(0),
            self.abort.eq(0),
            looked_up.eq(slave.valid & ~slave.write & ~looked_up & ~joins),
            joins.eq(looked_up),
        ]
        # What a read may find, and 0 where it is not what was asked for: nothing is decoded behind a memory.
        value_read = Signal(CHUNK)
        self.chosen = Signal(CHUNK)  # of the control registers
        self.found: list[Value] = [value_read]
        self.offered = Signal(1 + sum(window.chunks for window in self.windows))
        self.halves = Signal(2)  # of a counter
        m.d.sync += [self.offered.eq(0), self.halves.eq(0), value_read.eq(self.chosen)]
        with m.If(self.start & (self.command == Command.RESTORE)):
            m.d.sync += self.stale.eq(1)
        with m.If(self.restored):
            m.d.sync += self.stale.eq(0)
        self._judge(m, slave)
        self._take(m, slave, closed)
        with m.If(slave.valid):
            with m.Switch(region):
                with m.Case(0):
                    self._control(m, slave, address[:WINDOW_SHIFT], occupied, closed)
                for window in self.windows:
                    with m.Case(window.base >> WINDOW_SHIFT):
                        asks = ~looked_up & ~joins
                        self._window(m, slave, window, address[:WINDOW_SHIFT], closed, asks)
        # A block RAM's word comes late, and may pass few others.
        parts = []
        for first in range(0, len(self.found), TOGETHER):
            part = Signal(CHUNK, name=f"part{first // TOGETHER}")
            m.d.sync += part.eq(reduce(or_, self.found[first : first + TOGETHER]))
            parts.append(part)
        if self.counter_names:  # a counter is a sum, later still
            counted = Signal.like(self.count, name="counted")
            shown = Signal(2)
            m.d.sync += [counted.eq(self.count), shown.eq(self.halves)]
            parts += [Mux(shown[0], counted[:CHUNK], 0), Mux(shown[1], counted[CHUNK:], 0)]
        m.d.comb += slave.read_data.eq(reduce(or_, parts))
        self._gather(m, slave, address, closed)
        ports = {w.memory.name: self.port(w.memory.name).wen for w in self.windows}
        strobes = {register: self.strobe(register.name.lower()) for register in self.writable}
        for what, write in (ports | strobes).items():
            if what in STALES:
                with m.If(write):
                    m.d.sync += self.stale.eq(1)
        return m

    def _errors(self, m: Module) -> Signal:
        """Build ERRORS: a bit is set by what a decoder tells, and cleared by a write of 1 to it in another cycle."""
        errors = Signal(CHUNK, name="errors")
        self.cleared = Signal(CHUNK, name="cleared")
        for memory in self.coded:
            for strobe, corrected in ((self.corrected, True), (self.wrong, False)):
                bit = registers.error_bit(memory.name, corrected)
                if registers.errors_mask(self.coded) >> bit & 1:
                    held = Signal(name=f"error{bit}")
                    m.d.comb += errors[bit].eq(held)
                    m.d.sync += held.eq(held & ~self.cleared[bit] | strobe(memory.name))
        return errors

    def _judge(self, m: Module, slave) -> None:
        """Build registers that say whether a write makes a command, fits a register, or ends a row.

        They are of the cycle before: address and data are there a cycle before they are served, and from there on no
        register changes of a chip that is idle.
        """
        written = slave.write_address
        self.fits = {}
        for register, legal in self.writable.items():
            fits = Const(1)  # a comparison that always holds is one that tools complain of
            if legal.start:
                fits &= slave.data >= legal.start
            if legal.stop < 1 << CHUNK:
                fits &= slave.data < legal.stop
            self.fits[register] = Signal(name=f"fits_{register.name.lower()}", reset_less=True)
            m.d.sync += self.fits[register].eq(fits & (written == register >> 2))
        values = {
            Operand.ARGUMENT: slave.data[16:],
            Operand.SEEN: self.seen,
            Operand.CLASSES: self.classes,
        }
        # Of each window whether the address is in it, and whether at a row's last chunk.
        self.enters: dict[Window, Signal] = {}
        self.commits: dict[Window, Signal] = {}
        for window in self.windows:
            split = 2 + (window.stride - 1).bit_length()
            chunk, row = written[: split - 2], written[split - 2 : WINDOW_SHIFT - 2]
            here = written[WINDOW_SHIFT - 2 :] == window.base >> WINDOW_SHIFT
            here &= row < window.memory.depth
            ends = here & (chunk == window.chunks - 1) if split > 2 else here
            for made, meets, name in (
                (self.enters, here, "enters"),
                (self.commits, ends, "commits"),
            ):
                name = f"{name}_{identifier(window.memory.name)}"
                made[window] = Signal(name=name, reset_less=True)
                m.d.sync += made[window].eq(meets)
        self.legal = Signal(reset_less=True)
        m.d.sync += self.legal.eq(0)
        with m.Switch(slave.data[:8]):
            for command in Command:
                with m.Case(command.value):
                    holding = [rule.holds(values) for rule in command.rules]
                    m.d.sync += self.legal.eq(reduce(and_, holding) if holding else 1)
                    if command.counted:
                        with m.If(self.stale):
                            m.d.sync += self.legal.eq(0)
        with m.If(written != Register.COMMAND >> 2):
            m.d.sync += self.legal.eq(0)

    def _take(self, m: Module, slave, closed) -> None:
        """Strobe a write of a register, start a command, or commit a row, by what `_judge` has found, where the chip is idle."""
        takes = slave.valid & slave.write & ~closed
        for register, fits in self.fits.items():
            m.d.comb += self.strobe(register.name.lower()).eq(takes & fits)
        for window, commits in self.commits.items():
            if window.memory.name not in READ_ONLY:
                m.d.comb += self.port(window.memory.name).wen.eq(takes & commits)
        with m.If(takes & self.legal):
            m.d.sync += [
                self.start.eq(1),
                self.command.eq(slave.data[:8]),
                self.argument.eq(slave.data[16:]),
            ]

    def _control(self, m: Module, slave, offset, occupied, closed) -> None:
        """Answer a request to a control register or counter."""
        values = {
            Register.ID: Const(registers.ID, 32),
            Register.COMMAND: self.command | self.argument << 16,
            Register.STATUS: occupied << Status.BUSY
            | self.refused << Status.REFUSED
            | (self.finished & ~occupied) << Status.FINISHED
            | self.stale << Status.STALE,
            Register.PREDICTION: self.prediction,
            Register.SEEN: self.seen,
            Register.QUOTA: self.quota,
            Register.STAGED: self.staged,
            Register.PHASE: self.phase,
            Register.LFSR_WALK: self.lfsr_walk,
            Register.LFSR_ERROR: self.lfsr_error,
            Register.LFSR_UPDATE: self.lfsr_update,
            Register.ABORT: Const(0, 32),
        }
        if self.errors is not None:
            values[Register.ERRORS] = self.errors
        with m.Switch(offset):
            for at, value in values.items():
                with m.Case(at):
                    m.d.comb += self.chosen.eq(value)
                    if at == Register.COMMAND:
                        self._command(m, slave, closed)
                    elif at == Register.ABORT:
                        m.d.comb += slave.response.eq(Response.OKAY)
                        with m.If(slave.write):
                            m.d.sync += self.abort.eq(1)
                    elif at == Register.ERRORS:
                        m.d.comb += slave.response.eq(Response.OKAY)
                        with m.If(slave.write):
                            m.d.comb += self.cleared.eq(slave.data)
                    elif at in self.writable:
                        self._register(m, slave, at, closed)
                    else:
                        m.d.comb += slave.response.eq(
                            Mux(slave.write, Response.SLVERR, Response.OKAY)
                        )

        if self.counter_names:
            self._counters(m, slave, offset)

    def _counters(self, m: Module, slave, offset) -> None:
        """Answer a request to a counter's half."""
        end = Register.COUNTERS + 8 * len(self.counter_names)
        with m.If((offset >= Register.COUNTERS) & (offset < end)):
            m.d.sync += self.halves.eq(Cat(~offset[2], offset[2]))
            with m.If(slave.write):
                m.d.comb += slave.response.eq(Response.SLVERR)
            with m.Else():
                m.d.comb += slave.response.eq(Response.OKAY)

    def _register(self, m: Module, slave, register: Register, closed) -> None:
        """Answer a request to a register: SLVERR to a write that `_take` does not take."""
        m.d.comb += slave.response.eq(Response.OKAY)
        with m.If(slave.write & (closed | ~self.fits[register])):
            m.d.comb += slave.response.eq(Response.SLVERR)

    def _command(self, m: Module, slave, closed) -> None:
        """Answer a request to COMMAND: SLVERR to a write that `_take` does not take."""
        m.d.comb += slave.response.eq(Response.OKAY)
        with m.If(slave.write & (closed | ~self.legal)):
            m.d.comb += slave.response.eq(Response.SLVERR)

    def _window(self, m: Module, slave, window: Window, offset, closed, asks) -> None:
        """Answer a request to one memory's window: `_take` commits a write, a read ``asks`` in its first cycle."""
        port = self.port(window.memory.name)
        split = 2 + (window.stride - 1).bit_length()
        chunk, row = offset[2:split], offset[split:]
        mapped = (chunk < window.chunks) & (row < window.memory.depth)
        with m.If(mapped & closed):
            m.d.comb += slave.response.eq(Response.SLVERR)
        with m.Elif(mapped):
            m.d.comb += slave.response.eq(Response.OKAY)
            with m.If(slave.write):
                if window.memory.name in READ_ONLY:
                    m.d.comb += slave.response.eq(Response.SLVERR)
            with m.Else():
                m.d.comb += port.ren.eq(asks)
                for c in range(window.chunks):
                    self._offer(m, port.rdata.word_select(c, CHUNK), chunk == c)

    def _offer(self, m: Module, word: Value, asked: Value) -> None:
        """Offer a word to a read that has its second cycle next, if that is the word ``asked`` for."""
        place = len(self.found)
        self.found.append(Mux(self.offered[place], word, 0))
        m.d.sync += self.offered[place].eq(asked)

    def _gather(self, m: Module, slave, address, closed) -> None:
        """Build the register that gathers a row, and the row and address that every window is given."""
        chunks = max(w.chunks for w in self.windows)
        gathered = Signal((chunks - 1) * CHUNK, name="gathered") if chunks > 1 else Const(0, 0)
        for window in self.windows:
            port = self.port(window.memory.name)
            split = 2 + (window.stride - 1).bit_length()
            m.d.comb += [port.addr.eq(address[split:WINDOW_SHIFT]), port.open.eq(~closed)]
            low = (window.chunks - 1) * CHUNK
            m.d.comb += port.wdata[low:].eq(slave.data)
            if low:
                m.d.comb += port.wdata[:low].eq(gathered)
                chunk = address[2:split]
                with m.If(slave.valid & slave.write & ~closed & self.enters[window]):
                    for c in range(window.chunks - 1):
                        with m.If(chunk == c):
                            m.d.sync += gathered.word_select(c, CHUNK).eq(slave.data)
