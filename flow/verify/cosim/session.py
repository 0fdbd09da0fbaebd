"""One run of a script: the chip in its simulator, the model beside it, compared as they go."""

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xnoreplay.flow.run import processes
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim import runners
from xnoreplay.flow.verify.cosim.compare import Comparison, ScriptDifference
from xnoreplay.flow.verify.cosim.coverage import required
from xnoreplay.flow.verify.cosim.faults import Faults
from xnoreplay.flow.verify.cosim.model import Model
from xnoreplay.flow.verify.cosim.script import CONTENTS, VARIABLE, Script
from xnoreplay.flow.verify.cosim.window import FIRST
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import counters, windows

BENCH = "xnoreplay.flow.verify.cosim.bench.testbench"
ENDED = "Error: the simulator ended"
ENVIRONMENT = {"COCOTB_ANSI_OUTPUT": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Of a test bench. cocotb has pytest prepare, which loads all of its plugins that are installed; none is needed."""
POLL = 0.05  # seconds between two looks at the test bench's file
BUS_BUDGET = 50_000  # 32-bit words of all memories; with more, few rows of each go through the bus
ALL_ROWS, SOME_ROWS = 1 << 20, 64


@dataclass(frozen=True)
class Setup:
    """What a session compares, and in which HDL simulator.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
    simulator : str
        "verilator" or "icarus".
    build : Path
        Folder of the compiled simulation.
    faults : Faults
        Deliberate ones of the memories.
    waves : (int, int), optional
        First and last cycle that a traced simulation writes a VCD of, and ends after.
    at_rest : dict
        What the compiled text watches; see `at_rest.names`.
    """

    preset: Preset
    bundle: Bundle
    simulator: str
    build: Path
    faults: Faults = Faults()
    waves: tuple[int, int] | None = None
    at_rest: dict[str, list[str]] = field(default_factory=dict)

    @property
    def plan(self) -> plans.Plan:
        """The plan of the preset."""
        return plans.compile(self.preset.network, self.preset.target)


@dataclass
class Outcome:
    """What a session found.

    Attributes
    ----------
    differences : list of ScriptDifference
        Of the first command that differs, in the order of their weight.
    compared : dict
        How many of each kind were equal.
    cycles : int
        Of the chip; where it differs from the model, those that both have.
    clocks : int
        From power-on to the end of the script, also those in which no command runs.
    seconds : float
        Of the simulation without its start, by the clock.
    ends : list of (int, float)
        Cycle, and processor seconds of the simulation's process, at the end of each command.
    observed, expected : list of str
        Traces of the command that differs.
    resets : bool
        A reset came before a difference, so that its cycle is counted from there.
    reached : Counter
        What stages on the host port came to, and how often.
    coverage : list of dict
        What the script reached; see `coverage.Coverage.table`.
    missing : dict
        What the script did not reach but must, by point.
    """

    differences: list[ScriptDifference] = field(default_factory=list)
    compared: dict[str, int] = field(default_factory=dict)
    cycles: int = 0
    clocks: int = 0
    seconds: float = 0.0
    ends: list[tuple[int, float]] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    resets: bool = False
    reached: Counter[str] = field(default_factory=Counter)
    coverage: list[dict] = field(default_factory=list)
    missing: dict[str, list[str]] = field(default_factory=dict)


def compare(setup: Setup, script: Script, folder: Path, label: str, progress: Progress) -> Outcome:
    """Carry out a script in the HDL simulator and compare; stops at the first command that differs.

    Raises
    ------
    CheckFailure
        Where the test bench cannot go on: the bus does not answer, or the design lacks what the
        test bench looks at.
    """  # noqa: DOC502  raised by `follow`
    folder.mkdir(parents=True, exist_ok=True)
    write(setup, script, folder)
    with _simulation(setup, folder) as lines:
        outcome, ended = follow(setup, script, lines, label, progress)
    if outcome.differences:
        return outcome
    if ended is None:
        raise CheckFailure(f"the test bench must come to its end, but: {last_error(folder)}")
    needed = required(setup.plan, setup.bundle, script)
    outcome.coverage = ended.model.coverage.table(needed)
    outcome.missing = ended.model.coverage.missing(needed)
    return outcome


def follow(
    setup: Setup, script: Script, lines: Iterable[dict], label: str, progress: Progress
) -> tuple[Outcome, Comparison | None]:
    """Compare what a test bench writes down with the model, line by line, up to the first command that differs.

    Parameters
    ----------
    setup : Setup
    script : Script
    lines : iterable of dict
        Of the test bench.
    label : str
        Of the task that `progress` shows.
    progress : Progress

    Returns
    -------
    outcome : Outcome
        Without coverage.
    ended : Comparison or None
        With the model, where the test bench came to its end.

    Raises
    ------
    CheckFailure
        Where the chip does not answer on its bus.
    """
    plan = setup.plan
    model = Model(plan, setup.bundle, script, setup.faults.sim)
    comparison = Comparison(plan, setup.bundle, model, counters(plan.memories, plan.target))
    outcome = Outcome()
    start = time.monotonic()
    rest = len(script.steps)
    with progress.task(label, total=rest) as task:
        for seen in lines:
            if "error" in seen:
                raise CheckFailure(f"the chip must answer on its bus, but: {seen['error']}")
            found = comparison.observe(seen)
            if found:
                outcome.differences = found
                outcome.cycles = min(seen.get("cycles", 0), model.cycles)
                outcome.resets = comparison.passed > 0
                outcome.observed = seen.get("trace", [])
                outcome.expected = comparison.expected_trace
                break
            if "end" in seen:
                outcome.cycles = comparison.passed + seen["cycles"]
                outcome.clocks, outcome.seconds = seen["clocks"], seen["seconds"]
                if setup.waves:  # the command that the window ends in is not carried to its own end
                    task.advance(rest)
            elif "index" in seen:
                rest -= 1
                cycles = comparison.passed + seen["cycles"]
                outcome.ends.append((cycles, seen["cpu"]))
                rate = cycles / (time.monotonic() - start)
                task.advance(note=f"{cycles:,} cycles, {rate:,.0f} a second")
    outcome.compared = dict(sorted(comparison.compared.items()))
    outcome.reached = comparison.reached
    return outcome, comparison if comparison.ended else None


def write(setup: Setup, script: Script, folder: Path) -> None:
    """Write what the test bench reads into a folder: script, images, contents of memories, bundle."""
    plan = setup.plan
    bundles.write(setup.bundle, folder / "bundle.safetensors")
    np.save(folder / "images.npy", script.images)
    np.savez_compressed(folder / CONTENTS, **script.contents)  # type: ignore[arg-type]
    tree = {
        "preset": presets.to_dict(setup.preset),
        "bundle": str(folder / "bundle.safetensors"),
        "faults": [list(f) for f in setup.faults.rtl],
        "bus_rows": bus_rows(plan),
        "at_rest": setup.at_rest,
        "commands": [step.plain(plan) for step in script.steps],
    }
    if setup.waves:
        tree["last"] = setup.waves[1]
    (folder / "script.json").write_text(json.dumps(tree), encoding="utf-8")


def bus_rows(plan) -> int:
    """How many rows of each memory the load writes over the bus: all, unless that takes too long."""
    transfers = sum(w.memory.depth * w.chunks for w in windows(plan.memories))
    return ALL_ROWS if transfers <= BUS_BUDGET else SOME_ROWS


@contextmanager
def _simulation(setup: Setup, folder: Path) -> Iterator[Iterator[dict]]:
    """Run the test bench as long as the context lasts.

    Leaving the block early has it stop at its next command; an error or an interrupt ends it at once.

    Yields
    ------
    iterator of dict
        Lines of the test bench, as they come.
    """
    observed, stop = folder / "observed.jsonl", folder / "stop"
    for path in (observed, stop):
        path.unlink(missing_ok=True)
    began: list[subprocess.Popen] = []
    worker = threading.Thread(target=_simulate, args=(setup, folder, began.append), daemon=True)
    worker.start()
    try:
        yield observations(observed, worker.is_alive)
        stop.touch()
        worker.join()
    except BaseException:
        stop.touch()
        processes.end(*began)
        raise


def observations(observed: Path, running: Callable[[], bool]) -> Iterator[dict]:
    """Yield the lines that a test bench writes into a file, as they come, as long as it is running."""
    while not observed.exists() and running():
        time.sleep(POLL)
    if not observed.exists():
        return
    with observed.open(encoding="utf-8") as lines:
        part = ""
        while True:
            alive = running()
            part += lines.readline()
            if part.endswith("\n"):
                yield json.loads(part)
                part = ""
            elif not alive:
                return
            else:
                time.sleep(POLL)


def _simulate(setup: Setup, folder: Path, began: Callable[[subprocess.Popen], None]) -> None:
    """Run the test bench to its end; what went wrong is in its log."""
    plusargs = [f"+{FIRST}={setup.waves[0]}"] if setup.waves else []
    try:
        runners.runner(setup.simulator, began).test(
            test_module=BENCH,
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            build_dir=setup.build,
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            log_file=folder / "bench.log",
            plusargs=plusargs,
            extra_env=ENVIRONMENT | {VARIABLE: str(folder)},
        )
    except (SystemExit, OSError, RuntimeError) as error:
        # An interrupted command has removed the folder by now.
        with suppress(OSError), (folder / "bench.log").open("a", encoding="utf-8") as log:
            print(f"{ENDED} with {error}", file=log)


def last_error(folder: Path) -> str:
    """The last error of the test bench's log; where it has none, how the HDL simulator ended."""
    try:
        lines = (folder / "bench.log").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    errors = [line.strip() for line in lines if "Error" in line]
    return next(iter([e for e in reversed(errors) if not e.startswith(ENDED)] + errors), "no error")
