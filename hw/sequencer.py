"""The sequencer: which operation runs, and which follows."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.ports import index_shape
from xnoreplay.spec.commands import SESSION, Command
from xnoreplay.spec.learning import DECAYS
from xnoreplay.spec.plan import Plan


class Sequencer(wiring.Component):
    """The order of a command's operations, as the plan has them.

    A command taken by ``start`` begins its first operation in the next cycle; an operation ends in
    a cycle of ``done`` and the next begins right after. ``next_phase`` is the phase of the next
    cycle, and ``enter`` marks a cycle before an operation's first. ``abort`` makes its cycle the
    command's last; ``finished`` marks the last cycle of a command that came to its end.

    A session's epochs and minibatches follow from ``loaded``, whether a load found samples, and
    ``walked``, whether the epoch's walk has ended. ``decay`` says how often the rate has halved.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        phases = range(len(plan.phases))
        super().__init__(
            {
                "start": In(1),
                "command": In(8),
                "abort": In(1),
                "done": In(1),
                "loaded": In(1),
                "walked": In(1),
                "finished": Out(1),
                "decay": Out(range(DECAYS + 1)),
                "phase": Out(phases),
                "next_phase": Out(phases),
                "enter": Out(1),
                "busy": Out(1),
            }
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        return {"cycles": self.busy}

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        number = {name: n for n, name in enumerate(self.plan.phases)}
        kind = Signal(8)
        idle = number["idle"]
        rule = self.plan.rule
        self.epoch = Signal(index_shape(rule.epochs))
        m.d.comb += self.decay.eq(0)
        for epoch in range(1, rule.epochs):
            if rule.decay(epoch) != rule.decay(epoch - 1):
                with m.If(self.epoch >= epoch):
                    m.d.comb += self.decay.eq(rule.decay(epoch))

        m.d.comb += [
            self.busy.eq(self.phase != idle),
            self.next_phase.eq(self.phase),
            self.enter.eq(Mux(self.busy, self.done & ~self.abort, self.start)),
            self.finished.eq(self.busy & self.done & (self.next_phase == idle)),
        ]
        m.d.sync += self.phase.eq(Mux(self.busy & self.abort, idle, self.next_phase))
        with m.If(~self.busy):
            with m.If(self.start):
                m.d.sync += kind.eq(self.command)
                with m.Switch(self.command):
                    for first, commands in self.starts().items():
                        with m.Case(*commands):
                            m.d.comb += self.next_phase.eq(number[first])
                            if first == "balance":
                                m.d.sync += self.epoch.eq(0)
        with m.Elif(self.done):
            with m.Switch(self.phase):
                for name, following in self.successors().items():
                    with m.Case(number[name]):
                        self.follow(m, kind, {number[n]: c for n, c in following.items()})
                with m.Case(number["load"]):
                    with m.If(self.loaded):
                        m.d.comb += self.next_phase.eq(number["hidden.forward"])
                    with m.Else():
                        self.next_epoch(m, number)
                with m.Case(number.get("hidden.update", number["output.update"])):
                    m.d.comb += self.next_phase.eq(number["load"])
                    with m.If(self.walked):
                        self.next_epoch(m, number)
                with m.Default():
                    m.d.comb += self.next_phase.eq(self.phase + 1)
        return m

    def starts(self) -> dict[str, list[Command]]:
        """Commands by the first phase that they run."""
        found: dict[str, list[Command]] = {}
        for command in Command:
            found.setdefault(command.phases(self.plan)[0], []).append(command)
        return found

    def successors(self) -> dict[str, dict[str, list[Command]]]:
        """Commands by what follows a phase, by phase, where that is not the next number for all of them.

        A session is not among them: which phase follows there is not the command's choice.
        """
        found: dict[str, dict[str, list[Command]]] = {}
        for command in Command:
            if SESSION in command.operations:
                continue
            phases = command.phases(self.plan)
            assert len(set(phases)) == len(phases), (
                "a phase's successor must follow from the command"
            )
            for name, following in zip(phases, (*phases[1:], "idle"), strict=True):
                found.setdefault(name, {}).setdefault(following, []).append(command)
        names = self.plan.phases
        after = dict(zip(names, names[1:], strict=False))
        chosen = {name: f for name, f in found.items() if list(f) != [after.get(name)]}
        return dict(sorted(chosen.items(), key=lambda item: len(item[1]) > 1))

    def follow(self, m: Module, kind: Signal, following: dict[int, list[Command]]) -> None:
        """Go to the phase that follows for the command that runs: to the first one for what is in no other's list."""
        usual, *others = following
        if len(others) > 1:
            with m.Switch(kind):
                for other in others:
                    with m.Case(*following[other]):
                        m.d.comb += self.next_phase.eq(other)
                with m.Default():
                    m.d.comb += self.next_phase.eq(usual)
            return
        m.d.comb += self.next_phase.eq(usual)
        for other in others:
            with m.If(reduce(or_, (kind == command for command in following[other]))):
                m.d.comb += self.next_phase.eq(other)

    def next_epoch(self, m, number):
        """Begin the next epoch with its seed, or end the session."""
        with m.If(self.epoch == self.plan.rule.epochs - 1):
            m.d.comb += self.next_phase.eq(number["idle"])
        with m.Else():
            m.d.comb += self.next_phase.eq(number["seed"])
            m.d.sync += self.epoch.eq(self.epoch + 1)
