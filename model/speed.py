"""Time that the network takes in plain PyTorch, which a user would take without a simulator."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xnoreplay.model.network.network import FBNN, of_bundle
from xnoreplay.spec.bundle import Bundle

BATCHES = (1, 4, 8, 16, 32, 100)
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
TRIAL = 100  # images that choose between batches and layouts


@dataclass(frozen=True)
class Speed:
    """Seconds of processor time of the images asked for, and the batch and layout that were fastest."""

    seconds: float
    batch: int
    layout: str


def single_precision(bundle: Bundle, images: np.ndarray) -> Speed:
    """Measure forward passes in single precision on one thread, at whatever batch and layout are fastest.

    images : (n, height, width, channels) uint8
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = of_bundle(bundle).eval()
        pixels = torch.from_numpy(np.ascontiguousarray(images))
        with torch.inference_mode():
            trials = [
                Speed(_seconds(model, pixels[:TRIAL], batch, layout), batch, layout)
                for layout in LAYOUTS
                for batch in BATCHES
            ]
            best = min(trials, key=lambda trial: trial.seconds)
            return Speed(_seconds(model, pixels, best.batch, best.layout), best.batch, best.layout)
    finally:
        torch.set_num_threads(threads)


def _seconds(model: FBNN, images: Tensor, batch: int, layout: str) -> float:
    """Return the processor time of all images, after a batch that warms caches."""
    model.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
    parts = images.split(batch)
    _forward(model, parts[0], layout)
    start = time.process_time()
    for part in parts:
        _forward(model, part, layout)
    return time.process_time() - start


def _forward(model: FBNN, images: Tensor, layout: str) -> Tensor:
    bits = model.thermometer(images).contiguous(memory_format=LAYOUTS[layout])
    _, sums = model.classifier(model.features(bits))
    return sums
