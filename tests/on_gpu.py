"""What a GPU computes, held to what the processor computes; and how long a step of training takes.

    python tests/on_gpu.py

pytest does not collect it: the project is tested without a GPU. Exit code 1 where the two differ.
"""

import sys
import time
from dataclasses import replace

import numpy as np
import torch

from xnoreplay.model import distributed, pretrain, training
from xnoreplay.model.losses import ClassLoss
from xnoreplay.model.network import FBNN
from xnoreplay.model.objective import Objective
from xnoreplay.model.recipe import Recipe, recipe_of
from xnoreplay.model.samples import Samples
from xnoreplay.model.teacher import Teacher
from xnoreplay.spec import presets
from xnoreplay.spec.network import NetworkSpec

CLASSES = 20
UNTIMED = 40  # steps before the clock starts: recording, and the clock rate of an idle GPU
NEAR = 0.02  # of the norm of a gradient: bfloat16 has eight bits


def images(net: NetworkSpec, count: int) -> Samples:
    """Random images, as large areas of one colour as small ones."""
    rng = np.random.default_rng(0)
    height, width, channels = net.image_shape
    coarse = rng.integers(0, 256, (count, height // 4, width // 4, channels), np.uint8)
    noise = rng.integers(-40, 40, (count, *net.image_shape))
    pixels = np.clip(coarse.repeat(4, axis=1).repeat(4, axis=2) + noise, 0, 255)
    return Samples(pixels.astype(np.uint8), rng.integers(0, CLASSES, count))


def network(net: NetworkSpec) -> FBNN:
    return FBNN(net, pretrain.thresholds(net, 255), CLASSES, seed=0)


def fit(net: NetworkSpec, recipe: Recipe, samples: Samples, teacher=None) -> training.Fit:
    """A training of one epoch on this process's device."""
    here = distributed.join()
    objective = Objective(network(net), ClassLoss(np.ones(CLASSES)), recipe, 255).to(here.device)
    return training.Fit(
        objective, training.adam(objective, recipe), recipe, samples, CLASSES, 0, 1, here, teacher
    )


def latents_differ(net: NetworkSpec, count: int) -> int:
    """Bits of latents that differ between the GPU and the processor."""
    model, pixels = network(net), torch.from_numpy(images(net, count).images)
    with torch.no_grad():
        exact = model.features(model.thermometer(pixels).double()) > 0
        model.cuda()
        return int((exact != (model.half_features(pixels.cuda()) > 0).cpu()).sum())


def gradients_apart(net: NetworkSpec) -> float:
    """The largest distance of a weight's gradient from the processor's in single precision, over its norm."""
    samples, found = images(net, 64), []
    for device in ("cpu", "cuda"):
        recipe = replace(recipe_of("cifar100"), packed=device == "cuda")
        objective = Objective(network(net), ClassLoss(np.ones(CLASSES)), recipe, 255).to(device)
        given = (torch.from_numpy(a).to(device) for a in samples)
        objective(*given).backward()
        found.append([p.grad.cpu() for p in objective.parameters()])
    return max(float((a - b).norm() / a.norm()) for a, b in zip(*found, strict=True))


def losses(net: NetworkSpec, recipe: Recipe, samples: Samples, replays: bool) -> list[float]:
    """Of every step of an epoch, the last of which is of fewer samples."""
    found: list[torch.Tensor] = []
    once = fit(net, recipe, samples)
    original, kept = training.Replayed, []

    def watched(step):
        def take(*args):
            found.append(inner(*args))
            return found[-1]

        inner = original(step) if replays else step
        kept.append(inner)
        return take

    training.Replayed = watched
    try:
        training.run(replace(once, epochs=5))
    finally:
        training.Replayed = original
    if replays:
        assert len(kept[0].recorded) == 2, "both shapes of minibatch are recorded"
    return [float(x) for x in found]


def pace(net: NetworkSpec, recipe: Recipe, replays: bool, steps: int = 160, teacher=None) -> float:
    """Milliseconds of a step."""
    samples = images(net, recipe.batch * 20)
    whole = Samples(*(np.concatenate([a] * (steps // 20)) for a in samples))
    at: list[float] = []

    def after(done: int) -> None:
        if done in (UNTIMED, steps):
            torch.cuda.synchronize()
            at.append(time.perf_counter())

    original = training.Replayed
    training.Replayed = original if replays else lambda step: step
    try:
        training.run(fit(net, recipe, whole, teacher), after=after)
    finally:
        training.Replayed = original
    return 1e3 * (at[1] - at[0]) / (steps - UNTIMED)


def main() -> int:
    if not torch.cuda.is_available():
        print("error: a GPU that PyTorch can use must be there")
        return 1
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    small, wrong = presets.load("3mb").network, []
    for name, count in (("3mb", 64), ("3mb-res", 4)):
        bits = latents_differ(presets.load(name).network, count)
        print(f"{name}: {bits} latent bits differ")
        wrong += [name] * (bits > 0)
    apart = gradients_apart(small)
    print(f"3mb: gradients lie {apart:.4f} of their norm apart")
    wrong += ["gradients"] * (not apart < NEAR)
    samples = images(small, 64 * 3 + 16)
    for objective in ("supervised", "semi"):
        recipe = recipe_of("cifar100", objective)
        launched, again, replayed = (
            losses(small, recipe, samples, replays) for replays in (False, False, True)
        )
        usual = max(abs(a - b) for a, b in zip(launched, again, strict=True))
        apart = max(abs(a - b) for a, b in zip(launched, replayed, strict=True))
        print(f"{objective}: losses of 20 steps replayed lie at most {apart:.5f} from those launched "
              f"({usual:.5f} between two runs of the latter), the first {launched[0]:.4f}, the last "
              f"{launched[-1]:.4f}")  # fmt: skip
        wrong += [f"{objective} replayed"] * (not apart < 0.05 + 3 * usual)
    teacher = Teacher(3, CLASSES, 0, True).eval().cuda()
    for objective in ("supervised", "distilled", "semi"):
        recipe = recipe_of("cifar100", objective)
        with_teacher = teacher if objective == "distilled" else None
        launched, replayed = (pace(small, recipe, r, teacher=with_teacher) for r in (False, True))
        print(f"3mb, {objective}: {launched:.2f} ms a step launched, {replayed:.2f} replayed, "
              f"{1e3 * recipe.batch / replayed:.0f} images/s")  # fmt: skip
    print("differ: " + ", ".join(wrong) if wrong else "all equal, or as near as said")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
