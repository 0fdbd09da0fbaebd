"""`init`, `predict` and `learn` on vectors of features: a spec, a chip put to use, and what is refused."""

import dataclasses
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.datasets import proposal, registry, splits
from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.datasets.vectors import VectorListing
from xnoreplay.flow.learning import cil, pretrain, use
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.step import Context
from xnoreplay.model import latent_classifier
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan, presets
from xnoreplay.spec.bits import unpack_bytes
from xnoreplay.spec.errors import FeatureError, SpecError, XnoreplayError
from xnoreplay.spec.features import METHODS, FeatureSpec

NAMES = ("ann", "bob", "cyd", "dan")
D = 6


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XNOREPLAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def vectors(count: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Four clusters, of labels 0 to 3 in turn."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((4, D)) * 3
    labels = np.arange(count) % 4
    return (centres[labels] + rng.standard_normal((count, D))).astype(np.float32), labels


@pytest.fixture
def preset():
    x, y = vectors()
    np.savez("people.npz", features=x, labels=y, class_names=NAMES)
    assert cli.main(["init", "people.npz"]) == 0
    return presets.load("people.toml")


@pytest.fixture
def bundle(preset, tmp_path):
    data = registry.of_preset(preset, Silent())
    path = latent_classifier.pretrain(preset, data, tmp_path, epochs=10)
    made = latent_classifier.export_bundle(preset, data, path, data.binariser)
    bundles.write(made, tmp_path / "people.safetensors")
    return made


def test_init_says_what_it_found_and_what_the_chip_will_cost(preset, capsys, tmp_path):
    (tmp_path / "people.toml").unlink()
    capsys.readouterr()
    assert cli.main(["init", "people.npz"]) == 0
    text = (tmp_path / "people.toml").read_text()
    said = capsys.readouterr().out
    assert "people: 4 classes, 60 vectors to train and 20 to test" in said
    assert f"{D} features in each vector" in said
    assert "one inference: " in said
    assert f"# none: the data set has vectors of {D} features, not images\nconvs = []" in text
    assert preset.scenario.class_names == NAMES
    assert preset.network.latent == 128
    assert cli.main(["init", "people.npz"]) == 1
    assert "must be new" in capsys.readouterr().err


def test_init_reads_every_vector_before_it_writes(tmp_path, capsys):
    x, y = vectors()
    x[77, 2] = np.inf
    np.savez("people.npz", features=x, labels=y)
    assert cli.main(["init", "people.npz"]) == 1
    assert "vector 77 of features of people.npz: features must be finite" in capsys.readouterr().err
    assert not (tmp_path / "people.toml").exists()


@pytest.mark.parametrize("varied", ["nothing", "later", "test"])
def test_init_refuses_vectors_that_no_binarisation_can_be_trained_on(varied, tmp_path, capsys):
    """What varies in test samples and in classes that come later alone is no more than nothing."""
    labels, tests = np.repeat(np.arange(4), 8), np.arange(32) % 4 == 3
    x = np.ones((32, D))
    base = np.random.default_rng(0).permutation(4)[:2]  # of order_seed 0
    if varied == "later":
        x[~np.isin(labels, base)] += np.arange(16)[:, None]
    if varied == "test":
        x[tests] = 5
    np.savez("flat.npz", features=x, labels=labels, is_test=tests)
    assert cli.main(["init", "flat.npz"]) == 1
    assert "features must vary among the training samples of the base classes, but all 12 are" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "flat.toml").exists()
    x[np.flatnonzero((labels == base[0]) & ~tests)[0], 2] = 3
    np.savez("flat.npz", features=x, labels=labels, is_test=tests)
    assert cli.main(["init", "flat.npz"]) == 0


def test_more_vectors_classes_than_a_chip_has_are_one_sentence():
    labels = np.repeat(np.arange(1100), 2)
    names = tuple(f"c{i}" for i in range(1100))
    found = VectorListing("it", names, labels, splits.split(labels), "", 5, lambda: iter(()), str)
    with pytest.raises(SpecError, match=r"at most 1,024 .* not 1100: give init a data set of"):
        proposal.propose_for_features(found, "/it", "it")


@pytest.mark.parametrize("classes", [2, 3, 11, 100, 1000])
@pytest.mark.parametrize("samples", [20, 1000])
@pytest.mark.parametrize("width", [1, 13, 512, 4096])
def test_every_proposal_can_be_built(classes, samples, width):
    labels = np.repeat(np.arange(classes), samples)
    names = tuple(f"c{i}" for i in range(classes))
    found = VectorListing(
        "it", names, labels, splits.split(labels), "", width, lambda: iter(()), str
    )
    made = proposal.propose_for_features(found, "/it", "it")
    net, target, scenario = made.preset.network, made.preset.target, made.preset.scenario
    assert plan.compile(net, target).infer_cycles(classes) > 0
    assert 128 <= net.latent <= 1024
    assert classes <= target.replay_capacity <= 15 * classes * samples // 20
    assert scenario.seen(scenario.tasks) == classes
    assert (target.staging_capacity == 0) == (scenario.tasks == 0)
    assert set(made.reasons) >= {"convs", "latent", "hidden", "channels", "replay_capacity"}


def test_a_chip_classifies_vectors_in_every_form(preset, bundle, tmp_path, capsys):
    x, y = vectors(40, seed=1)
    np.save("some.npy", x)
    np.save("one.npy", x[5])
    (tmp_path / "test").mkdir()
    for label, name in enumerate(NAMES):
        np.save(f"test/{name}.npy", x[y == label])
    alone = use.read(preset, [tmp_path / "some.npy"], Silent(), bundle.binariser)
    assert alone.classes is None
    assert np.array_equal(alone.images, bundle.binariser.packed(x))
    two = use.read(
        preset, [tmp_path / n for n in ("some.npy", "one.npy")], Silent(), bundle.binariser
    )
    assert np.array_equal(two.images[40], alone.images[5])
    assert two.names[39:] == (
        f"vector 39 of {tmp_path / 'some.npy'}",
        f"vector 0 of {tmp_path / 'one.npy'}",
    )
    known = use.read(preset, [tmp_path / "test"], Silent(), bundle.binariser)
    order = preset.scenario.chip_classes(np.arange(4))
    assert np.array_equal(known.classes, np.repeat(order, 10))
    capsys.readouterr()
    assert (
        cli.main(["predict", "test", "--preset", "people.toml", "--bundle", "people.safetensors"])
        == 0
    )
    said = capsys.readouterr().out
    first = [NAMES[int(label)] for label in preset.scenario.order[:2]]
    assert all(name in said for name in first)
    assert "vector 9 of test/dan.npy" in said
    assert "20 vectors are of classes that the chip has not seen" in said
    share = float(said.split("accuracy ")[1].split(" %")[0])
    assert share > 80


@pytest.mark.usefixtures("bundle")
def test_a_session_learns_new_classes_and_leaves_a_state(preset, capsys):
    chosen = ["--preset", "people.toml", "--bundle", "people.safetensors"]
    x, y = vectors(160, seed=2)
    new = int(preset.scenario.order[2])
    few = np.flatnonzero(y == new)[:12]
    labels, tests = np.full(12, new), np.arange(12) < 2
    np.savez("new.npz", features=x[few], labels=labels, is_test=tests, class_names=NAMES)
    assert cli.main(["learn", "new.npz", *chosen, "--save", "it.state"]) == 0
    said = capsys.readouterr()
    assert f"new classes: {NAMES[new]}; 10 vectors" in said.out
    assert "2 test vectors of new are not learned from" in said.err + said.out
    x, y = vectors(40, seed=3)
    seen = np.isin(y, preset.scenario.order[:3])
    np.savez("test.npz", features=x[seen], labels=y[seen], class_names=NAMES)
    assert cli.main(["predict", "test.npz", *chosen, "--state", "it.state"]) == 0
    assert float(capsys.readouterr().out.split("accuracy ")[1].split(" %")[0]) > 70


HALVES = [
    (True, "1 test vector of it is not learned from", "training vectors to learn"),
    (False, "19 training vectors of it are not classified", "test vectors to classify"),
]
"""Of a data set whose last of 20 vectors tests: whether vectors are read to learn, what is noted, what is needed."""


@pytest.mark.parametrize(("to_learn", "note", "needed"), HALVES)
def test_one_half_of_a_split_is_used(preset, bundle, tmp_path, monkeypatch, to_learn, note, needed):
    (x, y), tests, notes = vectors(20), np.arange(20) >= 19, []
    monkeypatch.setattr(Silent, "note", lambda _self, text: notes.append(text))
    np.savez("it.npz", features=x, labels=y, is_test=tests, class_names=NAMES)
    batch = use.read(preset, [tmp_path / "it.npz"], Silent(), bundle.binariser, to_learn)
    kept = tests != to_learn
    assert np.array_equal(batch.images, bundle.binariser.packed(x[kept]))
    assert batch.classes.tolist() == preset.scenario.chip_classes(y[kept]).tolist()
    assert len(batch.names) == kept.sum()
    assert notes == [note]
    np.savez("it.npz", features=x, labels=y, is_test=np.full(20, to_learn), class_names=NAMES)
    with pytest.raises(SpecError, match=f"it must have {needed}, but says that all of its 20 are"):
        use.read(preset, [tmp_path / "it.npz"], Silent(), bundle.binariser, to_learn)


def test_a_state_of_another_binarisation_is_refused(preset, bundle, tmp_path):
    chip = Simulator(plan.compile(preset.network, preset.target), bundle)
    chip.arrive(2)
    use.save(chip, preset, tmp_path / "it.state")
    assert use.power_on(preset, bundle, tmp_path / "it.state", Silent()).state.seen == 2
    rule = bundle.binariser
    other = dataclasses.replace(rule, threshold=rule.threshold + 1)
    with pytest.raises(SpecError, match="latents that this bundle's binarisation makes, but"):
        use.power_on(
            preset, dataclasses.replace(bundle, binariser=other), tmp_path / "it.state", Silent()
        )


@pytest.mark.parametrize(
    ("count", "chip_class", "sentence"),
    [
        (1, None, "vectors to learn must lie in a file a class, or have labels"),
        (1, -1, "vectors to learn must be of the scenario's classes, but it is not"),
        (1, 3, "is next, but has no vector"),
        (1000, 2, "must bring at most {:,} vectors, which the staging memory holds, not 1,000"),
    ],
)
def test_a_session_that_cannot_be_speaks_of_vectors(preset, bundle, count, chip_class, sentence):
    chip = Simulator(plan.compile(preset.network, preset.target), bundle)
    chip.arrive(2)
    classes = None if chip_class is None else np.full(count, chip_class)
    batch = use.Batch(np.zeros((count, 16), np.uint8), ("it",) * count, classes)
    with pytest.raises(SpecError, match=sentence.format(preset.target.staging_capacity)):
        use.session(chip, preset, batch)


def test_what_does_not_fit_the_chip_is_refused(preset, bundle, tmp_path):
    np.save("wide.npy", np.ones((2, D + 1)))
    with pytest.raises(FeatureError, match="a vector must have 6 features, not 7 as those of wide"):
        use.read(preset, [tmp_path / "wide.npy"], Silent(), bundle.binariser)
    np.save("nan.npy", np.full((2, D), np.nan))
    with pytest.raises(FeatureError, match=r"vector 0 of .*nan.npy: .* not nan \(feature 0\)"):
        use.read(preset, [tmp_path / "nan.npy"], Silent(), bundle.binariser)
    with pytest.raises(SpecError, match="vectors must be one data set, or .npy files"):
        use.read(preset, [tmp_path / "people.npz"] * 2, Silent(), bundle.binariser)
    with pytest.raises(SpecError, match="must carry a binarisation to read vectors"):
        use.read(preset, [tmp_path / "wide.npy"], Silent())


def test_a_bundle_of_other_vectors_is_refused(preset, bundle, tmp_path):
    rule = bundle.binariser
    other = dataclasses.replace(
        bundle, binariser=dataclasses.replace(rule, threshold=rule.threshold + 1)
    )
    sentence = "data set people must be the one whose binarisation the bundle carries"
    with pytest.raises(SpecError, match=sentence):
        use.power_on(preset, other, None, Silent())
    bundles.write(other, tmp_path / "other.safetensors")
    config = {
        "preset": presets.to_dict(preset),
        "untrained": False,
        "bundle": str(tmp_path / "other.safetensors"),
    }
    with pytest.raises(SpecError, match=sentence):
        pretrain.export(Context(config, tmp_path, {}, tmp_path, Silent()))


@pytest.mark.usefixtures("bundle")
def test_a_bundle_of_another_rule_is_refused(preset, tmp_path):
    source = dataclasses.replace(preset.scenario.source, features=FeatureSpec("thermometer"))
    other = presets.vary(preset, "scenario", source=source)
    with pytest.raises(
        XnoreplayError, match=r"differs in binarise \('selected', not 'thermometer'\)"
    ):
        BundleSource("file", tmp_path / "people.safetensors").load(other)


def test_the_latents_of_a_run_are_those_of_the_rule(preset, bundle):
    data = registry.of_preset(preset, Silent())
    x, _ = vectors()
    stored = cil.simulated(preset, bundle)
    assert np.array_equal(stored.latents, bundle.binariser.latents(x))
    assert np.array_equal(stored.latents, unpack_bytes(np.asarray(data.images), 128))
    result = cil.chip(preset, bundle, cil.of_scenario(preset, stored), 0)
    assert result["a_final"] > 0.8


def test_a_run_trains_exports_and_learns(preset, tmp_path, capsys):
    """The steps of a run folder, as far as the sessions; the bundle there is used without being named."""
    del preset
    assert cli.main(["cil", "--preset", "people.toml", "--out", "run", "--seeds", "1"]) == 0
    made = bundles.read(tmp_path / "run" / "export" / "bundle.safetensors")
    assert made.binariser is not None
    assert made.interface.rule == FeatureSpec()
    assert made.provenance["epochs"] == 200
    result = json.loads((tmp_path / "run" / "cil" / "result.json").read_text())
    assert result["methods"]["chip"]["a_final"][0] > 0.8
    np.save("some.npy", vectors(40, seed=1)[0])
    capsys.readouterr()
    assert cli.main(["predict", "some.npy", "--out", "run"]) == 0
    assert "vector 39 of some.npy" in capsys.readouterr().out
    np.savez("people.npz", features=vectors(seed=9)[0], labels=vectors()[1], class_names=NAMES)
    assert cli.main(["predict", "some.npy", "--out", "run"]) == 1
    assert "must be the one whose binarisation the bundle carries" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_the_ways_can_be_measured_on_vectors_of_ones_own(monkeypatch, capsys):
    x, y = vectors(160)
    np.savez("people.npz", features=x, labels=y)
    script = Path(__file__).parents[2] / "docs" / "feature_ways.py"
    sizes = ["--latent", "40", "--hidden", "8", "--seeds", "1", "--kept", "kept.jsonl"]
    monkeypatch.setattr(sys, "argv", [str(script), "people.npz", *sizes])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    rows = [row.split(" | ") for row in printed.splitlines()]
    assert [row[1] for row in rows] == [f"`{way}`" for way in (*METHODS, "PCA and ITQ")]
    shares = np.array([[float(cell.split(" ± ")[0]) for cell in row[2:]] for row in rows])
    assert len(set(shares[:, 0])) == 1  # the features are the same whatever the way
    assert (shares > 60).all()
    monkeypatch.setattr(cil, "chip", None)  # a second run measures nothing again
    runpy.run_path(str(script), run_name="__main__")
    assert capsys.readouterr().out == printed
