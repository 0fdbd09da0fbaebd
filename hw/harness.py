"""A frame of registers around one unit, so that placing it gives the clock of the unit and not of its pins."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

PARITY = 4  # bits that one look-up table joins


class Harness(wiring.Component):
    """A unit whose inputs come from a shift register and whose outputs pass registers and a pipelined parity.

    Each side takes one pin. No logic of the unit is constant or unused, and each of its paths is between registers.

    Parameters
    ----------
    unit : wiring.Component
        Its inputs and outputs are those of its signature.
    """

    scan_in: In(1)  # type: ignore[valid-type]  # Amaranth reads ports from annotations
    scan_out: Out(1)  # type: ignore[valid-type]

    def __init__(self, unit: wiring.Component):
        self.unit = unit
        super().__init__()

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        m.submodules.unit = unit = self.unit
        ports = {n: member.flow for n, member in unit.signature.members.items()}
        inputs = [Value.cast(getattr(unit, n)) for n, flow in ports.items() if flow == In]
        outputs = Cat(Value.cast(getattr(unit, n)) for n, flow in ports.items() if flow == Out)
        scan = Signal(sum(map(len, inputs)), reset_less=True)
        m.d.sync += scan.eq(Cat(self.scan_in, scan[:-1]))
        m.d.comb += Cat(inputs).eq(scan)
        stage = Signal(len(outputs), name="seen", reset_less=True)
        m.d.sync += stage.eq(outputs)
        while len(stage) > 1:
            groups = [stage[i : i + PARITY] for i in range(0, len(stage), PARITY)]
            stage = Signal(len(groups), name=f"parity{len(groups)}", reset_less=True)
            m.d.sync += stage.eq(Cat(group.xor() for group in groups))
        m.d.comb += self.scan_out.eq(stage)
        return m
