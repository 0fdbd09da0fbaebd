"""Logic costs that a user measured with `characterize --liberty`, in place of the cited ones."""

import math
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.cost.tables import Cost, CostError
from xnoreplay.spec import reading
from xnoreplay.spec.errors import ReadError, SpecError, require, shown
from xnoreplay.spec.plan import Plan

FORMAT = "xnoreplay-logic-1"
LANE_PARTS = ("array", "array pipeline", "accumulators", "lane.file")
"""Parts of an estimate that a measured lane takes the place of."""
UPDATE_PARTS = ("update units",)
EVENTS = ("lane_beat", "lane_clock", "update_segment", "update_clock")
UNITS = ("lane", "update")


@dataclass(frozen=True)
class Logic:
    """Costs of a lane and of the update unit in J, W and mm2."""

    lane_beat: Cost
    lane_clock: Cost
    update_segment: Cost
    update_clock: Cost
    lane_leakage: Cost
    update_leakage: Cost
    window: int
    segment: int
    proxy_bits: int

    def check(self, plan: Plan) -> None:
        """Raise CostError where a plan's units are others than those measured."""
        for name in ("window", "segment", "proxy_bits"):
            ours, theirs = getattr(plan.target, name), getattr(self, name)
            if ours != theirs:
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
        if tree["format"] != FORMAT:
            raise ValueError(f"its format is {shown(tree['format'])}")
        check(tree)
        where = f"{shown(tree['liberty'])[1:-1]} at {tree['volts']} V, gate level"
        events = {name: float(j) for name, j in tree["events"].items()}
        units = tree["units"]

        def cost(value: float, unit: str) -> Cost:
            nets = units[unit]
            share = 100 * nets["annotated"] / nets["nets"]
            source = f"{where}, {share:.1f} % of {nets['nets']:,} nets annotated, no wires"
            return Cost(value, value, value, source)

        return Logic(
            lane_beat=cost(events["lane_beat"], "lane"),
            lane_clock=cost(events["lane_clock"], "lane"),
            update_segment=cost(events["update_segment"], "update"),
            update_clock=cost(events["update_clock"], "update"),
            lane_leakage=cost(float(units["lane"]["leakage"]), "lane"),
            update_leakage=cost(float(units["update"]["leakage"]), "update"),
            window=tree["window"],
            segment=tree["segment"],
            proxy_bits=tree["proxy_bits"],
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


def check(tree: dict) -> None:
    """Raise SpecError, with its place and name, where a figure of `characterize` cannot be."""
    for event in EVENTS:
        _figure(f"events.{event}", tree["events"][event])
    _figure("volts", tree["volts"])
    for unit in UNITS:
        found = tree["units"][unit]
        _figure(f"units.{unit}.leakage", found["leakage"], least=0.0)
        for name in ("nets", "annotated"):
            require.positive(f"units.{unit}.{name}", found[name])
        require.between(f"units.{unit}.annotated", found["annotated"], 1, found["nets"])
    for name in ("window", "segment", "proxy_bits"):
        require.positive(name, tree[name])


def _figure(name: str, value: object, least: float | None = None) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value < math.inf
    if not number or not (value > 0 if least is None else value >= least):  # type: ignore[operator]
        rule = "above 0" if least is None else f"of at least {least:g}"
        raise SpecError(f"{name} must be a finite number {rule}, not {shown(value)}")
