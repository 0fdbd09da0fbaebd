"""A chip behind its UART bridge, as a bus for `Driver`."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from time import monotonic, sleep
from typing import Protocol

from xnoreplay.host.bus import (
    HostError,
    check_object,
    drops,
    seconds_of,
    whole_transfers,
    word,
)
from xnoreplay.spec import frames, limits, registers
from xnoreplay.spec.errors import require
from xnoreplay.spec.frames import MOST_BYTES, Code, Frame
from xnoreplay.spec.registers import Register, Response

try:
    from termios import error as TermiosError
except ImportError:  # no POSIX system
    TermiosError = OSError  # type: ignore[misc, assignment]

TRIES = 3  # of a frame that arrives damaged, and of finding the line's place again
TIMEOUT = 1.0  # seconds without an answer, beside the time of the bytes
REFUSALS = 100_000  # of a frame of pixels that the chip does not take, on a line that knows no time
BIT_TIMES = 10  # of a byte: start, 8 bits of data, stop
LONGEST = len(frames.pixels(bytes(MOST_BYTES))) + frames.answer_bytes(Frame.PIXELS, Code.OKAY)
"""Bytes of a frame of pixels and its answer; no other frame has more."""
SILENT_READS = 16  # after which a line that still brings bytes is given up
_WORD = {Code.OKAY, Code.SLVERR, Code.DECERR}
_DROPPED = {Code.DAMAGED, Code.UNKNOWN}
ANSWERS = {
    Frame.READ: _WORD | _DROPPED,
    Frame.WRITE: _WORD | _DROPPED,
    Frame.PIXELS: {Code.OKAY, Code.FULL} | _DROPPED,
}
"""Codes with which the bridge answers a frame."""
NOWHERE = 0xFFFF_FFFC  # an address that no chip has
START = frames.read(Register.ID), frames.answer(Code.OKAY, registers.ID.to_bytes(4, "little"))
DIGITS = (
    (frames.read(NOWHERE), frames.answer(Code.DECERR, bytes(4))),
    (bytes([*START[0][:-1], START[0][-1] ^ 0xFF]), frames.answer(Code.DAMAGED)),
)
"""Frames that change nothing, and their answers: those of the digits 0 and 1, and of `START`, all differ."""


class Port(Protocol):
    """What of pyserial's `Serial` is used."""

    def write(self, data: bytes) -> object:
        """Send bytes."""

    def read(self, size: int) -> bytes:
        """Receive so many bytes, or fewer where they do not come in time."""

    def reset_input_buffer(self) -> None:
        """Forget what was received."""

    def close(self) -> None:
        """Give the port back."""


class UartBus:
    """A `host.bus.Bus` over frames of `xnoreplay.spec.frames`.

    An answer has no number, so one that comes late would be taken for that of the frame after. After a frame without a
    right answer the next one therefore waits until the line is silent, and first asks for what tells one ask from those
    before it, see `_find_place`; that takes twice the port's time-out. A transfer either has its own answer or raises
    `HostError`, however late answers come, as long as the line brings them in their order.

    Threads may share a bus: a frame and its answer are one. Two buses must not share a line.

    Parameters
    ----------
    port : Port
        As pyserial's `Serial`, with a time-out that is longer than the longest frame and its answer take, `LONGEST`
        bytes, in an attribute `timeout` where it has one.
    byte_lanes : int
        Bytes of a transfer of the chip's stream, which is a pixel or a part of a latent:
        `xnoreplay.spec.plan.Input.byte_lanes` of the chip's plan, an eighth of ``stream.data_bits`` of its
        ``manifest.json``. A frame holds whole transfers.
    seconds : float, optional
        As of `host.bus.Bus`; without it the port's `timeout`. A port whose chip is simulated has none.

    Raises
    ------
    SpecError
        Where no transfer of so many bytes fits a frame, for what is no port, for `seconds` that are no number above 0, and
        for a port whose `timeout` is none: a dead line would be waited for for ever, or never.
    """

    def __init__(self, port: Port, byte_lanes: int, seconds: float | None = None) -> None:
        require.between("byte_lanes", byte_lanes, 1, MOST_BYTES)
        check_object("port", port, ("write", "read", "reset_input_buffer"))
        self._port, self.seconds = port, None
        if hasattr(port, "timeout"):
            self.seconds = seconds_of("timeout of a port", port.timeout)
        if seconds is not None:
            self.seconds = seconds_of("seconds", seconds)
        self._byte_lanes = byte_lanes
        # A signal's routine may come into a frame of its own thread, which then loses its answer.
        self._line = RLock()
        self._part = MOST_BYTES // byte_lanes * byte_lanes
        self._lost = False  # bytes of an earlier answer may still come
        self._tries = (
            0  # to find the line's place that came to their digits, since it was known last
        )

    @classmethod
    def open(cls, name: str, baud: int, byte_lanes: int) -> "UartBus":
        """Open a serial port.

        Parameters
        ----------
        name : str
            Of the port, such as ``/dev/ttyUSB0``.
        baud : int
            Bits per second.
        byte_lanes : int
            Bytes of a transfer of the chip's stream, as of `UartBus`.

        Raises
        ------
        HostError
            Where pyserial is not installed, or does not open the port: because it is not there, or another driver has it.
        SpecError
            As of `UartBus`, and for a rate that is no integer from 1 to the most of `xnoreplay.spec.limits`.
        """
        require.between("byte_lanes", byte_lanes, 1, MOST_BYTES)
        limits.count("baud", baud)
        try:
            import serial
        except ImportError:
            raise HostError(
                "pyserial must be installed for a serial port, but is not: pip install 'xnoreplay[host]'"
            ) from None
        try:
            most = timeout(baud)
            port = serial.Serial(name, baud, timeout=most, write_timeout=most, exclusive=True)
            port.reset_input_buffer()  # fails where pyserial made a port that is not open
        except (OSError, ValueError, TermiosError) as error:  # SerialException is an OSError
            raise HostError(f"serial port {name} must open, but: {error}") from None
        return cls(port, byte_lanes, most)

    def close(self) -> None:
        """Give the port back, so that another driver may open it."""
        with _failures():
            self._port.close()

    def read(self, address: int) -> tuple[Response, int]:
        """Read a word."""
        code, data = self._ask(Frame.READ, frames.read(word("an address", address)))
        return Response(code & 3), int.from_bytes(data, "little")

    def write(self, address: int, data: int) -> Response:
        """Write a word; one of ABORT also drops the transfers that wait in the bridge."""
        frame = frames.write(word("an address", address), word("data", data))
        answer = Response(self._ask(Frame.WRITE, frame)[0] & 3)
        if drops(address):
            self._drop()
        return answer

    def stream(self, pixels: bytes, seconds: float = math.inf, /) -> None:
        """Send transfers, pixels or parts of latents, a frame at a time; the last frame waits in the bridge.

        Raises
        ------
        HostError
            Where the chip takes none for so many seconds, and for `REFUSALS` frames at most; those that wait in the bridge
            are dropped.
        """
        sent = whole_transfers(pixels, self._byte_lanes)
        for start in range(0, len(sent), self._part):
            self._offer(frames.pixels(sent[start : start + self._part]), seconds)

    def _offer(self, frame: bytes, seconds: float) -> None:
        """Send a frame of pixels until the bridge has room for it.

        Raises
        ------
        HostError
            As `stream`.
        """
        end = monotonic() + seconds
        for _ in range(REFUSALS):
            # Before the frame: a program that was held up itself sends it once more.
            late = monotonic() >= end
            if self._ask(Frame.PIXELS, frame)[0] is Code.OKAY:
                return
            if late:
                break
        self._drop()
        raise HostError("the chip must take the pixels that it is offered, but does not")

    def _drop(self) -> None:
        """Have the bridge forget the transfers that wait in it."""
        self._ask(Frame.PIXELS, frames.pixels(b""))

    def pause(self) -> None:
        """Let other programs of this machine run: a read of STATUS over the line takes long enough for the chip."""
        sleep(0)

    def _ask(self, kind: Frame, frame: bytes) -> tuple[Code, bytes]:
        """Send a frame and take its answer: its code, and the data of a word that was read.

        Raises
        ------
        HostError
            Where no whole answer comes in time, or none that is right.
        """
        with self._line:
            if self._lost:
                self._find_place()
            for _ in range(TRIES):
                code, data = self._exchange(kind, frame)
                if code is not Code.DAMAGED:
                    return code, data
        raise HostError(f"a frame must arrive undamaged once in {TRIES} times, but did not")

    def _exchange(self, kind: Frame, frame: bytes) -> tuple[Code, bytes]:
        """Send a frame once and take its answer, as `_ask`.

        Raises
        ------
        HostError
            For an answer that is damaged, too short or of a code that the frame never has.
        """
        self._lost = True
        with _failures():
            self._port.reset_input_buffer()  # what came since the last answer is noise
            self._port.write(frame)
            answer = self._port.read(2)
            if len(answer) == 2:
                answer += self._port.read(frames.answer_bytes(kind, answer[0]) - 2)
        if not _whole(kind, answer):
            got = answer.hex(" ") if answer else "nothing"
            raise HostError(f"the serial line must bring a whole answer, but brought {got}")
        code = Code(answer[0])
        if code is Code.UNKNOWN:
            raise HostError("the chip's bridge must know the frame, but does not")
        self._lost = False
        return code, answer[1:-1]

    def _find_place(self) -> None:
        """Drop all answers of earlier frames: wait for silence, then until the chip answers what only this try asks.

        A line is silent that brings fewer than `LONGEST` bytes within the port's time-out, in which more of them would
        fit. That is longer than the time of 16 bytes, after which the chip forgets a frame that has not come whole.

        A try asks `START` and then, one after another, the binary digits of its number, lowest first. Tries that come to
        their digits are counted, from the last right answer on. Where each is answered as it must be, the last answer is
        that of the last ask: were the answers those of earlier frames, they would be of one earlier try, because each try
        begins with a `START` and no digit is one; but an earlier try has another number or no digits, and ends or differs
        before these digits do.

        Raises
        ------
        HostError
            Where the line is never silent, or no try is answered.
        """
        self._until_silent()
        for _ in range(TRIES):
            if self._answers(self._tries + 1):
                self._lost, self._tries = False, 0
                return
        raise HostError(
            f"the chip must answer a read of ID once in {TRIES} times after an error of the line, but does not"
        )

    def _answers(self, number: int) -> bool:
        """Whether the chip answers `START` and then the binary digits of a number, lowest first."""
        ask, wanted = START
        with _failures():
            self._port.write(ask)
        if not self._until_silent().endswith(wanted):
            return False
        self._tries += 1
        while number:
            ask, wanted = DIGITS[number & 1]
            with _failures():
                self._port.write(ask)
                came = self._port.read(len(wanted))
            if came != wanted:
                self._until_silent()
                return False
            number >>= 1
        return True

    def _until_silent(self) -> bytes:
        """All bytes that come until the line is silent."""
        came = b""
        for _ in range(SILENT_READS):
            with _failures():
                part = self._port.read(LONGEST)
            came += part
            if len(part) < LONGEST:
                return came
        raise HostError(
            f"the serial line must be silent when the chip is not asked, but brought {came[:8].hex(' ')} and more"
        )


def timeout(baud: int) -> float:
    """Seconds that an answer is waited for: `TIMEOUT`, and the time of `LONGEST` bytes.

    >>> timeout(115_200) < 1.01, timeout(300) > 3
    (True, True)
    """
    return TIMEOUT + LONGEST * BIT_TIMES / baud


def _whole(kind: Frame, answer: bytes) -> bool:
    """Whether bytes are an undamaged answer of a code that a frame of this kind has."""
    return (
        bool(answer)
        and answer[0] in ANSWERS[kind]
        and len(answer) == frames.answer_bytes(kind, answer[0])
        and frames.crc(answer[:-1]) == answer[-1]
    )


@contextmanager
def _failures() -> Iterator[None]:
    """A port that fails, as one that was unplugged, as a sentence.

    Raises
    ------
    HostError
        With the reason that the system gives.
    """
    try:
        yield
    except (OSError, TermiosError) as error:  # pyserial's errors are OSErrors
        raise HostError(f"the serial port must work, but failed: {error}") from None
