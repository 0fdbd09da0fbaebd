"""Parts that several units use: adders, memories, memory ports, random registers, rounding.

Begin with `memory` (inferred RAM, or a macro of `macros`) and `arithmetic` (balanced adder trees).
"""
