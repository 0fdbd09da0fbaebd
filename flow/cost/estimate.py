"""Energy of counted events, and the sums of a report: each event of the plan's chip times its cost.

An estimate counts the accesses of every memory and the events of the datapath (`energy`), and adds what `corrected`
says of wires, glitches and published chips (`price`). What it leaves out is listed in `tables/README.md`, "Not counted".
"""

from collections.abc import Iterable, Mapping

from xnoreplay.flow.cost import chips, corrected, tables
from xnoreplay.flow.cost.corrected import Row, row
from xnoreplay.flow.cost.memory_map import memory_map
from xnoreplay.flow.cost.tables import gates, laws, measured
from xnoreplay.flow.cost.tables.gates import CONTROL_BITS, EXP_BITS, LFSR_BITS
from xnoreplay.spec.errors import XnoreplayError
from xnoreplay.spec.events import Event
from xnoreplay.spec.generative import registers
from xnoreplay.spec.learning import P_BITS
from xnoreplay.spec.lfsr import WIDE_BITS
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.network import COPIES, TAPS
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.timeline import RECIPROCAL_BITS

UPDATED = ("cls.low", "cls.hidden_low", "fe.low")  # memories whose writes are segments updated
FREE = {event.counter for event in Event if event.free}  # counters that need no row of events.csv
OPS_PER_CELL = 2  # an XNOR and its addition, as published chips count
XORS_OF_ADDED_BIT = 2  # in a full adder, whose NANDs are worth less than one of them


def units(plan: Plan) -> dict[str, int]:
    """Return how many bits or operations one event stands for: the names in the `times` column of `tables/events.csv`.

    Bits of registers and additions follow from the ranges in `docs/learning_rule.md`; a sample's
    error unit is charged for every class of the network, seen or not.
    """
    net, target, size = plan.network, plan.target, gates.Sizes.of(plan)
    beats = max([op.beats for op in plan.convolutions], default=0)
    return {
        "channels": target.channels,
        "window": target.window,
        "control": CONTROL_BITS,
        "flip_flops": gates.flip_flops(plan),
        "accumulator": size.accumulator,
        # Three rows of a line buffer, each two pixels long.
        "line_registers": 3 * 2 * beats * target.channels,
        # The registers of a lane's tree, and its accumulator.
        "pipeline": gates.tree_registers(plan) + size.accumulator,
        "thermometer": plan.input.pixels * net.thermometer_bits * 8,
        "lgap": net.lgap_map.bits * 2 * net.lgap_map.pixels.bit_length(),
        "node": TAPS * target.node_fold,
        "node_sum": size.gradient,
        "error_multiply": net.classes * (EXP_BITS * RECIPROCAL_BITS + (P_BITS + 1) * size.weight),
        "error_add": net.classes * (2 * size.logit + P_BITS) + RECIPROCAL_BITS * P_BITS,
        "error_draw": net.classes * LFSR_BITS,
        "update": target.segment * target.proxies_per_pair * (target.proxy_bits + size.gradient),
        "hidden_update": target.segment * (target.proxy_bits + size.gradient),
        "draw": LFSR_BITS,
        **_generative_units(plan),
    }


def _generative_units(plan: Plan) -> dict[str, int]:
    """Return the units of generative replay; with stored replay all are 0."""
    form, channels = plan.generative, plan.target.channels
    if form is None:
        return {"wide": 0, "levels": 0, "product": 0}
    return {
        "wide": registers(channels) * WIDE_BITS + channels,
        "levels": channels << form.mean_bits,
        "product": gates.product_bits(form),
    }


def cell_operations(plan: Plan, counters: Mapping[str, float]) -> float:
    """Count the one-bit cells that worked: enabled taps of G cells, and learning nodes."""
    worth = units(plan)
    taps, nodes = counters.get("array.taps", 0), counters.get("array.nodes", 0)
    return taps * worth["channels"] + nodes * worth["node"]


def energy(
    plan: Plan,
    counters: Mapping[str, float],
    cycles: float,
    instances: Iterable[Memory] | None = None,
) -> list[Row]:
    """Price counted events on the plan's target.

    Parameters
    ----------
    plan : Plan
        With target and memories.
    counters : dict of str to int
        Events by name; ``<memory>.reads`` and ``<memory>.writes`` count whole words of one instance.
    cycles : float
        Clock cycles, for leakage.
    instances : iterable of Memory, optional
        Memories of the chip, where they are not the plan's.

    Raises
    ------
    CostError
        For a counter without a cost: an absent cost is never zero.
    """
    memories = {m.name: m for m in instances or plan.memories}
    if "cls.low" not in memories:
        counters = {**counters, "cls.low.writes": _updated_segments(counters)}
    seconds = cycles / plan.target.clock_hz
    rows = []
    for memory in memories.values():
        cost = tables.memory(memory.depth, memory.stored, plan.target)
        for way, each in (("reads", cost.read), ("writes", cost.write)):
            count = counters.get(f"{memory.name}.{way}", 0)
            if count:
                rows.append(row(memory.name, way, count, each))
        taps = counters.get(f"{memory.name}.tap_writes", 0)
        if taps:
            rows.append(row(memory.name, "tap_writes", taps, cost.write, 1 / TAPS))
        rows.append(row(memory.name, "leakage", memory.count, cost.leakage, seconds))
        rows += _code_rows(plan, memory, counters)
    leak = gates.leakage(plan.target)
    for part, n in gates.gates(plan).items():
        if n:  # a hidden layer that is frozen has no way back
            rows.append(row(f"{part}, logic", "leakage", round(n), leak, seconds))
    rows += _logic_rows(plan, counters, memories)
    own = measured.logic()
    return rows if own is None else _measured_rows(plan, counters, seconds, rows, own)


def _code_rows(plan: Plan, memory: Memory, counters: Mapping[str, float]) -> list[Row]:
    """Price the check bits of a memory's words: gates of two inputs, of which an added bit has two that are XORs."""
    code = memory.coded
    if code is None:
        return []
    cost = tables.logic("add_bit", plan.target)
    gates_of = {"reads": code.xors + code.checks + code.corrects, "writes": code.xors}
    return [
        row("codes", f"{memory.name}.{way}", count, cost, n / XORS_OF_ADDED_BIT)
        for way, n in gates_of.items()
        if (count := counters.get(f"{memory.name}.{way}", 0))
    ]


def _updated_segments(counters: Mapping[str, float]) -> float:
    """Count the segments of output rows that were updated on a chip whose proxies are their pair of weights.

    Such a chip has no memory of low bits whose accesses would count them. Each segment writes cls.top twice, one of a
    hidden row once.
    """
    return (counters.get("cls.top.writes", 0) - counters.get("cls.hidden_low.writes", 0)) / COPIES


def _measured_rows(
    plan: Plan, counters: Mapping[str, float], seconds: float, rows: list[Row], own: measured.Logic
) -> list[Row]:
    """Price the units that were measured in a user's cells in place of the cited ones, wires and glitches too."""
    own.check(plan)
    cycles = counters.get("cycles", 0)
    draws = plan.generative is not None
    replaced = {part for unit, parts in measured.PARTS.items() for part in parts}

    def is_replaced(r: Row) -> bool:
        if draws and (r.part, r.event) == (measured.DRAW, DRAWN):
            return True
        # The draw of the update's random register is not in the unit.
        drawn = r.part in measured.PARTS["update"] and r.kind == "register_bit"
        return r.part.removesuffix(", logic") in replaced and not drawn

    copies = {"lane": plan.target.lanes, "update": 1, "error": plan.target.error_units}
    events = [
        ("lane_beat", "array", "lane.file.reads"),
        *(("update_segment", "update units", f"{name}.writes") for name in UPDATED),
        ("error_sample", "error unit", "learn.samples"),
    ]
    if draws:
        copies[measured.DRAW] = 1
        events.append(("draw_plane", measured.DRAW, DRAWN))
    found = []
    for event, part, counter in events:
        count = counters.get(counter, 0)
        found += _with_corrections(part, counter, count, own.events[event])
    for unit, n in copies.items():
        event = f"cycles, clock pins of {unit}"
        found += _with_corrections("clock", event, cycles * n, own.events[f"{unit}_clock"])
        if unit != measured.DRAW:  # its registers are the memory draw.state
            title = f"{TITLES[unit]}, logic"
            leak = own.leakage[unit]
            found.append(row(title, "leakage", n, leak, seconds, measured=True))
    return [r for r in rows if not is_replaced(r)] + [r for r in found if r.count]


DRAWN = "replay.mean.reads"
TITLES = {"lane": "lanes", "update": "update units", "error": "error unit"}


def _with_corrections(
    part: str, event: str, count: float, costs: dict[str, tables.Cost]
) -> list[Row]:
    """Price a measured event, and as corrections what its wires and glitches add, where they are on."""
    found = [row(part, event, count, costs[measured.COUNT], measured=True)]
    for name, key in ((laws.WIRES, measured.WIRES), (laws.GLITCHES, measured.GLITCHES)):
        if laws.on(name) and costs[key].nominal:
            event_of = f"{event}, {name}"
            found.append(row(part, event_of, count, costs[key], correction=name, measured=True))
    return found


def _logic_rows(plan: Plan, counters: Mapping[str, float], memories: Iterable[str]) -> list[Row]:
    accesses = {f"{name}.{way}" for name in memories for way in ("reads", "writes")}
    worth = units(plan)
    events = tables.table("events.csv")
    rows = []
    for counter, count in counters.items():
        entries = [e for e in events if e["counter"] == counter]
        if not entries and counter not in FREE | accesses:
            raise tables.CostError(
                f"events.csv must have a cost for the counter {counter!r}, but has none"
            )
        for e in entries:
            if (
                count and worth[e["times"]]
            ):  # a chip that is given latents has no thermometer and no LGAP
                cost = tables.logic(e["cost"], plan.target)
                rows.append(row(e["part"], counter, count, cost, worth[e["times"]], e["cost"]))
    return rows


def total(rows: Iterable[Row]) -> tuple[float, float, float]:
    """Sum the energies of rows, J, low to high.

    >>> total([])
    (0, 0, 0)
    """
    rows = list(rows)
    low, nominal, high = (sum(r.joules[i] for r in rows) for i in range(3))
    return low, nominal, high


def by_part(rows: Iterable[Row]) -> dict[str, tuple[float, float, float]]:
    """Sum the energies of rows for each part, J, greatest nominal first."""
    parts: dict[str, list[Row]] = {}
    for r in rows:
        parts.setdefault(r.part, []).append(r)
    sums = {part: total(part_rows) for part, part_rows in parts.items()}
    return dict(sorted(sums.items(), key=lambda item: -item[1][1]))


GROUPS = {
    "array": ("array", "array operand", "array pipeline", "window", "node sums"),
    "accumulators": ("accumulators",),
    "update units": ("update units",),
    "error unit (softmax)": ("error unit",),
    "input, LGAP, control": ("input", "lgap", "control"),
    "clock tree": ("clock",),
    "class weights, back, walk": ("class weights", "back", "walk"),
    "event counters": ("event counters",),
    "codes of memories": ("codes",),
    "pads": ("pads",),
    "calibration to published chips": ("calibration",),
}
"""Parts of the logic by what a reader asks for; memories are groups of their own."""


def split(rows: Iterable[Row]) -> dict[str, tuple[float, float, float]]:
    """Sum the energies of rows by kind, J, low to high.

    The kinds are array, accumulators, update, error unit, each memory's reads and writes, leakage and clock.
    """
    group_of = {part: group for group, parts in GROUPS.items() for part in parts}
    groups: dict[str, list[Row]] = {group: [] for group in GROUPS}
    rows = list(rows)
    if not any(r.part == "lgap" for r in rows):
        group_of |= dict.fromkeys(("input", "control"), "input, control")
    for r in rows:
        if r.event == "leakage":
            logic = r.part.endswith(", logic")
            name = "leakage, logic" if logic else "leakage, memories"
        elif r.part in group_of:
            name = group_of[r.part]
        else:
            name = f"{r.part}, {'reads' if r.event.startswith('reads') else 'writes'}"
        groups.setdefault(name, []).append(r)
    return {name: total(group) for name, group in groups.items() if group}


def by_correction(rows: Iterable[Row]) -> dict[str, float]:
    """Sum the nominal energies of rows for each correction, J; those of what is counted come first, as "count"."""
    sums: dict[str, float] = {"count": 0.0}
    for r in rows:
        name = r.correction or "count"
        sums[name] = sums.get(name, 0.0) + r.joules[1]
    return sums


def by_origin(rows: Iterable[Row], memories: Iterable[Memory]) -> dict[str, float]:
    """Sum the nominal energies of rows by what they rest on, J: `MEASURED`, `STORED` or `CITED`.

    What published chips take beyond the count is a factor of all three, and left out.
    """
    names = {m.name for m in memories}
    sums = dict.fromkeys((MEASURED, STORED, CITED), 0.0)
    for r in rows:
        if r.correction != laws.CALIBRATION:
            stored = r.part in names and not r.correction
            sums[MEASURED if r.measured else STORED if stored else CITED] += r.joules[1]
    return sums


MEASURED, STORED, CITED = "measured in your cells", "memories, by a table", "other logic, cited"


def interval(bounds: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the interval of an energy, J, by the error that published chips show; where that is off, as it is.

    The error is one of the model as a whole, so that the ends of parts add to those of their sum.
    """
    return chips.whole().interval(bounds[1]) if laws.on(laws.CALIBRATION) else bounds


def corrected_rows(
    plan: Plan,
    counters: Mapping[str, float],
    cycles: float,
    instances: Iterable[Memory] | None = None,
) -> list[Row]:
    """Return the rows of `energy`, and after them those of its corrections."""
    memories = tuple(instances or plan.memories)
    rows = energy(plan, counters, cycles, memories)
    return rows + corrected.rows(plan, counters, cycles, memories, rows)


def price(
    plan: Plan,
    counters: Mapping[str, float],
    cycles: float,
    instances: Iterable[Memory] | None = None,
) -> dict:
    """Return rows, sums by part, `split`, correction and origin, time, power and energy an operation of one counted run.

    Sums are low, nominal and high by the error that published chips show (`interval`); a row's low and high are those
    of its sources.
    """
    memories = tuple(instances or plan.memories)
    rows = corrected_rows(plan, counters, cycles, memories)
    origin = by_origin(rows, memories)
    sums = interval(total(rows))
    seconds = cycles / plan.target.clock_hz
    ops = OPS_PER_CELL * cell_operations(plan, counters)
    return {
        "rows": [dict(vars(r)) for r in rows],
        "parts": {part: interval(bounds) for part, bounds in by_part(rows).items()},
        "split": {name: interval(bounds) for name, bounds in split(rows).items()},
        "corrections": by_correction(rows),
        "origin": origin,
        "total": sums,
        "cycles": cycles,
        "seconds": seconds,
        "watts": [j / seconds for j in sums] if seconds else [0.0] * 3,
        "operations": ops,
        "joules_per_operation": [j / ops for j in sums] if ops else None,
    }


def report(plan: Plan, phases: dict[str, dict]) -> dict:
    """Price several counted runs of a chip.

    Parameters
    ----------
    plan : Plan
        Of the chip.
    phases : dict
        Name of a run ("inference", "session") -> ``{"counters": {...}, "cycles": int}``.

    Raises
    ------
    XnoreplayError
        For no run.
    CostError
        As `energy`.
    """
    if not phases:
        raise XnoreplayError("an estimate must be given the counters of at least one run, not none")
    estimates = {name: price(plan, run["counters"], run["cycles"]) for name, run in phases.items()}
    return {
        "memory": memory_map(plan),
        "area": gates.area(plan),
        "energy": estimates,
        "technology": technology(plan),
        "published": tables.published(plan.target),
    }


def technology(plan: Plan) -> dict:
    """Return node, type, supply and clock that everything is priced at."""
    target = plan.target
    return {
        "node": target.technology,
        "device_type": target.device_type,
        "supply_v": tables.supply(tables.node_of(target), target.device_type),
        "clock_hz": target.clock_hz,
    }
