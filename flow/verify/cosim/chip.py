"""The chip under comparison: its Verilog, its deliberate faults, and how a simulator gets it."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xnoreplay.flow.run import temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.tools import verilator_env
from xnoreplay.flow.run.verilate import TOP, Built, Verilate, cocotb_build
from xnoreplay.flow.verify.cosim import at_rest, runners
from xnoreplay.flow.verify.cosim import faults as fault_texts
from xnoreplay.flow.verify.cosim import netlist as netlists
from xnoreplay.flow.verify.cosim import trust as trust_rules
from xnoreplay.flow.verify.cosim.faults import Faults
from xnoreplay.flow.verify.cosim.session import Setup
from xnoreplay.flow.verify.cosim.window import recording
from xnoreplay.spec import plan as plans
from xnoreplay.spec import reading
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, ToolError
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.reasons import reason

VERILOG = f"{TOP}.v"  # in the folder of the generate step
ICARUS_LANGUAGE = "-g2005"
"""For texts of others: in Verilog 2005 the initial value of a declaration is an event that starts
`always @*` blocks, in SystemVerilog it is none. Our own reads alike as both, see `hw.language`."""
OPTIMISATIONS = ("-O0", "-O1", "-O2", "-O3", "-Os")
"""Options of the C++ compiler that a recorded comparison may ask for: others can name programs to run."""
LARGE_TEXT = 1_000_000  # characters of Verilog


@dataclass(frozen=True)
class DesignUnderTest:
    """What all sessions of a comparison share.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
    verilog : str
        The text that is compiled.
    faults : Faults
    env : dict
        Environment of the tools.
    work : Path
        Folder for files of the tools.
    optimise : str
        The C++ compiler's option.
    progress : Progress
    netlist : dict, optional
        How many gates, flip-flops and memories the Verilog has, if it is a netlist of yosys; of a library's cells
        also clock_gates, and library, the file's name.
    """

    preset: Preset
    bundle: Bundle
    verilog: str
    faults: Faults
    env: dict[str, str]
    work: Path
    optimise: str
    progress: Progress
    netlist: dict[str, Any] | None = None

    def setup(self, simulator: str, waves: tuple[int, int] | None = None) -> tuple[Setup, Built]:
        """Compile the Verilog for a simulator.

        Parameters
        ----------
        simulator : str
            "verilator" or "icarus".
        waves : (int, int), optional
            First and last cycle that Verilator is to record.
        """
        # A netlist has other registers, and a waveform shows the chip alone.
        wanted = {} if self.netlist or waves else at_rest.watches(self.verilog)
        verilog = at_rest.watched(self.verilog, wanted)
        if simulator == "verilator":
            verilog = recording(verilog) if waves else verilog
            verilate = Verilate(self.env, self.optimise, traced=bool(waves))
            built = cocotb_build(verilate, verilog, self.progress)
        else:
            built = _icarus(verilog, self.work / "icarus")
        setup = Setup(
            self.preset,
            self.bundle,
            simulator,
            built.folder,
            self.faults,
            waves,
            at_rest.names(self.verilog, wanted) if wanted else {},
        )
        return setup, built


@dataclass(frozen=True)
class Options:
    """How a Verilog text becomes a simulation.

    Parameters
    ----------
    env : dict, optional
        Environment of the tools; `flow.run.tools.verilator_env` without it.
    faults : sequence of str, optional
        Deliberate faults; see `faults`.
    optimise : str, optional
        The C++ compiler's option for Verilator's output; `optimisation` without it.
    netlist : bool
        Compare what yosys makes of the Verilog, a netlist of gates; see `netlist`.
    liberty : Path, optional
        With `netlist`, a file whose cells the netlist has in place of gates.
    trust : bool
        Run Verilog that reaches out of its simulation, too; see `trust`.
    """

    env: dict[str, str] | None = None
    faults: Sequence[str] | None = None
    optimise: str | None = None
    netlist: bool = False
    liberty: Path | None = None
    trust: bool = False


@contextmanager
def opened(
    preset: Preset, bundle: Bundle, source: Path, progress: Progress, **options: Any
) -> Iterator[DesignUnderTest]:
    """Read the Verilog that a comparison is about, and keep a folder to work in as long as the context lasts.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
    source : Path
        Folder that holds `VERILOG`, used as it is found there, or a Verilog file.
    progress : Progress
    **options
        Fields of `Options`.

    Yields
    ------
    DesignUnderTest
        The design, mapped to gates where that is asked for.
    """
    chosen = Options(**options)
    plan = plans.compile(preset.network, preset.target)
    found = fault_texts.parse(list(chosen.faults or ()), plan)
    verilog = read_verilog(source, chosen.trust)
    counted: dict[str, Any] | None = None
    if found.plan:
        verilog = _modified(plan, found)
    with temporary.folder("cosim") as work:
        if chosen.netlist:
            folder = work / "netlist"
            mapped = (
                netlists.build_of_cells(verilog, chosen.liberty, folder, progress)
                if chosen.liberty
                else netlists.build(verilog, folder, progress)
            )
            verilog = mapped.verilog
            counted = {
                "gates": mapped.gates,
                "flip_flops": mapped.flip_flops,
                "memories": mapped.memories,
            }
            if chosen.liberty:
                counted |= {"clock_gates": mapped.clock_gates, "library": chosen.liberty.name}
        yield DesignUnderTest(
            preset,
            bundle,
            verilog,
            found,
            chosen.env or verilator_env(),
            work,
            chosen.optimise or optimisation(verilog),
            progress,
            counted,
        )


def optimisation(verilog: str) -> str:
    """The C++ compiler's option for a Verilog text: a large one must compile in a minute, a small one run fast."""
    return "-O1" if len(verilog) > LARGE_TEXT else "-O2"


def read_verilog(folder: Path, trust: bool = False) -> str:
    """Text of a Verilog file, or of `VERILOG` in a folder.

    Parameters
    ----------
    folder : Path
    trust : bool
        Also of one that reaches out of its simulation; see `trust`.

    Raises
    ------
    SpecError
        Where it cannot be read, or must be trusted and is not.
    """
    path = folder / VERILOG if folder.is_dir() else folder
    try:
        text = reading.text(path, reading.MOST_TEXT)
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} must be readable Verilog: {error}") from None
    if not trust:
        trust_rules.check(text, str(path))
    return text


def _modified(plan: plans.Plan, faults: Faults) -> str:
    """Verilog of a plan with deliberate faults; SpecError where none can be made of it."""
    from xnoreplay.hw import verilog

    try:
        return verilog.generate(faults.changed(plan))
    except (ValueError, IndexError, ArithmeticError, TypeError, AssertionError) as error:
        raise SpecError(f"the faulty plan must still be one that builds, but: {error}") from None


def _icarus(verilog: str, folder: Path) -> Built:
    """Compile Verilog for Icarus Verilog into a new folder; ToolError where it is missing or fails."""
    if shutil.which("iverilog") is None:
        raise ToolError("iverilog must be installed for --simulator icarus, but is not")
    folder.mkdir()
    (folder / "top.v").write_text(verilog, encoding="utf-8")
    start = time.monotonic()
    try:
        runners.runner("icarus").build(
            sources=[folder / "top.v"],
            hdl_toplevel=TOP,
            build_dir=folder,
            timescale=("1ns", "1ps"),
            log_file=folder / "build.log",
            build_args=[ICARUS_LANGUAGE],
        )
    except (SystemExit, RuntimeError, OSError) as error:
        log = folder / "build.log"
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else str(error)
        raise ToolError(f"iverilog must compile the Verilog, but: {reason(said)}") from None
    return Built(folder, time.monotonic() - start, False)
