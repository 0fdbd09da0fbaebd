"""A first spec for a user's own images or features: what fits them, and the reason for each choice.

The rules follow the presets: `digits` for 8x8 images of ten classes, `3mb` for 32x32 colour images of a hundred, and
`3mb-res` for 128x128. They are a start to change, not a search: `xnoreplay explore` searches.
"""

from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np

from xnoreplay.flow.datasets.listed import Labelled
from xnoreplay.flow.datasets.own import Listing
from xnoreplay.flow.datasets.vectors import VectorListing
from xnoreplay.flow.run.progress import Progress, Silent
from xnoreplay.spec import limits, pixels, plan
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.pixels import PixelSpec
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.scenario import FeatureSource, ImageSource, ScenarioSpec
from xnoreplay.spec.target import TargetSpec

LOOKED_AT = 200  # images that are decoded to see sizes and colours
SIDES = (8, 16, 32, 64, 128)
LEAST_MAP = 4  # pixels of the shorter side of the last map, as far as the image allows
MOST_CUT = 10  # percent of an image that is cut away without a note
GREY_SPREAD = 6  # of a channel of colour difference, at most, where an image counts as grey
REPLAY_BITS = 5_000_000
"""Bits of the replay memory of `3mb`: half of the chip's memory."""
A_CLASS = (10, 50)  # remembered samples of a class: at least, and as many as the bits above allow
MOST_STAGED = 5000  # as `3mb` has
MOST_SESSIONS = 5
SMALL_CHANNELS, LARGE_CHANNELS = 16, 64
BITS_A_CLASS, BITS_A_FEATURE = 10, 4
FEW_CLASSES = 16
LATENTS = (128, 1024)
"""Bits of a latent of features, the least and the most."""


class Look(NamedTuple):
    """What some of a data set's images look like.

    height, width : medians, in pixels
    colour : "grey" or "ycbcr"
    images : how many were decoded
    """

    height: int
    width: int
    colour: str
    images: int


@dataclass(frozen=True)
class Proposal:
    """A spec, the reason for its fields by name, as one line each, and what a user should know besides."""

    preset: Preset
    reasons: dict[str, str]
    notes: tuple[str, ...] = ()


def look(found: Listing, limit: int = LOOKED_AT, progress: Progress | None = None) -> Look:
    """Decode some images, spread evenly over the listing; of a large archive that takes a while, which `progress` shows.

    Raises
    ------
    ImageError
        For an image that is damaged.
    """
    sizes, coloured, count = [], 0, 0
    every = ceil_div(len(found.labels), limit)
    shown = progress or Silent()
    with shown.task("images looked at", ceil_div(len(found.labels), every)) as task:
        for samples, layout in islice(found.samples(every), limit):
            count += 1
            sizes.append(samples.shape[:2])
            if not layout.startswith("grey"):
                ycbcr = pixels.convert(samples, layout, PixelSpec("stretch"), (8, 8, 3)).astype(int)
                coloured += bool(np.abs(ycbcr[..., 1:] - 128).max() > GREY_SPREAD)
            task.advance()
    height, width = (int(v) for v in np.median(np.array(sizes), axis=0))
    return Look(height, width, "ycbcr" if 10 * coloured > count else "grey", count)


def propose(found: Listing, seen: Look, path: str, name: str) -> Proposal:
    """Choose a network, a machine and a scenario.

    Parameters
    ----------
    found : Listing
    seen : Look
    path : str
        Of the data set, as the spec file names it.
    name : str
        Of the preset.

    Raises
    ------
    SpecError
        Where no design of these rules can be built, as for more classes than a plan takes.
    """
    classes = _classes(found)
    train = np.bincount(found.labels[~found.is_test], minlength=classes)
    reasons: dict[str, str] = {}
    source = ImageSource(path)
    scenario = _scenario(found, source, name, reasons)
    network = _network(seen, classes, name, reasons)
    notes = _cut(seen, network, source.pixels.fit, reasons)
    small = network.convs[0].filters == 32
    channels = SMALL_CHANNELS if small else LARGE_CHANNELS
    reasons["channels"] = "bits of one word of a feature map"
    target = _target(network, scenario, train, channels, reasons)
    preset = Preset(name, network, target, scenario)
    plan.compile(network, target)  # refuses what cannot be built
    return Proposal(preset, reasons, notes)


def propose_for_features(found: VectorListing, path: str, name: str) -> Proposal:
    """Choose a network that is given latents, a machine and a scenario.

    Parameters
    ----------
    found : VectorListing
    path, name
        As of `propose`.

    Raises
    ------
    SpecError
        As of `propose`.
    """
    classes = _classes(found)
    train = np.bincount(found.labels[~found.is_test], minlength=classes)
    reasons: dict[str, str] = {}
    source = FeatureSource(path)
    scenario = _scenario(found, source, name, reasons)
    wanted = max(BITS_A_CLASS * classes, BITS_A_FEATURE * found.features)
    latent = min(LATENTS[1], max(LATENTS[0], 1 << (wanted - 1).bit_length()))
    hidden = max(32, latent // (4 if classes <= FEW_CLASSES else 2))
    reasons["dataset"] = (
        f"binarise = {source.features.binarise!r}, the default, makes the bits; docs/features.md has the other ways"
    )
    reasons["convs"] = f"none: the data set has vectors of {found.features:,} features, not images"
    reasons["latent"] = (
        f"at least {BITS_A_CLASS} bits a class and {BITS_A_FEATURE} a feature, {LATENTS[0]} to {LATENTS[1]:,}"
        + f"; {wanted:,} would be, which docs/own_features.md prices" * (wanted > LATENTS[1])
    )
    reasons["hidden"] = (
        f"a quarter of the latent of up to {FEW_CLASSES} classes, half of it of more: it tells apart what no sum of bits does"
    )
    network = NetworkSpec(name, convs=(), latent=latent, hidden=hidden, classes=classes)
    channels = next((c for c in (SMALL_CHANNELS, 32) if 9 * c >= latent), LARGE_CHANNELS)
    reasons["channels"] = f"a lane takes 9 x {channels} bits at once, of latents of {latent:,}"
    target = _target(network, scenario, train, channels, reasons)
    plan.compile(network, target)  # refuses what cannot be built
    return Proposal(Preset(name, network, target, scenario), reasons)


def _classes(found: Labelled) -> int:
    """Count the classes; SpecError for more than a chip has, which says how some are chosen."""
    classes, bound = len(found.classes), limits.MOST["classes"]
    if classes > bound.most:
        raise SpecError(
            f"classes must be at most {bound.most:,} ({bound.why}), not {classes}: give init a data set of those to learn, "
            "or name them in class_order of a spec that you write; docs/own_images.md says how"
        )
    return classes


def _scenario(
    found: Labelled, source: ImageSource | FeatureSource, name: str, reasons: dict[str, str]
) -> ScenarioSpec:
    classes = len(found.classes)
    base = max(2, (classes + 1) // 2)
    rest = classes - base
    sessions = min(MOST_SESSIONS, rest)
    step: int | tuple[int, ...] = 1
    if sessions:
        sizes = tuple(len(part) for part in np.array_split(np.arange(rest), sessions))
        step = sizes[0] if len(set(sizes)) == 1 else sizes
    half = (
        f"half of the {classes} classes" if base * 2 == classes else f"{base} of {classes} classes"
    )
    reasons["base"] = (
        f"{half} are trained off the chip, the others arrive later"
        if rest
        else f"a base has at least 2 classes, so all {classes} are trained off the chip"
    )
    reasons["step"] = (
        f"{sessions} sessions" if sessions else "no session: all classes are trained off the chip"
    )
    reasons["order_seed"] = (
        "classes arrive in an order that this seed draws; class_order = [..] fixes one"
    )
    return ScenarioSpec(name, classes, base, step, source=source, class_names=found.classes)


def _network(seen: Look, classes: int, name: str, reasons: dict[str, str]) -> NetworkSpec:
    longer, shorter = max(seen.height, seen.width), min(seen.height, seen.width)
    side = max(s for s in SIDES if s <= max(longer, SIDES[0]))
    pools = max(1, (max(side * shorter // longer, 2 * LEAST_MAP) // LEAST_MAP).bit_length() - 1)
    unit = 1 << pools
    other = max(2 * unit, -(-side * shorter // longer) // unit * unit)
    height, width = (other, side) if seen.height < seen.width else (side, other)
    sides = f"{', '.join(map(str, SIDES[:-1]))} and {SIDES[-1]}"
    long = f"the greatest of {sides} that is at most theirs" if longer >= SIDES[0] else "the least"
    reasons["height"] = reasons["width"] = (
        f"images are {seen.height}x{seen.width} (median); the longer side, {side}, is {long}; "
        f"the other is in proportion, in multiples of {unit} for {pools} pooling{'s' * (pools > 1)}"
    )
    latent = min(1024, max(128, 1 << (10 * classes - 1).bit_length()))
    first = 32 if latent <= 128 and side <= 16 else 64 if latent < 1024 or side > 32 else 128
    convs: list[Conv] = []
    for level in range(pools):
        filters, groups = min(first << level, 512), min(1 << level, 8)
        groups = max(1, min(groups, filters // 32))
        convs += [Conv(filters, groups), Conv(filters, groups, pool=True)]
    grey = seen.colour == "grey"
    reasons["colour"] = f"{'no' if grey else 'some'} colour in {seen.images} images"
    reasons["levels"] = (
        "thermometer bits of each channel: brightness needs more than colour differences"
    )
    reasons["convs"] = (
        f"two convolutions before each of {pools} poolings; twice the filters after each, in groups that keep the fan-in"
    )
    reasons["latent"] = f"at least ten bits a class, 128 to 1,024, for {classes} classes"
    reasons["hidden"] = "an eighth of the latent, at least 32"
    return NetworkSpec(
        name,
        height,
        width,
        seen.colour,
        (32,) if grey else (32, 16, 16),
        tuple(convs),
        latent,
        max(32, latent // 8),
        classes,
    )


def _cut(seen: Look, network: NetworkSpec, fit: str, reasons: dict[str, str]) -> tuple[str, ...]:
    """Give as a reason what is cut away of an image of the median size, and return a note where it is much."""
    size = seen.height, seen.width
    kept = [frame.size for frame in pixels.frames(fit, *size, network.height, network.width)]
    area, left = size[0] * size[1], kept[0] * kept[1]
    if fit != "crop" or left == area:
        return ()
    cut = (
        f"fit = 'crop', the default, keeps {kept[0]}x{kept[1]} pixels of an image of {size[0]}x{size[1]} (median); "
        "'pad' and 'stretch' keep all"
    )
    reasons["dataset"] = cut
    return (cut,) if 100 * (area - left) > MOST_CUT * area else ()


def _target(
    network: NetworkSpec,
    scenario: ScenarioSpec,
    train: np.ndarray,
    channels: int,
    reasons: dict[str, str],
) -> TargetSpec:
    least, most = (n * network.classes for n in A_CLASS)
    capacity = min(most, max(least, REPLAY_BITS // network.latent), int(train.sum()))
    capacity = max(capacity, network.classes)
    in_session = int(np.sort(train)[::-1][: scenario.most_new_classes].sum())
    staging = min(in_session, MOST_STAGED)
    small = channels == SMALL_CHANNELS
    reasons["lanes"] = "lanes x 9 channels cells work at once: more lanes are faster and larger"
    reasons["batch"] = "samples of a minibatch"
    reasons["replay_capacity"] = (
        f"{capacity // network.classes} latents a class: at most {A_CLASS[1]}, and {REPLAY_BITS:,} bits in all "
        f"where that leaves {A_CLASS[0]} a class"
    )
    reasons["staging_capacity"] = (
        f"latents of a session's new samples: the largest brings {in_session:,}"
        if staging
        else "no session, no staging"
    )
    return TargetSpec(
        network.name,
        lanes=4 if small else 16,
        channels=channels,
        batch=16 if small else 32,
        most_error_units=1 if small else 8,
        rate_shift=3 if small else 5,
        replay_capacity=capacity,
        staging_capacity=staging,
        clock_hz=50_000_000 if small else 100_000_000,
    )
