"""The replay policy: quotas, eviction, admission, and the order of an epoch.

Every choice comes from a *walk*: an order of 2^k indices without repetition, from one 32-bit
register and one k-bit maximal-length register. A single pass in walk order is a random order, so
trimming a class to its quota in one pass gives up random entries, without a multiplier or a sort.
"""

from collections.abc import Iterator

import numpy as np

from xnoreplay.spec import generative
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.lfsr import draw, walk_next
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.target import MOST_LATENTS, TargetSpec

SEED_DRAWS = 4  # draws that refresh all 32 bits before a walk
LFSR_SEEDS = {"walk": 0x1234567, "error": 0x2345678, "update": 0x3456789}
"""Power-on states of the chip's three 32-bit registers; any non-zero values do."""


def index_bits(n: int) -> int:
    """k: bits of the walk that covers n indices, at least 1.

    >>> [index_bits(n) for n in (1, 2, 3, 100, 128, 129)]
    [1, 1, 2, 7, 7, 8]
    """
    return max(1, (n - 1).bit_length())


def seed_walk(state: int, bits: int) -> tuple[int, int, int]:
    """Refresh the 32-bit register and derive a walk: new state, mask, start.

    The mask is the low k bits; the start is the low k bits of the upper half, or 1 where those are
    zero, because a shift register never leaves zero.
    """
    for _ in range(SEED_DRAWS):
        state = draw(state)
    low = (1 << bits) - 1
    return state, state & low, (state >> 16 & low) or 1


def walk(mask: int, start: int, bits: int) -> Iterator[int]:
    """Visit all 2^k indices, once each: zero first, then the register's sequence, all XOR the mask.

    Yields
    ------
    int
        The next index.

    >>> sorted(walk(5, 3, 3)) == list(range(8))
    True
    """
    yield mask
    state = start
    for _ in range((1 << bits) - 1):
        yield state ^ mask
        state = walk_next(state, bits)


def quota(capacity: int, seen: int) -> int:
    """Latents each class may keep: capacity is shared equally among the classes seen, if any."""
    return capacity // seen if seen else 0


def entry_order(target: TargetSpec, labels: np.ndarray) -> np.ndarray:
    """Order samples as a host gives them to a chip: as they come, or with generative replay class after class.

    A chip that draws has the counters of one class at a time, and each change of class rounds them.

    labels : (n,) int; returns (n,) int64 indices

    >>> draws = TargetSpec("chip", lanes=1, channels=8, batch=4, replay="generative")
    >>> entry_order(draws, np.array([1, 0, 1, 0])).tolist()
    [1, 3, 0, 2]
    """
    if target.replay == "generative":
        return np.argsort(labels, kind="stable")
    return np.arange(len(labels))


def check_way(what: str, way: str, target: TargetSpec) -> None:
    """Check that a target's replay is the way that something carries out.

    what : as the sentence calls it
    way : of `xnoreplay.spec.target.REPLAYS`

    Raises
    ------
    SpecError
        Where it is another.
    """
    if target.replay != way:
        raise SpecError(f"replay must be {way!r} for {what}, not {target.replay!r}")


def check_capacity(net: NetworkSpec, target: TargetSpec) -> None:
    """SpecError where stored replay cannot hold one latent of every class, or a generative epoch is too long."""
    if target.replay == "generative":
        if (indices := generative.walk_indices(net, target)) > MOST_LATENTS:
            raise SpecError(
                f"an epoch's walk must have at most {MOST_LATENTS} indices, but {net.classes} classes of "
                f"drawn_per_class {target.drawn_per_class} and staging_capacity {target.staging_capacity} make {indices}"
            )
    elif target.replay_capacity < net.classes:
        raise SpecError(
            f"replay_capacity must be at least one latent for each of {net.classes} classes, "
            f"not {target.replay_capacity}"
        )
