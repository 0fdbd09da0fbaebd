"""The line buffer and the 3x3 window."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.hw.parts.memory import Ram
from xnoreplay.hw.parts.ports import index_shape
from xnoreplay.spec.network import TAPS


class LineBuffer(wiring.Component):
    """The last three rows of a stream of words, as the nine taps of a 3 x 3 window.

    While ``move`` is high, ``word`` enters each cycle. With a row of R = ``row`` words and beats of
    one pixel ``beats`` words apart, tap (ky, kx) is the word that entered (2 - ky) R + (2 - kx)
    beats cycles before. ``restart`` empties nothing but starts both rings at 0.

    Parameters
    ----------
    depth : int
        Longest row, in words.
    width : int
        Bits of a word.
    beats : int
        Most words of one pixel.
    """

    def __init__(self, depth: int, width: int, beats: int):
        self.depth, self.width, self.beats = depth, width, beats
        super().__init__(
            {
                "move": In(1),
                "restart": In(1),
                "word": In(width),
                "row": In(range(depth + 1)),
                "pixel_beats": In(range(beats + 1)),
                "taps": Out(data.ArrayLayout(width, TAPS)),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        here = Signal(index_shape(self.depth))
        there = Signal.like(here)
        m.d.comb += there.eq(Mux(here == self.row - 1, 0, here + 1))
        with m.If(self.restart):
            m.d.sync += here.eq(0)
        with m.Elif(self.move):
            m.d.sync += here.eq(there)

        entering = self.word
        for ky in (2, 1, 0):
            history = [entering]
            for age in range(1, 2 * self.beats + 1):
                past = Signal(self.width, name=f"row{ky}_{age}")
                with m.If(self.move):
                    m.d.sync += past.eq(history[-1])
                history.append(past)
            for kx in range(3):
                tap = self.taps[3 * ky + kx]
                with m.Switch(self.pixel_beats):
                    for beats in range(1, self.beats + 1):
                        with m.Case(beats):
                            m.d.comb += tap.eq(history[(2 - kx) * beats])
            if ky:
                ring = Ram(self.depth, self.width)
                m.submodules[f"line_row{2 - ky}"] = ring
                m.d.comb += [
                    ring.ren.eq(self.move),
                    ring.raddr.eq(there),
                    ring.wen.eq(self.move),
                    ring.waddr.eq(here),
                    ring.wdata.eq(entering),
                ]
                entering = ring.rdata
        return m
