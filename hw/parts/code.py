"""Parity and error-correcting codes of memories: what makes the check bits, and what corrects a word."""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.spec.codes import PARITY, Code


class Checks(wiring.Component):
    """Check bits of a word, ``spec.codes.Code.check``; without a clock.

    Parameters
    ----------
    code : Code
    """

    def __init__(self, code: Code):
        self.code = code
        super().__init__({"word": In(code.width), "bits": Out(code.checks)})

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        for n in range(self.code.checks):
            taking = [self.word[i] for i in self.code.inputs(n)]
            m.d.comb += self.bits[n].eq(reduce(xor, taking))
        return m


class Decoder(wiring.Component):
    """What ``spec.codes.Code.decode`` makes of a row; without a clock.

    ``corrected``: one bit was wrong, and ``word`` is the one that was written. ``wrong``: wrong bits were found, and ``word``
    is as the row has it. Parity corrects nothing.

    Parameters
    ----------
    code : Code
    """

    def __init__(self, code: Code):
        self.code = code
        super().__init__(
            {
                "row": In(code.width + code.checks),
                "word": Out(code.width),
                "corrected": Out(1),
                "wrong": Out(1),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        code = self.code
        word, bits = self.row[: code.width], self.row[code.width :]
        m.submodules.checks = checks = Checks(code)
        syndrome = Signal(code.checks)
        m.d.comb += [checks.word.eq(word), syndrome.eq(bits ^ checks.bits)]
        if code.kind == PARITY:
            m.d.comb += [self.word.eq(word), self.wrong.eq(syndrome)]
            return m
        flipped = Signal(code.width)
        named = Cat(syndrome == 1 << n for n in range(code.checks))
        m.d.comb += [
            flipped.eq(Cat(syndrome == column for column in code.columns)),
            self.word.eq(word ^ flipped),
            self.corrected.eq(flipped.any() | named.any()),
            self.wrong.eq(syndrome.any() & ~self.corrected),
        ]
        return m
