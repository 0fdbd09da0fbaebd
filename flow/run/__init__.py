"""What every command stands on: steps and their folders, files, locks, processes, progress, tools.

Begin with `step`, which runs a step when its inputs changed, and `records`, which says what made a folder; `files` and
`locks` keep the user's files whole, `interrupts` and `processes` end a command without leftovers, `verilate` compiles
Verilog with Verilator.
"""
