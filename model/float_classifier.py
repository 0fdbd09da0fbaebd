"""The float baseline: a DenseSkip classifier trained on latents by Adam and the STE. NumPy only.

Sums, scales and pairs are those of `xnoreplay.model.network.layers.DenseSkip`; alpha = 8 / sqrt(5 fan-in C).
"""

from dataclasses import dataclass, replace

import numpy as np

from xnoreplay.model.network.float_rule import (
    ALPHA_GAIN,
    FOCUS,
    INIT,
    LOSSES,
    PAIR_OFFSET,
    class_weights,
)
from xnoreplay.spec.bits import signed
from xnoreplay.spec.bundle import MASTER_BITS, Bundle
from xnoreplay.spec.errors import require
from xnoreplay.spec.network import COPIES, NetworkSpec

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True)
class Weights:
    """Real proxies in [-1, 1].

    Parameters
    ----------
    hidden : ndarray
        (hidden, latent) float32.
    output : ndarray
        (classes, COPIES, latent + hidden) float32.
    """

    net: NetworkSpec
    hidden: np.ndarray
    output: np.ndarray


def random_weights(net: NetworkSpec, seed: int) -> Weights:
    """Draw random proxies, from scratch."""
    rng = np.random.default_rng(seed)
    hidden = rng.uniform(-INIT, INIT, (net.hidden, net.latent))
    pair = rng.uniform(-INIT, INIT, (net.classes, 1, net.output_inputs))
    output = pair + np.array([PAIR_OFFSET, -PAIR_OFFSET]).reshape(COPIES, 1)
    return Weights(net, hidden.astype(np.float32), output.astype(np.float32))


def weights_of_bundle(bundle: Bundle) -> Weights:
    """Return the proxies of a bundle, as its pre-training left them."""
    scale = 2.0 ** -(MASTER_BITS - 1)
    return Weights(
        bundle.network,
        (bundle.hidden * scale).astype(np.float32),
        (bundle.output * scale).astype(np.float32),
    )


def sums(weights: Weights, latents: np.ndarray, classes: int) -> np.ndarray:
    """Return the integer logit sums among the first classes: (n, latent) bits -> (n, classes) float32."""
    _, v = _hidden(weights.hidden, _values(latents))
    return v @ _binary(weights.output[:classes]).sum(axis=1).T


def predict(weights: Weights, latents: np.ndarray, classes: int) -> np.ndarray:
    """Return the class with the largest sum: (n, latent) bits -> (n,); ties go to the lowest class."""
    return sums(weights, latents, classes).argmax(axis=1)


def train(  # noqa: PLR0913  each is a dial of the training
    weights: Weights,
    latents: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    seed: int,
    epochs: int = 10,
    batch: int = 32,
    learning_rate: float = 1e-3,
    hidden_learns: bool = True,
    balanced: bool = True,
    loss: str = "cce",
) -> Weights:
    """Train the first `classes` rows (and the hidden layer) on latents; new Weights.

    Parameters
    ----------
    latents, labels : ndarray
        (n, latent) bits and (n,) chip classes below `classes`.
    seed : int
        Of the order of samples.
    learning_rate : float
        At the start; it falls as a half cosine to zero.
    balanced : bool
        Weigh classes against their frequency, or not.
    loss : str
        One of `xnoreplay.model.network.float_rule.LOSSES`.
    """
    require.choice("loss", loss, LOSSES)
    balance = (
        class_weights(np.bincount(labels, minlength=classes)) if balanced else np.ones(classes)
    )
    balance = balance.astype(np.float32)
    alpha = np.float32(ALPHA_GAIN * weights.net.alpha)
    hidden, output = weights.hidden.copy(), weights.output[:classes].copy()
    learned = [output, hidden] if hidden_learns else [output]
    shared = [output[:, :1], hidden]  # a pair's copies have the same gradient, so the same moments
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in shared]
    rng = np.random.default_rng(seed)
    starts = range(0, len(latents), batch)
    total, step = epochs * len(starts), 0
    for _ in range(epochs):
        order = rng.permutation(len(latents))
        for start in starts:
            index = order[start : start + batch]
            z, y = _values(latents[index]), labels[index]
            gradients = _gradients(hidden, output, z, y, balance, alpha, loss)
            rate = learning_rate * (1 + np.cos(np.pi * step / total)) / 2
            step += 1
            for proxy, gradient, moment in zip(learned, gradients, moments, strict=False):
                _adam(proxy, gradient, moment, rate, step)
    whole = weights.output.copy()
    whole[:classes] = output
    return replace(weights, hidden=hidden, output=whole)


def slope(logits: np.ndarray, y: np.ndarray, loss: str) -> np.ndarray:
    """Return the derivatives of each sample's loss by its logits: (n, classes), (n,) -> (n, classes).

    With p = softmax(logits): cce -log p_y; fcce -(1 - p_y)^2 log p_y; sh the mean over classes of
    max(0, 1 - t_c logit_c)^2, t_c = 1 for the class, else -1.
    """
    hot = np.zeros_like(logits)
    hot[np.arange(len(y)), y] = 1
    if loss == "sh":
        target = 2 * hot - 1
        return -2 * target * np.maximum(0, 1 - target * logits) / logits.shape[1]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if loss == "cce":
        return p - hot
    right = (p * hot).sum(axis=1, keepdims=True)
    wrong = 1 - right
    log = np.log(np.maximum(right, np.finfo(p.dtype).tiny))
    return (wrong**FOCUS - FOCUS * wrong ** (FOCUS - 1) * right * log) * (p - hot)


def _gradients(hidden, output, z, y, balance, alpha, loss) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the mean weighted loss by output and hidden proxies; both copies of a pair share one."""
    a, v = _hidden(hidden, z)
    pair = _binary(output).sum(axis=1)  # (classes, latent + hidden)
    logits = alpha * (v @ pair.T)
    error = slope(logits, y, loss) * (balance[y][:, None] * alpha / len(y))  # (n, classes)
    scale = 1 / np.sqrt(np.float32(z.shape[1]))
    back = error @ pair[:, z.shape[1] :] * (np.abs(a * scale) <= 1) * scale
    return (error.T @ v)[:, None, :], back.T @ z


def _adam(proxy, gradient, moment, rate, step) -> None:
    """Take one step of Adam (arXiv 1412.6980) in place; the proxy stays in [-1, 1]."""
    mean, square = moment
    mean += (1 - BETAS[0]) * (gradient - mean)
    square += (1 - BETAS[1]) * (gradient * gradient - square)
    unbiased = mean / (1 - BETAS[0] ** step)
    spread = np.sqrt(square / (1 - BETAS[1] ** step)) + EPSILON
    proxy -= np.float32(rate) * unbiased / spread
    np.clip(proxy, -1, 1, out=proxy)


def _hidden(hidden, z) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums a (n, hidden), and v = [z, sign(a)]."""
    a = z @ _binary(hidden).T
    return a, np.concatenate([z, _binary(a)], axis=1)


def _binary(x: np.ndarray) -> np.ndarray:
    return np.copysign(np.float32(1), x + np.float32(0))  # -0 + 0 is +0, whose sign is +1


def _values(bits: np.ndarray) -> np.ndarray:
    return signed(bits, np.float32)
