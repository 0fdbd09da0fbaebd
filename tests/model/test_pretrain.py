"""Pre-training and export: resume, round trip, golden pairs, refusals."""

import dataclasses
import functools
import json
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import safetensors.torch  # noqa: E402

from xnoreplay.model import export
from xnoreplay.model.network import network
from xnoreplay.model.training import checkpoint, native, pretrain, resuming
from xnoreplay.model.training.recipe import RECIPES, Recipe, recipe_of, shifted
from xnoreplay.model.training.samples import Samples, digest, halves
from xnoreplay.spec import bundle, presets, reference  # noqa: E402
from xnoreplay.spec.errors import SpecError, XnoreplayError  # noqa: E402
from xnoreplay.spec.rows import Rows  # noqa: E402

pytestmark = pytest.mark.torch

LINE = re.compile(
    r"epoch \d+/\d+ \| step \d{5}/\d{5} \| loss [\d.]+ \| lr \d\.\de[-+]\d\d "
    r"\| \d+ ms/step \| \d+ images/s \| eta [\d.]+ min"
)


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    return pretrain.pretrain(*small, tmp_path_factory.mktemp("trained"), seed=3, epochs=6)


def test_resumed_run_equals_an_uninterrupted_one(small, trained, tmp_path, stopped, same_tensors):
    stopped(
        lambda: pretrain.pretrain(*small, tmp_path, seed=3, epochs=6),
        at=(pretrain.CHECKPOINT, 3, 0),
    )
    lines = []
    resumed = pretrain.pretrain(*small, tmp_path, seed=3, epochs=6, report=lines.append)
    assert lines[0] == "pretrain.safetensors has 3 of 6 epochs: going on from there"
    assert LINE.fullmatch(lines[-1])
    same_tensors(trained, resumed)


@pytest.mark.parametrize("objective", ["supervised", "semi", "distilled"])
def test_a_run_stopped_in_an_epoch_goes_on_from_there(
    small, tmp_path, monkeypatch, stopped, same_tensors, objective
):
    monkeypatch.setattr(resuming, "SAVE_SECONDS", 0.0)  # after every step
    monkeypatch.setitem(RECIPES, "digits", Recipe(batch=2, mirrored=True))
    run = functools.partial(pretrain.pretrain, *small, seed=3, epochs=2, objective=objective)
    whole = run(tmp_path / "whole")
    steps = checkpoint.load(whole)[1]["steps"]
    assert steps > 2
    stopped(lambda: run(tmp_path / "parts"), at=(pretrain.CHECKPOINT, 1, 2))
    lines = []
    parts = run(tmp_path / "parts", report=lines.append)
    assert (
        f"{pretrain.CHECKPOINT} has 1 of 2 epochs and 2 of {steps} steps: going on from there"
        in lines
    )
    same_tensors(whole, parts)


def test_objectives_are_different_runs(small, tmp_path):
    lines = []
    pretrain.pretrain(*small, tmp_path, epochs=1)
    pretrain.pretrain(*small, tmp_path, epochs=1, objective="semi", report=lines.append)
    assert lines[0] == "pretrain.safetensors is of another run: starting afresh"
    with pytest.raises(
        SpecError, match="must be 'supervised' or 'semi' or 'distilled', not 'self'"
    ):
        recipe_of("digits", "self")


def test_a_training_does_not_go_on_with_other_images(small, tmp_path, stopped):
    preset, dataset = small
    stopped(lambda: pretrain.pretrain(*small, tmp_path, epochs=3), at=(pretrain.CHECKPOINT, 1, 0))
    lines, other = [], dataclasses.replace(dataset, images=dataset.images[::-1])
    pretrain.pretrain(preset, other, tmp_path, epochs=3, report=lines.append)
    assert lines[0] == "pretrain.safetensors is of another run: starting afresh"


def test_a_checkpoint_of_an_earlier_version_is_gone_on_from(small, trained, tmp_path):
    """It knows nothing of what a later version tells two trainings apart by."""
    first = export.export_bundle(*small, trained)
    path = pretrain.pretrain(*small, tmp_path, epochs=1, start=first)
    tensors, metadata = bundle.read_tensors(path, "checkpoint", checkpoint.FORMAT, "pt")
    state = json.loads(metadata["state"])
    for part, name in (
        (state["config"], "samples"),
        (state["config"]["recipe"], "holes"),
        (state["config"]["start"], "recipe"),
    ):
        del part[name]
    safetensors.torch.save_file(tensors, path, metadata | {"state": json.dumps(state)})
    lines = []
    pretrain.pretrain(*small, tmp_path, epochs=1, start=first, report=lines.append)
    assert lines[0] == "pretrain.safetensors has 1 of 1 epochs: going on from there"


def test_without_augmentation_images_stay_as_they_are(small, tmp_path):
    assert recipe_of("cifar100", "distilled", augment=False) == dataclasses.replace(
        recipe_of("cifar100", "distilled"), shift=0, flipped=False
    )
    path, lines = pretrain.pretrain(*small, tmp_path, epochs=1, augment=False), []
    recipe = Recipe(**checkpoint.load(path)[1]["config"]["recipe"])
    assert recipe.mirrored  # mirror images are classes of their own
    preset, dataset = small
    base, _ = halves(preset.scenario, preset.scenario.base, dataset)
    seen = recipe.epoch(base, preset.scenario.base, np.random.default_rng(0))
    known = seen.classes < preset.scenario.base
    np.testing.assert_array_equal(
        *(sorted(images.tobytes() for images in part) for part in (seen.images[known], base.images))
    )
    pretrain.pretrain(*small, tmp_path, epochs=1, report=lines.append)
    assert lines[0] == "pretrain.safetensors is of another run: starting afresh"
    with pytest.raises(
        SpecError, match="'semi' must augment images: else both views of one are the same"
    ):
        pretrain.pretrain(*small, tmp_path, epochs=1, objective="semi", augment=False)


def test_second_views_show_the_same_images():
    rng = np.random.default_rng(0)
    base = Samples(rng.integers(0, 255, (30, 4, 4, 1), dtype=np.uint8), np.arange(30) % 3)
    still = Recipe(shift=0, mirrored=True, joined=True, twins=1.0)
    made = still.epoch(base, 3, np.random.default_rng(1))
    np.testing.assert_array_equal(made.images, made.second)
    moved = Recipe(shift=1, twins=1.0).epoch(base, 3, np.random.default_rng(1))
    plain = Recipe(shift=1).epoch(base, 3, np.random.default_rng(1))
    np.testing.assert_array_equal(moved.images, plain.images)  # the first views do not notice
    assert plain.second is None
    assert 3 < (moved.images != moved.second).any(axis=(1, 2, 3)).sum()


def test_finished_run_is_not_repeated_and_another_starts_afresh(small, trained):
    before = trained.read_bytes()
    pretrain.pretrain(*small, trained.parent, seed=3, epochs=6)
    assert trained.read_bytes() == before
    lines = []
    pretrain.pretrain(*small, trained.parent / "..", seed=4, epochs=1, report=lines.append)
    other = pretrain.pretrain(*small, trained.parent / "..", seed=5, epochs=1, report=lines.append)
    assert "pretrain.safetensors is of another run: starting afresh" in lines
    assert checkpoint.load(other)[1]["config"]["seed"] == 5


def test_failed_save_leaves_the_old_checkpoint_and_no_part(small, trained, tmp_path, monkeypatch):
    path = tmp_path / pretrain.CHECKPOINT
    path.write_bytes(trained.read_bytes())

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        pretrain.pretrain(*small, tmp_path, seed=9, epochs=1)
    assert [p.name for p in tmp_path.iterdir()] == [pretrain.CHECKPOINT]
    assert path.read_bytes() == trained.read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b[:-1], lambda _: b"junk"])
def test_damaged_checkpoint_is_refused(small, trained, tmp_path, damage):
    path = tmp_path / pretrain.CHECKPOINT
    path.write_bytes(damage(trained.read_bytes()))
    with pytest.raises(XnoreplayError, match="must be a whole file"):
        pretrain.pretrain(*small, tmp_path, seed=3, epochs=6)


FIRST = "model.network.convs.0.weight"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            FIRST,
            lambda t: t[:1],
            r"must be torch.float32 of shape \(\d+, .*\), not torch.float32 of shape \(1, ",
        ),
        (
            FIRST,
            lambda t: t.half(),
            r"must be torch.float32 of shape .*, not torch.float16 of shape ",
        ),
        (FIRST, lambda t: t * torch.nan, "must have finite numbers alone"),
        (FIRST, lambda _: None, "must be there"),
        ("model.network.more", lambda _: torch.zeros(1), "must be one of the training's"),
        (
            "optimizer.0.exp_avg",
            lambda t: t[:1],
            r"must be .* of shape \(\d+, .*\), not .* of shape \(1, ",
        ),
        ("optimizer.0.exp_avg", lambda t: t * torch.inf, "must have finite numbers alone"),
        ("optimizer.0.exp_avg_sq", lambda t: t - 1, "must be at least 0"),
        ("optimizer.1.exp_avg_sq", lambda _: None, "must be there"),
        (
            "optimizer.0.step",
            lambda t: t.expand(2),
            r"must be .* of shape \(\), not .* of shape \(2,\)",
        ),
        ("optimizer.99.exp_avg", lambda _: torch.zeros(1), "must be one of the training's"),
        ("optimizer.x", lambda _: torch.zeros(1), "must be one of the training's"),
    ],
)
def test_a_checkpoint_of_other_tensors_is_refused(small, trained, tmp_path, name, change, message):
    path = tmp_path / pretrain.CHECKPOINT
    tensors, metadata = bundle.read_tensors(trained, "checkpoint", checkpoint.FORMAT, "pt")
    changed = change(tensors.pop(name, None))
    tensors |= {} if changed is None else {name: changed.contiguous()}
    checkpoint.safetensors.torch.save_file(tensors, path, metadata=metadata)
    reads = [lambda: pretrain.pretrain(*small, tmp_path, seed=3, epochs=6)]
    if name.startswith("model."):  # an export has no optimiser
        reads.append(lambda: export.export_bundle(*small, path))
    for read in reads:
        with pytest.raises(XnoreplayError, match=f"{name}' of the checkpoint {message}"):
            read()


def test_a_bundle_names_the_pytorch_that_trained_it(small, trained, tmp_path):
    tensors, metadata = bundle.read_tensors(trained, "checkpoint", checkpoint.FORMAT, "pt")
    state = json.loads(metadata["state"])
    assert (
        export.export_bundle(*small, trained).provenance["torch"]
        == state["torch"]
        == torch.__version__
    )
    path = tmp_path / pretrain.CHECKPOINT
    for left, told in (
        (state | {"torch": "1.0"}, "1.0"),
        ({n: state[n] for n in state if n != "torch"}, None),
    ):
        checkpoint.safetensors.torch.save_file(
            tensors, path, metadata | {"state": json.dumps(left)}
        )
        assert export.export_bundle(*small, path).provenance.get("torch") == told


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": -1},
        {"epoch": 7},
        {"epoch": True},
        {"within": "x"},
        {"within": 1.5},
        {"within": -5},
        {"within": 10**6},
        {"steps": None},
        {"epoch": None},
    ],
)
def test_a_checkpoint_of_impossible_progress_is_refused(small, trained, tmp_path, change):
    path = tmp_path / pretrain.CHECKPOINT
    tensors, metadata = bundle.read_tensors(trained, "checkpoint", checkpoint.FORMAT, "pt")
    state = json.loads(metadata["state"]) | change
    checkpoint.safetensors.torch.save_file(tensors, path, metadata | {"state": json.dumps(state)})
    for read in (
        lambda: pretrain.pretrain(*small, tmp_path, seed=3, epochs=6),
        lambda: export.export_bundle(*small, path),
    ):
        with pytest.raises(
            XnoreplayError, match="must say of which training it is and how many epochs"
        ):
            read()


@pytest.mark.parametrize(
    "state",
    [
        None,
        "{",
        "5",
        "{}",
        '{"config": {"recipe": 1}, "epoch": 2}',
        '{"config": {"recipe": {"speed": 1}, "epochs": 2}, "epoch": 2}',
    ],
)
def test_a_checkpoint_without_its_state_is_refused(small, trained, tmp_path, state):
    path = tmp_path / pretrain.CHECKPOINT
    tensors, metadata = bundle.read_tensors(trained, "checkpoint", checkpoint.FORMAT, "pt")
    metadata = {n: v for n, v in (metadata | {"state": state}).items() if v is not None}
    checkpoint.safetensors.torch.save_file(tensors, path, metadata=metadata)
    for read in (
        lambda: pretrain.pretrain(*small, tmp_path, seed=3, epochs=6),
        lambda: native.start(export.export_bundle(*small, trained), path),
    ):
        with pytest.raises(XnoreplayError, match="field 'state' must say of which training it is"):
            read()


def test_epochs_must_be_positive(small, tmp_path):
    with pytest.raises(SpecError, match="epochs must be a positive integer, not 0"):
        pretrain.pretrain(*small, tmp_path, epochs=0)


def test_proxies_stay_in_range(trained):
    tensors, _ = checkpoint.load(trained)
    proxies = [t for name, t in tensors.items() if name.startswith("model.") and t.ndim > 1]
    assert proxies
    assert all(t.abs().max() <= 1 for t in proxies)


def test_export_survives_the_file_and_its_golden_pairs_hold(small, trained, tmp_path):
    preset, _ = small
    made = export.export_bundle(*small, trained)
    assert made.interface == small[0].scenario.interface
    bundle.write(made, tmp_path / "b.safetensors")
    read = bundle.read(tmp_path / "b.safetensors")
    assert bundle.digest(read) == bundle.digest(made)
    assert read.provenance == made.provenance
    assert read.provenance["class_order"] == preset.scenario.order.tolist()
    assert len(read.golden.image) >= 8
    np.testing.assert_array_equal(read.golden.latent, reference.golden_latents(read))
    evaluation = network.of_bundle(read).evaluate(read.golden.image)
    np.testing.assert_array_equal(read.golden.latent, evaluation.latent)
    base = preset.scenario.base
    np.testing.assert_array_equal(read.golden.logit, evaluation.logits[:, :base])


@pytest.mark.parametrize("pairs", [1, 2])
def test_import_keeps_every_weight_at_every_width(small, trained, pairs):
    """One proxy a pair means what two do, as both were trained PAIR_OFFSET apart."""
    made = export.export_bundle(*small, trained)
    for n in (2, 4, 8, 12):
        target = dataclasses.replace(small[0].target, proxies_per_pair=pairs, proxy_bits=n)
        weights = reference.Classifier.load(made, target).output_weights()
        base = small[0].scenario.base
        trained_pairs = (made.output[:base] >= 0).sum(axis=1)
        np.testing.assert_array_equal(weights[:base].sum(axis=1), trained_pairs)


def test_a_network_of_all_classes_exports_the_base_rows(small, tmp_path):
    preset, _ = small
    path = pretrain.pretrain(*small, tmp_path, epochs=1, all_classes=True)
    made = export.export_bundle(*small, path)
    base, classes = preset.scenario.base, preset.scenario.classes
    rows = checkpoint.load(path)[0]["model.network.classifier.output"]
    assert len(rows) == recipe_of("digits").classes(classes)
    assert made.provenance["trained_classes"] == classes
    assert 0 <= made.provenance["trained_test_accuracy"] <= 1
    assert 0 <= made.provenance["trained_train_accuracy"] <= 1
    assert made.provenance["base_classes"] == made.golden.logit.shape[1] == base
    target = dataclasses.replace(preset.target, proxies_per_pair=2)
    weights = reference.Classifier.load(made, target).output_weights()
    assert (weights[base:].sum(axis=1) == 1).all()
    lines = []
    pretrain.pretrain(*small, tmp_path, epochs=1, report=lines.append)
    assert lines[0] == "pretrain.safetensors is of another run: starting afresh"


@pytest.mark.parametrize("all_classes", [False, True])
def test_it_goes_on_from_a_bundle(small, trained, tmp_path, monkeypatch, all_classes):
    first = export.export_bundle(*small, trained)
    base = small[0].scenario.base
    dials = dataclasses.replace(RECIPES["digits"], learning_rate=0.0)  # so that the start shows
    monkeypatch.setitem(RECIPES, "digits", dials)
    path = pretrain.pretrain(
        *small, tmp_path, seed=5, epochs=1, all_classes=all_classes, start=first
    )
    made = export.export_bundle(*small, path)
    for name in ("lgap", "dense", "thresholds"):
        np.testing.assert_array_equal(getattr(made, name), getattr(first, name))
    for ours, theirs in zip(made.conv, first.conv, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(made.hidden, first.hidden)
    np.testing.assert_array_equal(made.output[:base], first.output[:base])
    assert made.provenance["start"] == {
        "digest": bundle.digest(first),
        "epochs": 6,
        "trained_classes": base,
        "proxy": 0.01,
        "recipe": first.provenance["recipe"],
        "hardware": first.provenance["hardware"],
        "torch": first.provenance["torch"],
    }
    proxies = checkpoint.load(path)[0]["model.network.dense.weight"]
    assert torch.equal(proxies.abs(), torch.full_like(proxies, 0.01))


def test_going_on_from_a_bundle_takes_smaller_steps(small, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(native, "STARTED_PROXY", 1e-4)  # so that one epoch turns some bits
    made = export.export_bundle(*small, trained)
    lines = []
    pretrain.pretrain(*small, tmp_path, epochs=1, start=made, report=lines.append)
    config = checkpoint.load(tmp_path / pretrain.CHECKPOINT)[1]["config"]
    assert config["recipe"]["learning_rate"] == recipe_of("digits").learning_rate / 2
    after = export.export_bundle(*small, tmp_path / pretrain.CHECKPOINT)
    turned = {
        f"convs.{i}": (a != b).mean()
        for i, (a, b) in enumerate(zip(after.conv, made.conv, strict=True))
    }
    turned |= {n: (getattr(after, n) != getattr(made, n)).mean() for n in ("lgap", "dense")}
    assert turned["dense"] > 0
    words = ", ".join(f"{name} {share:.1%}" for name, share in turned.items())
    assert lines[-1] == f"bits turned since the start: {words}"
    pretrain.pretrain(*small, tmp_path, epochs=1, report=lines.append)
    assert "pretrain.safetensors is of another run: starting afresh" in lines


def test_rows_of_later_classes_cancel(small, trained):
    made = export.export_bundle(*small, trained)
    base = small[0].scenario.base
    for pairs in (1, 2):
        target = dataclasses.replace(small[0].target, proxies_per_pair=pairs)
        weights = reference.Classifier.load(made, target).output_weights()
        assert (weights[base:].sum(axis=1) == 1).all()  # one +1 and one -1


def test_master_proxies_keep_the_sign_and_saturate():
    u = torch.tensor([-1.0, -1e-9, 0.0, 0.5, 1.0])
    assert export.masters(u).tolist() == [-32768, -1, 0, 16384, 32767]


def test_export_refuses_an_unfinished_or_foreign_checkpoint(small, tmp_path, stopped):
    stopped(lambda: pretrain.pretrain(*small, tmp_path, epochs=2), at=(pretrain.CHECKPOINT, 1, 0))
    with pytest.raises(XnoreplayError, match="must have all its 2 epochs, not 1"):
        export.export_bundle(*small, tmp_path / pretrain.CHECKPOINT)
    other = presets.from_dict({"preset": "tiny", "network": {"pad_bit": 1}})
    with pytest.raises(XnoreplayError, match="must be of the network of preset 'custom'"):
        export.export_bundle(other, small[1], tmp_path / pretrain.CHECKPOINT)


def test_thresholds_sit_in_the_middle_of_their_levels():
    digits, tiny = presets.load("digits").network, presets.load("tiny").network
    assert pretrain.thresholds(digits, 16).tolist() == list(range(1, 17))
    assert pretrain.thresholds(tiny, 16).tolist() == [2, 6, 10, 14]


def test_equalised_levels_hold_equally_many_pixels():
    net = presets.from_dict({"preset": "tiny", "network": {"levels": [4]}}).network
    images = np.random.default_rng(0).permutation(np.arange(256)).astype(np.uint8)
    squeezed = (images // 16).reshape(1, 16, 16, 1)  # 0 to 15, all in the first uniform level
    levels = pretrain.equalised(net, squeezed)
    assert levels.tolist() == [1, 5, 9, 13]
    shares = [(squeezed >= t).mean() for t in levels]
    np.testing.assert_allclose(shares, [15 / 16, 11 / 16, 7 / 16, 3 / 16])


@pytest.mark.parametrize("border", ["zeros", "reflected"])
def test_augmentation_draws_what_it_always_drew(border):
    """Pixel by pixel: a checkpoint of an earlier version goes on with the images it had begun with."""
    images = np.random.default_rng(1).integers(0, 256, (30, 6, 5, 2), np.uint8)
    seen = Recipe(shift=2, border=border, flipped=True)._view(images, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    down, right = (rng.integers(0, 5, (30, 1)) for _ in range(2))
    kept = rng.random((30, 1, 1, 1)) < 0.5
    mode = {"zeros": "constant", "reflected": "reflect"}[border]
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode)
    for n in range(30):
        for y, x in np.ndindex(6, 5):
            source = x if kept[n, 0, 0, 0] else 4 - x
            np.testing.assert_array_equal(
                seen[n, y, x], padded[n, y + down[n, 0], source + right[n, 0]]
            )


def test_flips_mirror_about_half_of_the_images():
    images = np.arange(400 * 4, dtype=np.uint16).astype(np.uint8).reshape(400, 1, 4, 1)
    recipe = Recipe(shift=0, flipped=True)
    made = recipe.epoch(Samples(images, np.arange(400)), 400, np.random.default_rng(0))
    source = images[made.classes]
    straight = (made.images == source).all(axis=(1, 2, 3))
    turned = (made.images == source[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (straight | turned).all()
    assert 160 < turned.sum() < 240


def test_reflected_shifts_bring_in_no_zeros():
    image = np.full((1, 4, 4, 1), 9, np.uint8)
    for seed in range(20):
        assert (shifted(image, 2, np.random.default_rng(seed), "reflected") == 9).all()


def test_shifts_move_whole_images_and_zeros_come_in():
    image = np.zeros((1, 4, 4, 1), np.uint8)
    image[0, 0, 3] = 9
    seen = set()
    for seed in range(60):
        moved = shifted(image, 1, np.random.default_rng(seed))
        seen.add(tuple(map(tuple, np.argwhere(moved[0, ..., 0]))))
    assert seen == {(), ((0, 2),), ((0, 3),), ((1, 2),), ((1, 3),)}


def test_pseudo_classes_follow_the_base_classes():
    rng = np.random.default_rng(0)
    base = Samples(rng.integers(0, 17, (6, 4, 4, 1), dtype=np.uint8), np.array([0, 0, 0, 1, 1, 1]))
    recipe = Recipe(shift=0, mirrored=True, joined=True)
    assert recipe.classes(2) == 12
    samples = recipe.epoch(base, 2, np.random.default_rng(1))
    assert len(samples.classes) == recipe.size(6) == 30
    np.testing.assert_allclose(recipe.weights(np.array([3, 3])), np.ones(12))
    originals = {i.tobytes() for i in base.images}
    assert {i.tobytes() for i in samples.images[samples.classes < 2]} == originals
    turned = {np.ascontiguousarray(i[::-1, ::-1]).tobytes() for i in base.images[base.classes == 1]}
    assert {i.tobytes() for i in samples.images[samples.classes == 7]} == turned
    tops = {i[:2].tobytes() for i in base.images[base.classes == 1]}
    bottoms = {i[2:].tobytes() for i in base.images[base.classes == 0]}
    for image in samples.images[samples.classes == 8 + 1 * 2 + 0]:
        assert image[:2].tobytes() in tops
        assert image[2:].tobytes() in bottoms


@pytest.mark.parametrize("border", ["zeros", "reflected"])
def test_an_epoch_of_images_on_the_disk_is_that_of_images_in_memory(border):
    """Made a minibatch at a time, of every kind of image and in both views."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (23, 8, 6, 3), np.uint8)
    recipe = Recipe(
        shift=2, border=border, flipped=True, mirrored=True, joined=True, twins=1.0, holes=True
    )
    parts = [
        recipe.epoch(Samples(source, np.arange(23) % 3), 3, np.random.default_rng(1))
        for source in (images, Rows(images))
    ]
    whole, lazy = parts
    assert np.array_equal(whole.classes, lazy.classes)
    for view, other in ((whole.images, lazy.images), (whole.second, lazy.second)):
        batches = [other[start : start + 5] for start in range(0, len(other), 5)]
        assert np.array_equal(view, np.concatenate(batches))
    assert digest(Samples(images, np.arange(23))) == digest(Samples(Rows(images), np.arange(23)))
