"""The plan as a program: fields of the running operation, selected by the phase."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Signal, Value


def program_field(m: Module, name: str, at: Value, values: dict[int, int]) -> Signal:
    """A signal that holds ``values[n]`` where bit n of ``at`` is high, or 0 where none of them is.

    At most one bit of ``at`` is high.
    """
    field = Signal(max(1, max(values.values()).bit_length()), name=f"op_{name}")
    bits = []
    for i in range(len(field)):
        ones = [at[number] for number, value in values.items() if value >> i & 1]
        bits.append(reduce(or_, ones) if ones else Const(0, 1))
    m.d.comb += field.eq(Cat(bits))
    return field


def fields(m: Module, at: Value, ops: dict[int, dict[str, int]]) -> dict[str, Signal]:
    """One signal a field, holding the value of the running operation; by the fields' names.

    Parameters
    ----------
    m : Module
    at : Value
        A bit for each operation: that of the one that runs is high.
    ops : dict
        Phase number -> field name -> value; all operations have the same fields.
    """
    names = next(iter(ops.values()))
    return {
        name: program_field(m, name, at, {n: int(op[name]) for n, op in ops.items()})
        for name in names
    }
