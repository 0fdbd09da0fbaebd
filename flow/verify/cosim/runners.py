"""cocotb's runners, with the simulator as a child that ends with us."""

import subprocess
from pathlib import Path


def runner(name: str, began=lambda _process: None):
    """cocotb's runner of a simulator, for its `build` or `test`.

    began : given each process that it starts
    """
    from cocotb_tools.runner import get_runner

    from xnoreplay.flow.run import processes

    found = get_runner(name)

    def execute(commands, cwd: Path, stdout=None) -> None:
        """What `_execute_cmds` does, by `processes`."""
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
