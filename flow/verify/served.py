"""The chip's Verilog, compiled by Verilator, as a bus for `host.driver.Driver`.

>>> # with served.chip(preset, verilog, env, progress) as bus:
>>> #     driver = Driver(bus, preset)
"""

import math
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from xnoreplay.flow.run import processes
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import BARE_RUNTIME, TOP, Built, Verilate
from xnoreplay.flow.verify import programs
from xnoreplay.host.bus import HostError, drops, whole_transfers, word
from xnoreplay.spec import plan as plans
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import Response

MAIN = Path(__file__).parent / "served.cpp"
PAUSE = 1000  # clocks between two reads of STATUS


def build(verilog: str, env: dict[str, str], progress: Progress, optimise: str = "-O2") -> Built:
    """Compile a chip's Verilog with the program that serves it, or take it from the cache."""
    with programs.of_chip(MAIN, verilog) as main:
        return Verilate(env, optimise).build(
            verilog, "served", [], "`verilator_config\n", main, BARE_RUNTIME, [], progress
        )


def command(built: Built, preset: Preset) -> list[str]:
    """The command line that starts a compiled chip, from its reset; `served.cpp` says what it reads and writes."""
    return [str(built.folder / TOP), str(_bytes(preset))]


def _bytes(preset: Preset) -> int:
    """Bytes of a transfer of the chip's stream."""
    return plans.compile(preset.network, preset.target).input.byte_lanes


@contextmanager
def chip(
    preset: Preset, verilog: str, env: dict[str, str], progress: Progress, optimise: str = "-O2"
) -> Iterator["ServedBus"]:
    """A chip after its reset, as long as the context lasts.

    Parameters
    ----------
    preset : Preset
        Of the chip.
    verilog : str
        Its text.
    env : dict
        Of `flow.run.tools.verilator_env`.
    progress : Progress
        Shows the time that compiling takes.
    optimise : str
        The C++ compiler's option for the design.

    Yields
    ------
    ServedBus
    """
    built = build(verilog, env, progress, optimise)
    with processes.started(
        command(built, preset), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        yield ServedBus(process.stdin, process.stdout, _bytes(preset))
        process.stdin.close()


class ServedBus:
    """A `host.bus.Bus` on the two pipes of a process of `served.cpp`.

    Parameters
    ----------
    requests, answers : binary files
    channels : int
        Bytes of a transfer: a pixel, or a part of a latent.
    """

    def __init__(self, requests: IO[bytes], answers: IO[bytes], channels: int) -> None:
        self._requests, self._answers, self._channels = requests, answers, channels

    def read(self, address: int) -> tuple[Response, int]:
        """Read a word."""
        answer, data = self._ask(b"R" + struct.pack("<I", word("an address", address)), 2)
        return Response(answer), data

    def write(self, address: int, data: int) -> Response:
        """Write a word; one of ABORT also drops the pixels that wait with the process."""
        words = word("an address", address), word("data", data)
        answer = Response(self._ask(b"W" + struct.pack("<II", *words), 1)[0])
        if drops(address):
            self._ask(b"D", 1)
        return answer

    def stream(self, pixels: bytes, seconds: float = math.inf, /) -> None:  # noqa: ARG002
        """Leave pixels with the process, which offers them to the chip."""
        sent = whole_transfers(pixels, self._channels)
        self._ask(b"P" + struct.pack("<I", len(sent) // self._channels) + sent, 1)

    def pause(self) -> None:
        """Let the chip work for `PAUSE` clocks."""
        self._ask(b"T" + struct.pack("<I", PAUSE), 1)

    def _ask(self, request: bytes, words: int) -> tuple[int, ...]:
        """Send a request and take its answer, of so many words.

        Raises
        ------
        HostError
            Where the process has ended.
        """
        try:
            self._requests.write(request)
            self._requests.flush()
            got = self._answers.read(4 * words)
        except OSError:
            got = b""
        if len(got) < 4 * words:
            raise HostError("the simulated chip must answer, but its process has ended")
        return struct.unpack(f"<{words}I", got)
