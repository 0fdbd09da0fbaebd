"""Logic costs that a user measured with `characterize --liberty`, in place of the cited ones."""

import math
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.cost.tables import Cost, CostError
from xnoreplay.spec import limits, reading
from xnoreplay.spec.errors import ReadError, SpecError, require, shown
from xnoreplay.spec.plan import Plan

FORMAT = "xnoreplay-logic-2"
OLD = "xnoreplay-logic-1"
"""Format without delays, wires and clock gates."""
PARTS = {
    "lane": ("array", "array pipeline", "accumulators", "lane.file"),
    "update": ("update units",),
    "error": ("error unit",),
    "draw": (),
}
"""Parts of an estimate that a measured unit takes the place of; of the draw unit a single row."""
UNITS = ("lane", "update", "error")
DRAW = "draw"
"""The unit that generative replay alone has."""
EVENTS = {
    "lane": ("lane_beat", "lane_clock"),
    "update": ("update_segment", "update_clock"),
    "error": ("error_sample", "error_clock"),
    DRAW: ("draw_plane", "draw_clock"),
}
"""What is measured of each unit: an event, and a cycle of its clock."""
COUNT, WIRES, GLITCHES = "count", "wires", "glitches"
"""Parts of an event's energy: without wires and delays, and what these add."""


def dials(plan: Plan) -> dict[str, int]:
    """Return what measured units depend on, by name; `draw_planes` is 0 without generative replay."""
    target = plan.target
    return {
        "window": target.window,
        "segment": target.segment,
        "proxy_bits": target.proxy_bits,
        "delta_bits": target.delta_bits,
        "classes": plan.network.classes,
        "draw_planes": target.mean_bits if plan.generative else 0,
    }


@dataclass(frozen=True)
class Logic:
    """Costs of units.

    Parameters
    ----------
    events : dict
        Event -> part (`COUNT`, `WIRES`, `GLITCHES`) -> cost in J.
    leakage : dict
        Unit -> cost in W.
    measured_with : dict of str to int
        As of `dials`.
    """

    events: dict[str, dict[str, Cost]]
    leakage: dict[str, Cost]
    measured_with: dict[str, int]

    def check(self, plan: Plan) -> None:
        """Raise CostError where a plan's units are others than those measured."""
        for name, ours in dials(plan).items():
            theirs = self.measured_with[name]
            if ours != theirs and (ours or name != "draw_planes"):
                raise CostError(
                    f"logic costs must be measured with the target's {name} of {ours}, not {theirs}; "
                    "characterize it with the same dials"
                )


_logic: Logic | None = None


def use_logic(path: Path | None) -> None:
    """Take logic costs from a user's file; without a path, the cited ones again.

    Raises
    ------
    CostError
        For a file that `characterize` did not write.
    """
    global _logic
    _logic = None if path is None else read(path)


def logic() -> Logic | None:
    """Return the user's costs, or None where the cited ones are taken."""
    return _logic


def read(path: Path) -> Logic:
    """Read a file of `characterize --liberty`.

    Raises
    ------
    CostError
        For another file, and for figures that cannot be: an energy that is not above 0, a power below
        0, no supply.
    """  # noqa: DOC501  the ValueError becomes a CostError
    try:
        tree = reading.read_json(path)
        if tree["format"] == OLD:
            raise ValueError("it is of an older version: characterize the library again")
        if tree["format"] != FORMAT:
            raise ValueError(f"its format is {shown(tree['format'])}")
        check(tree)
        where = f"{shown(tree['liberty'])[1:-1]} at {tree['volts']} V, gate level"
        units = {name: tree["units"][name] for name in _units(tree)}

        def cost(value: float, unit: str) -> Cost:
            nets = units[unit]
            share = 100 * nets["annotated"] / nets["nets"]
            source = f"{where}, {share:.1f} % of {nets['nets']:,} nets annotated"
            return Cost(value, value, value, source)

        return Logic(
            {
                event: {
                    part: cost(float(tree["events"][event][part]), unit)
                    for part in (COUNT, WIRES, GLITCHES)
                }
                for unit in units
                for event in EVENTS[unit]
            },
            {unit: cost(float(found["leakage"]), unit) for unit, found in units.items()},
            {name: tree[name] for name in DIALS},
        )
    except ReadError as error:
        raise CostError(
            f"logic costs {path} must be a file of characterize, but: {error}"
        ) from None
    except (
        OSError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        ArithmeticError,
        RecursionError,
    ) as error:
        why = _why(error)
        raise CostError(f"logic costs {path} must be a file of characterize, but: {why}") from None


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{shown(error.args[0])} is missing"
    if isinstance(error, SpecError | ReadError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return (
        "a value in it is of another kind"
        if isinstance(error, TypeError | AttributeError)
        else repr(error)
    )


DIALS = ("window", "segment", "proxy_bits", "delta_bits", "classes", "draw_planes")
"""Names of `dials`."""


def _units(tree: dict) -> tuple[str, ...]:
    return (*UNITS, DRAW) if tree["draw_planes"] else UNITS


def check(tree: dict) -> None:
    """Raise SpecError, with its place and name, where a figure of `characterize` cannot be."""
    for name in DIALS:
        if name == "draw_planes":
            require.between(name, tree[name], 0, limits.MOST["mean_bits"].most)
        else:
            require.positive(name, tree[name])
    _figure("volts", tree["volts"])
    for unit in _units(tree):
        for event in EVENTS[unit]:
            parts = tree["events"][event]
            _figure(f"events.{event}.{COUNT}", parts[COUNT])
            for part in (WIRES, GLITCHES):
                _figure(f"events.{event}.{part}", parts[part], least=0.0)
        found = tree["units"][unit]
        _figure(f"units.{unit}.leakage", found["leakage"], least=0.0)
        for name in ("nets", "annotated"):
            require.positive(f"units.{unit}.{name}", found[name])
        require.between(f"units.{unit}.annotated", found["annotated"], 1, found["nets"])


def _figure(name: str, value: object, least: float | None = None) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value < math.inf
    if not number or not (value > 0 if least is None else value >= least):  # type: ignore[operator]
        rule = "above 0" if least is None else f"of at least {least:g}"
        raise SpecError(f"{name} must be a finite number {rule}, not {shown(value)}")
