"""Closed forms of a retraining session; `docs/learning_datapath.md` is the prose, `spec.timeline` has the latencies.

Empty rows and bit-planes are skipped, so cycles depend on the data: forms take the planes loaded
and the beats that multiply by them, which the chip counts.
"""

from dataclasses import dataclass

from xnoreplay.spec import limits, timeline
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.generative_plan import GenerativePlan
from xnoreplay.spec.network import COPIES
from xnoreplay.spec.plan import LEARNING_PHASES, Plan
from xnoreplay.spec.replay import SEED_DRAWS


@dataclass(frozen=True)
class LearningPlan:
    """Sizes and closed forms of the learning operations of a plan."""

    plan: Plan

    @property
    def hidden_words(self) -> int:
        """Words of G bits that hold a sample's hidden bits."""
        return ceil_div(self.plan.network.hidden, self.plan.target.channels)

    @property
    def latent_segments(self) -> int:
        """Segments that a latent's columns fill."""
        return ceil_div(self.plan.network.latent, self.plan.target.segment)

    @property
    def hidden_segments(self) -> int:
        """Segments that the hidden bits' columns fill."""
        return ceil_div(self.plan.network.hidden, self.plan.target.segment)

    @property
    def sample_base(self) -> int:
        """First word of batch.bank past a sample's words: there the class rows begin."""
        return self.plan.replay.words + self.hidden_words

    def blocks(self, seen: int) -> int:
        """Blocks of B classes that hold so many."""
        return ceil_div(seen, self.plan.target.batch)

    def minibatches(self, samples: int) -> list[int]:
        """Sizes of the minibatches of an epoch of so many samples."""
        batch = self.plan.target.batch
        full, rest = divmod(samples, batch)
        return [batch] * full + [rest] * (rest > 0)

    def passes(self, samples: int) -> int:
        """Passes over the lanes in an epoch of so many samples."""
        return sum(ceil_div(n, self.plan.target.lanes) for n in self.minibatches(samples))

    @property
    def weight_cycles(self) -> int:
        """Cycles of the division that gives a class weight."""
        return timeline.weight_cycles(self.plan.network.classes)

    def balance_cycles(self, seen: int, staged: int) -> int:
        """Cycles of a session's loss balance."""
        components = self.plan.generative.components if self.plan.generative else 0
        staging = self.plan.replay.staging
        return timeline.balance_cycles(seen, staged, staging, self.weight_cycles, components)

    def load_cycles(self, staged: int, samples: int) -> int:
        """Cycles of all loads of an epoch with stored replay."""
        return self.plan.replay.epoch_cycles(staged, samples) - SEED_DRAWS

    def hidden_forward_cycles(self, passes: int, minibatches: int) -> int:
        """Cycles of the hidden layer's forward passes of so many minibatches."""
        rows = passes * self.plan.network.hidden * self.plan.hidden.beats
        return rows + minibatches * timeline.PIPE_LATENCY

    def output_forward_cycles(self, seen: int, passes: int, minibatches: int) -> int:
        """Cycles of the output layer's forward passes of so many minibatches."""
        rows = passes * seen * COPIES * self.plan.output.beats
        return rows + minibatches * timeline.PIPE_LATENCY

    def error_groups(self, samples: int) -> int:
        """Groups of P samples in an epoch of so many samples."""
        units = self.plan.target.error_units
        return sum(ceil_div(n, units) for n in self.minibatches(samples))

    def error_cycles(self, seen: int, groups: int) -> int:
        """Cycles of the error unit for so many groups."""
        return timeline.error_cycles(seen, groups)

    def back_cycles(
        self, seen: int, minibatches: int, samples: int, planes: int, beats: int
    ) -> int:
        """Cycles of back-propagation, with so many planes loaded and beats that multiply by them."""
        return timeline.back_cycles(
            seen * COPIES * self.hidden_words,
            minibatches,
            samples,
            self.blocks(seen),
            self.plan.network.hidden,
            planes,
            beats,
        )

    def update_cycles(self, rows: int, minibatches: int, planes: int, beats: int) -> int:
        """Cycles of a layer's updates; rows: of the layer, the skipped ones included."""
        return timeline.update_cycles(rows, minibatches, planes, beats)


def most_cycles(plan: Plan) -> dict[str, int]:
    """The most cycles that one run of each phase can take, without waits for pixels.

    What a watchdog waits for: a phase that is longer is stuck.
    """
    extra, target, classes = LearningPlan(plan), plan.target, plan.network.classes
    replay, batch, bits = plan.replay, target.batch, plan.rule.delta_bits
    groups = ceil_div(bits, target.lanes)
    blocks = batch * extra.blocks(classes)
    segments = extra.latent_segments + extra.hidden_segments
    full = ceil_div(batch, target.lanes)
    most = {op.name: op.cycles for op in (*plan.feature_ops, plan.hidden)} | {
        "output": plan.output.cycles_for(classes),
        **(_generative(plan, plan.generative) if plan.generative else _stored(extra)),
        "quota": replay.quota_cycles(1),
        "balance": extra.balance_cycles(classes, replay.staging),
        "seed": SEED_DRAWS,
        "hidden.forward": extra.hidden_forward_cycles(full, 1),
        "output.forward": extra.output_forward_cycles(classes, full, 1),
        "error": extra.error_cycles(classes, extra.error_groups(batch)),
        "back": extra.back_cycles(
            classes, 1, batch, blocks * bits, blocks * COPIES * extra.hidden_segments * groups
        ),
        "output.update": extra.update_cycles(
            classes, 1, classes * bits, classes * segments * groups
        ),
        "hidden.update": extra.update_cycles(
            plan.network.hidden,
            1,
            plan.network.hidden * bits,
            plan.network.hidden * extra.latent_segments * groups,
        ),
    }
    return {name: most[name] for name in plan.phases if name != "idle"}


def _stored(extra: LearningPlan) -> dict[str, int]:
    """The most cycles of the phases of stored replay."""
    replay, batch = extra.plan.replay, extra.plan.target.batch
    return {
        "stage": replay.copy_cycles,
        "insert": replay.insert_cycles(replay.capacity - 1),
        "evict": replay.evict_cycles,
        "admit": replay.admit_cycles(replay.staging, replay.staging, replay.capacity),
        "epoch": replay.epoch_cycles(replay.staging, replay.capacity + replay.staging),
        "load": extra.load_cycles(replay.staging, batch),
        "restore": replay.restore_cycles(extra.plan.network.classes, replay.staging),
    }


def _generative(plan: Plan, generative: GenerativePlan) -> dict[str, int]:
    """The most cycles of the phases of generative replay."""
    replay, walk_bits = plan.replay, plan.replay.epoch_walk
    loads = generative.most_load_cycles(walk_bits, plan.target.batch)
    return {
        "take": generative.most_take_cycles,
        "stage": 1 + replay.copy_cycles,
        "empty": plan.network.classes,
        "epoch": SEED_DRAWS + generative.most_load_cycles(walk_bits, most_samples(plan)),
        "load": loads,
        "restore": generative.restore_cycles(replay.staging),
    }


def most_samples(plan: Plan) -> int:
    """The most samples of an epoch, remembered or drawn, and staged."""
    replay, generative = plan.replay, plan.generative
    drawn = generative.classes * generative.drawn_per_class if generative else 0
    return replay.capacity + drawn + replay.staging


def session_cycles(plan: Plan) -> int:
    """The most cycles of one retraining session: both memories full, no delta plane empty."""
    most, extra, replay = most_cycles(plan), LearningPlan(plan), plan.replay
    samples = most_samples(plan)
    minibatches = ceil_div(samples, plan.target.batch)
    repeated = [n for n in LEARNING_PHASES if n in most and n not in ("balance", "seed", "load")]
    if generative := plan.generative:
        loads = generative.most_load_cycles(replay.epoch_walk, samples)
    else:
        loads = extra.load_cycles(replay.staging, samples)
    epoch = SEED_DRAWS + loads
    epoch += minibatches * sum(most[n] for n in repeated)
    once = sum(most.get(n, 0) for n in ("balance", "quota", "evict", "admit", "empty"))
    return plan.target.epochs * epoch + once


def command_cycles(plan: Plan) -> dict[str, int]:
    """The most cycles of each command by name, from its first to its last, without waits for the stream.

    That of RETRAIN is of a whole session, the REBALANCE after it included. A host that waits for so long does not give
    up too early.
    """
    phases = most_cycles(plan)
    most = {c.name: sum(phases[n] for n in c.phases(plan)) for c in Command}
    return most | {Command.RETRAIN.name: session_cycles(plan)}


def check_watchdog(plan: Plan) -> None:
    """SpecError where the target's watchdog would end a command that does what it shall."""
    name, longest = max(command_cycles(plan).items(), key=lambda item: item[1])
    if longest > plan.target.watchdog_cycles:
        raise SpecError(
            f"watchdog_bits must be at least {(longest - 1).bit_length()} for the {longest:,} cycles of {name}, "
            f"not {plan.target.watchdog_bits}"
        )


def check_cycles(plan: Plan) -> None:
    """SpecError where an inference and a session take more cycles than may be simulated, or than a watchdog allows."""
    check_watchdog(plan)
    limits.check_cycles(
        f"an inference and a session of network {plan.network.name} on target {plan.target.name}",
        plan.infer_cycles(plan.network.classes) + session_cycles(plan),
    )
