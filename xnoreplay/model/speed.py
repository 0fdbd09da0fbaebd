"""How long the network takes in plain PyTorch, which a user would take without a simulator."""

import time

import numpy as np
import torch

from xnoreplay.model.network import of_bundle
from xnoreplay.spec.bundle import Bundle

WARM = 10  # images beforehand


def single_precision(bundle: Bundle, images: np.ndarray) -> float:
    """Seconds of processor time of one forward pass, in single precision on one thread.

    images : (n, height, width, channels) uint8
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = of_bundle(bundle).eval()
        batch = torch.from_numpy(np.ascontiguousarray(images))
        with torch.no_grad():
            model(batch[:WARM])
            start = time.process_time()
            model(batch)
            return time.process_time() - start
    finally:
        torch.set_num_threads(threads)
