"""The host's program: drivers of a chip, in Python and in C, over any bus.

Begin with `driver.Driver`, which speaks to a chip through a `bus.Bus`. The buses are `simulated.SimulatedBus`, the
simulator in place of a chip; `uart.UartBus`, a serial port with the chip's UART bridge at its end; and
`cocotb_bus.CocotbBus`, the Verilog in a simulator that cocotb drives. The same program runs on all three. `c/` is the
driver in C99. `docs/host.md` says what a driver does.
"""
