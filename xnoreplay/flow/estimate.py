"""Memory map and energy: what the plan holds, and counted events times costs.

An estimate counts the accesses of every memory and the events of the datapath. What it leaves out is
listed in `costs/README.md`, "Not counted".
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from xnoreplay.flow import costs
from xnoreplay.spec.errors import XnoreplayError
from xnoreplay.spec.learning import P_BITS, WEIGHT_BITS
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan

KIB = 8 * 1024  # bits
CONTROL_BITS = 512  # allowance: registers of sequencer, addresses and commands, clocked each cycle
EXP_BITS, RECIPROCAL_BITS, LFSR_BITS = 8, 5, 32
OPS_PER_CELL = 2  # an XNOR and its addition, as published chips count


@dataclass(frozen=True)
class Row:
    """One line of an energy estimate; costs and energies in J, low to high."""

    part: str
    event: str
    count: int
    cost: tuple[float, float, float]
    joules: tuple[float, float, float]
    source: str


def _row(part: str, event: str, count: int, cost: costs.Cost, times: float = 1) -> Row:
    each = (cost.low * times, cost.nominal * times, cost.high * times)
    low, nominal, high = (count * c for c in each)
    return Row(part, event, count, each, (low, nominal, high), cost.source)


def units(plan: Plan) -> dict[str, int]:
    """What one event is worth: the names in the `times` column of `costs/events.csv`.

    Bits of registers and additions follow from the ranges in `docs/learning_rule.md`; a sample's
    error unit is charged for every class of the network, seen or not.
    """
    net, target = plan.network, plan.target
    accumulator = plan.accumulator_bits
    beats = max(op.beats for op in plan.convolutions)
    node = (TAPS * target.node_fold).bit_length()
    gradient = target.delta_bits + target.batch.bit_length()
    weight = (net.classes << WEIGHT_BITS).bit_length()
    logit = plan.output.offset.bit_length() + 1
    return {
        "channels": target.channels,
        "window": target.window,
        "control": CONTROL_BITS,
        "accumulator": accumulator,
        # Three rows of a line buffer, each two pixels long.
        "line_registers": 3 * 2 * beats * target.channels,
        # The cells' register, a count of each node, and the accumulator.
        "pipeline": target.window + target.segment * node + accumulator,
        "thermometer": plan.input.pixels * plan.input.channels * 8,
        "lgap": net.lgap_map.bits * 2 * net.lgap_map.pixels.bit_length(),
        "node": TAPS * target.node_fold,
        "node_sum": gradient,
        "error_multiply": net.classes * (EXP_BITS * RECIPROCAL_BITS + (P_BITS + 1) * weight),
        "error_add": net.classes * (2 * logit + P_BITS) + RECIPROCAL_BITS * P_BITS,
        "error_draw": net.classes * LFSR_BITS,
        "update": target.segment * target.proxies_per_pair * (target.proxy_bits + gradient),
        "hidden_update": target.segment * (target.proxy_bits + gradient),
        "draw": LFSR_BITS,
    }


def cell_operations(plan: Plan, counters: dict[str, int]) -> int:
    """One-bit cells that worked: enabled taps of G cells, and learning nodes."""
    worth = units(plan)
    taps, nodes = counters.get("array.taps", 0), counters.get("array.nodes", 0)
    return taps * worth["channels"] + nodes * worth["node"]


def energy(plan: Plan, counters: dict[str, int], cycles: int) -> list[Row]:
    """Energy of counted events on the plan's target.

    Parameters
    ----------
    plan : Plan
    counters : dict of str to int
        Events by name; ``<memory>.reads`` and ``<memory>.writes`` count whole words of one instance.
    cycles : int
        Clock cycles, for leakage.

    Raises
    ------
    CostError
        For a counter without a cost: an absent cost is never zero.
    """
    memories = {m.name: m for m in plan.memories}
    if counters.get("learn.rows") and "cls.low" not in memories:
        raise costs.CostError(
            "an estimate of retraining must have proxies with low bits, whose writes count the "
            f"work of the update units, but {plan.target.proxy_bits}-bit proxies have none"
        )
    seconds = cycles / plan.target.clock_hz
    rows = []
    for memory in memories.values():
        cost = costs.memory(memory.depth, memory.width, plan.target)
        for way, each in (("reads", cost.read), ("writes", cost.write)):
            count = counters.get(f"{memory.name}.{way}", 0)
            if count:
                rows.append(_row(memory.name, way, count, each))
        taps = counters.get(f"{memory.name}.tap_writes", 0)
        if taps:
            rows.append(_row(memory.name, "tap_writes", taps, cost.write, 1 / TAPS))
        rows.append(_row(memory.name, "leakage", memory.count, cost.leakage, seconds))
    return rows + _logic_rows(plan, counters, memories)


def _logic_rows(plan: Plan, counters: dict[str, int], memories: Iterable[str]) -> list[Row]:
    accesses = {f"{name}.{way}" for name in memories for way in ("reads", "writes")}
    worth = units(plan)
    events = costs.table("events.csv")
    rows = []
    for counter, count in counters.items():
        entries = [e for e in events if e["counter"] == counter]
        if not entries and counter not in accesses:
            raise costs.CostError(
                f"events.csv must have a cost for the counter {counter!r}, but has none"
            )
        for e in entries:
            if e["cost"] and count:
                cost = costs.logic(e["cost"], plan.target)
                rows.append(_row(e["part"], counter, count, cost, worth[e["times"]]))
    return rows


def total(rows: Iterable[Row]) -> tuple[float, float, float]:
    """Sum of energies, J, low to high.

    >>> total([])
    (0, 0, 0)
    """
    rows = list(rows)
    low, nominal, high = (sum(r.joules[i] for r in rows) for i in range(3))
    return low, nominal, high


def by_part(rows: Iterable[Row]) -> dict[str, tuple[float, float, float]]:
    """Energy of each part, J, greatest nominal first."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.part, []).append(row)
    sums = {part: total(part_rows) for part, part_rows in parts.items()}
    return dict(sorted(sums.items(), key=lambda item: -item[1][1]))


def memory_map(plan: Plan) -> dict:
    """Every memory in bits and KiB of 1,024 bytes, by role, and latent beside native replay.

    Native replay stores the same samples as images; it also retrains the extractor, whose weight
    bits then need the rest of their proxies.
    """
    instances = [asdict(m) | {"bits": m.bits, "kib": m.bits / KIB} for m in plan.memories]
    roles: dict[str, int] = {}
    for m in plan.memories:
        roles[m.role] = roles.get(m.role, 0) + m.bits
    samples = plan.target.replay_capacity + plan.target.staging_capacity
    total_bits = sum(m.bits for m in plan.memories)
    latents = samples * plan.network.latent
    native = samples * plan.network.native_image_bits
    return {
        "instances": instances,
        "roles": roles,
        "bits": total_bits,
        "learning_bits": sum(m.bits for m in plan.memories if m.learning),
        "replay": {
            "samples": samples,
            "latent_bits": plan.network.latent,
            "image_bits": plan.network.native_image_bits,
            "latent_total": latents,
            "native_total": native,
            "native_extractor_proxies": plan.network.fe_weight_bits * (plan.target.proxy_bits - 1),
        },
    }


def report(plan: Plan, phases: dict[str, dict]) -> dict:
    """The estimate of several counted runs.

    Parameters
    ----------
    plan : Plan
    phases : dict
        Name of a run ("inference", "session") -> ``{"counters": {...}, "cycles": int}``.
    """
    if not phases:
        raise XnoreplayError("an estimate must be given the counters of at least one run, not none")
    estimates = {}
    for name, run in phases.items():
        rows = energy(plan, run["counters"], run["cycles"])
        sums = total(rows)
        ops = OPS_PER_CELL * cell_operations(plan, run["counters"])
        estimates[name] = {
            "rows": [asdict(r) for r in rows],
            "parts": by_part(rows),
            "total": sums,
            "cycles": run["cycles"],
            "seconds": run["cycles"] / plan.target.clock_hz,
            "watts": [j / (run["cycles"] / plan.target.clock_hz) for j in sums],
            "operations": ops,
            "joules_per_operation": [j / ops for j in sums] if ops else None,
        }
    target = plan.target
    return {
        "memory": memory_map(plan),
        "energy": estimates,
        "technology": {
            "node": target.technology,
            "device_type": target.device_type,
            "supply_v": costs.supply(costs.node_of(target), target.device_type),
            "clock_hz": target.clock_hz,
        },
        "published": costs.published(target),
    }
