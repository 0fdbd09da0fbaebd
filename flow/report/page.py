"""The report: one self-contained page, and every number with unit, direction and origin."""

import platform
from importlib import resources
from pathlib import Path

import numpy as np

import xnoreplay
from xnoreplay.flow.datasets.bundles import BUNDLE
from xnoreplay.flow.output.quantities import KIB, mean, quantity, spread
from xnoreplay.flow.report import (
    cost_sections,
    mutation_section,
    proof_section,
    sections,
    session_sections,
)
from xnoreplay.flow.report.blocks import Card, Figure, Points, Section
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import clock
from xnoreplay.flow.run.records import RESULT, result_of, step_record
from xnoreplay.flow.verify.equality import comparisons
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import machine, presets
from xnoreplay.spec import plan as plans
from xnoreplay.spec.errors import XnoreplayError
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

PAGE, NUMBERS, PICTURES = "report.html", "report.json", "pictures"
SCRIPT = "points.js"
"""Draws the blocks of points; on a page that has none it is left out."""


def read(preset: Preset, inputs: dict[str, Path]) -> tuple[dict, dict, dict]:
    """Return results, failures' sentences and records of the steps that ran for this preset."""
    wanted = presets.to_dict(preset)
    results, failures, records = {}, {}, {}
    for name, folder in inputs.items():
        record = step_record(folder)
        if record["config"].get("preset", wanted) != files.plain(wanted):
            continue
        records[name] = record
        if record["failure"]:
            failures[name] = record["failure"]
        else:
            results[name] = result_of(folder)
    return results, failures, records


def write_report(preset: Preset, inputs: dict[str, Path], out: Path) -> dict:
    """Write the page and the numbers from the folders of the steps that have run."""
    results, failures, records = read(preset, inputs)
    try:
        return _write(preset, inputs, out, results, failures, records)
    except XnoreplayError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise XnoreplayError(
            f"the results of {', '.join(results)} must be as this version's steps leave them, but are not "
            f"({type(error).__name__}: {error}): repeat the steps"
        ) from error


def _write(
    preset: Preset, inputs: dict[str, Path], out: Path, results: dict, failures: dict, records: dict
) -> dict:
    plan = plans.compile(preset.network, preset.target)
    parts = [
        sections.chip(preset, plan, _images(inputs, results)),
        sections.learning(results, failures, preset.scenario),
        sections.memory(plan),
        cost_sections.cycles(results, failures, plan),
        session_sections.use(results, failures, plan),
        cost_sections.energy(results, failures),
        session_sections.replay(results, failures),
        session_sections.assumptions(results, failures),
        session_sections.search(results, failures),
        session_sections.upsets(results, failures, plan),
        session_sections.validation(),
        sections.equality(results, failures),
        mutation_section.mutation(results, failures),
        proof_section.proof(results, failures),
        cost_sections.synthesis(results, failures),
        provenance(results, records),
    ]
    metrics = [metric for part in parts for metric in part.metrics]
    tree = {
        "preset": preset.name,
        "version": xnoreplay.__version__,
        "failures": failures,
        "steps": sorted(results),
        "metrics": [m.as_dict() for m in metrics],
    }
    files.write_json(out / NUMBERS, tree)
    page = render(preset, plan, results, failures, parts)
    (out / PAGE).write_text(page, encoding="utf-8")
    pictures = save_pictures(parts, out / PICTURES)
    return {"page": PAGE, "numbers": NUMBERS, "metrics": len(metrics), "pictures": pictures}


def save_pictures(parts: list[Section], folder: Path) -> int:
    """Write every figure of the page as SVG and PDF, named by its section and place; return how many."""
    folder.mkdir()
    count = 0
    for part in parts:
        found = [b for b in part.blocks if isinstance(b, Figure)]
        for i, block in enumerate(found, 1):
            block.picture.save(folder / f"{part.name}-{i}")
        count += len(found)
    return count


def _images(inputs: dict[str, Path], results: dict[str, dict]) -> np.ndarray:
    """Return the golden images of the run's bundle, if it has one."""
    if "export" not in results:
        return np.empty((0, 1, 1, 1), np.uint8)
    return bundles.read(inputs["export"] / BUNDLE).golden.image


def provenance(results: dict[str, dict], records: dict[str, dict]) -> Section:
    """Return the digests, times, and the machine of a run."""
    section = Section("provenance", "Provenance")
    digests = []
    if "export" in results:
        digests.append(["bundle, network and tensors", results["export"]["digest"]])
    if "generate" in results:
        digests.append(["Verilog", results["generate"]["digest"]])
    for name, record in records.items():
        digests.append([f"{name}, result", record["outputs"].get(RESULT, "")])
    section.table(["SHA-256 of", ""], digests, ["", "code"])
    section.table(
        ["step", "time"],
        [[name, clock(r["seconds"])] for name, r in records.items()],
        ["", "n"],
        caption="Wall-clock time of each step.",
    )
    for name, record in records.items():
        section.metric(f"step.{name}.seconds", record["seconds"], "s", "lower", "tool")
    trained = bundles.entry_of(results.get("export", {}), "provenance", dict)
    if trained:
        known = [[k.replace("_", " "), _short(v)] for k, v in sorted(trained.items())]
        section.table(["bundle", "made with"], known, ["", "code"])
    for name in ("base_train_accuracy", "base_test_accuracy"):
        if (accuracy := bundles.share(trained, name)) is not None:
            section.metric(f"pretrain.{name}", accuracy, "fraction", "higher", "counted")
    section.text(
        f"xnoreplay {xnoreplay.__version__}, Python {platform.python_version()} on "
        f"{platform.system()} {platform.machine()}, {machine.cores()} cores."
    )
    return section


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def cards(plan: Plan, results: dict[str, dict], failures: dict[str, str]) -> list[Card]:
    """Return the headline numbers."""
    headline = [_verdict(results, failures)]
    chip = results.get("cil", {}).get("methods", {}).get("chip")
    if chip:
        values = chip["a_final"]
        headline.append(
            Card(
                "accuracy after all sessions, a_final",
                f"{100 * mean(values):.1f} %",
                f"± {100 * spread(values):.1f} over {len(values)} seeds",
                "counted",
            )
        )
    trained = bundles.entry_of(results.get("export", {}), "provenance", dict)
    right = bundles.share(trained, "base_test_accuracy")
    if not chip and right is not None:
        what = "accuracy among the classes trained off the chip"
        headline.append(Card(what, f"{100 * right:.1f} %", "of the test samples", "counted"))
    bits = sum(m.bits for m in plan.memories)
    headline.append(Card("memory on chip", f"{bits / KIB:,.1f} KiB", f"{bits:,} bits", "modelled"))
    for name, title in cost_sections.RUNS.items():
        run = results.get("simulate", {}).get(name)
        if run:
            seconds = quantity(run["cycles"] / plan.target.clock_hz, "s")
            headline.append(Card(title, f"{run['cycles']:,} cycles", seconds, "counted"))
    for name, title in cost_sections.RUNS.items():
        estimate = results.get("estimate", {}).get("energy", {}).get(name)
        if estimate:
            low, nominal, high = (quantity(j, "J") for j in estimate["total"])
            headline.append(Card(f"energy of {title}", nominal, f"{low} to {high}", "modelled"))
    if "synth" in results:
        used = results["synth"]["resources"]
        headline.append(
            Card(
                "ECP5",
                f"{used['lut4']:,} LUT4",
                f"{used['flip_flops']:,} flip-flops, {used['block_ram']} block memories",
                "tool",
            )
        )
    return headline


def _verdict(results: dict[str, dict], failures: dict[str, str]) -> Card:
    checks = comparisons(results)
    if failures:
        return Card("checks", "FAILED", f"step {', '.join(failures)}", "counted", "bad")
    if not all(c["equal"] for c in checks):
        return Card("checks", "DIFFERENT", "see Equality", "counted", "bad")
    if "cosim" not in results:
        return Card("checks", "not complete", "co-simulation has not run", "counted")
    return Card("checks", "all equal", f"{len(checks)} comparisons", "counted", "good")


def render(preset: Preset, plan: Plan, results: dict, failures: dict, parts: list[Section]) -> str:
    """Return the page as text; it needs no other file."""
    import jinja2

    source = _template(PAGE)
    points = any(isinstance(block, Points) for part in parts for block in part.blocks)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    net, scenario = preset.network, preset.scenario
    later = scenario.classes - scenario.base
    lead = (
        f"A fully-binarised network of {net.weight_bits:,} weight bits that recognises "
        f"{scenario.dataset}, learns {scenario.base} classes off the chip"
        f"{f' and {later} more on it' if later else ', and none on it'}. Numbers are counted by simulator or RTL, "
        "modelled from cost tables, or reported by a tool."
    )
    return environment.from_string(source).render(
        title=f"xnoreplay: {preset.name}",
        lead=lead,
        cards=cards(plan, results, failures),
        sections=parts,
        script=_template(SCRIPT) if points else "",
    )


def _template(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
