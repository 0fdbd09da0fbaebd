"""The chip: units, memories, and the wires between them."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, ResetInserter, ResetSignal, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.generative import GenerativeUnit
from xnoreplay.hw.host import axi
from xnoreplay.hw.host.counters import Counters
from xnoreplay.hw.host.host import Host
from xnoreplay.hw.inference import array
from xnoreplay.hw.inference.conv_back import ConvolutionBack
from xnoreplay.hw.inference.conv_front import ConvolutionFront
from xnoreplay.hw.inference.dense import DenseUnit
from xnoreplay.hw.inference.latent_input import LatentInput
from xnoreplay.hw.inference.lgap import Lgap
from xnoreplay.hw.inference.thermometer import Thermometer
from xnoreplay.hw.learning.classifier import ClassifierRam
from xnoreplay.hw.learning.draw import DrawUnit
from xnoreplay.hw.learning.open_class import OpenClass
from xnoreplay.hw.learning.unit import LearningUnit
from xnoreplay.hw.learning.update import LOW_BITS
from xnoreplay.hw.parts.arithmetic import tree_sum
from xnoreplay.hw.parts.clear import Clearing
from xnoreplay.hw.parts.lfsr import DrawRegister
from xnoreplay.hw.parts.memory import Ram
from xnoreplay.hw.parts.ports import connect
from xnoreplay.hw.replay import ReplayUnit
from xnoreplay.hw.sequencer import Sequencer
from xnoreplay.hw.watchdog import Watchdog
from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.memories import Kind, identifier
from xnoreplay.spec.plan import PLANE_PHASES, Plan
from xnoreplay.spec.replay import LFSR_SEEDS


def any_of(values: Iterable[Value]) -> Value:
    """The OR of values."""
    return reduce(or_, values)


SECOND_READS = {"weights.fe": "latent", "staging.label": "balance"}
"""Phase in which a memory's second reader reads it, and the first one does not."""


class Chip(wiring.Component):
    """The whole chip behind an AXI4-Lite port and a stream of pixels, or of latents where there are no convolutions.

    A chip that is given latents is the classifier, the replay memory and the learning unit: it has no unit and no
    memory of a feature extractor.

    ``busy`` and ``phase`` serve test benches and waveforms; they are also registers of the host's port.
    After a reset the chip is busy, in no phase, until it has emptied its replay memory.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        super().__init__(
            axi.lite_members()
            | {
                f"{plan.input.stream}_tdata": In(unsigned(8 * plan.input.byte_lanes)),
                f"{plan.input.stream}_tvalid": In(1),
                f"{plan.input.stream}_tready": Out(1),
                "busy": Out(1),
                "phase": Out(range(len(plan.phases))),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        plan = self.plan
        number = {name: n for n, name in enumerate(plan.phases)}
        acc_bits = plan.accumulator_bits

        m.submodules.host = self.host = Host(plan.memories, plan.target)
        m.submodules.sequencer = self.sequencer = Sequencer(plan)
        self.images = plan.network.takes_images
        if self.images:
            self.thermometer = Thermometer(plan)
            self.conv_front = ConvolutionFront(plan, number["conv0"])
            self.conv_back = ConvolutionBack(plan, number["conv0"], acc_bits)
            self.lgap = Lgap(plan)
        else:
            self.latent_input = LatentInput(plan)
        self.array = array.of_plan(plan)
        self.dense = DenseUnit(plan, acc_bits)
        self.replay = GenerativeUnit(plan) if plan.generative else ReplayUnit(plan)
        self.learning = LearningUnit(plan, acc_bits)
        # Units forget what they were about when a command is aborted; what must outlive it,
        # memories, architectural registers and counters, is not theirs or has no reset.
        own = (
            {
                "thermometer": self.thermometer,
                "front": self.conv_front,
                "array": self.array,
                "back": self.conv_back,
                "lgap": self.lgap,
            }
            if self.images
            else {"latent_input": self.latent_input, "array": self.array}
        )
        units = own | {"dense": self.dense, "replay": self.replay, "learning": self.learning}
        self.abort: Value = self.host.abort
        if plan.target.watchdog_bits:
            m.submodules.watchdog = self.watchdog = Watchdog(plan.target.watchdog_bits)
            m.d.comb += self.watchdog.busy.eq(self.sequencer.busy)
            self.abort = Signal(name="abort")
            m.d.comb += self.abort.eq(self.host.abort | self.watchdog.expired)
        for name, unit in units.items():
            m.submodules[name] = ResetInserter(self.abort)(unit)
        m.submodules.clearing = self.clearing = Clearing(plan.forgotten.depth)
        if plan.generative:  # registers that outlive commands
            m.submodules.draw = self.draw = DrawUnit(plan.target.channels)
            m.submodules.open_class = self.open = OpenClass(plan.memory("fit.open").width)
        self.lfsrs = {name: DrawRegister(seed) for name, seed in LFSR_SEEDS.items()}
        for name, register in self.lfsrs.items():
            m.submodules[f"random_{name}"] = register
        self.rams = {
            memory.name: Ram(memory.depth, memory.width, memory.granule, code=memory.coded)
            for memory in plan.memories
            if not memory.declaration.unit and memory.declaration.kind is Kind.RAM
        }
        m.submodules.cls_top = self.cls = ClassifierRam(plan)
        for name, ram in self.rams.items():
            m.submodules[identifier(name)] = ram

        self.build_control(m, number)
        self.build_array(m, number)
        if self.images:
            self.build_maps(m, number)
        self.build_memories(m)
        self.build_learning(m)
        self.build_host(m)
        self.build_counters(m)
        return m

    def build_control(self, m, number):
        """Wire phases, which start units, and units, which end phases; build the registers that outlive commands."""
        phase = self.sequencer.phase
        at = self.sequencer.at
        active = {name: at[n] for name, n in number.items()}
        self.seen = Signal(range(self.plan.network.classes + 1))
        self.refused = Signal()
        self.finished = Signal()
        self.prediction = Signal.like(self.dense.candidate)
        # Generative replay has no quotas.
        self.quota = None if self.plan.generative else Signal.like(self.replay.quota)
        self.staged = Signal.like(self.replay.staged)
        argument = self.host.argument

        def in_replay(phase):
            names = sorted(self.replay.PHASES)
            return phase.matches(*(number[name] for name in names if name in number))

        if self.images:
            first, convs = number["conv0"], len(self.plan.convolutions)
            m.d.comb += [
                self.thermometer.active.eq(active["input"]),
                self.conv_front.active.eq(at[first : first + convs].any()),
                self.conv_front.at.eq(at),
                self.conv_back.at.eq(at),
                self.lgap.active.eq(active["lgap"]),
            ]
            features = [self.thermometer, self.conv_front, self.lgap]
        else:
            m.d.comb += self.latent_input.active.eq(active["input"])
            features = [self.latent_input]
        m.d.comb += [
            self.dense.active.eq(any_of(active[n] for n in DenseUnit.PHASES if n in active)),
            self.dense.samples.eq(self.replay.samples),
            self.dense.at.eq(at),
            self.dense.seen.eq(self.seen),
            self.replay.active.eq(any_of(active[n] for n in self.replay.PHASES if n in active)),
            self.replay.at.eq(at),
            self.replay.label.eq(argument),
            self.replay.seen.eq(self.seen),
            *([] if self.quota is None else [self.replay.quota.eq(self.quota)]),
            self.replay.staged.eq(self.staged),
            self.replay.random.eq(self.lfsrs["walk"].next),
            self.lfsrs["walk"].step.eq(self.replay.step),
            self.sequencer.abort.eq(self.abort),
            self.sequencer.loaded.eq(self.replay.loaded),
            self.sequencer.walked.eq(self.replay.walked),
            self.sequencer.start.eq(self.host.start),
            self.sequencer.command.eq(self.host.command),
            self.sequencer.done.eq(
                any_of(u.done for u in (*features, self.dense, self.replay, self.learning))
            ),
            self.busy.eq(self.sequencer.busy | self.clearing.active),
            self.phase.eq(phase),
            self.replay.clearing.eq(self.clearing.active),
            self.replay.cleared.eq(self.clearing.slot),
        ]
        if self.plan.generative:
            following = self.sequencer.next_phase
            m.d.comb += [
                self.replay.next_phase.eq(following),
                self.replay.enter.eq(self.sequencer.enter & in_replay(following)),
            ]
        with m.If(self.host.start):
            m.d.sync += [self.refused.eq(0), self.finished.eq(0)]
            with m.If(self.host.command == Command.ARRIVE):
                m.d.sync += self.seen.eq(argument)
        with m.If(self.replay.refused):
            m.d.sync += self.refused.eq(1)
        with m.If(self.sequencer.finished):
            m.d.sync += self.finished.eq(1)
        with m.If(self.dense.candidate_wins):
            m.d.sync += self.prediction.eq(self.dense.candidate)
        written = {"seen": self.seen}
        if self.quota is not None:
            written["quota"] = self.quota
            with m.If(self.replay.set_quota):
                m.d.sync += self.quota.eq(self.replay.new_quota)
        if self.plan.replay.staging:
            with m.If(self.replay.set_staged):
                m.d.sync += self.staged.eq(self.replay.new_staged)
        sees = self.replay.sees if self.plan.generative else active["stage"] & self.replay.done
        with m.If(sees & (argument >= self.seen)):
            m.d.sync += self.seen.eq(argument + 1)
        if self.plan.replay.staging:
            written["staged"] = self.staged
        for name, register in written.items():
            with m.If(self.host.strobe(name)):
                m.d.sync += register.eq(self.host.value)
        m.d.comb += self.host.restored.eq(
            self.sequencer.finished & active["restore"] & ~self.replay.refused
        )

    def build_array(self, m, number):
        """Wire the array to the units that offer the operand, write the lane files, or take the sums."""
        dense, array, learning = self.dense, self.array, self.learning
        if self.images:
            front = self.conv_front
            m.d.comb += [
                array.valid.eq(front.valid | dense.valid | learning.valid),
                array.i.eq(front.operand),
            ]
        else:
            m.d.comb += array.valid.eq(dense.valid | learning.valid)
        m.d.comb += [
            array.conjoin.eq(learning.conjoin),
            learning.sum_valid.eq(array.done),
            learning.acc.eq(array.acc),
            learning.nodes.eq(array.nodes),
        ]
        if self.images:
            # Of the cycle before: a convolution has no sum in its first cycle, and no other operation has one right after it.
            of_convs = Signal()
            m.d.sync += of_convs.eq(front.active)
            m.d.comb += [
                self.conv_back.valid.eq(array.done & of_convs),
                self.conv_back.restart.eq(~front.active | front.done),
            ]
        m.d.comb += [
            dense.sum_valid.eq(array.done),
            dense.sum.eq(array.acc[0]),
        ]
        if self.plan.has_skips:
            m.d.comb += self.conv_back.early.eq(array.early & of_convs)
        if self.images:
            for i in range(self.plan.target.lanes):
                m.d.comb += self.conv_back.acc[i].eq(array.acc[i])
        for unit in (dense, learning):
            with m.If(unit.valid):
                m.d.comb += array.i.eq(unit.operand)
        self.build_file(m, number)

    def build_file(self, m, number):
        """Wire the write port of the lane files to the unit whose phase it is."""
        dense, array, learning, at = self.dense, self.array, self.learning, self.sequencer.at
        # Who writes windows, and who writes a word; the minibatch's hidden bits are a word a lane.
        windows = {PLANE_PHASES: learning.plane_file}
        words = {("latent", "hidden"): dense.file, ("epoch", "load"): self.replay.file}
        if self.images:
            windows |= {tuple(o.name for o in self.plan.convolutions): self.conv_front.file}
            words |= {("lgap",): self.lgap.file}
        else:
            words |= {("input",): self.latent_input.file}
        forward = {("hidden.forward",): learning.forward_file}
        # Whose file it is the phase says, a register: who writes is known late.
        chosen = {}
        for phases in windows | words | forward:
            chosen[phases] = Signal(name=f"file_of_{identifier(phases[0])}")
            m.d.comb += chosen[phases].eq(
                any_of(at[number[name]] for name in phases if name in number)
            )

        def given(ports, name: str) -> Value:
            """A field of the port whose phase it is."""
            return any_of(
                Mux(chosen[phases], getattr(port, name), 0) for phases, port in ports.items()
            )

        m.d.comb += [
            array.wlanes.eq(given(windows | words | forward, "lanes")),
            array.wtaps.eq(given(windows | words | forward, "taps")),
            array.wslot.eq(given(windows | words | forward, "slot")),
            array.wdata.eq(given(windows, "data")),
            array.wown.eq(given(words | forward, "lanes")),
        ]
        # A remembered word comes late from its memory: it passes no window, and goes to every lane of the minibatch.
        # Its unit gives 0 but in an epoch. Lane 0 alone has one image's vectors.
        del words["epoch", "load"]
        for i in range(self.plan.target.lanes):
            word = Mux(chosen["hidden.forward",], learning.forward_words[i], 0)
            if i == 0:
                word |= given(words, "data")
            m.d.comb += array.wwords[i].eq(word | self.replay.file.data)

    def file_events(self) -> dict[str, Value]:
        """Writes of the lane files: of whole words by who loads weights and planes, of single taps by the others.

        Each unit writes one lane, but for a minibatch's hidden bits; no two of them write in a cycle.
        """
        whole = [self.learning.plane_file] + ([self.conv_front.file] if self.images else [])
        single = [self.dense.file, self.replay.file]
        single.append(self.lgap.file if self.images else self.latent_input.file)
        taps = [port.lanes.any() for port in single]
        return {
            "lane.file.writes": any_of(port.lanes.any() for port in whole),
            "lane.file.tap_writes": tree_sum([*taps, *self.learning.forward_file.lanes]),
        }

    def build_maps(self, m, number):
        """Wire act.ping and act.pong, which take turns as source and destination."""
        ping, pong = self.rams["act.ping"], self.rams["act.pong"]
        at, first = self.sequencer.at, number["conv0"]
        from_pong = Signal()
        m.d.comb += from_pong.eq(at[first + 1 : number["lgap"] + 1 : 2].any())
        lgap, front, back = self.lgap.source, self.conv_front.source, self.conv_back.write
        for ram, chosen in ((ping, ~from_pong), (pong, from_pong)):
            m.d.comb += [
                ram.ren.eq((front.en | lgap.en) & chosen),
                ram.raddr.eq(Mux(lgap.en, lgap.addr, front.addr)),
                ram.wen.eq(Mux(chosen, 0, back.en)),
                ram.waddr.eq(back.addr),
                ram.wdata.eq(back.data),
            ]
            if self.plan.has_skips:  # the map that a skip adds is the one being written
                skip = self.conv_back.skip
                with m.If(skip.en & ~chosen):
                    m.d.comb += [ram.ren.eq(1), ram.raddr.eq(skip.addr)]
        if self.plan.has_skips:
            m.d.comb += self.conv_back.skip.data.eq(Mux(from_pong, ping.rdata, pong.rdata))
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
        """Wire the other memories, which have one reader and one writer, or two that never meet."""
        ports = {}
        if self.images:
            ports = {
                "weights.fe": ((self.conv_front.weights, self.dense.fe), ()),
                "weights.lgap": ((self.lgap.kernel,), ()),
            }
        latent = self.dense.latent if self.images else self.latent_input.latent
        ports |= {
            "act.latent": ((self.replay.latent,), (latent,)),
        }
        r = self.replay
        if self.plan.generative:
            ports |= {
                "replay.mean": ((r.mean,), (r.mean_write,)),
                "replay.share": ((r.share,), (r.share_write,)),
                "fit.count": ((r.fit_read,), (r.fit_write,)),
            }
        else:
            ports |= {
                "replay.latent": ((r.read,), (r.write,)),
                "replay.label": ((r.label_read,), (r.label_write,)),
            }
        if self.plan.replay.staging:
            scans = () if self.plan.generative else (self.learning.staging_label,)
            ports["staging.latent"] = ((r.staging_read,), (r.staging_write,))
            ports["staging.label"] = ((r.staging_label_read, *scans), (r.staging_label_write,))
        for short, name in LOW_BITS.items():
            if name in self.rams:
                ports[name] = (
                    (getattr(self.learning, f"{short}_read"),),
                    (getattr(self.learning, f"{short}_write"),),
                )
        for name, (readers, writers) in ports.items():
            ram = self.rams[name]
            # The first reader's address is there, whether it reads or not, but in the phase in which another one reads:
            # when it reads may be known late.
            m.d.comb += [
                ram.ren.eq(any_of(reader.en for reader in readers)),
                ram.raddr.eq(readers[0].addr),
                *(reader.data.eq(ram.rdata) for reader in readers),
            ]
            for reader in readers[1:]:
                with m.If(self.sequencer.at[self.plan.phases.index(SECOND_READS[name])]):
                    m.d.comb += ram.raddr.eq(reader.addr)
            for writer in writers:
                m.d.comb += [
                    ram.wen.eq(writer.en.replicate(len(ram.wen))),
                    ram.waddr.eq(writer.addr),
                    ram.wdata.eq(writer.data),
                ]
        labels = self.rams[self.plan.forgotten.name]
        with m.If(self.clearing.active):
            m.d.comb += [labels.wen.eq(1), labels.waddr.eq(self.clearing.slot), labels.wdata.eq(0)]
        dense, learning, cls = self.dense.cls, self.learning, self.cls
        updates = any_of(
            self.sequencer.at[n] for n, name in enumerate(self.plan.phases) if name in PLANE_PHASES
        )
        m.d.comb += [
            cls.ren.eq(dense.en | learning.top_read),
            cls.raddr.eq(Mux(updates, learning.top_raddr, dense.addr)),
            dense.data.eq(cls.rdata),
            learning.top_rdata.eq(cls.rdata),
            cls.wen.eq(learning.top_write),
            cls.waddr.eq(learning.top_waddr),
            cls.wdata.eq(learning.top_wdata),
        ]

    def build_learning(self, m):
        """Wire the learning unit to what a session shares with the rest of the chip."""
        learning, replay = self.learning, self.replay
        m.d.comb += [
            learning.at.eq(self.sequencer.at),
            learning.seen.eq(self.seen),
            learning.staged.eq(self.staged),
            learning.samples.eq(replay.samples),
            learning.decay.eq(self.sequencer.decay),
            replay.count_addr.eq(learning.count_addr),
            learning.count.eq(replay.count),
        ]
        if self.plan.generative:
            self.build_draws(m)
        connect(m, replay.bank, learning.load_bank)
        connect(m, replay.batch_label, learning.load_label)
        for name, random, step in (
            ("error", learning.error_random, learning.error_step),
            ("update", learning.update_random, learning.update_step),
        ):
            register = self.lfsrs[name]
            m.d.comb += [random.eq(register.next), register.step.eq(step)]
        register = self.lfsrs["error"]
        m.d.comb += [
            learning.error_state.eq(register.state),
            register.load.eq(learning.error_load),
            register.value.eq(learning.error_value),
        ]
        for name, register in self.lfsrs.items():
            with m.If(self.host.strobe(f"lfsr_{name}")):
                m.d.comb += [register.load.eq(1), register.value.eq(self.host.value)]

    def build_draws(self, m):
        """Wire the replay unit of generative replay to the draw unit, the open class and the balance."""
        learning, replay, draw, opened = self.learning, self.replay, self.draw, self.open
        m.d.comb += [
            replay.counting.eq(learning.count_read),
            learning.count_valid.eq(replay.count_valid),
            draw.step.eq(replay.draw_step),
            draw.first.eq(replay.draw_first),
            draw.plane.eq(self.rams["replay.mean"].rdata),
            replay.draw_word.eq(draw.word),
            replay.entry.eq(opened.open0),
            opened.en.eq(replay.set_entry),
            opened.value.eq(replay.new_entry),
        ]

    def build_host(self, m):
        """Wire the host's registers and windows, and the pixel stream."""
        host = self.host
        axi.forward(m, self, host)
        ports = {name: ram.host for name, ram in self.rams.items()}
        if self.images:
            ports["thermometer.threshold"] = self.thermometer.host
        ports |= {
            "cls.top": self.cls.host,
        }
        if self.plan.generative:
            ports |= {"fit.open": self.open.host, "draw.state": self.draw.host}
            counted = "staging.count" if self.plan.replay.staging else None
        else:
            counted = "replay.count"
        if counted:
            ports[counted] = self.replay.count_host
        for name, port in ports.items():
            connect(m, host.port(name), port)
        for memory in registers.coded(self.plan.memories):
            ram = self.rams[memory.name]
            m.d.comb += host.corrected(memory.name).eq(ram.corrected)
            m.d.comb += host.wrong(memory.name).eq(ram.wrong)
        sample = self.thermometer.pixel if self.images else self.latent_input.sample
        tdata, tvalid, tready = (
            getattr(self, f"{self.plan.input.stream}_{n}") for n in ("tdata", "tvalid", "tready")
        )
        m.d.comb += [
            sample.payload.eq(tdata),
            sample.valid.eq(tvalid),
            tready.eq(sample.ready & ~ResetSignal()),
            host.busy.eq(self.busy),
            host.refused.eq(self.refused),
            host.finished.eq(self.finished),
            host.prediction.eq(self.prediction),
            host.seen.eq(self.seen),
            host.quota.eq(0 if self.quota is None else self.quota),
            host.staged.eq(self.staged),
            host.phase.eq(self.sequencer.phase),
        ]
        for name, register in self.lfsrs.items():
            m.d.comb += getattr(host, f"lfsr_{name}").eq(register.state)

    def build_counters(self, m):
        """Build the counters, and wire to each what `events` of a unit adds.

        Raises
        ------
        ValueError
            Where no unit counts an event of `spec.events`, or an access of a memory.
        """
        events: dict[str, Value] = {}
        features = (
            (self.thermometer, self.conv_front, self.array, self.conv_back)
            if self.images
            else (self.latent_input, self.array)
        )
        for unit in (
            self.sequencer,
            *features,
            self.replay,
            self.learning,
            self.cls,
        ):
            events |= unit.events()
        events |= self.file_events()
        for name, ram in self.rams.items():
            events |= {f"{name}.reads": ram.ren, f"{name}.writes": ram.wen.any()}
        if not self.plan.generative:
            events["replay.count.reads"] |= self.learning.count_read
        events[
            f"{self.plan.forgotten.name}.writes"
        ] &= ~self.clearing.active  # a reset's work counts nowhere
        counted = registers.events(self.plan.memories)
        if missing := [name for name in counted if name not in events]:
            raise ValueError(f"a unit of the chip must count {missing[0]!r}, but none does")
        names = registers.counters(self.plan.memories, self.plan.target)
        widths = {name: len(Value.cast(events[name])) for name in names}
        self.counters = None
        if not names:
            return
        m.submodules.counters = self.counters = unit = Counters(
            widths, self.plan.target.counter_bits, axi.LiteSlave.LATENCY
        )
        m.d.comb += [unit.add(name).eq(events[name]) for name in names]
        m.d.comb += [
            unit.look.eq(self.host.look),
            unit.index.eq(self.host.index),
            self.host.count.eq(unit.value),
        ]
