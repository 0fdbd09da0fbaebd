"""Signatures of the strobes between units and memories."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.spec.network import COPIES, TAPS


def index_shape(count: int) -> range:
    """Shape of an index into so many things: one bit at least, for Verilog has no signal without bits.

    Nothing may depend on the bit of an index into one thing. A memory of one word has no address
    (`hw.parts.macros`), so that of a port may hold anything.
    """
    return range(max(2, count))


def connect(m: Module, source, sink) -> None:
    """Wire two ports of one signature, as `amaranth.lib.wiring.connect` does, member by member in the signature's order.

    The library goes by the alphabet, and the order numbers the names in the Verilog, whose digest is kept.

    Parameters
    ----------
    m : Module
    source, sink : interface
        `source` drives the members that its signature calls Out, `sink` the others.
    """
    for name, member in source.signature.members.items():
        driven, driver = (sink, source) if member.flow is Out else (source, sink)
        m.d.comb += getattr(driven, name).eq(getattr(driver, name))


class ReadPort(wiring.Signature):
    """A read strobe: `data` follows `en` by one cycle."""

    def __init__(self, depth: int, width: int):
        super().__init__({"en": Out(1), "addr": Out(index_shape(depth)), "data": In(width)})


class WritePort(wiring.Signature):
    """A write strobe, one enable a granule."""

    def __init__(self, depth: int, width: int, granule: int = 0):
        super().__init__(
            {
                "en": Out(width // (granule or width)),
                "addr": Out(index_shape(depth)),
                "data": Out(width),
            }
        )


class FilePort(wiring.Signature):
    """A write into the lane files: the taps and lanes of one slot.

    `data` is a window, or one word of G bits for every tap that is written.
    """

    def __init__(self, lanes: int, slots: int, width: int):
        super().__init__(
            {
                "lanes": Out(lanes),
                "slot": Out(index_shape(slots)),
                "taps": Out(TAPS),
                "data": Out(width),
            }
        )


class BankPort(wiring.Signature):
    """A write into the minibatch's banks: one word of the banks of `en`, all of them alike."""

    def __init__(self, banks: int, depth: int, width: int):
        super().__init__({"en": Out(banks), "addr": Out(index_shape(depth)), "data": Out(width)})


class ClassifierPort(wiring.Signature):
    """A read of cls.top: row `addr` of the copies of `en`; see `hw.learning.classifier`."""

    def __init__(self, depth: int, width: int):
        super().__init__(
            {"en": Out(COPIES), "addr": Out(index_shape(depth)), "data": In(width * COPIES)}
        )


def read_port(memory) -> ReadPort:
    """The read port of a `spec.memories.Memory`."""
    return ReadPort(memory.depth, memory.width)


def write_port(memory) -> WritePort:
    """The write port of a `spec.memories.Memory`."""
    return WritePort(memory.depth, memory.width, memory.granule)


class HostPort(wiring.Signature):
    """The host's access to one memory: `rdata` is valid one cycle after `ren`.

    A write replaces the whole row. `ren` and `wen` are never high together, and neither is but while `open` is: the chip
    is idle then, and the address is the host's. A strobe is decoded from the bus, and comes too late to choose an address.
    """

    def __init__(self, depth: int, width: int):
        super().__init__(
            {
                "open": Out(1),
                "ren": Out(1),
                "wen": Out(1),
                "addr": Out(index_shape(depth)),
                "wdata": Out(width),
                "rdata": In(width),
            }
        )
