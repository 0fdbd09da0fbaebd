"""Signatures of the strobes between units and memories."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.spec.network import COPIES, TAPS


class ReadPort(wiring.Signature):
    """A read strobe: `data` follows `en` by one cycle."""

    def __init__(self, depth: int, width: int):
        super().__init__({"en": Out(1), "addr": Out(range(depth)), "data": In(width)})


class WritePort(wiring.Signature):
    """A write strobe, one enable a granule."""

    def __init__(self, depth: int, width: int, granule: int = 0):
        super().__init__(
            {
                "en": Out(width // (granule or width)),
                "addr": Out(range(depth)),
                "data": Out(width),
            }
        )


class FilePort(wiring.Signature):
    """A write into the lane files: the taps and lanes of one slot."""

    def __init__(self, lanes: int, slots: int, width: int):
        super().__init__(
            {
                "lanes": Out(lanes),
                "taps": Out(TAPS),
                "slot": Out(range(max(2, slots))),
                "data": Out(width),
            }
        )


class BankPort(wiring.Signature):
    """A write into the minibatch's banks: one word of the banks of `en`, all of them alike."""

    def __init__(self, banks: int, depth: int, width: int):
        super().__init__({"en": Out(banks), "addr": Out(range(depth)), "data": Out(width)})


class ClassifierPort(wiring.Signature):
    """A read of cls.top: row `addr` of the copies of `en`; see `hw.classifier`."""

    def __init__(self, depth: int, width: int):
        super().__init__({"en": Out(COPIES), "addr": Out(range(depth)), "data": In(width * COPIES)})


def read_port(memory) -> ReadPort:
    return ReadPort(memory.depth, memory.width)


def write_port(memory) -> WritePort:
    return WritePort(memory.depth, memory.width, memory.granule)


class HostPort(wiring.Signature):
    """The host's access to one memory: a read's word is valid one cycle after `ren`.

    A write replaces the whole row. `ren` and `wen` are never high together. A memory of one row has
    one address bit that stays 0.
    """

    def __init__(self, depth: int, width: int):
        super().__init__(
            {
                "ren": Out(1),
                "wen": Out(1),
                "addr": Out(max(1, (depth - 1).bit_length())),
                "wdata": Out(width),
                "rdata": In(width),
            }
        )
