"""Data sets through the same kernels as fast mode, on every core and without counters."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from xnoreplay.sim import fast
from xnoreplay.sim.jit import kernel, part
from xnoreplay.sim.ops import Program, conv_of
from xnoreplay.sim.state import Scalar, State
from xnoreplay.spec.bits import pack_words, unpack_words
from xnoreplay.spec.errors import ImageError
from xnoreplay.spec.plan import Plan


class Room(NamedTuple):
    """What one thread works in."""

    ping: np.ndarray  # (depth, units) uint64
    pong: np.ndarray  # (depth, units) uint64
    file: np.ndarray  # (slots, 9 units) uint64, the vectors of one image
    scratch: fast.Scratch


def pixel_words(pr: Program, thresholds: np.ndarray) -> np.ndarray:
    """Thermometer bits of each value of each image channel: (channels, 256, words, units) uint64."""
    g, op = pr.geometry, pr.input
    values = np.arange(256)[:, None] >= thresholds[: op.bits]
    channels = int(op.channel.max()) + 1
    owned = op.channel[: op.bits] == np.arange(channels)[:, None]
    bits = np.zeros((channels, 256, op.words * g.channels), np.uint8)
    bits[:, :, : op.bits] = owned[:, None] & values
    return pack_words(bits.reshape(channels, 256, op.words, g.channels))


@part
def _pixels(op, words, image, target):
    """`fast.input_bits` out of `pixel_words`."""
    for p in range(op.pixels):
        for w in range(op.words):
            for u in range(target.shape[1]):
                bits = words[0, image[p, 0], w, u]
                for c in range(1, words.shape[0]):
                    bits |= words[c, image[p, c], w, u]
                target[p * op.words + w, u] = bits


@kernel
def _classify(pr, m, r, words, images, latents, seen, out):
    """Latents and predictions of (n, pixels, channels) images; needs no interpreter lock."""
    g = pr.geometry
    first = 0
    for n in range(pr.convs.shape[0]):
        first = fast.load_columns(conv_of(pr.convs, n), g, m.weights_fe, first, r.scratch.columns)
    for i in range(images.shape[0]):
        _pixels(pr.input, words, images[i], r.ping)
        first = 0
        for n in range(pr.convs.shape[0]):
            op = conv_of(pr.convs, n)
            if n % 2:
                fast.conv_bits(op, g, first, r.pong, r.ping, r.scratch)
            else:
                fast.conv_bits(op, g, first, r.ping, r.pong, r.scratch)
            first += op.tiles // op.group_tiles * op.beats * 9 * g.units
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
    words = pixel_words(program, m.threshold)
    latents = np.zeros((len(images), *m.latent.shape), np.uint64)
    out = np.zeros(len(images), np.int64)
    share = -(-len(images) // (os.cpu_count() or 1)) or 1

    def classify(first: int) -> None:
        room = Room(
            np.zeros_like(m.ping), np.zeros_like(m.pong), np.zeros_like(m.lane_file[0]),
            fast.scratch(program.geometry, plan.convolutions),
        )  # fmt: skip
        own = slice(first, first + share)
        _classify(program, m, room, words, pixels[own], latents[own], seen, out[own])

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
