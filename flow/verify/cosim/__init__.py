"""Co-simulation: the Verilog beside the simulator, equal on every bit, counter and cycle.

Begin with `step`, then `script`, `session`, `compare`. The test bench is in a package below this one and runs in
every session, so what it has no use for is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xnoreplay.flow.verify.cosim.again import repeat
    from xnoreplay.flow.verify.cosim.chip import optimisation, read_verilog
    from xnoreplay.flow.verify.cosim.step import cosimulate

__all__ = ["cosimulate", "optimisation", "read_verilog", "repeat"]


def __getattr__(name: str):
    """A name of `__all__`, imported at its first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from xnoreplay.flow.verify.cosim import again, chip, step

    return getattr({"cosimulate": step, "repeat": again}.get(name, chip), name)
