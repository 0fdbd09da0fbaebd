"""Which addresses of the host port are mapped, and which are nearly."""

from itertools import product

from xnoreplay.spec import registers
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import WINDOW_SHIFT, Register


def control_registers(plan: Plan) -> list[Register]:
    """Registers of the host port, without the counters."""
    return [r for r in registers.present(plan.memories) if r != Register.COUNTERS]


def one_bit_off(plan: Plan) -> dict[int, set[int]]:
    """Addresses where nothing is mapped that differ in one bit from one where a write does something.

    That is one of a register that is written, or of row 0 in a window: of its first word, or of its last.

    Returns
    -------
    dict of int to set of int
        The bits that are wrong, by byte address.
    """
    windows = registers.windows(plan.memories)
    used = {window.base >> WINDOW_SHIFT: window for window in windows}
    written = (Register.COMMAND, Register.ABORT, *registers.writable(plan.memories))
    starts = [int(register) for register in written]
    starts += [w.address(0, chunk) for w in windows for chunk in {0, w.chunks - 1}]
    known = {int(register) for register in control_registers(plan)}
    first = int(Register.COUNTERS)
    known |= {first + 4 * n for n in range(2 * len(registers.counters(plan.memories, plan.target)))}
    found: dict[int, set[int]] = {}
    for start, bit in product(starts, range(2, 32)):
        address = start ^ 1 << bit
        region, offset = address >> WINDOW_SHIFT, address & (1 << WINDOW_SHIFT) - 4
        if region == 0:
            mapped = offset in known
        elif region in used:
            mapped = used[region].place(offset) is not None
        else:
            mapped = False
        if not mapped:
            found.setdefault(address, set()).add(bit)
    return found
