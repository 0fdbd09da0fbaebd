"""The sequencer: which operation runs, and which follows."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import Command


class Sequencer(wiring.Component):
    """Walks the plan.

    A command taken by ``start`` begins its first operation in the next cycle; an operation ends in
    a cycle of ``done`` and the next begins right after. ``next_phase`` is the phase of the next
    cycle, and ``enter`` marks a cycle before an operation's first.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        phases = range(len(plan.phases))
        super().__init__(
            {
                "start": In(1),
                "command": In(8),
                "done": In(1),
                "phase": Out(phases),
                "next_phase": Out(phases),
                "enter": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, _platform):
        m = Module()
        number = {name: n for n, name in enumerate(self.plan.phases)}
        kind = Signal(8)
        idle = number["idle"]
        staging = bool(self.plan.replay.staging)

        m.d.comb += [
            self.busy.eq(self.phase != idle),
            self.next_phase.eq(self.phase),
            self.enter.eq((self.busy & self.done) | (~self.busy & self.start)),
        ]
        m.d.sync += self.phase.eq(self.next_phase)
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
        with m.Elif(self.done):
            with m.Switch(self.phase):
                for name in ("output", "stage", "insert", "admit", "epoch"):
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
                with m.Default():
                    m.d.comb += self.next_phase.eq(self.phase + 1)
        return m
