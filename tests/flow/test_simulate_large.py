"""A session of a large network, on a small one; and how busy the array is."""

import pytest

from xnoreplay.flow.cost import workload
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import simulate_large
from xnoreplay.spec import bundle, plan, presets

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    given = bundle.random(TINY.network, 0)
    return simulate_large.simulate_session(TINY, given, tmp_path_factory.mktemp("run"), Silent())


def test_all_images_of_a_session_are_counted(result):
    staged = min(PLAN.replay.staging, 178)  # training samples of a digit
    counters = result["session"]["counters"]
    assert counters["images"] == staged
    assert counters["staging.label.writes"] == staged
    assert result["session"]["phases"]["input"] == staged * PLAN.input.cycles
    assert result["equality"][0]["memory_bits"] > 0


def test_generative_replay_of_a_large_network_counts_what_the_estimate_counts(tmp_path):
    """Components take the samples one by one, so the takes of a session are all carried out."""
    preset = presets.vary(
        TINY, "target", replay="generative", drawn_per_class=20, epochs=1, staging_capacity=3
    )
    given = bundle.random(TINY.network, 0)
    found = simulate_large.simulate_session(preset, given, tmp_path, Silent())
    expected = workload.session(preset, given, workload.samples(preset, given))
    assert found["session"]["counters"] == expected.counters
    assert found["session"]["cycles"] == expected.cycles
    assert found["session"]["phases"]["take"] == expected.phases["take"]["cycles"]


def test_beats_of_a_phase_are_within_it_and_add_up(result):
    for table in result["utilisation"].values():
        sums = {"convolutions", "all"}
        for row in table.values():
            assert 0 <= row["beats"] <= row["cycles"]
        if "all" in table:
            parts = [row for name, row in table.items() if name not in sums]
            for key in ("beats", "cycles"):
                assert sum(row[key] for row in parts) == table["all"][key]
    image = result["utilisation"]["inference"]
    for op in PLAN.convolutions:
        assert image[op.name]["beats"] == op.tiles * op.pixels * op.beats
        assert image[op.name]["cycles"] == op.cycles
    session = result["utilisation"]["session"]
    assert session["output.forward"]["beats"] > 0
    assert session["error"]["beats"] == 0
