"""The same commands on both modes of the simulator and on the reference of generative replay, compared after each."""

from dataclasses import replace

import numpy as np

from tests.sim.chips import assert_same
from xnoreplay.sim.run import Result, Simulator
from xnoreplay.spec import image, presets
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.generative import NONE, SHARE_BITS
from xnoreplay.spec.generative_chip import GenerativeChip
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.plan import Plan, compile
from xnoreplay.spec.target import TargetSpec

TINY = presets.load("tiny")


def latent_plan() -> Plan:
    """A chip that is given latents, of 21 bits in words of 8, and draws others."""
    net = NetworkSpec("latents", latent=21, hidden=5, classes=4)
    target = TargetSpec("latents", 2, 8, batch=4, replay="generative", epochs=1)
    dials = {"drawn_per_class": 5, "replay_components": 2, "staging_capacity": 3}
    return compile(net, replace(target, **dials))


def tiny_plan(**dials) -> Plan:
    """`tiny` with generative replay and these dials."""
    target = replace(TINY.target, replay="generative", **dials)
    return compile(TINY.network, target)


class GenerativeChips:
    """Fast mode, stepping mode and the reference, side by side.

    components : what `spec.generative.Components.take` returned of the last sample
    """

    def __init__(self, plan: Plan, bundle, trace: bool = False) -> None:
        self.plan, self.bundle = plan, bundle
        self.fast = Simulator(plan, bundle)
        self.step = Simulator(plan, bundle, "step", trace)
        self.reference = GenerativeChip(bundle, plan.target)

    def do(self, command: str, *arguments) -> Result:
        """Give one command to all three and compare them; returns stepping mode's result."""
        want = getattr(self.fast, command)(*arguments)
        have = getattr(self.step, command)(*arguments)
        assert (have.phases, have.prediction, have.refused, have.events) == (
            want.phases,
            want.prediction,
            want.refused,
            want.events,
        )
        assert_same(self.fast, self.step)
        if command == "epoch":
            order = [label for _, label in self.reference.epoch_order()]
            assert [label for _, _, _, label in have.events] == order
        elif command != "infer" or self.reference.seen:
            told = getattr(self.reference, command)(*arguments)
            if command == "infer":
                assert told.prediction == have.prediction
        self.compare_reference()
        return have

    def compare_reference(self) -> None:
        """What the reference holds is what the chip holds."""
        r, s, chip = self.reference, self.fast.state, self.fast
        assert (r.seen, 0, len(r.staged)) == (s.seen, s.quota, s.staged)
        registers = (s.lfsr_walk, s.lfsr_error, s.lfsr_update)
        assert (r.random.walk, r.random.error, r.random.update) == registers
        assert chip.counters["replay.refusals"] == r.refused
        assert chip.memory_ints("draw.state") == r.wide
        learned = chip.proxies()
        np.testing.assert_array_equal(learned.output, r.classifier.output)
        np.testing.assert_array_equal(learned.hidden, r.classifier.hidden)
        top = image.cls_top(self.plan, r.classifier)
        np.testing.assert_array_equal(chip.memories()["cls.top"], top)
        held, labels = r.components, self.plan.memory("fit.open").width - 1
        entry = 0 if held.open == NONE else held.open | 1 << labels
        assert chip.memory_ints("fit.open") == [entry]
        assert chip.memory_ints("replay.share") == held.share.ravel().tolist()
        self._compare_planes("replay.mean", held.mean, held.share.ravel() > 0)
        if held.open != NONE:
            open_ones = held.share[held.open] > 0
            self._compare_planes("fit.count", held.count, open_ones)
        if self.plan.replay.staging:
            kept = chip.memories()["staging.latent"].reshape(self.plan.replay.staging, -1)
            for slot, (z, label) in enumerate(r.staged):
                assert (kept[slot, : len(z)] == z).all()
                assert chip.memory_ints("staging.label")[slot] == label
            counts = [r._staged_of(c) for c in range(self.plan.network.classes)]
            assert chip.memory_ints("staging.count") == counts

    def _compare_planes(self, name: str, values: np.ndarray, filled: np.ndarray) -> None:
        """Planes of a memory, of the components that have samples."""
        bits = SHARE_BITS if name == "fit.count" else self.plan.target.mean_bits
        words, word, latent = self.plan.replay.words, self.plan.target.channels, values.shape[-1]
        rows = self.fast.memories()[name].reshape(-1, words, bits, word)
        weight = 1 << np.arange(bits)
        have = (rows.transpose(0, 1, 3, 2) @ weight).reshape(len(rows), -1)[:, :latent]
        np.testing.assert_array_equal(have[filled], values.reshape(-1, latent)[filled], name)


def integers(bits: np.ndarray) -> list[int]:
    """Rows of bits as integers."""
    return [to_int(row) for row in bits]
