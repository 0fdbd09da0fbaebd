"""How many of many small faults the co-simulation notices: a measure of its stimulus, not of the chip.

Begin with `measure`, then `catalogue`, `design`, `server`, `score`, `proofs`.
"""
