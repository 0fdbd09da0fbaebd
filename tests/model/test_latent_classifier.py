"""Training of the classifier alone: what it learns, what its bundle says, and what is refused."""

import dataclasses

import numpy as np
import pytest

from xnoreplay.flow.datasets.bundles import check_golden
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.model import float_classifier, latent_classifier
from xnoreplay.model.latent_classifier import epochs_for
from xnoreplay.sim.learner import Learner
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.bits import pack_bytes
from xnoreplay.spec.errors import BundleError, SpecError, XnoreplayError
from xnoreplay.spec.features import Binariser, FeatureSpec
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.scenario import FeatureSource, ScenarioSpec

LATENT = 44
PRESET = Preset(
    "it",
    NetworkSpec("it", convs=(), latent=LATENT, hidden=12, classes=5),
    dataclasses.replace(presets.PRESETS["tiny"].target, replay_capacity=40),
    ScenarioSpec(
        "own",
        4,
        3,
        1,
        source=FeatureSource("x.npz"),
        class_names=("a", "b", "c", "d"),
        class_order=("c", "a", "d", "b"),
    ),
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Four classes: a random latent each, of which a sixth of the bits turn."""
    rng = np.random.default_rng(2)
    labels = np.arange(120) % 4
    bits = rng.integers(0, 2, (4, LATENT))[labels] ^ (rng.random((120, LATENT)) < 1 / 6)
    return Dataset("own", pack_bytes(bits.astype(np.uint8)), labels, np.arange(120) >= 80)


@pytest.fixture(scope="module")
def path(data, tmp_path_factory):
    return latent_classifier.pretrain(PRESET, data, tmp_path_factory.mktemp("trained"), epochs=20)


def a_binariser() -> Binariser:
    rng = np.random.default_rng(7)
    return Binariser(
        rng.integers(-9, 9, 3, np.int16),
        rng.integers(-9, 9, 3, np.int32),
        rng.integers(0, 3, (LATENT, 2), np.uint16),
        rng.integers(-9, 9, (LATENT, 2), np.int8),
        rng.integers(-9, 9, LATENT, np.int32),
    )


def test_the_base_is_learned_and_the_bundle_says_so(data, path, tmp_path):
    made = latent_classifier.export_bundle(PRESET, data, path, a_binariser())
    said = made.provenance
    assert (said["dataset"], said["base_classes"], said["class_order"]) == ("own", 3, [2, 0, 3, 1])
    assert said["base_test_accuracy"] > 0.9
    assert (said["base_train_samples"], said["base_test_samples"]) == (60, 30)
    assert made.interface.class_names == ("c", "a", "d", "b")
    assert made.interface.rule == FeatureSpec()
    assert check_golden(made)["images"] == 16
    bundles.write(made, tmp_path / "b.safetensors")
    again = bundles.read(tmp_path / "b.safetensors")
    assert bundles.digest(again) == bundles.digest(made)
    assert again.binariser.same_as(a_binariser())
    assert np.array_equal(again.output, made.output)


def test_a_chip_with_the_bundle_classifies_as_the_training_did(data, path):
    made = latent_classifier.export_bundle(PRESET, data, path)
    target = dataclasses.replace(PRESET.target, proxies_per_pair=2, proxy_bits=12)
    learner = Learner(made, target)
    learner.arrive(3)
    weights = float_classifier.weights_of_bundle(made)
    bits = np.unpackbits(data.images, axis=1, bitorder="little")[:, :LATENT]
    assert np.array_equal(learner.predict(bits), float_classifier.predict(weights, bits, 3))


def test_rows_of_later_classes_cancel_and_those_of_the_base_do_not(data, path):
    made = latent_classifier.export_bundle(PRESET, data, path)
    assert (made.output[3:].astype(int).sum(axis=1) == 0).all()
    assert (made.output[:3].astype(int).sum(axis=1) != 0).mean() > 0.9


def test_the_same_seed_gives_the_same_classifier_and_another_one_not(data, path, tmp_path):
    folders = [tmp_path / n for n in ("a", "b")]
    for folder, seed in zip(folders, (0, 1), strict=True):
        folder.mkdir()
        latent_classifier.pretrain(PRESET, data, folder, seed=seed, epochs=20)
    same, other = ((f / path.name).read_bytes() for f in folders)
    assert same == path.read_bytes()
    assert other != same


def test_classes_that_come_later_have_no_part_in_the_training(data, path, tmp_path):
    later = data.images.copy()
    later[data.labels == 1] ^= 255  # b, the last to arrive
    latent_classifier.pretrain(PRESET, dataclasses.replace(data, images=later), tmp_path, epochs=20)
    assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_all_classes_may_be_trained_and_a_start_gone_on_from(data, path, tmp_path):
    lines: list[str] = []
    start = latent_classifier.export_bundle(PRESET, data, path)
    more = latent_classifier.pretrain(
        PRESET, data, tmp_path, all_classes=True, start=start, epochs=1, report=lines.append
    )
    made = latent_classifier.export_bundle(PRESET, data, more)
    assert made.provenance["trained_classes"] == 4
    assert made.provenance["start"] == {"digest": bundles.digest(start)}
    assert made.provenance["recipe"]["learning_rate"] == latent_classifier.Recipe.learning_rate / 2
    assert lines[0] == "classifier of 4 classes: 80 latents, 1 epochs"
    assert "recognised among 4 classes" in lines[1]
    assert (np.sign(made.hidden) == np.sign(start.hidden)).mean() > 0.95


def test_epochs_follow_from_the_samples():
    assert [epochs_for(n, 32) for n in (1, 960, 10_000, 10**7)] == [200, 100, 10, 10]


def test_what_cannot_be_trained_or_exported_is_one_sentence(data, path, tmp_path):
    with pytest.raises(SpecError, match="objective must be 'supervised' .* not 'semi'"):
        latent_classifier.pretrain(PRESET, data, tmp_path, objective="semi")
    for part, field, value in (("network", "hidden", 13), ("scenario", "order_seed", 1)):
        other = presets.vary(PRESET, part, **{field: value})
        with pytest.raises(XnoreplayError, match=f"must be of the {part} of preset 'it'"):
            latent_classifier.export_bundle(other, data, path)
    (tmp_path / "no").write_bytes(b"no")
    with pytest.raises(XnoreplayError, match="checkpoint .* must be a whole file"):
        latent_classifier.export_bundle(PRESET, data, tmp_path / "no")


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (lambda t: t.pop("features.tap"), "tensor 'features.tap' must be present"),
        (
            lambda t: t.update({"features.offset": np.zeros(2, np.int32)}),
            r"must be int32 of shape \(3,\)",
        ),
        (lambda t: t["features.tap"].fill(9), "tap of a binariser must be 0 to 2, not 9"),
        (lambda t: t.update({"features.more": np.zeros(2)}), "'features.more' must not be present"),
        (
            lambda t: t.update(
                {f"features.{n}": np.zeros((9, 2), d) for n, d in (("tap", "u2"), ("weight", "i1"))}
            ),
            r"must be uint16 of shape \(44, 2\)",
        ),
    ],
)
def test_a_bundle_with_a_broken_binariser_is_refused(data, path, tmp_path, broken, sentence):
    made = latent_classifier.export_bundle(PRESET, data, path, a_binariser())
    file = tmp_path / "b.safetensors"
    bundles.write(made, file)
    tensors, metadata = bundles.read_tensors(file, "bundle", bundles.FORMAT)
    broken(tensors)
    metadata["digest"] = bundles._digest(made.network, made.provenance, tensors, made.interface)
    bundles.write_tensors(file, tensors, metadata)
    with pytest.raises(BundleError, match=sentence):
        bundles.read(file)
