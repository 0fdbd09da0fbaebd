"""The co-simulation step: build, compare, and on a difference say where it begins."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xnoreplay.flow import data as datasets
from xnoreplay.flow import files
from xnoreplay.flow.cosim import faults as fault_texts
from xnoreplay.flow.cosim import large, session
from xnoreplay.flow.cosim import netlist as netlists
from xnoreplay.flow.cosim import script as scripts
from xnoreplay.flow.cosim.faults import Faults
from xnoreplay.flow.cosim.script import CONTENTS, Script, Step
from xnoreplay.flow.cosim.session import Outcome, Setup
from xnoreplay.flow.cosim.verilate import TOP, Built, Verilate, cocotb_build
from xnoreplay.flow.data import Dataset
from xnoreplay.flow.progress import Progress
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure, SpecError, ToolError
from xnoreplay.spec.presets import Preset

VERILOG = f"{TOP}.v"  # in the folder of the generate step
REPLAYED = "replay"  # folder of what a difference needs to be seen again
ICARUS_LANGUAGE = "-g2005"
"""Yosys writes Verilog 2005, whose initial values are events that start `always @*` blocks; in
SystemVerilog they are none, and blocks without a changing input would keep X."""
SIMULATORS = ("verilator", "icarus")
LARGE_TEXT = 1_000_000  # characters of Verilog
LARGE_IMAGES = 2  # of a large network: each takes tens of thousands of cycles


@dataclass(frozen=True)
class Bench:
    """What all sessions of a run share."""

    preset: Preset
    bundle: Bundle
    verilog: str
    faults: Faults
    env: dict[str, str]
    work: Path
    optimise: str
    progress: Progress

    def setup(self, simulator: str) -> tuple[Setup, Built]:
        """Compile the Verilog for a simulator."""
        if simulator == "verilator":
            built = cocotb_build(Verilate(self.env, self.optimise), self.verilog, self.progress)
        else:
            built = _icarus(self.verilog, self.work)
        return Setup(self.preset, self.bundle, simulator, built.folder, self.faults), built


def run(
    preset: Preset,
    bundle: Bundle,
    verilog_dir: Path,
    out: Path,
    progress: Progress,
    images: int = 50,
    env: dict[str, str] | None = None,
    simulator: str = "verilator",
    faults: list[str] | None = None,
    dataset: Dataset | None = None,
    optimise: str | None = None,
    netlist: bool = False,
) -> dict:
    """Hold the Verilog of a run folder to the simulator.

    Parameters
    ----------
    verilog_dir : Path
        Folder that holds `VERILOG`, used as it is found there, or a Verilog file.
    out : Path
        Folder for the evidence.
    images : int
        Images compared on every memory bit, counter and phase boundary.
    env : dict, optional
        Environment of the tools; `flow.tools.verilator_env` without it.
    simulator : str
        "verilator" carries out the whole script; "icarus" a short one; "both" does both.
    faults : list of str, optional
        Deliberate faults; see `faults`.
    dataset : Dataset, optional
        Images and labels; the scenario's without it.
    optimise : str, optional
        The C++ compiler's option for Verilator's output; `optimisation` without it.
    netlist : bool
        Compare what yosys makes of the Verilog, a netlist of gates; see `netlist`.

    Returns
    -------
    dict
        What was compared, how often, and how fast.

    Raises
    ------
    CheckFailure
        Where the two differ; its evidence is in `out`.
    """
    plan = plans.compile(preset.network, preset.target)
    wanted = SIMULATORS if simulator == "both" else (simulator,)
    found = fault_texts.parse(faults or [], plan)
    data = dataset or datasets.of(preset)
    verilog = _verilog(verilog_dir)
    if found.plan:
        verilog = _modified(plan, found)
    result: dict = {"faults": list(faults or [])}
    with tempfile.TemporaryDirectory(prefix="xnoreplay-cosim-") as work:
        if netlist:
            mapped = netlists.build(verilog, Path(work) / "netlist", progress)
            verilog = mapped.verilog
            result["netlist"] = {
                "gates": mapped.gates, "flip_flops": mapped.flip_flops, "memories": mapped.memories
            }  # fmt: skip
        bench = Bench(
            preset, bundle, verilog, found, env or _tools_env(), Path(work),
            optimise or optimisation(verilog), progress,
        )  # fmt: skip
        for name in wanted:
            make: Callable[..., Script] = scripts.short
            arguments: tuple = ()
            if plan.is_large(preset.scenario.base):
                make, arguments = large.build, (bundle, min(images, LARGE_IMAGES))
            elif name == "verilator":
                make, arguments = scripts.build, (bundle, images)
            setup, built = bench.setup(name)
            script = make(preset, plan, data, *arguments)
            outcome = check(bench, setup, script, out)
            result[name] = _figures(outcome, built) | {"minibatches": list(script.kinds)}
    return result


def optimisation(verilog: str) -> str:
    """What compiles a large design in a minute, and a small one for speed."""
    return "-O1" if len(verilog) > LARGE_TEXT else "-O2"


def check(bench: Bench, setup: Setup, script: Script, out: Path) -> Outcome:
    """One session; a difference is located, recorded in `out` and raised."""
    label = f"co-simulating ({setup.simulator})"
    outcome = session.run(setup, script, bench.work / "first", label, bench.progress)
    if not outcome.differences:
        return outcome
    index = outcome.differences[0].command
    bench.progress.note(f"a difference: {outcome.differences[0]}; looking for where it begins")
    located, script = locate(bench, setup, script, outcome, index)
    first = located.differences[0]
    folder = _record(bench, setup, script, located, out)
    command = f"xnoreplay cosim --replay {folder}"
    raise CheckFailure(
        f"the Verilog must equal the simulator, but: {first}; to see it again: {command}",
        {
            "difference": first.plain(),
            "differences": [d.plain() for d in located.differences],
            "replay": command,
            "compared_before": outcome.compared,
        },
    )


def locate(
    bench: Bench, setup: Setup, script: Script, outcome: Outcome, index: int
) -> tuple[Outcome, Script]:
    """Run again up to the first command that differs, and trace that one on both sides."""
    if index < 0:
        return outcome, replace(script, steps=())
    looked = [
        i
        for i in range(index)
        if set(script.written(i, setup.plan)) <= set(script.steps[i].memories)
    ]
    first = looked[-1] + 1 if looked else 0
    if first < index:
        watched = script.watched(first, index, setup.plan)
        again = session.run(setup, watched, bench.work / "watch", "narrowing", bench.progress)
        if again.differences:
            index = again.differences[0].command
    traced = script.until(
        index, trace=True, windows=(), memories=scripts.memories(setup.plan)
    )
    final = session.run(setup, traced, bench.work / "trace", "tracing", bench.progress)
    # What depends on looking again must not get lost if it does not come back.
    return (final if final.differences else outcome), traced


def replay(folder: Path, progress: Progress, env: dict[str, str] | None = None) -> dict:
    """Carry out a recorded replay once more.

    Raises
    ------
    CheckFailure
        With the first difference, if it is still there.
    SpecError
        For a folder that holds no replay.
    """
    try:
        tree = files.read_json(folder / "replay.json")
        images = np.load(folder / "images.npy", allow_pickle=False)
        contents = dict(np.load(folder / CONTENTS, allow_pickle=False))
        preset = presets.from_dict(tree["preset"])
        steps = tuple(Step.load(s) for s in tree["commands"])
        texts, simulator, optimise = tree["faults"], tree["simulator"], tree["optimise"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SpecError(f"replay {folder} must be a folder that cosim recorded: {error}") from None
    plan = plans.compile(preset.network, preset.target)
    found = fault_texts.parse(texts, plan)
    bundle = bundles.read(folder / "bundle.safetensors")
    with tempfile.TemporaryDirectory(prefix="xnoreplay-cosim-") as work:
        bench = Bench(
            preset, bundle, _verilog(folder), found, env or _tools_env(), Path(work),
            optimise, progress,
        )  # fmt: skip
        setup, _ = bench.setup(simulator)
        script = Script(steps, images, contents=contents)
        outcome = session.run(setup, script, Path(work) / "replay", "replaying", progress)
    if outcome.differences:
        raise CheckFailure(
            f"the Verilog must equal the simulator, but: {outcome.differences[0]}",
            {"differences": [d.plain() for d in outcome.differences]},
        )
    return {"compared": outcome.compared, "cycles": outcome.cycles}


def _record(bench: Bench, setup: Setup, script: Script, located: Outcome, out: Path) -> Path:
    """Write everything that shows a difference again; returns the folder's final path."""
    folder = out / REPLAYED
    folder.mkdir(parents=True, exist_ok=True)
    used = sorted({s.image for s in script.steps if s.image is not None})
    place = {image: n for n, image in enumerate(used)}
    steps = [replace(s, image=None if s.image is None else place[s.image]) for s in script.steps]
    np.save(folder / "images.npy", script.images[used])
    np.savez_compressed(folder / CONTENTS, **script.contents)  # type: ignore[arg-type]
    bundles.write(bench.bundle, folder / "bundle.safetensors")
    (folder / VERILOG).write_text(bench.verilog, encoding="utf-8")
    tree = {
        "preset": presets.to_dict(bench.preset),
        "simulator": setup.simulator,
        "optimise": bench.optimise,
        "faults": _texts(bench.faults),
        "commands": [s.plain(setup.plan) for s in steps],
    }
    files.write_json(folder / "replay.json", tree)
    files.write_json(out / "difference.json", [d.plain() for d in located.differences])
    for name, lines in (("expected", located.expected), ("verilog", located.observed)):
        (out / f"{name}.trace").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return final_path(out) / REPLAYED


def final_path(out: Path) -> Path:
    """Where a folder that is still being written will be."""
    name, part, _ = out.name.partition(files.PART)
    return out.with_name(name.removeprefix(".")) if part else out


def _texts(faults: Faults) -> list[str]:
    """Faults of the memories; one of the plan is already in the Verilog."""
    return [
        f"{side}:{name}:{row}:{bit}"
        for side, found in (("rtl", faults.rtl), ("sim", faults.sim))
        for name, row, bit in found
    ]


def _figures(outcome: Outcome, built: Built) -> dict:
    return {
        "compared": outcome.compared,
        "cycles": outcome.cycles,
        "seconds": outcome.seconds,
        "cycles_per_second": outcome.cycles / outcome.seconds if outcome.seconds else 0.0,
        "build_seconds": built.seconds,
        "build_kept": built.kept,
        "differences": 0,
    }


def _tools_env() -> dict[str, str]:
    from xnoreplay.flow.tools import verilator_env

    return verilator_env()


def _verilog(folder: Path) -> str:
    path = folder / VERILOG if folder.is_dir() else folder
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} must be readable Verilog: {error}") from None


def _modified(plan: plans.Plan, faults: Faults) -> str:
    """Verilog of a plan with a fault."""
    from xnoreplay.hw import verilog

    try:
        return verilog.generate(faults.changed(plan))
    except (ValueError, IndexError, ArithmeticError, TypeError, AssertionError) as error:
        raise SpecError(f"the faulty plan must still be one that builds, but: {error}") from None


def _icarus(verilog: str, work: Path) -> Built:
    """Compile for Icarus Verilog, which is quick."""
    import time

    from cocotb_tools.runner import get_runner

    if shutil.which("iverilog") is None:
        raise ToolError("iverilog must be installed for --simulator icarus, but is not")
    folder = work / "icarus"
    folder.mkdir()
    (folder / "top.v").write_text(verilog, encoding="utf-8")
    start = time.monotonic()
    try:
        get_runner("icarus").build(
            sources=[folder / "top.v"], hdl_toplevel=TOP, build_dir=folder,
            timescale=("1ns", "1ps"), log_file=folder / "build.log", build_args=[ICARUS_LANGUAGE],
        )  # fmt: skip
    except (SystemExit, RuntimeError, OSError) as error:
        raise ToolError(f"iverilog must compile the Verilog, but: {error}") from None
    return Built(folder, time.monotonic() - start, False)


