"""Where the test bench saw otherwise than the model, and how much of what it saw was compared."""

from collections import Counter
from dataclasses import asdict, astuple, dataclass

from xnoreplay.flow.verify.cosim.kinds import cycles_lost, ends_in_reset
from xnoreplay.flow.verify.cosim.model import Model
from xnoreplay.flow.verify.cosim.rows import event_rows, rows_text
from xnoreplay.flow.verify.cosim.script import BUS, PORT, REPLAY, Step, changing
from xnoreplay.spec import image as images
from xnoreplay.spec import trace
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Response
from xnoreplay.spec.trace import Difference

WITH = "cycles with "  # of the signal's name, of what `at_rest` has found


@dataclass(frozen=True)
class ScriptDifference(Difference):
    """Where chip and model first differ, as far as this observation can tell.

    Parameters
    ----------
    command : int
        Index in the script, -1 for the power-on load.
    what : str
        The command's name, and what of it was looked at.
    """

    command: int
    what: str

    @classmethod
    def of(cls, here: Difference, command: int, what: str) -> "ScriptDifference":
        """A difference with the command of the script at which it shows."""
        cycle, phase, signal, address, expected, got = astuple(here)[:6]
        return cls(cycle, phase, signal, address, expected, got, command, what)

    def __str__(self) -> str:
        where = f" at address {self.address}" if self.address else ""
        return (
            f"command {self.command} ({self.what}), cycle {self.cycle}, phase {self.phase}: "
            f"{self.signal}{where} must be {self.expected}, not {self.got}"
        )

    def plain(self) -> dict:
        """The fields by name, the command first."""
        return {"command": self.command, "what": self.what} | asdict(self)


class Comparison:
    """Compares what the test bench reports, step by step, with the model, and counts what was equal."""

    def __init__(self, plan: Plan, bundle: Bundle, model: Model, counter_names) -> None:
        self.plan, self.bundle, self.model = plan, bundle, model
        self.counter_names = counter_names
        self.compared: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        """What stages on the host port came to; see `port_points.missing`."""
        self.ended = False
        self.passed = 0  # cycles before the last reset
        self.expected_trace: list[str] = []

    def observe(self, seen: dict) -> list[ScriptDifference]:
        """Compare one line of the test bench; returns its differences, none where all is equal."""
        if "end" in seen:
            self.ended = True
            self.compared["memories.watched"] = seen["watched"]
            self.compared["at_rest.watched"] = seen["at_rest"]
            return []
        if "readback" in seen:
            return list(self._readback(seen["readback"]))
        step = self.model.script.steps[seen["index"]]
        if step.command == PORT:
            return self._port(seen["index"], step, seen)
        start = self.model.cycles
        expected = self.model.carry_out(step, seen["cycles"])
        self.passed += cycles_lost(step, start)
        self.expected_trace = expected["trace"]
        found = list(self._command(seen["index"], step, expected, seen))
        if step.abort:
            found += self._aborted(seen, step, start)
        if not found:
            self.compared["commands"] += 1
            self.compared["cycles"] = self.passed + expected["cycles"]
            self.compared[f"commands.{step.command}"] += 1
        return found

    def _port(self, index: int, step: Step, seen: dict) -> list[ScriptDifference]:
        """Compare a stage on the host port: every signal in every clock, and the state that it leaves."""
        faults, reached, expected = self.model.port(step, seen)
        if faults:
            return [
                ScriptDifference.of(f, index, f"host port, clock {f.clock} of the stage")
                for f in faults
            ]
        self.reached += reached
        found = list(self._command(index, step, expected, seen))
        assert step.stage is not None
        if seen["used"] > step.stage.cycles - BUS - 1:
            least, used = f"below {step.stage.cycles - BUS}", str(seen["used"])
            signal = "busy cycles of the stage"
            here = Difference(seen["cycles"], "idle", signal, "", least, used)
            found.append(ScriptDifference.of(here, index, "host port"))
        if not found:
            self.compared["port.stages"] += 1
            self.compared["port.clocks"] += sum(row[0] for row in seen["port"])
            self.compared["cycles"] = self.passed + expected["cycles"]
        return found

    def _readback(self, back: dict[str, str]):
        for name, bits in images.load(self.plan, self.bundle).items():
            memory = self.plan.memory(name)
            text = rows_text([to_int(row) for row in bits], memory.stored)
            yield from self._rows(-1, "power-on", 0, name, text, back[name])
            self.compared["readback.bits"] += bits.size

    def _rows(self, index, what, cycle, name, expected: str, got: str, first: int = 0):
        """The first row of one memory that differs, and how many do; the texts begin with row `first`."""
        if expected == got:
            return
        digits = -(-self.plan.memory(name).stored // 4)
        rows = range(0, max(len(expected), len(got)), digits)
        differing = [i // digits for i in rows if expected[i : i + digits] != got[i : i + digits]]
        at = differing[0] * digits
        row, end = str(first + differing[0]), at + digits
        here = Difference(cycle, "idle", name, row, expected[at:end], got[at:end])
        yield ScriptDifference.of(here, index, f"{what}, {len(differing)} rows differ")

    def _command(self, index: int, step: Step, expected: dict, seen: dict):
        """Differences of one step, those that tell most of the cause first."""
        end = expected["cycles"]

        def differ(cycle, phase, signal, want, got, address=""):
            here = Difference(cycle, phase, signal, str(address), str(want), str(got))
            return ScriptDifference.of(here, index, step.command)

        first = trace.first_difference(expected["trace"], seen["trace"]) if step.trace else None
        if first is not None:
            yield ScriptDifference.of(first, index, step.command)
        self.compared["trace.lines"] += len(expected["trace"])
        yield from self._responses(differ, expected, seen)
        for name in seen["met"]:
            yield differ(
                seen["cycles"],
                "idle",
                f"cycles that read the row of {name} that they write",
                "none",
                "some",
            )
        for what in seen["at_rest"]:
            yield differ(seen["cycles"], "idle", f"{WITH}{what}", "none", "some")
        if not seen["finished"]:
            yield self._stuck(differ, step, expected, seen)
            return
        yield from self._boundaries(differ, expected, seen)
        yield from self._replayed(differ, index, step, expected["events"], seen["events"])
        yield from self._hosts(differ, index, step, expected, seen)
        yield from self._registers(differ, expected, seen)
        for name, want in expected["memories"].items():
            yield from self._rows(index, step.command, end, name, want, seen["memories"][name])
            self.compared["memory.bits"] += self.plan.memory(name).bits
        for name, want in expected["before"].items():
            start, what = expected["phases"][0][1], f"before {step.command}"
            yield from self._rows(index, what, start, name, want, seen["before"][name])
            self.compared["memory.bits"] += self.plan.memory(name).bits
        if ends_in_reset(step) and expected["empties"] != seen["empties"]:
            signal = "cycles that empty the replay memory"
            yield differ(end, "idle", signal, expected["empties"], seen["empties"])
        yield from self._counted(differ, step, expected, seen)

    def _counted(self, differ, step: Step, expected: dict, seen: dict):
        """Count a step that was carried out by how it ended; of an inference, the plan's cycles must be right."""
        if step.abort:
            self.compared["aborts"] += 1
        elif step.reset:
            self.compared[f"resets.{self.plan.phases[seen['phases'][-1][0]]}"] += 1
        elif step.command == "infer":
            self.compared["predictions"] += 1
            self.compared["images.in_full"] += set(changing(self.plan, False)) <= set(step.memories)
            yield from self._closed_form(differ, step, expected, seen)

    def _responses(self, differ, expected: dict, seen: dict):
        """Answers to commands that must be refused."""
        for want, got in zip(expected["responses"], seen["responses"], strict=True):
            self.compared["responses"] += 1
            if want != got:
                yield differ(seen["cycles"], "idle", "response to a command", want, got)

    def _stuck(self, differ, step: Step, expected: dict, seen: dict) -> "ScriptDifference":
        """The difference of a command that does not come to its end."""
        number, cycle = seen["phases"][-1] if seen["phases"] else (0, seen["cycles"])
        phase = self.plan.phases[number]
        got = f"still in {phase}, entered in cycle {cycle}"
        return differ(seen["cycles"], phase, f"end of {step.command}", expected["cycles"], got)

    def _boundaries(self, differ, expected: dict, seen: dict):
        """The first phase that does not begin when it should, or the end of the command."""
        self.compared["boundaries"] += len(expected["phases"]) + 1
        names = self.plan.phases
        wanted, got = expected["phases"], seen["phases"]
        for want, have in zip(wanted, got, strict=False):
            if want != have:
                texts = [f"{names[number]} in cycle {cycle}" for number, cycle in (want, have)]
                cycle = min(want[1], have[1])
                yield differ(cycle, names[want[0]], "phase boundary", *texts)
                return
        if len(wanted) != len(got):
            yield differ(seen["cycles"], "idle", "phases", len(wanted), len(got))
        elif expected["cycles"] != seen["cycles"]:
            last = names[got[-1][0] if got else 0]
            ends = expected["cycles"], seen["cycles"]
            yield differ(min(ends), last, "end of command", *ends)

    def _registers(self, differ, expected: dict, seen: dict):
        """Registers and counters, as signals and, those that were read, over the bus."""
        end = expected["cycles"]
        reports = [("", seen["registers"], list(enumerate(seen["counters"])))]
        assert len(seen["counters"]) == len(expected["counters"])
        if bus := seen.get("bus"):
            reports.append(("bus ", bus["registers"], bus["counters"]))
        for source, read, counted in reports:
            for name, want in expected["registers"].items():
                if read[name] != want:
                    yield differ(end, "idle", f"{source}register {name}", want, read[name])
            for n, got in counted:
                if (want := expected["counters"][n]) != got:
                    name = self.counter_names[n]
                    yield differ(end, "idle", f"{source}counter {name}", want, got)
            self.compared[f"{source or 'wire '}registers"] += len(expected["registers"])
            self.compared[f"{source or 'wire '}counters"] += len(counted)

    def _hosts(self, differ, index: int, step: Step, expected: dict, seen: dict):
        """What the host read before the power went, and how its transfers were answered."""
        end = expected["cycles"]
        if ends_in_reset(step):
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
            memory = self.plan.memory(name)
            self.compared["saved.bits"] += memory.depth * memory.count * memory.width
        for want, got in zip(
            expected.get("saved_registers", ()), seen.get("saved_registers", ()), strict=True
        ):
            if want != got:
                yield differ(end, "idle", "register read by the host that saves", want, got)

    def _aborted(self, seen: dict, step: Step, start: int) -> list[ScriptDifference]:
        """An abort ends its command `BUS` cycles after it is written, unless the end comes sooner."""
        took, last = seen["cycles"] - start, step.abort + BUS
        phase = self.plan.phases[seen["phases"][-1][0]] if seen["phases"] else "idle"
        if took == last or (took < last and seen["registers"]["finished"]):
            self.compared[f"aborts.{phase}"] += not seen["registers"]["finished"]
            return []
        here = Difference(seen["cycles"], phase, "cycles until the abort", "", str(last), str(took))
        return [ScriptDifference.of(here, seen["index"], step.command)]

    def _closed_form(self, differ, step, expected, seen):
        """The plan's cycles of an inference, moved by the waits for pixels and by nothing else but a watchdog."""
        want = self.plan.infer_cycles(expected["registers"]["seen"]) + sum(step.gaps or ())
        want = min(want, self.plan.target.watchdog_cycles)
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
