"""Bare Verilator: the Verilog alone, with a C++ program in place of cocotb.

Its speed is what the simulator's two modes are compared with, and it holds images and sessions of a user to them.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from xnoreplay.flow.run import processes, temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.tools import children
from xnoreplay.flow.run.verilate import BARE_RUNTIME, TOP, Built, Verilate
from xnoreplay.flow.verify import programs
from xnoreplay.spec import image as layouts
from xnoreplay.spec import plan as plans
from xnoreplay.spec import registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import Register
from xnoreplay.spec.rows import Images, chunks
from xnoreplay.spec.snapshot import Snapshot

if TYPE_CHECKING:
    from xnoreplay.sim.run import Simulator

MAIN = Path(__file__).parent / "bare.cpp"


def load_writes(plan: Plan, bundle: Bundle, seen: int) -> list[tuple[int, int]]:
    """Bus writes (address, data) that load a bundle and announce so many classes."""
    windows = {w.memory.name: w for w in registers.windows(plan.memories)}
    writes: list[tuple[int, int]] = []
    for name, bits in layouts.load(plan, bundle).items():
        window = windows[name]
        for row, value in enumerate(map(to_int, bits)):
            writes += window.words(row, value)
    writes.append((int(Register.COMMAND), Command.ARRIVE | seen << 16))
    return writes


def words(plan: Plan, bundle: Bundle, images: np.ndarray, seen: int) -> np.ndarray:
    """The words that `bare.cpp` reads to load a bundle, announce so many classes and infer images; see `_words`."""
    commands = [(int(Command.INFER), image) for image in images]
    return _words(plan, load_writes(plan, bundle, seen), commands, [], [])


def _words(
    plan: Plan,
    before: list[tuple[int, int]],
    images: list[tuple[int, np.ndarray]],
    after: list[tuple[int, int]],
    reads: list[int],
) -> np.ndarray:
    """The words that `bare.cpp` reads, uint32.

    before, after : writes (address, data) before and after the images
    images : of each the word that is written to COMMAND, and the image
    reads : addresses that are read at the end
    """
    head = [
        len(before),
        len(images),
        plan.input.pixels,
        Register.COMMAND,
        Register.PREDICTION,
        len(after),
        len(reads),
    ]
    sent = [n for word, image in images for n in (word, *plan.input.payloads(image))]
    parts = (head, np.array(before).ravel(), np.array(after).ravel(), reads, sent)
    return np.concatenate([np.array(part, np.int64) for part in parts]).astype("<u4")


class Driven(NamedTuple):
    """What the C++ program found.

    cycles : clock edges of the images
    seconds : of the processor for these
    after_images : what was read after each image
    at_end : words read at the end
    built : the compiled simulation
    build_cpu : seconds of processor time that it took
    """

    cycles: int
    seconds: float
    after_images: list[int]
    at_end: list[int]
    built: Built
    build_cpu: float


class Design(NamedTuple):
    """A chip for bare Verilator.

    verilog : its text
    env : of the tools; see `flow.run.tools.verilator_env`
    optimise : the C++ compiler's option
    """

    verilog: str
    env: dict[str, str]
    optimise: str


def _drive(script: np.ndarray, images: int, design: Design, progress: Progress) -> Driven:
    """Compile Verilog with `bare.cpp`, and let it carry out a script of `_words`; raises CheckFailure where it stops."""
    before = children()
    with programs.of_chip(MAIN, design.verilog) as main:
        built = Verilate(design.env, design.optimise).build(
            design.verilog, "bare", [], "`verilator_config\n", main, BARE_RUNTIME, [], progress
        )
    build_cpu = children() - before
    with temporary.folder("bare") as work:
        file = work / "words"
        script.tofile(file)
        with (
            progress.task("bare Verilator, images", images) as task,
            processes.started(
                [built.folder / TOP, file],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            assert process.stdout
            assert process.stderr
            said = ""
            for line in process.stderr:
                if line.strip():
                    said += line
                else:
                    task.advance()
            output = process.stdout.read()
    if process.returncode:
        raise CheckFailure(f"the chip must run in bare Verilator, but: {said.strip()}")
    figures, *read = output.splitlines()[:3]
    cycles, seconds = figures.split()
    predicted, at_end = ([int(word) for word in line.split()] for line in read)
    return Driven(int(cycles), float(seconds), predicted, at_end, built, build_cpu)


def bare_verilator(
    preset: Preset,
    bundle: Bundle,
    images: np.ndarray,
    design: Design,
    progress: Progress,
) -> dict:
    """Recognise images in bare Verilator and time it.

    Parameters
    ----------
    images : (n, *`NetworkSpec.image_shape`) uint8

    Returns
    -------
    dict
        ``cycles`` clock edges of the images, ``seconds``, ``cycles_per_second``,
        ``build_seconds``, ``build_cpu`` seconds of processor time, ``images``.

    Raises
    ------
    CheckFailure
        Where a prediction is not the simulator's.
    """
    from xnoreplay.sim.run import Simulator

    plan = plans.compile(preset.network, preset.target)
    seen = preset.scenario.classes
    found = _drive(words(plan, bundle, images, seen), len(images), design, progress)
    model = Simulator(plan, bundle)
    model.arrive(seen)
    _must_predict(preset, model.predict(images).tolist(), found.after_images)
    return {
        "images": len(images),
        "cycles": found.cycles,
        "seconds": found.seconds,
        "cycles_per_second": found.cycles / found.seconds,
        "build_seconds": found.built.seconds,
        "build_cpu": found.build_cpu,
        "build_kept": found.built.kept,
    }


def check_predictions(
    preset: Preset,
    chip: "Simulator",
    images: Images,
    design: Design,
    progress: Progress,
) -> int:
    """Classify images with the Verilog, in the state of a simulated chip, and hold its answers to the simulator's.

    Parameters
    ----------
    preset : Preset
    chip : Simulator
        Idle; its state is written into the Verilog as a host restores it.
    images : (n, *`NetworkSpec.image_shape`) uint8
    design : Design
    progress : Progress

    Returns
    -------
    int
        Clock cycles of the images in the Verilog.

    Raises
    ------
    CheckFailure
        Where a class is not the simulator's.
    """
    restored = list(snapshots.writes(chip.plan, chip.snapshot()))
    commands = [(int(Command.INFER), image) for image in images]
    script = _words(chip.plan, restored, commands, [], [])
    found = _drive(script, len(images), design, progress)
    predicted = [c for part in chunks(images) for c in chip.predict(part).tolist()]
    _must_predict(preset, predicted, found.after_images)
    return found.cycles


def check_session(
    before: Snapshot,
    commands: Sequence[tuple[Command, int, int | None]],
    images: Images,
    chip: "Simulator",
    design: Design,
    progress: Progress,
) -> int:
    """Carry out a session with the Verilog, and hold all that a host reads of it then to a simulated chip.

    Parameters
    ----------
    before : Snapshot
        The state that the session starts from.
    commands : sequence of (Command, int, int or None)
        Command, argument and number of the sample of each: those with samples, then those without, but that an ARRIVE
        may come first.
    images : (n, *`NetworkSpec.image_shape`) uint8
    chip : Simulator
        After the same commands.
    design : Design
    progress : Progress

    Returns
    -------
    int
        How many words were compared.

    Raises
    ------
    CheckFailure
        Where a row of a memory or a register differs.
    """
    plan = chip.plan
    first = next(i for i, (_, _, number) in enumerate(commands) if number is not None)
    early: list[tuple[int, int]] = []
    late: list[tuple[int, int]] = []
    for i, (command, argument, number) in enumerate(commands):
        if number is None:
            (late if i > first else early).append((int(Register.COMMAND), command | argument << 16))
    entered = [(c | label << 16, images[i]) for c, label, i in commands if i is not None]
    restored = [*snapshots.writes(plan, before), *early]
    reads = list(snapshots.reads(plan))
    script = _words(plan, restored, entered, late, reads)
    found = _drive(script, len(entered), design, progress)
    got, wanted = snapshots.of_words(plan, found.at_end), chip.snapshot()
    for name, rows in wanted.memories.items():
        wrong = np.flatnonzero((rows != got.memories[name]).any(axis=1))
        if wrong.size:
            raise CheckFailure(
                f"row {wrong[0]:,} of {name} must be the simulator's after the session in Verilator, but "
                f"{wrong.size:,} of {len(rows):,} rows differ"
            )
    for register, value in wanted.registers.items():
        if got.registers[register] != value:
            raise CheckFailure(
                f"{register.name} must be {value} after the session in Verilator, not {got.registers[register]}"
            )
    return len(found.at_end)


def _must_predict(preset: Preset, expected: list[int], got: list[int]) -> None:
    """Raise CheckFailure where a prediction is not the expected one."""
    if got == expected:
        return
    i = next(i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if a != b)
    names = dict(enumerate(preset.scenario.names))
    wanted, said = (f"{c} ({names.get(c, 'none')})" for c in (expected[i], got[i]))
    raise CheckFailure(f"image {i} must be class {wanted} in Verilator, not {said}")
