"""One command line over all layers, and the Python interface.

Begin with `cli` (what a user calls), `pipeline` (the steps of a run) and `api` (the names of `import xnoreplay`).
A step lives in the room of its subject: `datasets`, `learning`, `verify`, `chip`, `board`, `cost`, `explore`, `report`.
`run` is what every step stands on, `output` writes figures and numbers, `speed` measures the simulators.
"""
