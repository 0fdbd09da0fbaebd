"""The proxies behind the classifier's weights, to and from the memories that hold their bits."""

from typing import NamedTuple

import numpy as np

from xnoreplay.sim.common.state import State
from xnoreplay.spec import image
from xnoreplay.spec.reference import Classifier


class Integers(NamedTuple):
    """The classifier's proxies as integers."""

    hidden: np.ndarray  # (hidden, latent) int64
    output: np.ndarray  # (classes, proxies, latent + hidden) int64


def read(state: State) -> Integers:
    """The proxies in a chip's memories; of a frozen hidden layer the signs alone are there."""
    return Integers(*image.proxies(state.plan, state.bits))


def write(state: State, proxies: Integers) -> None:
    """Write the proxies' bits into a chip's memories."""
    hidden = np.asarray(proxies.hidden, np.int64)
    classifier = Classifier(state.plan.rule, hidden, np.asarray(proxies.output, np.int64))
    state.write("cls.top", image.cls_top(state.plan, classifier))
    for name, bits in image.proxy_low_bits(state.plan, classifier).items():
        state.write(name, bits)
