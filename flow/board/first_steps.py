"""First steps with a chip on a board: from its reset to predictions and a learned class, held to the simulator.

`check` takes any bus: a serial port with the board at its end, or `netlist`, which simulates what nextpnr has read, the
netlist of the very bitstream, on its pins.
"""

import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from xnoreplay.flow.board import gates
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run import processes, temporary, tools
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import BARE_RUNTIME, TOP, Verilate, execute
from xnoreplay.flow.verify import scenario
from xnoreplay.host.bus import Bus
from xnoreplay.host.driver import Driver
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.host.uart import LONGEST, UartBus
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import Register

MAIN = Path(__file__).parent / "board.cpp"
SPEC, BUNDLE, SCRIPT = "spec.toml", "bundle.safetensors", "first_steps.py"
"""In the folder of a bitstream: the chip, its trained network, and the program of first steps."""
FEW = 3
"""Samples of a class in a simulation on pins."""
PROBES = 20
"""Test images that are classified before and after the session."""
PATIENCE = 64 * LONGEST
"""Bits' time after which a simulated board has not answered."""


@dataclass(frozen=True)
class Samples:
    """What the first steps show a chip: images, each (height, width, channels) uint8, and their classes."""

    known: list[tuple[np.ndarray, int]]
    new: list[np.ndarray]
    probes: list[tuple[np.ndarray, int]]


def samples(preset: Preset, progress: Progress, most: int | None = None) -> Samples:
    """Take the samples of a preset's first session from its data set, or random images where that is not here.

    Parameters
    ----------
    preset : Preset
        Its scenario has a session.
    progress : Progress
        Told where random images stand in.
    most : int, optional
        Of a class, in place of all that the session has.
    """
    planned, plan = preset.scenario, plans.compile(preset.network, preset.target)
    dataset = registry.of_preset_or_random(preset, progress)
    first = scenario.power_on(planned, dataset, plan.first_samples(planned.base), 0)
    arriving = scenario.session(planned, dataset, 1)
    per_class = [[s for s in first if s.label == label][:most] for label in range(planned.base)]
    order = {label: k for k, label in enumerate(planned.order[: planned.base + 1])}
    probes = [
        (image, order[int(label)])
        for image, label in zip(dataset.test_images, dataset.test_labels, strict=True)
        if int(label) in order
    ]
    return Samples(
        [(dataset.images[s.index], s.label) for one in per_class for s in one],
        [dataset.images[s.index] for s in arriving if s.label == planned.base][:most],
        probes[:PROBES],
    )


def first_steps(
    driver: Driver, bundle: Bundle, shown: Samples, progress: Progress
) -> dict[str, Any]:
    """Bring a chip from its reset to predictions and one learned class; what the host has seen on the way.

    Returns
    -------
    dict
        remembered, enrolled: whether each sample was taken; before, after: the class of each probe; counters; registers
        and memories at the end.
    """
    base = driver.preset.scenario.base
    with progress.task("network, images and predictions", 4) as task:
        driver.load(bundle, classes=base)
        task.advance(1, "the network is loaded")
        seen: dict[str, Any] = {
            "remembered": [driver.remember(image, label) for image, label in shown.known],
            "before": [driver.classify(image) for image, _ in shown.probes],
        }
        task.advance(1, "the known classes are remembered")
        seen["enrolled"] = [driver.enrol(image, base) for image in shown.new]
        driver.learn()
        task.advance(1, "the new class is learned")
        seen["after"] = [driver.classify(image) for image, _ in shown.probes]
        seen["counters"] = driver.counters()
        saved = driver.save()
        seen["registers"] = dict(saved.registers)
        seen["memories"] = {name: rows.tolist() for name, rows in saved.memories.items()}
        task.advance(1)
    # How long a chip waits for pixels is the line's doing.
    counters = seen["counters"]
    stalls = counters.pop("input.stalls", None)
    if "cycles" in counters:
        counters["cycles"] = counters["cycles"] - stalls if stalls is not None else None
    return seen


def check(
    bus: Bus,
    preset: Preset,
    bundle: Bundle,
    shown: Samples,
    progress: Progress,
    started: bool = True,
) -> dict:
    """Take the first steps on a bus and on the simulator, and hold what they say to each other.

    Parameters
    ----------
    bus : Bus
    preset : Preset
    bundle : Bundle
    shown : Samples
    progress : Progress
    started : bool
        Whether memories power up with 0, as the simulator's do. Where not, a row that holds what it did after the reset is
        taken for one of the simulator that is 0 still: nothing has written it.

    Returns
    -------
    dict
        What `first_steps` returns, the same of both, and right_before and right_after: the share of the probes whose class
        was right.

    Raises
    ------
    CheckFailure
        Where they differ; names what.
    """
    from xnoreplay.sim.run import Simulator

    simulated = SimulatedBus(Simulator(plans.compile(preset.network, preset.target), bundle))
    expected = first_steps(Driver(simulated, preset), bundle, shown, progress)
    begun = {} if started else Driver(bus, preset).save().memories
    found = first_steps(Driver(bus, preset), bundle, shown, progress)
    for name, held in begun.items():
        rows = found["memories"][name]
        for row, before in enumerate(held.tolist()):
            if rows[row] == before and not any(expected["memories"][name][row]):
                rows[row] = expected["memories"][name][row]
    for name, value in expected.items():
        if found[name] != value:
            what = _difference(value, found[name])
            raise CheckFailure(
                f"the board must do what the simulator does, but {name} differ: {what}"
            )
    right = {
        f"right_{when}": sum(
            p == label for p, (_, label) in zip(found[when], shown.probes, strict=True)
        )
        / max(1, len(shown.probes))
        for when in ("before", "after")
    }
    return found | right


def _difference(expected: Any, found: Any) -> str:
    """Where two things of one shape first differ."""
    pairs = expected.items() if isinstance(expected, dict) else enumerate(expected)
    for place, value in pairs:
        if found[place] != value:
            if isinstance(value, list):
                return f"{place}, row {_difference(value, found[place])}"
            return f"{place}: {found[place]} in place of {value}"
    return "their number"


@contextmanager
def netlist(
    file: Path, plan: plans.Plan, result: dict, progress: Progress
) -> Iterator[tuple[UartBus, "Pins"]]:
    """Simulate a netlist on its pins, as a bus, from power-on.

    Parameters
    ----------
    file : Path
        What nextpnr has read, `xnoreplay.flow.board.building.NETLIST`.
    plan : Plan
        Of its chip.
    result : dict
        What `building.make` says of it.
    progress : Progress

    Yields
    ------
    (UartBus, Pins)
    """
    from xnoreplay.hw.verilog import BOARD

    design = gates.lowered(file, BOARD, result["family"], progress)
    with temporary.folder("pins") as work:
        (work / "gates").write_bytes(gates.words(design).astype("<u4").tobytes())
        options = ["-DGATES", "-std=gnu++17", "-O2", f"-I{MAIN.parent}"]
        execute(["g++", *options, "-o", work / TOP, MAIN], dict(os.environ))
        command = [
            work / TOP,
            result["clocks"],
            int("button" in result["inverted"]),
            work / "gates",
        ]
        with _played(command, result["clocks"]) as pins:
            pins.wait()
            yield UartBus(pins, plan.input.byte_lanes), pins


@contextmanager
def on_pins(
    design: str, bit: int, up: int, progress: Progress, optimise: str = "-O1"
) -> Iterator["Pins"]:
    """Simulate a design on its pins: ``clk``, ``button``, ``uart_rx`` and ``uart_tx`` of its module `TOP`.

    Parameters
    ----------
    design : str
        Verilog.
    bit : int
        Clock cycles of a bit of its serial line.
    up : int
        What its pin ``button`` is while nobody presses.
    progress : Progress
    optimise : str
        The C++ compiler's option.

    Yields
    ------
    Pins
    """
    built = Verilate(tools.verilator_env(), optimise).build(
        design,
        "served",
        [],
        "`verilator_config\n",
        MAIN,
        BARE_RUNTIME,
        [],
        progress,
    )
    with _played([built.folder / TOP, bit, up], bit) as pins:
        yield pins


@contextmanager
def _played(command: list, bit: int) -> Iterator["Pins"]:
    """The pins of a process of ``board.cpp``."""
    words = [str(word) for word in command]
    with processes.started(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        yield Pins(process.stdin, process.stdout, bit)
        process.stdin.close()


class Pins:
    """A serial port whose wires are the pins of a simulated board, on the two pipes of a process of ``board.cpp``.

    Parameters
    ----------
    requests, answers : binary files
    bit : int
        Clock cycles of a bit.
    """

    def __init__(self, requests: IO[bytes], answers: IO[bytes], bit: int) -> None:
        self._requests, self._answers, self._bit = requests, answers, bit

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._requests.write(b"S" + struct.pack("<I", len(data)) + data)

    def read(self, size: int) -> bytes:
        """Receive so many bytes, or fewer where they do not come in time."""
        self._requests.write(b"G" + struct.pack("<II", size, PATIENCE * self._bit))
        self._requests.flush()
        return self._answers.read(self._word())

    def wait(self) -> int:
        """Wait until a reset is over; returns the number of clocks so far."""
        return self._button(0)

    def press(self) -> int:
        """Press the button, and wait until the reset is over; returns the number of clocks so far."""
        from xnoreplay.hw.board import HELD

        return self._button(2 * HELD)

    def _button(self, down: int) -> int:
        from xnoreplay.hw.board import HELD

        self._requests.write(b"B" + struct.pack("<II", down, 4 * HELD))
        self._requests.flush()
        return self._word()

    def _word(self) -> int:
        got = self._answers.read(4)
        if len(got) < 4:
            raise CheckFailure(
                "bytes on the line must have a start and a stop bit, but one has not"
            )
        return struct.unpack("<I", got)[0]

    def reset_input_buffer(self) -> None:
        """Forget nothing: a simulated line has no noise."""

    def close(self) -> None:
        """End nothing: the process ends with its context."""


def script(result: dict) -> str:
    """Return the program of first steps of a bitstream, from what `building.make` says of it."""
    return f"""\
\"\"\"First steps with the chip on {result["title"]}: python {SCRIPT} PORT, such as /dev/ttyUSB0.\"\"\"

import sys
from pathlib import Path

from xnoreplay.flow.run.progress import default
from xnoreplay.flow.board import first_steps
from xnoreplay.host.uart import UartBus
from xnoreplay.spec import bundle, presets

here = Path(__file__).parent
preset = presets.from_file(here / "{SPEC}")
network = bundle.read(here / "{BUNDLE}")
bus = UartBus.open(sys.argv[1], baud={result["baud"]}, byte_lanes={result["byte_lanes"]})
progress = default()
found = first_steps.check(bus, preset, network, first_steps.samples(preset, progress), progress)
print("The board does what the simulator does.")
print(f"Right of the test images: {{found['right_before']:.0%}}, after the session {{found['right_after']:.0%}}.")
"""


def simulated(
    folder: Path, result: dict, preset: Preset, bundle: Bundle, progress: Progress
) -> dict:
    """Take the first steps on the netlist of a bitstream, with `FEW` samples of each class.

    Parameters
    ----------
    folder : Path
        Has the netlist.
    result : dict
        What `building.make` says of it.
    preset : Preset
    bundle : Bundle
    progress : Progress

    Returns
    -------
    dict
        clocks; predictions, commands with a sample, counters and memory_bits: how many were compared.

    Raises
    ------
    CheckFailure
        Where netlist and simulator differ, or the button does not reset the chip.
    """
    from xnoreplay.flow.board.building import NETLIST

    compiled = plans.compile(preset.network, preset.target)
    shown = samples(preset, progress, FEW)
    with netlist(folder / NETLIST, compiled, result, progress) as (bus, pins):
        found = check(bus, preset, bundle, shown, progress)
        clocks = pins.press()
        if left := Driver(bus, preset).read(Register.SEEN):
            raise CheckFailure(f"the button must reset the chip, but it knows {left} classes still")
    return {"clocks": clocks} | compared(found)


def compared(found: dict) -> dict[str, int]:
    """Count what `check` has compared: predictions, samples, counters and memory_bits."""
    return {
        "predictions": len(found["before"]) + len(found["after"]),
        "samples": len(found["remembered"]) + len(found["enrolled"]),
        "counters": len(found["counters"]),
        "memory_bits": sum(len(row) for rows in found["memories"].values() for row in rows),
    }
