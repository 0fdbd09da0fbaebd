"""AXI4-Lite: the members of a port, and a slave that turns transfers into requests."""

from amaranth.hdl import Module, Mux, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from xnoreplay.spec.registers import TRANSFER_CYCLES, Response

DATA_BITS = 32
ADDRESS_BITS = 32


def lite_members(prefix: str = "s_axil_") -> dict:
    """Members of an AXI4-Lite slave port, named as tools expect them in Verilog.

    AxPROT is left out: the chip does not tell secure from plain transfers.
    """
    members = {
        "awaddr": In(ADDRESS_BITS),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(DATA_BITS),
        "wstrb": In(DATA_BITS // 8),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(ADDRESS_BITS),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(DATA_BITS),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }
    return {prefix + name: member for name, member in members.items()}


def forward(m: Module, outer, inner, prefix: str = "s_axil_") -> None:
    """Wire the AXI4-Lite port of a component, `outer`, to the port of a part inside it, `inner`."""
    for name, member in lite_members(prefix).items():
        sink, source = (inner, outer) if member.flow is In else (outer, inner)
        m.d.comb += getattr(sink, name).eq(getattr(source, name))


class LiteSlave(wiring.Component):
    """AXI4-Lite transfers as requests, one at a time.

    A request is chosen in one cycle, and from the next holds `valid`, `write`, `address` and `data`, which come from
    registers, until the cycle in which `done` is high; `response` is taken in the first cycle, and (of a read)
    `read_data` in the last. Writes and reads that wait together take turns: the read goes first where the last request served was a
    write. Address and data of a write may come in any order and distance. A write that does not strobe all four
    bytes gets SLVERR and makes no request. A transfer takes ``LATENCY`` cycles and the request's own, and requests
    are chosen at least so many cycles apart. Data and responses come from registers. Each ready and valid is a register's
    value AND NOT ``rst``: low in every cycle of reset, so that a transfer offered then waits for its end.

    Members
    -------
    s_axil_* : the port; see `lite_members`
    valid, write : Out(1)
    address : Out(30)
        In words: the low two bits of a byte address are ignored.
    reading : Out(1), read_address : Out(30)
        ``reading`` is high in the cycle in which a read of that address is chosen.
    write_address : Out(30)
        Of the write that is taken, or being served: it and ``data`` are there a cycle before that, at least.
    data : Out(32)
    done : In(1)
        Of a write, high in its first cycle.
    response : In(2)
    read_data : In(32)
    """

    LATENCY = TRANSFER_CYCLES

    def __init__(self):
        super().__init__(
            lite_members()
            | {
                "valid": Out(1),
                "write": Out(1),
                "address": Out(ADDRESS_BITS - 2),
                "reading": Out(1),
                "read_address": Out(ADDRESS_BITS - 2),
                "write_address": Out(ADDRESS_BITS - 2),
                "data": Out(DATA_BITS),
                "done": In(1),
                "response": In(2),
                "read_data": In(DATA_BITS),
            }
        )

    def elaborate(self, _platform):
        """Build the circuit; Amaranth calls this."""
        m = Module()
        address_taken = Signal()
        data_taken = Signal()
        read_taken = Signal()
        whole = Signal()
        reads_next = Signal()
        # No handshake in a cycle of reset, not even in the first, whose clock edge is yet to come.
        awake = Signal()
        m.d.comb += awake.eq(~ResetSignal())
        write_address, read_address = self._accept(
            m, awake, address_taken, data_taken, read_taken, whole
        )

        # A taken transfer is chosen once its own response channel is free and no other is being served.
        serving = Signal()
        write_ready = Signal()
        read_ready = Signal()
        write_answered = Signal()
        read_answered = Signal()
        refuse = Signal()
        m.d.comb += [
            write_ready.eq(address_taken & data_taken & ~write_answered),
            read_ready.eq(read_taken & ~read_answered),
            self.read_address.eq(read_address),
            self.write_address.eq(write_address),
            refuse.eq(serving & self.write & ~whole),
            self.valid.eq(serving & ~refuse),
        ]
        with m.If(~serving):
            m.d.comb += self.reading.eq(read_ready & ~(write_ready & ~reads_next))
            m.d.sync += [
                serving.eq(write_ready | read_ready),
                self.write.eq(~self.reading),
                self.address.eq(Mux(self.reading, read_address, write_address)),
            ]

        m.d.comb += [
            self.s_axil_bvalid.eq(awake & write_answered),
            self.s_axil_rvalid.eq(awake & read_answered),
        ]
        with m.If(self.s_axil_bready):
            m.d.sync += write_answered.eq(0)
        with m.If(self.s_axil_rready):
            m.d.sync += read_answered.eq(0)
        with m.If((self.valid & self.done) | refuse):
            m.d.sync += [serving.eq(0), reads_next.eq(self.write)]
            with m.If(self.write):
                m.d.sync += [address_taken.eq(0), data_taken.eq(0), write_answered.eq(1)]
            with m.Else():
                m.d.sync += [read_taken.eq(0), read_answered.eq(1)]
        # No answer is offered while a request of its kind is served: the registers need not wait for `done`.
        first = Signal()
        m.d.sync += first.eq(~serving)
        with m.If(serving & self.write):
            m.d.sync += self.s_axil_bresp.eq(Mux(whole, self.response, Response.SLVERR))
        with m.If(serving & ~self.write):
            m.d.sync += self.s_axil_rdata.eq(self.read_data)
            with m.If(first):
                m.d.sync += self.s_axil_rresp.eq(self.response)
        return m

    def _accept(
        self, m: Module, awake, address_taken, data_taken, read_taken, whole
    ) -> tuple[Signal, Signal]:
        """Take the three request channels into registers, each as soon as its own is empty.

        Returns
        -------
        tuple of Signal
            Word address of the write and of the read.
        """
        write_address = Signal.like(self.address)
        read_address = Signal.like(self.address)
        m.d.comb += [
            self.s_axil_awready.eq(awake & ~address_taken),
            self.s_axil_wready.eq(awake & ~data_taken),
            self.s_axil_arready.eq(awake & ~read_taken),
        ]
        with m.If(self.s_axil_awvalid & ~address_taken):
            m.d.sync += [address_taken.eq(1), write_address.eq(self.s_axil_awaddr[2:])]
        with m.If(self.s_axil_wvalid & ~data_taken):
            m.d.sync += [
                data_taken.eq(1),
                self.data.eq(self.s_axil_wdata),
                whole.eq(self.s_axil_wstrb.all()),
            ]
        with m.If(self.s_axil_arvalid & ~read_taken):
            m.d.sync += [read_taken.eq(1), read_address.eq(self.s_axil_araddr[2:])]
        return write_address, read_address
