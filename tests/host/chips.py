"""The chips of these tests: given images, given latents, and given latents with generative replay."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from xnoreplay.flow.chip import generate
from xnoreplay.spec import presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

C99 = ["gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O1"]
TINY = presets.load("tiny")
# 75 bits of a latent are 19 transfers of four; the last one has three.
GIVEN = dataclasses.replace(
    TINY,
    network=NetworkSpec("features", latent=75, hidden=5, classes=4),
    scenario=dataclasses.replace(TINY.scenario, dataset="random"),
)
DRAWN = dict(replay="generative", replay_components=2, drawn_per_class=4, staging_capacity=4)
CHIPS = {
    "tiny": TINY,
    "latents": GIVEN,
    "generative": dataclasses.replace(GIVEN, target=dataclasses.replace(GIVEN.target, **DRAWN)),
}


@dataclass(frozen=True)
class Generated:
    """A chip, what it is compiled from, and the folder that `generate` left."""

    preset: Preset
    plan: Plan
    bundle: Bundle
    folder: Path

    @property
    def text(self) -> str:
        return (self.folder / generate.VERILOG).read_text()


def each_chip(*names: str):
    """Run a test on these chips, or on all."""
    return pytest.mark.parametrize("chip", names or list(CHIPS), indirect=True)
