"""Data sets through the same kernels as fast mode, on every core and without counters."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xnoreplay.sim import fast
from xnoreplay.sim.jit import ZERO, kernel
from xnoreplay.sim.ops import Program, conv_of
from xnoreplay.sim.state import Scalar, State
from xnoreplay.spec.bits import unpack_words
from xnoreplay.spec.errors import ImageError
from xnoreplay.spec.plan import Plan


@kernel
def _classify(pr, m, images, latents, seen, out):
    """Latents and predictions of (n, pixels, channels) images; needs no interpreter lock."""
    ping, pong = np.zeros_like(m.ping), np.zeros_like(m.pong)
    file = np.zeros_like(m.lane_file[0])
    g = pr.geometry
    for i in range(images.shape[0]):
        file[:] = ZERO
        fast.input_bits(pr.input, g, m.threshold, images[i], ping)
        for n in range(pr.convs.shape[0]):
            op = conv_of(pr.convs, n)
            if n % 2:
                fast.conv_bits(op, g, m.weights_fe, pong, ping)
            else:
                fast.conv_bits(op, g, m.weights_fe, ping, pong)
        source = pong if pr.lgap.index % 2 else ping
        fast.lgap_bits(pr.lgap, g, m.weights_lgap, source, file)
        fast.dense_bits(pr.latent, g, m.weights_fe, file, latents[i])
        if seen:
            fast.dense_bits(pr.hidden, g, m.cls_top, file, latents[i])
            out[i] = fast.best_class(pr.output, g, m.cls_top, file, seen, 0)


def _run(plan: Plan, program: Program, state: State, images: np.ndarray, seen: int):
    net, m = plan.network, state.memories
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != net.image_shape:
        raise ImageError(
            f"images of {net.name} must be uint8 of shape (n, *{net.image_shape}), not "
            f"{images.dtype} of shape {images.shape}"
        )
    pixels = np.ascontiguousarray(images).reshape(len(images), net.maps[0].pixels, -1)
    latents = np.zeros((len(images), *m.latent.shape), np.uint64)
    out = np.zeros(len(images), np.int64)
    share = -(-len(images) // (os.cpu_count() or 1)) or 1
    with ThreadPoolExecutor() as pool:
        parts = [slice(i, i + share) for i in range(0, len(images), share)]
        for _ in pool.map(
            lambda part: _classify(program, m, pixels[part], latents[part], seen, out[part]), parts
        ):
            pass
    return latents, out


def latents(plan: Plan, program: Program, state: State, images: np.ndarray) -> np.ndarray:
    """(n, latent) uint8 bits."""
    words, _ = _run(plan, program, state, images, 0)
    bits = unpack_words(words, plan.target.channels).reshape(len(words), -1)
    return bits[:, : plan.network.latent]


def predict(plan: Plan, program: Program, state: State, images: np.ndarray) -> np.ndarray:
    """(n,) int64 classes, 0 while none was seen."""
    return _run(plan, program, state, images, int(state.scalars[Scalar.SEEN]))[1]
