"""Development boards: a bitstream, and first steps with the chip in it, held to the simulator.

Begin with `building`, which makes the bitstream.
"""
