"""Sections on what the chip costs: cycles, joules, and cells."""

from xnoreplay.flow.chip.families import KINDS, TITLES
from xnoreplay.flow.cost.chips import COVERAGE
from xnoreplay.flow.cost.estimate import cell_operations
from xnoreplay.flow.output import plots
from xnoreplay.flow.output.quantities import quantity, si
from xnoreplay.flow.report.blocks import Section
from xnoreplay.flow.verify.equality import speeds
from xnoreplay.flow.verify.utilisation import share
from xnoreplay.spec.plan import LEARNING_PHASES, Plan

SUMS = {"convolutions", "all"}  # rows of utilisation that add others
RUNS = {"inference": "one inference", "session": "one retraining session"}


def cycles(results: dict[str, dict], failures: dict[str, str], plan: Plan) -> Section:
    """Show cycles by phase, time at the target's clock, and how busy the array is."""
    section = Section("cycles", "Cycles")
    if "simulate" not in results:
        section.absent("simulate", failures)
        return section
    simulated = results["simulate"]
    clock = plan.target.clock_hz
    for name, title in RUNS.items():
        if name not in simulated:
            continue
        run = simulated[name]
        total = run["cycles"]
        section.heading(
            f"{title[0].upper()}{title[1:]}: {total:,} cycles, {quantity(total / clock, 's')}"
        )
        phases = {p: n for p, n in run["phases"].items() if n}
        section.figure(
            plots.bars(list(phases), [float(n) for n in phases.values()], "cycles"),
            f"Cycles by phase, {title}.",
        )
        beats, operations = run["counters"]["array.beats"], cell_operations(plan, run["counters"])
        busy, used = beats / total, operations / (total * plan.target.cells)
        section.table(
            ["array", "value"],
            [
                ["cycles with an operand", f"{beats:,} of {total:,}, {quantity(busy, 'fraction')}"],
                ["cell operations", f"{operations:,}"],
                ["utilisation of all cells in all cycles", quantity(used, "fraction")],
            ],
            ["", "n"],
        )
        if found := simulated.get("utilisation", {}).get(name):
            utilisation(section, name, found)
        if run["counters"].get("learn.minibatches"):
            retraining(section, name, run)
        section.metric(f"cycles.{name}", total, "cycle", "lower", "counted")
        section.metric(f"time.{name}", total / clock, "s", "lower", "modelled")
        section.metric(f"array.{name}.utilisation", used, "fraction", "higher", "counted")
        section.metric(f"array.{name}.busy", busy, "fraction", "higher", "counted")
        for phase, n in phases.items():
            section.metric(f"cycles.{name}.{phase}", n, "cycle", "lower", "counted")
        for counter, n in run["counters"].items():
            section.metric(f"events.{name}.{counter}", n, "event", "neither", "counted")
    if speed := speeds(results):
        section.table(
            ["simulated by", "modelled cycles a second"],
            [[mode, quantity(float(rate), "cycle/s")] for mode, rate in speed.items()],
            ["", "n"],
            caption="Speed on the machine named below.",
        )
        for mode, rate in speed.items():
            section.metric(
                f"speed.{mode.replace(',', '').replace(' ', '_')}",
                rate,
                "cycle/s",
                "higher",
                "tool",
            )
    return section


def utilisation(section: Section, name: str, found: dict[str, dict]) -> None:
    """Add how busy the array is by phase, and what the rest is lost to."""
    total = sum(row["cycles"] for phase, row in found.items() if phase not in SUMS)
    rows = []
    for phase, row in found.items():
        idle = row["cycles"] - row["beats"]
        lost = "" if phase in SUMS else quantity(idle / total, "fraction")
        rows.append(
            [
                phase,
                f"{row['beats']:,}",
                f"{row['cycles']:,}",
                quantity(share(row), "fraction"),
                lost,
            ]
        )
    of = {"inference": "one inference", "session": "the retraining alone, without its images"}[name]
    section.table(
        ["phase", "beats", "cycles", "array busy", "of all cycles, lost here"],
        rows,
        ["", "n", "n", "n", "n"],
        caption=f"How busy the array is: {of}.",
    )
    for phase in SUMS & found.keys():
        section.metric(
            f"array.{name}.busy.{phase}", share(found[phase]), "fraction", "higher", "counted"
        )


def retraining(section: Section, name: str, run: dict) -> None:
    """Add the cycles that learning takes a minibatch and a sample, from counters; images' are left out."""
    spent = sum(n for phase, n in run["phases"].items() if phase in LEARNING_PHASES)
    rows = []
    for counter, what in (("learn.minibatches", "minibatch"), ("learn.samples", "sample")):
        count = run["counters"][counter]
        rows.append([f"a {what}", f"{count:,}", f"{spent / count:,.1f}"])
        section.metric(f"cycles.{name}.per_{what}", spent / count, "cycle", "lower", "counted")
    section.table(
        ["retraining", "of them", "cycles each"],
        rows,
        ["", "n", "n"],
        caption=f"{spent:,} cycles of the phases from balance to the updates.",
    )


def energy(results: dict[str, dict], failures: dict[str, str]) -> Section:
    """Show joules by part, low to high, with the source of every cost."""
    section = Section("energy", "Energy")
    if "estimate" not in results:
        section.absent("estimate", failures)
        return section
    estimate = results["estimate"]
    technology = estimate["technology"]
    section.text(
        f"Counted events times costs, scaled to {technology['node']} "
        f"{technology['device_type']} at {technology['supply_v']} V, with wires, glitches, event counters and what "
        f"published chips take beyond the count. Low and high of a sum are those that hold {100 * COVERAGE:.0f} % of "
        "published chips, each predicted from the others; of one row, those of its sources. Not counted: pads, the host, "
        "and what flow/cost/tables/README.md lists."
    )
    for name, run in estimate["energy"].items():
        low, nominal, high = run["total"]
        title = RUNS.get(name, name)
        section.heading(
            f"{title[0].upper()}{title[1:]}: {quantity(nominal, 'J')} "
            f"({quantity(low, 'J')} to {quantity(high, 'J')})"
        )
        parts = {p: j for p, j in run["parts"].items() if j[1] > 0.002 * nominal}
        factor, prefix = si(max(j[2] for j in parts.values()))
        columns = [[j[i] / factor for j in parts.values()] for i in range(3)]
        section.figure(
            plots.bars(list(parts), columns[1], f"{prefix}J", columns[0], columns[2]),
            f"Energy by part, {title}; whiskers from low to high. Parts below 0.2 % are left out.",
        )
        section.table(
            [
                "part",
                "event",
                "count",
                "low each",
                "nominal each",
                "high each",
                "nominal",
                "source",
            ],
            [
                [
                    r["part"],
                    r["event"],
                    f"{r['count']:,}",
                    *(quantity(c, "J") for c in r["cost"]),
                    quantity(r["joules"][1], "J"),
                    r["source"],
                ]
                for r in sorted(run["rows"], key=lambda r: -r["joules"][1])
            ],
            ["code", "code", "n", "n", "n", "n", "n", "source"],
            folded=f"All {len(run['rows'])} rows, with unit costs and sources",
        )
        section.interval(f"energy.{name}", run["total"], "J")
        section.interval(f"power.{name}", run["watts"], "W")
        for part, joules in run["parts"].items():
            section.interval(f"energy.{name}.{part}", joules, "J")
    _published(section, estimate)
    return section


def _published(section: Section, estimate: dict) -> None:
    rows = [
        [
            f"this chip, {name}",
            (f"{estimate['technology']['node']}, {estimate['technology']['supply_v']} V"),
            "",
            " to ".join(quantity(j, "J") for j in run["joules_per_operation"][::2]),
            "memories, array, control; see above",
        ]
        for name, run in estimate["energy"].items()
        if run["joules_per_operation"]
    ]
    rows += [
        [
            c["chip"],
            c["technology"],
            quantity(c["published"], "J"),
            quantity(c["scaled"], "J"),
            f"{c['scope']}. {c['source']}",
        ]
        for c in estimate["published"]
    ]
    section.table(
        ["chip", "technology", "as published", "at this technology", "scope and source"],
        rows,
        ["", "", "n", "n", "source"],
        caption="Energy a binary operation (an XNOR or its addition), beside published chips "
        "scaled by the same rule. Far scaling is uncertain: this is context, not a check.",
    )


def fpga_family(section: Section, family: str, found: dict) -> None:
    """Add the memories of a family, macro by macro, and the whole design's cells."""
    title, kinds = TITLES[family], list(KINDS)
    if sums := found.get("resources"):
        section.table(
            [title, "used"],
            [[kind, f"{n:,}"] for kind, n in sums.items()],
            ["", "n"],
            caption="Resources after mapping.",
        )
        for kind, n in sums.items():
            section.metric(f"{family}.{kind.replace(' ', '_')}", n, "cell", "lower", "tool")
    section.table(
        ["memory", "instances", "bits of one", "RAM", *kinds],
        [
            [
                row["name"],
                f"{row['instances']:,}",
                f"{row['bits']:,}",
                "yes" if row["ram"] else "no",
                *(f"{row[kind]:,}" for kind in kinds),
            ]
            for row in found["memories"]
        ],
        ["code", "n", "n", "", *["n"] * len(kinds)],
        caption=f"Each memory alone on {title}: whether it becomes RAM, and the cells of one instance.",
    )


def synthesis(results: dict[str, dict], failures: dict[str, str]) -> Section:
    """Show what yosys and nextpnr report of the Verilog."""
    section = Section("synthesis", "Verilog and synthesis")
    generated = results.get("generate")
    if generated:
        section.table(
            ["Verilog", "value"],
            [
                ["file", f"generate/{generated['verilog']}, top module {generated['top']}"],
                ["SHA-256", generated["digest"]],
            ],
            ["", "code"],
        )
    if "synth" not in results:
        section.absent("synth", failures)
        return section
    synth = results["synth"]
    section.text(
        f"{synth['tool']}: {synth['latches']} latches, {len(synth['warnings'])} warnings, "
        f"{sum(synth['checked_cells'].values()):,} cells before mapping, "
        f"{synth['memory_bits']:,} memory bits recognised."
    )
    names = {
        "lut4": "look-up tables of 4 inputs",
        "carry": "carry cells, 2 bits each",
        "distributed_ram": "distributed memories, 16×4",
        "flip_flops": "flip-flops",
        "block_ram": "block memories, 18 kbit",
        "multipliers": "multipliers",
    }
    section.table(
        ["Lattice ECP5", "used"],
        [[names[k], f"{n:,}"] for k, n in synth["resources"].items()],
        ["", "n"],
        caption="Resources after mapping.",
    )
    for name, n in synth["resources"].items():
        section.metric(f"ecp5.{name}", n, "cell", "lower", "tool")
    section.metric("synth.latches", synth["latches"], "latch", "lower", "tool")
    section.metric("synth.warnings", len(synth["warnings"]), "warning", "lower", "tool")
    section.metric("synth.cells", sum(synth["checked_cells"].values()), "cell", "lower", "tool")
    for family, found in synth.get("families", {}).items():
        fpga_family(section, family, found)
    if cells := synth.get("area"):
        section.text(
            f"Mapped to {cells['library']}: area {cells['area']:,.1f} in the file's unit, "
            f"{sum(cells['cells'].values()):,} cells, memories left out."
        )
        section.metric("asic.area", cells["area"], "library unit", "lower", "tool")
        if gated := cells.get("gated"):
            section.text(
                f"With {gated['cells'].get(gated['gate'], 0):,} clock gates {gated['gate']} before "
                f"{gated['flip_flops']:,} flip-flops: area {gated['area']:,.1f}."
            )
            section.metric("asic.area.gated", gated["area"], "library unit", "lower", "tool")
            if energy := gated.get("clock_energy"):
                section.text(
                    f"Clock pins take {quantity(energy['before'], 'J')} a cycle without gates; with them "
                    f"{quantity(energy['shut'], 'J')}, all shut, to {quantity(energy['open'], 'J')}, all open."
                )
    if placed := synth.get("placement"):
        clocks = ", ".join(quantity(hz, "Hz") if hz else "not routed" for hz in placed["seeds"])
        section.text(
            f"Placed and routed on ECP5 {placed['device']['size']}, a seed each: {clocks}."
        )
        section.metric("ecp5.clock", placed["median"], "Hz", "higher", "tool")
    return section
