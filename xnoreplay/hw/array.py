"""The binary array: L lanes of W one-bit cells, a popcount tree a lane, and taps on its nodes."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.memory import RegisterFile
from xnoreplay.spec.network import TAPS


def tree_sum(terms: list[Value]) -> Value:
    """Sum as a balanced tree of adders."""
    while len(terms) > 1:
        pairs = [terms[i] + terms[i + 1] for i in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[len(terms) & ~1 :]
    return terms[0]


def operand_layout(window: int, slots: int, lanes: int) -> data.StructLayout:
    """One beat of the stream operand, as it enters the array."""
    return data.StructLayout(
        {
            "x": window,
            "slot": range(max(2, slots)),
            "taps": range(TAPS + 1),
            "lanes": lanes,
            "first": 1,
            "last": 1,
        }
    )


def node_layout(channels: int, fold: int) -> data.ArrayLayout:
    """One lane's node counts."""
    return data.ArrayLayout(range(TAPS * fold + 1), channels // fold)


class Lane(wiring.Component):
    """One lane: its file, its cells, its popcount tree and its accumulator.

    Stage x of the caller reads the file; the cells' register, the nodes' register and ``acc`` follow,
    one cycle each. A cell is XNOR of its two bits, or AND where ``conjoin`` is high, or 0 in a
    disabled tap. ``nodes`` are the taps of the tree that learning reads: S sums of W / S cells, node
    i over the nine taps of channels i ``fold`` to (i + 1) ``fold`` - 1. ``acc`` adds XNOR beats only.
    """

    def __init__(self, channels: int, slots: int, fold: int, acc_bits: int):
        self.channels, self.slots, self.fold, self.acc_bits = channels, slots, fold, acc_bits
        self.window = TAPS * channels
        super().__init__(
            {
                "x": In(self.window),
                "taps": In(TAPS),
                "conjoin": In(1),
                "slot": In(range(slots)),
                "load_cells": In(1),
                "load_nodes": In(1),
                "load_acc": In(1),
                "first": In(1),
                "nodes": Out(node_layout(channels, fold)),
                "acc": Out(acc_bits),
                "wen": In(TAPS),
                "waddr": In(range(slots)),
                "wdata": In(self.window),
            }
        )

    def elaborate(self, _platform):
        m = Module()
        m.submodules.file = self.file = file = RegisterFile(self.slots, self.window, self.channels)
        m.d.comb += [
            file.raddr.eq(self.slot),
            file.wen.eq(self.wen),
            file.waddr.eq(self.waddr),
            file.wdata.eq(self.wdata),
        ]
        enabled = Cat(tap.replicate(self.channels) for tap in self.taps)
        cells = Signal(self.window)
        with m.If(self.load_cells):
            both, alike = self.x & file.rdata, ~(self.x ^ file.rdata)
            m.d.sync += cells.eq(Mux(self.conjoin, both, alike) & enabled)

        # A node holds the nine taps of `fold` neighbouring channels: the tree's first levels.
        for i in range(self.channels // self.fold):
            channels = range(i * self.fold, (i + 1) * self.fold)
            bits = [cells[t * self.channels + c] for c in channels for t in range(TAPS)]
            with m.If(self.load_nodes):
                m.d.sync += self.nodes[i].eq(tree_sum(bits))

        with m.If(self.load_acc & ~self.conjoin):
            nodes = [self.nodes[i] for i in range(self.channels // self.fold)]
            m.d.sync += self.acc.eq(tree_sum(nodes) + Mux(self.first, 0, self.acc))
        return m


class Array(wiring.Component):
    """L lanes that share the stream operand.

    ``i`` is taken in a cycle of ``valid``; ``x`` holds it in the next, and three cycles later each
    working lane's ``acc`` has added its popcount (loaded it, on ``first``). ``done`` marks the
    cycle in which ``acc`` holds the sum that ended with ``last``. One beat a cycle; it cannot stall.
    With ``early`` a signal of that name precedes ``done`` by one cycle.

    ``conjoin`` turns cells from XNOR to AND, for learning; it changes while no beat is under way.
    ``nodes`` of a beat are there two cycles after it was in ``x``.

    The file write port writes the taps of ``wtaps`` in the lanes of ``wlanes``: all with ``wdata``,
    or with ``wown`` each lane its own word of G bits, `wwords`, in every tap written.
    """

    LATENCY = 4

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
                "wslot": In(range(max(2, slots))),
                "wdata": In(window),
                "wown": In(1),
                "wwords": In(data.ArrayLayout(channels, lanes)),
            }
            | ({"early": Out(1)} if early else {})
        )

    def elaborate(self, _platform):
        m = Module()
        m.d.sync += self.x_valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += self.x.eq(self.i)
        enabled = Signal(TAPS)
        m.d.comb += enabled.eq((1 << self.x.taps) - 1)

        # Control follows the operand: c_ beside the cells' register, n_ beside the nodes'.
        c_lanes, n_lanes = (Signal(self.lanes, name=f"{s}_lanes") for s in "cn")
        c_first, n_first = Signal(name="c_first"), Signal(name="n_first")
        c_last, n_last = Signal(name="c_last"), Signal(name="n_last")
        m.d.sync += [
            c_lanes.eq(Mux(self.x_valid, self.x.lanes, 0)),
            c_first.eq(self.x.first),
            c_last.eq(self.x_valid & self.x.last),
            n_lanes.eq(c_lanes),
            n_first.eq(c_first),
            n_last.eq(c_last),
            self.done.eq(n_last),
        ]
        if self.has_early:
            m.d.comb += self.early.eq(n_last)

        self.units = [
            Lane(self.channels, self.slots, self.fold, self.acc_bits) for _ in range(self.lanes)
        ]
        for i, lane in enumerate(self.units):
            m.submodules[f"lane{i}"] = lane
            m.d.comb += [
                lane.x.eq(self.x.x),
                lane.taps.eq(enabled),
                lane.conjoin.eq(self.conjoin),
                lane.slot.eq(self.x.slot),
                lane.load_cells.eq(self.x_valid & self.x.lanes[i]),
                lane.load_nodes.eq(c_lanes[i]),
                lane.load_acc.eq(n_lanes[i]),
                lane.first.eq(n_first),
                self.acc[i].eq(lane.acc),
                self.nodes[i].eq(lane.nodes),
                lane.wen.eq(Mux(self.wlanes[i], self.wtaps, 0)),
                lane.waddr.eq(self.wslot),
                lane.wdata.eq(Mux(self.wown, self.wwords[i].replicate(TAPS), self.wdata)),
            ]
        return m
