"""Data sets through the same kernels as fast mode, on every core and without counters."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from xnoreplay.sim import fast
from xnoreplay.sim.jit import kernel
from xnoreplay.sim.ops import Program, conv_of
from xnoreplay.sim.state import Scalar, State
from xnoreplay.spec.bits import unpack_words
from xnoreplay.spec.errors import ImageError
from xnoreplay.spec.plan import Plan


class Room(NamedTuple):
    """What one thread works in."""

    ping: np.ndarray  # (depth, units) uint64
    pong: np.ndarray  # (depth, units) uint64
    file: np.ndarray  # (slots, 9 units) uint64, the vectors of one image
    scratch: fast.Scratch


@kernel
def _classify(pr, m, r, images, latents, seen, out):
    """Latents and predictions of (n, pixels, channels) images; needs no interpreter lock."""
    g = pr.geometry
    for i in range(images.shape[0]):
        fast.input_bits(pr.input, g, m.threshold, images[i], r.ping)
        for n in range(pr.convs.shape[0]):
            op = conv_of(pr.convs, n)
            if n % 2:
                fast.conv_bits(op, g, m.weights_fe, r.pong, r.ping, r.scratch)
            else:
                fast.conv_bits(op, g, m.weights_fe, r.ping, r.pong, r.scratch)
        source = r.pong if pr.lgap.index % 2 else r.ping
        fast.lgap_bits(pr.lgap, g, m.weights_lgap, source, r.file, r.scratch)
        fast.dense_bits(pr.latent, g, m.weights_fe, r.file, latents[i], r.scratch)
        if seen:
            fast.dense_bits(pr.hidden, g, m.cls_top, r.file, latents[i], r.scratch)
            out[i] = fast.best_class(pr.output, g, m.cls_top, r.file, seen, 0)


def _run(plan: Plan, program: Program, state: State, images: np.ndarray, seen: int):
    net, m = plan.network, state.memories
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != net.image_shape:
        raise ImageError(
            f"images of {net.name} must be uint8 of shape (n, *{net.image_shape}), not "
            f"{images.dtype} of shape {images.shape}"
        )
    pixels = np.ascontiguousarray(images).reshape(
        len(images), net.maps[0].pixels, net.image_channels
    )
    latents = np.zeros((len(images), *m.latent.shape), np.uint64)
    out = np.zeros(len(images), np.int64)
    share = -(-len(images) // (os.cpu_count() or 1)) or 1

    def classify(first: int) -> None:
        room = Room(
            np.zeros_like(m.ping), np.zeros_like(m.pong), np.zeros_like(m.lane_file[0]),
            fast.scratch(program.geometry, max(op.beats for op in plan.convolutions)),
        )  # fmt: skip
        part = slice(first, first + share)
        _classify(program, m, room, pixels[part], latents[part], seen, out[part])

    with ThreadPoolExecutor() as pool:
        list(pool.map(classify, range(0, len(images), share)))
    return latents, out


def latents(plan: Plan, program: Program, state: State, images: np.ndarray) -> np.ndarray:
    """(n, latent) uint8 bits."""
    words, _ = _run(plan, program, state, images, 0)
    bits = unpack_words(words, plan.target.channels).reshape(len(words), -1)
    return bits[:, : plan.network.latent]


def predict(plan: Plan, program: Program, state: State, images: np.ndarray) -> np.ndarray:
    """(n,) int64 classes, 0 while none was seen."""
    return _run(plan, program, state, images, int(state.scalars[Scalar.SEEN]))[1]
