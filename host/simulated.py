"""The simulator in place of a chip: a bus for `Driver`."""

import math

import numpy as np

from xnoreplay.host.bus import HostError, drops, whole_transfers, word
from xnoreplay.sim.host import HostPort
from xnoreplay.sim.run import Simulator
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError, shown
from xnoreplay.spec.registers import Register, Response, Status

_WAITS = 1 << 40  # cycles by which a pixel is late that never came


class SimulatedBus:
    """A simulated chip that is idle whenever it does not wait for pixels.

    Words, answers and what they change are those of the Verilog; how long a transfer takes is not simulated.

    Parameters
    ----------
    chip : Simulator
        In either mode, from power-on.

    Raises
    ------
    SpecError
        For what is no simulator.
    """

    def __init__(self, chip: Simulator) -> None:
        if not isinstance(chip, Simulator):
            raise SpecError(f"chip must be a Simulator, not {shown(chip)}")
        self.chip = chip
        self._port = HostPort(chip)
        self._taken = 0  # what COMMAND reads as
        self._waiting: tuple[Command, int] | None = None
        self._pixels = bytearray()

    def read(self, address: int) -> tuple[Response, int]:
        """Read a word."""
        address = word("an address", address) & ~3
        if address == Register.COMMAND:
            return Response.OKAY, self._taken
        if not self._waiting:
            return self._port.transfer(address)
        return self._read_waiting(address)

    def write(self, address: int, data: int) -> Response:
        """Write a word; a command that needs no more pixels has come to its end when this returns.

        One of ABORT also drops the pixels that wait.
        """
        address, data = word("an address", address) & ~3, word("data", data)
        if drops(address):
            if self._waiting:
                self._abort()
            self._pixels.clear()
            return Response.OKAY
        if self._waiting and address != Register.ERRORS:
            return self._refuse(address)
        if address != Register.COMMAND:
            return self._port.transfer(address, data)[0]
        answer = self._start(data & 255, data >> 16)
        if answer is Response.OKAY:
            self._taken = data & ~0xFF00
            self._run()
        return answer

    def stream(self, pixels: bytes, seconds: float = math.inf, /) -> None:  # noqa: ARG002
        """Queue pixels, which takes no time; those that no command has asked for yet wait."""
        self._pixels += whole_transfers(pixels, self.chip.plan.input.byte_lanes)
        self._run()

    def pause(self) -> None:
        """Refuse to wait: a simulated chip that is busy waits for pixels that are not there.

        Raises
        ------
        HostError
            Always.
        """
        raise HostError(
            f"an image must have {self._size} bytes, but the chip was offered {len(self._pixels)}"
        )

    @property
    def _size(self) -> int:
        entry = self.chip.plan.input
        return entry.pixels * entry.byte_lanes

    def _start(self, number: int, argument: int) -> Response:
        """Take a command or refuse it: one with an image waits for that."""
        if number not in list(Command) or not Command(number).image:
            return self._port.transfer(Register.COMMAND, number | argument << 16)[0]
        command = Command(number)
        if self._port.refuses(command, argument):
            return Response.SLVERR
        self._waiting = command, argument
        return Response.OKAY

    def _run(self) -> None:
        """Carry out the command that waits, if its image is whole."""
        if self._waiting and len(self._pixels) >= self._size:
            (command, argument), self._waiting = self._waiting, None
            sent = np.frombuffer(bytes(self._pixels[: self._size]), np.uint8)
            del self._pixels[: self._size]
            self.chip.carry_out(command, argument, self._sample(sent))

    def _sample(self, sent: np.ndarray) -> np.ndarray:
        """The image, or the packed latent, of (bytes,) uint8 as they are sent."""
        plan = self.chip.plan
        parts = sent.reshape(plan.input.pixels, plan.input.byte_lanes)
        return plan.input.sample(parts).reshape(plan.network.image_shape)

    def _abort(self) -> None:
        """End the command that waits: the chip has taken the pixels that were offered."""
        assert self._waiting is not None
        (command, argument), self._waiting = self._waiting, None
        entry = self.chip.plan.input
        taken = len(self._pixels) // entry.byte_lanes
        whole = taken * entry.byte_lanes
        sent = np.zeros(self._size, np.uint8)
        sent[:whole] = np.frombuffer(bytes(self._pixels[:whole]), np.uint8)
        gaps = np.zeros(entry.pixels, np.int64)
        gaps[taken] = _WAITS
        self.chip.abort(taken * entry.words + 1)
        self.chip.carry_out(command, argument, self._sample(sent), gaps)

    def _read_waiting(self, address: int) -> tuple[Response, int]:
        """Read a word while the chip waits for pixels: no window, and BUSY is 1."""
        if self._port.window_at(address):
            return Response.SLVERR, 0
        answer, data = self._port.transfer(address)
        if address == Register.STATUS:
            data = 1 << Status.BUSY | data & 1 << Status.STALE
        if address == Register.PHASE:
            data = self.chip.plan.phases.index(self.chip.plan.input.name)
        return answer, data

    def _refuse(self, address: int) -> Response:
        """The answer to a write while the chip waits for pixels: DECERR where this chip has nothing, else SLVERR."""
        return Response.DECERR if self.read(address)[0] is Response.DECERR else Response.SLVERR
