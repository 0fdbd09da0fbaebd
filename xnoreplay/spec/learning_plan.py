"""Closed forms of a retraining session; `docs/learning_datapath.md` is the prose.

Empty rows and bit-planes are skipped, so cycles depend on the data: forms take the planes loaded
and the beats that multiply by them, which the chip counts.
"""

from dataclasses import dataclass

from xnoreplay.spec.network import COPIES
from xnoreplay.spec.plan import PIPE_LATENCY, Plan
from xnoreplay.spec.replay import SEED_DRAWS

LEARNING_PHASES = (
    "balance", "seed", "load", "hidden.forward", "output.forward", "error", "back",
    "output.update", "hidden.update",
)  # fmt: skip
"""Phases of a session, in order; from `load` on they repeat for each minibatch."""

INVERSE_CYCLES = 22  # reading a frequency, and 21 quotient bits of 2^20 / f
WEIGHT_CYCLES = 33  # reading an inverse, and 32 quotient bits
RECIPROCAL_CYCLES = 6  # the exponent, and 5 quotient bits
ERROR_DRAIN = 6  # from the last logit read to its exponential's sum, and to its delta
UPDATE_LATENCY = PIPE_LATENCY + 2  # from a beat's address to the write of its proxies


@dataclass(frozen=True)
class LearningPlan:
    """Sizes and closed forms of the learning operations of a plan."""

    plan: Plan

    @property
    def hidden_words(self) -> int:
        return -(-self.plan.network.hidden // self.plan.target.channels)

    @property
    def latent_segments(self) -> int:
        return -(-self.plan.network.latent // self.plan.target.segment)

    @property
    def hidden_segments(self) -> int:
        return -(-self.plan.network.hidden // self.plan.target.segment)

    @property
    def sample_base(self) -> int:
        """First word of batch.bank past a sample's words: there the class rows begin."""
        return self.plan.replay.words + self.hidden_words

    def blocks(self, seen: int) -> int:
        """Blocks of B classes."""
        return -(-seen // self.plan.target.batch)

    def minibatches(self, samples: int) -> list[int]:
        """Sizes of the minibatches of an epoch of so many samples."""
        batch = self.plan.target.batch
        full, rest = divmod(samples, batch)
        return [batch] * full + [rest] * (rest > 0)

    def passes(self, samples: int) -> int:
        """Passes over the lanes in one epoch."""
        return sum(-(-n // self.plan.target.lanes) for n in self.minibatches(samples))

    def balance_cycles(self, seen: int, staged: int) -> int:
        scan = staged + 1 if self.plan.replay.staging else 0
        return seen * (1 + INVERSE_CYCLES + WEIGHT_CYCLES) + scan

    def load_cycles(self, staged: int, samples: int) -> int:
        """All loads of one epoch."""
        return self.plan.replay.epoch_cycles(staged, samples) - SEED_DRAWS

    def hidden_forward_cycles(self, passes: int, minibatches: int) -> int:
        rows = passes * self.plan.network.hidden * self.plan.hidden.beats
        return rows + minibatches * PIPE_LATENCY

    def output_forward_cycles(self, seen: int, passes: int, minibatches: int) -> int:
        return passes * seen * COPIES * self.plan.output.beats + minibatches * PIPE_LATENCY

    def error_cycles(self, seen: int, samples: int) -> int:
        return samples * (2 * seen + ERROR_DRAIN + RECIPROCAL_CYCLES)

    def back_cycles(self, seen: int, minibatches: int, samples: int, planes: int, beats: int) -> int:
        fill = seen * COPIES * self.hidden_words + 1
        sample = self.blocks(seen) + self.plan.network.hidden + 2
        return minibatches * (fill + PIPE_LATENCY) + samples * sample + planes + beats

    def update_cycles(self, rows: int, minibatches: int, planes: int, beats: int) -> int:
        """rows: of the layer that is updated, the skipped ones included."""
        return minibatches * (rows + UPDATE_LATENCY) + planes + beats
