"""A test of cocotb that runs the program of all buses; it is started in the HDL simulator by `test_cocotb`."""

import os
import pickle
from pathlib import Path

import cocotb
from cocotb.task import bridge

from tests.host import lines, program
from xnoreplay.host import cocotb_bus
from xnoreplay.host.driver import Driver
from xnoreplay.spec import bundle, presets


@cocotb.test()
async def host(dut):
    """From power-on to the end of the program; what it has seen goes into a file."""
    cocotb_bus.PERIOD = lines.PERIOD
    serial = lines.make(dut) if hasattr(dut, "uart_rx") else {}
    bus = cocotb_bus.CocotbBus(dut)
    await bus.reset()
    others = {name: cocotb.start_soon(lines.live(line)) for name, line in serial.items()}
    tiny = presets.load("tiny")

    def lived():
        return program.life(Driver(bus, tiny), bundle.random(tiny.network, 0))

    seen = await bridge(lived)()
    if hasattr(dut, "irq"):  # it has not been looked at since the last command's end
        seen["pins"] = [int(dut.pixel_error.value), int(dut.irq.value)]
    for name, task in others.items():
        seen[name] = await task
    Path(os.environ["SEEN"]).write_bytes(pickle.dumps(seen))
