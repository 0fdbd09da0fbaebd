"""The same commands on every implementation, compared after each."""

from dataclasses import dataclass

import numpy as np

from xnoreplay.sim.run import Result, Simulator
from xnoreplay.spec import image, reference


def destination_bank(op) -> str:
    """Where a convolution writes its map, and reads the map that a skip adds."""
    return ("act.pong", "act.ping")[op.index % 2]


def assert_same(fast: Simulator, step: Simulator) -> None:
    """Memories, counters and registers are equal."""
    assert step.state == fast.state
    assert step.counters == fast.counters
    want, have = fast.memories(), step.memories()
    assert want.keys() == have.keys()
    for name in want:
        np.testing.assert_array_equal(have[name], want[name], err_msg=name)


@dataclass
class Chips:
    """Fast mode, stepping mode and the reference, side by side."""

    fast: Simulator
    step: Simulator
    reference: reference.Chip
    trace: bool

    @classmethod
    def of(cls, plan, bundle, trace: bool = False) -> "Chips":
        return cls(
            Simulator(plan, bundle),
            Simulator(plan, bundle, "step", trace),
            reference.Chip(bundle, plan.target),
            trace,
        )

    def do(self, command: str, *arguments, **options) -> Result:
        """Give one command to all three and compare them; returns stepping mode's result."""
        before, events = self.fast.cycles, len(self.reference.events)
        want = getattr(self.fast, command)(*arguments, **options)
        have = getattr(self.step, command)(*arguments, **options)
        assert len(have.trace) == (self.fast.cycles - before if self.trace else 0)
        assert (have.phases, have.prediction, have.refused, have.events) == (
            want.phases,
            want.prediction,
            want.refused,
            want.events,
        )
        assert_same(self.fast, self.step)
        if command == "retrain":
            self.reference.retrain()
            self.compare_proxies()
        elif command == "epoch":
            order = [label for _, label in self.reference.epoch_order()]
            assert [label for _, _, _, label in have.events] == order
        elif command != "infer" or self.reference.seen:  # no class, no best class
            told = getattr(self.reference, command)(*arguments)
            if command == "infer":
                assert told.prediction == have.prediction
        if command in ("insert", "arrive", "rebalance"):
            assert [e[1:] for e in have.events] == self.reference.events[events:]
        self.compare_reference()
        return have

    def compare_proxies(self) -> None:
        """What was learned."""
        classifier, learned = self.reference.classifier, self.step.proxies()
        np.testing.assert_array_equal(learned.output, classifier.output)
        np.testing.assert_array_equal(learned.hidden, classifier.hidden)
        top = image.cls_top(self.fast.plan, classifier)
        np.testing.assert_array_equal(self.step.memories()["cls.top"], top)

    def compare_reference(self) -> None:
        """What the reference holds is what the chip holds."""
        r, s = self.reference, self.fast.state
        assert (r.seen, r.quota, len(r.staged)) == (s.seen, s.quota, s.staged)
        registers = (s.lfsr_walk, s.lfsr_error, s.lfsr_update)
        assert (r.random.walk, r.random.error, r.random.update) == registers
        assert self.fast.counters["replay.refusals"] == r.refused
        plan, memories = self.fast.plan, self.fast.memories()
        labels = [
            -1 if row[-1] == 0 else int(row[:-1] @ (1 << np.arange(len(row) - 1)))
            for row in memories["replay.label"]
        ]
        assert labels == r.labels.tolist()
        assert self.fast.memory_ints("replay.count") == [
            labels.count(c) for c in range(plan.network.classes)
        ]
        latents = memories["replay.latent"].reshape(plan.replay.capacity, -1)
        for slot, label in enumerate(labels):
            if label >= 0:
                assert (latents[slot, : plan.network.latent] == r.latents[slot]).all()
        if plan.replay.staging:
            latents = memories["staging.latent"].reshape(plan.replay.staging, -1)
            for slot, (z, label) in enumerate(r.staged):
                assert (latents[slot, : plan.network.latent] == z).all()
                assert self.fast.memory_ints("staging.label")[slot] == label
