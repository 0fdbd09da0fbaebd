"""Logic costs from a user's Liberty: units of the chip, mapped, run with delays, and priced by toggles."""

from pathlib import Path

from xnoreplay.flow.cost.cells import activity, drawn_activity, gate_level, liberty
from xnoreplay.flow.cost.cells.delayed import UNIT_PS
from xnoreplay.flow.cost.cells.gate_level import Measured
from xnoreplay.flow.cost.session_text import columns
from xnoreplay.flow.cost.tables.measured import FORMAT, check, dials
from xnoreplay.flow.output.quantities import quantity
from xnoreplay.flow.run import files, temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.presets import Preset

UM2_PER_MM2 = 1e6
WROTE = files.json_with("format", "liberty", "events", "units")
"""Whether a file is what `xnoreplay characterize --liberty` writes of `run`."""
EVENTS = {"lane": "beat", "file": "beat", "update": "segment", "error": "sample", "draw": "plane"}
"""Units that are measured, each with what its energy is counted by.

The file is a part of the lane, shown beside it; an estimate has it with the lane. The last is of generative replay.
"""


def characterize(
    preset: Preset, bundle: Bundle | None, library_path: Path, progress: Progress
) -> dict:
    """Measure a preset's units in a library's cells, with clock gates if the library has one.

    Returns
    -------
    dict
        What `tables.measured.Logic` reads: energies in J an event without wires and delays, and what these add;
        leakage in W, area in mm2, and of each unit its cells, nets, how many of these were annotated, and energies of
        its clock in J a cycle.

    Raises
    ------
    LibertyError
        For a file that cannot be read, without cells of functions or without a flip-flop, or whose cells take no energy.
    """
    library, text = liberty.read(library_path), liberty.text_of(library_path)
    liberty.check_cells(library_path)
    gate = next(iter(liberty.clock_gates(library_path)), None)
    plan = plans.compile(preset.network, preset.target)
    with progress.task("activity: trace of the simulator"):
        cycles, beats = activity.traced(preset, bundle)
        units = {
            "lane": activity.lane_unit(plan),
            "file": activity.file_unit(plan),
            "update": activity.update_unit(plan),
            "error": drawn_activity.error_unit(plan),
        }
        counts = {"lane": beats["xnor"] + beats["and"]}
        counts["file"] = counts["lane"]
        played = {"lane": activity.lane_activity(plan, cycles)}
        played["file"] = activity.file_activity(plan, played["lane"])
        played["update"], counts["update"] = activity.update_activity(preset, bundle)
        played["error"], counts["error"] = drawn_activity.error_activity(preset, bundle)
        if plan.generative:
            units["draw"] = drawn_activity.draw_unit(plan)
            played["draw"], counts["draw"] = drawn_activity.draw_activity(preset, bundle)
    measured = {}
    with temporary.folder("gates") as work:
        for name, unit in units.items():
            with progress.task(
                f"{name}: yosys maps it, and it is run (the first use prepares that)"
            ):
                measured[name] = gate_level.measure(
                    unit, played[name], library, text, work / name, gate
                )
    events = {}
    for name, unit_found in measured.items():
        events[f"{name}_{EVENTS[name]}"] = _event(unit_found, counts[name])
        clock = unit_found.clock / unit_found.cycles
        events[f"{name}_clock"] = {"count": clock, "wires": 0.0, "glitches": 0.0}
    tree = {
        "format": FORMAT,
        "liberty": library.name,
        "volts": library.volts,
        "preset": preset.name,
        **dials(plan),
        "gate": gate.name if gate else "",
        "wiring": measured["lane"].wiring,
        "activity": {f"{n}_{EVENTS[n]}s": c for n, c in counts.items()},
        "events": events,
        "units": {name: _unit(found) for name, found in measured.items()},
    }
    try:
        check(tree)
    except SpecError as error:
        raise liberty.LibertyError(
            f"Liberty file {library_path} must give energies to measure, but: {error}"
        ) from None
    return tree


def _event(found: Measured, count: int) -> dict[str, float]:
    """Return the J of an event, what clock gates switch for it included."""
    return {
        "count": (found.data + found.gated) / count,
        "wires": found.wires / count,
        "glitches": found.glitches / count,
    }


def _unit(found: Measured) -> dict:
    """Return what a file says of a unit."""
    return {
        "cells": sum(found.cells.values()),
        "by_type": found.cells,
        "nets": found.nets,
        "annotated": found.annotated,
        "leakage": found.leakage,
        "area": found.area / UM2_PER_MM2,
        "cycles": found.cycles,
        "clock_ungated": found.ungated / found.cycles,
        "clock_gated": (found.clock + found.gated) / found.cycles,
        "glitch_factor": 1 + found.glitches / (found.data + found.wires),
        "longest_ps": found.longest,
        "timed": found.timed,
        "untimed": found.untimed,
    }


TITLES = {
    "lane_beat": "one beat of a working lane, its file and accumulator included",
    "lane_clock": "clock pins of a lane, one cycle",
    "file_beat": "of which the file, mapped alone: one beat",
    "file_clock": "clock pins of the file, one cycle",
    "update_segment": "one segment of proxies updated",
    "update_clock": "clock pins of the update unit, one cycle",
    "error_sample": "one sample's deltas, in its error path",
    "error_clock": "clock pins of an error path, one cycle",
    "draw_plane": "one plane of a word's means, joined to what is drawn",
    "draw_clock": "clock pins of the draw unit, one cycle",
}


def text(tree: dict) -> str:
    """Return the figures as text, each with the share of annotated nets."""
    rows, units = [], []
    for event, parts in tree["events"].items():
        sums = (parts["count"], parts["count"] + parts["wires"], sum(parts.values()))
        unit = tree["units"][event.split("_")[0]]
        rows.append([TITLES[event], *(quantity(float(j), "J") for j in sums), share(unit)])
    for name, unit in tree["units"].items():
        factor = f"{unit['glitch_factor']:.2f}"
        clocks = (quantity(float(unit[key]), "J") for key in ("clock_ungated", "clock_gated"))
        figures = [f"{unit['area']:.5f}", quantity(float(unit["leakage"]), "W")]
        units.append(
            [name, f"{unit['cells']:,}", *figures, *clocks, factor, f"{unit['longest_ps']:,}"]
        )
    head = (
        f"{tree['liberty']} at {tree['volts']} V; {tree['preset']}, lanes of {tree['window']} cells\n"
        f"clock gates: {tree['gate'] or 'none, for the library has none'}; {tree['wiring']}; {delays(tree)}"
    )
    table = columns(["energy", "bare", "with wires", "and glitches", "annotated nets"], rows)
    kinds = ["cells", "mm2", "leakage", "clock a cycle", "with gates", "glitches", "longest, ps"]
    counts = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in tree["activity"].items())
    return (
        f"{head}\n\n{table}\n\n{columns(['unit', *kinds], units)}\n\n"
        f"activity of the simulator: {counts}"
    )


def delays(tree: dict) -> str:
    """Say whose delays the units were run with."""
    timed, untimed = (sum(u[key] for u in tree["units"].values()) for key in ("timed", "untimed"))
    if not timed:
        return f"{UNIT_PS} ps of delay each, for the library has none"
    return "delays of the library" + f", {untimed:,} pins without one: {UNIT_PS} ps" * (untimed > 0)


def share(unit: dict) -> str:
    """Return the share of a unit's nets that were annotated, as text.

    >>> share({"annotated": 3, "nets": 4})
    '75.0 % of 4'
    """
    return f"{100 * unit['annotated'] / unit['nets']:.1f} % of {unit['nets']:,}"
