"""The proxies behind the classifier's weights, to and from the memories that hold their bits."""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.state import State
from xnoreplay.spec import image
from xnoreplay.spec.network import COPIES
from xnoreplay.spec.reference import Classifier


class Integers(NamedTuple):
    """Proxies as integers."""

    hidden: np.ndarray  # (hidden, latent) int64
    output: np.ndarray  # (classes, proxies, latent + hidden) int64


def _codes(bits: np.ndarray) -> np.ndarray:
    """(..., n) bits, least significant first -> (...) int64."""
    return (bits.astype(np.int64) << np.arange(bits.shape[-1])).sum(-1)


def _low(state: State, name: str, rows: int, copies: int, parts: list[int]) -> np.ndarray | int:
    """(rows, columns, copies) low bits of a layer's proxies, or 0 where there are none."""
    if name not in state.layouts:
        return 0
    segment = state.plan.target.segment
    fields = state.bits(name).reshape(rows, -1, segment, copies, _width(state, name, copies))
    codes = _codes(fields)
    columns, first = [], 0
    for part in parts:
        segments = -(-part // segment)
        block = codes[:, first : first + segments].reshape(rows, -1, copies)
        columns.append(block[:, :part])
        first += segments
    return np.concatenate(columns, axis=1)


def _width(state: State, name: str, copies: int) -> int:
    """Low bits of one proxy."""
    return state.plan.memory(name).width // (state.plan.target.segment * copies)


def read(state: State) -> Integers:
    """Assemble the proxies; of a frozen hidden layer only the signs are there."""
    plan, net, rule = state.plan, state.plan.network, state.plan.rule
    word, latent, half = plan.target.channels, net.latent, 1 << rule.proxy_bits - 1
    top = state.bits("cls.top")
    hidden = top[: plan.output.weight_base].reshape(net.hidden, -1)[:, :latent]
    rows = top[plan.output.weight_base :].reshape(net.classes, COPIES, -1)
    start = plan.replay.words * word
    output = np.concatenate([rows[..., :latent], rows[..., start : start + net.hidden]], axis=2)
    pairs = output.transpose(0, 2, 1).astype(np.int64)  # (classes, columns, COPIES)
    copies = rule.proxies_per_pair
    if copies == 1:
        pairs = 2 * pairs[..., :1] + pairs[..., 1:]
    low = _low(state, "cls.low", net.classes, copies, [latent, net.hidden])
    output = ((pairs << rule.low_bits) + low - half).transpose(0, 2, 1)
    if not plan.target.hidden_learns:
        return Integers(np.where(hidden, half - 1, -half), output)
    low = _low(state, "cls.hidden_low", net.hidden, 1, [latent])
    hidden = (hidden.astype(np.int64)[..., None] << rule.proxy_bits - 1) + low - half
    return Integers(hidden[..., 0], output)


def write(state: State, proxies: Integers) -> None:
    """Store the proxies' bits."""
    hidden = np.asarray(proxies.hidden, np.int64)
    classifier = Classifier(state.plan.rule, hidden, np.asarray(proxies.output, np.int64))
    state.write("cls.top", image.cls_top(state.plan, classifier))
    for name, bits in image.proxy_low_bits(state.plan, classifier).items():
        state.write(name, bits)
