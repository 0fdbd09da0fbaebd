"""The report: self-contained, complete, and honest about what has not run."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.flow import sample_run
from xnoreplay.flow.cost import estimate, session_cost, session_text
from xnoreplay.flow.datasets.bundles import BUNDLE
from xnoreplay.flow.explore import pictures
from xnoreplay.flow.output import plots as figures
from xnoreplay.flow.output.quantities import Metric, quantity, spread
from xnoreplay.flow.report import blocks, cost_sections, sections, session_sections
from xnoreplay.flow.report import page as report
from xnoreplay.flow.run import files
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import counterparts, presets
from xnoreplay.spec import plan as plans

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)


def make(tmp_path, steps=None, failed=None, preset=TINY):
    steps = sample_run.results(PLAN) if steps is None else steps
    inputs = sample_run.write(tmp_path, preset, steps, failed or {})
    if "export" in inputs:
        bundles.write(bundles.random(TINY.network, 0), inputs["export"] / BUNDLE)
    out = tmp_path / "report"
    out.mkdir()
    report.write_report(preset, inputs, out)
    return (out / report.PAGE).read_text(), files.read_json(out / report.NUMBERS)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Page and numbers of a run of which every step succeeded."""
    folder = tmp_path_factory.mktemp("full")
    return folder, *make(folder)


class Outline(HTMLParser):
    """Titles of sections, and tags that are left open."""

    VOID = {"meta", "br", "path", "use"}

    def __init__(self, text):
        super().__init__()
        self.open, self.titles, self.pictures = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, _attrs):
        self.pictures += tag == "svg"
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, _attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)


def test_a_page_with_every_section_and_pictures(full):
    _, page, _ = full
    outline = Outline(page)
    assert outline.open == []
    assert outline.titles == [
        "The chip",
        "Class-incremental learning",
        "Memory map",
        "Cycles",
        "Utilisation and roofline",
        "Energy",
        "Latent and native replay",
        "What the energy rests on",
        "Design space",
        "Soft errors",
        "Validation of the energy model",
        "Equality",
        "Mutation score",
        "Proof",
        "Verilog and synthesis",
        "Provenance",
    ]
    assert outline.pictures >= 6
    assert "has not run" not in page


def test_classes_stand_there_by_their_names(full):
    """Of a user: shown as text, never as markup."""
    _, page, _ = full
    for name in ("bolt", "nut", "ring", "&lt;pin&gt;"):
        assert f">{name}<" in page
    assert "<pin>" not in page
    assert "bolt, nut" in page  # the base
    assert "session 1\nring" in sections._with_new_class(
        ["base", "session 1"], [["bolt", "nut"], ["ring"]]
    )
    assert "1 new class (1)" in page  # the session that is priced, on digits


def test_the_page_needs_no_other_file(full):
    folder, page, _ = full
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page)
    assert "@import" not in page
    assert str(folder) not in page


HAND = """<script>
const box = document.querySelector(".points"), of = (name) => box.querySelector(`[name=${name}]`);
const states = [], set = (name, value) => {
  const control = of(name);
  if (control.type === "checkbox") control.checked = value; else control.value = value;
  control.dispatchEvent(new Event("change", { bubbles: true }));
};
states.push(box.querySelector("circle").getAttribute("fill"));
const note = () => states.push([...box.querySelectorAll("circle")].map((c) => Number(c.dataset.point)));
note(); set("cost", "memory"); set("front", true); note(); set("front", false); set("proxy_bits", "8"); note();
set("staging", "false"); note(); box.querySelector("circle").dispatchEvent(new Event("mouseenter"));
states.push(box.querySelector(".told").textContent); set("replay", "images"); note();
document.title = JSON.stringify(states);
</script>"""


def test_designs_are_hovered_and_filtered_in_a_browser(full, tmp_path):
    """From the disk, without a network; the front of what a filter leaves is drawn anew."""
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium")
    path = tmp_path / "page.html"
    path.write_text(full[1].replace("</body>", f"{HAND}</body>"), encoding="utf-8")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'user'}",
    ]
    shown = subprocess.run(
        [browser, *options, "--dump-dom", path.as_uri()],
        capture_output=True,
        check=True,
        timeout=60,
    )
    title = re.search(r"<title>(.*?)</title>", shown.stdout.decode()).group(1)
    colour, every, front, eight, unstaged, told, none = json.loads(title)
    assert colour == pictures.COLOUR["latent"]
    assert (every, front, eight, unstaged, none) == ([0, 1, 2, 3], [2, 1, 0], [0, 2, 3], [2], [])
    assert told.startswith("point 2, staging no, replay latent, proxy_bits 8, a_final 70.0")


def test_what_is_told_of_designs_cannot_end_the_script():
    text = blocks.Points({}, [], {}, [{"tip": "</script><b>"}]).json
    assert "<" not in text
    assert json.loads(text)["points"] == [{"tip": "</script><b>"}]


def test_a_page_without_designs_has_no_script(tmp_path):
    page, _ = make(tmp_path, {})
    assert "<script" not in page


def test_generative_and_stored_replay_stand_side_by_side():
    drawn = presets.vary(
        TINY, "target", replay="generative", replay_components=2, drawn_per_class=8, epochs=1
    )
    plan = plans.compile(drawn.network, drawn.target)
    cost = session_cost.price_session(drawn, None)
    methods = {"chip": {"a_final": [0.8, 0.9]}, "stored_bits": {"a_final": [0.5, 0.5]}}
    steps = {"estimate": {"session_cost": cost}, "cil": {"methods": methods}}
    section = session_sections.replay(steps, {})
    assert section.title == "Generative and stored replay"
    table = next(b for b in section.blocks if b.kind == "table")
    ours, same, kept = table.rows
    assert [row[0] for row in table.rows] == [
        "generative replay",
        *(counterparts.title(t) for t in counterparts.stored(plan).values()),
    ]
    assert (ours[-1], same[-1], kept[-1]) == ("85.0 ± 7.1", "50.0 ± 0.0", "–")
    assert [int(row[1].replace(",", "")) for row in table.rows] == [
        v["bits"] for v in cost["memory"]["variants"].values()
    ]
    assert len({row[2] for row in table.rows}) == 3
    split = next(b for b in section.blocks if b.kind == "table" and b.folded)
    assert split.head[0] == "part of a session, generative replay"
    assert "components a class" in sections._remembered(drawn)[1]
    assert "replay.latent" not in {m.name for m in sections.memory(plan).metrics}
    assert "generative replay: one session" in session_text.text(cost)
    assert "energy, generative replay" in session_text.text(cost)


def test_every_number_has_unit_direction_and_origin(full):
    *_, tree = full
    metrics = [Metric(**m) for m in tree["metrics"]]
    assert len({m.name for m in metrics}) == len(metrics) > 100
    for m in metrics:
        assert m.unit
        assert m.better in ("lower", "higher", "neither")
        assert m.origin in ("counted", "modelled", "tool")
        assert isinstance(m.value, int | float)


@pytest.mark.parametrize(
    ("name", "value", "unit", "origin"),
    [
        ("network.weight_bits", TINY.network.weight_bits, "bit", "modelled"),
        ("memory.total", sum(m.bits for m in PLAN.memories), "bit", "modelled"),
        ("cil.chip.a_final", pytest.approx(0.8), "fraction", "counted"),
        ("cil.chip.a_final.spread", pytest.approx(0.01), "fraction", "counted"),
        ("cycles.inference", PLAN.feature_cycles, "cycle", "counted"),
        ("events.inference.cycles", 1, "event", "counted"),
        ("ecp5.lut4", 10, "cell", "tool"),
        ("step.cosim.seconds", 1.5, "s", "tool"),
    ],
)
def test_numbers(full, name, value, unit, origin):
    metrics = {m["name"]: m for m in full[2]["metrics"]}
    m = metrics[name]
    assert (m["value"], m["unit"], m["origin"]) == (value, unit, origin)


def test_the_mutation_score_names_what_survives(full):
    _, page, tree = full
    metrics = {m["name"]: m["value"] for m in tree["metrics"]}
    assert metrics["mutation.score"] == 1 / 2
    assert (metrics["mutation.killed"], metrics["mutation.survived"]) == (1, 1)
    assert "3 end in m: line 3" in page


def test_energy_and_its_bounds_are_numbers(full):
    metrics = {m["name"]: m["value"] for m in full[2]["metrics"]}
    low, nominal, high = (metrics[f"energy.session.{b}"] for b in ("low", "nominal", "high"))
    assert low < nominal < high
    assert "energy.session.array.nominal" in metrics


@pytest.fixture
def unrendered(monkeypatch):
    """Pictures are laid out, but files of them are empty: those of `full` are rendered, which takes as long again."""
    empty = {"svg": "<svg></svg>", "pdf": b""}
    monkeypatch.setattr(
        Figure, "savefig", lambda _self, file, format, **_: file.write(empty[format])
    )


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize(
    "missing",
    [
        "cil",
        "simulate",
        "cosim",
        "mutate",
        "prove",
        "synth",
        "estimate",
        "explore",
        "upset",
        "export",
    ],
)
def test_a_step_that_has_not_run_is_said_to(tmp_path, missing):
    steps = sample_run.results(PLAN)
    steps.pop(missing)
    page, tree = make(tmp_path, steps)
    assert missing not in tree["steps"]
    if missing == "cosim":
        assert "Not run: cosim." in page
        assert "co-simulation has not run" in page
    elif missing != "export":
        assert f"Step {missing} has not run." in page


@pytest.mark.usefixtures("unrendered")
def test_a_chip_that_never_learns_has_the_price_of_an_inference(tmp_path):
    """Its base has all classes: `cil` has not run, no session was simulated, and none is priced."""
    preset = presets.vary(TINY, "scenario", base=TINY.network.classes, step=1)
    steps = sample_run.results(PLAN)
    for name in ("cil", "explore"):
        del steps[name]
    del steps["simulate"]["session"]
    priced = estimate.report(PLAN, {"inference": steps["simulate"]["inference"]})
    steps["estimate"] = priced | {"session_cost": session_cost.price_session(preset, None)}
    page, tree = make(tmp_path, steps, preset=preset)
    assert "and none on it. Numbers are" in page
    assert "The base has all classes: no session comes after it, and no class is learned" in page
    assert "No session: the base has all classes, so the chip never learns" in page
    assert "4 classes, then no session" in page
    assert "accuracy among the classes trained off the chip" in page
    text = " ".join(re.sub(r"<[^>]*>", " ", page.split("<body")[1]).split())
    for word in ("one session", "retraining session", "and native replay", "part of a session"):
        assert word not in text, word
    assert "part of an inference" in text
    names = {m["name"] for m in tree["metrics"]}
    assert {"replay.latent.inference.energy.nominal", "energy.inference.nominal"} <= names
    assert not [n for n in names if "session" in n]


@pytest.mark.usefixtures("unrendered")
def test_nothing_has_run(tmp_path):
    page, tree = make(tmp_path, {})
    assert tree["steps"] == []
    assert "Memory map" in page, "the plan alone gives the memory map"


@pytest.mark.usefixtures("unrendered")
def test_a_failed_check_is_at_the_top(tmp_path):
    steps = sample_run.results(PLAN)
    steps["cosim"] = {"failure": "x"}
    page, tree = make(tmp_path, steps, failed={"cosim": "first difference in cycle 7 <b>"})
    assert tree["failures"] == {"cosim": "first difference in cycle 7 <b>"}
    assert "FAILED" in page
    assert "first difference in cycle 7 &lt;b&gt;" in page


def test_steps_of_another_preset_are_left_out(tmp_path):
    inputs = sample_run.write(tmp_path, presets.load("digits"), sample_run.results(PLAN), {})
    results, failures, records = report.read(TINY, inputs)
    assert (results, failures, records) == ({}, {}, {})


def test_the_same_results_give_the_same_page(full, tmp_path):
    assert make(tmp_path) == full[1:]


def test_pictures_do_not_share_identifiers():
    one = figures.bars(["a"], [1.0], "x").svg
    two = figures.bars(["a", "b"], [1.0, 2.0], "x").svg
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_images_are_drawn():
    svg = figures.images(np.arange(32, dtype=np.uint8).reshape(2, 4, 4)).svg
    assert svg.startswith("<svg")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "J", "0 J"),
        (1.5e-18, "J", "0.0015 fJ"),
        (2.0e7, "Hz", "20 MHz"),
        (7, "bit", "7 bit"),
        (0.25, "", "0.25"),
        (1e13, "cycle/s", "1e+04 Gcycle/s"),
    ],
)
def test_quantity(value, unit, text):
    assert quantity(value, unit) == text


def test_spread_is_the_sample_deviation():
    assert spread([1.0, 2.0, 3.0]) == 1.0
    assert spread([5.0]) == 0.0


def test_pictures_are_files_too(full):
    folder, page, _ = full
    pictures = folder / "report" / report.PICTURES
    names = {p.name for p in pictures.iterdir()}
    assert len(names) == 2 * page.count("<svg")
    assert {"search-1.svg", "search-1.pdf", "use-2.pdf", "energy-1.svg"} <= names
    assert all(p.stat().st_size > 500 for p in pictures.iterdir())


def test_no_phase_is_above_the_roofs():
    from tests.flow.sample_run import priced
    from xnoreplay.flow.cost import roofline

    for phases in priced()["phases"].values():
        width = roofline.bandwidth(PLAN, phases)
        for dot in roofline.dots(PLAN, phases):
            assert dot.rate <= roofline.peak(PLAN)
            assert dot.rate <= dot.intensity * width
            assert 0 <= dot.utilisation <= dot.busy <= 1


def test_utilisation_by_hand():
    """Of tiny's first convolution: 16 beats of two lanes of nine taps for each of four tiles."""
    from tests.flow.sample_run import priced
    from xnoreplay.flow.cost import roofline

    (dot,) = (d for d in roofline.dots(PLAN, priced()["phases"]["inference"]) if d.phase == "conv0")
    op = PLAN.convolutions[0]
    assert dot.busy == op.tiles * op.pixels * op.beats / op.cycles


def test_cycles_of_a_minibatch_and_of_a_sample():
    """Learning phases alone: the balance's 10 and the error's 90, over 4 minibatches of 5 samples."""
    section = blocks.Section("cycles", "Cycles")
    run = {
        "phases": {"conv0": 500, "balance": 10, "error": 90},
        "counters": {"learn.minibatches": 4, "learn.samples": 20},
    }
    cost_sections.retraining(section, "session", run)
    assert {m.name: m.value for m in section.metrics} == {
        "cycles.session.per_minibatch": 25.0,
        "cycles.session.per_sample": 5.0,
    }
    assert section.blocks[-1].rows == [["a minibatch", "4", "25.0"], ["a sample", "20", "5.0"]]


def test_the_proof_says_how_far_each_property_holds(full):
    _, page, tree = full
    metrics = {m["name"]: m["value"] for m in tree["metrics"]}
    assert (metrics["proof.proved"], metrics["proof.bounded"]) == (1, 1)
    assert (
        "1 of 2 properties hold in every cycle; 1 within a bound; 1 of 1 planted faults are found"
        in page
    )
    assert "bounded, 40 cycles" in page
