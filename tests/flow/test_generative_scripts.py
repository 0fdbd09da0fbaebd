"""The two programs behind the figures and the table of extractors in `docs/generative_replay.md`."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from xnoreplay.flow.datasets import latent_files
from xnoreplay.flow.datasets.bundles import packaged
from xnoreplay.flow.learning import ageing, cil
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets

DIGITS = presets.load("digits")
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def script(monkeypatch, capsys):
    def run(name, *arguments):
        path = str(DOCS / f"{name}.py")
        monkeypatch.setattr(sys, "argv", [path, *arguments])
        runpy.run_path(path, run_name="__main__")
        return [line[2:-2].split(" | ") for line in capsys.readouterr().out.splitlines()]

    return run


def scores(a_final):
    tasks = DIGITS.scenario.tasks + 1
    matrix = [[a_final if j <= t else None for j in range(tasks)] for t in range(tasks)]
    return {"a_final": a_final, "a_old": a_final / 2, "a_new": a_final / 4, "matrix": matrix}


def test_figures_are_drawn_of_every_line(script, monkeypatch):
    """A stand-in learns: what it is given and what becomes of its scores counts here."""
    met = []

    def learned(preset, _bundle, latents, seed):
        met.append((preset.target, latents.train[:5].tobytes()))
        return scores(0.5 + seed / 4)

    monkeypatch.setattr(cil, "chip", learned)
    given = ("drawn", "--preset", "digits", "--seeds", "2", "--kept", "kept.jsonl")
    _, _, *rows = printed = script("generative_figures", *given)
    lines = len(met) // 2
    assert len(rows) == lines
    assert {target.staging_capacity for target, _ in met[: lines - 1]} == {0}
    assert met[lines - 1][0] == DIGITS.target
    assert len({order for _, order in met}) == 2
    kilobits = {what: kb for what, kb, *_ in rows}
    usual = "`replay_components` 5, `mean_bits` 2, `drawn_per_class` 96"
    assert kilobits[f"generative replay, {usual}"] == "19.7"  # the page's table of digits
    assert kilobits["stored replay, as preset"] == "34.5"
    assert {tuple(row[2:]) for row in rows} == {("62.5 ± 17.7", "31.2 ± 8.8", "15.6 ± 4.4")}
    for name, labels in (
        ("memory", ("generative replay", "stored replay", "a_final", "0.2")),
        ("sessions", ("stored, as preset: 0.0 Mb", "session 5")),
    ):
        drawn = Path(f"drawn/generative_{name}.svg").read_text()
        assert all(f">{label}<" in drawn for label in labels)
        assert "predecessor" not in drawn
    monkeypatch.setattr(cil, "chip", None)  # a second run measures nothing again
    assert script("generative_figures", *given) == printed


def test_extractors_are_exchanged_in_every_way(script, monkeypatch):
    bundle = bundles.read(packaged(DIGITS))
    stored = cil.simulated(DIGITS, bundle)
    latent_files.write(stored, Path("old.safetensors"))
    met = []

    def learned(preset, old, new, seed, task, way, carry):
        assert (old.latents.train == new.latents.train).all()
        met.append((preset.target.replay, seed, task, way, carry))
        return scores(0.5)

    fits = []
    monkeypatch.setattr(ageing, "learn", learned)
    monkeypatch.setattr(
        ageing, "fitted", lambda old, _new, related: fits.append((old, related)) or len(fits)
    )
    given = (str(packaged(DIGITS)), "old.safetensors", "--preset", "digits", "--seeds", "1")
    given += ("--task", "3", "--validation", "--kept", "kept.jsonl")
    _, _, *rows = printed = script("extractor_exchange", *given)
    assert [way for *_, way, _ in met] == [row[0].split(",")[0] for row in rows]
    assert {m[:3] for m in met} == {("generative", 0, 3)}
    assert [c for *_, way, c in met if way == "carried"] == [1, 2, 3]
    latents = cil.of_scenario(DIGITS, stored)
    counts = np.bincount(latents.train_class)
    kept = counts - -(-counts // 4)  # every fourth is for validation
    assert [len(old) for old, _ in fits] == [kept[:5].sum(), kept[7], kept[:5].sum()]
    assert [related for _, related in fits] == [True, True, False]
    assert rows[0] == ["kept", "–", "50.0", "25.0", "12.5"]
    assert rows[3][1] == "the session's classes"
    monkeypatch.setattr(ageing, "learn", None)
    assert script("extractor_exchange", *given) == printed
