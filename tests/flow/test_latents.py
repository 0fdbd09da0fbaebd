"""Latent files: round trip, refusals, and that retraining reads the packaged ones."""

import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from xnoreplay.flow.cli import main
from xnoreplay.flow.datasets import latent_files as latents
from xnoreplay.flow.learning import cil
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import XnoreplayError

TINY = presets.load("tiny")


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)
    return latents.LatentSet(
        "digits",
        "ab" * 32,
        rng.integers(0, 2, (9, 13), dtype=np.uint8),
        np.arange(9),
        np.arange(9) > 5,
    )


def same(a, b):
    assert (a.dataset, a.bundle) == (b.dataset, b.bundle)
    for name in ("latents", "labels", "is_test"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_round_trip_and_equal_files(stored, tmp_path):
    latents.write(stored, tmp_path / "a")
    latents.write(stored, tmp_path / "b")
    same(latents.read(tmp_path / "a", 13), stored)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"digest": "0"}, "'digest' must match the content"),
        ({"format": "x"}, "'format' must be 'xnoreplay-latents-1', not 'x'"),
        ({"bundle": None}, "'bundle' must be present"),
    ],
)
def test_altered_files_are_refused(stored, tmp_path, change, sentence):
    path = tmp_path / "a"
    latents.write(stored, path)
    with safetensors.safe_open(path, framework="numpy") as f:
        metadata, tensors = f.metadata() | change, {n: f.get_tensor(n) for n in f.keys()}  # noqa: SIM118
    metadata = {name: value for name, value in metadata.items() if value is not None}
    safetensors.numpy.save_file(tensors, path, metadata=metadata)
    with pytest.raises(XnoreplayError, match=sentence):
        latents.read(path, 13)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"label": None}, "'label' must be present"),
        ({"latent": None}, "'latent' must be present"),
        ({"is_test": None}, "'is_test' must be present"),
        (
            {"is_test": np.zeros(8, np.uint8)},
            r"'is_test' must be uint8 of shape \(9,\), not uint8 of shape \(8,\)",
        ),
        (
            {"label": np.zeros((9, 1), np.uint16)},
            r"'label' must be uint16 of shape \(9,\), not .* \(9, 1\)",
        ),
        (
            {"label": np.uint16(3)},
            r"'label' must be uint16 of shape \(0,\), not uint16 of shape \(\)",
        ),
        (
            {"latent": np.zeros((9, 2), np.int16)},
            r"'latent' must be uint8 of shape \(9, 2\), not int16",
        ),
        ({"other": np.zeros(1)}, "'other' must not be present"),
    ],
)
def test_tensors_that_the_format_does_not_promise_are_refused(stored, tmp_path, tensors, sentence):
    path = tmp_path / "a"
    latents.write(stored, path)
    known, metadata = bundles.read_tensors(path, "file", latents.FORMAT)
    known = {n: np.asarray(a) for n, a in (known | tensors).items() if a is not None}
    bundles.write_tensors(path, known, metadata | {"digest": latents._digest(known)})
    with pytest.raises(XnoreplayError, match=sentence):
        latents.read(path, 13)


def test_every_class_must_have_training_and_test_samples():
    made = cil.simulated(TINY, bundles.random(TINY.network, 3))
    label = TINY.scenario.order[1]
    for kind, is_test in (("training", True), ("test", False)):
        changed = np.where(made.labels == label, is_test, made.is_test)
        with pytest.raises(
            XnoreplayError, match=f"must have {kind} samples of all .* none of label {label}"
        ):
            cil.of_scenario(TINY, dataclasses.replace(made, is_test=changed))


def test_damaged_missing_and_other_sizes_are_refused(stored, tmp_path):
    path = tmp_path / "a"
    with pytest.raises(XnoreplayError, match="must be a whole file"):
        latents.read(path, 13)
    latents.write(stored, path)
    with pytest.raises(
        XnoreplayError, match=r"must be uint8 of shape \(9, 3\), not uint8 of shape \(9, 2\)"
    ):
        latents.read(path, 17)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(XnoreplayError, match="must be a whole file"):
        latents.read(path, 13)


def test_latents_of_the_bundle_stand_in_for_its_images(tmp_path, monkeypatch):
    bundle = bundles.random(TINY.network, 3)
    expected = cil.extract(TINY, bundle)
    made = cil.simulated(TINY, bundle)
    folder = tmp_path / "data" / "latents"
    latents.write(made, folder / "tiny.safetensors")
    monkeypatch.setattr(latents.resources, "files", lambda _name: tmp_path)
    same(latents.packaged(bundle), made)
    assert latents.packaged(bundles.random(TINY.network, 4)) is None
    monkeypatch.setattr(cil, "simulated", None)  # is not called
    for a, b in zip(*map(dataclasses.astuple, (cil.extract(TINY, bundle), expected)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_command_writes_what_the_simulator_computes(tmp_path):
    bundle = bundles.random(TINY.network, 3)
    bundles.write(bundle, tmp_path / "b.safetensors")
    out = tmp_path / "l.safetensors"
    assert (
        main(["latents", str(out), "--preset", "tiny", "--bundle", str(tmp_path / "b.safetensors")])
        == 0
    )
    same(latents.read(out, TINY.network.latent), cil.simulated(TINY, bundle))


def test_experiments_take_a_file_of_their_bundle_alone(tmp_path, capsys):
    files = {}
    for seed in (3, 4):
        bundle, file = tmp_path / f"b{seed}", tmp_path / f"l{seed}"
        bundles.write(bundles.random(TINY.network, seed), bundle)
        assert main(["latents", str(file), "--preset", "tiny", "--bundle", str(bundle)]) == 0
        files[seed] = bundle, file
    arguments = ["--preset", "tiny", "--bundle", str(files[3][0]), "--seeds", "1"]
    assert main(["dials", *arguments, "--latents", str(files[3][1]), "--dial", "epochs=1"]) == 0
    assert main(["systems", *arguments, "--latents", str(files[4][1])]) == 1
    assert "must be of the bundle" in capsys.readouterr().err
