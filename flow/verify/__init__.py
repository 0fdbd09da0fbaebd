"""Equality of reference, simulator and RTL.

Begin with `simulate` (reference against simulator) and `cosim` (simulator against Verilog); `equality` says it in one
sentence, `utilisation` shows how busy the array was.
"""
