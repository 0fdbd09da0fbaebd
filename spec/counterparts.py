"""Stored replay beside generative replay: the targets that a chip which draws its latents is compared with."""

from bisect import bisect_right
from dataclasses import replace

from xnoreplay.spec import plan as plans
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.target import MOST_LATENTS, TargetSpec

STORED_BITS, STORED = "stored_bits", "stored"
"""Names: stored replay in as many bits, and of the target's `replay_capacity`."""


def stored(plan: Plan) -> dict[str, TargetSpec]:
    """Make the targets with stored replay that a chip with generative replay stands beside; of others there are none.

    `STORED_BITS` keeps as many latents as the whole chip's bits allow, `STORED` as many as the target says. One that
    cannot keep a latent of every class is left out, and the second where it is the first.
    """
    if plan.generative is None:
        return {}
    net, least = plan.network, plan.network.classes

    def of(capacity: int) -> TargetSpec:
        return replace(plan.target, replay="stored", replay_capacity=capacity)

    def bits(capacity: int) -> int:
        return sum(m.bits for m in plans.compile(net, of(capacity)).memories)

    own = sum(m.bits for m in plan.memories)
    capacities = range(least, MOST_LATENTS - plan.target.staging_capacity + 1)
    fitting = bisect_right(capacities, own, key=bits)
    found = {STORED_BITS: of(capacities[fitting - 1])} if fitting else {}
    if (capacity := plan.target.replay_capacity) >= least and of(capacity) not in found.values():
        found[STORED] = of(capacity)
    return found


def title(target: TargetSpec) -> str:
    """Say what such a target remembers.

    >>> title(TargetSpec("chip", lanes=1, channels=8, batch=4, replay_capacity=1200))
    'stored replay of 1,200 latents'
    """
    return f"stored replay of {target.replay_capacity:,} latents"
