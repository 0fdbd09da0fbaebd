"""Bare Verilator: the Verilog alone, with a C++ program in place of cocotb.

Its speed is what the simulator's two modes are compared with.
"""

import subprocess
from pathlib import Path

import numpy as np

from xnoreplay.flow.run import processes, temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.tools import children
from xnoreplay.flow.run.verilate import BARE_RUNTIME, TOP, Verilate
from xnoreplay.flow.verify import programs
from xnoreplay.spec import image as layouts
from xnoreplay.spec import plan as plans
from xnoreplay.spec import registers
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import Register

MAIN = Path(__file__).parent / "bare.cpp"


def load_writes(plan: Plan, bundle: Bundle, seen: int) -> list[tuple[int, int]]:
    """Bus writes (address, data) that load a bundle and announce so many classes."""
    windows = {w.memory.name: w for w in registers.windows(plan.memories)}
    writes = []
    for name, bits in layouts.load(plan, bundle).items():
        window = windows[name]
        for row, value in enumerate(map(to_int, bits)):
            for chunk in range(window.chunks):
                writes.append((window.address(row, chunk), value >> 32 * chunk & 0xFFFFFFFF))
    writes.append((int(Register.COMMAND), Command.ARRIVE | seen << 16))
    return writes


def words(plan: Plan, bundle: Bundle, images: np.ndarray, seen: int) -> np.ndarray:
    """The words that `bare.cpp` reads: uint32, numbers of writes and images first, then addresses and data, then pixels."""
    writes = load_writes(plan, bundle, seen)
    head = [
        len(writes),
        len(images),
        plan.input.pixels,
        Register.COMMAND,
        Command.INFER,
        Register.PREDICTION,
    ]
    sent = [n for image in images for n in plan.input.payloads(image)]
    return np.concatenate([np.array(head), np.array(writes).ravel(), sent]).astype("<u4")


def bare_verilator(
    preset: Preset,
    bundle: Bundle,
    images: np.ndarray,
    verilog: str,
    env: dict[str, str],
    progress: Progress,
    optimise: str = "-O2",
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
    before = children()
    with programs.of_chip(MAIN, verilog) as main:
        built = Verilate(env, optimise).build(
            verilog, "bare", [], "`verilator_config\n", main, BARE_RUNTIME, [], progress
        )
    build_cpu = children() - before
    with temporary.folder("bare") as work:
        script = work / "words"
        words(plan, bundle, images, seen).tofile(script)
        with (
            progress.task("bare Verilator, images", len(images)) as task,
            processes.started(
                [built.folder / TOP, script],
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
    figures, predicted = output.splitlines()[:2]
    model = Simulator(plan, bundle)
    model.arrive(seen)
    expected = model.predict(images).tolist()
    got = [int(p) for p in predicted.split()]
    if got != expected:
        i = next(i for i, (a, b) in enumerate(zip(expected, got, strict=True)) if a != b)
        names = dict(enumerate(preset.scenario.names))
        wanted, said = (f"{c} ({names.get(c, 'none')})" for c in (expected[i], got[i]))
        raise CheckFailure(f"image {i} must be class {wanted} in Verilator, not {said}")
    cycles, seconds = figures.split()
    return {
        "images": len(images),
        "cycles": int(cycles),
        "seconds": float(seconds),
        "cycles_per_second": int(cycles) / float(seconds),
        "build_seconds": built.seconds,
        "build_cpu": build_cpu,
        "build_kept": built.kept,
    }
