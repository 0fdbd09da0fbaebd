"""The plan: addresses, closed forms, and networks that do not fit."""

import dataclasses

import numpy as np
import pytest

from tests.strategies import RESIDUAL
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import image, learning_plan, presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import TAPS, Conv
from xnoreplay.spec.plan import PIPE_LATENCY, READ_LATENCY, compile

DIGITS = presets.load("digits")


def test_convolutions_of_3mb_keep_the_array_busy():
    preset = presets.load("3mb")
    plan = compile(preset.network, preset.target)
    busy = sum(op.tiles * op.pixels * op.beats for op in plan.convolutions)
    total = sum(op.cycles for op in plan.convolutions)
    assert (busy, total) == (43_008, 43_359)
    assert (plan.lgap.cycles, plan.infer_cycles(100)) == (131, 47_233)


def test_convolutions_of_3mb_res_keep_the_array_busy():
    preset = presets.load("3mb-res")
    plan = compile(preset.network, preset.target)
    busy = sum(op.tiles * op.pixels * op.beats for op in plan.convolutions)
    total = sum(op.cycles for op in plan.convolutions)
    assert (busy, total) == (206_848, 207_686)
    assert plan.infer_cycles(50) == 226_720
    reads = [op.tiles * op.pixels for op in plan.convolutions if op.skip_shift]
    assert reads == [65_536, 16_384, 8_192, 4_096, 2_048]


def test_an_inference_is_the_sum_of_its_operations():
    plan = compile(DIGITS.network, DIGITS.target)
    parts = [op.cycles for op in plan.feature_ops]
    assert parts == [64, 530, 1055, 270, 535, 19, 133]
    assert plan.infer_cycles(5) == sum(parts) + plan.hidden.cycles + 5 * 2 * 2 + 5


@pytest.mark.parametrize(
    ("network", "target", "message"),
    [
        (
            {},
            {"replay_capacity": 9},
            "replay_capacity must be at least one latent for each of 10 classes, not 9",
        ),
        (
            {"classes": 1024},
            {"replay_capacity": 1023},
            "replay_capacity must be at least one latent for each of 1024 classes, not 1023",
        ),
        (
            {"classes": 1025},
            {"replay_capacity": 1025},
            "classes must be at most 1,024 (the widths of the learning unit are tested up to there), not 1025",
        ),
        (
            {"convs": (Conv(32), Conv(12, groups=2, pool=True), Conv(12))},
            {},
            "convs[1]: a group's output channels must be a multiple of the target's 4 lanes, not 6",
        ),
        (
            {"convs": (Conv(32, groups=2), Conv(32))},
            {},
            "convs[0].groups must be 1, because thermometer words are not split by group, not 2",
        ),
        (
            {"convs": (Conv(32), Conv(48, groups=2), Conv(32, 2, skip=True), Conv(32, 4))},
            {},
            (
                "convs[2].skip joins a map read in 2 groups and one read in 4: a group's channels "
                "must be a multiple of the target's 16, not 8"
            ),
        ),
    ],
)
def test_a_network_that_does_not_fit_is_refused(network, target, message):
    with pytest.raises(SpecError) as error:
        compile(
            dataclasses.replace(DIGITS.network, **network),
            dataclasses.replace(DIGITS.target, **target),
        )
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lanes": 3}, "lanes must be a power of two, not 3"),
        ({"counter_bits": 16}, "counter_bits must be 0 or 32 or 48, not 16"),
        ({"watchdog_bits": 41}, "watchdog_bits must be an integer from 0 to 40, not 41"),
        ({"counters": "array"}, "counters must be a list of groups, not 'array'"),
        (
            {"counters": ["aray"]},
            "group of counters must be one of array, cycles, learning, memories, not 'aray'; did you mean 'array'?",
        ),
        ({"counters": ["array", "array"]}, "counters must name a group once, not 'array' twice"),
        ({"lanes": 32}, "lanes must divide the window's 16 channels, not 32"),
        ({"proxy_bits": 13}, "proxy_bits must be an integer from 2 to 12, not 13"),
        ({"delta_bits": 1}, "delta_bits must be an integer from 2 to 8, not 1"),
        ({"batch": 256}, "batch must fit a node of the window, at most 144 samples, not 256"),
        ({"clock_hz": -1}, "clock_hz must be a positive integer, not -1"),
    ],
)
def test_a_target_that_breaks_a_rule_is_refused(change, message):
    with pytest.raises(SpecError) as error:
        dataclasses.replace(DIGITS.target, **change)
    assert str(error.value) == message


@pytest.mark.parametrize("name", RESIDUAL)
def test_a_skips_bit_shifts_the_threshold_between_the_same_signs(name):
    plan = RESIDUAL[name]
    for i, op in enumerate(plan.convolutions):
        n, k = plan.network.conv_fan_in(i), plan.network.skip_weight(i)
        pads = TAPS * op.beats * plan.target.channels - n
        for products in range(n + 1):
            for skip in (0, 1):
                total = 2 * products - n + (k if skip else -k)
                shifted = op.threshold + (-op.skip_shift if skip else op.skip_shift)
                assert (products + pads >= shifted) == (total >= 0)


@pytest.mark.parametrize("name", RESIDUAL)
def test_no_tile_overwrites_what_a_skip_has_yet_to_read(name):
    """Every read and write of the destination map, in the order of the results."""
    for op in RESIDUAL[name].convolutions:
        if not op.skip_shift:
            continue
        written = set()
        for tile in range(op.tiles):
            word, part = op.destination(tile)
            for y in range(op.height):
                for x in range(op.width):
                    pixel = y * op.width + x
                    assert (pixel * op.destination_words + word, part) not in written
                    if op.pool and not (y % 2 and x % 2):
                        continue
                    pixel = y // 2 * (op.width // 2) + x // 2 if op.pool else pixel
                    written.add((pixel * op.destination_words + word, part))


@pytest.mark.parametrize("name", presets.PRESETS)
def test_memory_images_hold_every_weight_bit(name):
    preset = presets.load(name)
    plan = compile(preset.network, preset.target)
    bundle = bundles.random(preset.network, 1)
    images = image.load(plan, bundle)
    ones = sum(int(w.sum()) for w in bundle.conv) + int(bundle.dense.sum())
    assert int(images["weights.fe"].sum()) == ones
    assert int(images["weights.lgap"].sum()) == int(bundle.lgap.sum())


def test_conv_words_follow_the_page():
    plan = compile(DIGITS.network, DIGITS.target)
    bundle = bundles.random(DIGITS.network, 2)
    rows = image.weights_fe(plan, bundle)
    op = plan.convolutions[3]
    rng = np.random.default_rng(0)
    for _ in range(50):
        f, ky, kx, c = (int(rng.integers(n)) for n in bundle.conv[3].shape)
        group, member = divmod(f, 64 // 2)
        tile, lane = divmod(member, op.lanes)
        beat, channel = divmod(c, 16)
        row = op.weight_base + ((group * op.group_tiles + tile) * op.lanes + lane) * op.beats + beat
        assert rows[row, (3 * ky + kx) * 16 + channel] == bundle.conv[3][f, ky, kx, c]


def test_the_pipeline_is_as_long_as_its_parts():
    array = pytest.importorskip("xnoreplay.hw.inference.array")
    assert READ_LATENCY + array.Array.LATENCY == PIPE_LATENCY


def test_a_watchdog_lets_every_command_end():
    """RETRAIN has the most cycles of `tiny`: 2,255."""
    guarded = presets.vary(presets.load("tiny"), "target", watchdog_bits=12)
    allowed = compile(guarded.network, guarded.target)
    assert allowed.target.watchdog_cycles == 4_096
    learning_plan.check_cycles(allowed)
    hasty = presets.vary(guarded, "target", watchdog_bits=11)
    with pytest.raises(
        SpecError,
        match="watchdog_bits must be at least 12 for the 2,255 cycles of RETRAIN, not 11",
    ):
        learning_plan.check_cycles(compile(hasty.network, hasty.target))
    assert "watchdog_bits" in presets.target_to_dict(guarded.target)
    assert "watchdog_bits" not in presets.target_to_dict(presets.load("tiny").target)
