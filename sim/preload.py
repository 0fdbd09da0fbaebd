"""Samples put into a chip's memories past every port: what a test bench writes, or a measurement
starts from."""

import numpy as np

from xnoreplay.sim.common.state import Scalar, State
from xnoreplay.spec import commands
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.plan import Plan


def remember(plan: Plan, state: State, latents: np.ndarray, labels: np.ndarray) -> None:
    """Let the replay memory hold these samples and no others.

    latents (n, latent) bits; labels (n,), of classes that the chip has seen or soon will.
    """
    latents, labels = _samples(plan, latents, labels, plan.replay.capacity)
    m = state.memories
    m.replay_label[:] = 0
    m.replay_count[:] = 0
    m.replay_label[: len(labels)] = labels | 1 << plan.memory("replay.label").width - 1
    m.replay_count[: plan.network.classes] = np.bincount(labels, minlength=plan.network.classes)
    _put(plan, state, "replay.latent", latents)


def hold(plan: Plan, state: State, latents: np.ndarray, labels: np.ndarray) -> None:
    """Let the staging memory hold these samples and no others; their classes are seen."""
    latents, labels = _samples(plan, latents, labels, plan.replay.staging)
    state.scalars[Scalar.STAGED] = len(labels)
    if not len(labels):
        return
    state.memories.staging_label[: len(labels)] = labels
    state.scalars[Scalar.SEEN] = max(int(state.scalars[Scalar.SEEN]), int(np.max(labels)) + 1)
    _put(plan, state, "staging.latent", latents)


def _samples(
    plan: Plan, latents: np.ndarray, labels: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray]:
    """The samples as arrays, once they were found to fit; SpecError where they do not."""
    bits = commands.bits_of("latents", latents, (None, plan.network.latent))
    if len(bits) > capacity:
        raise SpecError(f"latents must be at most the {capacity} that fit, not {len(bits)}")
    return bits, commands.labels_of(labels, len(bits), plan.network.classes)


def _put(plan: Plan, state: State, name: str, latents: np.ndarray) -> None:
    words, width = plan.replay.words, plan.target.channels
    padded = np.pad(latents, ((0, 0), (0, words * width - latents.shape[1])))
    rows = state.bits(name)
    rows[: len(latents) * words] = padded.reshape(-1, width)
    state.write(name, rows)
