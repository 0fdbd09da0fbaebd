"""The real-valued teacher: its own training, and what its pupil's loss makes of it."""

import dataclasses
import functools
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model import export
from xnoreplay.model.network.network import FBNN
from xnoreplay.model.training import checkpoint, distributed, pretrain, resuming
from xnoreplay.model.training import teach as teaching
from xnoreplay.model.training.losses import ClassLoss
from xnoreplay.model.training.objective import Objective
from xnoreplay.model.training.recipe import RECIPES, Recipe, holed
from xnoreplay.model.training.samples import halves, of_classes
from xnoreplay.model.training.teacher import Teacher, distance

pytestmark = pytest.mark.torch


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_distance_is_hinton_s():
    rng = np.random.default_rng(0)
    logits, taught = rng.normal(0, 3, (2, 8, 5))
    wanted, given = softmax(taught / 4), softmax(logits / 4)
    expected = 16 * (wanted * np.log(wanted / given)).sum(axis=1).mean()
    found = distance(torch.from_numpy(logits), torch.from_numpy(taught), 4.0).item()
    assert found == pytest.approx(expected)
    same = distance(torch.from_numpy(logits), torch.from_numpy(logits), 4.0).item()
    assert same == pytest.approx(0, abs=1e-12)


def test_the_objective_shares_between_classes_and_teacher(small):
    preset, dataset = small
    network = FBNN(preset.network, np.array([2, 6, 10, 14], np.uint8), 2, seed=0)
    recipe = Recipe(distilled=0.75, temperature=2.0)
    objective = Objective(network, ClassLoss(np.ones(2)), recipe, dataset.max_pixel)
    image, label = torch.from_numpy(dataset.images[:8]), torch.arange(8) % 2
    taught = torch.linspace(-2, 2, 16).reshape(8, 2)
    logits = network(image)
    expected = 0.25 * torch.nn.functional.cross_entropy(logits, label)
    expected = expected + 0.75 * distance(logits, taught, 2.0)
    assert objective(image, label, 1.0, taught).item() == pytest.approx(expected.item(), abs=1e-6)


def test_a_teacher_learns_its_classes(packaged, tmp_path, monkeypatch):
    monkeypatch.setattr(teaching, "EPOCHS", 6)
    preset, dataset, _ = packaged
    lines = []
    pretrain.pretrain(
        preset, dataset, tmp_path, epochs=1, objective="distilled", report=lines.append
    )
    said = [line for line in lines if line.startswith("teacher | recognises")]
    assert len(said) == 1
    tensors, state = checkpoint.load(tmp_path / teaching.CHECKPOINT)
    recipe = teaching.recipe_for(RECIPES["digits"])
    assert (state["epoch"], state["config"]["recipe"]) == (
        recipe.epochs,
        dataclasses.asdict(recipe),
    )
    base = preset.scenario.base
    train, test = halves(preset.scenario, base, dataset)
    learned = checkpoint.with_prefix(tensors, "model.teacher.")
    teacher = Teacher.of(learned, half=False, device=torch.device("cpu"))
    assert teacher.mean.item() == pytest.approx(train.images.mean(), rel=1e-5)
    assert teacher.deviation.item() == pytest.approx(1 + train.images.std(), rel=1e-5)
    shares = [teacher.accuracy(samples, base) for samples in (train, test)]
    assert said[0].endswith("{:.1%} of the training and {:.1%} of the test images".format(*shares))
    assert shares[1] > 0.95


def test_a_teacher_s_training_goes_on_where_it_was_stopped(
    small, tmp_path, monkeypatch, stopped, same_tensors
):
    monkeypatch.setattr(resuming, "SAVE_SECONDS", 0.0)  # after every step
    monkeypatch.setattr(teaching, "BATCH", 2)
    monkeypatch.setattr(teaching, "EPOCHS", 2)
    monkeypatch.setitem(RECIPES, "digits", Recipe(batch=4, mirrored=True, joined=True))
    run = functools.partial(pretrain.pretrain, *small, epochs=1, objective="distilled")
    run(tmp_path / "whole")
    stopped(lambda: run(tmp_path / "parts"), at=(teaching.CHECKPOINT, 1, 2))
    lines = []
    run(tmp_path / "parts", report=lines.append)
    assert re.fullmatch(
        r"teacher.safetensors has 1 of 2 epochs and 2 of \d+ steps: going on from there", lines[0]
    )
    for name in (teaching.CHECKPOINT, pretrain.CHECKPOINT):
        same_tensors(tmp_path / "whole" / name, tmp_path / "parts" / name)


def test_a_longer_training_of_the_pupil_keeps_its_teacher(small, tmp_path):
    pretrain.pretrain(*small, tmp_path, epochs=1, objective="distilled")
    before = (tmp_path / teaching.CHECKPOINT).read_bytes()
    lines = []
    pretrain.pretrain(*small, tmp_path, epochs=2, objective="distilled", report=lines.append)
    assert lines[:2] == [
        "pretrain.safetensors is of another run: starting afresh",
        "teacher.safetensors has 20 of 20 epochs: going on from there",
    ]
    assert not any(line.startswith("teacher | recognises") for line in lines)
    assert (tmp_path / teaching.CHECKPOINT).read_bytes() == before
    pretrain.pretrain(
        *small, tmp_path, seed=1, epochs=1, objective="distilled", report=lines.append
    )
    assert "teacher.safetensors is of another run: starting afresh" in lines
    pretrain.pretrain(*small, tmp_path, epochs=1)
    assert checkpoint.load(tmp_path / pretrain.CHECKPOINT)[1]["config"]["recipe"]["distilled"] == 0


def test_a_bundle_names_its_teacher(small, tmp_path):
    path = pretrain.pretrain(*small, tmp_path, epochs=1, objective="distilled")
    learned = dataclasses.asdict(teaching.recipe_for(RECIPES["digits"]))
    made = export.export_bundle(*small, path)
    assert made.provenance["teacher"] == learned
    later = pretrain.pretrain(*small, tmp_path / "later", epochs=1, start=made)
    assert export.export_bundle(*small, later).provenance["start"]["teacher"] == learned
    (tmp_path / teaching.CHECKPOINT).unlink()
    lines = []
    pretrain.pretrain(*small, tmp_path, epochs=1, objective="distilled", report=lines.append)
    assert lines == ["pretrain.safetensors has 1 of 1 epochs: going on from there"]


def test_images_of_one_pixel_have_statistics():
    teacher = Teacher(1, 3, seed=0, half=False)
    assert teacher(torch.zeros((1, 4, 4, 1), dtype=torch.uint8)).shape == (1, 3)


def test_a_hole_is_a_square_of_the_mean_colour():
    images = np.zeros((50, 8, 12, 3), np.uint8)
    painted = holed(images, np.array([1, 2, 3], np.uint8), np.random.default_rng(0))
    assert painted.dtype == np.uint8
    places = set()
    for image in painted:
        rows, columns = np.nonzero(image[..., 0])
        assert len(rows) == 4
        assert np.ptp(rows) == np.ptp(columns) == 1
        assert (image[rows, columns] == [1, 2, 3]).all()
        places.add((rows[0], columns[0]))
    assert len(places) > 20
    rng = np.random.default_rng(0)
    seen = Recipe(shift=0, holes=True)._view(np.full((9, 8, 8, 1), 7, np.uint8), rng)
    assert (seen == 7).all()  # of the mean colour, a hole in a plain image cannot be seen
    images = np.random.default_rng(1).integers(0, 256, (9, 8, 8, 1), dtype=np.uint8)
    seen = Recipe(shift=0, holes=True)._view(images, rng)
    assert set(seen[seen != images]) == {int(images.mean())}  # in others it can
    assert (seen != images).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(Recipe(shift=0)._view(images, rng), images)


def test_the_rate_rises_and_falls(small):
    preset, dataset = small
    recipe = Recipe(batch=1, learning_rate=0.5, warm=0.25)
    network = FBNN(preset.network, np.array([2, 6, 10, 14], np.uint8), 2, seed=0)
    objective = Objective(network, ClassLoss(np.ones(2)), recipe, dataset.max_pixel)
    samples = of_classes(preset.scenario, range(2), dataset.images[:40], dataset.labels[:40])
    fit = pretrain.loop.Fit(
        objective,
        pretrain.loop.adam(objective, recipe),
        recipe,
        samples,
        2,
        0,
        4,
        distributed.join(),
    )
    total, warm = 4 * fit.steps, fit.steps
    rates = [fit.rate(step) for step in range(total)]
    assert rates[:warm] == [0.5 * (i + 1) / warm for i in range(warm)]
    cosine = 0.25 * (1 + np.cos(np.pi * np.arange(total - warm) / (total - warm)))
    assert rates[warm:] == pytest.approx(list(cosine))
