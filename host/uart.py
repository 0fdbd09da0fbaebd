"""A chip behind its UART bridge, as a bus for `Driver`."""

import time
from typing import Protocol

from xnoreplay.host.bus import HostError
from xnoreplay.spec import frames
from xnoreplay.spec.errors import require
from xnoreplay.spec.frames import MOST_BYTES, Code, Frame
from xnoreplay.spec.registers import Register, Response

TRIES = 3  # of a frame that arrives damaged
TIMEOUT = 1.0  # seconds without an answer
REFUSALS = 100_000  # of pixels that the chip does not take


class Port(Protocol):
    """What of pyserial's `Serial` is used."""

    def write(self, data: bytes) -> object:
        """Send bytes."""

    def read(self, size: int) -> bytes:
        """Receive so many bytes, or fewer where they do not come in time."""

    def reset_input_buffer(self) -> None:
        """Forget what was received."""


class UartBus:
    """A `host.bus.Bus` over frames of `xnoreplay.spec.frames`.

    Parameters
    ----------
    port : Port
        As pyserial's `Serial`, with a time-out.
    byte_lanes : int
        Bytes of a transfer of the chip's stream, which is a pixel or a part of a latent: `xnoreplay.spec.plan.Input.byte_lanes`
        of the chip's plan, an eighth of ``stream.data_bits`` of its ``manifest.json``. A frame holds whole transfers.

    Raises
    ------
    SpecError
        Where no transfer of so many bytes fits a frame.
    """

    def __init__(self, port: Port, byte_lanes: int) -> None:
        require.between("byte_lanes", byte_lanes, 1, MOST_BYTES)
        self._port = port
        self._part = MOST_BYTES // byte_lanes * byte_lanes
        port.reset_input_buffer()

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
            Where pyserial is not installed, or does not open the port.
        SpecError
            As of `UartBus`.
        """
        require.between("byte_lanes", byte_lanes, 1, MOST_BYTES)
        try:
            import serial
        except ImportError:
            raise HostError(
                "pyserial must be installed for a serial port, but is not: pip install 'xnoreplay[host]'"
            ) from None
        try:
            return cls(serial.Serial(name, baud, timeout=TIMEOUT), byte_lanes)
        except (OSError, ValueError) as error:  # SerialException is an OSError
            raise HostError(f"serial port {name} must open, but: {error}") from None

    def read(self, address: int) -> tuple[Response, int]:
        """Read a word."""
        code, data = self._ask(Frame.READ, frames.read(address))
        return Response(code & 3), int.from_bytes(data, "little")

    def write(self, address: int, data: int) -> Response:
        """Write a word; one of ABORT also drops the transfers that wait in the bridge."""
        answer = Response(self._ask(Frame.WRITE, frames.write(address, data))[0] & 3)
        if address == Register.ABORT:
            self._ask(Frame.PIXELS, frames.pixels(b""))
        return answer

    def stream(self, pixels: bytes) -> None:
        """Send transfers, pixels or parts of latents, a frame at a time; the last frame waits in the bridge.

        Raises
        ------
        HostError
            Where the chip does not take them.
        """
        for start in range(0, len(pixels), self._part):
            frame = frames.pixels(pixels[start : start + self._part])
            for _ in range(REFUSALS):
                if self._ask(Frame.PIXELS, frame)[0] is Code.OKAY:
                    break
            else:
                raise HostError("the chip must take the pixels that it is offered, but does not")

    def pause(self) -> None:
        """Let other programs of this machine run: a read of STATUS over the line takes long enough for the chip."""
        time.sleep(0)

    def _ask(self, kind: Frame, frame: bytes) -> tuple[Code, bytes]:
        """Send a frame and take its answer: its code, and the data of a word that was read.

        Raises
        ------
        HostError
            Where no whole answer comes in time, or none that is right.
        """
        for _ in range(TRIES):
            self._port.write(frame)
            answer = self._port.read(2)
            if len(answer) == 2:
                answer += self._port.read(frames.answer_bytes(kind, answer[0]) - 2)
            code = self._checked(kind, answer)
            if code is not Code.DAMAGED:
                return code, answer[1:-1]
        raise HostError(f"a frame must arrive undamaged once in {TRIES} times, but did not")

    def _checked(self, kind: Frame, answer: bytes) -> Code:
        """The code of a whole answer.

        Raises
        ------
        HostError
            For one that is damaged, too short or of no known code.
        """
        known = bool(answer) and answer[0] in set(Code)
        if (
            not known
            or len(answer) != frames.answer_bytes(kind, answer[0])
            or frames.crc(answer[:-1]) != answer[-1]
        ):
            self._port.reset_input_buffer()
            got = answer.hex(" ") if answer else "nothing"
            raise HostError(f"the serial line must bring a whole answer, but brought {got}")
        code = Code(answer[0])
        if code is Code.UNKNOWN:
            raise HostError("the chip's bridge must know the frame, but does not")
        return code
