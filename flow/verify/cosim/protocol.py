"""The host port in plain Python: what it must answer, and in which cycle, to whatever a master does.

The test bench lets a foreign master loose on the port and records every signal of it in every cycle
(`hostport`). `Judge` is fed what the master drove, never what the bench meant to do; it predicts every
output of the chip in every cycle, with the simulator behind the memories and registers, and holds the
rules of AXI to the outputs beside it. The meaning is that of docs/microarchitecture.md, "The host port".
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from xnoreplay.flow.verify.cosim.addresses import control_registers, one_bit_off
from xnoreplay.flow.verify.cosim.port_rules import Rules
from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import (
    READ_ONLY,
    STALES,
    WINDOW_SHIFT,
    Register,
    Response,
    Status,
    Window,
)
from xnoreplay.spec.trace import Difference

OKAY, SLVERR, DECERR = (int(r) for r in Response)
ANSWERS = {int(r): r.name for r in Response}
WHOLE = 15  # the only strobe that is taken
CHUNK = (1 << 32) - 1
FAR = 1 << 30  # cycles by which a pixel is late that never came

STATES = {
    Register.PREDICTION: "prediction",
    Register.SEEN: "seen",
    Register.QUOTA: "quota",
    Register.STAGED: "staged",
    Register.LFSR_WALK: "lfsr_walk",
    Register.LFSR_ERROR: "lfsr_error",
    Register.LFSR_UPDATE: "lfsr_update",
    Register.ERRORS: "errors",
}
"""Registers that show what the simulator calls so."""


@dataclass(frozen=True)
class Fault(Difference):
    """A cycle in which an output of the port is not what it must be, or breaks a rule of AXI.

    The signal is in capitals as AXI names it, but for `phase` and `busy`; the address is that of the transfer
    served last, in hexadecimal, "" before the first; what must be is a value, or what a rule asks for.

    Parameters
    ----------
    clock : int
        Place of the cycle in the record of the stage, from 0.
    """

    clock: int


@dataclass
class Running:
    """A command from its strobe on, as it is expected to go.

    Parameters
    ----------
    command : Command
    argument : int
    start : int
        Clock of the strobe; the first busy one follows.
    length : int
        Busy cycles.
    phases : list of (str, int)
        Name and first busy cycle of each phase, counted from 0.
    saved : dict
        The simulator's state before the command, as `Simulator.copied` returns it.
    aborted : bool
        ABORT ended it.
    """

    command: Command
    argument: int
    start: int
    length: int
    phases: list[tuple[str, int]]
    saved: dict[str, np.ndarray]
    aborted: bool = False


@dataclass
class Port:
    """Registers of the port, as they are before a clock edge."""

    aw: int | None = None
    w: tuple[int, int] | None = None
    ar: int | None = None
    bvalid: int = 0
    bresp: int = 0
    rvalid: int = 0
    rresp: int = 0
    rdata: int = 0
    reads_next: bool = False
    serving: str = ""
    """"write" or "read": what was chosen, and is being served."""
    closed: bool = False
    """Whether the chip was busy when that was chosen."""
    looked_up: tuple[int, int] | None = None
    """Response and data of a read that is past its first cycle."""
    chosen: bool = False
    """Whether it is past its second, too."""
    gathered: dict[int, int] = field(default_factory=dict)


class Judge:
    """One stage on the host port, cycle by cycle.

    Parameters
    ----------
    plan : Plan
    chip : sim.run.Simulator
        As the chip is when the stage begins, idle; it is driven on.
    word : int
        What COMMAND reads as: the last command taken.
    clocks : list of dict
        The port's signals, one dict a clock; the first transfer is alone.
    """

    def __init__(self, plan: Plan, chip, word: int, clocks: list[dict]) -> None:
        self.plan, self.chip, self.word, self.clocks = plan, chip, word, clocks
        self.windows = {w.base >> WINDOW_SHIFT: w for w in registers.windows(plan.memories)}
        self.writable = registers.writable(plan.memories)
        self.names = registers.counters(plan.memories, plan.target)
        self.one_bit_off = one_bit_off(plan)
        self.number = {name: n for n, name in enumerate(plan.phases)}
        self.port, self.rules = Port(), Rules()
        self.running: Running | None = None
        self.abort = False  # the strobe, high in this clock
        self.rows: dict[str, list[int]] = {}  # memories as the host sees them
        self.dirty: set[str] = set()
        self.reached: Counter[str] = Counter()
        self.at_clock: dict[int, tuple] = {}
        self.serving = ""  # the address of the transfer served last
        self.ended = -2  # clock in which the last command was idle again
        self.word_count = 0  # of the pixel being written
        self.last_taken: dict[str, int] = {}
        self.first = chip.cycles
        self.busy_clocks = 0

    # ------------------------------------------------------------------------- the clock

    def judge(self) -> Iterator[Fault]:
        """Compare every output in every cycle of the record with the one predicted, and with AXI's rules.

        Drives the simulator on to the end of the stage and counts in `reached`; call it once.

        Yields
        ------
        Fault
            The first fault, and nothing more: what follows one cannot be predicted. None where the chip is right.
        """
        for clock, now in enumerate(self.clocks):
            self._advance(clock)
            expected = self._outputs(clock)
            if rule := self.rules.broken(now):
                yield self._fault(clock, *rule)
                return
            for name, want in expected.items():
                if now[name] != want:
                    yield self._fault(clock, name, f"{want:#x}", f"{now[name]:#x}")
                    return
            self._count(now)
            self._edge(clock, now)
        if rule := self.rules.unanswered():
            yield self._fault(len(self.clocks), *rule)
        elif self.running:
            yield self._fault(len(self.clocks), "busy", "low at the end", "high")
        else:
            self._flush()

    def _fault(self, clock: int, signal: str, want: str, got: str) -> Fault:
        phase = self._phase(clock)
        axi = signal if signal in ("phase", "busy") else signal.upper()
        cycle = self.first + self.busy_clocks
        return Fault(cycle, phase, axi, self.serving, want, got, clock)

    def _advance(self, clock: int) -> None:
        """A command that ends gives the chip its state."""
        run = self.running
        if run and clock > run.start + run.length:
            self.running = None
            self.at_clock.clear()
            self.rows.clear()
            self.ended = clock
            kind = "aborted" if run.aborted else "to its end"
            self.reached[f"command {run.command.name} {kind}"] += 1

    def _phase(self, clock: int) -> str:
        run = self.running
        if run is None or clock <= run.start:
            return "idle"
        k = clock - run.start - 1
        return [name for name, first in run.phases if first <= k][-1]

    def _outputs(self, clock: int) -> dict[str, int]:
        """Every output of the chip in a clock; a payload only beside its valid."""
        port, phase = self.port, self._phase(clock)
        if phase != "input":
            self.word_count = 0
        found = {
            "awready": int(port.aw is None),
            "wready": int(port.w is None),
            "arready": int(port.ar is None),
            "bvalid": port.bvalid,
            "rvalid": port.rvalid,
            "tready": int(phase == "input" and self.word_count == self.plan.input.words - 1),
            "phase": self.number[phase],
            "busy": int(phase != "idle"),
        }
        if port.bvalid:
            found["bresp"] = port.bresp
        if port.rvalid:
            found |= {"rresp": port.rresp, "rdata": port.rdata}
        return found

    def _edge(self, clock: int, now: dict) -> None:
        """What the clock edge at the end of a cycle does."""
        port, phase = self.port, self._phase(clock)
        self.busy_clocks += phase != "idle"
        if phase == "input" and now["tvalid"]:
            self.word_count = (self.word_count + 1) % self.plan.input.words
        free = {"aw": port.aw is None, "w": port.w is None, "ar": port.ar is None}
        write_ready = port.aw is not None and port.w is not None and not port.bvalid
        read_ready = port.ar is not None and not port.rvalid
        strobe_abort, self.abort = self.abort, False
        if strobe_abort:
            self._aborted(clock)
        if now["bready"]:
            port.bvalid = 0
        if now["rready"]:
            port.rvalid = 0
        if port.serving == "write":
            self._serve_write(clock)
        elif port.serving == "read":
            self._serve_read(clock)
        elif write_ready or read_ready:
            first = write_ready and not (read_ready and port.reads_next)
            port.serving = "write" if first else "read"
            port.closed = self.running is not None
        self._take(clock, now, free)

    def _serve_write(self, clock: int) -> None:
        """Answer the write whose address and data are there."""
        port = self.port
        assert port.aw is not None
        assert port.w is not None
        self.serving = f"{port.aw:#010x}"
        port.bresp, port.bvalid = self._write(clock, port.aw, *port.w), 1
        port.aw = port.w = None
        port.serving, port.reads_next = "", True

    def _serve_read(self, clock: int) -> None:
        """Answer the read whose address is there, if this is the last cycle of its service."""
        port = self.port
        assert port.ar is not None
        self.serving = f"{port.ar:#010x}"
        if port.looked_up is None:
            port.looked_up = self._read(clock, port.ar)
            return
        if not port.chosen:
            port.chosen = True
            return
        port.rresp, port.rdata = port.looked_up
        port.rvalid, port.ar, port.looked_up, port.chosen = 1, None, None, False
        port.serving, port.reads_next = "", False

    def _take(self, clock: int, now: dict, free: dict[str, bool]) -> None:
        """Take what the master offers a register that was free at the cycle's beginning."""
        port = self.port
        if now["awvalid"] and free["aw"]:
            port.aw = now["awaddr"]
            self.last_taken["aw"] = clock
        if now["wvalid"] and free["w"]:
            port.w = now["wdata"], now["wstrb"]
            self.last_taken["w"] = clock
        if now["arvalid"] and free["ar"]:
            port.ar = now["araddr"]

    # ------------------------------------------------------------------------- transfers

    def _moment(self, clock: int) -> str:
        """Where a clock lies in a command."""
        run = self.running
        if run is None:
            return "first idle" if clock == self.ended else "idle"
        if clock == run.start:
            return "start"
        if clock == run.start + 1:
            return "first busy"
        return "last busy" if clock == run.start + run.length else "busy"

    def _note(self, what: str, response: int, clock: int) -> None:
        """Count a transfer by place and answer, and one that is not a mistake of the host by its moment."""
        self.reached[f"{what} {ANSWERS[response]}"] += 1
        if response != DECERR:
            self.reached[f"{what.split()[0]} at {self._moment(clock)}"] += 1

    def _wrong_bits(self, way: str, address: int) -> None:
        """Count a transfer whose address is wrong in one bit."""
        for bit in self.one_bit_off.get(address, ()):
            self.reached[f"{way} with address bit {bit} wrong"] += 1

    def _write(self, clock: int, address: int, data: int, strobe: int) -> int:
        """A write served in a clock: its response."""
        gap = self.last_taken["aw"] - self.last_taken["w"]
        order = "together" if gap == 0 else "address first" if gap < 0 else "data first"
        self.reached[f"write {order}"] += 1
        self.reached["unaligned write"] += bool(address & 3)
        self._wrong_bits("write", address)
        if strobe != WHOLE:
            self._note(f"strobe {strobe}", SLVERR, clock)
            return SLVERR
        region, offset = address >> WINDOW_SHIFT, address & (1 << WINDOW_SHIFT) - 4
        if region == 0:
            return self._write_control(clock, offset, data)
        window = self.windows.get(region)
        if window is None:
            self._note("write unmapped window", DECERR, clock)
            return DECERR
        place = window.place(offset)
        closed = self.port.closed or window.memory.name in READ_ONLY
        response = DECERR if place is None else SLVERR if closed else OKAY
        self._note(f"write {window.memory.name}", response, clock)
        if response == OKAY and place:
            self._commit(window, *place, data)
        return response

    def _commit(self, window: Window, row: int, chunk: int, data: int) -> None:
        port, memory = self.port, window.memory
        if chunk < window.chunks - 1:
            port.gathered[chunk] = data
            return
        value = data << 32 * chunk
        for c in range(chunk):
            value |= port.gathered.get(c, 0) << 32 * c  # a stage writes a whole row before others
        self._memory(memory.name)[row] = value & (1 << memory.width) - 1
        if not memory.code:
            self.dirty.add(memory.name)
        if memory.name in STALES or memory.code:  # other rows keep their wrong bits
            self.chip.write_row(memory.name, row, self._memory(memory.name)[row])
        self.reached[f"row of {memory.name} written"] += 1

    def _memory(self, name: str) -> list[int]:
        if name not in self.rows:
            self.rows[name] = self.chip.memory_ints(name)
        return self.rows[name]

    def _flush(self) -> None:
        """Give the simulator what the host wrote."""
        for name in sorted(self.dirty):
            width = self.plan.memory(name).width
            rows = [[value >> i & 1 for i in range(width)] for value in self.rows[name]]
            self.chip.write(name, np.array(rows, np.uint8))
        self.dirty.clear()

    def _write_control(self, clock: int, offset: int, data: int) -> int:
        if offset == Register.COMMAND:
            return self._command(clock, data)
        if offset == Register.ABORT:
            self.abort = True
            response = OKAY
        elif offset == Register.ERRORS and self._register(offset):
            self.chip.clear_errors(data)
            response = OKAY
        elif offset in self.writable:
            register = Register(offset)
            taken = not self.port.closed and data in self.writable[register]
            response = OKAY if taken else SLVERR
            if taken:
                self.chip.write_register(register, data)
            elif not self.port.closed:
                self.reached[f"write {register.name} of a wrong value"] += 1
        else:
            response = DECERR if self._register(offset) is None else SLVERR
        self._note(f"write {self._register(offset) or 'unmapped register'}", response, clock)
        return response

    def _register(self, offset: int) -> str | None:
        """Name of a control register or a counter's half; None where there is none."""
        if offset in [int(r) for r in control_registers(self.plan)]:
            return Register(offset).name
        half = (offset - Register.COUNTERS) // 4
        if 0 <= half < 2 * len(self.names):
            return f"counter {self.names[half // 2]} {'high' if half % 2 else 'low'}"
        return None

    def _command(self, clock: int, data: int) -> int:
        number, argument = data & 255, data >> 16
        if number not in [int(c) for c in Command]:
            self._note("write COMMAND unknown", SLVERR, clock)
            self.reached[f"unknown command {number}"] += 1
            return SLVERR
        command = Command(number)
        why = "busy" if self.port.closed else ""
        if not self.port.closed:
            state, classes = self.chip.state, self.plan.network.classes
            if argument not in command.arguments(state.seen, classes):
                why = "illegal"
            elif state.stale and command.counted:
                why = "stale"
        if why:
            self._note(f"write COMMAND {command.name} {why}", SLVERR, clock)
            return SLVERR
        self._note(f"write COMMAND {command.name}", OKAY, clock)
        self._begin(clock, command, argument)
        return OKAY

    def _read(self, clock: int, address: int) -> tuple[int, int]:
        """Look up response and data of a read in a clock, the first of its service."""
        self._wrong_bits("read", address)
        region, offset = address >> WINDOW_SHIFT, address & (1 << WINDOW_SHIFT) - 4
        if region == 0:
            name = self._register(offset)
            kind = "counter" if name and name.startswith("counter") else "register"
            self.reached[f"read of a {kind} at {self._moment(clock)}"] += name is not None
            response = DECERR if name is None else OKAY
            self.reached[f"read {name or 'unmapped register'} {ANSWERS[response]}"] += 1
            self.reached["unaligned read"] += bool(address & 3)
            return response, 0 if name is None else self._control(clock, offset)
        window = self.windows.get(region)
        if window is None:
            self._note("read unmapped window", DECERR, clock)
            return DECERR, 0
        place = window.place(offset)
        if place is None:
            self._note(f"read {window.memory.name}", DECERR, clock)
            return DECERR, 0
        if self.port.closed:
            self._note(f"read {window.memory.name}", SLVERR, clock)
            return SLVERR, 0
        row, chunk = place
        if window.memory.code:
            self.chip.read_row(window.memory.name, row)  # ERRORS shows what its decoder finds
        self._note(f"read {window.memory.name}", OKAY, clock)
        return OKAY, self._memory(window.memory.name)[row] >> 32 * chunk & CHUNK

    def _control(self, clock: int, offset: int) -> int:
        """Value of a control register or of a counter's half in a clock."""
        if offset == Register.ID:
            return registers.ID
        if offset == Register.COMMAND:
            return self.word
        if offset == Register.PHASE:
            return self.number[self._phase(clock)]
        if offset == Register.ABORT:
            return 0
        state = self._state(clock)
        if offset == Register.STATUS:
            busy = self.running is not None
            return (
                busy << Status.BUSY
                | state.refused << Status.REFUSED
                | (state.finished and not busy) << Status.FINISHED
                | state.stale << Status.STALE
            )
        if offset >= Register.COUNTERS:
            half = (offset - Register.COUNTERS) // 4
            value = self._counters(clock)[self.names[half // 2]]
            return value >> 32 if half % 2 else value & CHUNK
        return int(getattr(state, STATES[Register(offset)]))

    # ------------------------------------------------------------------------- commands

    def _carry_out(self, chip, command: Command, argument: int, start: int, abort: int = 0):
        """Carry out a command whose strobe is in clock `start`, with the pixels that the record offers it."""
        if abort:
            chip.abort(abort)
        image, gaps = self._pixels(start) if command.image else (None, None)
        return chip.carry_out(command, argument, image, gaps)

    def _pixels(self, start: int) -> tuple[np.ndarray, list[int]]:
        """The image that is taken from clock `start` + 1 on, and by how much each pixel is late."""
        entry, words = self.plan.input, self.plan.input.words
        pixels: list[int] = []
        gaps: list[int] = []
        late = word = 0
        for now in self.clocks[start + 1 :]:
            if len(pixels) == self.plan.input.pixels:
                break
            if not now["tvalid"]:
                late += 1
            elif word < words - 1:
                word += 1
            else:
                pixels.append(now["tdata"])
                gaps.append(late)
                late = word = 0
        missing = self.plan.input.pixels - len(pixels)
        pixels += [0] * missing
        gaps += [FAR] * missing
        data = b"".join(p.to_bytes(entry.byte_lanes, "little") for p in pixels)
        sent = np.frombuffer(data, np.uint8).reshape(entry.pixels, entry.byte_lanes)
        return entry.sample(sent).reshape(self.plan.network.image_shape), gaps

    def _begin(self, clock: int, command: Command, argument: int) -> None:
        """Begin a command that the write served in a clock has given; its strobe is in the next clock."""
        self._flush()
        saved = self.chip.copied()
        before = self.chip.cycles
        self.old = self.chip.state
        self.old_counters = self.chip.chip_counters
        result = self._carry_out(self.chip, command, argument, clock + 1)
        self.running = Running(
            command,
            argument,
            clock + 1,
            self.chip.cycles - before,
            [(name, cycle - before) for name, cycle in result.phases],
            saved,
        )
        self.word = command | argument << 16
        self.at_clock.clear()

    def _aborted(self, clock: int) -> None:
        """End the running command with this clock, in which the abort strobe is high."""
        run = self.running
        if run is None or clock <= run.start:
            self.reached["abort while idle"] += run is None
            return
        length = clock - run.start
        self.chip.put(run.saved)
        result = self._carry_out(self.chip, run.command, run.argument, run.start, length)
        run.aborted = not result.finished
        run.length = length

    def _at(self, clock: int) -> tuple:
        """Registers and counters of the chip in a clock while a command runs."""
        run = self.running
        assert run is not None
        if clock <= run.start:
            return self.old, self.old_counters
        done = clock - run.start - 1
        if done == 0:
            seen = run.argument if run.command is Command.ARRIVE else self.old.seen
            stale = self.old.stale or run.command is Command.RESTORE
            now = self.old._replace(seen=seen, refused=0, finished=0, stale=int(stale))
            return now, self.old_counters
        if done not in self.at_clock:
            other = self._twin
            other.put(run.saved)
            self._carry_out(other, run.command, run.argument, run.start, done)
            self.at_clock[done] = other.state, other.chip_counters
        return self.at_clock[done]

    @cached_property
    def _twin(self):
        """A chip for what the judged one holds in mid-command: to load it takes longer than what it is asked for."""
        return self.chip.twin()

    def _state(self, clock: int):
        return self._at(clock)[0] if self.running else self.chip.state

    def _counters(self, clock: int) -> dict[str, int]:
        return self._at(clock)[1] if self.running else self.chip.chip_counters

    def _count(self, now: dict) -> None:
        """Count pauses of either side of each channel."""
        for channel in ("aw", "w", "ar", "b", "r", "t"):
            valid, ready = now[f"{channel}valid"], now.get(f"{channel}ready")
            self.reached[f"wait on {channel.upper()}"] += bool(valid and not ready)
            self.reached[f"pause before {channel.upper()}"] += bool(ready and not valid)
