"""Sections of the report on a session's cost beyond its total: native replay, use, search."""

from xnoreplay.flow.cost import replay_variants, roofline, session_text, validate
from xnoreplay.flow.cost.session_cost import NO_SESSION, RUNS
from xnoreplay.flow.explore import pictures, text
from xnoreplay.flow.explore.fronts import COSTS
from xnoreplay.flow.output import plots
from xnoreplay.flow.output.quantities import KIB, kib, mean, quantity, spread
from xnoreplay.flow.report import cost_sections
from xnoreplay.flow.report.blocks import Points, Section
from xnoreplay.flow.upset import pictures as upset_pictures
from xnoreplay.flow.upset import text as upset_text
from xnoreplay.spec.plan import Plan

SLUGS = {"energy": "J", "memory": "bit", "cycles": "cycle", "area": "mm2"}


def replay(results: dict[str, dict], failures: dict[str, str]) -> Section:
    """Show the cost of a session, latent beside native replay where the chip is given images."""
    section = Section("replay", "Latent and native replay")
    cost = results.get("estimate", {}).get("session_cost")
    if cost is None:
        section.absent("estimate", failures)
        return section
    variants = cost["memory"]["variants"]
    _begin(section, cost, results.get("cil"))
    roles = list(dict.fromkeys(r for v in variants.values() for r in v["roles"]))
    section.figure(
        plots.grouped(
            roles,
            {v["title"]: [v["roles"].get(r, 0) / KIB for r in roles] for v in variants.values()},
            "KiB",
        ),
        "Memory by role.",
    )
    rows = [[r, *(kib(v["roles"].get(r, 0)) for v in variants.values())] for r in roles]
    rows.append(["all", *(kib(v["bits"]) for v in variants.values())])
    section.table(
        ["KiB", *(v["title"] for v in variants.values())],
        rows,
        ["", *["n"] * len(variants)],
        total=True,
    )
    rows = []
    for name, runs in cost["runs"].items():
        for run, price in runs.items():
            rows.append(
                [
                    variants[name]["title"],
                    RUNS[run],
                    f"{price['cycles']:,.0f}",
                    quantity(float(price["seconds"]), "s"),
                    *(quantity(float(j), "J") for j in price["total"]),
                ]
            )
            section.interval(f"replay.{name}.{run}.energy", price["total"], "J")
            section.metric(
                f"replay.{name}.{run}.seconds", price["seconds"], "s", "lower", "modelled"
            )
        section.metric(f"replay.{name}.memory", variants[name]["bits"], "bit", "lower", "modelled")
    section.table(
        ["replay", "run", "cycles", "time", "low", "nominal", "high"],
        rows,
        ["", "", "n", "n", "n", "n", "n"],
    )
    for name, why in cost["refused"].items():
        section.text(f"{variants[name]['title']} is not priced: {why}.")
    of, own = session_text.own_run(cost)
    section.table(
        [f"part of {session_text.own_title(cost)}", "low", "nominal", "high"],
        [
            [name, *(quantity(float(j), "J") for j in bounds)]
            for name, bounds in sorted(own["split"].items(), key=lambda item: -item[1][1])
        ],
        ["", "n", "n", "n"],
        folded=f"Energy of {of}, part by part",
    )
    for part, bounds in cost["area"].items():
        section.interval(f"area.{part.replace(' ', '_')}", bounds, "mm2")
    return section


def _begin(section: Section, cost: dict, cil: dict | None) -> None:
    """Give the section its title and say what is priced; of a chip that draws, show stored replay beside it."""
    native = (
        " Of native replay the images are stored, and pass through the extractor at every visit; where the extractor "
        "is retrained, its back-propagation is a closed form of a chip that is not generated."
    )
    title = session_text.chip_title(cost)
    if title == replay_variants.DRAWN:
        section.title, native = "Generative and stored replay", ""
    elif len(cost["memory"]["variants"]) == 1:  # it is given latents, and has no images to keep
        section.title, native = title.capitalize(), ""
    if cost["task"] is None:
        section.title = "Memory, and the cost of an inference"
        section.text(f"{NO_SESSION[0].upper()}{NO_SESSION[1:]}; {cost['origin']}.")
    else:
        section.text(
            f"Session {cost['task']}: {session_text.new_classes(cost)}, {cost['new_samples']:,} new "
            f"{cost['samples']}, {cost['remembered']:,} latents {session_text.remembered(cost)}; {cost['origin']}.{native}"
        )
        if title == replay_variants.DRAWN:
            _both_ways(section, cost, cil)


def _both_ways(section: Section, cost: dict, cil: dict | None) -> None:
    """Show bits, cycles, joules and accuracy of the chip and of stored replay beside it."""
    rows = []
    for name, variant in cost["memory"]["variants"].items():
        session = cost["runs"].get(name, {}).get("session")
        own = "chip" if name == replay_variants.LATENT else name
        a_final = (cil or {}).get("methods", {}).get(own, {}).get("a_final")
        rows.append(
            [
                variant["title"],
                f"{variant['bits']:,}",
                f"{session['cycles']:,.0f}" if session else "–",
                quantity(float(session["total"][1]), "J") if session else "–",
                f"{100 * mean(a_final):.1f} ± {100 * spread(a_final):.1f}" if a_final else "–",
            ]
        )
    section.table(
        ["chip with", "bits of memory", "cycles of a session", "energy, nominal", "a_final, %"],
        rows,
        ["", "n", "n", "n", "n"],
        caption="The same network, array and session. Stored replay of as many latents as make a chip of at most the same "
        "bits, and of replay_capacity latents.",
    )


def use(results: dict[str, dict], failures: dict[str, str], plan: Plan) -> Section:
    """Show how busy the array is in each phase, and the roofline."""
    section = Section("use", "Utilisation and roofline")
    cost = results.get("estimate", {}).get("session_cost")
    if cost is None:
        section.absent("estimate", failures)
        return section
    for run, title in cost_sections.RUNS.items():
        if run not in cost["phases"]:
            continue
        found = roofline.dots(plan, cost["phases"][run])
        working = {d.phase: (d.intensity, d.rate) for d in found if d.rate}
        section.heading(title[0].upper() + title[1:])
        section.figure(
            plots.roofline(
                working,
                roofline.peak(plan),
                roofline.bandwidth(plan, cost["phases"][run]),
                "operations a cycle",
            ),
            f"Roofline of the array, {title}: operations are one-bit products and additions, bits "
            "those of memories outside the array.",
        )
        section.table(
            ["phase", "cycles", "array busy", "cells used", "operations a bit"],
            [
                [
                    d.phase,
                    f"{d.cycles:,}",
                    quantity(d.busy, "fraction"),
                    quantity(d.utilisation, "fraction"),
                    f"{d.intensity:,.1f}" if d.rate else "–",
                ]
                for d in found
            ],
            ["code", "n", "n", "n", "n"],
            caption="Busy: cycles with an operand in the array. Used: operations of those that all "
            "cells could do. From the counters of each phase.",
        )
        for d in found:
            name = f"use.{run}.{d.phase}"
            section.metric(f"{name}.busy", d.busy, "fraction", "higher", "counted")
            section.metric(f"{name}.cells", d.utilisation, "fraction", "higher", "counted")
    return section


def search(results: dict[str, dict], failures: dict[str, str]) -> Section:
    """Show the Pareto fronts of the designs that `explore` tried."""
    section = Section("search", "Design space")
    if "explore" not in results:
        section.absent("explore", failures)
        return section
    result = results["explore"]
    section.text(
        f"{len(result['points'])} designs, {len(result['refused'])} more that cannot be built; "
        f"accuracy: {result['accuracy']}."
    )
    if result["fronts"]:
        section.blocks.append(designs(result))
    for cost, numbers in result["fronts"].items():
        section.figure(
            pictures.front(result, cost),
            f"Accuracy over {cost} of a session; nominal costs.",
        )
        head, *rows = text.rows_of(result, numbers)
        section.table(head, rows, ["n"] * len(head), folded=f"The front of {cost}")
        if others := result.get("stored_fronts", {}).get(cost):
            _, *rows = text.rows_of(result, others)
            folded = f"The front of {cost} without generative replay"
            section.table(head, rows, ["n"] * len(head), folded=folded)
    for title, answer in text.answers(result):
        section.heading(title)
        section.preformatted(answer)
    measured = [p for p in result["points"] if p["a_final"] is not None]
    if measured:
        for cost in COSTS:
            best = text.cheapest(measured, cost)
            name = f"explore.cheapest_within_a_point.{cost}"
            section.metric(name, text.cost_of(best, cost), SLUGS[cost], "lower", "modelled")
        top = max(p["a_final"] for p in measured)
        section.metric("explore.best_a_final", top, "fraction", "higher", "counted")
    return section


def upsets(results: dict[str, dict], failures: dict[str, str], plan: Plan) -> Section:
    """Show what bits that change by themselves do to a session, and which memory to protect first."""
    section = Section("upsets", "Soft errors")
    if "upset" not in results:
        section.absent("upset", failures)
        return section
    result = results["upset"]
    section.preformatted(upset_text.text(result, plan))
    section.text(
        f"{upset_text.BEARS}. {'; '.join(f'{n}: {m}' for n, m in result['outcomes'].items())}."
    )
    for field, title in upset_pictures.PICTURES.values():
        caption = f"{title[0].upper()}{title[1:]}: over the sessions of each memory and rate."
        section.figure(upset_pictures.curves(result, field, title), caption)
    for place in result["places"]:
        name = f"upset.{place['name']}"
        section.metric(
            f"{name}.harmed_by_one", place["one"]["harmed"], "fraction", "lower", "counted"
        )
    return section


def designs(result: dict) -> Points:
    """Return the measured designs of a sweep, to be hovered and filtered."""
    measured = [i for i, p in enumerate(result["points"]) if p["a_final"] is not None]
    head, *rows = text.rows_of(result, measured)
    axes = {cost: pictures.axis([result["points"][i] for i in measured], cost) for cost in COSTS}
    points = []
    for i, row in zip(measured, rows, strict=True):
        p = result["points"][i]
        way = pictures.SHORT[p["replay"]]
        told = ", ".join(f"{name} {cell}" for name, cell in zip(head, row, strict=True))
        costs = {cost: pictures.value(p, cost) / factor for cost, (factor, _) in axes.items()}
        point = {"number": i, "way": way, "a_final": p["a_final"], "dials": p["dials"], "tip": told}
        points.append(point | costs)
    varied = [d for d, values in result["sweep"].items() if len(values) > 1]
    titles = {cost: title for cost, (_, title) in axes.items()}
    met = {result["points"][i]["replay"] for i in measured}
    ways = {pictures.SHORT[replay]: c for replay, c in pictures.COLOUR.items() if replay in met}
    return Points(titles, varied, ways, points)


def assumptions(results: dict[str, dict], failures: dict[str, str]) -> Section:
    """Show what each correction adds, which assumption moves a session's joules most, and what others take to learn."""
    section = Section("assumptions", "What the energy rests on")
    cost = results.get("estimate", {}).get("session_cost")
    if cost is None:
        section.absent("estimate", failures)
        return section
    of, run = session_text.own_run(cost)
    nominal = run["total"][1]
    section.table(
        [f"of {of}", "nominal", "share"],
        session_text.correction_rows(run, lambda part: quantity(part, "fraction")),
        ["", "n", "n"],
        caption="What is counted, and what each correction adds; estimate --without switches one off.",
    )
    swings = cost["tornado"]
    section.figure(
        plots.tornado([(s["assumption"], s["low"], s["high"]) for s in swings], nominal, "J"),
        f"Energy of {of} with one assumption at its ends and the others nominal.",
    )
    for name, joules in run["corrections"].items():
        section.metric(f"correction.{name.replace(' ', '_')}", joules, "J", "neither", "modelled")
    section.table(
        session_text.ANCHORS,
        session_text.anchor_rows(cost),
        ["", "", "n", "", ""],
        caption="What it takes to learn, beside published systems; their scopes differ.",
    )
    return section


def validation() -> Section:
    """Show published chips, each predicted from the others."""
    section = Section("validation", "Validation of the energy model")
    found = validate.predictions()
    section.table(
        ["chip", "figure", *validate.HEAD],
        [[p.chip, p.figure, *validate.cells(p)] for p in found],
        ["", "", "", "n", "n", "n", "n", "n", ""],
        caption="Each chip is predicted from the others: no figure of its own is in costs, laws or factor. "
        + validate.reached(found),
    )
    for p in found:
        if validate.large(p) and p.explanation:
            section.text(f"{p.chip}: {p.explanation}")
        section.metric(f"validation.{p.chip}.ratio", p.ratio, "1", "neither", "modelled")
    rows = [
        [
            p.chip,
            e.name,
            f"{e.count:,g}",
            quantity(e.cost.nominal, "J"),
            f"{e.mark}: {e.why}",
            e.cost.source,
        ]
        for p in found
        for e in p.events
    ]
    section.table(
        ["chip", "event", "count", "nominal each", "mark and reason", "source"],
        rows,
        ["", "code", "n", "n", "", "source"],
        folded="Every event, with its mark and cost",
    )
    return section
