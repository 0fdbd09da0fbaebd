"""The estimate of a session: complete, traceable, and printed."""

import copy
import json

import pytest

from tests.flow.energies import near
from xnoreplay.flow import cli
from xnoreplay.flow.commands import specfile
from xnoreplay.flow.cost import replay_variants as native
from xnoreplay.flow.cost import session_cost, session_text
from xnoreplay.flow.output import plots
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure, SpecError

TINY = presets.load("tiny")


@pytest.fixture(scope="module")
def tree():
    return session_cost.price_session(TINY, bundles.random(TINY.network, 0))


def test_every_run_of_every_variant(tree):
    assert tree["runs"].keys() == native.VARIANTS.keys()
    for runs in tree["runs"].values():
        assert runs.keys() == session_cost.RUNS.keys()
        low, nominal, high = runs["session"]["total"]
        assert 0 < low < nominal < high


def test_a_sample_is_its_share_of_the_session(tree):
    runs = tree["runs"]["latent"]
    samples = tree["new_samples"]
    assert runs["sample"]["cycles"] * samples == pytest.approx(runs["session"]["cycles"])
    assert runs["sample"]["total"][1] * samples == pytest.approx(runs["session"]["total"][1])


def test_epochs_are_part_of_the_session(tree):
    runs = tree["runs"]["latent"]
    epochs = TINY.target.epochs * runs["epoch"]["cycles"]
    assert 0 < epochs < runs["session"]["cycles"]


def test_counters_that_differ_are_a_failed_check():
    with pytest.raises(
        CheckFailure, match="the session must count images = 1 as the simulate step"
    ):
        session_cost.price_session(TINY, bundles.random(TINY.network, 0), expected={"images": 1})


def test_text_names_every_memory_and_origin(tree):
    text = session_text.text(tree)
    for m in tree["memory"]["instances"]:
        assert f"\n{m['name']} " in text
    assert "latents of the data set digits" in text
    assert "native replay, extractor retrained: one session" in text


def test_a_figure_is_traced_to_its_counter_and_cost(tree):
    text = session_text.explain(tree, "latent.inference.weights.fe.reads")
    reads = tree["runs"]["latent"]["inference"]["rows"]
    count = next(r["count"] for r in reads if (r["part"], r["event"]) == ("weights.fe", "reads"))
    assert f"latent.inference.weights.fe.reads: {count:,} x " in text
    assert text.splitlines()[1].strip().startswith("low: ")
    with pytest.raises(SpecError, match="must have 'nothing' in its name, but none has"):
        session_text.explain(tree, "nothing")


def test_native_replay_too_large_for_the_table_is_left_out(monkeypatch):
    from xnoreplay.flow.cost import tables as costs

    price = session_cost.variant

    def refuse(plan, inference, learned, name):
        if name != native.LATENT:
            raise costs.CostError("capacity of a memory must be less")
        return price(plan, inference, learned, name)

    monkeypatch.setattr(session_cost, "variant", refuse)
    tree = session_cost.price_session(TINY, None)
    assert tree["runs"].keys() == {native.LATENT}
    text = session_text.text(tree)
    assert "native replay, extractor frozen: not priced: capacity of a memory must be less" in text


def test_a_clock_that_is_too_fast_is_said_to_be(capsys):
    code, out, _ = run(capsys, "--preset", "digits", "--set", "clock_hz=3000000000", "--untrained")
    assert code == 0
    assert "slowest SRAM: weights.fe, " in out
    assert "the clock is too fast for it" in out


def run(capsys, *arguments):
    code = cli.main(["estimate", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command(capsys, tmp_path):
    code, out, _ = run(
        capsys, "--preset", "tiny", "--set", "technology=22nm", "--json", tmp_path / "e.json"
    )
    assert code == 0
    assert "tiny, 22nm lstp at 0.8 V" in out
    assert "random bits" in out
    assert json.loads((tmp_path / "e.json").read_text())["technology"]["node"] == "22nm"


def test_a_scenario_without_sessions_has_the_price_of_an_inference(capsys, tmp_path, tree):
    preset = presets.vary(TINY, "scenario", base=TINY.network.classes, step=1)
    (tmp_path / "own.toml").write_text(specfile.to_toml(preset))
    given = ("--preset", tmp_path / "own.toml")
    code, out, _ = run(capsys, *given, "--json", tmp_path / "e.json")
    assert code == 0
    assert "\nno session: the base has all classes, so the chip never learns\n" in out
    assert f"\n{'all':<6}" in out
    assert "the chip: one inference" in out
    assert "one session" not in out
    assert "replay, " not in out
    found = json.loads((tmp_path / "e.json").read_text())["runs"]
    assert found.keys() == {"latent"}
    assert found["latent"].keys() == {"inference"}
    counted = tree["runs"]["latent"]["inference"]
    assert found["latent"]["inference"]["cycles"] == counted["cycles"]
    assert found["latent"]["inference"]["total"] == pytest.approx(counted["total"])
    assert cli.main(["estimate", *map(str, given), "--json", str(tmp_path / "e.json")]) == 0
    assert run(capsys, *given, "--explain", "latent.inference.weights.fe.reads")[0] == 0
    code, _, err = run(capsys, *given, "--task", "2")
    assert code == cli.BAD_INPUT
    assert "base must be less than the scenario's 4 classes for a session to learn" in err


def test_the_tornado_is_of_the_session(tree):
    nominal = tree["runs"]["latent"]["session"]["total"]
    swings = tree["tornado"]
    widths = [s["high"] - s["low"] for s in swings]
    assert widths == sorted(widths, reverse=True)
    assert all(
        s["low"] <= nominal[1] * (1 + 1e-9) and s["high"] >= nominal[1] * (1 - 1e-9) for s in swings
    )
    first = swings[0]
    assert first["assumption"].startswith("published chips")
    assert (first["low"], first["high"]) == (near(nominal[0]), near(nominal[2]))


def test_the_picture_has_every_assumption(tree):
    swings = [(s["assumption"], s["low"], s["high"]) for s in tree["tornado"]]
    svg = plots.tornado(swings, tree["runs"]["latent"]["session"]["total"][1], "J").svg
    assert all(name in svg for name, _, _ in swings)


def test_the_text_has_corrections_and_anchors(tree):
    text = session_text.text(tree)
    assert "what published chips take beyond the count" in text
    assert "O-FSCIL on GAP9" in text
    low, nominal, high = session_text.per_class(tree)
    session = tree["runs"]["latent"]["session"]["total"]
    assert (low, nominal, high) == near(tuple(j / tree["new_classes"] for j in session))
    assert "not published" in text  # Chameleon


def test_the_interval_of_published_chips_is_named_where_an_estimate_has_it(tree):
    """The estimate says so, whatever is switched when its text is written."""
    less = copy.deepcopy(tree)
    del less["runs"]["latent"]["session"]["corrections"]["calibration"]
    sentence = "Low to high holds 80 % of published chips"
    assert [sentence in session_text.text(t) for t in (tree, less)] == [True, False]


def test_an_explanation_has_correction_and_share(tree):
    text = session_text.explain(tree, "latent.session.array.array.taps, glitches")
    assert "% of the run" in text
    assert "correction: glitches; 0.64 of the event: " in text


def test_corrections_are_switched_off(capsys, tmp_path, tree):
    file = tmp_path / "less.json"
    given = ("--preset", "tiny", "--json", file)
    assert run(capsys, *given, "--without", "long wires", "--without", "glitches")[0] == 0
    found = json.loads(file.read_text())["runs"]["latent"]["session"]["corrections"]
    whole = tree["runs"]["latent"]["session"]["corrections"]
    assert whole.keys() - found.keys() == {"long wires", "glitches"}
    assert {"count", "wires", "counters", "calibration"} <= found.keys()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "technology=7nm"], "technology must be '90nm' or .* not '7nm'"),
        (["--set", "clock_hz=-5"], "clock_hz must be a positive integer, not -5"),
        (["--set", "clock_hz=fast"], "clock_hz must be an integer, not 'fast'"),
        (["--set", "clok_hz=5"], "did you mean 'clock_hz'?"),
        (["--set", "lanes"], "a dial must be set as NAME=VALUE, not 'lanes'"),
        (["--task", "9"], "task must be an integer from 1 to 2, not 9"),
        (["--sram", "none.csv"], "SRAM table none.csv must be readable"),
        (["--without", "wirse"], "did you mean 'wires'[?]"),
        (["--explain", "nothing"], "a figure to explain must have 'nothing' in its name"),
    ],
)
def test_mistakes(capsys, arguments, sentence):
    import re

    code, _, err = run(capsys, "--preset", "tiny", *arguments)
    assert code == cli.BAD_INPUT
    assert re.search(sentence, err)
    assert err.count("error: ") == 1
