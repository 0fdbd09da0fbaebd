"""Tables and figures of the paper's experiments: what each row runs, and that runs resume."""

import dataclasses
import json
import signal
import time
import xml.etree.ElementTree

import numpy as np
import pytest

from xnoreplay.flow.cli import main
from xnoreplay.flow.learning import cil, dials, systems
from xnoreplay.flow.learning.paper import published as paper
from xnoreplay.flow.learning.paper import reproduce
from xnoreplay.flow.learning.paper import tables as reproduced
from xnoreplay.flow.learning.paper.reproduce import Row, Source
from xnoreplay.flow.learning.systems import Variant
from xnoreplay.flow.output import plots as figures
from xnoreplay.flow.run import files
from xnoreplay.flow.run import locks as guard
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets, whole
from xnoreplay.spec.errors import SpecError, XnoreplayError
from xnoreplay.spec.target import GENERATIVE

DIGITS, FULL, TINY = (presets.load(n) for n in ("digits", "3mb-stored", "tiny"))


def source(**provenance):
    known = {"base_train_accuracy": 0.5, "base_test_accuracy": 0.25, "hardware": "an abacus"}
    bundle = bundles.random(TINY.network, 0)
    return Source(dataclasses.replace(bundle, provenance=known | provenance))


@pytest.fixture
def two_rows(monkeypatch):
    """Two short rows of the tiny preset, and a count of the systems that ran."""
    whole = cil.extract(TINY, source().bundle)
    few = dataclasses.replace(whole, train=whole.train[:80], train_class=whole.train_class[:80])
    runs = []

    def lines(_preset, _sources, _native, _memories):
        return [
            Row("Systems, chip's integers", "latent", Variant(rule="chip"), TINY, "45.5"),
            Row(
                "Memory, latent replay, float", "0.001 Mb", Variant(megabits=0.001, epochs=1), TINY
            ),
        ]

    def counted(variant, *args, **kwargs):
        runs.append(variant.label)
        return run(variant, *args, **kwargs)

    run = systems.learn_variant
    monkeypatch.setattr(reproduce.cil, "extract", lambda *_: few)
    monkeypatch.setattr(reproduce.latents, "packaged", lambda _bundle: few)  # not simulated
    monkeypatch.setattr(reproduce, "rows", lines)
    monkeypatch.setattr(reproduce.systems, "learn_variant", counted)
    return few, runs


def test_rows_cover_the_paper_s_experiments():
    lines = reproduce.rows(FULL, [source()], native=True)
    tables = dict.fromkeys(row.table for row in lines)
    assert tuple(dict.fromkeys(reproduce._word(row) for row in lines)) == reproduce.NAMES
    assert list(tables) == [
        "Systems, float Adam",
        "Systems, chip's integers",
        "Losses, latent replay, float",
        "Memory, latent replay, float",
        "Memory, latent replay, chip",
        "Memory, native replay, float",
        "Sessions, latent replay",
        "Extractors, latent replay",
    ]
    labels = {(row.table, row.label): row for row in lines}
    assert labels["Memory, latent replay, float", "5 Mb: 4,882 latents"].paper == "40 ± 2"
    assert labels["Memory, native replay, float", "5 Mb: 375 images"].paper == "26 ± 2"
    assert ("Memory, latent replay, chip", "0.05 Mb: 48 latents") not in labels
    assert not any(row.paper for row in reproduce.rows(DIGITS, [source()], native=True))
    assert {r.preset.scenario.tasks for r in lines if r.table.startswith("Sessions")} == {5, 25}
    losses = [row.variant for row in lines if row.table.startswith("Losses")]
    assert {(v.loss, v.balanced) for v in losses} == {
        (loss, b) for loss in ("cce", "fcce", "sh") for b in (True, False)
    }
    assert not [r for r in reproduce.rows(FULL, [source()], False) if r.variant.system == "native"]


def test_memories_can_be_chosen():
    lines = reproduce.rows(FULL, [source()], True, [5.0, 25.0])
    labels = [row.label for row in lines if row.table == "Memory, native replay, float"]
    assert labels == ["5 Mb: 375 images", "25 Mb: 1,878 images"]
    assert len([row for row in lines if row.table.startswith("Memory")]) == 6


def test_memories_are_in_order_and_once(two_rows, tmp_path, monkeypatch):
    assert two_rows
    lines, seen = reproduce.rows, []
    monkeypatch.setattr(reproduce, "rows", lambda *a: seen.append(a[-1]) or lines(*a))
    reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent(), memories=[25.0, 5.0, 25.0])
    assert seen == [[5.0, 25.0]]


def test_extractors_are_named_by_how_they_were_trained():
    base = source(trained_classes=50, base_classes=50, epochs=3, recipe={"twins": 0.0})
    whole = source(trained_classes=100, base_classes=50, epochs=4, recipe={"twins": 1.0})
    lines = [r for r in reproduce.rows(FULL, [base, whole], False) if r.table.startswith("Extr")]
    assert lines[0].label == "extractor of the base classes (RPT), supervised, 3 epochs, float"
    assert lines[2].label == "extractor of all classes (FPT), semi-supervised, 4 epochs, float"
    taught = source(trained_classes=50, base_classes=50, epochs=5, recipe={"distilled": 0.7})
    assert taught.label == "extractor of the base classes (RPT), distilled, 5 epochs"
    still = source(
        epochs=6, recipe={"shift": 0, "flipped": False}, start={"epochs": 5, "teacher": {}}
    )
    assert still.label == (
        "extractor of the base classes (RPT), supervised, images not moved, "
        "5 epochs of other trainings, some distilled, and 6 epochs"
    )
    assert reproduce.rows(FULL, [still], False)[-1].paper == ""
    assert reproduce.rows(FULL, [source(recipe={"shift": 0})], False)[-1].paper == ""
    again = source(
        trained_classes=100,
        base_classes=50,
        recipe={"twins": 1.0},
        start={"recipe": {"twins": 1.0}},
    )
    assert reproduce.rows(FULL, [again], False)[-1].paper == paper.EXTRACTORS["all", "semi"]
    free = source(recipe="adam", start=5, trained_classes="many")  # provenance is free
    assert free.label == "extractor of the base classes (RPT), supervised, ? epochs"
    nothing = Source(dataclasses.replace(free.bundle, provenance={}))
    assert nothing.label == free.label
    knows = {"epochs": 5, "trained_classes": 100, "recipe": {"twins": 1.0}}
    later = source(
        trained_classes=50, base_classes=50, epochs=6, start={"epochs": 7, "start": knows}
    )
    assert later.label == (
        "extractor of all classes (FPT), supervised, "
        "5 + 7 epochs of other trainings, some semi-supervised, and 6 epochs"
    )
    assert reproduce.rows(FULL, [later], False)[-1].paper == ""
    assert [r.paper for r in lines[::2]] == [
        paper.EXTRACTORS["base", "supervised"],
        paper.EXTRACTORS["all", "semi"],
    ]


def test_tables_say_what_was_computed(two_rows, tmp_path):
    few, runs = two_rows
    result = reproduce.reproduce(FULL, [source()], [0, 1], tmp_path, Silent())
    chip, memory = result["rows"]
    expected = cil.chip(TINY, source().bundle, few.shuffled(1), 1)
    assert chip["a_final"][1] == expected["a_final"]
    assert chip["curve"][1][-1] == pytest.approx(expected["a_final"])
    assert memory["megabits"] == 0.001
    text = (tmp_path / reproduce.TABLES).read_text()
    assert text == reproduced.markdown(result) + "\n"
    assert (
        "epochs, trained on an abacus, recognises 50.0 % of the training and 25.0 % of the test"
        in text
    )
    bundle = result["bundles"][0] | {"start": {"epochs": 7}}
    assert ", the last of them trained on an abacus, " in reproduced.markdown(
        result | {"bundles": [bundle]}
    )
    mean = 100 * np.mean(chip["a_final"])
    line = next(line for line in text.splitlines() if line.startswith("| latent |"))
    assert line.startswith(f"| latent | {mean:.1f} ± ")
    assert "| 45.5 |" in line
    assert json.loads((tmp_path / reproduce.RESULT).read_text())["seeds"] == [0, 1]
    assert len(runs) == 4


def test_a_stopped_run_goes_on_row_by_row(two_rows, tmp_path, monkeypatch):
    _, runs = two_rows
    with monkeypatch.context() as patch:
        patch.setattr(reproduce.quantities, "seen_curve", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent())
    assert not list((tmp_path / reproduce.ROWS).glob("*") if (tmp_path / "rows").exists() else [])
    runs.clear()
    first = reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent())
    assert len(runs) == 2
    more = reproduce.reproduce(FULL, [source()], [0, 1], tmp_path, Silent())
    assert len(runs) == 4  # seed 0 was there
    assert more["rows"][0]["a_final"][0] == first["rows"][0]["a_final"][0]
    reproduce.reproduce(FULL, [source(epochs=9)], [0], tmp_path, Silent())
    assert len(runs) == 6  # another bundle


def test_what_stands_in_two_tables_runs_once(two_rows, tmp_path, monkeypatch):
    _, runs = two_rows
    lines = reproduce.rows(TINY, [], False, [])
    again = [
        dataclasses.replace(row, table=f"{row.table} again", label="the same") for row in lines
    ]
    monkeypatch.setattr(reproduce, "rows", lambda *_: lines + again)
    result = reproduce.reproduce(FULL, [source()], [0, 1], tmp_path, Silent(), workers=2)
    assert len(runs) == 4
    assert len(list((tmp_path / reproduce.ROWS).iterdir())) == 4
    scores = [row["a_final"] for row in result["rows"]]
    assert scores[:2] == scores[2:]


def test_a_damaged_row_is_computed_again_and_parts_go(two_rows, tmp_path):
    _, runs = two_rows
    first = reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent())
    assert reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent()) == first
    left = whole.beside(tmp_path / reproduce.ROWS / "x.json", files.PART)
    left.mkdir()
    whole.mark(left)
    for one, other in (
        ("{", "[]"),
        ("5", "{}"),
        ({}, 5),
        ([], None),
        ({"curve": []}, {"a_final": "1"}),
    ):
        runs.clear()
        for damage, path in zip(
            (one, other), (tmp_path / reproduce.ROWS).glob("*.json"), strict=True
        ):
            row = json.loads(path.read_text())
            changed = row["result"] | damage if damage and isinstance(damage, dict) else damage
            path.write_text(
                damage if isinstance(damage, str) else json.dumps(row | {"result": changed})
            )
        again = reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent())
        assert len(runs) == 2
        assert [r["a_final"] for r in again["rows"]] == [r["a_final"] for r in first["rows"]]
    assert not left.exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_a_library_swallows_is_not_lost(two_rows, tmp_path, monkeypatch):
    assert two_rows

    class Dying:
        def __del__(self):  # what is raised here is dropped
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(reproduce.tables, "pictures", lambda _result: Dying() and {})
    with pytest.raises(KeyboardInterrupt):
        reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent())


def test_a_folder_has_one_run_at_a_time(two_rows, tmp_path):
    assert two_rows
    with guard.locked(tmp_path), pytest.raises(XnoreplayError, match="another run is using it"):
        reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent())


def test_workers_change_nothing(two_rows, tmp_path):
    assert two_rows
    one, two = (
        reproduce.reproduce(FULL, [source()], [0, 1], tmp_path / str(n), Silent(), workers=n)
        for n in (1, 2)
    )
    for a, b in zip(one["rows"], two["rows"], strict=True):
        assert a | {"seconds": 0} == b | {"seconds": 0}


def test_native_replay_runs_alone_and_last(two_rows, tmp_path, monkeypatch):
    assert two_rows
    lines = reproduce.rows(TINY, [], False, [])
    native = [
        Row("Memory, native replay, float", str(m), Variant("native", megabits=m), TINY)
        for m in (0.1, 0.2)
    ]
    monkeypatch.setattr(reproduce, "rows", lambda *_: native + lines)
    at_work, most, order = [], [], []

    def computed(row, *_):
        at_work.append(row)
        most.append((row.variant.system, len(at_work)))
        order.append(row.label)
        time.sleep(0.05)
        at_work.remove(row)
        return {"a_final": float(len(order)), "hardware": "an abacus"}

    monkeypatch.setattr(reproduce, "_computed", computed)
    monkeypatch.setattr(reproduced, "pictures", lambda _result: {})
    monkeypatch.setattr(reproduced, "markdown", lambda _result: "")
    result = reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent(), native=True, workers=4)
    assert order[2:] == ["0.1", "0.2"]
    assert {n for system, n in most if system == "native"} == {1}
    assert [row["label"] for row in result["rows"]] == ["0.1", "0.2", *(row.label for row in lines)]
    assert [row["a_final"] for row in result["rows"][:2]] == [[3.0], [4.0]]


def test_figures_are_drawn_from_the_rows(two_rows, tmp_path):
    assert two_rows
    reproduce.reproduce(FULL, [source()], [0, 1], tmp_path, Silent())
    names = {p.stem for p in tmp_path.glob("*.svg")}
    assert names == {"sessions_chip", "memory"}  # those that have rows
    for path in tmp_path.glob("*.svg"):
        assert xml.etree.ElementTree.parse(path).getroot().tag.endswith("svg")
    drawn = (tmp_path / "memory.svg").read_text()
    assert "latent, float" in drawn
    assert "stroke-dasharray" not in drawn
    assert (tmp_path / "memory.pdf").read_bytes().startswith(b"%PDF")
    reproduce.reproduce(FULL, [source()], [0, 1], tmp_path, Silent(), only=["Systems"])
    assert {p.name for p in tmp_path.glob("*.???")} >= {"sessions_chip.svg", "sessions_chip.pdf"}
    assert not list(tmp_path.glob("memory.*"))  # of the earlier tables


def test_what_the_predecessor_reported_is_drawn_beside_ours(monkeypatch):
    rows = [
        {
            "table": f"Memory, latent replay, {rule}",
            "system": "latent",
            "rule": rule,
            "megabits": megabits,
            "a_final": [0.3, 0.5],
            "paper": known,
        }
        for rule in ("float", "chip")
        for megabits, known in ((0.5, "26 ± 2"), (1.0, ""), (5.0, "40 ± 2"))
    ]
    assert "stroke-dasharray" in reproduced.pictures({"rows": rows})["memory"].svg
    seen = {}
    monkeypatch.setattr(
        figures, "against", lambda series, *_, dashed: seen.update(series, dashed=dashed)
    )
    reproduced.pictures({"rows": rows})
    assert list(seen.pop("dashed")) == ["predecessor, latent"]
    assert seen.pop("predecessor, latent") == ([0.5, 5.0], [0.26, 0.4], [0.02, 0.02])
    assert {name: x for name, (x, _, _) in seen.items()} == dict.fromkeys(
        ("latent, float", "latent, chip"), [0.5, 1.0, 5.0]
    )


def test_some_tables_alone(two_rows, tmp_path):
    assert two_rows
    arguments = FULL, [source()], [0], tmp_path, Silent()
    result = reproduce.reproduce(*arguments, only=["Memory"])
    assert [row["table"] for row in result["rows"]] == ["Memory, latent replay, float"]
    with pytest.raises(
        SpecError, match="table must be one of Memory, Systems, not 'Memry'; did you"
    ):
        reproduce.reproduce(*arguments, only=["Memry"])


def test_refusals(tmp_path):
    with pytest.raises(SpecError, match="at least one seed"):
        reproduce.reproduce(FULL, [source()], [], tmp_path, Silent())
    other = presets.vary(FULL, "scenario", dataset="core50")
    with pytest.raises(SpecError, match="must be of data set 'cifar100', or 'digits'"):
        reproduce.reproduce(other, [source()], [0], tmp_path, Silent())


def test_the_command(two_rows, tmp_path, capsys):
    assert two_rows
    path = tmp_path / "b.safetensors"
    bundles.write(source().bundle, path)
    arguments = ["--preset", "tiny", "--bundle", str(path), "--seeds", "1", "--workers", "1"]
    assert main(["reproduce", *arguments, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == (tmp_path / "out" / reproduce.TABLES).read_text()


def test_the_command_names_memories(tmp_path, monkeypatch):
    path, seen = tmp_path / "b.safetensors", []
    bundles.write(source().bundle, path)
    monkeypatch.setattr(reproduce, "reproduce", lambda *a, **_: seen.append(a[-1]) or {})
    monkeypatch.setattr(reproduced, "markdown", str)
    for chosen in ([], ["--buffer", "5", "--buffer", "0.5"]):
        assert main(["reproduce", "--preset", "tiny", "--bundle", str(path), *chosen]) == 0
    assert seen == [reproduce.MEGABITS, [5.0, 0.5]]


def test_options_of_tables_that_are_not_wanted(capsys):
    for option, needed in (
        ("--native", "Memory"),
        ("--buffer=5", "Memory"),
        ("--also=b", "Extractors"),
    ):
        assert main(["reproduce", "--preset", "tiny", "--table", "Losses", option]) == 1
        sentence = f"{option.split('=')[0]} must be with table {needed}, not with Losses alone"
        assert sentence in capsys.readouterr().err
    assert main(["reproduce", "--preset", "tiny", "--table", "Losess", "--native"]) == 1
    assert "'Losess'; did you mean 'Losses'?" in capsys.readouterr().err


def test_dials_are_those_around_a_preset():
    full, digits = dials.around(FULL), dials.around(DIGITS)
    assert digits["rate_shift"] == (1, 2, 3, 4, 5)
    assert digits["replay_capacity"] == (20, 50, 100, 200)
    assert full["replay_capacity"] == (976, 2441, 4882, 9764)
    assert full["staging_capacity"] == (0, 625, 1250, 2500, 5000)
    assert not {*GENERATIVE} & digits.keys()
    drawn = presets.vary(DIGITS, "target", replay="generative", staging_capacity=0)
    assert dials.around(drawn).keys() == dials.DIALS.keys() - {"replay_capacity"}
    assert dials.around(drawn)["staging_capacity"] == (0,)


def test_simulated_latents_stay_in_the_folder(tmp_path, monkeypatch):
    made = source()
    first = reproduce._latents(made, TINY, tmp_path)
    assert [p.name.split("-")[0] for p in tmp_path.iterdir()] == ["latents"]
    monkeypatch.setattr(reproduce.cil, "simulated", None)  # is not called
    again = reproduce._latents(source(), TINY, tmp_path)
    np.testing.assert_array_equal(first.train, again.train)


def test_the_head_says_how_each_extractor_was_trained():
    made = source(
        base_classes=50,
        trained_classes=100,
        epochs=4,
        start={"digest": "0", "epochs": 8, "start": {"digest": "1", "epochs": 42}},
        dataset="cifar100",
        trained_train_accuracy=0.45,
        trained_test_accuracy=0.4,
    )
    assert made.label == (
        "extractor of all classes (FPT), supervised, 42 + 8 epochs of other trainings and 4 epochs"
    )
    text = reproduced.markdown(
        {
            "seeds": [0],
            "chip_epochs": 6,
            "float_epochs": 10,
            "native_epochs": 10,
            "hardware": ["an abacus"],
            "bundles": [{"label": made.label, **made.bundle.provenance}],
            "rows": [],
        }
    )
    assert "Of all classes it was trained on, 45.0 % and 40.0 %." in text
    assert "recognises 78.5 % of their training images" in text
    assert "predecessor" not in text
    free = {"label": "another", "base_train_accuracy": 0.5, "base_test_accuracy": "?"}
    odd = reproduced.markdown(
        {
            "seeds": [0],
            "chip_epochs": 6,
            "float_epochs": 10,
            "native_epochs": 10,
            "hardware": ["an abacus"],
            "bundles": [free],
            "rows": [],
        }
    )
    assert "another" not in odd


def test_the_head_says_which_values_are_the_predecessor_s(two_rows, tmp_path):
    assert two_rows
    result = reproduce.reproduce(FULL, [source()], [0], tmp_path, Silent())
    for row, known in (("45.5", False), ("40 ± 2", True)):
        result["rows"][0]["paper"] = row
        assert (
            "read off a plot of the paper's predecessor" in reproduced.markdown(result)
        ) == known
