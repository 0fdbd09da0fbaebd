"""Data sets, eight images at a time on every core, without cycles and counters."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xnoreplay.sim.common.program import DenseOp, Program
from xnoreplay.sim.common.state import Scalar, State
from xnoreplay.sim.common.vectors import LANES
from xnoreplay.sim.functional.kernels import (
    NINE,
    Answers,
    Images,
    Room,
    Run,
    Weights,
    classify,
    prefixes,
)
from xnoreplay.spec.bits import WORD, ceil_div, pack_words, unpack_bytes, unpack_words
from xnoreplay.spec.errors import ImageError
from xnoreplay.spec.image import vector_words
from xnoreplay.spec.machine import cores
from xnoreplay.spec.network import COPIES
from xnoreplay.spec.plan import Plan

SHARE = 8 * LANES  # images that a thread takes at a time

Done = Callable[[int], object]
"""Hears how many more images are done."""


def pixel_words(pr: Program, thresholds: np.ndarray) -> np.ndarray:
    """Thermometer bits of each value of each image channel: (channels, 256, words, units) uint64.

    Without channels where latents are given.
    """
    g, op = pr.geometry, pr.input
    if op.part:
        return np.zeros((0, 256, 1, g.units), np.uint64)
    values = np.arange(256)[:, None] >= thresholds[: op.bits]
    channels = int(op.channel.max()) + 1
    owned = op.channel[: op.bits] == np.arange(channels)[:, None]
    bits = np.zeros((channels, 256, op.words * g.channels), np.uint8)
    bits[:, :, : op.bits] = owned[:, None] & values
    return pack_words(bits.reshape(channels, 256, op.words, g.channels))


def runs(plan: Plan) -> np.ndarray:
    """The runs of all convolutions of a plan, in order: (n, fields of `Run`) int64."""
    net, channels = plan.network, plan.target.channels
    units = ceil_div(channels, WORD)
    found = []
    for i, (layer, op) in enumerate(zip(net.convs, plan.convolutions, strict=True)):
        groups = net.convs[i + 1].groups if i + 1 < len(net.convs) else 1  # of whoever reads it
        made, member = layer.filters // groups, layer.filters // layer.groups
        words = op.destination_words // groups
        f = 0
        while f < layer.filters:
            group, m = divmod(f, made)
            word, bit = divmod(m, channels)
            unit, bit = divmod(bit, WORD)
            room = min(WORD, channels) - bit
            count = min(room, made - m, member - f % member)
            plane = (group * words + word) * units + unit
            found.append(Run(i, f // member, f % member, count, plane, bit))
            f += count
    return np.array(found, np.int64).reshape(-1, len(Run._fields))


def _rows(weights: np.ndarray, layers: list[tuple[DenseOp, int]], units: int) -> np.ndarray:
    """A memory of weights as `prefixes`, with zeros past the last tap of each row.

    layers: (operation, its rows).
    """
    used = weights.copy()
    for op, rows in layers:
        last = used[op.weight_base :][: rows * op.beats][op.beats - 1 :: op.beats]
        last[:, op.last_taps * units :] = 0
    return prefixes(used.reshape(-1, NINE))


def _room(plan: Plan, units: int) -> Room:
    """Room for one share of images, which one thread works on."""
    net = plan.network
    words = [plan.input.words, *(op.destination_words for op in plan.convolutions)]
    areas = [(m.height + 2) * (m.width + 2) for m in net.maps]
    planes = [
        max(pair) for pair in itertools.pairwise(words)
    ]  # a map's, and before pooling the next's
    last = words[-1:] if net.takes_images else []
    most = max([a * n * units for a, n in zip(areas, [*planes, *last], strict=True)], default=0)
    beats = [op.beats for op in plan.convolutions]
    beats += [op.beats for op in (plan.latent, plan.hidden, plan.output) if op is not None]
    rows = max([WORD, COPIES * net.classes, *(c.filters // c.groups for c in net.convs)])
    return Room(
        np.zeros((4, most, LANES), np.uint64),
        np.zeros((max(beats) * units * NINE, LANES), np.uint64),
        np.zeros((rows, LANES), np.uint64),
        np.zeros((net.lgap_map.pixels.bit_length() + 1, LANES), np.uint64),
        np.zeros((plan.slots * NINE * units, LANES), np.uint64),
    )


def _given(plan: Plan, images: np.ndarray) -> np.ndarray:
    """(n, words * units) uint64 words of packed latents, as vectors lie in a lane's file; (n, 0) of images."""
    if plan.network.takes_images:
        return np.zeros((len(images), 0), np.uint64)
    bits = unpack_bytes(images, plan.network.latent)
    return pack_words(vector_words([bits], plan.target.channels)).reshape(len(images), -1)


def _classify_images(
    plan: Plan,
    program: Program,
    state: State,
    images: np.ndarray,
    seen: int,
    done: Done | None,
) -> tuple[np.ndarray, np.ndarray]:
    """(n, words, units) uint64 latents of images, and (n,) int64 classes.

    Raises
    ------
    ImageError
        Where the images are not uint8, or not of the network's shape.
    """
    net, m, units = plan.network, state.memories, program.geometry.units
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.shape[1:] != net.image_shape:
        raise ImageError(
            f"images of {net.name} must be uint8 of shape (n, *{net.image_shape}), not "
            f"{images.dtype} of shape {images.shape}"
        )
    count = len(images)
    pixels = np.zeros((count, 0, 0), np.uint8)
    if net.takes_images:
        pixels = np.ascontiguousarray(images).reshape(count, net.maps[0].pixels, net.image_channels)
    words, table = pixel_words(program, m.threshold), runs(plan)
    given = _given(plan, images)
    weights = Weights(
        _rows(m.weights_fe, [(program.latent, net.latent)] * net.takes_images, units),
        _rows(
            m.cls_top, [(program.hidden, net.hidden), (program.output, COPIES * net.classes)], units
        ),
        m.weights_lgap,
    )
    latents = np.zeros((ceil_div(count, LANES), plan.replay.words * units, LANES), np.uint64)
    out = np.zeros(count, np.int64)

    def work(first: int) -> int:
        own = slice(first, min(first + SHARE, count))
        blocks = slice(first // LANES, ceil_div(own.stop, LANES))
        classify(
            program,
            table,
            weights,
            _room(plan, units),
            Images(words, pixels[own], given[own]),
            seen,
            Answers(latents[blocks], out[own]),
        )
        return own.stop - first

    with ThreadPoolExecutor(cores()) as pool:
        for n in pool.map(work, range(0, count, SHARE)):
            if done:
                done(n)
    words = latents.transpose(0, 2, 1).reshape(-1, plan.replay.words, units)
    return words[:count], out


def latents(
    plan: Plan,
    program: Program,
    state: State,
    images: np.ndarray,
    done: Done | None = None,
) -> np.ndarray:
    """(n, latent) uint8 bits of (n, height, width, channels) uint8 images.

    `done` hears how many more images are done.
    """
    words, _ = _classify_images(plan, program, state, images, 0, done)
    width = plan.replay.words * plan.target.channels
    bits = unpack_words(words, plan.target.channels).reshape(len(words), width)
    return bits[:, : plan.network.latent]


def predict(
    plan: Plan,
    program: Program,
    state: State,
    images: np.ndarray,
    done: Done | None = None,
) -> np.ndarray:
    """(n,) int64 classes of (n, height, width, channels) uint8 images, 0 while none was seen.

    `done` hears how many more images are done.
    """
    return _classify_images(plan, program, state, images, int(state.scalars[Scalar.SEEN]), done)[1]
