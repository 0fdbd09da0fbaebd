"""An estimate's corrections as rows of their own: wires, glitches, event counters and others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from xnoreplay.flow.cost import chips, tables
from xnoreplay.flow.cost.tables import PICO, Cost, corrections, gates, laws, wires
from xnoreplay.flow.cost.tables.gates import LFSR_BITS
from xnoreplay.spec import registers
from xnoreplay.spec.learning import BALANCE_BITS
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import INVERSE_CYCLES, weight_cycles

PAD_FARADS, PAD_VOLTS = 10e-12, 1.8  # of a pin with its trace, assumed
OF_A_BEAT = ("array.taps", "array.nodes", "lane.file.reads")
"""Counters to which a beat of the array adds several at once."""
IN_LANES = "lane.file"  # a memory that lies in the lanes, whose wires are those of the unit


@dataclass(frozen=True)
class Row:
    """One line of an energy estimate; costs and energies in J, low to high.

    Parameters
    ----------
    part, event : str
        What of the chip, and what happens there; an event of a correction ends in its name.
    count : float
        How often.
    cost, joules : tuple of float
        Of one event, and of all.
    source : str
        Where the cost comes from.
    kind : str
        Name of the cost in `tables/logic.csv`; "" where it is another.
    correction : str
        Name of the correction that the row is; "" for an event that is counted.
    measured : bool
        Whether the cost was measured on netlists of the user's cells.
    """

    part: str
    event: str
    count: float
    cost: tuple[float, float, float]
    joules: tuple[float, float, float]
    source: str
    kind: str = ""
    correction: str = ""
    measured: bool = False


def row(  # noqa: PLR0913, PLR0917  the fields of a row
    part: str,
    event: str,
    count: float,
    cost: Cost,
    times: float = 1,
    kind: str = "",
    correction: str = "",
    measured: bool = False,
) -> Row:
    """Price so many events, each of which is worth a cost so many times."""
    each = (cost.low * times, cost.nominal * times, cost.high * times)
    low, nominal, high = (count * c for c in each)
    joules = (low, nominal, high)
    return Row(part, event, count, each, joules, cost.source, kind, correction, measured)


def rows(
    plan: Plan,
    counters: Mapping[str, float],
    cycles: float,
    memories: Iterable[Memory],
    priced: Iterable[Row],
) -> list[Row]:
    """Return the rows that corrections add to the priced rows of a run; of those switched off there is none."""
    priced, memories = list(priced), tuple(memories)
    found = _within_units(plan, priced)
    if laws.on(laws.LONG_WIRES):
        found += _between_blocks(plan, counters, memories)
    if laws.on(laws.COUNTERS):
        found += _counters(plan, counters, cycles)
    if laws.on(laws.RETRAINING):
        found += _retraining(plan, counters)
    if laws.on(laws.PADS):
        found += _pads(plan, counters)
    if laws.on(laws.CALIBRATION):
        found.append(_calibration([*priced, *found]))
    return found


def _within_units(plan: Plan, priced: list[Row]) -> list[Row]:
    place = tables.place_of(plan.target)
    found = []
    for r in priced:
        if not r.kind:
            continue
        glitches = corrections.glitches(r.kind, r.cost[1], place)
        if glitches is not None:
            name = laws.GLITCHES
            found.append(row(r.part, f"{r.event}, {name}", r.count, glitches, correction=name))
        local = corrections.local_wires(r.kind, place)
        if local is not None:
            name, times = laws.WIRES, r.cost[1] / tables.logic(r.kind, plan.target).nominal
            found.append(row(r.part, f"{r.event}, {name}", r.count, local, times, correction=name))
    return found


def _between_blocks(
    plan: Plan, counters: Mapping[str, float], memories: tuple[Memory, ...]
) -> list[Row]:
    """Price the way of a memory's bits, half the side of the chip, and that of the array's operand to each lane."""
    name, target = laws.LONG_WIRES, plan.target
    bit = wires.bit_um(tables.place_of(target).volts)
    areas = gates.area(plan, memories)
    side = wires.side_um(1e6 * bounds[1] for bounds in areas.values())
    found = []
    for m in memories:
        for way in ("reads", "writes"):
            count = counters.get(f"{m.name}.{way}", 0)
            if count and m.name != IN_LANES:
                length = f"{m.width} bits over {side / 2:,.0f} um, half the side of the chip"
                cost = replace(bit, source=f"{length}: {bit.source}")
                event = f"{way}, {name}"
                found.append(row(m.name, event, count, cost, m.width * side / 2, correction=name))
    beats = counters.get("array.beats", 0)
    if beats:
        gate = tables.gate_um2(tables.node_of(target)).nominal
        lane = gates.gates(plan)["array"] / target.lanes * gate
        pitch = wires.side_um([lane])
        length = (
            f"{target.window} bits to {target.lanes} lanes, {pitch:,.0f} um from one to the next"
        )
        cost = replace(bit, source=f"{length}: {bit.source}")
        times = target.window * target.lanes * pitch
        found.append(
            row("array operand", f"array.beats, {name}", beats, cost, times, correction=name)
        )
    return found


def _counters(plan: Plan, counters: Mapping[str, float], cycles: float) -> list[Row]:
    """Price the event counters, a clock gate before each as synthesis sets it, and the sweep of their memory.

    The clock reaches every gate in every cycle. In a cycle with events, be they one or several, it also reaches the
    counter's register of low bits, as long as that of an event that is one at most, and the one for what a cycle adds, through
    their leaf of the tree. Most of these flip-flops keep their data: low and nominal are of data
    that stand still, high of data that change. In every cycle a row of the memory is read and one is written. A chip without
    counters has no rows.
    """
    name, part = laws.COUNTERS, "event counters"
    counted = registers.counters(plan.memories, plan.target)
    if not counted:
        return []
    beats = counters.get("array.beats", 0)
    events = sum(
        min(counters.get(counter, 0), beats if counter in OF_A_BEAT else cycles)
        for counter in counted
    )
    clock, flip_flop = (tables.logic(cost, plan.target) for cost in ("clock_bit", "register_bit"))
    each = Cost(
        clock.low + flip_flop.low,
        clock.nominal + flip_flop.low,
        clock.high + flip_flop.nominal,
        f"leaf of the clock tree and flip-flop of a counter: {flip_flop.source}",
    )
    low = registers.most_behind(len(counted)).bit_length() + 1
    swept = tables.memory(len(counted), plan.target.counter_bits, plan.target)
    return [
        row(part, "cycles, clock gates", cycles, clock, len(counted), correction=name),
        row(part, "events, registers", events, each, low, correction=name),
        row(part, "cycles, sweep reads", cycles, swept.read, correction=name),
        row(part, "cycles, sweep writes", cycles, swept.write, correction=name),
    ]


def _retraining(plan: Plan, counters: Mapping[str, float]) -> list[Row]:
    """Price the divisions of `balance`, the rounding of `back`, and the draws that choose samples.

    Each class weight is two serial divisions, a bit a cycle: `hw/learning/balance.py` has the registers that move and
    the differences formed in each. Of each sample `back` rounds and draws once a hidden unit, and a load draws once.
    """
    name, net = laws.RETRAINING, plan.network
    add, flip_flop = (tables.logic(cost, plan.target) for cost in ("add_bit", "register_bit"))
    division = weight_cycles(net.classes)
    total = (net.classes << BALANCE_BITS).bit_length()
    bits = 2 * division + 2 * total  # numerator and quotient, remainder and product
    steps = counters.get("table.weight.writes", 0) * (INVERSE_CYCLES + division)
    samples = counters.get("learn.samples", 0)
    found = [
        row("class weights", "division steps, registers", steps, flip_flop, bits, correction=name),
        row("class weights", "division steps, sums", steps, add, 2 * total, correction=name),
        row("walk", "samples, draws", samples, flip_flop, LFSR_BITS, correction=name),
    ]
    if plan.target.hidden_learns:
        rounds, width = samples * net.hidden, gates.Sizes.of(plan).gradient
        event = "rounds of hidden units"
        found += [
            row("back", f"{event}, sums", rounds, add, width, correction=name),
            row("back", f"{event}, draws", rounds, flip_flop, LFSR_BITS, correction=name),
        ]
    return [r for r in found if r.count]


def _pads(plan: Plan, counters: Mapping[str, float]) -> list[Row]:
    net = plan.network
    bits = net.native_image_bits if net.takes_images else net.latent
    each = 0.25 * PAD_FARADS * PAD_VOLTS**2
    why = f"{PAD_FARADS / PICO:g} pF a pin at {PAD_VOLTS} V, assumed; every second bit changes, for half C V^2"
    cost = Cost(each, each, each, why)
    return [row("pads", "images", counters.get("images", 0), cost, bits, correction=laws.PADS)]


def _calibration(priced: list[Row]) -> Row:
    """Return what published chips take more, or less, than the same count gives, as one row."""
    fit = chips.whole()
    nominal = sum(r.joules[1] for r in priced) * (fit.factor - 1)
    cost = Cost(
        nominal,
        nominal,
        nominal,
        f"{fit.factor:.3f} of the count: geometric mean of published over counted energy of {len(fit.quotients)} "
        f"chips; the interval is a factor of {fit.spread:.2f} either way",
    )
    name = laws.CALIBRATION
    return row(name, "published chips", 1, cost, correction=name)
