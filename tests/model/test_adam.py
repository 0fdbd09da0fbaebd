"""The float baseline, without PyTorch."""

import numpy as np
import pytest

from xnoreplay.model import float_classifier as adam
from xnoreplay.model.network.float_rule import INIT, PAIR_OFFSET
from xnoreplay.spec import bundle, presets, reference
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import COPIES

NET = presets.load("tiny").network


def toy(classes: int, each: int, seed: int):
    """Noisy copies of one random latent a class."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).integers(0, 2, (classes, NET.latent), dtype=np.uint8)
    labels = np.repeat(np.arange(classes), each)
    return centres[labels] ^ (rng.random((len(labels), NET.latent)) < 0.08), labels


def test_pairs_start_as_they_do_in_pre_training():
    above, below = adam.random_weights(NET, 0).output.transpose(1, 0, 2)
    np.testing.assert_allclose(above - below, 2 * PAIR_OFFSET, atol=1e-7)
    assert np.abs(above + below).max() <= 2 * INIT


def test_learns_separable_latents():
    latents, labels = toy(4, 40, seed=1)
    weights = adam.train(adam.random_weights(NET, 0), latents, labels, 4, seed=0, epochs=30)
    held_out, truth = toy(4, 40, seed=2)
    assert (adam.predict(weights, held_out, 4) == truth).mean() > 0.8


def test_inactive_rows_and_a_frozen_hidden_layer_stay():
    start = adam.random_weights(NET, 0)
    latents, labels = toy(2, 10, seed=1)
    weights = adam.train(start, latents, labels, 2, seed=0, epochs=2, hidden_learns=False)
    np.testing.assert_array_equal(weights.output[2:], start.output[2:])
    np.testing.assert_array_equal(weights.hidden, start.hidden)
    assert (weights.output[:2] != start.output[:2]).any()


def test_training_is_a_function_of_its_seed_and_changes_no_input():
    start = adam.random_weights(NET, 0)
    before = start.output.copy()
    latents, labels = toy(3, 10, seed=1)
    one, two, other = (
        adam.train(start, latents, labels, 3, seed=s, epochs=2, batch=8) for s in (5, 5, 6)
    )
    np.testing.assert_array_equal(one.output, two.output)
    assert (one.output != other.output).any()
    np.testing.assert_array_equal(start.output, before)


@pytest.mark.parametrize("seed", range(3))
def test_warm_weights_compute_the_bundle_s_sums(seed):
    """Signs of the masters are the weights, as on a chip with two proxies a pair."""
    b = bundle.random(NET, seed)
    latents = np.random.default_rng(seed).integers(0, 2, (20, NET.latent), dtype=np.uint8)
    target = presets.from_dict({"preset": "tiny", "target": {"proxies_per_pair": 2}}).target
    chip = reference.Classifier.load(b, target)
    expected = [chip.forward(z, NET.classes).logits for z in latents]
    np.testing.assert_array_equal(
        adam.sums(adam.weights_of_bundle(b), latents, NET.classes), expected
    )


def losses(logits, y, loss):
    """Each sample's loss, written out."""
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = p[np.arange(len(y)), y]
    if loss == "sh":
        target = np.where(np.arange(logits.shape[1]) == y[:, None], 1, -1)
        return (np.maximum(0, 1 - target * logits) ** 2).mean(axis=1)
    return -np.log(right) * (1 if loss == "cce" else (1 - right) ** 2)


@pytest.mark.parametrize("loss", adam.LOSSES)
def test_slopes_are_those_of_the_losses(loss):
    rng = np.random.default_rng(4)
    logits, y, nudge = rng.normal(size=(6, 5)), rng.integers(0, 5, 6), 1e-6
    slope = adam.slope(logits, y, loss)
    for c in range(5):
        step = nudge * (np.arange(5) == c)
        measured = (losses(logits + step, y, loss) - losses(logits - step, y, loss)) / (2 * nudge)
        np.testing.assert_allclose(slope[:, c], measured, atol=1e-6)


@pytest.mark.parametrize("loss", adam.LOSSES)
def test_every_loss_learns(loss):
    latents, labels = toy(4, 40, seed=1)
    weights = adam.train(
        adam.random_weights(NET, 0), latents, labels, 4, seed=0, epochs=30, loss=loss
    )
    assert (adam.predict(weights, latents, 4) == labels).mean() > 0.8


def test_an_unknown_loss_is_refused():
    with pytest.raises(SpecError, match="loss must be 'cce' or 'fcce' or 'sh', not 'mse'"):
        adam.train(adam.random_weights(NET, 0), *toy(2, 2, seed=1), 2, seed=0, loss="mse")


def test_both_copies_of_a_pair_move_alike():
    start = adam.random_weights(NET, 0)
    latents, labels = toy(4, 10, seed=1)
    weights = adam.train(start, latents, labels, 4, seed=0, epochs=2)
    step = weights.output - start.output
    assert step.shape[1] == COPIES
    np.testing.assert_allclose(step[:, 0], step[:, 1], atol=1e-6)


def test_gradient_descends_the_smooth_part_of_the_loss():
    """With one input of one row nudged, the loss moves as the output gradient says."""
    rng = np.random.default_rng(3)
    z = np.where(rng.random((16, NET.latent)) < 0.5, 1, -1).astype(np.float32)
    y = rng.integers(0, 3, 16)
    start = adam.random_weights(NET, 1)
    balance, alpha = np.ones(3, np.float32), np.float32(0.1)
    gradient, _ = adam._gradients(start.hidden, start.output[:3], z, y, balance, alpha, "cce")
    a = z @ np.where(start.hidden >= 0, 1, -1).T
    v = np.concatenate([z, np.where(a >= 0, 1, -1)], axis=1)
    pair = np.where(start.output[:3] >= 0, 1.0, -1.0).sum(axis=1)

    def loss(weight):
        logits = alpha * v @ weight.T
        return np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(16), y])

    for row, column in ((0, 0), (2, NET.latent)):
        nudge = np.zeros_like(pair)
        nudge[row, column] = 1e-4
        slope = (loss(pair + nudge) - loss(pair - nudge)) / 2e-4
        assert gradient[row, 0, column] == pytest.approx(slope, rel=1e-3, abs=1e-6)
