"""The rule of generative replay: register, mean, component, draw, and the chip that has them."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import generative, lfsr, memories, presets, reference, replay
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.generative import MOST_SHARE, NONE, Components
from xnoreplay.spec.generative_chip import GenerativeChip

TINY = presets.load("tiny")
TARGET = dataclasses.replace(
    TINY.target,
    replay="generative",
    replay_components=2,
    drawn_per_class=5,
    staged_per_class=2,
    staging_capacity=3,
)
BUNDLE = bundles.random(TINY.network, 3)
IMAGES = np.random.default_rng(5).integers(0, 256, (12, *TINY.network.image_shape), dtype=np.uint8)
LATENTS = [reference.latent(BUNDLE, image) for image in IMAGES]


def bits(text):
    return np.array([int(c) for c in text], np.uint8)


class TestWideRegister:
    def test_its_sequence_is_as_long_as_it_can_be(self):
        """x^63 + x^62 + 1 is primitive: x has order 2^63 - 1 modulo it."""
        full = (1 << lfsr.WIDE_BITS) - 1
        factors = (7, 73, 127, 337, 92737, 649657)  # of 2^63 - 1, 7 twice
        assert 7 * np.prod(factors, dtype=object) == full

        def times(a, b):
            product = 0
            while b:
                product ^= a * (b & 1)
                a <<= 1
                a ^= (a >> 63) * (1 << 63 | 1 << 62 | 1)
                b >>= 1
            return product

        def power(n):
            result, square = 1, 2
            while n:
                result = times(result, square) if n & 1 else result
                square, n = times(square, square), n >> 1
            return result

        assert power(full) == 1
        assert all(power(full // p) != 1 for p in factors)

    @given(state=st.integers(1, (1 << 63) - 1), steps=st.integers(1, 32))
    def test_many_steps_at_once_are_as_many_single_ones(self, state, steps):
        one = state
        for _ in range(steps):
            new = one >> 62 & 1 ^ one >> 61 & 1  # taps 63 and 62
            one = one << 1 & (1 << 63) - 1 | new
        assert lfsr.wide_next(state, steps) == one

    @pytest.mark.parametrize("channels", [1, 4, 32, 64, 4096])
    def test_every_register_starts_anew_and_none_at_zero(self, channels):
        states = generative.power_on(channels)
        assert len(states) == max(1, channels // 32)
        assert len(set(states)) == len(states)
        assert all(0 < s < 1 << 63 for s in states)
        assert len(generative.random_word(states, channels)) == channels

    @pytest.mark.parametrize(
        ("states", "message"),
        [
            ([1], "states of wide registers must be 2 for 64 channels, not 1"),
            ([1, 0], "wide register 1 must be an integer from 1 to 9223372036854775807, not 0"),
            ([1 << 63, 1], "wide register 0 must be an integer from 1 to"),
        ],
    )
    def test_a_state_that_cannot_be_is_refused(self, states, message):
        with pytest.raises(SpecError, match=message):
            generative.wide_states(states, 64)


class TestMean:
    @pytest.mark.parametrize("m", [1, 2, 3, 4])
    def test_opening_changes_none(self, m):
        """The counter from which an open class goes on has the mean it came from, and is at most the share."""
        for share in range(1, MOST_SHARE + 1, 1 if m < 3 else 7):
            for q in {generative.quantised(count, share, m) for count in range(share + 1)}:
                count = generative.count_from_mean(q, share, m)
                assert 0 <= count <= share
                assert generative.quantised(count, share, m) == q

    @given(share=st.integers(1, MOST_SHARE), m=st.integers(1, 4), data=st.data())
    def test_its_top_bit_is_the_majority(self, share, m, data):
        count = data.draw(st.integers(0, share))
        assert generative.quantised(count, share, m) >> m - 1 == (2 * count >= share)

    def test_an_empty_component_opens_at_zero(self):
        assert [generative.count_from_mean(q, 0, 2) for q in range(4)] == [0] * 4


class TestShare:
    @given(
        shares=st.lists(st.integers(0, MOST_SHARE), min_size=1, max_size=6).filter(any),
        count=st.integers(1, 200),
    )
    def test_draws_are_in_proportion(self, shares, count):
        """To within one of each, and of an empty component none."""
        chosen = [generative.component_of(i, count, shares) for i in range(count)]
        assert chosen == sorted(chosen)
        for k, share in enumerate(shares):
            assert abs(chosen.count(k) * sum(shares) - count * share) < sum(shares)
            assert share or k not in chosen

    def test_staged_samples_take_the_place_of_draws(self):
        assert [generative.draws([1, 0], f, 5) for f in range(7)] == [5, 4, 3, 2, 1, 0, 0]
        assert generative.draws([0, 0], 0, 5) == 0

    def test_no_class_without_samples_has_a_component(self):
        with pytest.raises(SpecError, match="of a class with samples, not 0 of"):
            generative.component_of(0, 1, [0, 0])


class TestDraw:
    @pytest.mark.parametrize("m", [1, 2, 3])
    def test_a_bit_has_exactly_its_probability(self, m, monkeypatch):
        """Of all 2^(m + 1) patterns of random bits, 2 q + 1 give a 1."""
        held = Components(1, 1, 1 << m, m)
        held.mean[0, 0] = np.arange(1 << m)
        ones = np.zeros(1 << m, int)
        for pattern in itertools.product((0, 1), repeat=m + 1):
            words = iter(pattern)
            monkeypatch.setattr(
                generative, "random_word", lambda _states, n, words=words: [next(words)] * n
            )
            ones += held.draw(0, 0, [1], 1 << m)
        assert ones.tolist() == [2 * q + 1 for q in range(1 << m)]

    def test_it_takes_a_word_more_than_a_mean_has_bits(self):
        held, states = Components(1, 1, 9, 2), [0x1234567]
        held.draw(0, 0, states, 4)
        expected = 0x1234567
        for _ in range(3 * 3):  # words of 4 channels, and random words of each
            expected = lfsr.wide_next(expected, 4)
        assert states == [expected]

    def test_channels_have_random_bits_of_their_own(self):
        """Drawn often, each bit is 1 as often as its mean says: to within five deviations."""
        held, states, n = Components(1, 1, 70, 2), generative.power_on(64), 2000
        held.mean[0, 0] = np.arange(70) % 4
        drawn = np.stack([held.draw(0, 0, states, 64) for _ in range(n)]).astype(float)
        p = (2 * held.mean[0, 0] + 1) / 8
        assert (abs(drawn.mean(0) - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
        together = abs(np.corrcoef(drawn.T) - np.eye(70)).max()
        assert together < 5 / np.sqrt(n)


class TestTake:
    def test_by_hand(self):
        held = Components(2, 2, 4, 2)
        assert [held.take(bits(z), 1) for z in ("1100", "0011", "1110", "0111", "1000")] == [
            0,
            1,
            0,
            1,
            0,
        ]
        assert held.share.tolist() == [[0, 0], [3, 2]]
        assert held.count.tolist() == [[3, 2, 1, 0], [0, 1, 2, 2]]
        assert held.mean[1].tolist() == [[3, 2, 1, 0], [0, 2, 3, 3]]
        assert (
            held.take(bits("1011"), 1) == 1
        )  # differs in 2 of 1100 and in 2 of 0111, whose tie is a 1

    def test_another_class_opens_and_the_first_goes_on_later(self):
        held = Components(2, 1, 3, 2)
        for z in ("110", "100", "100"):
            held.take(bits(z), 0)
        assert held.open == 0
        held.take(bits("111"), 1)
        assert (held.open, held.count.tolist()) == (1, [[1, 1, 1]])
        assert held.mean[0].tolist() == [[3, 1, 0]]
        held.take(bits("001"), 0)
        assert held.count.tolist() == [[3, 1, 1]]
        assert held.mean.tolist() == [[[3, 1, 1]], [[3, 3, 3]]]

    def test_a_full_component_halves_those_of_its_class(self):
        held = Components(2, 2, 2, 2)
        held.share[:] = [[MOST_SHARE, 301], [5, 6]]
        held.mean[0] = [[3, 0], [0, 3]]
        held.open, held.count = 0, np.array([[900, 100], [7, 300]])
        assert held.take(bits("10"), 0) == 0
        assert held.share.tolist() == [[MOST_SHARE // 2 + 1, 150], [5, 6]]
        assert held.count.tolist() == [[451, 50], [3, 150]]

    def test_more_components_than_samples_leave_some_empty(self):
        held = Components(1, 3, 2, 2)
        held.take(bits("10"), 0)
        held.take(bits("10"), 0)
        assert held.share.tolist() == [[1, 1, 0]]


def chip(**dials):
    return GenerativeChip(BUNDLE, dataclasses.replace(TARGET, **dials))


class TestChip:
    def test_staging_takes_the_first_of_each_class_while_there_is_room(self):
        c = chip()
        for n, label in enumerate((0, 0, 0, 1, 1, 2)):
            c.stage(IMAGES[n], label)
        assert [y for _, y in c.staged] == [0, 0, 1]
        assert c.components.share.sum(1).tolist() == [3, 2, 1, 0]
        assert (c.seen, c.refused) == (3, 0)
        assert c.counts() == [5, 5, 5]

    def test_every_class_has_as_many_samples_in_an_epoch_and_one_never_seen_none(self):
        c = chip()
        c.arrive(4)
        for n, label in enumerate((0, 0, 1, 2)):
            c.insert(IMAGES[n], label)
        c.stage(IMAGES[4], 2)
        labels = [y for _, y in c.epoch_order()]
        assert [labels.count(y) for y in range(4)] == [5, 5, 5, 0] == c.counts()
        assert labels != sorted(labels)
        staged = [z for z, y in c.epoch_order() if y == 2 and (z == LATENTS[4]).all()]
        assert staged

    def test_a_session_ends_with_empty_staging_and_all_means(self):
        c = chip()
        c.stage(IMAGES[0], 1)
        mean, share = c.components.mean.copy(), c.components.share.copy()
        c.retrain()
        c.rebalance()
        assert (c.staged, c.seen) == ([], 2)
        assert (c.components.mean == mean).all()
        assert (c.components.share == share).all()

    def test_a_session_without_any_sample_learns_nothing(self):
        c = chip()
        c.arrive(3)
        output = c.classifier.output.copy()
        assert c.retrain() == []
        assert (c.classifier.output == output).all()

    def test_a_draw_differs_from_epoch_to_epoch(self):
        c = chip(staging_capacity=0)
        c.arrive(1)
        for image in IMAGES:
            c.insert(image, 0)
        first, second = (np.array([z for z, _ in c.epoch_order()]) for _ in range(2))
        assert (first != second).any()

    def test_reset_forgets(self):
        c = chip()
        c.stage(IMAGES[0], 1)
        list(c.epoch_order())
        c.reset()
        assert (c.components.share.any(), c.components.open, c.seen) == (False, NONE, 0)
        assert c.wide == generative.power_on(TARGET.channels)
        fresh, again = chip(), c
        for one in (fresh, again):
            one.stage(IMAGES[1], 0)
            one.retrain()
        assert (fresh.classifier.output == again.classifier.output).all()

    @pytest.mark.parametrize("fault", ["share", "staged", "open", None])
    def test_restore_refuses_samples_of_a_class_that_is_not_seen(self, fault):
        c = chip()
        c.stage(IMAGES[0], 1)
        c.stale = True
        if fault == "share":
            c.components.share[2, 1] = 1
        elif fault == "staged":
            c.staged.append((LATENTS[0], 3))
        elif fault == "open":
            c.components.open = 2
        assert c.restore() == (fault is None)
        assert c.stale == (fault is not None)
        if fault:
            for command in (
                lambda: c.stage(IMAGES[0], 0),
                c.retrain,
                c.rebalance,
                lambda: c.arrive(4),
            ):
                with pytest.raises(SpecError, match="must wait for a restore"):
                    command()

    def test_commands_refuse_what_those_of_stored_replay_refuse(self):
        c = chip()
        for wrong, sentence in (
            (lambda: c.insert(IMAGES[0], 0), "label must be of one of the 0 classes seen, not 0"),
            (lambda: c.stage(IMAGES[0], 4), "label must be an integer from 0 to 3, not 4"),
            (lambda: c.arrive(5), "seen must be an integer from 0 to 4, not 5"),
            (c.retrain, "a class must have been announced before retraining, but none was"),
        ):
            with pytest.raises(SpecError, match=sentence):
                wrong()
        assert (c.seen, c.components.share.any(), c.staged) == (0, False, [])


class TestTarget:
    @pytest.mark.parametrize(
        ("dials", "message"),
        [
            ({"replay": "drawn"}, "replay must be 'stored' or 'generative', not 'drawn'"),
            ({"replay_components": 0}, "replay_components must be a positive integer, not 0"),
            ({"replay_components": 17}, "replay_components must be at most 16"),
            ({"replay_components": 6}, "replay_components must be at most the 5 latents"),
            ({"mean_bits": 5}, "mean_bits must be at most 4"),
            ({"drawn_per_class": 5000}, "drawn_per_class must be at most 4,096"),
            ({"staged_per_class": 0}, "staged_per_class must be a positive integer, not 0"),
        ],
    )
    def test_a_dial_that_cannot_be_is_refused(self, dials, message):
        with pytest.raises(SpecError, match=message):
            dataclasses.replace(TARGET, **dials)

    def test_an_epoch_that_no_walk_covers_is_refused(self):
        many = dataclasses.replace(TINY.network, classes=60)
        most = dataclasses.replace(TARGET, drawn_per_class=1024, staging_capacity=4096)
        replay.check_capacity(many, most)
        with pytest.raises(SpecError, match="must have at most 65536 indices, but 60 classes of"):
            replay.check_capacity(many, dataclasses.replace(most, staging_capacity=4097))

    def test_what_cannot_do_it_says_so(self):
        with pytest.raises(SpecError, match="must be 'stored' for Chip, not 'generative'"):
            reference.Chip(BUNDLE, TARGET)
        with pytest.raises(
            SpecError, match="must be 'generative' for GenerativeChip, not 'stored'"
        ):
            GenerativeChip(BUNDLE, TINY.target)

    def test_a_file_names_it_only_where_there_is_some(self):
        assert not {"replay", "mean_bits"} & presets.to_dict(TINY)["target"].keys()
        made = dataclasses.replace(TINY, target=TARGET)
        assert presets.to_dict(made)["target"]["replay"] == "generative"
        assert presets.from_dict(presets.to_dict(made)) == made


@settings(max_examples=30)
@given(
    components=st.integers(1, 5),
    m=st.integers(1, 4),
    channels=st.sampled_from([4, 16, 64]),
    staging=st.integers(0, 9),
)
def test_memories_have_what_is_remembered(components, m, channels, staging):
    """Closed forms: padded to words of G channels, a latent of 12 bits takes 12 to 64."""
    target = dataclasses.replace(
        TARGET,
        replay_components=components,
        mean_bits=m,
        channels=channels,
        staging_capacity=staging,
    )
    kept = {x.name: x.bits for x in memories.remembered(TINY.network, target)}
    padded = -(-12 // channels) * channels
    assert kept.pop("replay.mean") == 4 * components * padded * m
    assert kept.pop("replay.share") == 4 * components * 10
    assert kept.pop("fit.count") == components * padded * 10
    if staging:
        assert kept.pop("staging.latent") == staging * padded
        assert kept.pop("staging.label") == staging * 2
        assert kept.pop("staging.count") == 4 * min(2, staging).bit_length()
    assert not kept
