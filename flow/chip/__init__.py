"""From a plan to hardware: Verilog, cells, placement.

Begin with `generate`; `synth` and `families` map the Verilog to gates, FPGAs and a Liberty's cells, `place` routes it.
"""
