"""What the chip should have done, by the simulator, in the form in which the test bench reports."""

from collections import Counter
from dataclasses import replace

from xnoreplay.flow.verify.cosim import port_rules, protocol, resets
from xnoreplay.flow.verify.cosim.counting import Counting
from xnoreplay.flow.verify.cosim.coverage import Coverage
from xnoreplay.flow.verify.cosim.kinds import KINDS, carry_out, word_after
from xnoreplay.flow.verify.cosim.rows import event_rows, rows_text
from xnoreplay.flow.verify.cosim.script import BUS, REPLAY, Script, Step
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.memories import label_bits
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Response, seen_registers
from xnoreplay.spec.upset import Upset


class Model:
    """The simulator beside the chip: in fast mode, and in stepping mode where a command is traced.

    Parameters
    ----------
    plan : Plan
    bundle : Bundle
    script : Script
    faults : iterable of (str, int, int)
        Memory, row and bit of deliberate faults in the simulator.
    """

    def __init__(self, plan: Plan, bundle: Bundle, script: Script, faults=()) -> None:
        from xnoreplay.sim.run import Simulator

        self.plan, self.script = plan, script
        self.word = 0  # what COMMAND reads as
        self.fast = Simulator(plan, bundle)
        self.counting = Counting(len(self.fast.chip_counters), plan.target.counter_bits)
        self.shift = 0  # by which a script has moved the counter of cycles
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

    def carry_out(self, step: Step, stop: int = 0) -> dict:
        """Carry out one step but a stage on the host port, in the form in which the test bench reports it.

        Parameters
        ----------
        step : Step
        stop : int
            Value of `cycles` at which a command that is aborted ended.

        Returns
        -------
        dict
            What the test bench must report of the step.
        """
        start = self.cycles
        self.plant()
        self.word = word_after(step, self.word)
        kind = KINDS.get(step.command)
        abort = stop - start if step.abort else 0
        before = self._replay_state(step)
        held = {name: self.memory(name) for name in step.before}
        lines = []
        if step.trace and kind is None:
            assert self.stepping is not None
            self.stepping.put(self.fast.copied())
            self.stepping.count_from({"cycles": start})
            self.stepping.upset(Upset(*upset) for upset in step.upsets)
            lines = self._command(self.stepping, step, abort).trace
            if step.windows:
                lines = [line for first, last in step.windows for line in lines[first:last]]
        self.fast.upset(Upset(*upset) for upset in step.upsets)
        result = self._command(self.fast, step, abort)
        if kind is not None:
            beside = kind.expected(self, step, result)
        else:
            beside = resets.quiet(self.plan, step) if step.reset else {}
        self.coverage.step(step, result, self.script.images)
        number = {name: n for n, name in enumerate(self.plan.phases)}
        return self._state(step) | {
            "phases": [[number[name], cycle - self.shift] for name, cycle in result.phases],
            # Of a command that a reset ends the memory that events show is empty by then; upsets change it, too.
            "events": []
            if step.reset or step.upsets
            else self._events(result.events, before, step),
            "trace": lines,
            "before": held,
            "responses": [int(Response.SLVERR)] * (kind.refused if kind else step.intrude),
            **beside,
        }

    def port(self, step: Step, seen: dict) -> tuple[list[protocol.Fault], Counter[str], dict]:
        """Judge a stage on the host port and drive the simulator on by what it did.

        Parameters
        ----------
        step : Step
        seen : dict
            What the test bench reports: "port", the record of `bench.hostport.Recorder`, and "used", busy cycles.

        Returns
        -------
        faults : list of protocol.Fault
            What is wrong at the port.
        reached : Counter
            What the stage came to; see `port_points.required`.
        expected : dict
            The state that the stage leaves.
        """
        judge = protocol.Judge(self.plan, self.fast, self.word, port_rules.expand(seen["port"]))
        faults = list(judge.judge())
        self.word = judge.word
        assert step.stage is not None
        rest = step.stage.cycles - seen["used"]
        if not faults and rest > BUS:
            rested = replace(step, stage=replace(step.stage, cycles=rest))
            carry_out(rested, self.fast, self.script.images)
            self.word = word_after(step, self.word)
        self.coverage.passed()
        still: dict = {"phases": [], "events": [], "trace": [], "before": {}, "responses": []}
        return faults, judge.reached, self._state(step) | still

    def _state(self, step: Step) -> dict:
        return {
            "cycles": self.cycles,
            "registers": self.registers(),
            "met": [],  # what `spec.memories.Apart` promises
            "at_rest": [],
            "counters": list(self.fast.chip_counters.values()),
            "memories": {name: self.memory(name) for name in step.memories},
        }

    @property
    def cycles(self) -> int:
        """Cycles so far, as if nobody had moved the counter."""
        return self.fast.cycles - self.shift

    def move_counters(self, bits: int) -> None:
        """Move every event counter to 2^bits - 1, or with 0 bits back to where it would be without a script's moves."""
        held, cycles = self.fast.chip_counters, self.cycles
        moved = self.counting.moved(list(held.values()), bits)
        self.fast.count_from(dict(zip(held, moved, strict=True)))
        self.shift = self.fast.cycles - cycles

    def _command(self, simulator, step: Step, abort: int):
        if abort > 0:
            simulator.abort(abort)
        return carry_out(step, simulator, self.script.images)

    def registers(self) -> dict[str, int]:
        """Registers of the simulated chip, by the names of `seen_registers`."""
        names = seen_registers(self.plan.memories)
        return {name: int(getattr(self.fast.state, name)) for name in names}

    def memory(self, name: str) -> str:
        """Every row of a memory of the simulated chip with its check bits, as `rows_text` writes rows."""
        return rows_text(self.fast.stored_ints(name), self.plan.memory(name).stored)

    def _replay_state(self, step: Step) -> dict[str, list[int]]:
        """The replay memory, where the command may change it."""
        if "replay.label" not in step.changes or self.plan.generative:
            return {}
        return {name: self.fast.memory_ints(name) for name in REPLAY}

    def _events(self, events, before: dict[str, list[int]], step: Step) -> list[dict]:
        """Insertions and evictions, with all the replay memory holds right after each.

        An eviction leaves the latent; a slot that one command fills it does not touch again, so
        that the latent of an insertion is the one at the command's end.
        """
        now, after = before, self._replay_state(step)
        words = self.plan.replay.words
        valid = 1 << label_bits(self.plan.network)
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
                    "cycle": int(cycle) - self.shift,
                    "kind": kind,
                    "slot": int(slot),
                    "label": int(label),
                    "memories": {
                        name: rows_text(
                            [now[name][r] for r in event_rows(self.plan, name, slot)],
                            self.plan.memory(name).stored,
                        )
                        for name in REPLAY
                    },
                }
            )
        return rows
