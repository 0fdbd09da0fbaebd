"""The stepping mode: one kernel call a clock, with every register of the RTL.

Begin with `sequencer` (images) and `learn_sequencer` (sessions), which choose the unit of a clock; each other file is
one unit. `registers` and `learn_registers` hold current and next values; `trace` writes a line a clock.
"""
