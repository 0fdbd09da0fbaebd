"""The chip: units, memories, and the wires between them."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw import axi
from xnoreplay.hw.array import Array
from xnoreplay.hw.convolution import ConvolutionFront
from xnoreplay.hw.counters import Counters
from xnoreplay.hw.dense import DenseUnit
from xnoreplay.hw.host import Host, identifier
from xnoreplay.hw.lfsr import DrawRegister
from xnoreplay.hw.lgap import Lgap
from xnoreplay.hw.memory import Ram
from xnoreplay.hw.pool import ConvolutionBack
from xnoreplay.hw.replay import ReplayUnit
from xnoreplay.hw.sequencer import Sequencer
from xnoreplay.hw.thermometer import Thermometer
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import HOST_MEMORIES, Command, counters
from xnoreplay.spec.replay import LFSR_SEEDS


class Chip(wiring.Component):
    """The whole chip behind an AXI4-Lite port and a stream of pixels.

    ``busy`` and ``phase`` are for whoever watches; they are also registers of the host's port.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        super().__init__(
            axi.lite_members()
            | {
                "s_axis_pixel_tdata": In(unsigned(8 * plan.network.image_channels)),
                "s_axis_pixel_tvalid": In(1),
                "s_axis_pixel_tready": Out(1),
                "busy": Out(1),
                "phase": Out(range(len(plan.phases))),
            }
        )

    def elaborate(self, _platform):
        m = Module()
        plan = self.plan
        number = {name: n for n, name in enumerate(plan.phases)}
        acc_bits = plan.accumulator_bits
        target = plan.target

        m.submodules.host = self.host = Host(plan.memories)
        m.submodules.sequencer = self.sequencer = Sequencer(plan)
        m.submodules.thermometer = self.thermometer = Thermometer(plan)
        m.submodules.front = self.front = ConvolutionFront(plan, number["conv0"])
        m.submodules.array = self.array = Array(
            target.lanes, target.channels, plan.slots, target.node_fold, acc_bits
        )
        m.submodules.back = self.back = ConvolutionBack(plan, number["conv0"], acc_bits)
        m.submodules.lgap = self.lgap = Lgap(plan)
        m.submodules.dense = self.dense = DenseUnit(plan, acc_bits)
        m.submodules.replay = self.replay = ReplayUnit(plan)
        m.submodules.lfsr_walk = self.random = DrawRegister(LFSR_SEEDS["walk"])
        self.rams = {
            memory.name: Ram(memory.depth, memory.width, memory.granule)
            for memory in plan.memories
            if memory.name in HOST_MEMORIES and memory.name != "thermometer.threshold"
        }
        for name, ram in self.rams.items():
            m.submodules[identifier(name)] = ram

        self.build_control(m, number)
        self.build_array(m)
        self.build_maps(m, number)
        self.build_memories(m)
        self.build_host(m)
        self.build_counters(m)
        return m

    def build_control(self, m, number):
        """Phases start units; units end phases."""
        phase = self.sequencer.phase
        convs = len(self.plan.convolutions)
        active = {name: phase == n for name, n in number.items()}
        conv = (phase >= number["conv0"]) & (phase < number["conv0"] + convs)
        self.seen = Signal(range(self.plan.network.classes + 1))
        self.refused = Signal()
        argument = self.host.argument
        m.d.comb += [
            self.thermometer.active.eq(active["input"]),
            self.front.active.eq(conv),
            self.front.phase.eq(phase),
            self.back.phase.eq(phase),
            self.lgap.active.eq(active["lgap"]),
            self.dense.active.eq(active["latent"] | active["hidden"] | active["output"]),
            self.dense.phase.eq(phase),
            self.dense.seen.eq(self.seen),
            self.replay.active.eq(phase >= number["stage"]),
            self.replay.phase.eq(phase),
            self.replay.next_phase.eq(self.sequencer.next_phase),
            self.replay.enter.eq(
                self.sequencer.enter & (self.sequencer.next_phase >= number["stage"])
            ),
            self.replay.label.eq(argument),
            self.replay.seen.eq(self.seen),
            self.replay.random.eq(self.random.next),
            self.random.step.eq(self.replay.step),
            self.sequencer.start.eq(self.host.start),
            self.sequencer.command.eq(self.host.command),
            self.sequencer.done.eq(
                self.thermometer.done | self.front.done | self.lgap.done | self.dense.done
                | self.replay.done
            ),
            self.busy.eq(self.sequencer.busy),
            self.phase.eq(phase),
        ]  # fmt: skip
        with m.If(self.host.start):
            m.d.sync += self.refused.eq(0)
            with m.If(self.host.command == Command.ARRIVE):
                m.d.sync += self.seen.eq(argument)
        with m.Elif(self.replay.refused):
            m.d.sync += self.refused.eq(1)
        with m.If(active["stage"] & self.replay.done & (argument >= self.seen)):
            m.d.sync += self.seen.eq(argument + 1)

    def build_array(self, m):
        """Who offers the stream operand, who writes the lane files, who takes the sums."""
        front, dense, array = self.front, self.dense, self.array
        m.d.comb += [
            array.valid.eq(front.valid | dense.valid),
            array.i.eq(Mux(dense.valid, Value.cast(dense.operand), Value.cast(front.operand))),
            self.back.valid.eq(array.done & front.active),
            self.back.restart.eq(~front.active | front.done),
            dense.sum_valid.eq(array.done),
            dense.sum.eq(array.acc[0]),
        ]
        for i in range(self.plan.target.lanes):
            m.d.comb += self.back.acc[i].eq(array.acc[i])
        # At most one unit writes the files in a cycle.
        for port in (front.file, self.lgap.file, dense.file, self.replay.file):
            with m.If(port.lanes.any()):
                m.d.comb += [
                    array.wlanes.eq(port.lanes),
                    array.wtaps.eq(port.taps),
                    array.wslot.eq(port.slot),
                    array.wdata.eq(port.data),
                ]

    def build_maps(self, m, number):
        """act.ping and act.pong take turns as source and destination."""
        ping, pong = self.rams["act.ping"], self.rams["act.pong"]
        phase = self.sequencer.phase
        index = Signal.like(phase)
        from_pong = Signal()
        m.d.comb += [index.eq(phase - number["conv0"]), from_pong.eq(index[0])]
        lgap, front, back = self.lgap.source, self.front.source, self.back.write
        for ram, chosen in ((ping, ~from_pong), (pong, from_pong)):
            m.d.comb += [
                ram.ren.eq((front.en | lgap.en) & chosen),
                ram.raddr.eq(Mux(lgap.en, lgap.addr, front.addr)),
                ram.wen.eq(Mux(chosen, 0, back.en)),
                ram.waddr.eq(back.addr),
                ram.wdata.eq(back.data),
            ]
        entry = self.thermometer.write
        with m.If(self.thermometer.active):
            m.d.comb += [
                ping.wen.eq(entry.en),
                ping.waddr.eq(entry.addr),
                ping.wdata.eq(entry.data),
            ]
        # The words read in an operation's last cycles come while the phase still holds.
        source = Mux(from_pong, pong.rdata, ping.rdata)
        m.d.comb += [front.data.eq(source), lgap.data.eq(source)]

    def build_memories(self, m):
        """The other memories have one reader and one writer, or two that never meet."""
        ports = {
            "weights.fe": ((self.front.weights, self.dense.fe), ()),
            "weights.lgap": ((self.lgap.kernel,), ()),
            "cls.top": ((self.dense.cls,), ()),
            "act.latent": ((self.replay.latent,), (self.dense.latent,)),
            "replay.latent": ((self.replay.read,), (self.replay.write,)),
            "replay.label": ((self.replay.label_read,), (self.replay.label_write,)),
        }
        if self.plan.replay.staging:
            r = self.replay
            ports["staging.latent"] = ((r.staging_read,), (r.staging_write,))
            ports["staging.label"] = ((r.staging_label_read,), (r.staging_label_write,))
        for name, (readers, writers) in ports.items():
            ram = self.rams[name]
            for reader in readers:
                m.d.comb += reader.data.eq(ram.rdata)
                with m.If(reader.en):
                    m.d.comb += [ram.ren.eq(1), ram.raddr.eq(reader.addr)]
            for writer in writers:
                m.d.comb += [
                    ram.wen.eq(writer.en.replicate(len(ram.wen))),
                    ram.waddr.eq(writer.addr),
                    ram.wdata.eq(writer.data),
                ]

    def build_host(self, m):
        """Registers, windows and the pixel stream."""
        host = self.host
        axi.forward(m, self, host)
        for name, ram in self.rams.items():
            self.wire_window(m, host.port(name), ram.host)
        self.wire_window(m, host.port("thermometer.threshold"), self.thermometer.host)
        m.d.comb += [
            self.thermometer.pixel.payload.eq(self.s_axis_pixel_tdata),
            self.thermometer.pixel.valid.eq(self.s_axis_pixel_tvalid),
            self.s_axis_pixel_tready.eq(self.thermometer.pixel.ready),
            host.busy.eq(self.sequencer.busy),
            host.refused.eq(self.refused),
            host.prediction.eq(self.dense.prediction),
            host.seen.eq(self.seen),
            host.quota.eq(self.replay.quota),
            host.staged.eq(self.replay.staged),
            host.phase.eq(self.sequencer.phase),
            host.lfsr_walk.eq(self.random.state),
        ]

    @staticmethod
    def wire_window(m, outer, inner):
        """Wire a host port to a memory's."""
        m.d.comb += [
            inner.ren.eq(outer.ren),
            inner.wen.eq(outer.wen),
            inner.addr.eq(outer.addr),
            inner.wdata.eq(outer.wdata),
            outer.rdata.eq(inner.rdata),
        ]

    def build_counters(self, m):
        """Every strobe and event, counted."""
        target, array, replay = self.plan.target, self.array, self.replay
        one_lane = array.x.lanes == 1
        lanes = Mux(one_lane, 1, target.lanes)
        taps = Mux(one_lane, array.x.taps, array.x.taps * target.lanes)
        whole = array.wtaps == (1 << TAPS) - 1
        one_tap = array.wlanes.any() & ~whole
        events = {
            "cycles": self.sequencer.busy,
            "input.stalls": self.thermometer.stall,
            "images": self.thermometer.done,
            "array.beats": array.x_valid,
            "array.taps": Mux(array.x_valid, taps, 0),
            "lane.file.tap_writes": one_tap,
            "replay.evictions": replay.evicted,
            "replay.insertions": replay.inserted,
            "replay.refusals": replay.refused,
            "epoch.samples": replay.hit,
            "line.row0.reads": self.front.move,
            "line.row0.writes": self.front.move,
            "line.row1.reads": self.front.move,
            "line.row1.writes": self.front.move,
            "lane.file.reads": Mux(array.x_valid, lanes, 0),
            "lane.file.writes": array.wlanes.any() & whole,
            "pool.row.reads": self.back.pool_read,
            "pool.row.writes": self.back.pool_write,
            "replay.count.reads": replay.count_read,
            "replay.count.writes": replay.count_write,
        }
        for name, ram in self.rams.items():
            events[f"{name}.reads"] = ram.ren
            events[f"{name}.writes"] = ram.wen.any()
        names = counters(self.plan.memories)
        widths = {name: len(Value.cast(events[name])) for name in names}
        m.submodules.counters = self.counters = unit = Counters(widths)
        for name in names:
            m.d.comb += [
                unit.add(name).eq(events[name]),
                self.host.counter(name).eq(unit.value(name)),
            ]
