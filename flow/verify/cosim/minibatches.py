"""Which minibatches of a session are worth a trace: one of every kind that occurs in it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xnoreplay.spec import trace
from xnoreplay.spec.learning_plan import LearningPlan
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import update_cycles

KINDS = 4  # of minibatches; see `windows`


@dataclass(frozen=True)
class Minibatch:
    """Cycles of a session, counted from its first: from a load to the next one's beginning."""

    start: int
    stop: int
    samples: int
    empty: bool
    """Every delta is 0: no row is updated."""


def windows(plan: Plan, chip) -> dict[str, tuple[int, int]]:
    """Cycles (first, past the last) of one minibatch of each kind in the session that comes next.

    Kinds are "first", with all that precedes it; "partial", with fewer samples than a whole one;
    "all-correct", where nothing is left to learn; "saturating", where a proxy is held at the end of
    its range. A kind that does not occur is absent.

    Parameters
    ----------
    chip : sim.run.Simulator
        About to retrain; it is not changed.
    """
    found: dict[str, tuple[int, int]] = {}
    batches = _minibatches(chip.twin())
    if batches:
        found["first"] = (0, batches[0].stop)
    for batch in batches:
        kind = None
        if batch.samples < plan.target.batch:
            kind = "partial"
        elif batch.empty:
            kind = "all-correct"
        elif "saturating" not in found and _saturates(plan, chip, batch):
            kind = "saturating"
        if kind and kind not in found:
            found[kind] = (batch.start, batch.stop)
        if len(found) == KINDS:
            break
    return found


def beginning(chip, most: int) -> dict[str, tuple[int, int]]:
    """Windows for a long session: the start of the first minibatch, and each of its later phases'.

    Parameters
    ----------
    most : int
        Cycles that are traced of each phase.
    """
    found: dict[str, tuple[int, int]] = {}
    for name, start, end in spans(chip, lambda other: other.retrain()):
        found.setdefault(name, (start, min(end, start + most)))
    return found


def spans(chip, command: Callable) -> list[tuple[str, int, int]]:
    """`trace.spans` of a command on a chip like this one, which is not changed."""
    other = chip.twin()
    first = other.cycles
    return trace.spans(command(other).phases, first, other.cycles)


def _minibatches(chip) -> list[Minibatch]:
    seen, first, before = chip.state.seen, chip.cycles, chip.counters["learn.samples"]
    phases = chip.retrain().phases
    epoch = (chip.counters["learn.samples"] - before) // chip.plan.target.epochs
    sizes = LearningPlan(chip.plan).minibatches(epoch)
    table = trace.spans(phases, first, chip.cycles)
    loads = [i for i, (name, _, _) in enumerate(table) if name == "load"]
    found: list[Minibatch] = []
    for i, following in zip(loads, [*loads[1:], len(table)], strict=True):
        cycles = {name: end - start for name, start, end in table[i:following]}
        if "error" in cycles:
            samples = sizes[len(found) % len(sizes)]
            end = max(end for name, _, end in table[i:following] if name != "seed")
            empty = cycles["output.update"] == update_cycles(seen, 1, 0, 0)
            found.append(Minibatch(table[i][1], end, samples, empty))
    return found


def _saturates(plan: Plan, chip, batch: Minibatch) -> bool:
    """Whether a proxy at an end of its range is pushed past it by at least one whole step.

    Planes and banks of the minibatch still stand when it has ended, the proxies before it are those
    of a session aborted where it begins.
    """
    shift = max(0, plan.rule.update_shift)
    before, after = chip.twin(), chip.twin()
    if batch.start:
        before.abort(batch.start)
        before.retrain()
    after.abort(batch.stop)
    after.retrain()
    theta = before.proxies().output  # (classes, proxies, columns)
    rows, samples, net = chip.state.seen, batch.samples, plan.network
    bits = plan.rule.delta_bits
    planes = after.memories()["batch.delta"].reshape(-1, bits, plan.target.batch)
    worth = np.array([*(1 << k for k in range(bits - 1)), -(1 << bits - 1)])
    delta = np.einsum("ckn,k->cn", planes[:rows, :, :samples].astype(int), worth)
    bank = after.memories()["batch.bank"].reshape(plan.target.batch, -1)
    latent = bank[:samples, : net.latent]
    start = plan.replay.words * plan.target.channels
    inputs = np.concatenate([latent, bank[:samples, start : start + net.hidden]], axis=1)
    gradient = delta @ (2 * inputs.astype(int) - 1)
    half = 1 << plan.rule.proxy_bits - 1
    step = 1 << shift
    low = (theta[:rows] == -half) & (gradient[:, None] >= step)
    high = (theta[:rows] == half - 1) & (gradient[:, None] <= -step)
    return bool((low | high).any())
