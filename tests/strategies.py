"""Small networks and machines for property tests."""

from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from xnoreplay.spec import bundle, plan
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.events import COUNTER_BITS
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.target import GROUPS, TargetSpec

DRAWING = {
    "replay": "generative",
    "drawn_per_class": 6,
    "replay_components": 2,
    "staged_per_class": 4,
    "epochs": 1,
}
"""Dials that give `tiny` short sessions of drawn and of staged latents."""


@st.composite
def targets(draw, classes: int = 2, hidden_learns=None) -> TargetSpec:
    """Machines with windows of at most eight channels."""
    channels = draw(st.sampled_from((1, 2, 4, 8)))
    lanes = draw(st.sampled_from([n for n in (1, 2, 4, 8) if n <= channels]))
    batches = [
        b for b in (1, 2, 4, 8, 16, 32) if 1 << max(0, (-(-b // 9) - 1).bit_length()) <= channels
    ]
    batch = draw(st.sampled_from(batches))
    return TargetSpec(
        name="drawn",
        lanes=lanes,
        channels=channels,
        batch=batch,
        most_error_units=draw(st.sampled_from((1, 2, 4, 8))),
        proxy_bits=draw(st.integers(2, 12)),
        delta_bits=draw(st.integers(2, 8)),
        proxies_per_pair=draw(st.sampled_from((1, 2))),
        hidden_learns=draw(st.booleans()) if hidden_learns is None else hidden_learns,
        replay_capacity=draw(st.integers(classes, classes + 6)),
        staging_capacity=draw(st.sampled_from((0, 1, 3, 5))),
        epochs=draw(st.integers(1, 3)),
        rate_shift=draw(st.integers(-1, 5)),
        counter_bits=draw(st.sampled_from(COUNTER_BITS[::-1])),
        counters=tuple(draw(st.sets(st.sampled_from(GROUPS)))),
    )


@st.composite
def networks(draw, lanes: int = 1) -> NetworkSpec:
    """Networks of one to three convolutions whose groups suit a machine of so many lanes."""
    height, width = draw(st.sampled_from(((4, 4), (2, 4), (4, 2), (3, 5), (8, 4))))
    colour = draw(st.sampled_from(("grey", "ycbcr")))
    levels = tuple(draw(st.integers(1, 4)) for _ in range(1 if colour == "grey" else 3))
    convs, shape, groups, channels = [], (height, width), 1, sum(levels)
    before = 0  # channels that the convolution before sees, 0 where a skip is not possible
    residual = draw(st.booleans())
    for i in range(draw(st.integers(1 + residual, 3))):
        if min(shape) < 2:
            break
        even = shape[0] % 2 == 0 and shape[1] % 2 == 0 and shape[0] * shape[1] > 4
        pool = even and i >= residual and draw(st.booleans())
        skip = residual and before > 0
        splits = [1] + [n for n in (2, 3) if i and channels % (n * lanes) == 0]
        if skip:
            splits = [n for n in splits if n == 1 or before % (n * lanes) == 0]
        groups = draw(st.sampled_from(splits))
        multiple = groups * lanes if groups > 1 else 1
        # The next convolution may split these filters by two, if they are whole slices.
        filters = multiple * draw(st.integers(1, max(1, 12 // multiple)))
        if draw(st.booleans()):
            filters = groups * 2 * lanes
        filters = before if skip else filters
        convs.append(Conv(filters, groups, pool, skip))
        before = 0 if pool else channels
        channels = filters
        shape = (shape[0] // 2, shape[1] // 2) if pool else shape
    return NetworkSpec(
        name="drawn",
        height=height,
        width=width,
        colour=colour,
        levels=levels,
        convs=tuple(convs),
        latent=draw(st.integers(1, 20)),
        hidden=draw(st.integers(1, 9)),
        classes=draw(st.integers(2, 4)),
        pad_bit=draw(st.sampled_from((0, 1))),
    )


@st.composite
def without_convolutions(draw) -> NetworkSpec:
    """Networks that are given latents."""
    return NetworkSpec(
        name="drawn",
        latent=draw(st.integers(1, 40)),
        hidden=draw(st.integers(1, 9)),
        classes=draw(st.integers(2, 4)),
    )


@st.composite
def designs(draw, hidden_learns=None, latents=False):
    """(Plan, Bundle) of a network on a machine; the bundle is random. latents: of a network without convolutions."""
    target = draw(targets(classes=4, hidden_learns=hidden_learns))
    network = draw(without_convolutions() if latents else networks(lanes=target.lanes))
    seed = draw(st.integers(0, 1 << 16))
    try:
        compiled = plan.compile(network, target)
    except SpecError:  # a skip between maps in different words
        convs = tuple(replace(c, skip=False) for c in network.convs)
        compiled = plan.compile(replace(network, convs=convs), target)
    return compiled, bundle.random(compiled.network, seed)


def any_designs():
    """`designs` of networks that are given images, and of some that are given latents."""
    return st.one_of(designs(), designs(), designs(latents=True))


@cache
def sample(count: int) -> list[plan.Plan]:
    """So many drawn plans, the same in every run and process.

    Neighbours in a series of Hypothesis differ little, so that every tenth is taken.
    """
    found = []

    @settings(
        max_examples=10 * count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(designs())
    def collect(design):
        found.append(design[0])

    collect()
    return found[9::10][:count]


def _residual(size, levels, convs, channels, lanes, **fields) -> plan.Plan:
    """A plan of a network with skips, small elsewhere."""
    network = NetworkSpec("residual", *size, "grey", (levels,), convs, 12, 3, 2, **fields)
    target = TargetSpec("residual", lanes, channels, batch=2, replay_capacity=4)
    return plan.compile(network, target)


RESIDUAL = {
    "pooled to one row": _residual((2, 4), 8, (Conv(9), Conv(8, pool=True, skip=True)), 8, 8),
    "a pixel a cycle over three words": _residual(
        (4, 4), 11, (Conv(4), Conv(11, pool=True, skip=True)), 4, 2
    ),
    "two stages": _residual(
        (4, 8),
        6,
        (Conv(10), Conv(6, pool=True, skip=True), Conv(6), Conv(6, pool=True, skip=True)),
        8,
        2,
    ),
    "words not full, pad bit 1": _residual(
        (4, 6), 10, (Conv(7), Conv(10, pool=True, skip=True)), 4, 2, pad_bit=1
    ),
    "groups": _residual(
        (4, 4),
        3,
        (Conv(16), Conv(16, 2), Conv(16, 2, skip=True), Conv(16, 4, pool=True), Conv(16, 2)),
        4,
        2,
    ),
    "groups of broken words": _residual(
        (4, 4), 3, (Conv(12), Conv(24, 2), Conv(12, 2, skip=True), Conv(8, 2)), 4, 2
    ),
    "skip upon skip": _residual(
        (2, 4), 9, (Conv(9), Conv(9, skip=True), Conv(9, skip=True), Conv(9, skip=True)), 4, 4
    ),
    "one lane": _residual((4, 4), 2, (Conv(3), Conv(2, pool=True, skip=True)), 1, 1),
}
"""Corners of skips: what is overwritten, and where bits lie in words."""


ONE_CONV = (Conv(1),)


def _corner(convs=ONE_CONV, size=(2, 4), hidden=1, latent=1, classes=2, **target) -> plan.Plan:
    """Everything as small as it may be, but for what is said."""
    network = NetworkSpec("corner", *size, "grey", (1,), convs, latent, hidden, classes)
    dials = {
        "lanes": 1,
        "channels": 1,
        "batch": 1,
        "replay_capacity": classes,
        "epochs": 1,
    } | target
    return plan.compile(network, TargetSpec("corner", **dials))


CORNERS = {
    "one of everything": _corner(
        hidden_learns=True, staging_capacity=1, proxy_bits=2, delta_bits=2
    ),
    "no staging, two proxies a pair": _corner(proxies_per_pair=2, proxy_bits=3, replay_capacity=5),
    "lanes without samples": _corner(
        lanes=8, channels=8, batch=2, hidden_learns=True, latent=40, hidden=9
    ),
    "words not full": _corner(
        (Conv(3), Conv(5, pool=True)), lanes=2, channels=4, batch=4, staging_capacity=3
    ),
}
"""Where a number has one value, and its signal would have no bit."""


def _latents(latent=64, hidden=32, classes=6, **target) -> plan.Plan:
    """A plan of a network that is given latents."""
    network = NetworkSpec("features", latent=latent, hidden=hidden, classes=classes)
    dials = {
        "lanes": 4,
        "channels": 16,
        "batch": 4,
        "replay_capacity": classes + 3,
        "staging_capacity": 3,
        "epochs": 2,
    } | target
    return plan.compile(network, TargetSpec("features", **dials))


LATENTS = {
    "a word a transfer": _latents(),
    "a bit of everything": _latents(1, 1, 2, lanes=1, channels=1, batch=1, staging_capacity=0),
    "words narrower than a byte": _latents(11, 5, 3, lanes=2, channels=4, batch=4),
    "two transfers a word, the last one short": _latents(
        129, 9, 3, channels=64, batch=8, hidden_learns=True, epochs=1
    ),
    "four transfers a word, the last word of one": _latents(150, 5, 2, channels=128, epochs=1),
    "more than nine words": _latents(83, 9, 2, lanes=2, channels=8, proxies_per_pair=2),
}
"""Corners of how a latent enters a chip without convolutions."""


def images(network: NetworkSpec, count: int, seed: int) -> np.ndarray:
    """(count, *image_shape) uint8 noise: images, or packed latents."""
    return np.random.default_rng(seed).integers(
        0, 256, (count, *network.image_shape), dtype=np.uint8
    )
