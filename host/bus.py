"""What a driver needs of the connection to a chip."""

from typing import Protocol

from xnoreplay.spec.errors import XnoreplayError
from xnoreplay.spec.registers import Response


class HostError(XnoreplayError):
    """A chip, or the connection to it, that answers something else than a driver's call needs."""


class Bus(Protocol):
    """A connection to a chip's register port and to its pixel stream.

    A connection that fails raises `HostError`.
    """

    def read(self, address: int) -> tuple[Response, int]:
        """Read the 32-bit word at a byte address: the answer, and the word, 0 where that is not OKAY."""

    def write(self, address: int, data: int) -> Response:
        """Write a 32-bit word at a byte address."""

    def stream(self, pixels: bytes) -> None:
        """Offer the bytes of pixels, or of a latent's transfers, to the stream, in the order of `xnoreplay.spec.host_map`.

        Returns when the chip has taken all, or will take them without this program.
        """

    def pause(self) -> None:
        """Let the chip work, after STATUS has shown BUSY and before it is read again."""
