"""The properties of a chip, subject by subject."""

from collections.abc import Iterable

from xnoreplay.flow.verify.prove import (
    bus,
    control,
    generative,
    labels,
    memories,
    replay,
    update,
    watchdog,
)
from xnoreplay.flow.verify.prove.property import Property
from xnoreplay.spec.errors import unknown
from xnoreplay.spec.plan import Plan

SUBJECTS = (bus, control, watchdog, labels, replay, generative, memories, update)


def properties(plan: Plan) -> dict[str, Property]:
    """Return the properties of a plan's chip by name."""
    found = [p for subject in SUBJECTS for p in subject.properties(plan)]
    assert len({p.name for p in found}) == len(found)
    return {p.name: p for p in found}


def chosen(plan: Plan, names: tuple[str, ...]) -> list[Property]:
    """Return the properties with one of these names, or whose name begins with one and a dot; all without any.

    Raises
    ------
    SpecError
        For a name that is none, and begins none.
    """  # noqa: DOC501  `unknown` makes a SpecError
    known = properties(plan)
    found: dict[str, Property] = {}
    for name in names:
        own = {n: p for n, p in known.items() if n == name or n.startswith(f"{name}.")}
        if not own:
            raise unknown("property", name, {*known, *_beginnings(known)})
        found |= own
    return list(found.values()) if names else list(known.values())


def _beginnings(names: Iterable[str]) -> set[str]:
    """Every part of dotted names that ends before a dot.

    >>> sorted(_beginnings(["done.front", "done.learning.balance"]))
    ['done', 'done.learning']
    """
    steps = (name.split(".") for name in names)
    return {".".join(path[:n]) for path in steps for n in range(1, len(path))}
