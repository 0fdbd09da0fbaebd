"""The binary array: L lanes of W one-bit cells, a popcount tree a lane, and taps on its nodes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.arithmetic import times, tree_sum
from xnoreplay.hw.parts.memory import RegisterFile
from xnoreplay.hw.parts.ports import index_shape
from xnoreplay.spec.image import lane_columns
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import FILE_LATENCY


def operand_layout(window: int, slots: int, lanes: int) -> data.StructLayout:
    """Layout of one beat of the stream operand: W bits, the slot of the lane files, and what is enabled."""
    return data.StructLayout(
        {
            "x": window,
            "slot": index_shape(slots),
            "taps": range(TAPS + 1),
            "lanes": lanes,
            "first": 1,
            "last": 1,
        }
    )


def node_layout(channels: int, fold: int) -> data.ArrayLayout:
    """Layout of one lane's node counts: of each node the ones among its cells."""
    return data.ArrayLayout(range(TAPS * fold + 1), channels // fold)


class LaneFile(wiring.Component):
    """A lane's file of windows; where it is wide, in two parts that each hold a read address of their own.

    ``word`` is that of the ``slot`` that was there in the last cycle of ``load``. A write puts the taps
    ``wtaps`` of ``wword`` into ``wslot``. No port is named as one of its parts' is, so that a waveform
    has both by their names.
    """

    def __init__(self, slots: int, channels: int):
        self.slots, self.channels = slots, channels
        self.columns = lane_columns(channels)
        self.parts = [
            RegisterFile(slots, len(columns), len(columns) // TAPS) for columns in self.columns
        ]
        super().__init__(
            {
                "load": In(1),
                "slot": In(range(slots)),
                "word": Out(TAPS * channels),
                "wtaps": In(TAPS),
                "wslot": In(range(slots)),
                "wword": In(TAPS * channels),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        for i, (part, columns) in enumerate(zip(self.parts, self.columns, strict=True)):
            m.submodules[f"part{i}"] = part
            # Registers that start alike are merged by synthesis: bit by bit, so that more than two
            # copies would not last. A beat loads both before a read counts.
            start = (self.slots - 1) * i
            slot = Signal(range(self.slots), name=f"slot{i}", init=start, reset_less=True)
            with m.If(self.load):
                m.d.sync += slot.eq(self.slot)
            m.d.comb += [
                part.raddr.eq(slot),
                part.wen.eq(self.wtaps),
                part.waddr.eq(self.wslot),
                part.wdata.eq(Cat(self.wword[n] for n in columns)),
                Cat(self.word[n] for n in columns).eq(part.rdata),
            ]
        return m


class Lane(wiring.Component):
    """One lane: its file, its cells, its popcount tree and its accumulator.

    ``valid``, ``slot``, ``taps``, ``first`` and ``conjoin`` come with an operand, which ``x`` holds in
    the next cycle. That cycle reads the file; the register of the channels' counts, the nodes' register
    and ``acc`` follow, one cycle each. A cell is XNOR of its two bits, or AND where ``conjoin`` is high,
    or 0 in a disabled tap. ``nodes`` are the taps of the tree that learning reads: S sums of W / S cells,
    node i over the nine taps of channels i ``fold`` to (i + 1) ``fold`` - 1. ``acc`` adds XNOR beats only.

    Each lane keeps control bits of its own, loaded by its own beats: no address, mask or enable drives
    more than one lane's cells, and an idle lane does not toggle. Nothing but ``valid`` is reset.
    """

    def __init__(self, channels: int, slots: int, fold: int, acc_bits: int):
        self.channels, self.slots, self.fold, self.acc_bits = channels, slots, fold, acc_bits
        self.window = TAPS * channels
        super().__init__(
            {
                "valid": In(1),
                "slot": In(range(slots)),
                "taps": In(range(TAPS + 1)),
                "first": In(1),
                "conjoin": In(1),
                "x": In(self.window),
                "nodes": Out(node_layout(channels, fold)),
                "acc": Out(acc_bits),
                "wen": In(TAPS),
                "waddr": In(range(slots)),
                "wdata": In(self.window),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        # x_ is beside the operand, c_ beside the counts, n_ beside the nodes.
        x_valid, c_valid, n_valid = (Signal(name=f"{s}_valid") for s in "xcn")
        x_first, c_first, n_first = (Signal(name=f"{s}_first", reset_less=True) for s in "xcn")
        enabled = Signal(TAPS, reset_less=True)
        conjoin = Signal(reset_less=True)
        m.d.sync += [
            x_valid.eq(self.valid),
            c_valid.eq(x_valid),
            n_valid.eq(c_valid),
            c_first.eq(x_first),
            n_first.eq(c_first),
        ]
        with m.If(self.valid):
            m.d.sync += [
                enabled.eq((1 << self.taps) - 1),
                x_first.eq(self.first),
                conjoin.eq(self.conjoin),
            ]

        m.submodules.file = self.file = file = LaneFile(self.slots, self.channels)
        m.d.comb += [
            file.load.eq(self.valid),
            file.slot.eq(self.slot),
            file.wtaps.eq(self.wen),
            file.wslot.eq(self.waddr),
            file.wword.eq(self.wdata),
        ]
        both, alike = self.x & file.word, ~(self.x ^ file.word)
        mask = Cat(tap.replicate(self.channels) for tap in enabled)
        cells = Signal(self.window)
        m.d.comb += cells.eq(Mux(conjoin, both, alike) & mask)

        # The nine cells of a channel are counted before their register: four bits instead of nine,
        # and the levels of logic on its two sides are alike.
        counts = [
            Signal(range(TAPS + 1), name=f"count{c}", reset_less=True) for c in range(self.channels)
        ]
        with m.If(x_valid):
            for c, count in enumerate(counts):
                m.d.sync += count.eq(tree_sum([cells[t * self.channels + c] for t in range(TAPS)]))

        # Learning reads the nodes. The accumulator adds pairs of them, so that the levels of logic
        # before and after this register are alike, too.
        segment = self.channels // self.fold
        sums = Signal(node_layout(self.channels, self.fold), reset_less=True)
        m.d.comb += self.nodes.eq(sums)
        here = [tree_sum(counts[i * self.fold : (i + 1) * self.fold]) for i in range(segment)]
        pairs = []
        for i in range(0, segment, 2):
            term = tree_sum(here[i : i + 2])
            pairs.append(Signal.like(term, name=f"pair{i // 2}", reset_less=True))
            with m.If(c_valid):
                m.d.sync += pairs[-1].eq(term)
        with m.If(c_valid):
            m.d.sync += [sums[i].eq(node) for i, node in enumerate(here)]

        total = Signal(self.acc_bits, reset_less=True)
        m.d.comb += self.acc.eq(total)
        with m.If(n_valid & ~conjoin):
            m.d.sync += total.eq(tree_sum([*pairs, Mux(n_first, 0, total)]))
        return m


class Array(wiring.Component):
    """L lanes that share the stream operand.

    ``i`` is taken in a cycle of ``valid``; ``x`` holds it in the next, and three cycles later each
    working lane's ``acc`` has added its popcount (loaded it, on ``first``). ``done`` marks the
    cycle in which ``acc`` holds the sum that ended with ``last``. One beat a cycle; it cannot stall.
    With ``early`` a signal of that name precedes ``done`` by one cycle.

    ``conjoin`` turns cells from XNOR to AND, for learning; it changes while no beat is under way.
    ``nodes`` of a beat are there two cycles after it was in ``x``.

    The file write port writes the taps of ``wtaps`` in the lanes of ``wlanes``: with ``wdata``, a window, or a
    lane of ``wown`` with its own word of G bits, `wwords`, in every tap written. It is a register: the files have what it
    was given ``WRITE_LATENCY`` cycles later, and an operand that is valid from that cycle on reads it.
    """

    LATENCY = 4
    WRITE_LATENCY = FILE_LATENCY

    def __init__(
        self, lanes: int, channels: int, slots: int, fold: int, acc_bits: int, early: bool = False
    ):
        self.lanes, self.channels, self.slots, self.fold = lanes, channels, slots, fold
        self.acc_bits, self.has_early = acc_bits, early
        window = TAPS * channels
        super().__init__(
            {
                "valid": In(1),
                "i": In(operand_layout(window, slots, lanes)),
                "conjoin": In(1),
                "x_valid": Out(1),
                "x": Out(operand_layout(window, slots, lanes)),
                "done": Out(1),
                "acc": Out(data.ArrayLayout(acc_bits, lanes)),
                "nodes": Out(data.ArrayLayout(node_layout(channels, fold), lanes)),
                "wlanes": In(lanes),
                "wtaps": In(TAPS),
                "wslot": In(index_shape(slots)),
                "wdata": In(window),
                "wown": In(lanes),
                "wwords": In(data.ArrayLayout(channels, lanes)),
            }
            | ({"early": Out(1)} if early else {})
        )

    def events(self) -> dict[str, Value]:
        """What this unit adds to counters in a cycle, by the counter's name."""
        works = tree_sum(list(self.x.lanes)) if self.lanes > 1 else self.x.lanes
        # Lanes times taps, as shifted words.
        taps = tree_sum([Mux(b, self.x.taps << i, 0) for i, b in enumerate(Value.cast(works))])
        xnor, conjoin = self.x_valid & ~self.conjoin, self.x_valid & self.conjoin
        return {
            "array.beats": self.x_valid,
            "array.taps": Mux(xnor, taps, 0),
            "array.nodes": Mux(conjoin, times(works, self.channels // self.fold), 0),
            "lane.file.reads": Mux(self.x_valid, works, 0),
        }

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.d.sync += self.x_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += self.x.eq(self.i)

        # `last` follows the operand: c_ beside the counts' register, n_ beside the nodes'.
        c_last, n_last = Signal(name="c_last"), Signal(name="n_last")
        m.d.sync += [
            c_last.eq(self.x_valid & self.x.last),
            n_last.eq(c_last),
            self.done.eq(n_last),
        ]
        if self.has_early:
            m.d.comb += self.early.eq(n_last)

        # No reset: an abort's cycle, like a reset's, writes what it has begun. Masks of lanes alone decide whether.
        w_lanes, w_taps = (
            Signal.like(s, name=n, reset_less=True)
            for s, n in ((self.wlanes, "w_lanes"), (self.wtaps, "w_taps"))
        )
        w_slot, w_data = (
            Signal.like(s, name=n, reset_less=True)
            for s, n in ((self.wslot, "w_slot"), (self.wdata, "w_data"))
        )
        w_own = Signal.like(self.wown, name="w_own", reset_less=True)
        w_words = Signal.like(self.wwords, name="w_words", reset_less=True)
        m.d.sync += [
            w_lanes.eq(self.wlanes),
            w_taps.eq(self.wtaps),
            w_slot.eq(self.wslot),
            w_data.eq(self.wdata),
            w_own.eq(self.wown),
            w_words.eq(self.wwords),
        ]
        self.units = [
            Lane(self.channels, self.slots, self.fold, self.acc_bits) for _ in range(self.lanes)
        ]
        for i, lane in enumerate(self.units):
            m.submodules[f"lane{i}"] = lane
            m.d.comb += [
                lane.valid.eq(self.valid & self.i.lanes[i]),
                lane.slot.eq(self.i.slot),
                lane.taps.eq(self.i.taps),
                lane.first.eq(self.i.first),
                lane.conjoin.eq(self.conjoin),
                lane.x.eq(self.x.x),
                self.acc[i].eq(lane.acc),
                self.nodes[i].eq(lane.nodes),
                lane.wen.eq(Mux(w_lanes[i], w_taps, 0)),
                # Zero elsewhere, so that the address drives a gate a lane, not every memory.
                lane.waddr.eq(Mux(w_lanes[i], w_slot, 0)),
                lane.wdata.eq(Mux(w_own[i], w_words[i].replicate(TAPS), w_data)),
            ]
        return m


def of_plan(plan: Plan) -> Array:
    """The array of a plan's chip."""
    target = plan.target
    return Array(
        target.lanes,
        target.channels,
        plan.slots,
        target.node_fold,
        plan.accumulator_bits,
        early=plan.has_skips,
    )
