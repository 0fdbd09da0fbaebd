"""The simulator: every bit, counter and cycle of the chip, in NumPy arrays and numba kernels.

Begin with `run.Simulator`, the way in; `session` carries out a retraining, `host` a read or write of the bus.
`step` computes one clock after another, `fast` one phase at a time with the same results, `functional` images without
cycles; `common` is what these share. `learner` runs sessions on latents alone, for long experiments.
"""
