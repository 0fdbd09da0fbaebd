"""How numbers, plots and the chip's block diagram are drawn. Begin with `quantities`."""
