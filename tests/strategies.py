"""Small networks and machines for property tests."""

import numpy as np
from hypothesis import strategies as st

from xnoreplay.spec import bundle, plan
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.target import TargetSpec


@st.composite
def targets(draw, classes: int = 2, hidden_learns=None) -> TargetSpec:
    """Machines with windows of at most eight channels."""
    channels = draw(st.sampled_from((1, 2, 4, 8)))
    lanes = draw(st.sampled_from([n for n in (1, 2, 4, 8) if n <= channels]))
    batches = [b for b in (1, 2, 4, 8, 16, 32) if 1 << max(0, (-(-b // 9) - 1).bit_length()) <= channels]
    return TargetSpec(
        name="drawn",
        lanes=lanes,
        channels=channels,
        batch=draw(st.sampled_from(batches)),
        proxy_bits=draw(st.integers(2, 12)),
        delta_bits=draw(st.integers(2, 8)),
        proxies_per_pair=draw(st.sampled_from((1, 2))),
        hidden_learns=draw(st.booleans()) if hidden_learns is None else hidden_learns,
        replay_capacity=draw(st.integers(classes, classes + 6)),
        staging_capacity=draw(st.sampled_from((0, 1, 3, 5))),
        epochs=draw(st.integers(1, 3)),
        rate_shift=draw(st.integers(-1, 5)),
    )


@st.composite
def networks(draw, lanes: int = 1) -> NetworkSpec:
    """Networks of one to three convolutions whose groups suit a machine of so many lanes."""
    height, width = draw(st.sampled_from(((4, 4), (2, 4), (4, 2), (3, 5), (8, 4))))
    colour = draw(st.sampled_from(("grey", "ycbcr")))
    levels = tuple(draw(st.integers(1, 4)) for _ in range(1 if colour == "grey" else 3))
    convs, shape, groups, channels = [], (height, width), 1, sum(levels)
    for i in range(draw(st.integers(1, 3))):
        if min(shape) < 2:
            break
        even = shape[0] % 2 == 0 and shape[1] % 2 == 0 and shape[0] * shape[1] > 4
        pool = even and draw(st.booleans())
        splits = [1] + [n for n in (2, 3) if i and channels % (n * lanes) == 0]
        groups = draw(st.sampled_from(splits))
        multiple = groups * lanes if groups > 1 else 1
        # The next convolution may split these filters by two, if they are whole slices.
        filters = multiple * draw(st.integers(1, max(1, 12 // multiple)))
        if draw(st.booleans()):
            filters = groups * 2 * lanes
        convs.append(Conv(filters, groups, pool))
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
def designs(draw, hidden_learns=None):
    """(Plan, Bundle) of a network on a machine; the bundle is random."""
    target = draw(targets(classes=4, hidden_learns=hidden_learns))
    network = draw(networks(lanes=target.lanes))
    seed = draw(st.integers(0, 1 << 16))
    return plan.compile(network, target), bundle.random(network, seed)


def images(network: NetworkSpec, count: int, seed: int) -> np.ndarray:
    """(count, height, width, channels) uint8 noise."""
    return np.random.default_rng(seed).integers(
        0, 256, (count, *network.image_shape), dtype=np.uint8
    )
