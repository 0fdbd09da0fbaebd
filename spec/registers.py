"""The host's view: commands, control registers, counters and memory windows of the AXI4-Lite port.

Addresses are in bytes, words are 32 bits. The window of memory i (see `windows`) starts at
(i + 1) << 24; a row of it takes a power of two of words, low bits first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.codes import ECC
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.events import Event, Group
from xnoreplay.spec.memories import DECLARATIONS, Memory
from xnoreplay.spec.target import TargetSpec

ID = 0x584E5250  # "XNRP"
WINDOW_SHIFT = 24
TRANSFER_CYCLES = 3
"""Cycles of a transfer beside its service: it is taken, chosen, and its response holds. Two are chosen so far apart at least."""


class Response(IntEnum):
    """What a transfer is answered with: values of BRESP and RRESP."""

    OKAY = 0
    SLVERR = 2
    DECERR = 3


@dataclass(frozen=True)
class Values:
    """Values with which an idle chip takes a write of a register.

    Parameters
    ----------
    least : int
    rows_of : str
        The memory whose rows are as many as the greatest value; "" where every word of 32 bits from `least` on is
        taken.
    words : str
        The range of any chip, in words.
    """

    least: int
    rows_of: str
    words: str


_ANY_BUT_0 = Values(1, "", "any but 0")


class Field(NamedTuple):
    """Bits of a register that belong together: the highest, the lowest, a name and what they hold."""

    high: int
    low: int
    name: str
    meaning: str

    @property
    def words(self) -> str:
        """The bits and their meaning, as a page has them."""
        return f"{self.high}:{self.low} {self.meaning}"


WORD = 31, 0  # all bits of a register


class Register(IntEnum):
    """Byte offsets of the control registers.

    `fields` are its bits, and `note` what else there is to say. `values` are those with which an idle chip takes a
    write, where there are any; `strobe` says that a write does something other than to set the register.
    """

    fields: tuple[Field, ...]
    note: str
    values: Values | None
    strobe: bool

    def __new__(
        cls,
        offset: int,
        fields: tuple[Field, ...] = (),
        note: str = "",
        values: Values | None = None,
        strobe: bool = False,
    ) -> "Register":
        """A member: its offset, with the other values as attributes."""
        member = int.__new__(cls, offset)
        member._value_ = offset
        member.fields, member.note, member.values, member.strobe = fields, note, values, strobe
        return member

    ID = 0x00, (), f"always {ID:#x}, which is XNRP in ASCII"
    COMMAND = (
        0x04,
        (
            Field(7, 0, "number", "number of the command"),
            Field(31, 16, "argument", "its argument"),
        ),
        "; 15:8 are ignored. Reads as the command taken last, with 15:8 as 0; 0 after a reset",
        None,
        True,
    )
    STATUS = 0x08, (), "see *Bits of STATUS*"
    PREDICTION = (
        0x0C,
        (Field(15, 0, "label", "the class that the last INFER found"),),
        "; 0 after a reset",
    )
    SEEN = (
        0x10,
        (Field(15, 0, "classes", "how many classes have been announced"),),
        "",
        Values(0, "table.weight", "0 to the classes of the network"),
    )
    QUOTA = (
        0x14,
        (Field(16, 0, "latents", "latents that a class may have in the replay memory"),),
        "",
        Values(0, "replay.label", "0 to the replay slots; only read with generative replay"),
    )
    STAGED = (
        0x18,
        (Field(16, 0, "samples", "samples in the staging memory"),),
        "",
        Values(0, "staging.label", "0 to the staging places"),
    )
    PHASE = (
        0x1C,
        (
            Field(
                7,
                0,
                "number",
                "the phase that runs, by the number that `program` of `manifest.json` gives it",
            ),
        ),
        "; 0 is none",
    )
    LFSR_WALK = (
        0x20,
        (Field(*WORD, "state", "state of the random register that orders slots and samples"),),
        "",
        _ANY_BUT_0,
    )
    LFSR_ERROR = (
        0x24,
        (Field(*WORD, "state", "state of the random register that rounds deltas"),),
        "",
        _ANY_BUT_0,
    )
    LFSR_UPDATE = (
        0x28,
        (Field(*WORD, "state", "state of the random register that rounds updates"),),
        "",
        _ANY_BUT_0,
    )
    ABORT = 0x2C, (), "a write of any value ends the running command; reads as 0", None, True
    ERRORS = (
        0x30,
        (
            Field(
                15,
                0,
                "corrected",
                "bit i: a read of the memory whose window is at (i + 1) << 24 was corrected",
            ),
            Field(
                31,
                16,
                "wrong",
                "bit 16 + i: a read of it found wrong bits that its code does not correct",
            ),
        ),
        (
            ". A bit stays 1 until a 1 is written to it, at any time, or a reset. A chip none of whose memories has parity "
            "or a code does not have the register"
        ),
        None,
        True,
    )
    COUNTERS = (
        0x400,
        (),
        (
            "counter i: bits 31:0 at 0x400 + 8 i; at 0x404 + 8 i bits 47:32 in 15:0, or 0 where a counter has 32 bits; "
            "see *Counters*"
        ),
    )

    @property
    def bits(self) -> str:
        """What the register holds, in words."""
        return ", ".join(field.words for field in self.fields) + self.note

    @property
    def access(self) -> str:
        """What a host may do with the register, in words."""
        if self.strobe:
            return "read, write"
        return "read, write while idle" if self.values else "read"


class Status(IntEnum):
    """Bits of STATUS by their number; `meaning` says what each tells."""

    meaning: str

    def __new__(cls, bit: int, meaning: str = "") -> "Status":
        """A member: the number of its bit, with its meaning as an attribute."""
        member = int.__new__(cls, bit)
        member._value_ = bit
        member.meaning = meaning
        return member

    BUSY = (
        0,
        "1 while a command runs, its start cycle included, and while a reset empties the replay memory",
    )
    REFUSED = (
        1,
        (
            "1 where the last command refused its sample, or RESTORE found a label that is not below SEEN. Until "
            "the end of a command's start cycle it is that of the command before"
        ),
    )
    FINISHED = (
        2,
        "1 where the last command came to its end; 0 where it was aborted, after a reset, and always while BUSY is 1",
    )
    STALE = (
        3,
        (
            "1 where the host has written labels, SEEN or STAGED, or a RESTORE has begun, and none has come to "
            "its end unrefused since: commands that need the counts of labels are refused"
        ),
    )


_BY_WINDOW = {d.window: d.name for d in DECLARATIONS.values() if d.window is not None}
HOST_MEMORIES = tuple(_BY_WINDOW[i] for i in range(len(_BY_WINDOW)))
"""Memories the host reads while the chip is idle, and writes but for those of `READ_ONLY`; a name's place is the
number of its window."""

READ_ONLY = tuple(d.name for d in DECLARATIONS.values() if d.read_only)
"""Memories whose window answers a write with SLVERR: the chip counts the labels itself."""

STALES = (
    *(d.name for d in DECLARATIONS.values() if d.stales),
    Register.SEEN,
    Register.STAGED,
)
"""Memories, by name, and registers whose write by the host sets STALE of STATUS: replay.count may then be
other than the labels say. A RESTORE clears it when it comes to its end without refusing a label."""


WRONG_BIT = 16
"""Bit of ERRORS that tells of wrong bits in window 0 that are not corrected; bit 0 tells of those that are."""


def error_bit(memory: str, corrected: bool) -> int:
    """The bit of ERRORS that a read of a memory sets.

    >>> error_bit("replay.label", corrected=True), error_bit("replay.label", corrected=False)
    (7, 23)
    """
    return HOST_MEMORIES.index(memory) + (0 if corrected else WRONG_BIT)


def coded(memories: tuple[Memory, ...]) -> tuple[Memory, ...]:
    """Those of a plan's memories whose words have parity or a code."""
    return tuple(m for m in memories if m.code)


def present(memories: tuple[Memory, ...]) -> tuple[Register, ...]:
    """Registers of a chip with these memories: ERRORS only where a code can set one of its bits."""
    return tuple(r for r in Register if r is not Register.ERRORS or coded(memories))


def errors_mask(memories: tuple[Memory, ...]) -> int:
    """Bits of ERRORS that a chip has: parity corrects nothing."""
    found = 0
    for memory in coded(memories):
        found |= 1 << error_bit(memory.name, corrected=False)
        if memory.code == ECC:
            found |= 1 << error_bit(memory.name, corrected=True)
    return found


def writable(memories: tuple[Memory, ...]) -> dict[Register, range]:
    """Registers that the host writes while the chip is idle, with the values that are taken.

    Parameters
    ----------
    memories : tuple of Memory
        A plan's. One that is not among them has no rows.
    """
    depth = {m.name: m.depth for m in memories}
    found = {}
    for register in Register:
        if values := register.values:
            if register is Register.QUOTA and values.rows_of not in depth:
                continue  # a chip with generative replay has no quotas
            stop = depth.get(values.rows_of, 0) + 1 if values.rows_of else 1 << 32
            found[register] = range(values.least, stop)
    return found


_EVENTS = {event.counter: event for event in Event}
_COUNTED = tuple(d.name for d in DECLARATIONS.values() if d.counted)
COUNTERS = (
    *_EVENTS,
    *(f"{name}.{way}" for name in _COUNTED for way in ("reads", "writes")),
)
"""Names of the event counters of a chip that has every memory and every group."""


def meaning(counter: str) -> str:
    """What one of `COUNTERS` counts.

    >>> meaning("images"), meaning("cls.top.writes")
    ('samples whose input was completed: images, or latents of a chip without convolutions', 'rows written')
    """
    if counter in _EVENTS:
        return _EVENTS[counter].meaning
    memory, _, way = counter.rpartition(".")
    return DECLARATIONS[memory].strobes[("reads", "writes").index(way)]


def group(counter: str) -> Group:
    """The group of one of `COUNTERS`: that of its event, or `Group.MEMORIES` of reads and writes.

    >>> group("images").value, group("cls.top.writes").value
    ('cycles', 'memories')
    """
    return _EVENTS[counter].group if counter in _EVENTS else Group.MEMORIES


@cache
def events(memories: tuple[Memory, ...]) -> tuple[str, ...]:
    """Names of all that is counted with these memories, in the order of `COUNTERS`: what the simulator counts."""
    absent = set(_COUNTED) - {m.name for m in memories}
    return tuple(n for n in COUNTERS if n.rpartition(".")[0] not in absent)


@cache
def counters(memories: tuple[Memory, ...], target: TargetSpec) -> tuple[str, ...]:
    """Names of the chip's event counters in the order of their registers: of `events`, those of the target's groups.

    Each has the target's `counter_bits`.
    """
    return tuple(name for name in events(memories) if group(name) in target.counted)


def most_behind(counters: int, apart: int = TRANSFER_CYCLES) -> int:
    """Cycles of which a row of the counters' memory may lack the events where it is read, at most.

    Between two visits of the sweep to a row lie one to each other row, and looks of the host; what a visit writes can be
    read two cycles after it has read.

    Parameters
    ----------
    counters : int
        Rows of the memory.
    apart : int
        Cycles from one look of the host to the next, at least.

    >>> most_behind(67, 3)
    102
    """
    looks = (counters - 1) // (apart - 1) + 1
    return counters + looks + 1


def counted(row: int, low: int, pending: int, low_bits: int, bits: int) -> int:
    """What a counter of the chip has counted, from what it keeps in two places: see docs/microarchitecture.md.

    Parameters
    ----------
    row : int
        Its row of the counters' memory, which is behind by less than 2^low_bits.
    low, low_bits : int
        Its register of the lowest bits, which counts always, and how many they are.
    pending : int
        What the cycle before has added.
    bits : int
        Of the counter.

    >>> counted(row=0xFE, low=0x1, pending=1, low_bits=8, bits=48)
    258
    """
    return row + ((low - row) % (1 << low_bits)) + pending & (1 << bits) - 1


@dataclass(frozen=True)
class Window:
    """The host's window on one memory."""

    memory: Memory
    index: int

    @property
    def base(self) -> int:
        """Byte address of row 0."""
        return (self.index + 1) << WINDOW_SHIFT

    @property
    def chunks(self) -> int:
        """32-bit words that hold one row's bits."""
        return ceil_div(self.memory.width, 32)

    @property
    def stride(self) -> int:
        """32-bit words from one row to the next."""
        return 1 << (self.chunks - 1).bit_length()

    def address(self, row: int, chunk: int) -> int:
        """Byte address of the 32-bit word that holds bits 32 `chunk` and up of a row."""
        return self.base + 4 * (row * self.stride + chunk)

    def place(self, offset: int) -> tuple[int, int] | None:
        """(row, chunk) of a byte offset from the base, as `address` takes them; None in a gap, or past the last row."""
        row, chunk = divmod(offset // 4, self.stride)
        return (row, chunk) if row < self.memory.depth and chunk < self.chunks else None

    def words(self, row: int, value: int) -> Iterator[tuple[int, int]]:
        """The 32-bit words that write a row, in the order in which the chip takes them.

        Parameters
        ----------
        row : int
        value : int
            The row's bits, bit i worth 2^i.

        Yields
        ------
        tuple of int
            Byte address and data, the row's low bits first.
        """
        for chunk in range(self.chunks):
            yield self.address(row, chunk), value >> 32 * chunk & 0xFFFFFFFF


def windows(memories: tuple[Memory, ...]) -> tuple[Window, ...]:
    """Windows of the memories that the host reaches, in the order of `HOST_MEMORIES`.

    Raises
    ------
    SpecError
        For a memory that is larger than its window.
    """
    by_name = {m.name: m for m in memories}
    found = tuple(
        Window(by_name[name], i) for i, name in enumerate(HOST_MEMORIES) if name in by_name
    )
    for window in found:
        span = 4 * window.memory.depth * window.stride
        if span > 1 << WINDOW_SHIFT:
            raise SpecError(
                f"the host's window on {window.memory.name} must have at most "
                f"{1 << WINDOW_SHIFT:,} bytes, not {span:,}; fewer slots or a shorter latent fit"
            )
    return found


SEEN_REGISTERS = (
    "prediction",
    "seen",
    "quota",
    "staged",
    "refused",
    "lfsr_walk",
    "lfsr_error",
    "lfsr_update",
    "finished",
    "stale",
    "errors",
)
"""Registers that every command is held to in co-simulation, and that a waveform's view shows: names of `Register`,
in lower case, and of the sequencer's own signals."""


def seen_registers(memories: tuple[Memory, ...]) -> tuple[str, ...]:
    """Those of `SEEN_REGISTERS` that a chip with these memories has."""
    absent = {r.name.lower() for r in set(Register) - set(present(memories))}
    return tuple(name for name in SEEN_REGISTERS if name not in absent)
