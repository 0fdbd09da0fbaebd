"""The netlist of a folder for an ASIC flow, held to the simulator: it takes a board's first steps, at its host port.

What is simulated is the folder's own text, with its models of the macros, and with a module for each of the library's
cells that does what the Liberty file says.
"""

from pathlib import Path

from xnoreplay.flow.board import first_steps as steps
from xnoreplay.flow.chip import asic, mapping
from xnoreplay.flow.run import temporary, tools
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify import served
from xnoreplay.flow.verify.cosim import netlist as netlists
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.presets import Preset


def text_of(folder: Path, manifest: dict, library: Path) -> str:
    """Return a folder's netlist with models of its macros and cells, whose flip-flops start at drawn values.

    Parameters
    ----------
    folder : Path
        Has a netlist.
    manifest : dict
        What its ``manifest.json`` holds.
    library : Path
        The Liberty file that it was mapped to.

    Raises
    ------
    CheckFailure
        Where the netlist has a cell that the library does not model.
    """
    with temporary.folder("cells") as work:
        known = mapping.models_of(library, work)
    cells = manifest["netlist"]["cells"]
    if others := sorted(cells.keys() - known.keys()):
        raise CheckFailure(f"the netlist must have the library's cells alone, not {others[0]}")
    text = (folder / asic.NETLIST).read_text(encoding="utf-8")
    text = text.replace(f"module {manifest['top']}(", f"module {TOP}(", 1)
    macros = mapping.modules((folder / asic.MODELS).read_text(encoding="utf-8"), ("",))
    return netlists.powered_up(text, macros.values(), {n: known[n] for n in cells})


def simulated(
    folder: Path, manifest: dict, preset: Preset, bundle: Bundle, library: Path, progress: Progress
) -> dict:
    """Take the first steps on a folder's netlist, with `first_steps.FEW` samples of each class.

    Returns
    -------
    dict
        predictions, samples, counters, memory_bits: how many were compared.

    Raises
    ------
    CheckFailure
        Where netlist and simulator differ.
    """  # noqa: DOC502  raised by what is called
    shown = steps.samples(preset, progress, steps.FEW)
    text = text_of(folder, manifest, library)
    with served.chip(preset, text, tools.verilator_env(), progress, "-O1") as bus:
        found = steps.check(bus, preset, bundle, shown, progress, started=False)
    return steps.compared(found)


def text(found: dict) -> str:
    """Return what a user is told of a comparison."""
    return (
        f"netlist = simulator: {found['samples']} samples, {found['predictions']} predictions, {found['counters']} counters "
        f"and {found['memory_bits']:,} memory bits"
    )
