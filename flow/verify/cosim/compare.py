"""What the chip should have done, by the simulator, and where the test bench saw otherwise."""

from collections import Counter
from dataclasses import asdict, dataclass, replace

from xnoreplay.flow.run import temporary
from xnoreplay.flow.verify.cosim import protocol, resets
from xnoreplay.flow.verify.cosim.counting import Counting
from xnoreplay.flow.verify.cosim.coverage import Coverage
from xnoreplay.flow.verify.cosim.script import (
    ASIDE,
    BUS,
    PORT,
    REPLAY,
    Script,
    Step,
    changing,
)
from xnoreplay.spec import image as images
from xnoreplay.spec import trace
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import SEEN_REGISTERS, Command, Response

EVENT_ROWS = 4096  # rows of latents that every event of the replay memory shows whole


def rows_text(rows: list[int], width: int) -> str:
    """Rows as one hexadecimal text, a fixed number of digits each."""
    digits = -(-width // 4)
    return "".join(f"{row:0{digits}x}" for row in rows)


def event_rows(plan: Plan, name: str, slot: int) -> range:
    """Rows of a replay memory that an event at a slot shows: all, or of a large one its latent."""
    depth, words = plan.memory(name).depth, plan.replay.words
    if name == "replay.latent" and depth > EVENT_ROWS:
        return range(slot * words, (slot + 1) * words)
    return range(depth)


@dataclass(frozen=True)
class Difference:
    """Where the two first differ, as far as this observation can tell.

    command is the index in the script, -1 for the power-on load; cycle is the chip's counter.
    """

    command: int
    what: str
    cycle: int
    phase: str
    signal: str
    address: str
    expected: str
    got: str

    def __str__(self) -> str:
        where = f" at address {self.address}" if self.address else ""
        return (
            f"command {self.command} ({self.what}), cycle {self.cycle}, phase {self.phase}: "
            f"{self.signal}{where} must be {self.expected}, not {self.got}"
        )

    def plain(self) -> dict:
        return asdict(self)


class Model:
    """The simulator beside the chip: fast, and stepping where a command is traced."""

    def __init__(self, plan: Plan, bundle: Bundle, script: Script, faults=()) -> None:
        from xnoreplay.sim.run import Simulator

        self.plan, self.script = plan, script
        self.word = 0  # what COMMAND reads as
        self.fast = Simulator(plan, bundle)
        self.counting = Counting(len(self.fast.counters))
        self.coverage = Coverage(plan, bundle, self.fast)
        self.stepping = None
        if any(s.trace for s in script.steps):
            self.stepping = Simulator(plan, bundle, mode="step", trace=True)
        for name, rows in script.contents.items():
            self.fast.write(name, rows)
        self.faults = list(faults)

    def plant(self) -> None:
        """Flip the bits of deliberate faults, once."""
        faults, self.faults = self.faults, []
        for memory, row, bit in faults:
            self.fast.flip(memory, row, bit)

    def run(self, step: Step, stop: int = 0) -> dict:
        """One command, in the form in which the test bench reports it.

        stop : value of `cycles` at which a command that is aborted ended
        """
        start = self.cycles
        self.plant()
        self.word = self._word(step)
        abort = stop - start if step.abort else 0
        before = self._replay_state(step)
        held = {name: self.memory(name) for name in step.before}
        lines = []
        if step.trace and step.command not in resets.STEPS:
            assert self.stepping is not None
            with temporary.folder("state") as folder:
                state = folder / "state.npz"
                self.fast.dump(state)
                self.stepping.load(state)
            self.stepping.count_from({"cycles": start})
            lines = self._command(self.stepping, step, abort).trace
            if step.windows:
                lines = [line for first, last in step.windows for line in lines[first:last]]
        result = self._command(self.fast, step, abort)
        if step.command == "counters":
            self._count(step.argument)
        self.coverage.step(step, result, self.script.images)
        number = {name: n for n, name in enumerate(self.plan.phases)}
        return self._state(step) | {
            "phases": [[number[name], self.counting.own(cycle)] for name, cycle in result.phases],
            # Of a command that a reset ends the memory that events show is empty by then.
            "events": [] if step.reset else self._events(result.events, before, step),
            "trace": lines,
            "before": held,
            "responses": [int(Response.SLVERR)] * (step.command == "refuse" or step.intrude),
            **self._host(step, result),
        }

    def _word(self, step: Step) -> int:
        """What COMMAND reads as after a step."""
        if step.reset or step.command == resets.RESET:
            return 0
        if step.command == resets.POWER:
            return int(Command.RESTORE)
        if step.command == PORT:
            return int(Command.INFER)
        if step.command == resets.HOST or step.command in ASIDE:
            return self.word
        return Command[step.command.upper()] | step.argument << 16

    def port(self, step: Step, seen: dict) -> tuple[list[protocol.Fault], Counter[str], dict]:
        """A stage on the host port: what is wrong there, what it reached, and the state it leaves."""
        judge = protocol.Judge(self.plan, self.fast, self.word, protocol.expand(seen["port"]))
        faults = list(judge.judge())
        self.word = judge.word
        assert step.stage is not None
        rest = step.stage.cycles - seen["used"]
        if not faults and rest > BUS:
            replace(step, stage=replace(step.stage, cycles=rest)).carry_out(
                self.fast, self.script.images
            )
            self.word = self._word(step)
        self.coverage.passed()
        still: dict = {"phases": [], "events": [], "trace": [], "before": {}, "responses": []}
        return faults, judge.reached, self._state(step) | still

    def _state(self, step: Step) -> dict:
        return {
            "cycles": self.cycles,
            "registers": self.registers(),
            "counters": list(self.fast.counters.values()),
            "memories": {name: self.memory(name) for name in step.memories},
        }

    def _host(self, step: Step, result) -> dict:
        """What the host reads in a step that is no command."""
        if step.command == resets.HOST:
            return {"answers": [list(answer) for answer in result.answers]}
        if not resets.ends(step):
            return {}
        quiet = {
            "answers": [list(resets.meanwhile(*transfer)) for transfer in step.transfers],
            "high": [],
            "empties": self.plan.replay.capacity,
        }
        if step.command != resets.POWER:
            return quiet
        saved = resets.rows(self.plan, result.saved).items()
        return {
            "saved": {n: rows_text(rows, self.plan.memory(n).width) for n, rows in saved},
            "saved_registers": list(result.saved.registers.values()),
            **quiet,
        }

    @property
    def cycles(self) -> int:
        """Cycles so far, as if nobody had moved the counter."""
        return self.counting.own(self.fast.cycles)

    def _count(self, bits: int) -> None:
        names, values = zip(*self.fast.counters.items(), strict=True)
        self.fast.count_from(dict(zip(names, self.counting.moved(list(values), bits), strict=True)))

    def _command(self, simulator, step: Step, abort: int):
        if abort > 0:
            simulator.abort(abort)
        return step.carry_out(simulator, self.script.images)

    def registers(self) -> dict[str, int]:
        return {name: int(getattr(self.fast.state, name)) for name in SEEN_REGISTERS}

    def memory(self, name: str) -> str:
        return rows_text(self.fast.memory_ints(name), self.plan.memory(name).width)

    def _replay_state(self, step: Step) -> dict[str, list[int]]:
        """The replay memory, where the command may change it."""
        if step.command not in ("insert", "arrive", "rebalance"):
            return {}
        return {name: self.fast.memory_ints(name) for name in REPLAY}

    def _events(self, events, before: dict[str, list[int]], step: Step) -> list[dict]:
        """Insertions and evictions, with all the replay memory holds right after each.

        An eviction leaves the latent; a slot that one command fills it does not touch again, so
        that the latent of an insertion is the one at the command's end.
        """
        now, after = before, self._replay_state(step)
        words = self.plan.replay.words
        valid = 1 << self.plan.memory("replay.label").width - 1
        rows = []
        for cycle, kind, slot, label in events:
            if kind == "hit":
                continue
            evicted = kind == "evict"
            now["replay.label"][slot] = 0 if evicted else valid | int(label)
            now["replay.count"][label] += -1 if evicted else 1
            if not evicted:
                own = slice(slot * words, (slot + 1) * words)
                now["replay.latent"][own] = after["replay.latent"][own]
            rows.append(
                {
                    "cycle": self.counting.own(int(cycle)),
                    "kind": kind,
                    "slot": int(slot),
                    "label": int(label),
                    "memories": {
                        name: rows_text(
                            [now[name][r] for r in event_rows(self.plan, name, slot)],
                            self.plan.memory(name).width,
                        )
                        for name in REPLAY
                    },
                }
            )
        return rows


class Comparison:
    """Compares observations in order and counts what was equal."""

    def __init__(self, plan: Plan, bundle: Bundle, model: Model, counter_names) -> None:
        self.plan, self.bundle, self.model = plan, bundle, model
        self.counter_names = counter_names
        self.compared: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        """What stages on the host port came to; see `protocol.missing`."""
        self.ended = False
        self.passed = 0  # cycles before the last reset
        self.expected_trace: list[str] = []

    def observe(self, seen: dict) -> list[Difference]:
        """One line of the test bench."""
        if "end" in seen:
            self.ended = True
            return []
        if "readback" in seen:
            return list(self._readback(seen["readback"]))
        step = self.model.script.steps[seen["index"]]
        if step.command == PORT:
            return self._port(seen["index"], step, seen)
        start = self.model.cycles
        expected = self.model.run(step, seen["cycles"])
        self.passed += resets.lost(step, start)
        self.expected_trace = expected["trace"]
        found = list(self._command(seen["index"], step, expected, seen))
        if step.abort:
            found += self._aborted(seen, step, start)
        if not found:
            self.compared["commands"] += 1
            self.compared["cycles"] = self.passed + expected["cycles"]
            self.compared[f"commands.{step.command}"] += 1
        return found

    def _port(self, index: int, step: Step, seen: dict) -> list[Difference]:
        """A stage on the host port: every signal in every clock, and the state it leaves."""
        faults, reached, expected = self.model.port(step, seen)
        if faults:
            return [
                Difference(
                    index,
                    f"host port, clock {f.clock} of the stage",
                    f.cycle,
                    f.phase,
                    f.signal,
                    f.address,
                    f.expected,
                    f.got,
                )
                for f in faults
            ]
        self.reached += reached
        found = list(self._command(index, step, expected, seen))
        assert step.stage is not None
        if seen["used"] > step.stage.cycles - BUS - 1:
            found.append(
                Difference(
                    index,
                    "host port",
                    seen["cycles"],
                    "idle",
                    "busy cycles of the stage",
                    "",
                    f"below {step.stage.cycles - BUS}",
                    str(seen["used"]),
                )
            )
        if not found:
            self.compared["port.stages"] += 1
            self.compared["port.clocks"] += sum(row[0] for row in seen["port"])
            self.compared["cycles"] = self.passed + expected["cycles"]
        return found

    def _readback(self, back: dict[str, str]):
        for name, bits in images.load(self.plan, self.bundle).items():
            memory = self.plan.memory(name)
            text = rows_text([to_int(row) for row in bits], memory.width)
            yield from self._rows(-1, "power-on", 0, name, text, back[name])
            self.compared["readback.bits"] += memory.bits

    def _rows(self, index, what, cycle, name, expected: str, got: str, first: int = 0):
        """Differing rows of one memory, whose texts begin with row `first`: the first that differs,
        and how many do."""
        if expected == got:
            return
        digits = -(-self.plan.memory(name).width // 4)
        rows = range(0, max(len(expected), len(got)), digits)
        differing = [i // digits for i in rows if expected[i : i + digits] != got[i : i + digits]]
        at = differing[0] * digits
        yield Difference(
            index,
            f"{what}, {len(differing)} rows differ",
            cycle,
            "idle",
            name,
            str(first + differing[0]),
            expected[at : at + digits],
            got[at : at + digits],
        )

    def _command(self, index: int, step: Step, expected: dict, seen: dict):
        what = step.command

        def differ(cycle, phase, signal, want, got, address=""):
            return Difference(index, what, cycle, phase, signal, str(address), str(want), str(got))

        first = trace.first_difference(expected["trace"], seen["trace"]) if step.trace else None
        if first is not None:
            yield differ(
                first.cycle, first.phase, first.signal, first.expected, first.got, first.address
            )
        self.compared["trace.lines"] += len(expected["trace"])
        names = self.plan.phases
        for want, got in zip(expected["responses"], seen["responses"], strict=True):
            self.compared["responses"] += 1
            if want != got:
                yield differ(seen["cycles"], "idle", "response to a command", want, got)
        if not seen["finished"]:
            phase, cycle = seen["phases"][-1] if seen["phases"] else (0, seen["cycles"])
            yield differ(
                seen["cycles"],
                names[phase],
                f"end of {what}",
                expected["cycles"],
                f"still in {names[phase]}, entered in cycle {cycle}",
            )
            return
        for want, got in zip(expected["phases"], seen["phases"], strict=False):
            if want != got:
                yield differ(
                    min(want[1], got[1]),
                    names[want[0]],
                    "phase boundary",
                    f"{names[want[0]]} in cycle {want[1]}",
                    f"{names[got[0]]} in cycle {got[1]}",
                )
                break
        else:
            if len(expected["phases"]) != len(seen["phases"]):
                yield differ(
                    seen["cycles"], "idle", "phases", len(expected["phases"]), len(seen["phases"])
                )
            elif expected["cycles"] != seen["cycles"]:
                last = seen["phases"][-1][0] if seen["phases"] else 0
                yield differ(
                    min(expected["cycles"], seen["cycles"]),
                    names[last],
                    "end of command",
                    expected["cycles"],
                    seen["cycles"],
                )
        self.compared["boundaries"] += len(expected["phases"]) + 1
        yield from self._replayed(differ, index, step, expected["events"], seen["events"])
        yield from self._hosts(differ, index, step, expected, seen)
        end = expected["cycles"]
        reports = [("", seen)] + ([("bus ", seen["bus"])] if "bus" in seen else [])
        for source, report in reports:
            for name, want in expected["registers"].items():
                got = report["registers"][name]
                if got != want:
                    yield differ(end, "idle", f"{source}register {name}", want, got)
            for name, want, got in zip(
                self.counter_names, expected["counters"], report["counters"], strict=True
            ):
                if want != got:
                    yield differ(end, "idle", f"{source}counter {name}", want, got)
            self.compared[f"{source or 'wire '}registers"] += len(expected["registers"])
            self.compared[f"{source or 'wire '}counters"] += len(expected["counters"])
        for name, want in expected["memories"].items():
            yield from self._rows(index, what, end, name, want, seen["memories"][name])
            self.compared["memory.bits"] += self.plan.memory(name).bits
        for name, want in expected["before"].items():
            start = expected["phases"][0][1]
            yield from self._rows(index, f"before {what}", start, name, want, seen["before"][name])
            self.compared["memory.bits"] += self.plan.memory(name).bits
        if resets.ends(step) and expected["empties"] != seen["empties"]:
            yield differ(
                end,
                "idle",
                "cycles that empty the replay memory",
                expected["empties"],
                seen["empties"],
            )
        if step.abort:
            self.compared["aborts"] += 1
        elif step.reset:
            self.compared[f"resets.{names[seen['phases'][-1][0]]}"] += 1
        elif step.command == "infer":
            self.compared["predictions"] += 1
            self.compared["images.in_full"] += set(changing(self.plan, False)) <= set(step.memories)
            yield from self._closed_form(differ, step, expected, seen)

    def _hosts(self, differ, index: int, step: Step, expected: dict, seen: dict):
        """What the host read before the power went, and how its transfers were answered."""
        end = expected["cycles"]
        if resets.ends(step):
            for name in dict.fromkeys(seen["high"]):
                yield differ(
                    end, "idle", name.upper(), "low in a reset, and until asked again", "high"
                )
        for (address, data), want, got in zip(
            step.transfers, expected.get("answers", ()), seen.get("answers", ()), strict=True
        ):
            what = "answer to a read" if data is None else f"answer to a write of {data:#x}"
            # The word that comes with an error may be anything.
            if want[0] != got[0] or (want[0] == Response.OKAY and want != got):
                yield differ(end, "idle", what, want, got, f"{address:#010x}")
            self.compared["transfers"] += 1
        for name, rows in expected.get("saved", {}).items():
            yield from self._rows(index, "save", end, name, rows, seen["saved"][name])
            self.compared["saved.bits"] += self.plan.memory(name).bits
        for want, got in zip(
            expected.get("saved_registers", ()), seen.get("saved_registers", ()), strict=True
        ):
            if want != got:
                yield differ(end, "idle", "register read by the host that saves", want, got)

    def _aborted(self, seen: dict, step: Step, start: int) -> list[Difference]:
        """An abort ends its command `BUS` cycles after it is written, unless the end comes sooner."""
        took, last = seen["cycles"] - start, step.abort + BUS
        phase = self.plan.phases[seen["phases"][-1][0]] if seen["phases"] else "idle"
        if took == last or (took < last and seen["registers"]["finished"]):
            self.compared[f"aborts.{phase}"] += not seen["registers"]["finished"]
            return []
        return [
            Difference(
                seen["index"],
                step.command,
                seen["cycles"],
                phase,
                "cycles until the abort",
                "",
                str(last),
                str(took),
            )
        ]

    def _closed_form(self, differ, step, expected, seen):
        """The plan's cycles of an inference, moved by the waits for pixels and by nothing else."""
        want = self.plan.infer_cycles(expected["registers"]["seen"]) + sum(step.gaps or ())
        got = seen["cycles"] - (seen["phases"][0][1] if seen["phases"] else seen["cycles"])
        if want != got:
            yield differ(seen["cycles"], "idle", "cycles of one inference (plan)", want, got)

    def _replayed(self, differ, index, step, expected: list[dict], seen: list[dict]):
        """Insertions and evictions in order, and what the touched slot held right after each."""
        for want, have in zip(expected, seen, strict=False):
            for key in ("cycle", "kind", "slot", "label"):
                if want[key] != have[key]:
                    cycle = min(want["cycle"], have["cycle"])
                    yield differ(cycle, step.command, f"replay event's {key}", want[key], have[key])
                    return
            for name in REPLAY:
                rows = (want["memories"][name], have["memories"][name])
                shown = event_rows(self.plan, name, want["slot"])
                yield from self._rows(
                    index, step.command, want["cycle"] + 1, name, *rows, first=shown.start
                )
                self.compared["replay.event_bits"] += len(shown) * self.plan.memory(name).width
        if len(expected) != len(seen):
            cycle = max(expected, seen, key=len)[min(len(expected), len(seen))]["cycle"]
            yield differ(cycle, step.command, "replay events", len(expected), len(seen))
        self.compared["replay.events"] += len(expected)
