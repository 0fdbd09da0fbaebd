"""Proofs: properties of the Verilog for all inputs, and its equality with its netlist.

`catalogue` has the properties, subject by subject: `bus`, `control`, `replay`, `generative`, `memories`, `update`. `design` makes a model
of one, `engine` asks the solvers, `equivalence` compares with the netlist, and `run` does all of it. Begin with `property`.
"""
