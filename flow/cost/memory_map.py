"""Memory map: every instance in bits and KiB, by role, latent beside native replay."""

from collections import Counter
from dataclasses import asdict

from xnoreplay.flow.cost import replay_variants
from xnoreplay.flow.output.quantities import KIB
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.plan import Plan


def roles(memories: tuple[Memory, ...]) -> dict[str, int]:
    """Sum the bits of memories by role."""
    total: Counter = Counter()
    for m in memories:
        total[m.role] += m.bits
    return dict(total)


def memory_map(plan: Plan) -> dict:
    """List every memory in bits and KiB of 1,024 bytes, by role, and latent beside native replay.

    Returns
    -------
    dict
        instances, roles, bits, learning_bits of the chip; replay: what a sample takes as latent and
        as image; variants: of `replay_variants.variants`, each with title, bits, roles and instances.
    """
    samples = plan.target.replay_slots + plan.target.staging_capacity
    net = plan.network
    variants = {}
    for name, title in replay_variants.variants(plan).items():
        own = replay_variants.memories(plan, name)
        variants[name] = {
            "title": title,
            "bits": sum(m.bits for m in own),
            "roles": roles(own),
            "instances": [_instance(m) for m in own],
        }
    return {
        "instances": variants[replay_variants.LATENT]["instances"],
        "roles": variants[replay_variants.LATENT]["roles"],
        "bits": variants[replay_variants.LATENT]["bits"],
        "learning_bits": sum(m.bits for m in plan.memories if m.learning),
        "replay": {
            "samples": samples,
            "latent_bits": net.latent,
            "image_bits": net.native_image_bits,
            "latent_total": samples * net.latent,
            "native_total": samples * net.native_image_bits,
            "native_extractor_proxies": net.fe_weight_bits * (plan.target.proxy_bits - 1),
        },
        "variants": variants,
    }


def _instance(m: Memory) -> dict:
    return asdict(m) | {"stored": m.stored, "bits": m.bits, "kib": m.bits / KIB}
