"""The plan as a program: fields of the running operation, selected by the phase."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal, Value


def program_field(
    m: Module, name: str, at: Value, values: dict[int, int], held: bool = False
) -> Signal:
    """A signal that holds ``values[n]`` where bit n of ``at`` is high, or 0 where none of them is.

    At most one bit of ``at`` is high. A field that is `held` is a register: it has its value from the second cycle of an
    operation on.
    """
    bits = max(1, max(values.values()).bit_length())
    field = Signal(bits, name=f"op_{name}")
    chosen = []
    for i in range(bits):
        ones = [at[number] for number, value in values.items() if value >> i & 1]
        bit = reduce(or_, ones) if ones else Const(0, 1)
        if held and ones:
            register = Signal(name=f"held_{name}{i}", reset_less=True)
            m.d.sync += register.eq(bit)
            bit = register
        chosen.append(bit)
    m.d.comb += field.eq(Cat(chosen))
    return field


def fields(
    m: Module, at: Value, ops: dict[int, dict[str, int]], held: bool = False
) -> dict[str, Signal]:
    """One signal a field, holding the value of the running operation; by the fields' names.

    Parameters
    ----------
    m : Module
    at : Value
        A bit for each operation: that of the one that runs is high.
    ops : dict
        Phase number -> field name -> value; all operations have the same fields.
    held : bool
        Whether the fields are registers, see `program_field`.
    """
    names = next(iter(ops.values()))
    return {
        name: program_field(m, name, at, {n: int(op[name]) for n, op in ops.items()}, held)
        for name in names
    }
