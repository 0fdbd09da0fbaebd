"""What a driver needs of the connection to a chip."""

import math
import sys
from collections.abc import Iterable
from typing import Protocol

from xnoreplay.spec.errors import SpecError, XnoreplayError, require, shown
from xnoreplay.spec.registers import Register, Response


class HostError(XnoreplayError):
    """A chip, or the connection to it, that answers something else than a driver's call needs."""


def check_object(what: str, value: object, methods: Iterable[str]) -> None:
    """Check that a value has methods to call.

    Parameters
    ----------
    what : str
        What the sentence calls it.
    value : object
    methods : iterable of str

    Raises
    ------
    SpecError
        For a value without one of them, and for a class, whose methods have no object yet.
    """
    if isinstance(value, type):
        raise SpecError(f"{what} must be an object, not the class {value.__name__}")
    for name in methods:
        if not callable(getattr(value, name, None)):
            raise SpecError(f"{what} must have a method {name!r}, which {shown(value)} has not")


def seconds_of(what: str, value: object) -> float:
    """A time that a user gives, in seconds.

    Parameters
    ----------
    what : str
        What the sentence calls it.
    value : int or float

    Raises
    ------
    SpecError
        For what is no number above 0, and for an integer above all numbers of Python's `float`.
    """
    if not (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        raise SpecError(f"{what} must be a number of seconds above 0, not {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise SpecError(
            f"{what} must be at most {sys.float_info.max:.3g} seconds, not {shown(value)}"
        ) from None


def word(what: str, value: int) -> int:
    """An address or the data of a transfer, as a Python integer.

    Parameters
    ----------
    what : str
        "an address" or "data", for the sentence.
    value : int
        Of Python or NumPy.

    Raises
    ------
    SpecError
        For what is no integer of 0 to 2^32 - 1.
    """
    number = require.whole(what, value)
    require.between(what, number, 0, (1 << 32) - 1)
    return number


def whole_transfers(pixels: bytes, byte_lanes: int) -> bytes:
    """What a stream is offered, as Python's bytes.

    Parameters
    ----------
    pixels : bytes, bytearray or memoryview
    byte_lanes : int
        Bytes of a transfer of the chip's stream.

    Raises
    ------
    SpecError
        For what is no bytes, and for bytes that end inside a transfer.
    """
    if not isinstance(pixels, bytes | bytearray | memoryview):
        raise SpecError(f"pixels must be bytes, not {shown(pixels)}")
    sent = bytes(pixels)
    if len(sent) % byte_lanes:
        raise SpecError(
            f"pixels must be whole transfers of {byte_lanes} bytes, not {len(sent)} bytes"
        )
    return sent


def drops(address: int) -> bool:
    """Whether a write to a byte address, whose lowest two bits the chip ignores, is one of ABORT, see `Bus.write`."""
    return address & ~3 == Register.ABORT


class Bus(Protocol):
    """A connection to a chip's register port and to its pixel stream.

    A bus to a chip whose clock runs in real time may have an attribute `seconds`: the longest time of one transfer, from
    which `Driver` derives how long it waits. Without it, or where it is None, the driver counts its reads alone.

    A connection that fails raises `HostError`; an address or data that is no word of 32 bits, and pixels that are no whole
    transfers, raise `SpecError`.
    """

    def read(self, address: int) -> tuple[Response, int]:
        """Read the 32-bit word at a byte address: the answer, and the word, 0 where that is not OKAY."""

    def write(self, address: int, data: int) -> Response:
        """Write a 32-bit word at a byte address.

        A write of ABORT (`drops`) also drops what `stream` was given and the chip has not taken: it would be taken for
        the beginning of the next sample.
        """

    def stream(self, pixels: bytes, seconds: float = math.inf, /) -> None:
        """Offer the bytes of pixels, or of a latent's transfers, to the stream.

        Their order is that of `xnoreplay.spec.host_map`.

        Returns when the chip has taken all, or will take them without this program. Where it must wait for the chip, it
        raises `HostError` once the chip has taken nothing for so many seconds.
        """

    def pause(self) -> None:
        """Let the chip work, after STATUS has shown BUSY and before it is read again."""
