"""Counts have bounds, and what a design takes is reckoned before any array of its size is made."""

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnoreplay.sim.learner import Learner
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, learning_plan, limits, plan, presets, reference
from xnoreplay.spec.errors import SpecError, shown
from xnoreplay.spec.network import Conv, NetworkSpec
from xnoreplay.spec.scenario import ScenarioSpec
from xnoreplay.spec.target import TargetSpec

DIGITS = presets.load("digits")
ABSURD = (
    0,
    -1,
    1 << 31,
    10**9,
    10**23,
    10**5000,
    float("nan"),
    float("inf"),
    -float("inf"),
    1.5,
    "",
    "1",
    "x" * 10**6,
    True,
    None,
    [],
    [1, 2],
    [10**23],
    {},
    {"a": 1},
    1e300,
)
FIELDS = [
    (part, field.name)
    for part, kind in (("network", NetworkSpec), ("target", TargetSpec), ("scenario", ScenarioSpec))
    for field in dataclasses.fields(kind)
    if field.init
]
MADE = 64 << 20  # bytes that a refusal may take on its way: far below any array of an absurd size


def outcome(tree):
    """A plan, or the sentence that refuses it; no other exception, and no large array."""
    tracemalloc.start()
    try:
        made = presets.from_dict(tree)
        compiled = plan.compile(made.network, made.target)
        learning_plan.check_cycles(compiled)
    except SpecError as error:
        compiled = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < MADE
    return compiled


@pytest.mark.parametrize(("part", "name"), FIELDS, ids=lambda v: v)
def test_an_absurd_field_is_one_short_sentence(part, name):
    for value in ABSURD:
        found = outcome({"preset": "digits", part: {name: value}})
        if isinstance(found, str):
            assert "\n" not in found
            assert len(found) < 400


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Conv)])
def test_an_absurd_convolution_is_one_short_sentence(name):
    for value in ABSURD:
        convs = [{"filters": 8, name: value}, {"filters": 8}]
        found = outcome({"preset": "digits", "network": {"convs": convs}})
        assert not isinstance(found, str) or len(found) < 400


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_designs_at_their_bounds_compile_or_are_refused(data):
    """Every number is small, or as large as it may be."""

    def some(name, *usual):
        return data.draw(st.sampled_from((*usual, limits.MOST[name].most)), label=name)

    convs = [{"filters": some("filters", 16), "pool": data.draw(st.booleans())} for _ in range(2)]
    network = {
        "height": some("height", 8),
        "width": some("width", 8),
        "levels": [some("levels", 4)],
        "convs": convs,
        "latent": some("latent", 64),
        "hidden": some("hidden", 8),
        "classes": some("classes", 10),
    }
    channels = some("channels", 16)
    target = {
        "channels": channels,
        "lanes": data.draw(st.sampled_from((1, channels))),
        "batch": some("batch", 16),
        "most_error_units": some("most_error_units", 1),
        "replay_capacity": data.draw(st.sampled_from((1024, 1 << 16))),
        "staging_capacity": 0,
        "epochs": some("epochs", 2),
        "clock_hz": some("clock_hz", 10**8),
    }
    found = outcome({"preset": "digits", "network": network, "target": target})
    if not isinstance(found, str):
        assert plan.working_bytes(found) <= limits.ALLOWED[limits.MEMORY] * limits.GIB


LARGE = {
    "512x512 pixels": ({"height": 512, "width": 512}, {}),
    "latent": ({"latent": 16384}, {"replay_capacity": 1 << 13, "staging_capacity": 0}),
    "slots": ({}, {"replay_capacity": 1 << 16, "staging_capacity": 0}),
    "lanes": ({"convs": (Conv(1024), Conv(1024, pool=True))}, {"lanes": 1024, "channels": 1024}),
    "classes": ({"classes": 1024}, {"replay_capacity": 1024, "drawn_per_class": 64}),
}


@pytest.mark.parametrize(("network", "target"), LARGE.values(), ids=LARGE)
def test_what_is_sensible_is_allowed(network, target):
    for name in ("digits", "3mb", "3mb-stored"):
        base = presets.load(name)
        made = dataclasses.replace(base.network, **network)
        compiled = plan.compile(made, dataclasses.replace(base.target, **target))
        learning_plan.check_cycles(compiled)
    assert (
        NetworkSpec(
            **{
                f.name: getattr(DIGITS.network, f.name)
                for f in dataclasses.fields(NetworkSpec)
                if f.init
            }
            | {"classes": 1024}
        ).classes
        == 1024
    )


def test_the_memory_of_a_simulation_is_reckoned_from_above(monkeypatch):
    """What NumPy allocates for a chip of a large replay memory, and for putting samples into it."""
    target = dataclasses.replace(DIGITS.target, replay_capacity=1 << 16, staging_capacity=0)
    compiled = plan.compile(DIGITS.network, target)
    labels = np.arange(1 << 16) % 10
    latents = np.zeros((len(labels), DIGITS.network.latent), np.uint8)
    tracemalloc.start()
    Simulator(compiled, bundle.random(DIGITS.network, 0)).preload(latents, labels)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reckoned = plan.working_bytes(compiled)
    assert peak < reckoned < 4 * peak
    monkeypatch.setenv(limits.MEMORY, repr(reckoned / limits.GIB / 2))
    sentence = r"simulation of network digits on target digits must take at most .* GiB .*set XNOREPLAY_MEMORY"
    with pytest.raises(SpecError, match=sentence):
        plan.compile(DIGITS.network, target)


def test_learning_and_random_bits_are_reckoned(monkeypatch):
    monkeypatch.setenv(limits.MEMORY, "0.0001")
    with pytest.raises(SpecError, match="a bundle of network digits must take at most 0.0001 GiB"):
        bundle.random(DIGITS.network, 0)
    monkeypatch.delenv(limits.MEMORY)
    bits = bundle.random(DIGITS.network, 0)
    monkeypatch.setenv(limits.MEMORY, "0.0001")
    with pytest.raises(SpecError, match="learning of network digits on target digits must take"):
        Learner(bits, DIGITS.target)


def test_cycles_are_reckoned(monkeypatch):
    compiled = plan.compile(DIGITS.network, DIGITS.target)
    monkeypatch.setenv(limits.CYCLES, "1000")
    with pytest.raises(
        SpecError, match="must take at most 1e.03 cycles, not up to 1.58e.05; set XNOREPLAY_CYCLES"
    ):
        learning_plan.check_cycles(compiled)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "much", "1" * 5000 + "x"])
def test_a_limit_that_is_none(monkeypatch, text):
    monkeypatch.setenv(limits.MEMORY, text)
    with pytest.raises(SpecError, match="XNOREPLAY_MEMORY must be a number above 0, not"):
        plan.compile(DIGITS.network, DIGITS.target)


def test_a_session_takes_no_more_cycles_than_its_bound():
    """Both memories full of random latents."""
    tiny = presets.load("tiny")
    compiled = plan.compile(tiny.network, tiny.target)
    chip = Simulator(compiled, bundle.random(tiny.network, 0))
    rng = np.random.default_rng(0)
    chip.arrive(4)
    replay, staging = compiled.replay.capacity, compiled.replay.staging
    old, new = (
        rng.integers(0, 2, (n, tiny.network.latent), dtype=np.uint8) for n in (replay, staging)
    )
    chip.preload(old, np.arange(replay) % 4, new, np.arange(staging) % 4)
    before = chip.cycles
    chip.retrain()
    chip.rebalance()
    assert 0 < chip.cycles - before <= learning_plan.session_cycles(compiled)


def test_every_bound_is_in_the_page():
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
    for name, (most, why) in limits.MOST.items():
        assert f"| `{name}` | {most:,} | {why} |" in page
    for variable, most in limits.ALLOWED.items():
        assert variable in page
        assert f"{most:,.0f}" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**23, "1" + "0" * 23),
        (10**4000, "1" + "0" * 59 + "... (4,001 characters)"),
        (10**5000, "a value of 16,610 bits that is too long to write out"),
        ([10**5000], "a value that is too long to write out"),
        ("a\nb", "'a\\nb'"),
    ],
    ids=range(5),
)
def test_a_value_in_a_sentence_is_short(value, text):
    assert shown(value) == text


def test_sums_of_the_longest_vectors_are_exact():
    """Of signs, in the reference's float64, and in the single precision of training."""
    most = limits.VECTORS.most
    signs = np.ones((1, most - 1), np.int64)
    assert reference.sums(signs, -signs).tolist() == [[1 - most]]
    assert int(np.float32(most - 1)) == most - 1
