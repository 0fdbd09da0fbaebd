"""Sections of the report on what the chip is, how well it learns, and what was verified."""

import re

import numpy as np

from xnoreplay.flow.cost import replay_variants
from xnoreplay.flow.cost.memory_map import memory_map
from xnoreplay.flow.output import diagram, plots
from xnoreplay.flow.output.quantities import KIB, Better, kib, mean, quantity, seen_curve, spread
from xnoreplay.flow.report.blocks import Section
from xnoreplay.flow.verify.equality import AMOUNTS, SIMULATORS, comparisons
from xnoreplay.spec import counterparts
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.scenario import ScenarioSpec

SHOWN = 12  # images
SHORT = 12  # characters of a class's name that fit below a session
METHODS = {
    "chip": "the chip's integers",
    "float": "float classifier, Adam, same latents",
    "cumulative": "cumulative: all data kept",
    "naive": "naive: new classes only",
    counterparts.STORED_BITS: "the chip's integers, stored replay of as many bits",
    counterparts.STORED: "the chip's integers, stored replay of replay_capacity",
}
SCORES = {
    "a_final": "test accuracy after the last session on all classes",
    "a_old": "the same on the classes of all tasks but the last",
    "a_new": "the same on the classes of the last task",
    "average": "mean over tasks of the accuracy on all classes seen so far",
    "forgetting": "mean over earlier tasks of the best accuracy once reached less the last",
}
SCORE_NAMES = {
    "a_final": "a_final",
    "a_old": "a_old",
    "a_new": "a_new",
    "average": "average accuracy",
    "forgetting": "forgetting",
}


def extractor_rows(net: NetworkSpec) -> list[list[str]]:
    """Return the rows of the table of parts up to the latent: name, shape, fan-in and weight bits of each."""
    if not net.takes_images:
        return [["latents, as they are given", f"{net.latent} bits", "–", "–"]]
    rows = [
        [
            "thermometer",
            (f"{net.height}×{net.width}×{net.image_channels} pixels → {net.maps[0].channels} bits"),
            "–",
            "–",
        ]
    ]
    for i, layer in enumerate(net.convs):
        shape = net.maps[i + 1]
        pool = ", skip" * layer.skip + ", max-pool 2" * layer.pool
        rows.append(
            [
                f"convolution {i}, 3×3, {layer.groups} group{'s' * (layer.groups > 1)}{pool}",
                f"{net.maps[i].channels} → {shape.channels}, {shape.height}×{shape.width}",
                f"{net.conv_fan_in(i):,}",
                f"{layer.filters * net.conv_fan_in(i):,}",
            ]
        )
    pixels = net.lgap_map.pixels
    return [
        *rows,
        [
            "LGAP",
            f"{net.lgap_map.channels} → {net.lgap_bits}",
            f"{pixels}",
            f"{net.lgap_map.bits:,}",
        ],
        [
            "dense, to the latent",
            f"{net.lgap_bits} → {net.latent}",
            f"{net.lgap_bits:,}",
            f"{net.latent * net.lgap_bits:,}",
        ],
    ]


def chip(preset: Preset, plan: Plan, images: np.ndarray) -> Section:
    """Describe the chip; images (n, *image_shape) uint8 are shown as it sees them, latents are not."""
    section = Section("chip", "The chip")
    light, both = (diagram.chip_svg(plan, preset.name, dark) for dark in (False, True))
    section.figure(
        plots.Picture(light, both, diagram.chip_pdf(plan, preset.name)),
        "Units and memories, instances × depth × width in bits; widths of the ways between them in bits.",
    )
    if len(images) and preset.network.takes_images:
        luma = images[:SHOWN, :, :, 0]
        section.figure(plots.images(luma), "Test images as they enter the chip, first channel.")
    net, target, scenario = preset.network, preset.target, preset.scenario
    rows = extractor_rows(net) + [
        [
            "classifier, hidden",
            f"{net.latent} → {net.hidden}",
            f"{net.latent:,}",
            f"{net.hidden * net.latent:,}",
        ],
        [
            "classifier, output on latent and hidden, duplicated",
            f"2 × {net.output_inputs} → {net.classes}",
            f"{net.output_fan_in:,}",
            f"{net.classes * net.output_fan_in:,}",
        ],
        ["all", "", "", f"{net.weight_bits:,}"],
    ]
    section.table(
        ["part", "shape", "fan-in, bits", "weight bits"],
        rows,
        ["", "", "n", "n"],
        caption=f"Network {net.name}: every weight and every activation is one bit.",
        total=True,
    )
    proxies = "one proxy" if target.proxies_per_pair == 1 else "two proxies"
    hidden = "learns on the chip" if target.hidden_learns else "frozen on the chip"
    section.table(
        ["dial", "value"],
        [
            ["array", f"{target.lanes} lanes × {target.window} cells = {target.cells:,} cells"],
            ["minibatch, epochs", f"{target.batch} samples, {target.epochs} epochs a session"],
            [
                "proxies, deltas",
                (f"{target.proxy_bits} bits, {proxies} a pair; {target.delta_bits} bits"),
            ],
            ["hidden layer", hidden],
            _remembered(preset),
            ["clock", quantity(float(target.clock_hz), "Hz")],
            ["technology of the estimate", f"{target.technology}, {target.device_type}"],
            [
                "scenario",
                (
                    f"{scenario.dataset}: {scenario.base} classes, then "
                    + (
                        f"{scenario.tasks} sessions of {scenario.step_text}"
                        if scenario.tasks
                        else "no session"
                    )
                ),
            ],
        ],
        ["", ""],
        caption="Target and scenario.",
    )
    section.metric("network.weight_bits", net.weight_bits, "bit", "lower", "modelled")
    section.metric("network.fe_weight_bits", net.fe_weight_bits, "bit", "lower", "modelled")
    section.metric("target.cells", target.cells, "cell", "lower", "modelled")
    section.metric(
        "plan.inference_cycles", plan.infer_cycles(net.classes), "cycle", "lower", "modelled"
    )
    return section


def _remembered(preset: Preset) -> list[str]:
    """Return the row of what is remembered, stored or by components."""
    net, target = preset.network, preset.target
    staged = f"{target.staging_capacity:,} latents of {net.latent} bits"
    if target.replay == "stored":
        return ["replay and staging memory", f"{target.replay_capacity:,} and {staged}"]
    return [
        "generative replay, and staging memory",
        (
            f"{target.replay_components} components a class with means of {target.mean_bits} bits, "
            f"{target.drawn_per_class} draws a class and epoch; {staged}"
        ),
    ]


def learning(results: dict[str, dict], failures: dict[str, str], scenario: ScenarioSpec) -> Section:
    """Show the accuracy over the sessions, beside its baselines."""
    section = Section("learning", "Class-incremental learning")
    if not scenario.tasks:
        section.missing = "The base has all classes: no session comes after it, and no class is learned on the chip."
        return section
    if "cil" not in results:
        section.absent("cil", failures)
        return section
    cil = results["cil"]
    seeds = cil["seeds"]
    methods = [m for m in (*METHODS, *cil["methods"]) if m in cil["methods"]]
    methods = list(dict.fromkeys(methods))
    section.text(
        f"Mean and sample standard deviation over {len(seeds)} seeds, on test images that no "
        "training saw. " + "; ".join(f"{SCORE_NAMES[s]}: {SCORES[s]}" for s in SCORES) + "."
    )
    rows = []
    for method in methods:
        row = [METHODS.get(method, method)]
        for score in SCORES:
            values = cil["methods"][method][score]
            row.append(f"{100 * mean(values):.1f} ± {100 * spread(values):.1f}")
            better: Better = "lower" if score == "forgetting" else "higher"
            name = f"cil.{method}.{score}"
            section.metric(name, mean(values), "fraction", better, "counted")
            section.metric(f"{name}.spread", spread(values), "fraction", "lower", "counted")
        rows.append(row)
    section.table(
        ["in percent", *SCORE_NAMES.values()],
        rows,
        ["", "n", "n", "n", "n", "n"],
    )
    counts = cil["test_counts"]
    series = {}
    for method in methods:
        per_seed = [seen_curve(m, counts) for m in cil["methods"][method]["matrix"]]
        columns = list(zip(*per_seed, strict=True))
        series[METHODS.get(method, method)] = (
            [mean(list(c)) for c in columns],
            [spread(list(c)) for c in columns],
        )
    named = _named_tasks(cil)
    ticks = ["base", *(f"session {i}" for i in range(1, len(counts)))]
    section.figure(
        plots.curves(series, "accuracy on all classes seen", _with_new_class(ticks, named)),
        "Accuracy on all classes seen so far; bands are one standard deviation over the seeds.",
    )
    section.table(
        ["after", *(f"task {i}" for i in range(len(counts)))],
        _matrix_rows(cil["methods"]["chip"]["matrix"], ticks) if "chip" in methods else [],
        ["", *["n"] * len(counts)],
        caption="Accuracy matrix of the chip in percent, mean over seeds: test accuracy on each "
        f"task's classes ({', '.join(map(str, counts))} test images) after each session.",
    )
    section.table(
        ["task", "classes that arrive"],
        [[f"{i}", ", ".join(names)] for i, names in enumerate(named)],
        ["n", ""],
        caption="Classes in their order of arrival; task 0 is the base.",
    )
    if "by_class" in cil:
        section.table(
            ["class", "images", "right, %", "mostly taken for", "times"],
            _class_rows(cil),
            ["", "n", "n", "", "n"],
            caption="Each class after the last session: test images, share that the chip recognises, mean over the "
            "seeds, and the most frequent wrong answer, counted over all seeds.",
            folded=f"Accuracy of each of the {len(cil['names'])} classes",
        )
    return section


def _named_tasks(cil: dict) -> list[list[str]]:
    """Names of the classes of each task; their numbers in results of an earlier version."""
    return [[cil["names"][c] if "names" in cil else f"{c}" for c in task] for task in cil["tasks"]]


def _with_new_class(ticks: list[str], named: list[list[str]]) -> list[str]:
    """Put under each session the class that it brings, where all bring one of a short name."""
    if any(len(names) > 1 or len(names[0]) > SHORT for names in named[1:]):
        return ticks
    return [ticks[0], *(f"{t}\n{n[0]}" for t, n in zip(ticks[1:], named[1:], strict=True))]


def _class_rows(cil: dict) -> list[list[str]]:
    names, rows = cil["names"], []
    for name, row in zip(names, cil["by_class"], strict=True):
        wrong = row["taken_for"]
        rows.append(
            [
                name,
                f"{row['images']:,}",
                f"{100 * row['right']:.1f}",
                names[wrong] if wrong is not None else "",
                f"{row['times']:,}" if wrong is not None else "",
            ]
        )
    return rows


def _matrix_rows(matrices: list[list[list[float | None]]], ticks: list[str]) -> list[list[str]]:
    rows = []
    for t, tick in enumerate(ticks):
        cells = []
        for j in range(len(ticks)):
            values = [m[t][j] for m in matrices]
            shown = [v for v in values if v is not None]
            cells.append(f"{100 * mean(shown):.1f}" if j <= t and shown else "")
        rows.append([tick, *cells])
    return rows


def memory(plan: Plan) -> Section:
    """Show every memory instance, by role."""
    section = Section("memory", "Memory map")
    tree = memory_map(plan)
    section.figure(
        plots.stacked({r: b / KIB for r, b in _by_size(tree["roles"]).items()}, "KiB"),
        "All memories by role.",
    )
    rows = [
        [
            m["name"],
            m["role"],
            f"{m['depth']:,} × {m['stored']:,}",
            str(m["count"]),
            f"{m['bits']:,}",
            kib(m["bits"]),
            "learning" if m["learning"] else "",
        ]
        for m in tree["instances"]
    ]
    rows.append(["all", "", "", "", f"{tree['bits']:,}", kib(tree["bits"]), ""])
    section.table(
        ["memory", "role", "words × bits", "instances", "bits", "KiB", "used by"],
        rows,
        ["code", "", "n", "n", "n", "n", ""],
        total=True,
        caption="KiB are of 1,024 bytes. Memories for learning alone are marked.",
    )
    if plan.generative is None:
        _of_samples(section, tree)
    for role, bits in tree["roles"].items():
        section.metric(f"memory.role.{role.replace(' ', '_')}", bits, "bit", "lower", "modelled")
    for m in tree["instances"]:
        section.metric(f"memory.{m['name']}", m["bits"], "bit", "lower", "modelled")
    section.metric("memory.total", tree["bits"], "bit", "lower", "modelled")
    section.metric("memory.learning", tree["learning_bits"], "bit", "lower", "modelled")
    return section


def _of_samples(section: Section, tree: dict) -> None:
    """Show what stored samples take, as latents and, where the chip is given images, as images."""
    replay = tree["replay"]
    caption = f"For {replay['samples']:,} samples in replay and staging, labels left out."
    native = []
    if replay_variants.IMAGES in tree["variants"]:
        native = [
            [
                "native images",
                f"{replay['image_bits']:,}",
                f"{replay['native_total']:,}",
                kib(replay["native_total"]),
            ]
        ]
        caption = (
            f"Latent beside native replay, for {replay['samples']:,} samples in replay and "
            "staging, labels left out. Native replay also retrains the extractor: "
            f"{replay['native_extractor_proxies']:,} more proxy bits."
        )
    section.table(
        ["replay memory of", "bits a sample", "bits", "KiB"],
        [
            [
                "latents",
                f"{replay['latent_bits']:,}",
                f"{replay['latent_total']:,}",
                kib(replay["latent_total"]),
            ],
            *native,
        ],
        ["", "n", "n", "n"],
        caption=caption,
    )
    section.metric("replay.latent", replay["latent_total"], "bit", "lower", "modelled")
    if native:
        section.metric("replay.native", replay["native_total"], "bit", "lower", "modelled")


def _by_size(table: dict[str, int]) -> dict[str, int]:
    return dict(sorted(table.items(), key=lambda item: -item[1]))


def equality(results: dict[str, dict], failures: dict[str, str]) -> Section:
    """Show what was compared with what, and how much of it."""
    section = Section("equality", "Equality")
    section.text(
        "Equal means the same integers: every output, every bit of the memories named, every event "
        "counter, and the cycle of every phase boundary. There is no tolerance anywhere."
    )
    rows = []
    for entry in comparisons(results):
        amounts = [f"{entry[a]:,}" if a in entry else "" for a in AMOUNTS]
        rows.append([entry["what"], *amounts, "equal" if entry["equal"] else "DIFFERENT"])
        slug = re.sub(r"[^a-z]+", "_", entry["what"].lower()).strip("_")
        for name in AMOUNTS:
            if name in entry:
                section.metric(
                    f"equality.{entry['step']}.{slug}.{name}",
                    entry[name],
                    name.replace("_", " "),
                    "higher",
                    "counted",
                )
    if rows:
        section.table(
            ["compared", *(a.replace("_", " ") for a in AMOUNTS), "verdict"],
            rows,
            ["", *["n"] * len(AMOUNTS), ""],
        )
    for name in SIMULATORS:
        if table := results.get("cosim", {}).get(name, {}).get("coverage"):
            section.table(
                ["reached", "members", "of", "times", "a fault that stays hidden otherwise"],
                [
                    [
                        r["point"],
                        f"{r['reached']:,}",
                        f"{r['required']:,}",
                        f"{r['hits']:,}",
                        r["why"],
                    ]
                    for r in table
                ],
                ["", "n", "n", "n", ""],
                caption=f"What the stimulus reached in {name.capitalize()}, of what it must; 0 where the design "
                "cannot have it, or a shorter script need not.",
            )
    missing = [s for s in ("simulate", "cosim") if s not in results and s not in failures]
    for step, sentence in failures.items():
        section.text(f"Step {step} failed: {sentence}", "bad")
    if missing:
        section.text(f"Not run: {', '.join(missing)}.", "missing")
    return section
