"""The sequencer: which operation runs, and which follows."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.ports import index_shape
from xnoreplay.spec.learning import DECAYS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Command


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
        staging = bool(self.plan.replay.staging)
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
                    with m.Case(Command.INFER, Command.STAGE, Command.INSERT):
                        m.d.comb += self.next_phase.eq(number["input"])
                    with m.Case(Command.ARRIVE, Command.REBALANCE):
                        m.d.comb += self.next_phase.eq(number["quota"])
                    with m.Case(Command.EPOCH):
                        m.d.comb += self.next_phase.eq(number["epoch"])
                    with m.Case(Command.RETRAIN):
                        m.d.comb += self.next_phase.eq(number["balance"])
                        m.d.sync += self.epoch.eq(0)
                    with m.Case(Command.RESTORE):
                        m.d.comb += self.next_phase.eq(number["restore"])
        with m.Elif(self.done):
            with m.Switch(self.phase):
                for name in ("output", "stage", "insert", "admit", "epoch", "restore"):
                    with m.Case(number[name]):
                        m.d.comb += self.next_phase.eq(idle)
                with m.Case(number["latent"]):
                    with m.Switch(kind):
                        with m.Case(Command.STAGE):
                            m.d.comb += self.next_phase.eq(number["stage"])
                        with m.Case(Command.INSERT):
                            m.d.comb += self.next_phase.eq(number["insert"])
                        with m.Default():
                            m.d.comb += self.next_phase.eq(number["hidden"])
                with m.Case(number["evict"]):
                    m.d.comb += self.next_phase.eq(idle)
                    if staging:
                        with m.If(kind == Command.REBALANCE):
                            m.d.comb += self.next_phase.eq(number["admit"])
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

    def next_epoch(self, m, number):
        """Begin the next epoch with its seed, or end the session."""
        with m.If(self.epoch == self.plan.rule.epochs - 1):
            m.d.comb += self.next_phase.eq(number["idle"])
        with m.Else():
            m.d.comb += self.next_phase.eq(number["seed"])
            m.d.sync += self.epoch.eq(self.epoch + 1)
