"""How long a person waits before anything happens: the command line's help, and kernels from an empty cache."""

import multiprocessing
import os
import sys
import time
from pathlib import Path

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run import processes, temporary
from xnoreplay.flow.run.progress import Progress, Silent
from xnoreplay.flow.run.tools import children
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import ToolError

HELPS = 5  # processes of which the fastest counts


def command_line() -> tuple[float, float]:
    """Processor seconds and seconds by the clock of `xnoreplay --help`, the least of some new processes."""
    found = []
    for _ in range(HELPS):
        before, start = children(), time.monotonic()
        processes.run_program([sys.executable, "-m", "xnoreplay", "--help"])
        found.append((time.monotonic() - start, children() - before))
    clock, spent = min(found)
    return spent, clock


def kernels(progress: Progress) -> tuple[float, float]:
    """Processor seconds and seconds by the clock of compiling what `simulate` needs, from an empty cache.

    Of the preset `tiny`: the kernels are the same for every network.

    Raises
    ------
    ToolError
        Where the process that does so fails.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    with temporary.folder("kernels") as folder, progress.task("kernels from an empty cache"):
        os.environ["NUMBA_CACHE_DIR"] = str(folder)  # numba reads it where it is imported
        before, start = children(), time.monotonic()
        try:
            process = multiprocessing.get_context("spawn").Process(target=_compile)
            with processes.without_sigint():
                process.start()
            process.join()
        finally:
            if given is None:
                del os.environ["NUMBA_CACHE_DIR"]
            else:
                os.environ["NUMBA_CACHE_DIR"] = given
        clock, spent = time.monotonic() - start, children() - before
        if process.exitcode or not list(Path(folder).rglob("*.kernel")):
            raise ToolError(
                f"kernels must be compiled, but their process ended with {process.exitcode}"
            )
    return spent, clock


def _compile() -> None:
    from xnoreplay.flow.verify import simulate

    processes.die_with_parent()
    tiny = presets.load("tiny")
    plan, bundle = plans.compile(tiny.network, tiny.target), bundles.random(tiny.network, 0)
    sessions = simulate.script(tiny, plan, registry.of_preset(tiny))
    simulate.compile_kernels(plan, bundle, sessions, Silent())
