"""Co-simulation: the Verilog beside the simulator, equal on every bit, counter and cycle."""

from xnoreplay.flow.cosim.step import replay, run

__all__ = ["replay", "run"]
