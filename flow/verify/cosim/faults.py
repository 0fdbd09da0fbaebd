"""Deliberate faults, to show that a comparison finds them and says where.

``rtl:MEMORY:ROW:BIT`` and ``sim:MEMORY:ROW:BIT`` flip one bit of the chip's or the simulator's
memory before the first command, and after what is done on the host port before it; ``plan:OP.FIELD=VALUE`` builds the chip from a plan with another value.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from xnoreplay.spec.errors import SpecError, shown, unknown
from xnoreplay.spec.plan import Plan

FORMS = "rtl:MEMORY:ROW:BIT, sim:MEMORY:ROW:BIT or plan:OP.FIELD=VALUE"


@dataclass(frozen=True)
class Faults:
    """Faults by where they are made; see the module."""

    rtl: tuple[tuple[str, int, int], ...] = ()
    sim: tuple[tuple[str, int, int], ...] = ()
    plan: tuple[tuple[str, str, int], ...] = ()

    def changed(self, plan: Plan) -> Plan:
        """The plan the chip is built from.

        Raises
        ------
        SpecError
            For an operation or field that the plan does not have.
        """  # noqa: DOC501, DOC502  `unknown` makes the SpecError
        for name, field, value in self.plan:
            convolutions = {op.name: op for op in plan.convolutions}
            every = ("input", "lgap", "latent", "hidden", "output", "replay", "generative")
            single = tuple(n for n in every if getattr(plan, n) is not None)
            if name not in (*convolutions, *single):
                raise unknown("operation", name, (*convolutions, *single))
            op = convolutions.get(name) or getattr(plan, name)
            numbers = [
                f.name for f in dataclasses.fields(op) if isinstance(getattr(op, f.name), int)
            ]
            if field not in numbers:
                raise unknown(f"field of {name}", field, numbers)
            other = dataclasses.replace(op, **{field: type(getattr(op, field))(value)})
            if name in convolutions:
                ops = tuple(other if op.name == name else op for op in plan.convolutions)
                plan = dataclasses.replace(plan, convolutions=ops)
            else:
                changed: dict[str, Any] = {name: other}
                plan = dataclasses.replace(plan, **changed)
        return plan


def parse(texts: list[str], plan: Plan) -> Faults:
    """Faults from the command line.

    Raises
    ------
    SpecError
        For a text of another form, or a bit that does not exist.
    """  # noqa: DOC501  the ValueError does not leave
    found: dict[str, list] = {"rtl": [], "sim": [], "plan": []}
    for text in texts:
        kind, _, rest = text.partition(":")
        try:
            if kind == "plan":
                where, value = rest.split("=")
                name, field = where.split(".")
                found["plan"].append((name, field, int(value, 0)))
            elif kind in ("rtl", "sim"):
                name, row, bit = rest.split(":")
                found[kind].append((name, int(row, 0), int(bit, 0)))
            else:
                raise ValueError
        except ValueError:
            raise SpecError(f"fault must be {FORMS}, not {shown(text)}") from None
    for name, row, bit in (*found["rtl"], *found["sim"]):
        _check_bit(plan, name, row, bit)
    faults = Faults(*(tuple(found[kind]) for kind in ("rtl", "sim", "plan")))
    faults.changed(plan)
    return faults


def _check_bit(plan: Plan, name: str, row: int, bit: int) -> None:
    names = [m.name for m in plan.memories]
    if name not in names:
        raise unknown("memory", name, names)
    memory = plan.memory(name)
    rows = memory.depth * memory.count
    if not (0 <= row < rows and 0 <= bit < memory.stored):
        raise SpecError(
            f"a fault in {name} must be in its {rows} rows of {memory.stored} bits, "
            f"not in row {row}, bit {bit}"
        )
