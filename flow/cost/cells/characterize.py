"""Logic costs from a user's Liberty: a lane and the update unit, mapped, run, and priced by toggles."""

from pathlib import Path

from xnoreplay.flow.cost.cells import activity, gate_level, liberty
from xnoreplay.flow.cost.session_text import columns
from xnoreplay.flow.cost.tables.measured import FORMAT, check
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


def characterize(
    preset: Preset, bundle: Bundle | None, library_path: Path, progress: Progress
) -> dict:
    """Measure a preset's units in a library's cells.

    Returns
    -------
    dict
        What `tables.measured.Logic` reads: energies in J an event, leakage in W, area in mm2, and of
        each unit its cells, nets, and how many of these were annotated.

    Raises
    ------
    LibertyError
        For a file that cannot be read, or whose cells take no energy.
    """
    library, text = liberty.read(library_path), liberty.text_of(library_path)
    plan = plans.compile(preset.network, preset.target)
    with progress.task("activity: trace of the simulator"):
        cycles, beats = activity.traced(preset, bundle)
        lane = activity.lane_activity(plan, cycles)
        update, segments = activity.update_activity(preset, bundle)
    jobs = {
        "lane": (activity.lane_unit(plan), lane),
        "update": (activity.update_unit(plan), update),
    }
    measured = {}
    with temporary.folder("gates") as work:
        for name, (unit, played) in jobs.items():
            with progress.task(f"{name}: yosys maps, Verilator runs (the first use prepares them)"):
                measured[name] = gate_level.measure(unit, played, library, text, work / name)
    m, u = measured["lane"], measured["update"]
    worked = beats["xnor"] + beats["and"]
    tree = {
        "format": FORMAT,
        "liberty": library.name,
        "volts": library.volts,
        "preset": preset.name,
        "window": preset.target.window,
        "segment": preset.target.segment,
        "proxy_bits": preset.target.proxy_bits,
        "activity": {"cycles": m.cycles, "lane_beats": beats, "update_segments": segments},
        "events": {
            "lane_beat": m.data / worked,
            "lane_clock": m.clock / m.cycles,
            "update_segment": u.data / segments,
            "update_clock": u.clock / u.cycles,
        },
        "units": {
            name: {
                "cells": sum(unit.cells.values()),
                "by_type": unit.cells,
                "nets": unit.nets,
                "annotated": unit.annotated,
                "leakage": unit.leakage,
                "area": unit.area / UM2_PER_MM2,
            }
            for name, unit in measured.items()
        },
    }
    try:
        check(tree)
    except SpecError as error:
        raise liberty.LibertyError(
            f"Liberty file {library_path} must give energies to measure, but: {error}"
        ) from None
    return tree


TITLES = {
    "lane_beat": ("lane", "one beat of a working lane, its file and accumulator included"),
    "lane_clock": ("lane", "clock pins of a lane, one cycle, not gated"),
    "update_segment": ("update", "one segment of proxies updated"),
    "update_clock": ("update", "clock pins of the update unit, one cycle, not gated"),
}


def text(tree: dict) -> str:
    """Return the figures as text, each with the share of annotated nets."""
    rows = [
        [title, quantity(float(tree["events"][event]), "J"), share(tree["units"][unit])]
        for event, (unit, title) in TITLES.items()
    ]
    for name, unit in tree["units"].items():
        rows.append([f"leakage, {name}", quantity(float(unit["leakage"]), "W"), share(unit)])
        rows.append([f"area, {name}, mm2", f"{unit['area']:.5f}", share(unit)])
    head = (
        f"{tree['liberty']} at {tree['volts']} V; {tree['preset']}, lanes of {tree['window']} cells"
    )
    return (
        f"{head}\n\n{columns(['figure', 'value', 'annotated nets'], rows)}\n\n"
        f"activity: {tree['activity']['cycles']:,} cycles of the simulator's trace, "
        f"{tree['activity']['update_segments']:,} segments; no wires, no glitches"
    )


def share(unit: dict) -> str:
    """Return the share of a unit's nets that were annotated, as text.

    >>> share({"annotated": 3, "nets": 4})
    '75.0 % of 4'
    """
    return f"{100 * unit['annotated'] / unit['nets']:.1f} % of {unit['nets']:,}"
