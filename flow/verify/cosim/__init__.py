"""Co-simulation: the Verilog beside the simulator, equal on every bit, counter and cycle."""

from xnoreplay.flow.verify.cosim.chip import optimisation, read_verilog
from xnoreplay.flow.verify.cosim.replays import replay
from xnoreplay.flow.verify.cosim.step import run

__all__ = ["optimisation", "read_verilog", "replay", "run"]
