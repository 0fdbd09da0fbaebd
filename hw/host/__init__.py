"""The host's side of the chip: AXI4-Lite registers and windows, the pixel stream, event counters.

Begin with `host`, which carries out what `spec.registers` lists; `axi` is the bus, `counters` counts events.
"""
