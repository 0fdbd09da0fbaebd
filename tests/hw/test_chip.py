"""The chip against the reference and the plan's closed forms, over random tiny specs."""

import numpy as np
import pytest
from hypothesis import reject
from hypothesis import strategies as st

from tests.hw.chip_bench import (
    ARRIVE,
    INFER,
    random_image,
    run_chip,
)
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.plan import compile
from xnoreplay.spec.target import TargetSpec


@st.composite
def cases(draw, residual: bool = False):
    """A tiny network and target that fit each other; a residual one has a skip at least."""
    channels = draw(st.sampled_from([1, 2, 4, 8]))
    lanes = draw(st.sampled_from([n for n in (1, 2, 4, 8) if n <= channels]))
    colour = draw(st.sampled_from(["grey", "ycbcr"]))
    size = draw(st.sampled_from([2, 4, 6]))
    levels = tuple(draw(st.integers(1, 5)) for _ in range(3 if colour == "ycbcr" else 1))
    convs, widths = [], [sum(levels)]
    for i in range(draw(st.integers(1 + residual, 3))):
        halves = i and (not residual or all(n % (2 * lanes) == 0 for n in widths[-2:]))
        groups = draw(st.sampled_from([1, 2])) if halves else 1
        filters = draw(st.integers(1, 3)) * lanes * groups
        pool = size % 2 == 0 and size > 2 and i >= residual and draw(st.booleans())
        skip = residual and i > 0 and not convs[-1].pool
        filters = widths[-2] if skip else filters
        size = size // 2 if pool else size
        convs.append(Conv(filters, groups, pool, skip))
        widths.append(filters)
    start = 2 ** sum(c.pool for c in convs) * size
    sizes = draw(st.integers(1, 20)), draw(st.integers(1, 9)), draw(st.integers(2, 4))
    pad_bit = draw(st.sampled_from([0, 1]))
    batch, bits, pair = (draw(st.sampled_from(x)) for x in ([1, 2, 4, 16], range(2, 13), [1, 2]))
    capacity, staging = draw(st.integers(sizes[2], 9)), draw(st.integers(0, 5))
    dials = {
        "delta_bits": draw(st.integers(2, 8)),
        "hidden_learns": draw(st.booleans()),
        "epochs": draw(st.integers(1, 3)),
        "rate_shift": draw(st.integers(-3, 5)),
        "most_error_units": draw(st.sampled_from([1, 2, 4])),
    }
    try:
        network = NetworkSpec(
            "case", start, start, colour, levels, tuple(convs), *sizes, pad_bit=pad_bit
        )
        target = TargetSpec(
            "case",
            lanes,
            channels,
            batch,
            proxy_bits=bits,
            proxies_per_pair=pair,
            replay_capacity=capacity,
            staging_capacity=staging,
            **dials,
        )
        plan = compile(network, target)
        assert plan.has_skips or not residual
        return plan
    except SpecError:
        reject()


@pytest.mark.parametrize("seed", [0, 1])
def test_pauses_in_the_pixel_stream_only_add_stalls(seed):
    preset = presets.load("tiny")
    plan = compile(preset.network, preset.target)
    bundle = bundles.random(plan.network, seed)
    rng = np.random.default_rng(seed)
    commands = [(ARRIVE, 2, None), (INFER, 0, random_image(rng, plan))]
    steady = run_chip(plan, bundle, commands)[-1]
    paused = run_chip(plan, bundle, commands, gaps=rng)[-1]
    stalls = paused.counters["input.stalls"]
    assert stalls > 0
    assert paused.cycles == steady.cycles + stalls
    assert paused.prediction == steady.prediction
    assert paused.memories == steady.memories
    same = set(steady.counters) - {"cycles", "input.stalls"}
    assert {n: paused.counters[n] for n in same} == {n: steady.counters[n] for n in same}
