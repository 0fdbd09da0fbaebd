"""A difference to be seen again: what is recorded of a comparison, and how it is carried out once more."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from xnoreplay.flow.run import files, temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.tools import verilator_env
from xnoreplay.flow.verify.cosim import recorded, session, waveforms
from xnoreplay.flow.verify.cosim import window as windows
from xnoreplay.flow.verify.cosim.chip import VERILOG, DesignUnderTest, read_verilog
from xnoreplay.flow.verify.cosim.faults import Faults
from xnoreplay.flow.verify.cosim.script import CONTENTS, Script
from xnoreplay.flow.verify.cosim.session import Outcome, Setup
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure

RECORD = "replay"  # folder of what a difference needs to be seen again


def repeat(
    folder: Path,
    progress: Progress,
    env: dict[str, str] | None = None,
    window: str | None = None,
    trust: bool = False,
) -> dict:
    """Carry out a recorded comparison once more.

    Parameters
    ----------
    folder : Path
        What `record` wrote.
    progress : Progress
    env : dict, optional
        Environment of the tools; `flow.run.tools.verilator_env` without it.
    window : str, optional
        Cycles to write a waveform of, into the folder `waveforms.FOLDER` inside; see `window.parse`.
    trust : bool
        Run Verilog that reaches out of its simulation, too; see `trust`.

    Returns
    -------
    dict
        ``compared``: how much of each kind was equal; ``cycles`` of the chip.

    Raises
    ------
    CheckFailure
        With the first difference, if it is still there.
    SpecError
        For a folder that `record` did not write.
    """  # noqa: DOC502  raised by what reads the folder
    read = recorded.read(folder)
    preset, script, simulator = read.preset, read.script, read.simulator
    plan = plans.compile(preset.network, preset.target)
    with temporary.folder("cosim") as work:
        design = DesignUnderTest(
            preset,
            read.bundle,
            read_verilog(folder, trust),
            read.faults,
            env or verilator_env(),
            work,
            read.optimise,
            progress,
        )
        if window is not None:
            waveforms.check_simulator(simulator)
            spans = windows.spans(plan, read.bundle, script, progress, read.faults.sim)
            waveforms.write(design, script, window, spans, folder / waveforms.FOLDER)
        setup, _ = design.setup(simulator)
        outcome = session.compare(setup, script, work / "again", "carrying out again", progress)
    if outcome.differences:
        raise CheckFailure(
            f"the Verilog must equal the simulator, but: {outcome.differences[0]}",
            {"differences": [d.plain() for d in outcome.differences]},
        )
    return {"compared": outcome.compared, "cycles": outcome.cycles}


def record(
    design: DesignUnderTest, setup: Setup, script: Script, located: Outcome, out: Path
) -> Path:
    """Write everything that is needed to see a difference again; returns the folder's final path."""
    folder = out / RECORD
    folder.mkdir(parents=True, exist_ok=True)
    used = sorted({s.image for s in script.steps if s.image is not None})
    place = {image: n for n, image in enumerate(used)}
    steps = [replace(s, image=None if s.image is None else place[s.image]) for s in script.steps]
    np.save(folder / recorded.IMAGES, script.images[used])
    np.savez_compressed(folder / CONTENTS, **script.contents)  # type: ignore[arg-type]
    bundles.write(design.bundle, folder / recorded.BUNDLE)
    (folder / VERILOG).write_text(design.verilog, encoding="utf-8")
    tree = {
        "preset": presets.to_dict(design.preset),
        "simulator": setup.simulator,
        "optimise": design.optimise,
        "faults": _texts(design.faults),
        "commands": [s.plain(setup.plan) for s in steps],
    }
    files.write_json(folder / recorded.RECORD, tree)
    files.write_json(out / "difference.json", [d.plain() for d in located.differences])
    for name, lines in (("expected", located.expected), ("verilog", located.observed)):
        (out / f"{name}.trace").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return final_path(out) / RECORD


def final_path(out: Path) -> Path:
    """Where a folder that is still being written will be when it is whole."""
    name, part, _ = out.name.partition(files.PART)
    return out.with_name(name.removeprefix(".")) if part else out


def _texts(faults: Faults) -> list[str]:
    """Faults of memories as texts of the command line; a fault of the plan is already in the Verilog."""
    return [
        f"{side}:{name}:{row}:{bit}"
        for side, found in (("rtl", faults.rtl), ("sim", faults.sim))
        for name, row, bit in found
    ]
