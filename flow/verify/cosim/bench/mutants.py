"""The test bench of many mutants of one design: a process that has everything loaded begins a copy of itself for each.

It runs inside the HDL simulator. Requests come through a named pipe, a line each; the copy sets the input that
chooses the mutant before the first clock, and is otherwise the test bench of any chip.
"""

import json
import os
import signal
import time
from pathlib import Path

import cocotb
from cocotb.triggers import Timer

from xnoreplay.flow.run import processes
from xnoreplay.flow.verify.cosim.bench import hostport  # noqa: F401  so that no copy has to load it
from xnoreplay.flow.verify.cosim.bench.drivers import PERIOD
from xnoreplay.flow.verify.cosim.bench.requests import ENDED, PIPE, SELECT, Request
from xnoreplay.flow.verify.cosim.bench.testbench import Loaded, run
from xnoreplay.flow.verify.cosim.script import VARIABLE

POLL = 0.002  # seconds between two looks at a copy


@cocotb.test()
async def serve(dut):
    """Serve requests until nobody holds the pipe open any more: the one test that cocotb runs."""
    loaded: dict[str, Loaded] = {}
    with (Path(os.environ[VARIABLE]) / PIPE).open(encoding="utf-8") as requests:
        for line in requests:
            request = Request(**json.loads(line))
            if request.script not in loaded:
                loaded[request.script] = Loaded(Path(request.script))
            own = os.getpid()
            copy = os.fork()
            if not copy:
                processes.die_on_linux(own)
                processes.exit_without_cleanup()
                break
            _wait(copy, Path(request.folder))
        else:
            return
    if request.number:  # a design without mutants has no such input
        getattr(dut, SELECT).value = request.number
    if request.clocks:
        cocotb.start_soon(_give_up(request))
    await run(dut, loaded[request.script], Path(request.folder))
    os._exit(0)  # what cocotb does after a test is for its first process alone


async def _give_up(request: Request) -> None:
    """End the process after so many clocks, and write down why."""
    await Timer(request.clocks * PERIOD, "step")
    with (Path(request.folder) / "observed.jsonl").open("a", encoding="utf-8") as out:
        out.write(json.dumps({"error": f"not ended after {request.clocks:,} clocks"}) + "\n")
    os._exit(0)


def _wait(copy: int, folder: Path) -> None:
    """Wait until a copy ends, or nobody needs it any more."""
    while os.waitpid(copy, os.WNOHANG) == (0, 0):
        if (folder / "stop").exists():
            os.kill(copy, signal.SIGKILL)
            os.waitpid(copy, 0)
            break
        time.sleep(POLL)
    (folder / ENDED).touch()
