"""Where a bundle comes from is decided once, and means the same in every command."""

import dataclasses
import json

import pytest

import xnoreplay
from xnoreplay.flow import cli
from xnoreplay.flow.commands.costs import chosen_bundle
from xnoreplay.flow.datasets.bundles import BUNDLE, BundleSource
from xnoreplay.flow.pipeline import steps
from xnoreplay.flow.pipeline.resolve import resolve
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import XnoreplayError
from xnoreplay.spec.interface import Interface

TINY, DIGITS = presets.load("tiny"), presets.load("digits")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "given.safetensors"
    bundles.write(bundles.random(TINY.network, 3), path)
    return path


def test_the_source_of_a_command_without_a_run_folder(file):
    assert BundleSource.choose(TINY, file) == BundleSource("file", file)
    assert BundleSource.choose(TINY, untrained=True) == BundleSource("random")
    packaged = BundleSource.choose(DIGITS)
    assert (packaged.kind, packaged.is_trained) == ("packaged", True)
    missing = BundleSource.choose(TINY)
    assert (missing, missing.is_trained) == (BundleSource("packaged", None), False)
    with pytest.raises(XnoreplayError, match="preset 'tiny' must have a bundle, but none is pack"):
        missing.load(TINY)
    with pytest.raises(XnoreplayError, match="a bundle and untrained bits must not be asked for"):
        BundleSource.choose(TINY, file, untrained=True)


def test_a_file_is_read_and_held_to_the_preset(file):
    digest = bundles.digest(bundles.random(TINY.network, 3))
    assert bundles.digest(BundleSource("file", file).load_checked(TINY)) == digest
    with pytest.raises(XnoreplayError, match="must be of the network and scenario of preset 'dig"):
        BundleSource("file", file).load(DIGITS)


def test_a_bundle_of_another_interface_is_refused(tmp_path):
    """Its images would be misread: another range of pixels, another fit, other names of classes."""
    mine, path = TINY.scenario.interface, tmp_path / "b"
    made = dataclasses.replace(bundles.random(TINY.network, 3), interface=mine)
    bundles.write(made, path)
    assert BundleSource("file", path).load(TINY).interface == mine
    rule = dataclasses.replace(mine.rule, fit="pad", greatest=255)
    other = Interface(rule, (*mine.class_names[:2], "x", *mine.class_names[3:]))
    bundles.write(dataclasses.replace(made, interface=other), path)
    with pytest.raises(XnoreplayError) as error:
        BundleSource("file", path).load(TINY)
    assert str(error.value).endswith(
        f"differs in class 2 ('x', not {mine.class_names[2]!r}), fit ('pad', not 'crop'), greatest (255, not 16)"
    )


def test_random_bits_are_the_same_in_every_command(tmp_path):
    """Of a run folder and of the Python interface; an estimate draws its own where it is given None."""
    folder = tmp_path / "run"
    assert cli.main(["export", "--preset", "tiny", "--untrained", "--out", str(folder)]) == 0
    exported = bundles.digest(bundles.read(folder / "export" / BUNDLE))
    assert bundles.digest(xnoreplay.load_bundle(TINY, untrained=True)) == exported
    assert chosen_bundle(TINY, None, untrained=True) is None
    assert chosen_bundle(TINY, None, untrained=False) is None


@pytest.mark.parametrize(
    ("chosen", "trained", "kind"),
    [
        ({}, False, "packaged"),
        ({}, True, "training"),
        ({"own_training": True}, False, "training"),
        ({"untrained": True}, True, "random"),
        ({"bundle": "FILE"}, True, "file"),
    ],
)
def test_the_source_of_a_run_folder(tmp_path, file, chosen, trained, kind):
    """What is asked for now, else the training that the folder has, else the package."""
    folder = tmp_path / "run"
    if trained:
        (folder / "pretrain").mkdir(parents=True)
    given = {name: file if value == "FILE" else value for name, value in chosen.items()}
    _, settings = resolve(folder, {"preset": "tiny", **given})
    assert settings.source.kind == kind
    assert steps.steps(kind == "training")["export"].needs == ("pretrain",) * (kind == "training")
    config = steps.configs(settings)["export"]
    assert config["untrained"] == (kind == "random")
    assert config["bundle"] == (str(file) if kind == "file" else None)
    assert json.dumps(config)
