"""The co-simulation step: build, compare, and on a difference say where it begins."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import Built
from xnoreplay.flow.verify.cosim import (
    coverage,
    large,
    port_points,
    reset_steps,
    session,
    short,
    waveforms,
    whole,
)
from xnoreplay.flow.verify.cosim.again import record
from xnoreplay.flow.verify.cosim.chip import DesignUnderTest, opened
from xnoreplay.flow.verify.cosim.script import Script, changing, memories
from xnoreplay.flow.verify.cosim.session import Outcome, Setup
from xnoreplay.flow.verify.cosim.window import around
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.presets import Preset

SIMULATORS = ("verilator", "icarus")
MENTIONED = 5  # of what was not reached
LARGE_IMAGES = 2  # of a large network: each takes tens of thousands of cycles


@dataclass(frozen=True)
class Options:
    """What a comparison shows to the chip, and in which simulator.

    Parameters
    ----------
    simulator : str
        "verilator" carries out the whole script; "icarus" a short one; "both" does both, but for a large network
        Verilator alone.
    dataset : Dataset, optional
        Images and labels; the scenario's without it, random ones where the user does not have them.
    """

    simulator: str = "verilator"
    dataset: Dataset | None = None


def cosimulate(
    preset: Preset,
    bundle: Bundle,
    verilog_dir: Path,
    out: Path,
    progress: Progress,
    images: int = 50,
    **options: Any,
) -> dict:
    """Compare the Verilog of a run folder with the simulator, bit for bit.

    Parameters
    ----------
    verilog_dir : Path
        Folder that holds `VERILOG`, used as it is found there, or a Verilog file.
    out : Path
        Folder for the evidence.
    images : int
        Images compared on every memory bit, counter and phase boundary.
    **options
        Fields of `Options`, and those of `chip.Options`.

    Returns
    -------
    dict
        What was compared, how often, and how fast; and which data set the images are of.

    Raises
    ------
    CheckFailure
        Where the two differ; its evidence is in `out`.
    """  # noqa: DOC502  raised by `check`
    own = {name: options.pop(name) for name in Options.__annotations__ if name in options}
    chosen = Options(**own)
    wanted = wanted_of(chosen.simulator, preset, progress)
    with progress.task("images"):
        whole_set = chosen.dataset or registry.of_preset_or_random(preset, progress)
        data = registry.first_of_each(whole_set)
    with opened(preset, bundle, verilog_dir, progress, **options) as design:
        faults = list(options.get("faults") or [])
        result: dict = {"faults": faults, "dataset": data.name}
        if design.netlist:
            result["netlist"] = design.netlist
        for name in wanted:
            setup, built = design.setup(name)
            with progress.task("commands of the script"):
                script = script_of(preset, bundle, data, images, name)
            outcome = check(design, setup, script, out)
            result[name] = _figures(outcome, built) | {"minibatches": list(script.kinds)}
    return result


def wanted_of(simulator: str, preset: Preset, progress: Progress) -> tuple[str, ...]:
    """The simulators that a choice asks for: of "both" not Icarus where it would take days, which is noted."""
    if simulator != "both":
        return (simulator,)
    if not plans.compile(preset.network, preset.target).is_large(preset.scenario.base):
        return SIMULATORS
    progress.note(
        "Icarus is left out, because the script of a network of this size takes it days; "
        "--simulator icarus asks for it"
    )
    return SIMULATORS[:1]


def script_of(preset: Preset, bundle: Bundle, data: Dataset, images: int, simulator: str) -> Script:
    """The script of a comparison: whole, of few samples for a large network, short for Icarus."""
    plan = plans.compile(preset.network, preset.target)
    if plan.is_large(preset.scenario.base):
        return large.build(preset, plan, data, bundle, min(images, LARGE_IMAGES))
    if simulator == "icarus":
        brief = short.build(preset, plan, data, bundle)
        look = {"memories": changing(plan), "bus": True}
        return replace(brief, steps=brief.steps + reset_steps.brief(preset.scenario.base, look))
    return whole.build(preset, plan, data, bundle, images)


def check(design: DesignUnderTest, setup: Setup, script: Script, out: Path) -> Outcome:
    """Carry out one script and compare.

    Parameters
    ----------
    design : DesignUnderTest
    setup : Setup
    script : Script
    out : Path
        Folder for the evidence of a difference.

    Raises
    ------
    CheckFailure
        For a difference, which is located and recorded first; and where all was equal but the script left out
        what it must reach.
    """
    label = f"co-simulating ({setup.simulator})"
    outcome = session.compare(setup, script, design.work / "first", label, design.progress)
    if not outcome.differences:
        whole = script.stages or script.length != "part"
        if unseen := whole and port_points.missing(setup.plan, script.stages, outcome.reached):
            raise CheckFailure(
                f"the host port must be tried in every way, but these were not reached: "
                f"{', '.join(unseen[:MENTIONED])}"
                + (f" and {len(unseen) - MENTIONED} more" if len(unseen) > MENTIONED else ""),
                {"missing": unseen},
            )
        coverage.check(outcome.missing, outcome.coverage)
        return outcome
    index = outcome.differences[0].command
    design.progress.note(f"a difference: {outcome.differences[0]}; looking for where it begins")
    located, script = locate(design, setup, script, outcome, index)
    first = located.differences[0]
    folder = record(design, setup, script, located, out)
    command = f"xnoreplay cosim --again {folder}"
    recorded = setup.simulator == waveforms.SIMULATOR and not located.resets
    window = around(first.cycle, located.cycles) if recorded else ""
    advice = f"; for its waveform, add --waves {window}" if window else ""
    raise CheckFailure(
        f"the Verilog must equal the simulator, but: {first}; to see it again: {command}{advice}",
        {
            "difference": first.plain(),
            "differences": [d.plain() for d in located.differences],
            "replay": command,
            "waves": window,
            "compared_before": outcome.compared,
        },
    )


def locate(
    design: DesignUnderTest, setup: Setup, script: Script, outcome: Outcome, index: int
) -> tuple[Outcome, Script]:
    """Carry out a script again up to the first command that differs, and trace that command on both sides."""
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
        again = session.compare(setup, watched, design.work / "watch", "narrowing", design.progress)
        if again.differences:
            index = again.differences[0].command
    traced = script.until(index, trace=True, windows=(), memories=memories(setup.plan))
    final = session.compare(setup, traced, design.work / "trace", "tracing", design.progress)
    # What depends on looking again must not get lost if it does not come back.
    return (final if final.differences else outcome), traced


def _figures(outcome: Outcome, built: Built) -> dict:
    return {
        "compared": outcome.compared,
        "cycles": outcome.cycles,
        "seconds": outcome.seconds,
        "cycles_per_second": outcome.cycles / outcome.seconds if outcome.seconds else 0.0,
        "build_seconds": built.seconds,
        "build_kept": built.kept,
        "differences": 0,
        "coverage": outcome.coverage,
    }
