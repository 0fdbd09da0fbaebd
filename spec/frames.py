"""Frames: how a host's words and pixels travel over a serial line, byte by byte.

A host sends one frame and waits for its answer before it sends the next one. `docs/host.md` has the tables.

| host sends | answer |
|---|---|
| READ, address (4 bytes), check | code, data (4 bytes), check |
| WRITE, address (4), data (4), check | code, check |
| PIXELS, n (1 byte), n bytes, check | code, check |

Words go low byte first. A check is the CRC-8 (polynomial x^8 + x^2 + x + 1, from 0) of the bytes before it.
"""

from enum import IntEnum

from xnoreplay.spec.registers import Response

MOST_BYTES = 64
"""Bytes of pixels in a frame."""
POLYNOMIAL = 0x07


class Frame(IntEnum):
    """First byte of a frame of the host."""

    READ = 0x52  # R
    WRITE = 0x57  # W
    PIXELS = 0x50  # P


class Code(IntEnum):
    """First byte of an answer. No idle line reads so: a UART's is silent, and an SPI slave's has bytes of 0."""

    meaning: str

    def __new__(cls, value: int, meaning: str = "") -> "Code":
        """A member: its byte, with its meaning as an attribute."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    OKAY = 0xA0 | Response.OKAY, "carried out; pixels wait for the chip to take them"
    SLVERR = 0xA0 | Response.SLVERR, "the chip answered SLVERR"
    DECERR = 0xA0 | Response.DECERR, "the chip answered DECERR"
    DAMAGED = 0xA8, "the check is wrong; nothing was done"
    UNKNOWN = 0xA9, "no frame begins so, or n is not allowed; nothing was done"
    FULL = 0xAA, "the chip has not taken the pixels before; nothing was done: send these again"


def crc(data: bytes, start: int = 0) -> int:
    """The check of bytes.

    >>> hex(crc(b"123456789"))
    '0xf4'
    """
    sum_ = start
    for byte in data:
        sum_ = step(sum_, byte)
    return sum_


def step(check: int, byte: int) -> int:
    """The check after one byte more."""
    check ^= byte
    for _ in range(8):
        check = (check << 1 ^ (POLYNOMIAL if check & 0x80 else 0)) & 0xFF
    return check


def read(address: int) -> bytes:
    """The frame that reads a word."""
    return _checked(bytes([Frame.READ]) + address.to_bytes(4, "little"))


def write(address: int, data: int) -> bytes:
    """The frame that writes a word."""
    return _checked(
        bytes([Frame.WRITE]) + address.to_bytes(4, "little") + data.to_bytes(4, "little")
    )


def pixels(data: bytes) -> bytes:
    """The frame that offers bytes of whole pixels, `MOST_BYTES` at most.

    None drops those that wait.
    """
    return _checked(bytes([Frame.PIXELS, len(data)]) + data)


def answer(code: int, data: bytes = b"") -> bytes:
    """The answer of a code, with the bytes of the word where one was read."""
    return _checked(bytes([code]) + data)


def _checked(body: bytes) -> bytes:
    return body + bytes([crc(body)])


def answer_bytes(frame: Frame, code: int) -> int:
    """Bytes of an answer to a frame, the check included."""
    carried = code in (Code.OKAY, Code.SLVERR, Code.DECERR)
    return 6 if frame is Frame.READ and carried else 2
