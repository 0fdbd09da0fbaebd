"""The space that `explore` searches: dials, their values, and the points that can be built."""

import dataclasses
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from xnoreplay.flow.cost import replay_variants, tables
from xnoreplay.spec import learning_plan, limits, reading
from xnoreplay.spec import plan as plans
from xnoreplay.spec.errors import ReadError, SpecError, require, shown, unknown
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.replay import check_capacity
from xnoreplay.spec.target import GENERATIVE

DRAWN = "generative"
"""Of the dial `replay`: latents are drawn. The other ways are `replay_variants.VARIANTS`, of which the first is stored
latents."""
WAYS = (*replay_variants.VARIANTS, DRAWN)
DIALS = (
    "lanes",
    "window",
    "batch",
    "proxy_bits",
    "delta_bits",
    "proxies_per_pair",
    "hidden_learns",
    "epochs",
    "rate_shift",
    "replay_bits",
    "staging",
    "replay",
    *GENERATIVE,
    "technology",
    "device_type",
    "clock_hz",
)
"""`window` is W, cells of a lane; `replay_bits` the replay memory of stored samples without its
labels; `staging` is true, false, or how many samples; `replay` one of `WAYS`; others are fields of TargetSpec."""
PRICING = ("technology", "device_type", "clock_hz")
"""Of a target, what counters do not depend on."""


@dataclass(frozen=True)
class Point:
    """One design: dials as chosen, and the preset they make.

    Parameters
    ----------
    dials : dict
        Values by name, of those that have a meaning with this way of replay.
    preset : Preset
        With these values.
    replay : str
        One of `WAYS`.
    """

    dials: dict
    preset: Preset
    replay: str


def default(preset: Preset) -> dict[str, list]:
    """Return a sweep that answers the usual questions in a minute or two on the digits."""
    target = preset.target
    bits = target.replay_capacity * preset.network.latent
    images = [replay_variants.IMAGES] * preset.network.takes_images
    return {
        "lanes": [target.lanes, 2 * target.lanes],
        "proxy_bits": [4, 5, 6, 8],
        "replay_bits": [bits // 4, bits // 2, bits],
        "staging": [True, False],
        "replay": [replay_variants.LATENT, *images, DRAWN],
        "replay_components": sorted(
            {max(1, target.replay_components // 2), target.replay_components}
        ),
    }


def parse(texts: Iterable[str]) -> dict[str, list]:
    """Read a sweep from options.

    >>> parse(["lanes=4,8", "staging=true,false", "replay=latent"])
    {'lanes': [4, 8], 'staging': [True, False], 'replay': ['latent']}

    Raises
    ------
    SpecError
        For an unknown dial or one without values.
    """
    sweep = {}
    for text in texts:
        name, _, values = text.partition("=")
        sweep[name] = [_value(v) for v in values.split(",") if v]
    return checked(sweep)


def _value(text: str) -> int | bool | str:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text


def from_file(path: Path) -> dict[str, list]:
    """Read a sweep from the `[sweep]` section of a TOML file; a dial is a value or a list of them."""
    try:
        tree = reading.read_toml(path, "sweep file")
    except ReadError as error:
        raise SpecError(str(error)) from None
    if tree.keys() != {"sweep"} or not isinstance(tree["sweep"], dict):
        raise SpecError(
            f"sweep file {path} must have one section, [sweep], not {shown(sorted(tree))}"
        )
    values = {k: v if isinstance(v, list) else [v] for k, v in tree["sweep"].items()}
    return checked(values)


def checked(sweep: dict[str, list]) -> dict[str, list]:
    """Return the sweep, where every dial is known and has values."""
    for name, values in sweep.items():
        if name not in DIALS:
            raise unknown("dial", name, DIALS)
        if not values:
            raise SpecError(f"dial {name} must have at least one value, not none")
    limits.count(
        "points",
        math.prod(map(len, sweep.values())),
        "designs of a sweep, all dials' values combined,",
    )
    return sweep


def points(preset: Preset, sweep: dict[str, list]) -> tuple[list[Point], list[dict]]:
    """List every combination: the designs that can be built, and why the others cannot.

    A dial that has no meaning with a combination's way of replay is left out of it, and combinations that are then
    alike are one.

    Raises
    ------
    SpecError
        Where none can be built; the sentence has the first one's reason.
    """
    valid, refused = [], []
    own = DRAWN if preset.target.replay == DRAWN else replay_variants.LATENT
    met = set()
    for values in itertools.product(*sweep.values()):
        dials = dict(zip(sweep, values, strict=True))
        way = dials.get("replay", own)
        for name in _without_meaning(way):
            dials.pop(name, None)
        if (key := repr(dials)) in met:
            continue
        met.add(key)
        try:
            valid.append(_point(preset, dials, way))
        except (SpecError, tables.CostError) as error:
            refused.append({"dials": dials, "reason": str(error)})
    if not valid:
        raise SpecError(
            f"a sweep must have at least one valid point, but none of its {len(refused)} is; the "
            f"first: {refused[0]['reason']}"
        )
    return valid, refused


def _without_meaning(replay: object) -> tuple[str, ...]:
    """Name the dials that say nothing about a design with this way of replay."""
    return ("replay_bits",) if replay == DRAWN else GENERATIVE


def _point(preset: Preset, dials: dict, replay: str) -> Point:
    require.choice("replay", replay, WAYS)
    if replay not in (replay_variants.LATENT, DRAWN) and not preset.network.takes_images:
        raise SpecError(
            f"replay must be {replay_variants.LATENT!r} or {DRAWN!r} for a network that is given latents, not {replay!r}"
        )
    changes = {k: v for k, v in dials.items() if k not in ("window", "replay_bits", "staging")}
    changes["replay"] = "generative" if replay == DRAWN else "stored"
    if "window" in dials:
        channels, rest = divmod(require.whole("window", dials["window"]), TAPS)
        if rest:
            raise SpecError(
                f"window must be nine taps of channels, not {shown(dials['window'])} cells"
            )
        changes["channels"] = channels
    if "replay_bits" in dials:
        net = preset.network
        sample = net.latent if replay == replay_variants.LATENT else net.native_image_bits
        require.positive("replay_bits", dials["replay_bits"])
        changes["replay_capacity"] = dials["replay_bits"] // sample
    staging = dials.get("staging", True)
    if staging is False:
        changes["staging_capacity"] = 0
    elif staging is not True:
        changes["staging_capacity"] = staging
    target = dataclasses.replace(preset.target, **changes)
    made = dataclasses.replace(preset, target=target)
    check_capacity(preset.network, target)
    plan = plans.compile(preset.network, target)
    learning_plan.check_cycles(plan)
    _check_clock(plan, replay_variants.memories(plan, variant(replay)))
    return Point(dials, made, replay)


def variant(replay: str) -> str:
    """Return the one of `replay_variants.VARIANTS` by which a way of replay is priced: a chip that draws is itself."""
    return replay_variants.LATENT if replay == DRAWN else replay


def _check_clock(plan: plans.Plan, memories) -> None:
    """Raise SpecError where an SRAM is slower than the clock."""
    period = 1e9 / plan.target.clock_hz
    for m in memories:
        needed = tables.access_ns(m.depth, m.stored, plan.target)
        if needed > period:
            raise SpecError(
                f"clock_hz must be at most {1e9 / needed:,.0f}, because {m.name} takes {needed:.2f} ns "
                f"to read, not {plan.target.clock_hz:,}"
            )
