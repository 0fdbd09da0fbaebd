"""The chip in Amaranth, and its Verilog.

Begin with `inference.array`, the one array of XNOR gates and adders; then the units around it, in the order of an
image (`inference`) and of a session (`learning`). `sequencer` says which unit works, `replay` what is remembered,
`host` how a bus reaches it, `top` wires everything and is best read last. `verilog.generate` writes the text.
"""
