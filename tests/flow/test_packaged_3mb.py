"""The packaged 3mb bundle and latents: what `xnoreplay cil --preset 3mb-stored` starts from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xnoreplay.flow.datasets import latent_files as latents
from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.datasets import user_files as brought
from xnoreplay.flow.datasets.bundles import BundleSource, check_golden
from xnoreplay.flow.learning.paper import reproduce
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.records import RESULT
from xnoreplay.flow.verify.cosim import large
from xnoreplay.model import float_classifier as adam
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan, presets

FULL = presets.load("3mb-stored")
EXTRACTORS = Path(__file__).parents[2] / "extractors"


@pytest.fixture(scope="module")
def bundle():
    return BundleSource.choose(FULL).load(FULL)


@pytest.fixture(scope="module")
def stored(bundle):
    return latents.packaged(bundle)


def test_every_image_of_the_data_set_has_a_latent(stored):
    assert stored.dataset == "cifar100"
    assert stored.latents.shape == (60_000, 1_024)
    assert np.bincount(stored.labels[~stored.is_test]).tolist() == [500] * 100
    assert np.bincount(stored.labels[stored.is_test]).tolist() == [100] * 100


def test_latents_are_those_of_the_bundle_s_golden_images(bundle, stored):
    golden = bundle.golden
    assert len(golden.latent) == 16
    tests = stored.latents[stored.is_test][: len(golden.latent)]
    np.testing.assert_array_equal(tests, golden.latent)


@pytest.mark.parametrize("part", ["train", "test"])
def test_accuracy_on_the_base_classes_is_what_the_bundle_claims(bundle, stored, part):
    base = FULL.scenario.base
    classes = FULL.scenario.chip_classes(stored.labels)
    chosen = (classes < base) & (stored.is_test == (part == "test"))
    correct = (
        adam.predict(adam.weights_of_bundle(bundle), stored.latents[chosen], base)
        == classes[chosen]
    )
    assert round(float(correct.mean()), 6) == bundle.provenance[f"base_{part}_accuracy"]
    assert len(correct) == bundle.provenance[f"base_{part}_samples"]


def test_the_five_sessions_need_neither_pytorch_nor_images(tmp_path):
    """Integers are those of docs/cifar100.md, of seed 0, to the last image."""
    code = (
        "import sys; sys.modules['torch'] = None; from xnoreplay.flow.cli import main; "
        "sys.exit(main(['cil', '--preset', '3mb-stored', '--seeds', '1', '--out', sys.argv[1]]))"
    )
    env = {name: value for name, value in os.environ.items() if name != brought.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "cil" / RESULT).read_text())["methods"]
    assert len(found["chip"]["matrix"][0]) == 6
    right = {name: round(10_000 * scores["a_final"][0], 6) for name, scores in found.items()}
    assert (right["chip"], right["cumulative"], right["naive"]) == (
        4652,
        4866,
        716,
    )  # of 10,000 images
    assert found["float"]["a_final"] == [pytest.approx(0.4675, abs=0.005)]  # sums of another BLAS


def test_co_simulation_without_images_takes_the_packaged_latents(bundle, stored, monkeypatch):
    """Real latents in the replay memory, two of each of the first classes."""
    monkeypatch.delenv(brought.VARIABLE, raising=False)
    compiled = plan.compile(FULL.network, FULL.target)
    images = data.of_preset_or_random(FULL, Silent())
    labels = np.arange(80) % FULL.scenario.base
    found = large.remembered(FULL, compiled, images, bundle, labels)
    for n, k in enumerate(labels):
        own = stored.latents[(stored.labels == FULL.scenario.order[k]) & ~stored.is_test]
        np.testing.assert_array_equal(found[n], own[n // FULL.scenario.base])


def test_a_class_of_few_samples_comes_round_again(monkeypatch):
    """Ten base classes ask for more samples of each than the random images have."""
    monkeypatch.delenv(brought.VARIABLE, raising=False)
    preset = presets.load("3mb-res")
    compiled = plan.compile(preset.network, preset.target)
    images, bits = data.of_preset_or_random(preset, Silent()), bundles.random(preset.network, 0)
    labels = np.arange(80) % preset.scenario.base
    found = large.remembered(preset, compiled, images, bits, labels)
    assert found.shape == (80, preset.network.latent)
    few = np.bincount(images.labels[~images.is_test]).min()
    np.testing.assert_array_equal(found[0], found[few * preset.scenario.base])


@pytest.mark.parametrize(
    "name",
    [
        "rpt-supervised-20",
        "rpt-supervised-8",
        "rpt-semi-8",
        "fpt-supervised-5",
        "fpt-semi-5",
        "fpt-distilled-8",
        "fpt-supervised-24",
        "fpt-supervised-48",
        "fpt-supervised-60",
        "rpt-distilled-24",
        "fpt-supervised-4",
        "fpt-semi-4",
    ],
)
def test_the_other_extractors_are_what_their_names_say(name):
    other = BundleSource.choose(FULL, EXTRACTORS / f"{name}.safetensors").load(FULL)
    assert check_golden(other)["images"] == 16
    source = reproduce.Source(other)
    classes = {"base": "rpt", "all": "fpt"}[source.classes]
    assert f"{classes}-{source.objective}-{other.provenance['epochs']}" == name
