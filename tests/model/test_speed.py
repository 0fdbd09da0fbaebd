"""What is timed is the network: both layouts give its logits, and the fastest trial is reported."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model import speed
from xnoreplay.model.network import network
from xnoreplay.spec import bundle, presets  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("two_threads")]

DIGITS = presets.load("digits").network
BUNDLE = bundle.random(DIGITS, 2)
IMAGES = np.random.default_rng(0).integers(0, 17, (9, *DIGITS.image_shape), dtype=np.uint8)


@pytest.mark.parametrize("layout", speed.LAYOUTS)
def test_layouts_compute_the_same(layout):
    model = network.of_bundle(BUNDLE).eval().to(memory_format=speed.LAYOUTS[layout])
    with torch.inference_mode():
        sums = speed._forward(model, torch.from_numpy(IMAGES), layout)
    np.testing.assert_array_equal(sums.numpy(), network.of_bundle(BUNDLE).evaluate(IMAGES).logits)


def test_the_fastest_trial_is_taken(monkeypatch):
    took = {("channels last", 8): 1.0}

    def seconds(_model, images, batch, layout):
        return took.get((layout, batch), 2.0) * len(images)

    monkeypatch.setattr(speed, "_seconds", seconds)
    threads = torch.get_num_threads()
    assert speed.single_precision(BUNDLE, IMAGES) == speed.Speed(9.0, 8, "channels last")
    assert torch.get_num_threads() == threads


def test_seconds_are_of_processor_time():
    found = speed.single_precision(BUNDLE, IMAGES)
    assert found.seconds > 0
    assert (found.batch in speed.BATCHES, found.layout in speed.LAYOUTS) == (True, True)
