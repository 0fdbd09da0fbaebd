"""What runs inside the HDL simulator.

Begin with `testbench`, which carries out a script; `drivers` moves the bus, `hostport` is a second, independent bus
master, `view` reads the chip's memories.
"""
