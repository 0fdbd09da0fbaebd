"""What a GPU computes, held to what the processor computes; and how long a step of training takes.

    python tests/on_gpu.py

pytest does not collect it: the project is tested without a GPU. Exit code 1 where the two differ.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from xnoreplay.model.network.network import FBNN
from xnoreplay.model.training import checkpoint, distributed, pretrain, resuming
from xnoreplay.model.training import loop as training
from xnoreplay.model.training.losses import ClassLoss
from xnoreplay.model.training.objective import Objective
from xnoreplay.model.training.recipe import Recipe, recipe_of
from xnoreplay.model.training.resuming import Resumed
from xnoreplay.model.training.samples import Samples
from xnoreplay.model.training.teacher import Teacher
from xnoreplay.spec import bundle as bundles
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


def fit(
    net: NetworkSpec, recipe: Recipe, samples: Samples, epochs: int = 1, teacher=None
) -> training.Fit:
    """A training on this process's device, some of whose proxies are at the ends of their range."""
    here, model = distributed.join(), network(net)
    with torch.no_grad():
        for proxy in model.parameters():
            proxy.view(-1)[:8] = torch.tensor([1.0, -1.0]).repeat(4)
    objective = Objective(model, ClassLoss(np.ones(CLASSES)), recipe, 255).to(here.device)
    optimizer = training.adam(objective, recipe)
    return training.Fit(objective, optimizer, recipe, samples, CLASSES, 0, epochs, here, teacher)


@contextmanager
def launched(one_by_one: bool) -> Iterator[None]:
    """Steps of trainings in here are not recorded, if so asked."""
    original = training.Replayed
    if one_by_one:
        training.Replayed = lambda step: step
    try:
        yield
    finally:
        training.Replayed = original


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


def trained(net: NetworkSpec, recipe: Recipe, samples: Samples, stop: int | None = None) -> dict:
    """Weights and moments after five epochs, the last step of each of fewer samples.

    stop : after so many steps it is saved, and goes on in another training
    """
    whole = fit(net, recipe, samples, epochs=5)
    if stop is None:
        training.train(whole)
    else:
        with tempfile.TemporaryDirectory() as folder:
            resumed = stopped(whole, stop, Path(folder) / "checkpoint")
        whole = fit(net, recipe, samples, epochs=5)
        resuming.train_on(whole, resumed, lambda _line: None)
    found = {n: t.detach().cpu() for n, t in whole.objective.state_dict().items()}
    for i, moments in whole.optimizer.state_dict()["state"].items():
        found |= {f"{i}.{n}": t.cpu() for n, t in moments.items()}
    return found


def stopped(whole: training.Fit, stop: int, path: Path) -> Resumed:
    """What a checkpoint holds of a training that is stopped after so many steps."""

    def save(done: int) -> None:
        if done == stop:
            checkpoint.save(path, whole.objective, whole.optimizer, {})
            raise StopIteration

    with suppress(StopIteration):
        training.train(whole, after=save)
    tensors, _ = bundles.read_tensors(path, "checkpoint", checkpoint.FORMAT, "pt")
    return Resumed(tensors, *divmod(stop, whole.steps))


def apart(one: dict, other: dict) -> float:
    """The largest difference of any number; not a number, where one is none."""
    return float(
        torch.stack([(one[n].double() - other[n].double()).abs().max() for n in one]).max()
    )


def pace(
    net: NetworkSpec, recipe: Recipe, one_by_one: bool, steps: int = 160, teacher=None
) -> float:
    """Milliseconds of a step."""
    samples = images(net, recipe.batch * 20)
    whole = Samples(*(np.concatenate([a] * (steps // 20)) for a in samples))
    at: list[float] = []

    def after(done: int) -> None:
        if done in (UNTIMED, steps):
            torch.cuda.synchronize()
            at.append(time.perf_counter())

    with launched(one_by_one):
        training.train(fit(net, recipe, whole, teacher=teacher), after=after)
    return 1e3 * (at[1] - at[0]) / (steps - UNTIMED)


def main() -> int:
    if not torch.cuda.is_available():
        print("error: a GPU that PyTorch can use must be there")
        return 1
    distributed.join()  # with the settings of a training
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}")
    small, wrong = presets.load("3mb").network, []
    for name, count in (("3mb", 64), ("3mb-res", 4)):
        bits = latents_differ(presets.load(name).network, count)
        print(f"{name}: {bits} latent bits differ")
        wrong += [name] * (bits > 0)
    distance = gradients_apart(small)
    print(f"3mb: gradients lie {distance:.4f} of their norm apart")
    wrong += ["gradients"] * (not distance < NEAR)
    samples = images(small, 64 * 3 + 16)
    for objective in ("supervised", "semi"):
        recipe = recipe_of("cifar100", objective)
        with launched(one_by_one=True):
            one, other = trained(small, recipe, samples), trained(small, recipe, samples)
        replayed, resumed = (
            trained(small, recipe, samples),
            trained(small, recipe, samples, stop=11),
        )
        usual, far, again = (apart(one, x) for x in (other, replayed, resumed))
        print(
            f"{objective}: weights and moments of 20 steps lie {far:.2e} from those of launched ones, "
            f"resumed {again:.2e}; {usual:.2e} between two runs of the latter"
        )
        for what, distance in (("replayed", far), ("resumed", again)):
            wrong += [f"{objective} {what}"] * (
                not distance <= usual
            )  # what is no number is wrong, too
    teacher = Teacher(3, CLASSES, 0, True).eval().cuda()
    for objective in ("supervised", "distilled", "semi"):
        recipe, taught = (
            recipe_of("cifar100", objective),
            teacher if objective == "distilled" else None,
        )
        slow, fast = (
            pace(small, recipe, one_by_one, teacher=taught) for one_by_one in (True, False)
        )
        print(
            f"3mb, {objective}: {slow:.2f} ms a step launched, {fast:.2f} replayed, "
            f"{1e3 * recipe.batch / fast:.0f} images/s"
        )
    print("differ: " + ", ".join(wrong) if wrong else "all equal, or as near as said")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
