"""The host port under somebody else's master: what a stage of the test bench does there, recorded.

It runs inside the HDL simulator and judges nothing; `protocol` does, outside. The masters are those of
cocotbext-axi. Only ports are looked at.
"""

import logging
import random
from collections.abc import Iterable, Iterator

import cocotb
from cocotb.triggers import Combine, FallingEdge, Timer
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamSource

from xnoreplay.flow.verify.cosim.addresses import one_bit_off
from xnoreplay.flow.verify.cosim.bench.drivers import PERIOD
from xnoreplay.flow.verify.cosim.port_rules import PAYLOAD, SIGNALS
from xnoreplay.flow.verify.cosim.stage import Stage
from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command, refused_arguments
from xnoreplay.spec.learning_plan import most_cycles
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Register, Window

CHANNELS = ("aw", "w", "b", "ar", "r")
PAUSED = (0.0, 0.3, 0.7)  # shares of cycles in which a channel pauses
PATIENCE = 200_000  # clocks, and four for each busy cycle, after which a stage is given up
LOOK = 16  # clocks between two looks at whether it has ended
STUCK = 1_000  # clocks in which nothing is handed over and no phase ends, after which it is given up, too
HANDED = (*CHANNELS, "t")  # what precedes `valid` and `ready` in the names of a pair
FEW = 8  # rows of which every one is tried
LONG = 30_000  # clocks of inferences, and of a command, that are carried out whole


class Recorder:
    """Writes down every signal of the port, a row a clock; equal rows that follow each other as one."""

    def __init__(self, dut, stream: str) -> None:
        self.clk = dut.clk
        prefixes = (
            {name: f"s_axil_{name}" for name in SIGNALS}
            | {name: f"{stream}_{name}" for name in ("tvalid", "tdata", "tready")}
            | {"phase": "phase", "busy": "busy"}
        )
        self.handles = [(name, getattr(dut, prefixes[name])._handle) for name in SIGNALS]
        self.rows: list[list] = []
        self.still = 0  # clocks since something was handed over or a phase ended

    def stuck(self, waiting: int) -> bool:
        """Whether nothing has moved for long, and nothing will: the chip is idle or in phase `waiting`."""
        if self.still < STUCK:
            return False
        return self.rows[-1][1 + SIGNALS.index("phase")] in (0, waiting, None)

    def moves(self, now: dict[str, int | None]) -> bool:
        """Whether something is handed over in a clock, or its phase is another than that of the clock before."""
        if self.rows and self.rows[-1][1 + SIGNALS.index("phase")] != now["phase"]:
            return True
        return any(now[f"{name}valid"] and now[f"{name}ready"] for name in HANDED)

    async def record(self) -> None:
        """Record every clock until the task is cancelled."""
        while True:
            await FallingEdge(self.clk)
            now: dict[str, int | None] = {}
            for name, handle in self.handles:
                if name not in PAYLOAD:
                    now[name] = _value(handle)
            for name, handle in self.handles:
                if name in PAYLOAD:
                    now[name] = _value(handle) if now[PAYLOAD[name]] else 0
            self.still = 0 if self.moves(now) else self.still + 1
            row = [now[name] for name in SIGNALS]
            if self.rows and self.rows[-1][1:] == row:
                self.rows[-1][0] += 1
            else:
                self.rows.append([1, *row])


def _value(handle) -> int | None:
    """A signal's value; None where a bit of it is unknown."""
    try:
        return int(handle.get_signal_val_binstr(), 2)
    except ValueError:
        return None


def pauses(rng: random.Random, share: float) -> Iterator[bool]:
    """Yield whether a channel pauses, cycle by cycle, in runs of a few cycles."""
    while True:
        paused = rng.random() < share
        for _ in range(rng.randint(1, 4)):
            yield paused


class HostPort:
    """Foreign masters on the port and on the pixel stream of a running chip.

    Parameters
    ----------
    dut : handle of the top module
    plan : Plan
    """

    def __init__(self, dut, plan: Plan) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
        self.dut, self.plan = dut, plan
        self.windows = registers.windows(plan.memories)
        self.there = registers.present(plan.memories)
        self.counters = len(registers.counters(plan.memories, plan.target))
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), dut.clk)
        write, read = self.master.write_if, self.master.read_if
        self.channels = {
            "aw": write.aw_channel,
            "w": write.w_channel,
            "b": write.b_channel,
            "ar": read.ar_channel,
            "r": read.r_channel,
        }
        self.pixels = AxiStreamSource(
            AxiStreamBus.from_prefix(dut, plan.input.stream),
            dut.clk,
            byte_lanes=plan.input.byte_lanes,
        )
        self.release_pins()

    def release_pins(self) -> None:
        """Take the masters off the pins."""
        self.stop_pauses()
        self.pixels.clear_pause_generator()
        for part in (
            *self.channels.values(),
            self.master.write_if,
            self.master.read_if,
            self.pixels,
        ):
            part.assert_reset(True)
        for channel in self.channels.values():
            channel.clear()
        self.pixels.clear()

    def drive_pins(self) -> None:
        """Put the masters on the pins."""
        for part in (
            *self.channels.values(),
            self.master.write_if,
            self.master.read_if,
            self.pixels,
        ):
            part.assert_reset(False)

    async def carry_out(self, stage: Stage, image: Iterable[int]) -> list[list]:
        """Carry out a stage and return what `Recorder` saw; a stage that does not end is cut off."""
        self.stage, self.rng = stage, random.Random(stage.seed)
        self.image = bytes(image)
        recorder = Recorder(self.dut, self.plan.input.stream)
        self.drive_pins()
        for _ in range(4):
            await FallingEdge(self.dut.clk)
        task = cocotb.start_soon(recorder.record())
        work = cocotb.start_soon(self._all())
        left = PATIENCE + 4 * stage.cycles
        while not work.done() and left > 0 and not recorder.stuck(self.plan.phases.index("input")):
            await Timer(LOOK * PERIOD, "step")
            left -= LOOK
        await self.clocks(4)
        work.cancel()  # where it was given up; the record shows what was not answered
        task.cancel()
        self.release_pins()
        return recorder.rows

    # ----------------------------------------------------------------------- single transfers

    async def clocks(self, count: int) -> None:
        """Wait for so many falling edges of the clock."""
        for _ in range(count):
            await FallingEdge(self.dut.clk)

    async def read(self, address: int, length: int = 4) -> int:
        """Read `length` bytes from a byte address, and wait for the answer; little end first, as an integer."""
        return int.from_bytes((await self.master.read(address, length)).data, "little")

    async def write(self, address: int, data: int) -> None:
        """Write a 32-bit word to a byte address, and wait for the answer, whatever it is."""
        await self.master.write(address, data.to_bytes(4, "little"))

    async def raw_write(self, address: int, data: int, strobe: int) -> None:
        """A write with any strobe and address, which the master's own call would cut up."""
        await self.master.wait_write()
        aw, w = self.channels["aw"], self.channels["w"]
        for channel, values in ((aw, {"awaddr": address}), (w, {"wdata": data, "wstrb": strobe})):
            transaction = channel._transaction_obj()
            for name, value in values.items():
                setattr(transaction, name, value)
            await channel.send(transaction)
        await self.channels["b"].recv()

    async def command(self, command: Command, argument: int = 0) -> None:
        """Write COMMAND, and wait for the write's answer; the command may still run then, or be refused."""
        await self.write(Register.COMMAND, command | argument << 16)

    async def read_row(self, window: Window, row: int) -> list[int]:
        """Read a row's 32-bit words, the lowest first."""
        return [await self.read(window.address(row, c)) for c in range(window.chunks)]

    async def write_row(self, window: Window, row: int, chunks: list[int]) -> None:
        """Write a row's 32-bit words, the lowest first."""
        for c, data in enumerate(chunks):
            await self.write(window.address(row, c), data)

    async def until_idle(self) -> int:
        """Wait until a command that was taken has ended; returns the clock cycles in which the pin `busy` was high.

        The pin is low in the command's start cycle, so it must be low for longer than that.
        """
        count = 0
        for _ in range(2):
            if not int(self.dut.busy.value):
                await FallingEdge(self.dut.clk)
        while int(self.dut.busy.value):
            await FallingEdge(self.dut.clk)
            count += 1
        return count

    def stop_pauses(self) -> None:
        """Let no channel pause."""
        for channel in self.channels.values():
            channel.clear_pause_generator()
            channel.pause = False

    def disturb(self) -> None:
        """Let every channel pause at random."""
        for channel in self.channels.values():
            share = self.rng.choice(PAUSED)
            channel.set_pause_generator(pauses(random.Random(self.rng.random()), share))

    # ------------------------------------------------------------------------- the stage

    async def _all(self) -> None:
        self.stop_pauses()
        await self.read(Register.ID)  # alone: what follows does not depend on what was before
        await self.write_whole_row()
        await self.try_channel_orders()
        await self.registers()
        await self.every_window()
        await self.strobes()
        await self.refused()
        await self.busy()
        if self.stage.infers:
            await self.inference()
        if self.stage.commands:
            await self.commands()
            if not self.stage.brief:
                await self.nearly_mapped()
        self.stop_pauses()
        await self.clocks(2)
        await self.write(Register.ABORT, 1)
        await self.read(Register.STATUS)

    def pick(self, values: list, count: int) -> list:
        """All of some values in a whole stage, a few of them in a brief one."""
        few = min(len(values), count)
        return self.rng.sample(values, few) if self.stage.brief else values

    async def write_whole_row(self) -> None:
        """Fill the row register with what is known, and a row with what was there."""
        window = max(self.windows, key=lambda w: w.chunks)
        await self.write_row(window, 0, await self.read_row(window, 0))

    async def try_channel_orders(self) -> None:
        """Write with the address before the data, the data before the address, and both at once; let responses wait."""
        window = next(w for w in self.windows if w.memory.name == "act.latent")
        values = await self.read_row(window, 0)
        at = window.address(0, window.chunks - 1)
        for late in ("aw", "w", None):
            if late:
                self.channels[late].pause = True
            done = self.master.init_write(at, values[-1].to_bytes(4, "little"))
            await self.clocks(3)
            if late:
                self.channels[late].pause = False
            await done.wait()
        for channel in ("b", "r"):
            self.channels[channel].pause = True
            await self.clocks(2)
            writes = [
                self.master.init_write(at, values[-1].to_bytes(4, "little")) for _ in range(2)
            ]
            reads = [self.master.init_read(a, 4) for a in (window.address(0, 0), Register.ID, at)]
            await self.clocks(7)
            self.channels[channel].pause = False
            for event in (*writes, *reads):
                await event.wait()

    async def registers(self) -> None:
        """Read and write control registers, counters and what lies between.

        Every register is read, and every counter or a few in a short stage. Each one that takes no write is written;
        each of `spec.registers.writable` is written at the ends of its range, past them, at random and back to what
        it held. Addresses below the windows where nothing is mapped, and unaligned ones, are read and written.
        """
        known = [int(r) for r in self.there if r != Register.COUNTERS]
        count = 2 * self.counters
        halves = [int(Register.COUNTERS) + 4 * i for i in range(count)]
        for address in (*known, *self.pick(halves, 8)):
            await self.read(address)
        written = registers.writable(self.plan.memories)
        writable = (Register.COMMAND, Register.ABORT, *written)
        for address in (*[a for a in known if a not in writable], *self.pick(halves, 4)):
            await self.write(address, self.rng.getrandbits(32))
        for register, values in written.items():
            held = await self.read(register)
            wrong = values.start - 1 if values.start else values.stop
            for value in (values.start, values.stop - 1, wrong, self.rng.getrandbits(32), held):
                await self.write(register, value)
                await self.read(register)
        first = max(known) + 4
        past = int(Register.COUNTERS) + 4 * count
        for address in (first, Register.COUNTERS - 4, past, past + 4, (1 << 24) - 4, 0x10000):
            await self.read(address)
            await self.write(address, self.rng.getrandbits(32))
        for offset in (1, 2, 3):
            await self.read(Register.ID + offset, 1)
            await self.raw_write(Register.PHASE + offset, 1, 15)

    async def every_window(self) -> None:
        """Read rows of every window, write them and put them back; try gaps, ends and addresses past all windows."""
        for window in self.windows:
            depth = window.memory.depth
            rows = {0, depth - 1, self.rng.randrange(depth)} if depth > FEW else range(depth)
            for row in self.pick(sorted(rows), 1):
                held = await self.read_row(window, row)
                other = [self.rng.getrandbits(32) for _ in held]
                await self.write_row(window, row, other)
                await self.read_row(window, row)
                await self.write_row(window, row, held)
                await self.read_row(window, row)
            await self.outside(window)
        # What was written has made the counts stale: commands are refused until they are made anew.
        seen = await self.read(Register.SEEN)
        for command in Command:
            if command.counted:
                legal = command.arguments(seen, self.plan.network.classes)
                await self.command(command, legal.start if legal else seen)
        await self.command(Command.RESTORE)
        await self.until_idle()
        await self.read(Register.STATUS)
        used = {w.index for w in self.windows}
        free = [i for i in range(max(used) + 1) if i not in used]
        for index in (*free, max(used) + 1, 0x7E, 0xFE):
            address = (index + 1 << registers.WINDOW_SHIFT) + 4 * self.rng.randrange(4)
            await self.read(address)
            await self.write(address, self.rng.getrandbits(32))

    async def outside(self, window: Window) -> None:
        """Read and write what a window does not map; then a row whose low words such writes must not have touched."""
        depth = window.memory.depth
        places = [(depth, c) for c in sorted({0, window.chunks - 1})]
        gap = {window.chunks, window.stride - 1}
        places += [(0, c) for c in sorted(gap) if window.chunks <= c < window.stride]
        last = (1 << registers.WINDOW_SHIFT - 2) - 1
        places.append(divmod(last, window.stride))
        held = await self.read_row(window, 0)
        for c in range(window.chunks - 1):  # which commit nothing
            await self.write(window.address(0, c), self.rng.getrandbits(32))
        if window.chunks > 1:
            await self.read_row(window, 0)
        for c, data in enumerate(held[:-1]):
            await self.write(window.address(0, c), data)
        for row, chunk in places:
            outside = row >= depth or chunk >= window.chunks
            if outside and window.address(row, chunk) >> registers.WINDOW_SHIFT == window.index + 1:
                await self.read(window.address(row, chunk))
                await self.write(window.address(row, chunk), self.rng.getrandbits(32))
        await self.write(window.address(0, window.chunks - 1), held[-1])
        await self.read_row(window, 0)

    async def nearly_mapped(self) -> None:
        """Read and write where nothing is mapped, each time with one bit of the address wrong; see what that has left.

        What is written is a command that would be taken, a value that registers take, and in the low words of a row
        something else than what is gathered there.
        """
        before = [await self.read_row(window, 0) for window in self.windows]
        for address in one_bit_off(self.plan):
            await self.read(address)
            await self.write(address, Command.RESTORE)
        for window, held in zip(self.windows, before, strict=True):
            if window.memory.name not in registers.READ_ONLY:
                await self.write(window.address(0, window.chunks - 1), held[-1])
            await self.read_row(window, 0)
        for register in self.there:
            await self.read(register)

    async def strobes(self) -> None:
        """Write with every strobe but the whole one: to a window, to COMMAND and to ABORT."""
        window = next(w for w in self.windows if w.memory.name == "act.latent")
        for strobe in range(15):
            address = window.address(0, window.chunks - 1)
            await self.raw_write(address, self.rng.getrandbits(32), strobe)
        for strobe in self.pick([0, 1, 7, 8, 14], 2):
            await self.raw_write(Register.COMMAND, Command.INFER, strobe)
            await self.raw_write(Register.ABORT, 1, strobe)
        await self.read(Register.STATUS)
        await self.read_row(window, 0)

    async def refused(self) -> None:
        """Write numbers that are no command, and arguments that are refused."""
        legal = [int(c) for c in Command]
        for number in self.pick([n for n in range(256) if n not in legal], 12):
            await self.write(Register.COMMAND, number | self.rng.getrandbits(16) << 16)
        seen = await self.read(Register.SEEN)
        classes = self.plan.network.classes
        for command in Command:
            for argument, _ in refused_arguments(command, seen, classes):
                await self.command(command, argument)
        await self.write(Register.ABORT, self.rng.getrandbits(32))
        for register in (Register.STATUS, Register.COMMAND, Register.SEEN):
            await self.read(register)

    async def stalled(self, after: int = 0) -> None:
        """Begin an inference without offering a pixel, so that it stays busy; try a window as it begins.

        The last word of a random window's row 0 is written in one of the inference's first busy cycles, and read
        in its first or later. Returns when all three transfers are answered; the inference still runs.

        Parameters
        ----------
        after : int
            Clock cycles by which the read is asked for later.
        """
        await self.read(Register.ID)  # the write is served first
        window = self.rng.choice(self.windows)
        address = window.address(0, window.chunks - 1)
        writes = [
            self.master.init_write(Register.COMMAND, int(Command.INFER).to_bytes(4, "little")),
            self.master.init_write(address, self.rng.getrandbits(32).to_bytes(4, "little")),
        ]
        await self.clocks(after)
        read = self.master.init_read(address, 4)
        for event in (*writes, read):
            await event.wait()

    async def ended(self, after: int, address: int, write: bool) -> None:
        """Write ABORT, make one more transfer that falls about the last busy cycle, and wait until the chip is idle.

        Parameters
        ----------
        after : int
            Clock cycles from asking for the write of ABORT to asking for the transfer.
        address : int
            Of the transfer, in bytes.
        write : bool
            The transfer is a write of 0; a read otherwise.
        """
        event = self.master.init_write(Register.ABORT, b"\1\0\0\0")
        await self.clocks(after)
        if write:
            other = self.master.init_write(address, b"\0\0\0\0")
        else:
            other = self.master.init_read(address, 4)
        await event.wait()
        await other.wait()
        await self.until_idle()

    async def busy(self) -> None:
        """Make transfers while a command runs: windows and commands are refused, registers are read."""
        await self.stalled()
        for window in self.windows:
            row = self.rng.randrange(window.memory.depth)
            await self.read(window.address(row, self.rng.randrange(window.chunks)))
            await self.write(window.address(row, window.chunks - 1), self.rng.getrandbits(32))
            await self.outside_busy(window)
        for command in Command:
            await self.command(command, self.rng.randrange(self.plan.network.classes + 1))
        for register in self.pick([int(r) for r in self.there if r != Register.COUNTERS], 4):
            await self.read(register)
        count = max(4, 2 * self.counters)  # of a chip without counters what is not mapped
        for half in (0, 1, 2, 3, *(self.rng.randrange(count) for _ in range(4))):
            await self.read(Register.COUNTERS + 4 * half)
        await self.write(Register.SEEN, 1)
        await self.write(0x7F000000, 1)
        await self.raw_write(Register.ABORT, 1, 7)
        await self.read(Register.STATUS)
        scratch = next(w for w in self.windows if w.memory.name == "act.latent").address(0, 0)
        await self.ended(0, Register.STATUS, write=False)
        for after in range(7):
            for address in (scratch, int(Register.STATUS)):
                await self.stalled(after % 4)
                await self.ended(after, address, write=False)
        await self.stalled()
        await self.disturbed(self.stage.transfers // 4)
        await self.write(Register.ABORT, 1)
        await self.until_idle()

    async def outside_busy(self, window: Window) -> None:
        """Read what lies past a window's last row, where the window has such addresses."""
        address = window.address(window.memory.depth, 0)
        if address < window.base + (1 << registers.WINDOW_SHIFT):
            await self.read(address)

    async def disturbed(self, count: int) -> None:
        """Make random transfers at once, with random pauses on every channel."""
        scratch = [w for w in self.windows if w.memory.name.startswith("act.")]
        for first in range(0, count, 12):
            self.disturb()
            events = []
            for _ in range(first, min(count, first + 12)):
                kind = self.rng.random()
                if kind < 0.3:
                    window = self.rng.choice(scratch)
                    row = self.rng.randrange(window.memory.depth)
                    chunk = self.rng.randrange(window.chunks)
                    data = self.rng.getrandbits(32).to_bytes(4, "little")
                    events.append(self.master.init_write(window.address(row, chunk), data))
                elif kind < 0.7:
                    window = self.rng.choice(self.windows)
                    row = self.rng.randrange(window.memory.depth)
                    address = window.address(row, self.rng.randrange(window.stride))
                    events.append(self.master.init_read(address, 4))
                elif kind < 0.8:
                    events.append(self.master.init_write(Register.PHASE, b"\0\0\0\0"))
                else:
                    register = self.rng.choice([r for r in self.there if r != Register.STATUS])
                    events.append(self.master.init_read(register, 4))
            await Combine(*[cocotb.start_soon(_wait(event)) for event in events])
        self.stop_pauses()

    async def inference(self) -> None:
        """Carry out whole inferences, with pixels in time and late, and make transfers until the last cycle."""
        self.pixels.send_nowait(self.image)
        await self.clocks(3)  # a pixel offered outside the input is not taken
        await self.stalled()
        length = await self.until_idle()
        await self.read(Register.PREDICTION)
        times = min(7, max(1, LONG // max(1, length)))
        for late in (0, -1, 1, -2, 2, -3, 3)[:times]:
            self.pixels.send_nowait(self.image)
            await self.clocks(2)
            await self.stalled()
            await self.clocks(max(0, length + late - 3))
            await self.read(self.rng.choice(self.windows).address(0, 0))
            await self.until_idle()
        self.pixels.set_pause_generator(pauses(random.Random(self.rng.random()), 0.5))
        self.pixels.send_nowait(self.image)
        await self.stalled()
        await self.disturbed(self.stage.transfers // 8)
        await self.until_idle()
        self.pixels.clear_pause_generator()
        self.pixels.pause = False
        await self.disturbed(self.stage.transfers // 2)

    async def commands(self) -> None:
        """Give every other command with an argument that is taken, and let it end or abort it."""
        classes = self.plan.network.classes
        seen = await self.read(Register.SEEN)
        words = [(Command.ARRIVE, max(1, seen)), (Command.ARRIVE, classes)]
        words += [(Command.STAGE, classes - 1), (Command.INSERT, classes - 1), (Command.STAGE, 0)]
        # Inferences have been tried, and restores; what is neither nor above, with an argument that is taken then.
        above = {Command.INFER, Command.RESTORE, *(command for command, _ in words)}
        last = (Command.EPOCH, Command.REBALANCE, Command.RETRAIN)
        rest = [*last, *(c for c in Command if c not in {*above, *last})]
        words += [(c, c.arguments(classes, classes).start) for c in rest]
        most = most_cycles(self.plan)
        long = sum(most.get(name, 0) for name in ("evict", "admit", "epoch")) > LONG
        for command, argument in words:
            if command.image:
                self.pixels.send_nowait(self.image)
            await self.command(command, argument)
            await self.disturbed(6)
            if command is Command.RETRAIN or long:
                await self.write(Register.ABORT, 1)
            await self.until_idle()
            for register in (Register.STATUS, Register.SEEN, Register.QUOTA, Register.STAGED):
                await self.read(register)


async def _wait(event) -> None:
    await event.wait()
