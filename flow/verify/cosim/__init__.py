"""Co-simulation: the Verilog beside the simulator, equal on every bit, counter and cycle.

Begin with `step`, then `script`, `session`, `compare`.
"""

from xnoreplay.flow.verify.cosim.again import repeat
from xnoreplay.flow.verify.cosim.chip import optimisation, read_verilog
from xnoreplay.flow.verify.cosim.step import cosimulate

__all__ = ["cosimulate", "optimisation", "read_verilog", "repeat"]
