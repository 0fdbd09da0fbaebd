"""Learning unit: loss balance, forward sums, errors, back-propagation, update; and their memories."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.inference.array import node_layout, operand_layout
from xnoreplay.hw.learning.backprop import BackUnit
from xnoreplay.hw.learning.balance import Balance
from xnoreplay.hw.learning.error import ErrorUnit
from xnoreplay.hw.learning.forward import ForwardRows
from xnoreplay.hw.learning.planes import PlaneUnit
from xnoreplay.hw.learning.update import UpdateUnit
from xnoreplay.hw.parts.arithmetic import tree_sum
from xnoreplay.hw.parts.memory import PlaneBanks, PlaneRam, Ram
from xnoreplay.hw.parts.ports import BankPort, FilePort, connect, index_shape, read_port, write_port
from xnoreplay.spec.learning import DECAYS
from xnoreplay.spec.memories import Kind, identifier
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import PIPE_LATENCY, ROUND_STAGE, TOP_STAGE, UPDATE_LATENCY

# What was issued s cycles ago is in stages[s - 1].


class LearningUnit(wiring.Component):
    """Loss balance, forward sums, errors, back-propagation and update.

    These are the phases of a session but for seed and load, which are the replay unit's, and the issuing of forward
    passes, which is the dense unit's.

    ``done`` marks the last cycle of a phase that ends here. Ports named after memories are theirs;
    ``top_*`` are those of `classifier.ClassifierRam`. `event` gives what a counter adds.
    """

    def __init__(self, plan: Plan, acc_bits: int):
        self.plan = plan
        target, top = plan.target, plan.memory("cls.top")
        self.hidden_learns = target.hidden_learns
        bank, lanes = plan.memory("batch.bank"), target.lanes
        rows = plan.classifier_rows
        granules = top.width // top.granule
        self.balance = Balance(plan)
        self.forward = ForwardRows(plan, acc_bits)
        self.error = ErrorUnit(plan)
        self.planes = PlaneUnit(plan)
        self.update = UpdateUnit(plan, self.planes.sum_bits)
        self.backprop = BackUnit(plan, self.planes.sum_bits) if self.hidden_learns else None
        self.build_parts()
        self.event_bits = self.counted()
        ports = {}
        if plan.generative:
            ports["count_valid"] = In(1)
        if self.balance.scans:
            ports["staging_label"] = Out(read_port(plan.memory("staging.label")))
        ports |= self.update.low_ports
        super().__init__(
            {
                "at": In(len(plan.phases)),
                "done": Out(1),
                "seen": In(range(plan.network.classes + 1)),
                "staged": In(index_shape(plan.replay.staging + 1)),
                "samples": In(range(target.batch + 1)),
                "decay": In(range(DECAYS + 1)),
                "count_addr": Out(range(plan.network.classes)),
                "count": In(plan.frequency_bits),
                "count_read": Out(1),
                "load_bank": In(BankPort(target.batch, bank.depth, bank.width)),
                "load_label": In(write_port(plan.memory("batch.label"))),
                "sum_valid": In(1),
                "acc": In(data.ArrayLayout(acc_bits, lanes)),
                "nodes": In(
                    data.ArrayLayout(node_layout(target.channels, target.node_fold), lanes)
                ),
                "conjoin": Out(1),
                "valid": Out(1),
                "operand": Out(operand_layout(target.window, plan.slots, lanes)),
                "forward_file": Out(FilePort(lanes, plan.slots, target.channels)),
                "forward_words": Out(data.ArrayLayout(target.channels, lanes)),
                "plane_file": Out(FilePort(lanes, plan.slots, target.window)),
                "top_read": Out(COPIES),
                "top_raddr": Out(index_shape(rows)),
                "top_rdata": In(data.ArrayLayout(top.width, COPIES)),
                "top_write": Out(data.ArrayLayout(granules, COPIES)),
                "top_waddr": Out(index_shape(rows)),
                "top_wdata": Out(data.ArrayLayout(top.width, COPIES)),
                "error_random": In(32),
                "error_step": Out(1),
                "error_state": In(32),
                "error_load": Out(1),
                "error_value": Out(32),
                "update_random": In(32),
                "update_step": Out(1),
            }
            | ports
            | {f"add_{identifier(name)}": Out(bits) for name, bits in self.event_bits.items()}
        )

    def event(self, name: str) -> Value:
        """What this unit adds in a cycle to a counter of `event_bits`."""
        return getattr(self, f"add_{identifier(name)}")

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        return {name: self.event(name) for name in self.event_bits}

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        numbers = {name: n for n, name in enumerate(self.plan.phases)}
        self.is_phase = {name: self.at[n] for name, n in numbers.items()}
        if not self.hidden_learns:
            self.is_phase |= {"back": 0, "hidden.update": 0}
        m.submodules.balance = self.balance
        m.submodules.forward_rows = self.forward
        m.submodules.error_unit = self.error
        m.submodules.plane_unit = self.planes
        m.submodules.update_unit = self.update
        for name, ram in (self.rams | self.plane_rams).items():
            m.submodules[identifier(name)] = ram
        self.build_banks(m)
        self.build_balance(m)
        self.build_forward(m)
        self.build_error(m)
        self.build_planes(m)
        self.build_update(m)
        if self.hidden_learns:
            m.submodules.back_unit = self.backprop
            self.build_back(m)
        m.d.comb += self.done.eq(self.balance.done | self.error.done | self.planes.done)
        self.build_events(m)
        return m

    def build_parts(self):
        """Make the minibatch's memories and the table of class weights."""
        plan, batch, bits = self.plan, self.plan.target.batch, self.plan.rule.delta_bits
        present = {memory.name: memory for memory in plan.memories}
        self.rams = {
            name: Ram(memory.depth, memory.width, memory.granule)
            for name, memory in present.items()
            if memory.declaration.unit == "learning" and memory.declaration.kind is Kind.RAM
        }
        units = self.plan.target.error_units
        late = {name: memory.declaration.late for name, memory in present.items()}
        self.plane_rams = {
            "batch.delta": PlaneRam(plan.network.classes, batch, bits, units, late["batch.delta"])
        }
        if self.hidden_learns:
            rows = present["batch.class_delta"].depth // (bits * units)
            self.plane_rams["batch.class_delta"] = PlaneBanks(
                rows, batch, bits, units, late["batch.class_delta"]
            )
            self.plane_rams["batch.hidden_delta"] = PlaneRam(
                plan.network.hidden, batch, bits, late=late["batch.hidden_delta"]
            )
        bank = present["batch.bank"]
        self.banks = [
            Ram(bank.depth, bank.width, late=late["batch.bank"]) for _ in range(bank.count)
        ]

    def wire(self, m, name, read=None, write=None):
        """Wire a memory to its one reader and its one writer, by the memory's name."""
        ram = self.rams[name]
        if read is not None:
            m.d.comb += [ram.ren.eq(read.en), ram.raddr.eq(read.addr), read.data.eq(ram.rdata)]
        if write is not None:
            m.d.comb += [ram.wen.eq(write.en), ram.waddr.eq(write.addr), ram.wdata.eq(write.data)]

    def build_banks(self, m):
        """Wire batch.bank: loads, hidden bits and output rows come in, columns go out."""
        group = self.forward.group
        for n, ram in enumerate(self.banks):
            m.submodules[f"bank{n}"] = ram
            m.d.comb += [
                ram.ren.eq(self.planes.bank_en[n]),
                ram.raddr.eq(self.planes.bank_addr),
                self.planes.bank_data[n].eq(ram.rdata),
            ]
            ports = [self.load_bank]
            ports += [self.planes.fill_write] if self.hidden_learns else []
            for port in ports:
                with m.If(port.en[n]):
                    m.d.comb += [ram.wen.eq(1), ram.waddr.eq(port.addr), ram.wdata.eq(port.data)]
            with m.If(self.forward.bank_en[n]):
                m.d.comb += [
                    ram.wen.eq(1),
                    ram.waddr.eq(self.forward.bank_addr),
                    ram.wdata.eq(self.forward.words[n % group]),
                ]

    def build_balance(self, m):
        """Wire the balance unit, which makes class weights from replay.count and the staged labels."""
        unit = self.balance
        m.d.comb += [
            unit.active.eq(self.is_phase["balance"]),
            unit.seen.eq(self.seen),
            unit.staged.eq(self.staged),
            unit.count.eq(self.count),
            self.count_addr.eq(unit.count_addr),
            self.count_read.eq(unit.count_read),
        ]
        if self.plan.generative:
            m.d.comb += unit.count_valid.eq(self.count_valid)
        if self.balance.scans:
            connect(m, unit.staging_label, self.staging_label)
        self.wire(m, "table.weight", self.error.weight, unit.weight)

    def build_forward(self, m):
        """Wire the forward unit, which makes hidden bits, logits and masks of the array's sums."""
        unit = self.forward
        m.d.comb += [
            unit.of_hidden.eq(self.is_phase["hidden.forward"]),
            unit.of_output.eq(self.is_phase["output.forward"]),
            unit.seen.eq(self.seen),
            unit.samples.eq(self.samples),
            unit.valid.eq(self.sum_valid),
            unit.acc.eq(self.acc),
            unit.sample.eq(self.error.sample),
            self.forward_file.lanes.eq(unit.file.lanes),
            self.forward_file.slot.eq(unit.file.slot),
            self.forward_file.taps.eq(unit.file.taps),
            self.forward_words.eq(unit.words),
        ]
        self.wire(m, "batch.logit", self.error.logit, unit.logit)
        if self.hidden_learns:
            self.wire(m, "batch.mask", write=unit.mask)

    def build_error(self, m):
        """Wire the error unit, which makes deltas of logits and labels, in one memory of bit-planes or in two."""
        unit, batch = self.error, self.plan.target.batch
        place_bits = (batch - 1).bit_length()
        m.d.comb += [
            unit.active.eq(self.is_phase["error"]),
            unit.seen.eq(self.seen),
            unit.samples.eq(self.samples),
            unit.decay.eq(self.decay),
            unit.largest.eq(self.forward.largest),
            unit.state.eq(self.error_state),
            unit.planes_row.eq(self.planes.row),
            unit.planes_bank.eq(self.planes.bank),
            unit.planes_block.eq(self.planes.block),
            self.error_load.eq(unit.load),
            self.error_value.eq(unit.random),
        ]
        self.wire(m, "batch.label", unit.label, self.load_label)
        ram = self.plane_rams["batch.delta"]
        m.d.comb += [
            ram.wen.eq(Mux(unit.valid, unit.present << unit.sample, 0)),
            ram.waddr.eq(unit.row),
            ram.wvalue.eq(unit.delta),
        ]
        if self.hidden_learns:
            ram = self.plane_rams["batch.class_delta"]
            m.d.comb += [
                ram.wbanks.eq(Mux(unit.valid, unit.present, 0)),
                ram.wen.eq(1 << unit.row[:place_bits] if place_bits else 1),
                ram.waddr.eq(unit.block),
                ram.wvalue.eq(unit.delta),
            ]

    def build_planes(self, m):
        """Wire the plane unit, which gives bit-planes of deltas to the lanes, and columns of the minibatch to the array."""
        unit = self.planes
        back, hidden = self.is_phase["back"], self.is_phase["hidden.update"]
        m.d.comb += [
            unit.back.eq(back),
            unit.of_output.eq(self.is_phase["output.update"]),
            unit.of_hidden.eq(hidden),
            self.conjoin.eq(unit.back | unit.of_output | unit.of_hidden),
            unit.seen.eq(self.seen),
            unit.samples.eq(self.samples),
            unit.filled.eq(self.error.row_planes),
            unit.nodes.eq(self.nodes),
            self.valid.eq(unit.valid),
            self.operand.eq(unit.operand),
        ]
        connect(m, unit.file, self.plane_file)
        sources = [("batch.delta", unit.of_output, unit.row)]
        if self.hidden_learns:
            sources.append(("batch.class_delta", unit.back, unit.block))
            m.d.comb += self.plane_rams["batch.class_delta"].rbank.eq(unit.bank)
            sources.append(("batch.hidden_delta", unit.of_hidden, unit.row))
        for name, chosen, row in sources:
            ram = self.plane_rams[name]
            m.d.comb += [
                ram.ren.eq(unit.plane_en & chosen),
                ram.raddr.eq(row),
                ram.rplane.eq(unit.plane),
            ]
            with m.If(chosen):
                m.d.comb += unit.plane_data.eq(ram.rdata)

    def build_update(self, m):
        """Wire the update unit, which changes cls.top and the memories of low proxy bits by the gradients."""
        unit, stages = self.update, self.planes.stages
        m.d.comb += [
            unit.of_output.eq(self.planes.of_output),
            unit.of_hidden.eq(self.planes.of_hidden),
            unit.look.eq(stages[TOP_STAGE - 1]),
            unit.read.eq(stages[PIPE_LATENCY - 1]),
            unit.step.eq(stages[ROUND_STAGE - 1]),
            unit.write.eq(stages[UPDATE_LATENCY - 1]),
            unit.gradient.eq(self.planes.gradient),
            unit.random.eq(self.update_random),
            self.update_step.eq(unit.draw),
            self.top_read.eq(unit.top_read),
            self.top_raddr.eq(unit.top_raddr),
            unit.top_rdata.eq(self.top_rdata),
            self.top_write.eq(unit.top_write),
            self.top_waddr.eq(unit.top_waddr),
            self.top_wdata.eq(unit.top_wdata),
        ]
        for short in unit.low_bits:
            read, write = getattr(unit, f"{short}_read"), getattr(unit, f"{short}_write")
            own_read, own_write = getattr(self, f"{short}_read"), getattr(self, f"{short}_write")
            m.d.comb += [
                own_read.en.eq(read.en),
                own_read.addr.eq(read.addr),
                own_write.en.eq(write.en),
                own_write.addr.eq(write.addr),
                read.data.eq(own_read.data),
                own_write.data.eq(write.data),
            ]

    def build_back(self, m):
        """Wire the back unit, which makes deltas of hidden units, and the fill, which puts output rows into the banks."""
        unit, stages = self.backprop, self.planes.stages
        ram = self.plane_rams["batch.hidden_delta"]
        m.d.comb += [
            unit.active.eq(self.planes.back),
            unit.add.eq(stages[PIPE_LATENCY - 1]),
            unit.round.eq(stages[ROUND_STAGE - 1]),
            unit.write.eq(stages[UPDATE_LATENCY - 1]),
            unit.gradient.eq(self.planes.gradient),
            unit.decay.eq(self.decay),
            unit.random.eq(self.error_random),
            unit.planes_row.eq(self.planes.row),
            ram.wen.eq(Mux(unit.valid, 1 << unit.sample, 0)),
            ram.waddr.eq(unit.row),
            ram.wvalue[0].eq(unit.delta),
        ]
        self.wire(m, "batch.mask", read=unit.mask)
        with m.If(self.planes.back):
            m.d.comb += [
                self.error_step.eq(unit.draw),
                self.planes.filled.eq(self.error.block_planes),
            ]
        with m.If(self.planes.of_hidden):
            m.d.comb += self.planes.filled.eq(unit.hidden_planes)
        # The fill reads output rows a word at a time.
        copy = Signal()
        m.d.sync += copy.eq(self.planes.fill_copy)
        width = self.plan.target.channels
        row = Mux(copy, self.top_rdata[1], self.top_rdata[0])
        for tap in range(TAPS):
            m.d.comb += self.planes.fill_words[tap].eq(row[tap * width : (tap + 1) * width])
        with m.If(self.planes.fill):
            m.d.comb += [
                self.top_read.eq(1 << self.planes.fill_copy),
                self.top_raddr.eq(self.planes.fill_addr),
            ]

    def counted(self) -> dict[str, int]:
        """Counters that this unit moves, and the bits of what one cycle may add."""
        batch, bits = self.plan.target.batch, self.plan.rule.delta_bits
        events = {
            f"learn.{name}": 1 for name in ("rows", "rows_skipped", "blocks", "blocks_skipped")
        }
        for phase in ("back", "output", "hidden"):
            events |= {f"learn.{phase}.planes": 1, f"learn.{phase}.beats": 1}
        most = {"batch.bank": batch, "table.inverse": 1}
        for name in most | self.rams | self.plane_rams:
            events[f"{name}.reads"] = most.get(name, 1).bit_length()
            most_writes = bits if name in self.plane_rams else most.get(name, 1)
            if isinstance(self.plane_rams.get(name), PlaneBanks):
                most_writes *= self.plan.target.error_units
            events[f"{name}.writes"] = most_writes.bit_length()
        return events

    def bank_writes(self) -> Value:
        """How many banks are written in a cycle: by a load or the fill one, by a pass those of its samples that exist."""
        one = [self.load_bank.en.any()]
        one += [self.planes.fill_write.en.any()] if self.hidden_learns else []
        return tree_sum([*one, *self.forward.file.lanes])

    def build_events(self, m):
        """Wire what each counter of `event_bits` adds in a cycle."""
        planes, balance = self.planes, self.balance
        phases = {"back": planes.back, "output": planes.of_output, "hidden": planes.of_hidden}
        empty = planes.filled == 0
        adds = {
            "learn.rows": planes.checked & ~planes.back & ~empty,
            "learn.rows_skipped": planes.checked & ~planes.back & empty,
            "learn.blocks": planes.checked & planes.back & ~empty,
            "learn.blocks_skipped": planes.checked & planes.back & empty,
            "batch.bank.reads": tree_sum(list(planes.bank_en)),
            "batch.bank.writes": self.bank_writes(),
            "table.inverse.reads": balance.inverse_read,
            "table.inverse.writes": balance.inverse_write,
        }
        for name, phase in phases.items():
            adds[f"learn.{name}.planes"] = planes.plane_en & phase
            adds[f"learn.{name}.beats"] = planes.bank_en[0] & phase
        for name, ram in self.rams.items():
            adds |= {f"{name}.reads": ram.ren, f"{name}.writes": ram.wen.any()}
        for name, ram in self.plane_rams.items():
            rows = tree_sum(list(ram.wbanks)) if isinstance(ram, PlaneBanks) else ram.wen.any()
            writes = rows * self.plan.rule.delta_bits
            adds |= {f"{name}.reads": ram.ren, f"{name}.writes": writes}
        m.d.comb += [self.event(name).eq(add) for name, add in adds.items()]
