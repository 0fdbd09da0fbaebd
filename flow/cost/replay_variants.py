"""Prices of native replay beside latent replay: the same samples kept as images.

Two chips are priced. Of `images` the extractor stays frozen: every visit of a sample streams its
image through it again. Of `retrained` the extractor learns too, as native replay does in the
literature; this chip is not generated, so its back-propagation is a closed form on the same array:
every delta bit-plane of a layer is multiplied once by its weights and once by its inputs, no empty
plane is skipped, and every cell works in every cycle.
"""

from collections import Counter

from xnoreplay.flow.cost.workload import Workload, feature_phases
from xnoreplay.spec import counterparts
from xnoreplay.spec import plan as plans
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan

LATENT, IMAGES, RETRAINED = "latent", "images", "retrained"
VARIANTS = {
    LATENT: "latent replay",
    IMAGES: "native replay, extractor frozen",
    RETRAINED: "native replay, extractor retrained",
}
DRAWN = "generative replay"
"""Title of the first one where latents are drawn."""
STORES = ("replay", "staging")
BACKWARD = "extractor.backward"  # a phase that only the third variant has


def variants(plan: Plan) -> dict[str, str]:
    """Titles of the variants that a chip can be compared with.

    One that is given latents has no images to keep, one that draws latents is compared with stored ones.
    """
    if plan.generative:
        kept = counterparts.stored(plan)
        return {LATENT: DRAWN} | {name: counterparts.title(target) for name, target in kept.items()}
    return VARIANTS if plan.network.takes_images else {LATENT: VARIANTS[LATENT]}


def image_words(plan: Plan) -> int:
    """Count the words of G bits that hold one image in natural binary."""
    return -(-plan.network.native_image_bits // plan.target.channels)


def memories(plan: Plan, variant: str) -> tuple[Memory, ...]:
    """List the memories of a chip of one variant."""
    if variant == LATENT:
        return plan.memories
    if beside := counterparts.stored(plan).get(variant):
        return plans.compile(plan.network, beside).memories
    word, words = plan.target.channels, image_words(plan)
    kept = []
    for m in plan.memories:
        store, _, content = m.name.partition(".")
        if store in STORES and content == "latent":
            samples = m.depth // plan.replay.words
            kept.append(Memory(f"{store}.image", m.role, samples * words, word))
        else:
            kept.append(m)
    return tuple(kept) if variant == IMAGES else (*kept, *_training(plan))


def _training(plan: Plan) -> list[Memory]:
    """List the memories that retraining the extractor adds: low proxy bits, a minibatch's maps, and deltas."""
    net, target = plan.network, plan.target
    segment, low = target.segment, target.proxy_bits - 1
    rows = -(-net.fe_weight_bits // segment)
    largest = max(_outputs(plan))
    words = -(-map_bits(plan) // target.channels)
    delta = -(-largest * target.delta_bits // target.channels)
    return [
        Memory("fe.low", "proxies", rows, segment * low, learning=True),
        Memory("train.maps", "minibatch", target.batch * words, target.channels, learning=True),
        Memory("train.delta", "minibatch", delta, target.channels, 2, learning=True),
    ]


def _outputs(plan: Plan) -> list[int]:
    """Count the bits that leave each layer before pooling, the latent last."""
    convs = [
        c.filters * m.pixels for c, m in zip(plan.network.convs, plan.network.maps, strict=False)
    ]
    return [*convs, plan.network.lgap_bits, plan.network.latent]


def map_bits(plan: Plan) -> int:
    """Count the bits that one sample's backward pass needs: inputs, surrogate masks, and places of maxima.

    A layer keeps its input bits, one mask bit for each output before pooling, and for each pooled
    output two bits that say which of four inputs it took.
    """
    net = plan.network
    inputs = sum(m.bits for m in net.maps) + net.lgap_bits
    pooled = sum(2 * net.maps[i + 1].bits for i, c in enumerate(net.convs) if c.pool)
    return inputs + sum(_outputs(plan)) + pooled


def multiplications(plan: Plan) -> tuple[int, int]:
    """Count the one-bit products of the extractor's forward pass, and those of its first layer."""
    net = plan.network
    convs = [net.maps[i].pixels * c.filters * net.conv_fan_in(i) for i, c in enumerate(net.convs)]
    return sum(convs) + net.lgap_map.bits + net.latent * net.lgap_bits, convs[0]


def workload(plan: Plan, run: Workload, variant: str) -> Workload:
    """Derive the events of a session of a variant from the counted session of latent replay.

    Parameters
    ----------
    plan : Plan
        Of the chip of latent replay.
    run : Workload
        The result of `workload.session` for the plan.
    variant : str
        One of `VARIANTS`.
    """
    if variant == LATENT:
        return run
    names = feature_phases(plan)
    images = run.phases["input"]["images"]
    visits = int(run.counters["learn.samples"])
    latent_words, words = plan.replay.words, image_words(plan)
    phases: dict[str, Counter] = {}
    for name, events in run.phases.items():
        # New images are only stored; the extractor works at every visit instead.
        scale = visits / images if name in names else 1
        phases[name] = Counter({_stored(k): round(n * scale) for k, n in events.items()})
    for name, scaled in phases.items():
        for store in STORES:
            for way in ("reads", "writes"):
                counter = f"{store}.image.{way}"
                if scaled[counter]:
                    scaled[counter] = scaled[counter] * words // latent_words
        if name not in names and scaled["cycles"]:
            moved = sum(scaled[f"{s}.image.{w}"] for s in STORES for w in ("reads", "writes"))
            scaled["cycles"] += moved * (words - latent_words) // words
    if variant == RETRAINED:
        minibatches = int(run.counters["learn.minibatches"])
        phases[BACKWARD] = _backward(plan, visits, minibatches)
    return Workload({name: dict(events) for name, events in phases.items()})


def inference(run: Workload, variant: str) -> Workload:
    """Return the events of one inference on a variant's chip, with accesses of memories by that chip's names."""
    if variant == LATENT:
        return run
    return Workload({p: {_stored(k): n for k, n in e.items()} for p, e in run.phases.items()})


def _stored(counter: str) -> str:
    return counter.replace(".latent.", ".image.") if counter.startswith(STORES) else counter


def _backward(plan: Plan, visits: int, minibatches: int) -> Counter:
    target = plan.target
    products, first = multiplications(plan)
    cells = target.delta_bits * (2 * products - first) * visits
    cycles = -(-cells // target.cells)
    own = {m.name: m for m in _training(plan)}
    maps = own["train.maps"].depth // target.batch
    deltas = sum(-(-bits * target.delta_bits // target.channels) for bits in _outputs(plan))
    proxies = own["fe.low"].depth * minibatches
    fe = plan.memory("weights.fe").depth
    return Counter(
        {
            "cycles": cycles,
            "array.beats": cycles,
            "array.nodes": cells // (TAPS * target.node_fold),
            "lane.file.reads": cycles * target.lanes,
            "weights.fe.reads": fe * visits,
            "weights.fe.writes": fe * minibatches,
            "fe.low.reads": proxies,
            "fe.low.writes": proxies,
            "train.maps.reads": 2 * maps * visits,
            "train.maps.writes": maps * visits,
            "train.delta.reads": 2 * deltas * visits,
            "train.delta.writes": deltas * visits,
        }
    )
