"""The sequencer: which operation runs, and which follows."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.ports import index_shape
from xnoreplay.spec.commands import SESSION, Command
from xnoreplay.spec.learning import DECAYS
from xnoreplay.spec.plan import Plan


class Sequencer(wiring.Component):
    """The order of a command's operations, as the plan has them.

    A command taken by ``start`` begins its first operation in the next cycle; an operation ends in
    a cycle of ``done`` and the next begins right after. ``at`` has a bit for each phase, which is a register: that of
    ``phase`` is high. ``next_phase`` is the phase of the next cycle, and ``enter`` marks a cycle before an operation's first. ``abort`` makes its cycle the
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
                "at": Out(len(phases), init=1),
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

        # Of every phase, what leads to it, one condition a way: nothing is decoded behind `done`, which comes late.
        ways: dict[str, list[Value]] = {name: [] for name in number}
        starts = Const(0)
        for first, commands in self.starts().items():
            given = reduce(or_, (self.command == command for command in commands)) & self.start
            ways[first].append(self.at[idle] & given)
            starts |= given
        ends = {name: self.at[n] & self.done for name, n in number.items() if n != idle}
        chosen = self.successors()
        sessions = {
            "load": self.loaded,
            "hidden.update" if "hidden.update" in number else "output.update": ~self.walked,
        }
        names = [*number, "idle"]
        for name, end in ends.items():
            if name in sessions:
                after = {"load": "hidden.forward"}.get(name, "load")
                ways[after].append(end & sessions[name])
                leaves = end & ~sessions[name]
                # A comparison that every value passes is one that tools complain of.
                last = self.epoch >= rule.epochs - 1 if rule.epochs > 1 else self.epoch == 0
                ways["idle"].append(leaves & last)
                ways["seed"].append(leaves & ~last)
                with m.If(leaves & ~last):
                    m.d.sync += self.epoch.eq(self.epoch + 1)
            elif name in chosen:
                usual, *others = chosen[name]
                taken = Const(0)
                for other in others:
                    given = reduce(or_, (kind == command for command in chosen[name][other]))
                    ways[other].append(end & given)
                    taken |= given
                ways[usual].append(end & ~taken)
            else:
                ways[names[number[name] + 1]].append(end)
        following = Signal(len(number))
        going = Mux(self.at[idle], starts, self.done)
        for name, n in number.items():
            come = reduce(or_, ways[name]) if ways[name] else Const(0)
            m.d.comb += following[n].eq(come | self.at[n] & ~going)

        def encoded(bits: Value) -> Value:
            """The number of the phase whose bit is high."""
            return Cat(
                reduce(or_, (bits[n] for n in number.values() if n >> bit & 1))
                for bit in range(len(self.phase))
            )

        m.d.comb += [
            self.busy.eq(~self.at[idle]),
            self.phase.eq(encoded(self.at)),
            self.next_phase.eq(encoded(following)),
            self.enter.eq(Mux(self.busy, self.done & ~self.abort, self.start)),
            self.finished.eq(reduce(or_, ways["idle"])),
        ]
        # Whatever `at` holds: after an upset it may have no bit, or that of `idle` and another's.
        m.d.sync += self.at.eq(Mux(self.abort, 1 << idle, following))
        with m.If(self.at[idle] & self.start):
            m.d.sync += kind.eq(self.command)
            balance = self.starts()["balance"]
            with m.If(reduce(or_, (self.command == command for command in balance))):
                m.d.sync += self.epoch.eq(0)
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
