"""Dense layers: vectors sit in the lanes while rows of weights stream past.

The vector of one image sits in lane 0; those of a minibatch's samples fill the lanes, pass by pass.
"""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.inference.array import operand_layout
from xnoreplay.hw.parts.ports import ClassifierPort, FilePort, index_shape, read_port, write_port
from xnoreplay.hw.parts.program import fields
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import PIPE_LATENCY


class DenseUnit(wiring.Component):
    """The latent, hidden and output operations, and the issuing side of a minibatch's passes.

    A chip that is given latents has no latent operation, and not its ports ``fe`` and ``latent``.

    Reads one weight word a cycle and offers it to the array two cycles later. Bits of finished rows
    are collected into words for lane 0's file and, by the latent operation, for act.latent; sums of
    finished classes are compared. `hw.learning.forward.ForwardRows` takes the sums of a
    minibatch.
    ``done`` marks an operation's last cycle.
    """

    PHASES = ("latent", "hidden", "output", "hidden.forward", "output.forward")
    """Operations of this unit."""

    def __init__(self, plan: Plan, acc_bits: int):
        self.plan, self.acc_bits = plan, acc_bits
        target = plan.target
        classes = plan.network.classes
        latent = plan.latent is not None
        super().__init__(
            {
                "active": In(1),
                "at": In(len(plan.phases)),
                "done": Out(1),
                "seen": In(range(classes + 1)),
                "samples": In(range(target.batch + 1)),
                "candidate_wins": Out(1),
                "candidate": Out(range(classes)),
            }
            | ({"fe": Out(read_port(plan.memory("weights.fe")))} if latent else {})
            | {
                "cls": Out(ClassifierPort(plan.classifier_rows, target.window)),
                "valid": Out(1),
                "operand": Out(operand_layout(target.window, plan.slots, target.lanes)),
                "sum_valid": In(1),
                "sum": In(acc_bits),
                "file": Out(FilePort(target.lanes, plan.slots, target.channels)),
            }
            | ({"latent": Out(write_port(plan.memory("act.latent")))} if latent else {})
        )

    def program(self) -> dict[int, dict[str, int]]:
        """Fields of each operation by the number of its phase, as `hw.parts.program.fields` takes them."""
        plan = self.plan
        numbers = {name: n for n, name in enumerate(plan.phases)}
        table = {}
        for op in (plan.latent, plan.hidden) if plan.latent else (plan.hidden,):
            table[numbers[op.name]] = {
                "base": op.weight_base,
                "rows": op.rows,
                "beats": op.beats - 1,
                "copies": 0,
                "last_taps": op.last_taps,
                "source": op.source_slot,
                "threshold": op.threshold,
                "slot": op.destination_word // TAPS,
                "tap": op.destination_word % TAPS,
                "classify": 0,
                "to_latent": op.to_latent,
                "minibatch": 0,
            }
        out = plan.output
        table[numbers[out.name]] = {
            "base": out.weight_base,
            "rows": 0,
            "beats": out.beats - 1,
            "copies": COPIES - 1,
            "last_taps": out.last_taps,
            "source": out.source_slot,
            "threshold": 0,
            "slot": 0,
            "tap": 0,
            "classify": 1,
            "to_latent": 0,
            "minibatch": 0,
        }
        for name in ("hidden", "output"):
            table[numbers[f"{name}.forward"]] = table[numbers[name]] | {"source": 0, "minibatch": 1}
        return table

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        self.build_issue(m, fields(m, self.at, self.program()))
        # No sum comes in an operation's first cycle.
        self.build_rows(m, fields(m, self.at, self.program(), held=True))
        return m

    def build_issue(self, m, op):
        """Read the weight words, rows times copies times beats of them a pass, then let the pipeline drain."""
        plan, target = self.plan, self.plan.target
        depths = [m.depth for m in plan.memories if m.name in ("weights.fe", "cls.top")]
        offset = Signal(range(sum(depths)))
        group = min(target.lanes, target.batch)
        first = Signal(range(target.batch + group))  # sample of the pass
        slot = Signal(range(plan.slots))
        row = Signal(range(max(plan.network.latent, plan.network.hidden, plan.network.classes) + 1))
        rows = Signal.like(row)
        beat = Signal.like(op["beats"])
        copy = Signal(range(COPIES))
        drain = Signal(range(PIPE_LATENCY))
        issue = Signal()
        last_beat = Signal()
        last_copy = Signal()
        last_row = Signal()
        # Known before: a minibatch that is passed forward has a sample, and the classes seen do not change here.
        more = Signal(init=1)
        has_classes = Signal(reset_less=True)
        m.d.sync += has_classes.eq(self.seen != 0)
        m.d.comb += [
            rows.eq(Mux(op["classify"], self.seen, op["rows"])),
            issue.eq(self.active & more & (has_classes | ~op["classify"])),
            last_beat.eq(beat == op["beats"]),
            last_copy.eq(copy == op["copies"]),
            last_row.eq(row + 1 >= rows),
            self.done.eq(
                self.active & (drain == PIPE_LATENCY - 1)
            ),  # which counts once nothing is issued
        ]
        if plan.latent:
            m.d.comb += self.fe.en.eq(issue & op["to_latent"])
        m.d.comb += self.cls.en.eq(Mux(issue & ~op["to_latent"], 1 << copy, 0))
        if plan.latent:
            m.d.comb += self.fe.addr.eq(op["base"] + offset)
        m.d.comb += self.cls.addr.eq(op["base"] + offset)
        with m.If(issue):
            m.d.sync += [offset.eq(offset + 1), beat.eq(beat + 1)]
            with m.If(last_beat):
                m.d.sync += [beat.eq(0), copy.eq(copy + 1)]
                with m.If(last_copy):
                    m.d.sync += [copy.eq(0), row.eq(row + 1)]
                    with m.If(last_row):
                        m.d.sync += [
                            row.eq(0),
                            offset.eq(0),
                            first.eq(first + group),
                            more.eq(op["minibatch"] & (first + group < self.samples)),
                            slot.eq(slot + plan.batch_slots),
                        ]
                with m.Else():
                    # The second copy has the rows of the first, in its own bank.
                    m.d.sync += offset.eq(offset - op["beats"])
        with m.Elif(self.active):
            m.d.sync += drain.eq(drain + 1)
        with m.If(self.done):
            m.d.sync += [offset.eq(0), row.eq(0), drain.eq(0), first.eq(0), slot.eq(0), more.eq(1)]

        # d_: the word has come.
        d_valid, d_first, d_last = (Signal(name=f"d_{s}") for s in ("valid", "first", "last"))
        d_fe = Signal()
        d_copy = Signal()
        d_lanes = Signal(target.lanes)
        works = Cat(first + i < self.samples for i in range(group))
        d_slot = Signal(range(plan.slots))
        d_taps = Signal(range(TAPS + 1))
        m.d.sync += [
            d_valid.eq(issue),
            d_fe.eq(op["to_latent"]),
            d_copy.eq(copy),
            d_lanes.eq(Mux(op["minibatch"], works, 1)),
            d_first.eq((beat == 0) & (copy == 0)),
            d_last.eq(last_beat & last_copy),
            d_slot.eq(op["source"] + slot + beat),
            d_taps.eq(Mux(last_beat, op["last_taps"], TAPS)),
        ]
        top = self.cls.data.word_select(d_copy, target.window)
        m.d.comb += [
            self.valid.eq(d_valid),
            self.operand.x.eq(Mux(d_fe, self.fe.data, top) if plan.latent else top),
            self.operand.slot.eq(d_slot),
            self.operand.taps.eq(d_taps),
            self.operand.lanes.eq(d_lanes),
            self.operand.first.eq(d_first),
            self.operand.last.eq(d_last),
        ]

    def build_rows(self, m, op):
        """Collect the signs of finished rows into words, or compare the sums of classes."""
        word_bits = self.plan.target.channels
        finished = Signal(range(max(self.plan.network.latent, self.plan.network.hidden) + 1))
        place = Signal(index_shape(word_bits))
        bits = Signal(word_bits)
        word = Signal(word_bits)
        slot = Signal(range(self.plan.slots))
        tap = Signal(range(TAPS))
        index = Signal.like(self.latent.addr, name="index") if self.plan.latent else None
        started = Signal()
        sign = Signal()
        full = Signal()
        collect = Signal()
        m.d.comb += [
            collect.eq(self.active & self.sum_valid & ~op["classify"] & ~op["minibatch"]),
            sign.eq(self.sum >= op["threshold"]),
            word.eq(bits | (sign << place)),
            full.eq((place == word_bits - 1) | (finished == op["rows"] - 1)),
            slot.eq(op["slot"]),
            tap.eq(op["tap"]),
        ]
        here_slot = Signal.like(slot)
        here_tap = Signal.like(tap)
        with m.If(started):
            m.d.comb += [slot.eq(here_slot), tap.eq(here_tap)]
        with m.If(collect):
            m.d.sync += [bits.eq(word), place.eq(place + 1), finished.eq(finished + 1)]
            with m.If(full):
                m.d.sync += [bits.eq(0), place.eq(0)]
                if index is not None:
                    m.d.sync += index.eq(index + 1)
                m.d.sync += started.eq(1)
                m.d.sync += [here_slot.eq(slot), here_tap.eq(tap + 1)]
                with m.If(tap == TAPS - 1):
                    m.d.sync += [here_slot.eq(slot + 1), here_tap.eq(0)]
        with m.If(self.done):
            m.d.sync += finished.eq(0)
            if index is not None:
                m.d.sync += index.eq(0)
            m.d.sync += started.eq(0)
        m.d.comb += [
            self.file.lanes.eq(collect & full),
            self.file.slot.eq(slot),
            self.file.taps.eq(1 << tap),
            self.file.data.eq(word),
        ]
        if index is not None:
            m.d.comb += [
                self.latent.en.eq(collect & full & op["to_latent"]),
                self.latent.addr.eq(index),
                self.latent.data.eq(word),
            ]

        best = Signal.like(self.sum)
        with m.If(self.active & self.sum_valid & op["classify"] & ~op["minibatch"]):
            m.d.sync += self.candidate.eq(self.candidate + 1)
            with m.If((self.candidate == 0) | (self.sum > best)):
                m.d.comb += self.candidate_wins.eq(1)
                m.d.sync += best.eq(self.sum)
        with m.If(self.done):
            m.d.sync += self.candidate.eq(0)
