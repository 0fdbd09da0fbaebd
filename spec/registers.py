"""The host's view: commands, control registers, counters and memory windows of the AXI4-Lite port.

Addresses are in bytes, words are 32 bits. The window of memory i (see `windows`) starts at
(i + 1) << 24; a row of it takes a power of two of words, low bits first.
"""

from dataclasses import dataclass
from enum import IntEnum

from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.events import Event
from xnoreplay.spec.memories import DECLARATIONS, Memory

ID = 0x584E5250  # "XNRP"
WINDOW_SHIFT = 24
COUNTER_BITS = 48


class Command(IntEnum):
    """Values of the command register's low byte; the argument is its upper half."""

    INFER = 1
    STAGE = 2
    INSERT = 3
    ARRIVE = 4
    REBALANCE = 5
    EPOCH = 6
    RETRAIN = 7
    RESTORE = 8


class Response(IntEnum):
    """What a transfer is answered with: values of BRESP and RRESP."""

    OKAY = 0
    SLVERR = 2
    DECERR = 3


class Register(IntEnum):
    """Byte offsets of the control registers."""

    ID = 0x00
    COMMAND = 0x04
    STATUS = 0x08  # see `Status`
    PREDICTION = 0x0C
    SEEN = 0x10
    QUOTA = 0x14
    STAGED = 0x18
    PHASE = 0x1C
    LFSR_WALK = 0x20
    LFSR_ERROR = 0x24
    LFSR_UPDATE = 0x28
    ABORT = 0x2C  # a write of any value ends the running command
    COUNTERS = 0x400  # counter i: low word at + 8 i, high word at + 8 i + 4


class Status(IntEnum):
    """Bits of STATUS by their number."""

    BUSY = 0
    REFUSED = 1  # the last command refused its sample, or restore a label
    FINISHED = 2  # the last command came to its end
    STALE = 3  # the host has written what the counts follow from; see `STALES`


STALE_COMMANDS = (Command.INFER, Command.RESTORE)
"""Commands that are taken while the counts do not follow from the labels."""

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


def arguments(command: Command, seen: int, classes: int) -> range:
    """Arguments with which a chip that is idle and not stale takes a command; others get SLVERR.

    Parameters
    ----------
    command : Command
    seen : int
        The chip's register SEEN: how many classes have been announced.
    classes : int
        Of the network.

    Returns
    -------
    range
        Empty where the command is refused whatever its argument, as RETRAIN is while `seen` is 0. A command
        that has no use for its argument takes all 2^16.
    """
    return {
        Command.STAGE: range(classes),
        Command.INSERT: range(seen),
        Command.ARRIVE: range(seen, classes + 1),
        Command.RETRAIN: range(1 << 16 if seen else 0),
    }.get(command, range(1 << 16))


def writable(memories: tuple[Memory, ...]) -> dict[Register, range]:
    """Registers that the host writes while the chip is idle, with the values that are taken.

    Parameters
    ----------
    memories : tuple of Memory
        A plan's. One that is not among them has no rows.
    """
    depth = {m.name: m.depth for m in memories}
    lfsr = range(1, 1 << 32)
    return {
        Register.SEEN: range(depth.get("replay.count", 0) + 1),
        Register.QUOTA: range(depth.get("replay.label", 0) + 1),
        Register.STAGED: range(depth.get("staging.label", 0) + 1),
        Register.LFSR_WALK: lfsr,
        Register.LFSR_ERROR: lfsr,
        Register.LFSR_UPDATE: lfsr,
    }


_COUNTED = tuple(d.name for d in DECLARATIONS.values() if d.counted)
COUNTERS = (
    *(event.counter for event in Event),
    *(f"{name}.{way}" for name in _COUNTED for way in ("reads", "writes")),
)
"""Names of the event counters of a chip that has every memory."""


def counters(memories: tuple[Memory, ...]) -> tuple[str, ...]:
    """Names of the chip's event counters in the order of their registers."""
    absent = set(_COUNTED) - {m.name for m in memories}
    return tuple(n for n in COUNTERS if n.rpartition(".")[0] not in absent)


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
        return -(-self.memory.width // 32)

    @property
    def stride(self) -> int:
        """32-bit words from one row to the next."""
        return 1 << (self.chunks - 1).bit_length()

    def address(self, row: int, chunk: int) -> int:
        """Byte address of the 32-bit word that holds bits 32 `chunk` and up of a row."""
        return self.base + 4 * (row * self.stride + chunk)


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
)
"""Registers that every command is held to in co-simulation, and that a waveform's view shows: names of `Register`,
in lower case, and of the sequencer's own signals."""
