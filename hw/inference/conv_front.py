"""Convolutions: weights sit in the lane files while windows stream past."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.inference.array import operand_layout
from xnoreplay.hw.inference.window import LineBuffer
from xnoreplay.hw.parts.ports import FilePort, ReadPort, index_shape, read_port
from xnoreplay.hw.parts.program import fields
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Convolution, Plan


def program(op: Convolution) -> dict[str, int]:
    """Fields of one convolution that the side before the array reads, as `hw.parts.program.fields` takes them."""
    return {
        "before_last": op.cycles - 2,
        "load": op.load,
        "before_issue": op.load - 1,
        "before_window": op.load + op.window_delay,
        "height": op.height - 1,
        "width": op.width - 1,
        "row": op.row,
        "beats": op.beats,
        "pixels": op.pixels,
        "period": op.period // op.beats - 1,
        "source_words": op.source_words,
        "group_tiles": op.group_tiles - 1,
        "tiles": op.tiles,
        "last_mask": (1 << op.last_channels) - 1,
    }


class ConvolutionFront(wiring.Component):
    """What a convolution does before the array: loads of weights, reads of the map, the window.

    Bits of ``at`` from ``first_phase`` on are the plan's convolutions; ``active`` says that one runs.
    ``done`` marks its last cycle. See the page `docs/microarchitecture.md`, steps 1 to 5.
    """

    def __init__(self, plan: Plan, first_phase: int):
        self.plan, self.first_phase = plan, first_phase
        target = plan.target
        operand = operand_layout(target.window, plan.slots, target.lanes)
        depth = max(plan.memory("act.ping").depth, plan.memory("act.pong").depth)
        super().__init__(
            {
                "active": In(1),
                "at": In(len(plan.phases)),
                "done": Out(1),
                "weights": Out(read_port(plan.memory("weights.fe"))),
                "source": Out(ReadPort(depth, target.channels)),
                "file": Out(FilePort(target.lanes, plan.slots, target.window)),
                "valid": Out(1),
                "operand": Out(operand),
                "move": Out(1),
            }
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        rows = ("line.row0", "line.row1")
        return {f"{row}.{way}": self.move for row in rows for way in ("reads", "writes")}

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        target, ops = self.plan.target, self.plan.convolutions
        table = {self.first_phase + c.index: program(c) for c in ops}
        op = fields(m, self.at, table)
        later = fields(
            m, self.at, table, held=True
        )  # the map's words and windows come after the first cycle
        k = Signal(range(max(c.cycles for c in ops)))  # cycle of the convolution
        idle = Signal()
        # Cycles that begin something, known one before: no comparison stands on the way to a memory's address.
        first = Signal(init=1)
        last = Signal()
        self.issue_starts = Signal()
        self.window_starts = Signal()
        m.d.sync += [
            first.eq(idle),
            last.eq(self.active & ~self.done & (k >= op["before_last"])),
            self.issue_starts.eq(self.active & ~self.done & (k == op["before_issue"])),
            self.window_starts.eq(self.active & (k == op["before_window"])),
        ]
        m.d.comb += [
            self.done.eq(last),
            idle.eq(~self.active | self.done),
        ]
        m.d.sync += k.eq(Mux(idle, 0, k + 1))

        window_tile = self.build_window(m, later, k, idle)
        self.build_loads(m, op, k, first, idle, window_tile, target.lanes)
        self.build_issue(m, later, idle)
        return m

    def build_loads(self, m, op, k, first, idle, window, lanes):
        """Load the weights of tile 0 from cycle 0, those of tile t + 1 from the window's first step of tile t.

        Tile follows tile in the memory, convolution after convolution: the address only counts.
        """
        loading = Signal()
        again = Signal()
        lane = Signal(index_shape(lanes))
        beat = Signal(range(self.plan.slots))
        offset = Signal.like(self.weights.addr)
        parity = Signal()
        m.d.comb += [
            again.eq(window["first_step"] & (window["tile"] + 1 < op["tiles"])),
            self.weights.en.eq(self.active & (first | again | loading)),
            self.weights.addr.eq(offset),
            parity.eq((k >= op["load"]) & ~window["tile"][0]),
        ]
        with m.If(self.weights.en):
            m.d.sync += [offset.eq(offset + 1), loading.eq(1), beat.eq(beat + 1)]
            with m.If(beat == op["beats"] - 1):
                m.d.sync += beat.eq(0)
                m.d.sync += lane.eq(lane + 1)
                with m.If(lane == lanes - 1):
                    m.d.sync += [lane.eq(0), loading.eq(0)]
        with m.If(idle):
            m.d.sync += [loading.eq(0), lane.eq(0), beat.eq(0)]
        with m.If(~self.active):
            m.d.sync += offset.eq(0)

        # One cycle later the word has come and is written to its lane's file.
        d_lanes = Signal(lanes)
        d_slot = Signal(range(self.plan.slots))
        m.d.sync += [
            d_lanes.eq(Mux(self.weights.en, 1 << lane, 0)),
            d_slot.eq(beat + Mux(parity, op["beats"], 0)),
        ]
        m.d.comb += [
            self.file.lanes.eq(d_lanes),
            self.file.taps.eq((1 << TAPS) - 1),
            self.file.slot.eq(d_slot),
            self.file.data.eq(self.weights.data),
        ]

    def build_issue(self, m, op, idle):
        """Read the source map's words, one a cycle; steps past the map's end read nothing."""
        running = Signal()
        issue = Signal()
        beat = Signal(range(self.plan.slots))
        pixel = Signal.like(op["period"])
        tile = Signal.like(op["tiles"])
        member = Signal.like(op["group_tiles"])
        pixel_base = Signal.like(self.source.addr)
        group_base = Signal.like(self.source.addr)
        m.d.comb += [
            issue.eq(self.issue_starts | running),
            self.source.en.eq(issue & (pixel < op["pixels"])),
            self.source.addr.eq(pixel_base + group_base + beat),
        ]
        with m.If(issue):
            m.d.sync += [running.eq(1), beat.eq(beat + 1)]
            with m.If(beat == op["beats"] - 1):
                m.d.sync += [
                    beat.eq(0),
                    pixel.eq(pixel + 1),
                    pixel_base.eq(pixel_base + op["source_words"]),
                ]
                with m.If(pixel == op["period"]):
                    m.d.sync += [
                        pixel.eq(0),
                        pixel_base.eq(0),
                        tile.eq(tile + 1),
                        member.eq(member + 1),
                    ]
                    with m.If(member == op["group_tiles"]):
                        m.d.sync += [member.eq(0), group_base.eq(group_base + op["beats"])]
                    with m.If(tile + 1 == op["tiles"]):
                        m.d.sync += running.eq(0)
        with m.If(idle):
            m.d.sync += [
                running.eq(0),
                beat.eq(0),
                pixel.eq(0),
                tile.eq(0),
                member.eq(0),
                pixel_base.eq(0),
                group_base.eq(0),
            ]

    def build_window(self, m, op, k, idle):
        """Build line buffer, edges and operand; the result is the tile that the window is in, and its first step."""
        plan = self.plan
        beats = max(c.beats for c in plan.convolutions)
        buffer = LineBuffer(plan.memory("line.row0").depth, plan.target.channels, beats)
        m.submodules.line_buffer = buffer
        came = Signal()
        m.d.sync += came.eq(self.source.en)
        m.d.comb += [
            self.move.eq(self.active & (k > op["load"])),
            buffer.move.eq(self.move),
            buffer.restart.eq(idle),
            buffer.word.eq(Mux(came, self.source.data, 0)),
            buffer.row.eq(op["row"]),
            buffer.pixel_beats.eq(op["beats"]),
        ]

        running, step = Signal(name="window_running"), Signal(name="window_step")
        beat = Signal(range(plan.slots), name="window_beat")
        x, y = Signal.like(op["width"], name="window_x"), Signal.like(op["height"], name="window_y")
        pixel = Signal.like(op["period"], name="window_pixel")
        tile = Signal.like(op["tiles"], name="window_tile")
        last_beat = Signal(name="window_last_beat")
        m.d.comb += [
            step.eq(self.window_starts | running),
            last_beat.eq(beat == op["beats"] - 1),
        ]
        # Edges that the pixel lies at, in registers: a mask of the operand waits for no comparison.
        at_left = Signal(init=1)
        at_right = Signal()
        at_top = Signal(init=1)
        at_bottom = Signal()
        m.d.sync += [at_right.eq(x == op["width"]), at_bottom.eq(y == op["height"])]
        with m.If(step):
            m.d.sync += [running.eq(1), beat.eq(beat + 1)]
            with m.If(last_beat):
                m.d.sync += [
                    beat.eq(0),
                    pixel.eq(pixel + 1),
                    x.eq(x + 1),
                    at_left.eq(0),
                    at_right.eq(x + 1 == op["width"]),
                ]
                with m.If(at_right):
                    m.d.sync += [
                        x.eq(0),
                        at_left.eq(1),
                        at_right.eq(op["width"] == 0),
                        y.eq(y + 1),
                        at_top.eq(0),
                        at_bottom.eq(y + 1 == op["height"]),
                    ]
                with m.If(pixel == op["period"]):
                    m.d.sync += [
                        pixel.eq(0),
                        x.eq(0),
                        at_left.eq(1),
                        at_right.eq(op["width"] == 0),
                        y.eq(0),
                        at_top.eq(1),
                        at_bottom.eq(op["height"] == 0),
                        tile.eq(tile + 1),
                    ]
                    with m.If(tile + 1 == op["tiles"]):
                        m.d.sync += running.eq(0)
        with m.If(idle):
            m.d.sync += [
                running.eq(0),
                beat.eq(0),
                pixel.eq(0),
                tile.eq(0),
                x.eq(0),
                y.eq(0),
                at_left.eq(1),
                at_top.eq(1),
            ]

        inside_y = (~at_top, 1, ~at_bottom)
        inside_x = (~at_left, 1, ~at_right)
        pad = -plan.network.pad_bit & (1 << plan.target.channels) - 1
        mask = Mux(last_beat, op["last_mask"], (1 << plan.target.channels) - 1)
        taps = [
            Mux(inside_y[ky] & inside_x[kx], buffer.taps[3 * ky + kx], pad) & mask
            for ky in range(3)
            for kx in range(3)
        ]
        m.d.comb += [
            self.valid.eq(step & (pixel < op["pixels"])),
            self.operand.x.eq(Cat(tap[: plan.target.channels] for tap in taps)),
            self.operand.slot.eq(beat + Mux(tile[0], op["beats"], 0)),
            self.operand.taps.eq(TAPS),
            self.operand.lanes.eq(~0),
            self.operand.first.eq(beat == 0),
            self.operand.last.eq(last_beat),
        ]
        first_step = Signal(name="window_first_step")
        m.d.comb += first_step.eq(step & (pixel == 0) & (beat == 0))
        return {"tile": tile, "first_step": first_step}
