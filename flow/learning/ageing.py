"""Generative replay whose feature extractor is exchanged for a newer one.

Of classes that a chip has learned by itself the images are gone, and the new extractor's latents of them with the images.
But both extractors can be run on images that are still at hand: a linear map from the old one's latents to the new one's,
fitted on these, carries over the means of classes whose images are not there.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xnoreplay.flow.learning import cil
from xnoreplay.flow.learning.cil import Latents
from xnoreplay.spec import commands, replay
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, require
from xnoreplay.spec.presets import Preset

if TYPE_CHECKING:
    from xnoreplay.sim.generative import GenerativeLearner

RIDGE = 0.05
"""Of a fit: from 0.05 to 2 the accuracies of one seed differed by a tenth of a point."""
WAYS = ("kept", "recomputed", "carried", "unchanged", "discarded")
"""What becomes of the means at the exchange, see `learn`."""


@dataclass(frozen=True)
class LatentMap:
    """A linear map from the bits of one extractor's latents to the probabilities of another's.

    A map of latents is one of means as well: the mean of what it makes of samples is what it makes of their mean.

    weight : (new latent, old latent) float64
    offset : (new latent,) float64
    """

    weight: np.ndarray
    offset: np.ndarray

    def carried(self, mean: np.ndarray, bits: int) -> np.ndarray:
        """Means of the new extractor, (.., new latent) uint8, from those of the old one, (.., old latent).

        A quantised mean q stands for the probability (2 q + 1) / 2^(bits + 1), as it is drawn. What the map makes
        of these is clipped to 0 .. 1 and quantised to floor(2^bits p), at most 2^bits - 1.
        """
        p = (2 * mean.astype(np.float64) + 1) / (2 << bits)
        found = np.clip(p @ self.weight.T + self.offset, 0, 1)
        return np.minimum((1 << bits) - 1, np.floor(found * (1 << bits))).astype(np.uint8)


def fitted(
    old: np.ndarray, new: np.ndarray, related: bool = True, ridge: float = RIDGE
) -> LatentMap:
    """Fit the map by ridge regression of every new bit on all old ones.

    It minimises the mean over the images of |new - weight old - offset|^2, plus ridge |weight - start|^2; the offset is
    free.

    Parameters
    ----------
    old, new : (n, old latent), (n, new latent) uint8 bits
        Latents of the same n images, in the same order.
    related : bool
        Whether the new extractor's training went on from the old one's bits, so that most latent bits mean what they meant:
        start is then the identity, else 0.
    ridge : float
        Above 0.

    Raises
    ------
    SpecError
        For no image, arrays of different lengths, a ridge of 0 or below, or related latents of different widths.
    """
    old = commands.bits_of("latents of the old extractor", old, (None, None))
    new = commands.bits_of("latents of the new extractor", new, (None, None))
    if not len(old) or len(old) != len(new):
        raise SpecError(
            f"latents of both extractors must be of the same images, at least one, not of {len(old)} and {len(new)}"
        )
    if not ridge > 0:
        raise SpecError(f"ridge must be above 0, not {ridge:g}")
    if related and old.shape != new.shape:
        raise SpecError(
            f"latents of related extractors must have as many bits, not {old.shape[1]} and {new.shape[1]}"
        )
    x, y = old.astype(np.float64), new.astype(np.float64)
    middle, target = x.mean(axis=0), y.mean(axis=0)
    x -= middle
    y -= target
    squares = x.T @ x
    squares[np.diag_indices_from(squares)] += ridge * len(x)
    if related:  # what is fitted is the difference
        weight = np.eye(len(middle)) + np.linalg.solve(squares, x.T @ (y - x)).T
    else:
        weight = np.linalg.solve(squares, x.T @ y).T
    return LatentMap(weight, target - weight @ middle)


@dataclass(frozen=True)
class Side:
    """One extractor: its bundle, and the latents that it makes of a scenario's images, in the same order for both."""

    bundle: Bundle
    latents: Latents

    def shuffled(self, seed: int) -> "Side":
        """The same with the training samples in another order, drawn from a seed."""
        return Side(self.bundle, self.latents.shuffled(seed))


def exchanged(  # noqa: PLR0913  each is a choice of the experiment
    learner: "GenerativeLearner",
    preset: Preset,
    new: Side,
    seed: int,
    way: str,
    carry: LatentMap | None = None,
) -> "GenerativeLearner":
    """Make the chip with the new extractor from what the old one remembers.

    Network and base classifier are the new bundle's. Means of the base classes, whose images the maker of the
    extractor has, are made of the new latents; those of later classes as `way` says, see `learn`.

    Parameters
    ----------
    learner : GenerativeLearner
        With the old extractor, between two sessions.
    preset : Preset
    new : Side
    seed : int
        Of the new chip's power-on, see `cil.power_on`.
    way : str
        One of `WAYS`, but not "kept".
    carry : LatentMap, optional
        For "carried".
    """
    scenario = preset.scenario
    fresh = cil.power_on(preset.target, new.bundle, seed)
    cil.begin(fresh, scenario, new.latents, 0)
    fresh.arrive(learner.seen)
    later = slice(scenario.base, learner.seen)
    held, made = learner.components, fresh.components
    if way == "recomputed":
        z, y = new.latents.of(range(scenario.base, learner.seen))
        for i in replay.entry_order(preset.target, y):
            fresh.insert(z[i], int(y[i]))
    elif way != "discarded":
        made.share[later] = held.share[later]
        mean = held.mean[later]
        made.mean[later] = carry.carried(mean, held.bits) if carry else mean
    return fresh


def learn(  # noqa: PLR0913  each is a choice of the experiment
    preset: Preset,
    old: Side,
    new: Side,
    seed: int,
    task: int,
    way: str,
    carry: LatentMap | None = None,
) -> dict:
    """Learn a scenario whose extractor is exchanged before a task's session, and return what `cil.evaluate` returns.

    Parameters
    ----------
    preset : Preset
        With generative replay.
    old, new : Side
        In the order of `seed`.
    seed : int
        Of the power-on states.
    task : int
        From 1 to the scenario's last; its samples are the first that the new extractor takes.
    way : str
        What becomes of the means of classes that came before it, but after the base. "kept": the old extractor stays.
        "recomputed": the new one sees all their images. "carried": by a map. "unchanged": they stay as they are,
        though a bit has another meaning now. "discarded": these classes are not replayed any more.
    carry : LatentMap, optional
        The map, for "carried".

    Raises
    ------
    SpecError
        For a task without a session, an unknown way, a target with stored replay, and a map where the way has none or none
        where it has one.
    """
    scenario = preset.scenario
    scenario.check_session(task)
    require.choice("way", way, WAYS)
    replay.check_way("an exchange of extractors", "generative", preset.target)
    if (way == "carried") != (carry is not None):
        raise SpecError(
            f"a map must be given for means that are carried, and for no others, not {way!r}"
        )
    side, learner = old, cil.power_on(preset.target, old.bundle, seed)

    def session(now: int) -> None:
        nonlocal side, learner
        if now == task and way != "kept":
            learner, side = exchanged(learner, preset, new, seed, way, carry), new
        cil.begin(learner, scenario, side.latents, now)
        if now:
            learner.retrain()
            learner.rebalance()

    return cil.evaluate(
        scenario, old.latents, session, lambda _z: learner.predict(side.latents.test)
    )
