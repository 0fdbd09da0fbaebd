"""Co-simulation: the Verilog beside the simulator, equal on every bit, counter and cycle."""

from xnoreplay.flow.cosim.step import optimisation, replay, run

__all__ = ["optimisation", "replay", "run"]
