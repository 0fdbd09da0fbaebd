"""Gates, flip-flops and area of the chip's logic by closed form, with their leakage and clock energy.

A gate is a two-input NAND. The forms count the units of `hw/` that grow with the dials; the
sequencer and its addresses are an allowance. Event counters and the host port are left out, as are
the cells of memories, which `tables.memory` prices.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from xnoreplay.flow.cost import tables
from xnoreplay.spec.generative import SHARE_BITS
from xnoreplay.spec.generative_plan import GenerativePlan
from xnoreplay.spec.learning import EXP_ENTRIES, EXP_TABLE, P_BITS, WEIGHT_BITS
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.network import TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import coded, errors_mask
from xnoreplay.spec.target import TargetSpec
from xnoreplay.spec.timeline import RECIPROCAL_BITS

CONTROL_BITS = 512  # allowance: registers of sequencer, addresses and commands, clocked each cycle
CONTROL_ADDERS = 256  # allowance: bits of their counters and comparisons
NAND_WIDTH = 6  # transistor width of a NAND, in feature sizes, that leaks on average
EXP_BITS, LFSR_BITS = 8, 32
LFSRS = 3
DRAW_XORS = 8 * 3  # of one draw: eight new bits, each of four old ones


@dataclass(frozen=True)
class Sizes:
    """Widths of the datapath's registers, in bits; from the ranges in `docs/learning_rule.md`."""

    accumulator: int
    node: int
    gradient: int
    weight: int
    logit: int
    label: int
    total: int

    @classmethod
    def of(cls, plan: Plan) -> "Sizes":
        """Return the sizes of a plan's chip."""
        target = plan.target
        return cls(
            plan.accumulator_bits,
            (TAPS * target.node_fold).bit_length(),
            target.delta_bits + target.batch.bit_length(),
            (plan.network.classes << WEIGHT_BITS).bit_length(),
            plan.output.offset.bit_length() + 1,
            max(1, (plan.network.classes - 1).bit_length()),
            (plan.network.classes * max(EXP_TABLE)).bit_length(),
        )


def tree_registers(plan: Plan) -> int:
    """Count the flip-flops in one lane's popcount tree: counts of channels, of nodes, and of pairs of nodes."""
    target, node = plan.target, Sizes.of(plan).node
    pairs = -(-target.segment // 2)
    return target.channels * TAPS.bit_length() + target.segment * node + pairs * (node + 1)


def path_registers(plan: Plan) -> int:
    """Count the flip-flops in one sample's error path: its operands, softmax, division, error and draws."""
    size = Sizes.of(plan)
    operands = size.label + 1 + size.logit + size.weight
    entry = (EXP_ENTRIES - 1).bit_length()
    softmax = entry + size.total + EXP_BITS + RECIPROCAL_BITS + P_BITS + 1
    exponent, remainder = (size.total - 1).bit_length(), size.total + RECIPROCAL_BITS + 1
    division = exponent + remainder + size.total + RECIPROCAL_BITS + RECIPROCAL_BITS
    return operands + softmax + division + P_BITS + 2 + size.weight - WEIGHT_BITS + LFSR_BITS


def elements(plan: Plan) -> dict[str, Counter]:
    """Count the elements of `gates.csv` by part of the chip."""
    target, net, size = plan.target, plan.network, Sizes.of(plan)
    lanes, cells, segment = target.lanes, target.cells, target.segment
    beats = max([op.beats for op in plan.convolutions], default=0)
    lgap_bits = net.lgap_map.pixels.bit_length()
    update = segment * target.proxies_per_pair
    nodes = lanes * segment
    hidden = net.hidden if target.hidden_learns else 0
    paths = target.error_units
    parts = {
        # Each cell is an XNOR, an AND, the choice between them, and its adder in the tree.
        "array": {
            "xnor": cells,
            "and": cells,
            "mux": cells,
            "adder_bit": cells,
            "flip_flop": target.window + lanes * tree_registers(plan),
        },
        "accumulators": {
            "adder_bit": lanes * size.accumulator,
            "flip_flop": lanes * size.accumulator,
        },
        "window": {"flip_flop": 3 * 2 * beats * target.channels},
        "input": {"adder_bit": plan.input.channels * 8},
        "lgap": {
            "adder_bit": 2 * target.channels * lgap_bits,
            "xnor": target.channels,
            "flip_flop": 2 * target.channels * lgap_bits,
        },
        "node sums": {"adder_bit": nodes * size.gradient, "flip_flop": segment * size.gradient},
        # Path i forms i + 1 draws in a cycle; the largest logits are there once.
        "error unit": {
            "multiplier_bit": paths * (EXP_BITS * RECIPROCAL_BITS + (P_BITS + 1) * size.weight),
            "adder_bit": paths * (2 * size.logit + P_BITS + RECIPROCAL_BITS * P_BITS),
            "xnor": paths * (paths + 1) // 2 * DRAW_XORS,
            "flip_flop": target.batch * size.logit + paths * path_registers(plan),
        },
        "update units": {
            "adder_bit": update * (target.proxy_bits + size.gradient),
            "flip_flop": update * target.proxy_bits + segment * size.gradient,
        },
        "back": {
            "adder_bit": min(hidden, nodes) * size.gradient,
            "flip_flop": hidden * size.gradient,
        },
        "random": {"xnor": LFSRS * DRAW_XORS, "flip_flop": LFSRS * LFSR_BITS},
        "control": {"adder_bit": CONTROL_ADDERS, "flip_flop": CONTROL_BITS},
    }
    if plan.generative:
        parts |= _generative(plan, plan.generative)
    if coded(plan.memories):
        parts["codes"] = _codes(plan)
    if bits := target.watchdog_bits:  # its count, what it is compared with, and a register of that
        parts["watchdog"] = {"adder_bit": bits, "and": bits, "flip_flop": bits + 1}
    if not net.takes_images:
        # The bits of a word of which not all parts are there yet.
        gathered = target.channels if plan.input.part < target.channels else 0
        own = {"input": {"flip_flop": gathered}} if gathered else {}
        parts = {n: p for n, p in parts.items() if n not in ("window", "input", "lgap")} | own
    return {name: Counter(part) for name, part in parts.items()}


def _codes(plan: Plan) -> dict[str, int]:
    """Count the elements that make check bits, find wrong bits and correct them; an XOR counts as an XNOR."""
    codes = [m.coded for m in plan.memories if m.coded]
    corrected = [code.width if code.corrects else 0 for code in codes]
    return {
        "xnor": sum(2 * code.xors + code.checks for code in codes) + sum(corrected),
        "and": sum(code.corrects for code in codes) - sum(corrected),
        "flip_flop": len(codes) + errors_mask(plan.memories).bit_count(),
    }


def product_bits(form: GenerativePlan) -> int:
    """Count the bits of the multiplier that chooses a draw's component: of a number and a sum of shares."""
    return form.slot_bits * (SHARE_BITS + form.components.bit_length())


def _generative(plan: Plan, form: GenerativePlan) -> dict[str, dict[str, int]]:
    """Count the elements of drawing and fitting; a channel has a bit of each word."""
    channels, bits = plan.target.channels, form.mean_bits
    levels = 1 << bits
    product = form.slot_bits + SHARE_BITS + form.components.bit_length()
    return {
        # A word joins each plane by an AND, an OR and a choice; the number times the shares waits in a register. The
        # wide registers are the memory draw.state.
        "draw": {
            "xnor": channels,
            "and": 2 * channels,
            "mux": channels,
            "multiplier_bit": product_bits(form),
            "adder_bit": 2 * product,
            "flip_flop": channels + 2 * product,
        },
        # A channel has a carry; for each level above 0 a comparison, whose registers hold the planes of means while a
        # class is opened, and a choice of its count; the parities that are its mean; its place in the distance; and the
        # choice of what is written.
        "fit": {
            "xnor": channels * (2 + sum((levels >> bit) - 2 for bit in range(bits))),
            "and": channels * (1 + 3 * (levels - 1)),
            "mux": channels * (1 + 2 * (levels - 1) + bits - 1 + 2),
            "adder_bit": channels + levels * SHARE_BITS,
            "flip_flop": channels * levels + SHARE_BITS,
        },
    }


def flip_flops(plan: Plan) -> int:
    """Count the flip-flops that the clock tree feeds."""
    return sum(part["flip_flop"] for part in elements(plan).values())


@cache
def _gates_of(element: str) -> float:
    return next(float(r["gates"]) for r in tables.table("gates.csv") if r["element"] == element)


def gates(plan: Plan) -> dict[str, float]:
    """Count the NAND equivalents of each part."""
    return {
        name: sum(n * _gates_of(element) for element, n in part.items())
        for name, part in elements(plan).items()
    }


def leakage(target: TargetSpec) -> tables.Cost:
    """Return the watts that one gate leaks.

    Supply times the current of `NAND_WIDTH` feature sizes of transistor: low with CACTI's long
    channels, nominal its off-current, high with its gate current too.

    Raises
    ------
    CostError
        Where the table has no leakage of the technology.
    """
    node = tables.node_of(target)
    for row in tables.table("leakage.csv"):
        if (int(row["node_nm"]), row["device_type"]) == (node, target.device_type):
            off, gate = float(row["off_a_per_um"]), float(row["gate_a_per_um"])
            watts = tables.supply(node, target.device_type) * NAND_WIDTH * node / 1000
            values = (off * float(row["long_channel"]), off, off + gate)
            low, nominal, high = (watts * amperes for amperes in values)
            return tables.Cost(
                low,
                nominal,
                high,
                f"CACTI 7 device currents at 300 K, {target.technology} {target.device_type}; low: "
                "long channels; high: with gate current",
            )
    raise tables.CostError(
        f"leakage.csv must have {target.technology} {target.device_type}, but has none"
    )


def gate_area(target: TargetSpec) -> tables.Cost:
    """Return the mm2 of one gate on a target."""
    return tables.gate_um2(tables.node_of(target)) * 1e-6


def area(
    plan: Plan, instances: Iterable[Memory] | None = None
) -> dict[str, tuple[float, float, float]]:
    """Return the mm2 of memories and logic, low to high; a placement's empty space is not counted.

    Parameters
    ----------
    plan : Plan
        Of the chip.
    instances : iterable of Memory, optional
        Memories of the chip, where they are not the plan's.
    """
    memories = tuple(instances or plan.memories)
    one = gate_area(plan.target)
    bounds = (one.low, one.nominal, one.high)
    logic = sum(gates(plan).values())
    small = sum(
        m.bits for m in memories if tables.memory(m.depth, m.stored, plan.target).area is None
    )
    sram = sum(
        tables.memory(m.depth, m.stored, plan.target).area or 0.0
        for m in memories
        for _ in range(m.count)
    )
    return {
        "SRAM": (sram, sram, sram),
        "standard-cell memories": _times(bounds, small * _gates_of("memory_bit")),
        "logic": _times(bounds, logic),
    }


def _times(bounds: tuple[float, float, float], n: float) -> tuple[float, float, float]:
    low, nominal, high = bounds
    return low * n, nominal * n, high * n
