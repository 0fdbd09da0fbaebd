"""How fast the simulators are. Begin with `simulators` (against Verilator and PyTorch) and `scaling`."""
