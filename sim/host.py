"""The host's port of a simulated chip that is idle: addresses, answers and what they change."""

from xnoreplay.sim.run import Simulator
from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.registers import (
    ID,
    READ_ONLY,
    WINDOW_SHIFT,
    Register,
    Response,
    Status,
    Window,
)

CHUNK = (1 << 32) - 1


class HostPort:
    """32-bit transfers of a host, one after another.

    A row that is wider than a transfer is written low words first. The words but the last gather here,
    0 where none was written; the write of the last one commits the row and does not gather.
    """

    def __init__(self, chip: Simulator) -> None:
        self.chip = chip
        memories = chip.plan.memories
        self.windows = {w.base >> WINDOW_SHIFT: w for w in registers.windows(memories)}
        self.writable = registers.writable(memories)
        self.gathered: dict[int, int] = {}

    def transfer(self, address: int, data: int | None = None) -> tuple[Response, int]:
        """Carry out a write of data, or a read where that is None: the answer, and the word read or 0.

        address: of 32 bits, whose lowest two are ignored. SpecError for what a simulated chip cannot answer: a read of
        COMMAND, and a command that needs an image.
        """
        region, offset = divmod(address & ~3, 1 << WINDOW_SHIFT)
        if region == 0:
            return self._read(offset) if data is None else (self._write(offset, data), 0)
        window = self.windows.get(region)
        place = window and window.place(offset)
        if not window or not place:
            return Response.DECERR, 0
        row, chunk = place
        if data is None:
            return Response.OKAY, self.chip.read_row(window.memory.name, row) >> 32 * chunk & CHUNK
        return self._write_row(window, row, chunk, data), 0

    def window_at(self, address: int) -> bool:
        """Whether a byte address is a word of a memory's window."""
        region, offset = divmod(address & ~3, 1 << WINDOW_SHIFT)
        window = self.windows.get(region)
        return window is not None and window.place(offset) is not None

    def refuses(self, command: Command, argument: int) -> bool:
        """Whether the idle chip answers SLVERR to a command."""
        chip = self.chip
        stale = command.counted and chip.state.stale
        rule = command.first_broken_rule(argument, chip.state.seen, chip.plan.network.classes)
        return bool(stale) or rule is not None

    def _write_row(self, window: Window, row: int, chunk: int, data: int) -> Response:
        """Take a word of a row: gather it, or commit the row with the last one."""
        if window.memory.name in READ_ONLY:
            return Response.SLVERR
        if chunk < window.chunks - 1:
            self.gathered[chunk] = data
        else:
            low = sum(self.gathered.get(c, 0) << 32 * c for c in range(chunk))
            self.chip.write_row(window.memory.name, row, data << 32 * chunk | low)
        return Response.OKAY

    def _read(self, offset: int) -> tuple[Response, int]:
        """Read the register at an offset: the answer, and the word or 0.

        Raises
        ------
        SpecError
            For COMMAND, which a simulator does not keep.
        """
        state = self.chip.state
        values = {r: getattr(state, r.name.lower()) for r in self.writable}
        values |= {
            Register.ID: ID,
            Register.STATUS: state.refused << Status.REFUSED
            | state.finished << Status.FINISHED
            | state.stale << Status.STALE,
            Register.PREDICTION: state.prediction,
            Register.QUOTA: state.quota,
            Register.PHASE: 0,
            Register.ABORT: 0,
        }
        if Register.ERRORS in registers.present(self.chip.plan.memories):
            values[Register.ERRORS] = state.errors
        if offset == Register.COMMAND:
            raise SpecError(
                "a read of COMMAND must go to a chip, because a simulator does not keep it"
            )
        table = {int(register): value for register, value in values.items()}
        for i, count in enumerate(self.chip.chip_counters.values()):
            table[Register.COUNTERS + 8 * i] = count & CHUNK
            table[Register.COUNTERS + 8 * i + 4] = count >> 32
        known = offset in table
        return (Response.OKAY, table[offset]) if known else (Response.DECERR, 0)

    def _write(self, offset: int, data: int) -> Response:
        """Write the register at an offset, and carry out a command that is written."""
        if offset in self.writable:
            if data not in self.writable[Register(offset)]:
                return Response.SLVERR
            self.chip.write_register(Register(offset), data)
            return Response.OKAY
        if offset == Register.COMMAND:
            return self._command(data & 255, data >> 16)
        if offset == Register.ABORT:
            return Response.OKAY
        if offset == Register.ERRORS and self._read(offset)[0] is Response.OKAY:
            self.chip.clear_errors(data)
            return Response.OKAY
        return Response.DECERR if self._read(offset)[0] is Response.DECERR else Response.SLVERR

    def _command(self, number: int, argument: int) -> Response:
        """Refuse a command, or carry it out.

        Raises
        ------
        SpecError
            Where it needs an image, which does not come through this port.
        """
        chip = self.chip
        if number not in list(Command):
            return Response.SLVERR
        command = Command(number)
        if self.refuses(command, argument):
            return Response.SLVERR
        if command.image:
            raise SpecError(f"{command.name} must be given with its image, not by a transfer alone")
        chip.carry_out(command, argument)
        return Response.OKAY
