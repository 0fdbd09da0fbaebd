"""The plan as a program: fields of the running operation, selected by the phase."""

from amaranth.hdl import Module, Signal, Value


def program_field(m: Module, name: str, phase: Value, values: dict[int, int]) -> Signal:
    """A signal that holds ``values[phase]``, or 0 in other phases."""
    field = Signal(max(1, max(values.values()).bit_length()), name=f"op_{name}")
    with m.Switch(phase):
        for number, value in values.items():
            with m.Case(number):
                m.d.comb += field.eq(value)
    return field


def fields(m: Module, phase: Value, ops: dict[int, dict[str, int]]) -> dict[str, Signal]:
    """One signal a field, holding the value of the running operation; by the fields' names.

    Parameters
    ----------
    m : Module
    phase : Value
        Number of the operation that runs.
    ops : dict
        Phase number -> field name -> value; all operations have the same fields.
    """
    names = next(iter(ops.values()))
    return {
        name: program_field(m, name, phase, {n: int(op[name]) for n, op in ops.items()})
        for name in names
    }
