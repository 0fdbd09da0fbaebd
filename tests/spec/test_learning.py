"""The integer rule: its tables, rounding and ranges."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnoreplay.spec import learning, lfsr, presets, replay
from xnoreplay.spec.learning import Rule


def test_the_table_is_the_exponential():
    assert len(learning.EXP_TABLE) == 16
    assert learning.EXP_TABLE[:4] == (255, 155, 94, 57)
    assert all(abs(e - 255 * math.exp(-i / 2)) <= 0.5 for i, e in enumerate(learning.EXP_TABLE))


@given(st.integers(1, 1 << 16))
def test_the_reciprocal_rounds_half_up(total):
    r, exponent = learning.reciprocal(total)
    assert 1 << exponent <= total < 2 << exponent
    assert r == math.floor((1 << exponent + 4) / total + 0.5)
    assert 8 <= r <= 16


@given(st.integers(-(1 << 20), 1 << 20), st.integers(1, 14))
def test_rounding_is_unbiased_over_all_draws(x, t):
    total = sum(learning.shift_round(x, t, r) for r in range(1 << t))
    assert total == x


def test_a_negative_shift_goes_left():
    assert learning.shift_round(-3, -2, 0) == -12


@given(st.integers(5, 14))
def test_a_four_bit_draw_is_almost_unbiased(t):
    offsets = [learning.delta_offset(d, t) for d in range(16)]
    assert max(offsets) < 1 << t
    assert abs(2 * sum(offsets) - 16 * ((1 << t) - 1)) <= 16


@given(st.lists(st.integers(0, 600), min_size=2, max_size=100).filter(any))
def test_class_weights_follow_inverse_frequency(counts):
    inverse = [1 / f if f else 0 for f in counts]
    exact = [16 * len(counts) * v / sum(inverse) for v in inverse]
    for weight, want in zip(learning.class_weights(counts), exact, strict=True):
        assert weight >= 1
        assert abs(weight - max(1, want)) <= 1


def test_the_rule_of_3mb_is_the_measured_one():
    preset = presets.load("3mb")
    rule = Rule.of(preset.network, preset.target)
    assert (rule.logit_shift, rule.hidden_mask, rule.back_shift) == (6, 32, 2)
    assert [rule.decay(e) for e in range(6)] == [0, 0, 0, 1, 2, 3]
    assert [rule.delta_shift(e) for e in (0, 5)] == [7, 10]
    assert rule.update_shift == 6 - 8 + 5


@pytest.mark.parametrize("bits", [2, 5, 8, 12])
def test_the_top_two_bits_of_a_proxy_are_the_ternary_weight(bits):
    rule = Rule(bits, 6, 1, 6, 32, 6, 3, 2)
    offset = 1 << bits - 2
    for theta in range(-(1 << bits - 1), 1 << bits - 1):
        pair = {int(theta + offset >= 0), int(theta - offset >= 0)}
        assert set(rule.pair((theta,))) == pair
        assert sum(rule.pair((theta,))) == int(theta + offset >= 0) + int(theta - offset >= 0)


@pytest.mark.parametrize("bits", range(1, 17))
def test_a_walk_visits_every_index_once(bits):
    for mask, start in ((0, 1), ((1 << bits) - 1, 1), ((1 << bits) // 2, (1 << bits) - 1)):
        order = list(replay.walk(mask, start, bits))
        assert sorted(order) == list(range(1 << bits))


@given(st.integers(1, (1 << 32) - 1))
def test_a_draw_is_eight_single_steps(state):
    expected = state
    for _ in range(8):
        new = (expected >> 31 ^ expected >> 29 ^ expected >> 25 ^ expected >> 24) & 1
        expected = (expected << 1 & lfsr.MASK32) | new
    assert lfsr.draw(state) == expected
