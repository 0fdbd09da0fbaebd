"""Tables of the paper's experiments: what each row runs, and that nothing is typed in but the paper's."""

import dataclasses

import numpy as np
import pytest

from xnoreplay.flow import cil, reproduce
from xnoreplay.flow.progress import Silent
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError

FULL = presets.load("3mb")
TINY = presets.load("tiny")


def test_buffers_hold_whole_latents_and_images():
    labels = [row.label for row in reproduce.rows(FULL)]
    assert "5 Mb: 4,882 latents (or 375 images)" in labels
    assert "25 Mb: 24,414 latents (or 1,878 images)" in labels
    capacities = [row.preset.target.replay_capacity for row in reproduce.rows(FULL)]
    assert FULL.target.replay_capacity in capacities


def test_scenarios_are_5x10_and_25x2():
    tasks = [
        r.preset.scenario.tasks for r in reproduce.rows(FULL) if r.table.startswith("Sessions")
    ]
    assert tasks == [5, 25]


def test_a_table_of_one_row(monkeypatch):
    bundle = bundles.random(TINY.network, 0)
    bundle = dataclasses.replace(
        bundle, provenance={"base_train_accuracy": 0.5, "base_test_accuracy": 0.25}
    )
    latents = cil.extract(TINY, bundle)
    small = dataclasses.replace(
        latents, train=latents.train[:80], train_class=latents.train_class[:80]
    )
    monkeypatch.setattr(reproduce.cil, "extract", lambda *_: small)
    monkeypatch.setattr(
        reproduce, "rows",
        lambda _preset: [
            reproduce.Row("One", "chip", cil.chip, TINY, "45.5"),
            reproduce.Row("One", "all at once", reproduce.reset, TINY),
        ],
    )  # fmt: skip
    result = reproduce.run(FULL, bundle, [0, 1], Silent())
    chip, _ = result["rows"]
    assert chip["a_final"][1] == cil.chip(TINY, bundle, small.shuffled(1), 1)["a_final"]
    lines = reproduce.markdown(result).splitlines()
    assert "recognises 50.0 % of the training and 25.0 % of the test images" in lines[0]
    mean = 100 * np.mean(chip["a_final"])
    assert lines[4].startswith(f"| chip | {mean:.1f} ± ")
    assert "| 45.5 |" in lines[4]
    assert lines[5].startswith("| all at once | ")
    assert lines[5].count("–") == 1  # the paper's


def test_a_reset_classifier_knows_what_it_was_last_shown():
    bundle = bundles.random(TINY.network, 0)
    latents = cil.extract(TINY, bundle)
    everything = reproduce.reset(TINY, bundle, latents, 0)
    new = reproduce.reset(TINY, bundle, latents, 0, everything=False)
    assert new["a_old"] < everything["a_old"]
    assert new["a_new"] > everything["a_new"]


def test_refusals():
    bundle = bundles.random(TINY.network, 0)
    with pytest.raises(SpecError, match="at least one seed"):
        reproduce.run(FULL, bundle, [], Silent())
    with pytest.raises(SpecError, match="must be of data set 'cifar100' with 50 base classes, not"):
        reproduce.run(TINY, bundle, [0], Silent())
