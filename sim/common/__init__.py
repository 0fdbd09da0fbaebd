"""What all modes of the simulator share: state, counters, tables of operations, compiled bit operations.

Begin with `state` (registers and memories) and `counters`; `program` and `learn_program` turn a plan into arrays
that kernels read; `jit` says how kernels are compiled and kept.
"""
