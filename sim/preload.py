"""Samples put into a chip's memories past every port, as a test bench or the start of a measurement needs them."""

import numpy as np

from xnoreplay.sim.common.state import Scalar, State
from xnoreplay.spec import commands
from xnoreplay.spec.bits import padded
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.plan import Plan


def fill_replay(plan: Plan, state: State, latents: np.ndarray, labels: np.ndarray) -> None:
    """Write samples into the replay memory from slot 0 on, and empty its other slots.

    latents (n, latent) bits; labels (n,), of classes that the chip has seen or soon will. SpecError where they are
    not, or do not fit.
    """
    latents, labels = _samples(plan, latents, labels, plan.replay.capacity)
    memories, classes = state.memories, plan.network.classes
    memories.replay_label[:] = 0
    memories.replay_count[:] = 0
    memories.replay_label[: len(labels)] = labels | 1 << plan.memory("replay.label").width - 1
    memories.replay_count[:classes] = np.bincount(labels, minlength=classes)
    state.codes.wrote("replay.label")
    _put(plan, state, "replay.latent", latents)


def fill_staging(plan: Plan, state: State, latents: np.ndarray, labels: np.ndarray) -> None:
    """Write samples into the staging memory from slot 0 on, and empty its other slots.

    Their classes are seen. latents (n, latent) bits; labels (n,). SpecError where they are not, or do not fit.
    """
    latents, labels = _samples(plan, latents, labels, plan.replay.staging)
    state.scalars[Scalar.STAGED] = len(labels)
    if not len(labels):
        return
    state.memories.staging_label[: len(labels)] = labels
    state.codes.wrote("staging.label", 0, len(labels))
    state.scalars[Scalar.SEEN] = max(int(state.scalars[Scalar.SEEN]), int(np.max(labels)) + 1)
    _put(plan, state, "staging.latent", latents)


def _samples(
    plan: Plan, latents: np.ndarray, labels: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray]:
    """Samples as arrays of bits and labels.

    Raises
    ------
    SpecError
        Where they are malformed, or more than the capacity.
    """
    bits = commands.bits_of("latents", latents, (None, plan.network.latent))
    if len(bits) > capacity:
        raise SpecError(f"latents must be at most the {capacity} that fit, not {len(bits)}")
    return bits, commands.labels_of(labels, len(bits), plan.network.classes)


def _put(plan: Plan, state: State, name: str, latents: np.ndarray) -> None:
    """Write latents into the first rows of a memory of latents."""
    words, width = plan.replay.words, plan.target.channels
    rows = state.bits(name)
    rows[: len(latents) * words] = padded(latents, width).reshape(-1, width)
    state.write(name, rows, 0, len(latents) * words)
