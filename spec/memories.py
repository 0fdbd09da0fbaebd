"""Every memory of the chip: named, sized and counted."""

from dataclasses import dataclass

from xnoreplay.spec.generative import SHARE_BITS
from xnoreplay.spec.learning import BALANCE_BITS
from xnoreplay.spec.network import COPIES, NetworkSpec
from xnoreplay.spec.target import TargetSpec


@dataclass(frozen=True)
class Memory:
    """One kind of memory instance.

    Parameters
    ----------
    name : str
    role : str
        What a memory map groups by: weights, feature maps, proxies, replay, staging, minibatch,
        buffers or tables.
    depth, width : int
        Words of one instance, and bits of a word.
    count : int
        Instances.
    granule : int
        Bits one write enable covers; it divides the width.
    learning : bool
        Only on-chip retraining touches it.
    """

    name: str
    role: str
    depth: int
    width: int
    count: int = 1
    granule: int = 0
    learning: bool = False

    @property
    def bits(self) -> int:
        return self.depth * self.width * self.count


def memory_map(plan) -> tuple[Memory, ...]:
    """All memories of a plan, in the order in which a sample meets them."""
    net, target, replay = plan.network, plan.target, plan.replay
    word, window, lanes = target.channels, target.window, target.lanes
    maps = [0, 0]
    maps[0] = plan.input.pixels * plan.input.words
    for op in plan.convolutions:
        pixels = op.pixels // 4 if op.pool else op.pixels
        side = 1 - op.index % 2
        maps[side] = max(maps[side], pixels * op.destination_words)
    row = max(op.row for op in plan.convolutions)
    pooled = [op.width // 2 for op in plan.convolutions if op.pool]
    fe_words = plan.latent.weight_base + plan.latent.rows * plan.latent.beats
    cls_words = plan.output.weight_base + net.classes * COPIES * plan.output.beats
    memories = [
        Memory("weights.fe", "weights", fe_words, window),
        Memory("weights.lgap", "weights", plan.lgap.words * plan.lgap.pixels, word),
        Memory("cls.top", "weights", cls_words, window, granule=target.segment),
        Memory("act.ping", "feature maps", maps[0], word, granule=lanes),
        Memory("act.pong", "feature maps", maps[1], word, granule=lanes),
        Memory("act.latent", "feature maps", replay.words, word),
        Memory("line.row0", "buffers", row, word),
        Memory("line.row1", "buffers", row, word),
        Memory("lane.file", "buffers", plan.slots, window, lanes, granule=word),
    ]
    if pooled:
        memories.append(Memory("pool.row", "buffers", max(pooled), lanes))
    memories += remembered(net, target)
    memories.append(Memory("thermometer.threshold", "tables", plan.input.channels, 8))
    return tuple(memories + _learning(plan))


def remembered(net: NetworkSpec, target: TargetSpec) -> list[Memory]:
    """What is kept of samples: the replay memory, of either way of replay, and staging.

    With generative replay a word of G channels has one bit of each channel's mean, or of its counter.
    """
    word, words = target.channels, -(-net.latent // target.channels)
    label = max(1, (net.classes - 1).bit_length())
    if target.replay == "generative":
        count = target.replay_components
        memories = [
            Memory("replay.mean", "replay", net.classes * count * words * target.mean_bits, word),
            Memory("replay.share", "replay", net.classes * count, SHARE_BITS),
            Memory("fit.count", "replay", count * words * SHARE_BITS, word),
        ]
    else:
        capacity = target.replay_capacity
        memories = [
            Memory("replay.latent", "replay", capacity * words, word),
            Memory("replay.label", "replay", capacity, label + 1),
            Memory("replay.count", "tables", net.classes, capacity.bit_length()),
        ]
    staging = target.staging_capacity
    if staging:
        memories += [
            Memory("staging.latent", "staging", staging * words, word),
            Memory("staging.label", "staging", staging, label),
        ]
        if target.replay == "generative":
            most = min(staging, target.staged_per_class)
            memories.append(Memory("staging.count", "tables", net.classes, most.bit_length()))
    return memories


def _learning(plan) -> list[Memory]:
    """Memories that only retraining touches: low proxy bits, the minibatch, tables."""
    net, target, rule = plan.network, plan.target, plan.rule
    word, batch, segment = target.channels, target.batch, target.segment
    spans = -(-net.latent // segment) + -(-net.hidden // segment)
    low = rule.low_bits * rule.proxies_per_pair
    memories = []
    if low:
        memories.append(
            Memory("cls.low", "proxies", net.classes * spans, segment * low, learning=True)
        )
    hidden_words = -(-net.hidden // word)
    columns = plan.replay.words + hidden_words
    if target.hidden_learns:
        columns += -(-net.classes // batch) * COPIES * hidden_words
        memories.append(
            Memory(
                "cls.hidden_low",
                "proxies",
                net.hidden * -(-net.latent // segment),
                segment * (rule.proxy_bits - 1),
                learning=True,
            )
        )
        memories.append(
            Memory(
                "batch.mask",
                "minibatch",
                net.hidden,
                batch,
                granule=min(target.lanes, batch),
                learning=True,
            )
        )
        memories.append(
            Memory(
                "batch.hidden_delta",
                "minibatch",
                net.hidden * rule.delta_bits,
                batch,
                granule=1,
                learning=True,
            )
        )
        memories.append(
            Memory(
                "batch.class_delta",
                "minibatch",
                batch * -(-net.classes // batch) * rule.delta_bits,
                batch,
                granule=1,
                learning=True,
            )
        )
    logit = plan.output.offset.bit_length() + 1
    weight = (net.classes << 4).bit_length()
    return [
        *memories,
        Memory("batch.bank", "minibatch", columns, word, batch, learning=True),
        Memory(
            "batch.label", "minibatch", batch, max(1, (net.classes - 1).bit_length()), learning=True
        ),
        Memory(
            "batch.logit",
            "minibatch",
            -(-batch // target.lanes) * net.classes,
            target.lanes * logit,
            learning=True,
        ),
        Memory(
            "batch.delta",
            "minibatch",
            net.classes * rule.delta_bits,
            batch,
            granule=1,
            learning=True,
        ),
        Memory(
            "table.inverse",
            "tables",
            net.classes,
            (net.classes << BALANCE_BITS).bit_length(),
            learning=True,
        ),
        Memory("table.weight", "tables", net.classes, weight, learning=True),
    ]
