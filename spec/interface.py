"""Interface of a trained network: what becomes of data before they enter the chip, and what its classes are called.

A bundle carries it, so that whoever has the bundle can bring data to the chip and read its answers.
"""

import dataclasses
from dataclasses import dataclass
from itertools import zip_longest

from xnoreplay.spec.errors import SpecError, shown, unknown
from xnoreplay.spec.features import FeatureSpec
from xnoreplay.spec.pixels import PixelSpec

KINDS: dict[str, type] = {"image": PixelSpec, "features": FeatureSpec}
"""What makes chip inputs of data, by the name that a bundle gives it."""


@dataclass(frozen=True)
class Interface:
    """What enters a chip, and what its classes are called.

    Parameters
    ----------
    rule : PixelSpec or FeatureSpec
        What becomes of a sample before it enters the chip; one of the values of `KINDS`.
    class_names : tuple of str
        Names of chip classes 0, 1, ..., which is their order of arrival; at least one, all different.

    Raises
    ------
    SpecError
        For names that are none, or not different.
    """

    rule: PixelSpec | FeatureSpec
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        names = self.class_names
        if not names or not all(isinstance(n, str) and n for n in names):
            raise SpecError(f"class_names must be a list of names, not {shown(names)}")
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise SpecError(f"class_names must differ, but {shown(twice)} stands there twice")

    def differences(self, other: "Interface") -> list[str]:
        """Say where another interface is not this one, each with the other's value and this one's; of the classes, the first.

        >>> mine = Interface(PixelSpec(), ("nut", "bolt"))
        >>> mine.differences(Interface(PixelSpec(fit="pad"), ("nut", "pin")))
        ["fit ('pad', not 'crop')", "class 1 ('pin', not 'bolt')"]
        """
        mine, theirs = to_dict(self), to_dict(other)
        pairs = [(n, mine["input"].get(n), v) for n, v in theirs["input"].items()]
        names = zip_longest(self.class_names, other.class_names)
        classes = [(f"class {i}", *pair) for i, pair in enumerate(names)]
        pairs += [next((entry for entry in classes if entry[1] != entry[2]), ("", None, None))]
        return [f"{n} ({shown(theirs)}, not {shown(m)})" for n, m, theirs in pairs if m != theirs]


def to_dict(interface: Interface) -> dict:
    """Nested plain values that `from_dict` turns back into the same interface."""
    kind = next(name for name, made in KINDS.items() if type(interface.rule) is made)
    rule = {"kind": kind} | dataclasses.asdict(interface.rule)
    return {"input": rule, "class_names": list(interface.class_names)}


def from_dict(tree: object) -> Interface:
    """Build an interface from nested plain values.

    Parameters
    ----------
    tree : dict
        With exactly the keys ``input`` and ``class_names``; ``input`` has ``kind``, one of `KINDS`, and exactly the fields
        of that kind.

    Raises
    ------
    SpecError
        For a key that is missing or unknown, and a value that breaks a rule.
    """  # noqa: DOC501  unknown() makes a SpecError
    fields = _keys("interface", tree, {"input", "class_names"})
    rule, names = fields["input"], fields["class_names"]
    kind = rule.get("kind") if isinstance(rule, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise unknown("kind of input", kind, KINDS)
    known = {f.name for f in dataclasses.fields(KINDS[kind])}
    values = _keys("input", rule, {"kind", *known})
    if not isinstance(names, list):
        raise SpecError(f"class_names must be a list of names, not {shown(names)}")
    return Interface(KINDS[kind](**{n: values[n] for n in known}), tuple(names))


def _keys(what: str, tree: object, wanted: set[str]) -> dict:
    if not isinstance(tree, dict):
        raise SpecError(f"{what} must be an object, not {shown(tree)}")
    if tree.keys() != wanted:
        raise SpecError(
            f"{what} must have the fields {', '.join(sorted(wanted))}, not {', '.join(sorted(tree))}"
        )
    return tree
