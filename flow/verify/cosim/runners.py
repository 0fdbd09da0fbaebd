"""cocotb's runners, with the simulator as a child that ends with us."""

import subprocess
from pathlib import Path


def runner(name: str, began=lambda _process: None):
    """A runner of cocotb for an HDL simulator, whose `build` and `test` start processes that end with this one.

    Parameters
    ----------
    name : str
        "icarus" or "verilator".
    began : callable
        Is given each process that the runner starts.
    """
    from cocotb_tools.runner import get_runner

    from xnoreplay.flow.run import processes

    found = get_runner(name)

    def execute(commands, cwd: Path, stdout=None) -> None:
        """Run commands as cocotb's `_execute_cmds` does, as processes that end with this one."""
        stderr = None if stdout is None else subprocess.STDOUT
        for command in commands:
            with processes.started(
                command, cwd=cwd, env=found.env, stdout=stdout, stderr=stderr
            ) as process:
                began(process)
            if process.returncode:
                raise RuntimeError(f"Command failed with return code: {process.returncode}")

    found._execute_cmds = execute  # type: ignore[method-assign, assignment]
    return found
