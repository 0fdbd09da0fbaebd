"""Steps of a script in which bits change by themselves."""

import numpy as np
import pytest

from xnoreplay.flow.verify.cosim import upset_steps
from xnoreplay.flow.verify.cosim.resets import RESET
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets, upset
from xnoreplay.spec.upset import Upset

pytestmark = pytest.mark.usefixtures("compiled")
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
IMAGES = np.zeros((1, *TINY.network.image_shape), np.uint8)


@pytest.fixture(scope="module")
def steps(compiled):  # noqa: ARG001  (kernels to run)
    chip = Simulator(PLAN, bundle.random(TINY.network, 0))
    return upset_steps.build(chip, IMAGES, 3, np.random.default_rng(0), {"bus": True})


def test_every_memory_changes_and_the_chip_goes_on(steps):
    upsets = [Upset(*u) for step in steps for u in step.upsets]
    assert upset.checked(PLAN, upsets)
    assert {u.place for u in upsets} == {memory.name for memory in PLAN.memories}
    assert [s.command for s in steps].count(RESET) == upset_steps.ROUNDS
    assert steps[-1].command == RESET
    assert all(step.bus for step in steps)


def test_logits_change_between_forward_and_error(steps):
    """A changed sign makes a logit larger than the largest."""
    width = PLAN.memory("batch.logit").width // TINY.target.lanes
    logits = [Upset(*u) for step in steps if step.command == "retrain" for u in step.upsets]
    signs = [u for u in logits if u.place == "batch.logit" and u.bit % width == width - 1]
    assert len(signs) > 5
