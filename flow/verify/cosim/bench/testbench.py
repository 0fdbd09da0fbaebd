"""The test bench: carries out a script of commands in the simulator and writes down what it saw.

It runs inside the HDL simulator and judges nothing: `compare` does, outside, line by line while
this runs. The script is a JSON file named by the environment; see `script.Script`.
"""

import json
import os
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import (
    FallingEdge,
    ReadOnly,
    RisingEdge,
    SimTimeoutError,
    Timer,
    select,
    with_timeout,
)
from cocotb.utils import get_sim_time

from xnoreplay.flow.verify.cosim import resets
from xnoreplay.flow.verify.cosim.bench.cycles import Cycles
from xnoreplay.flow.verify.cosim.bench.drivers import PERIOD, BusError, LiteMaster, PixelSource
from xnoreplay.flow.verify.cosim.bench.view import AtRest, ChipView, Tracer, number
from xnoreplay.flow.verify.cosim.kinds import KINDS, SETTLE, Counters
from xnoreplay.flow.verify.cosim.rows import event_rows, rows_text
from xnoreplay.flow.verify.cosim.script import (
    BUS,
    CONTENTS,
    PORT,
    REPLAY,
    VARIABLE,
)
from xnoreplay.flow.verify.cosim.stage import Stage
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import image as images
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.commands import Command
from xnoreplay.spec.target import NEVER

IDLE = 0
COUNTERS_APART = 8  # of those that are read over the bus after a step; all are read as signals


class Bench:
    """One chip in the HDL simulator, with the drivers of its ports and the view of its memories."""

    def __init__(self, dut, plan, write, watched) -> None:
        self.dut, self.plan, self.write = dut, plan, write
        self.cycles = Cycles(dut.phase, PERIOD)
        self.view = ChipView(dut, plan, self.cycles.now)
        self.tracer = Tracer(self.view)
        self.at_rest = AtRest(dut, watched)
        self.host = LiteMaster(dut)
        self.pixels = PixelSource(dut, plan.input.stream)
        self.port: Any = None  # a `hostport.HostPort`, once a stage asks for it
        self.windows = {w.memory.name: w for w in registers.windows(plan.memories)}
        self.labels = [] if plan.generative else [0] * plan.replay.capacity
        self.events: list[dict] = []
        self.faults: list[list] = []
        self.kind = ""
        self.most = 0
        self.clearing = False

    async def reset(self, step: dict | None = None, lead: int = 0) -> dict:
        """Reset the chip, and wait until it has emptied its replay memory.

        Of a step, requests offered `lead` cycles ahead are under way when the reset comes, and its
        transfers are given while the chip empties its memory. Some resets take one cycle, in which a
        request that is left under way is not served. Returns what the host saw.
        """
        self.clearing = True
        found: dict = {"high": [], "answers": []}
        if step:
            await self.host.ask(lead, PERIOD)
        self.dut.rst.value = 1
        for _ in range(1 if self.host.asked & 2 else resets.RESET_CYCLES):
            if step:
                self.host.ask_on()
                await ReadOnly()
                found["high"] += self.handshakes()
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0
        self.cycles.restart()
        self.host.take()
        empties = cocotb.start_soon(self.emptied())
        if step:
            for _ in range(resets.SILENT):
                await ReadOnly()
                found["high"] += self.handshakes(("bvalid", "rvalid"))
                await FallingEdge(self.dut.clk)
            for address, data in step.get("transfers", ()):
                # What a reset has left is answered after `SILENT`, where it is a read.
                other = "bvalid" if data is None else "rvalid"
                listens = cocotb.start_soon(self.listen(other, found["high"]))
                found["answers"].append(await self.host.transfer(address, data))
                listens.cancel()
        found["empties"] = await empties
        await self.host.identify()
        self.look_at_labels()
        self.clearing = False
        return found

    def look_at_labels(self) -> None:
        """Take the labels that the replay memory holds as those before the next event; without labels there is none."""
        if self.plan.generative:
            return
        self.labels = self.view.words("replay.label")

    async def clocks(self, count: int) -> None:
        """Wait for so many falling edges of the clock."""
        for _ in range(count):
            await FallingEdge(self.dut.clk)

    def handshakes(
        self, names=("awready", "wready", "arready", "bvalid", "rvalid", "tready")
    ) -> list:
        """Names of the chip's handshakes, of those given, that are not low."""
        pins = self.host.pins | {"tready": self.pixels.ready}
        return [name for name in names if str(pins[name].value) != "0"]

    async def listen(self, name: str, high: list) -> None:
        """Append a handshake's name in each cycle in which it is not low."""
        while True:
            await ReadOnly()
            high += self.handshakes((name,))
            await FallingEdge(self.dut.clk)

    async def emptied(self) -> int:
        """Wait until the chip is not busy; returns the cycles, or the most that it may take where it takes more."""
        cycles, most = 0, self.plan.forgotten.depth + SETTLE
        while True:
            await ReadOnly()
            busy = bool(int(self.dut.busy.value))
            await FallingEdge(self.dut.clk)
            if not busy or cycles == most:
                return cycles
            cycles += 1

    async def interrupt(self, step: dict) -> dict:
        """Reset the chip after as many cycles of the running command as a step says, and one more."""
        while int(self.dut.phase.value) == IDLE:
            await FallingEdge(self.dut.clk)
        lead = min(resets.LEAD, step["reset"] - 1)
        await Timer((step["reset"] - lead) * PERIOD, "step")
        return await self.reset(step, lead)

    async def power(self, step: dict) -> dict:
        """Save the chip over the bus, take its power away, and restore it over the bus.

        Without power every memory comes to hold something else, here the opposite of each bit.
        """
        plan, host = self.plan, self.host
        rows: dict[str, list[int]] = {}
        for window in snapshots.windows(plan):
            name, depth = window.memory.name, window.memory.depth
            by_bus = min(depth, self.most)
            rows[name] = [await host.read_row(window, i) for i in range(by_bus)]
            rows[name] += self.view.words(name, range(by_bus, depth))
        values = {r: await host.read(r) for r in registers.writable(plan.memories)}
        quiet = await self.reset(step, resets.LEAD)
        for memory in plan.memories:
            whole = (1 << memory.width) - 1
            await self.put(memory.name, [whole ^ row for row in self.view.words(memory.name)])
        for window in snapshots.windows(plan):
            name = window.memory.name
            if name in registers.READ_ONLY:
                continue
            for i, value in enumerate(rows[name][: self.most]):
                await host.write_row(window, i, value)
            await self.put(name, rows[name][self.most :], self.most)
        for register, value in values.items():
            await host.write(register, value)
        phases: list[tuple[int, int]] = []
        boundary = cocotb.start_soon(self.boundaries(phases, step["limits"]))
        await host.command(Command.RESTORE, 0)
        finished = await boundary
        await FallingEdge(self.dut.clk)
        self.look_at_labels()
        widths = {name: plan.memory(name).stored for name in rows}
        return {
            "phases": phases,
            "finished": finished,
            "saved": {name: rows_text(found, widths[name]) for name, found in rows.items()},
            "saved_registers": list(values.values()),
            **quiet,
        }

    async def load(self, bundle, most: int) -> None:
        """Write a bundle's memories and read every row back.

        most : rows of each memory that go through the bus; the others go past every port
        """
        self.most = most
        windows, back = self.windows, {}
        for name, bits in images.load(self.plan, bundle).items():
            rows = [to_int(row) for row in bits]
            for i, value in enumerate(rows[:most]):
                await self.host.write_row(windows[name], i, value)
            read = [await self.host.read_row(windows[name], i) for i in range(len(rows[:most]))]
            read += await self.put(name, rows[most:], most)
            back[name] = rows_text(read, self.plan.memory(name).stored)
        self.write({"readback": back, "transfers": self.host.transfers})

    async def put(self, name: str, rows: list[int], first: int = 0) -> list[int]:
        """Write rows of a memory past every port; returns what is there then."""
        self.view.put(name, rows, first)
        await FallingEdge(self.dut.clk)
        return self.view.words(name, range(first, first + len(rows)))

    async def watch(self) -> None:
        """Note the slot of each label that the chip writes, and all that the replay memory holds then.

        The slot comes from the labels themselves: the one that changed since the last event. A label that becomes 0
        is one of a sample that is evicted.
        """
        enable, clk = self.dut.replay_label.wen, self.dut.clk
        while True:
            await enable.value_change
            await FallingEdge(clk)
            await ReadOnly()
            while number(enable):  # in the cycles that follow each other
                await RisingEdge(clk)
                await ReadOnly()
                if not self.clearing:
                    self.note_events()
                await FallingEdge(clk)
                await ReadOnly()

    def note_events(self) -> None:
        """Append an event for each label that is another one than at the last event."""
        now = self.view.words("replay.label")
        low = (1 << self.plan.memory("replay.label").width - 1) - 1
        for slot, (before, after) in enumerate(zip(self.labels, now, strict=True)):
            if before != after:
                self.events.append(
                    {
                        "cycle": self.view.cycles - 1,
                        "kind": self.kind if after else "evict",
                        "slot": slot,
                        "label": (after or before) & low,
                        "memories": self.event_rows(slot),
                    }
                )
        self.labels = now

    async def trace(self, lines: list[str], windows: list) -> None:
        """Append the trace's lines of windows, which count cycles from the start of the command that comes next."""
        first = self.view.cycles
        for start, stop in windows:
            ahead = start - self.tracer.BEHIND
            while True:
                await FallingEdge(self.dut.clk)
                await ReadOnly()  # what the drivers set at this edge belongs to the cycle
                if int(self.dut.phase.value) == IDLE:
                    continue
                now = self.view.cycles - first
                if now >= ahead:
                    line = self.tracer.line()
                    if now >= start:
                        lines.append(line)
                elif now < ahead - 1:
                    await Timer((ahead - 1 - now) * PERIOD, "step")
                if now >= stop - 1:
                    break

    async def abort(self, cycles: int) -> None:
        """Write ABORT so many cycles after the running or the next command began."""
        while int(self.dut.phase.value) == IDLE:
            await FallingEdge(self.dut.clk)
        await Timer(cycles * PERIOD, "step")
        await FallingEdge(self.dut.clk)
        await self.host.write(registers.Register.ABORT, 1)

    async def upset(self, upsets: list) -> None:
        """Change bits, each in its cycle of the command that comes next: after the edge that begins the cycle.

        upsets : (cycle, place, row, bit) of each, see `spec.upset`. A bit that was given to a late memory in the cycle
            before gets there with the edge that ends the cycle, and is changed then: nobody reads it in between.
        """
        first = self.view.cycles
        late: list = []
        given: list = []
        while int(self.dut.phase.value) == IDLE:
            await FallingEdge(self.dut.clk)
        looks = {cycle - 1 for cycle, *_ in upsets if cycle}
        for cycle in sorted({u[0] for u in upsets} | {u[0] + 1 for u in upsets} | looks):
            while (ahead := first + cycle - self.view.cycles) > 0:
                await Timer(max(1, (ahead - 1) * PERIOD), "step")
                await FallingEdge(self.dut.clk)
            self.change(late)
            if (
                int(self.dut.phase.value) == IDLE
            ):  # the command has ended: other bits keep their values
                return
            now = [tuple(upset[1:]) for upset in upsets if upset[0] == cycle]
            self.change([upset for upset in now if upset not in given])
            late = [upset for upset in now if upset in given]
            given = [tuple(u[1:]) for u in upsets if u[0] == cycle + 1 and self.is_given(*u[1:])]

    def change(self, upsets: list) -> None:
        """Change bits now; (place, row, bit) of each, of which an even number changes nothing."""
        changed: dict[tuple[str, int], int] = {}
        for place, row, bit in upsets:
            changed[place, row] = changed.get((place, row), 0) ^ 1 << bit
        for (place, row), mask in changed.items():
            self.view.place(place)[row] ^= mask

    def is_given(self, place: str, row: int, bit: int) -> bool:
        """Whether a late memory is given a bit in this cycle, so that a row has it after the next."""
        memory = next((m for m in self.plan.memories if m.name == place), None)
        if memory is None or not memory.declaration.late:
            return False
        granule = memory.granule or memory.width
        writes = self.tracer.strobes[place].writes()
        return any(w.address == row and w.mask >> bit // granule & 1 for w in writes)

    async def probe(self, windows: list) -> None:
        """Let rst rise and fall between each rising edge and the falling edge, in windows of cycles of the command that comes next."""
        first = self.view.cycles
        while int(self.dut.phase.value) == IDLE:
            await FallingEdge(self.dut.clk)
        for start, stop in windows:
            if (ahead := first + start - 1 - self.view.cycles) > 0:
                await Timer(ahead * PERIOD, "step")
            for _ in range(first + stop - 1 - self.view.cycles):
                await Timer(PERIOD // 2 + 1, "step")
                self.dut.rst.value = 1
                await Timer(1, "step")
                self.dut.rst.value = 0
                await FallingEdge(self.dut.clk)

    async def settle(self) -> None:
        """Withdraw the pixel that is offered, and wait until a transfer under way has ended."""
        self.pixels.valid.value = 0
        for name in ("awvalid", "wvalid", "arvalid"):
            self.host.pins[name].value = 0
        for _ in range(SETTLE):
            await FallingEdge(self.dut.clk)

    def plant(self) -> None:
        """Flip the bits of deliberate faults, once."""
        faults, self.faults = self.faults, []
        for memory, row, bit in faults:
            self.view.memories[memory].flip(row, bit)

    async def commands(self, steps: list[dict], pictures: np.ndarray, folder: Path) -> bool:
        """Carry out all steps, until one does not come to its end; False where the bus failed."""
        for index, step in enumerate(steps):
            if step["command"] != PORT:
                self.plant()
            if (folder / "stop").exists():
                break
            image = None
            if "image" in step:  # what carries nothing is 1: the chip must ignore it
                image = self.plan.input.payloads(pictures[step["image"]], idle=1)
            try:
                carry_out = self.stage if step["command"] == PORT else self.command
                if not await carry_out(index, step, image):
                    break
            except BusError as error:
                self.write({"error": f"command {index} ({step['command']}): {error}"})
                return False
        return True

    async def past(self, last: int) -> bool:
        """Wait until a cycle of the chip is over, and return True."""
        while (ahead := last + 1 - self.view.cycles) > 0:
            await Timer(ahead * PERIOD, "step")
        await FallingEdge(self.dut.clk)
        return True

    async def command(self, index: int, step: dict, image) -> bool:
        """Carry out one step, but for a stage on the host port; False where its command does not come to its end."""
        lines: list[str] = []
        self.events = []
        before = self.rows(step.get("before", ()))
        if kind := KINDS.get(step["command"]):
            done = {"phases": [], "finished": True, **await kind.drive(self, step)}
            return await self.report(index, step, done, before, lines)
        self.kind = "insert" if step["command"] == "insert" else "admit"
        tasks = [cocotb.start_soon(beside) for beside in self.beside(step, image, lines)]
        phases: list[tuple[int, int]] = []
        boundary = cocotb.start_soon(self.boundaries(phases, step["limits"]))
        reset = cocotb.start_soon(self.interrupt(step)) if step.get("reset") else None
        number = Command[step["command"].upper()]
        await self.host.command(number, step.get("argument", 0))
        responses = []
        if step.get("intrude"):
            responses.append(await self.host.attempt(registers.Register.COMMAND, number))
        if step.get("abort"):
            tasks.append(cocotb.start_soon(self.abort(step["abort"])))
        finished = await boundary
        quiet = {}
        if reset is not None:
            quiet = await reset
        if reset is not None or step.get("upsets"):
            self.look_at_labels()
            self.events = []
        await self.clocks(2)  # a late memory has the last word of a command a cycle after its end
        for task in tasks:
            task.cancel()
        if step.get("abort") or reset is not None:
            await self.settle()
        done = {"phases": phases, "finished": finished, "responses": responses, **quiet}
        return await self.report(index, step, done, before, lines)

    def beside(self, step: dict, image, lines: list[str]) -> Iterator[Coroutine]:
        """What goes on beside a command, from before it begins: its trace, its pixels, bits that change, looks at resets."""
        if step.get("trace"):
            yield self.trace(lines, step.get("windows") or [(0, NEVER)])
        if image is not None:
            number = self.plan.phases.index("input")
            yield self.pixels.send(image, step.get("gaps"), number)
        if step.get("upsets"):
            yield self.upset(step["upsets"])
        if step.get("probes"):
            yield self.probe(step["probes"])

    async def report(
        self, index: int, step: dict, done: dict, before: dict, lines: list[str]
    ) -> bool:
        """Write down what a step did and left; returns whether it came to its end."""
        seen = self.state(step) | {
            "index": index,
            "responses": [],
            **done,
            "events": self.events,
            "trace": lines,
            "before": before,
        }
        if done["finished"] and step.get("bus"):
            seen["bus"] = await self.bus_registers(index, step)
        self.write(seen)
        return done["finished"]

    async def stage(self, index: int, step: dict, image) -> bool:
        """Carry out a stage on the host port, and fill its cycles with an inference that waits for pixels; returns True."""
        stage, first = Stage(**step["stage"]), self.view.cycles
        if self.port is None:
            # Here, because to load its masters takes as long as many a script.
            from xnoreplay.flow.verify.cosim.bench.hostport import HostPort

            self.port = HostPort(self.dut, self.plan)
        size = self.plan.input.byte_lanes
        data = b"".join(pixel.to_bytes(size, "little") for pixel in image)
        recorded = await self.port.carry_out(stage, data)
        self.host.take()
        await FallingEdge(self.dut.clk)
        used = self.view.cycles - first
        rest = stage.cycles - used
        if rest > BUS and int(self.dut.phase.value) == IDLE:
            try:
                await self.host.command(Command.INFER, 0)
                limit = (rest + SETTLE) * PERIOD
                await with_timeout(self.abort(rest - BUS), limit, "step")
            except (BusError, SimTimeoutError):
                pass  # what was recorded, or the count of cycles, shows why
            await self.settle()
        self.look_at_labels()
        self.write(
            self.state(step)
            | {
                "index": index,
                "port": recorded,
                "used": used,
                "phases": [],
                "finished": True,
                "events": [],
                "trace": [],
                "before": {},
                "responses": [],
            }
        )
        return True

    def state(self, step: dict) -> dict:
        """What is reported of the chip when a command or a stage has ended."""
        return {
            "cycles": self.view.cycles,
            "cpu": time.process_time(),
            "counters": self.view.counter_values(),
            "registers": self.view.register_values(),
            "met": self.view.met(),
            "at_rest": self.at_rest.found(),
            "memories": self.rows(step.get("memories", ())),
        }

    def rows(self, names) -> dict[str, str]:
        """Every row of some memories with its check bits, as text by name."""
        return {
            name: rows_text(self.view.memories[name].all(), self.plan.memory(name).stored)
            for name in names
        }

    def event_rows(self, slot: int) -> dict[str, str]:
        """What the replay memory holds, as text by name, right after an event at a slot."""
        return {
            name: rows_text(
                self.view.words(name, event_rows(self.plan, name, slot)),
                self.plan.memory(name).stored,
            )
            for name in REPLAY
        }

    async def boundaries(self, phases: list, limits: list[int]) -> bool:
        """Append phase and cycle at every change of phase, until the chip is idle.

        False where a phase takes more than its limit: the chip is stuck in the last one.
        """
        phase = IDLE
        while True:
            try:
                await with_timeout(self.dut.phase.value_change, limits[phase] * PERIOD, "step")
            except SimTimeoutError:
                return False
            await ReadOnly()
            phase = int(self.dut.phase.value)
            if phase == IDLE:
                return True
            phases.append((phase, self.view.cycles))

    async def bus_registers(self, index: int, step: dict) -> dict:
        """Read control registers over the bus, and every few counters, other ones after the next step; all where the step sets them."""
        seen = registers.seen_registers(self.plan.memories)
        names = [n for n in seen if n.upper() not in registers.Status.__members__]
        values = {n: await self.host.read(registers.Register[n.upper()]) for n in names}
        status = await self.host.read(registers.Register.STATUS)
        bits = [bit for bit in registers.Status if bit.name.lower() in seen]
        values |= {bit.name.lower(): status >> bit & 1 for bit in bits}
        apart = 1 if step["command"] == Counters.name else COUNTERS_APART
        chosen = range(index % apart, len(self.view.counter_names), apart)
        counters = [(i, await self.host.read_counter(i)) for i in chosen]
        return {"registers": values, "counters": counters}


class Loaded:
    """What the test bench reads before it begins.

    Parameters
    ----------
    folder : Path
        What `session.write` wrote.

    Attributes
    ----------
    script : dict
        The tree of `script.json`.
    plan : Plan
    bundle : Bundle
    pictures : numpy.ndarray
        (n, height, width, channels) uint8
    contents : dict of str to list of int
        First rows of memories, as numbers.
    """

    def __init__(self, folder: Path) -> None:
        self.script = json.loads((folder / "script.json").read_text(encoding="utf-8"))
        preset = presets.from_dict(self.script["preset"])
        self.plan = plans.compile(preset.network, preset.target)
        self.bundle = bundles.read(Path(self.script["bundle"]))
        self.pictures = np.load(folder / "images.npy")
        contents = np.load(folder / CONTENTS, allow_pickle=False)
        self.contents = {name: [to_int(row) for row in rows] for name, rows in contents.items()}


async def run(dut, loaded: Loaded, folder: Path) -> None:
    """Carry out a script from power-on, and write down what is seen.

    Parameters
    ----------
    dut : handle
        The chip.
    loaded : Loaded
    folder : Path
        For `observed.jsonl`; a file `stop` in it ends the script before its next command.
    """
    script, plan = loaded.script, loaded.plan
    with (folder / "observed.jsonl").open("w", encoding="utf-8") as out:

        def write(line: dict) -> None:
            out.write(json.dumps(line) + "\n")
            out.flush()

        dut.clk.value, dut.rst.value = 0, 1
        bench = Bench(dut, plan, write, script["at_rest"])
        # Every pin has a value before the first edge: gates may keep an unknown one for good that a reset takes away.
        await Timer(PERIOD, "step")
        Clock(dut.clk, PERIOD, "step", impl="gpi").start()
        try:
            await bench.reset()
            cocotb.start_soon(bench.cycles.follow())
            await bench.load(loaded.bundle, script["bus_rows"])
        except BusError as error:
            write({"error": str(error)})
            return
        for name, rows in loaded.contents.items():
            await bench.put(name, rows)
        bench.look_at_labels()
        bench.faults = script["faults"]
        await FallingEdge(dut.clk)
        if not plan.generative:
            cocotb.start_soon(bench.watch())
        start = time.monotonic()
        ends = [bench.commands(script["commands"], loaded.pictures, folder)]
        if "last" in script:
            ends.append(bench.past(script["last"]))
        if not (await select(*ends))[1]:
            return
        spent = time.monotonic() - start
        write(
            {
                "end": True,
                "cycles": bench.view.cycles,
                "clocks": int(get_sim_time("step")) // PERIOD,
                "seconds": spent,
                "watched": bench.view.watched,
                "at_rest": len(bench.at_rest),
            }
        )


@cocotb.test()
async def carry_out(dut):
    """Carry out the script that the environment names: the one test that cocotb runs."""
    folder = Path(os.environ[VARIABLE])
    await run(dut, Loaded(folder), folder)
