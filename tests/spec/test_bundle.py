"""Bundles: whole, or refused by name."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy

from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets, reference
from xnoreplay.spec.bits import pack_bytes
from xnoreplay.spec.errors import BundleError, ImageError, XnoreplayError
from xnoreplay.spec.interface import Interface
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.pixels import PixelSpec

TINY = presets.load("tiny").network


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "tiny.safetensors"
    bundles.write(bundles.random(TINY, 0), path)
    return path


def rewrite(path, tensors=(), metadata=()):
    """Change tensors or metadata of a saved bundle and keep its digest."""
    with safetensors.safe_open(path, framework="numpy") as f:
        old = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
        meta = f.metadata()
    old |= dict(tensors)
    safetensors.numpy.save_file(
        {k: v for k, v in old.items() if v is not None}, path, metadata=meta | dict(metadata)
    )


def refusal(path) -> str:
    with pytest.raises(BundleError) as error:
        bundles.read(path)
    return str(error.value)


def test_round_trip(saved):
    first, second = bundles.random(TINY, 0), bundles.read(saved)
    assert bundles.digest(first) == bundles.digest(second)
    assert second.network == TINY
    for a, b in zip(first.conv, second.conv, strict=True):
        assert (a == b).all()
    assert (first.output == second.output).all()


def test_a_skip_is_named_only_where_there_is_one(tmp_path):
    """So that bundles of networks without skips keep the digest they have always had."""
    assert "skip" not in json.dumps(presets.network_to_dict(TINY))
    convs = (*TINY.convs[:1], dataclasses.replace(TINY.convs[1], filters=4, skip=True))
    net = dataclasses.replace(TINY, convs=convs)
    bundles.write(bundles.random(net, 0), tmp_path / "b.safetensors")
    assert bundles.read(tmp_path / "b.safetensors").network == net


INTERFACE = Interface(PixelSpec(fit="pad", background=7, greatest=16), ("nut", "bolt", "pin"))


@pytest.fixture
def with_interface(tmp_path):
    path = tmp_path / "with.safetensors"
    bundles.write(dataclasses.replace(bundles.random(TINY, 0), interface=INTERFACE), path)
    return path


def test_an_interface_travels_with_the_bundle(saved, with_interface):
    """Files without one stay as they were, of version 1."""
    assert bundles.read(saved).interface is None
    assert bundles.metadata_of(saved)["version"] == "1"
    read = bundles.read(with_interface)
    assert read.interface == INTERFACE
    assert bundles.metadata_of(with_interface)["version"] == "2"
    assert bundles.digest(read) != bundles.digest(dataclasses.replace(read, interface=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["input"].update(fit="fill"), "field 'interface': fit must be 'crop' or 'pad'"),
        (lambda t: t["input"].update(kind="sound"), "kind of input must be one of"),
        (lambda t: t["input"].update(kind=["image"]), "kind of input must be one of"),
        (lambda t: t["input"].pop("greatest"), "input must have the fields"),
        (lambda t: t["input"].update(size=3), "input must have the fields"),
        (lambda t: t.update(more=1), "interface must have the fields class_names, input, not"),
        (lambda t: t.update(input=3), "kind of input must be one of"),
        (lambda t: t.update(class_names="ab"), "class_names must be a list of names, not 'ab'"),
        (lambda t: t.update(class_names=[]), "class_names must be a list of names"),
        (lambda t: t.update(class_names=["a", 3]), "class_names must be a list of names"),
        (lambda t: t.update(class_names=["a", "a"]), "'a' stands there twice"),
        (lambda t: t.update(class_names=list("abcde")), "at most the network's 4 classes, not 5"),
        (lambda t: t["input"].update(background=8), "field 'digest' must match the content"),
        (lambda t: t.update(class_names=["nut", "pin"]), "field 'digest' must match the content"),
    ],
)
def test_an_interface_that_breaks_a_rule_is_refused(with_interface, change, message):
    tree = json.loads(bundles.metadata_of(with_interface)["interface"])
    change(tree)
    rewrite(with_interface, metadata={"interface": json.dumps(tree)})
    assert message in refusal(with_interface)


def test_an_interface_is_there_in_version_2_alone(saved, with_interface):
    rewrite(with_interface, metadata={"version": "1"})
    assert "must be present in version 2 alone, but is there in version 1" in refusal(
        with_interface
    )
    rewrite(saved, metadata={"version": "2"})
    assert "must be present in version 2 alone, but is missing in version 2" in refusal(saved)


def test_equal_bundles_are_equal_files(saved, tmp_path):
    for i in range(5):  # the library orders metadata by a seed it draws for each file
        again = tmp_path / f"{i}.safetensors"
        bundles.write(bundles.random(TINY, 0), again)
        assert again.read_bytes() == saved.read_bytes()


def test_a_missing_file(tmp_path):
    assert "must be a readable file" in refusal(tmp_path / "absent.safetensors")
    assert "must be a readable file" in refusal(tmp_path / ("a" * 5000))
    assert "must be a file, not a folder" in refusal(tmp_path)
    with pytest.raises(XnoreplayError, match="record .* must be a file, not a folder"):
        bundles.read_tensors(tmp_path, "record", "a-format")


@pytest.mark.parametrize("columns", [0, TINY.classes + 1])
def test_trained_classes_are_some_of_the_network_s(tmp_path, columns):
    bundle = bundles.random(TINY, 0)
    golden = dataclasses.replace(
        bundle.golden, logit=np.zeros((len(bundle.golden.image), columns), np.int32)
    )
    bundles.write(dataclasses.replace(bundle, golden=golden), tmp_path / "b")
    sentence = f"must have 1 to {TINY.classes} columns, the trained classes, not {columns}"
    assert sentence in refusal(tmp_path / "b")


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file(saved, keep):
    raw = saved.read_bytes()
    saved.write_bytes(raw[:keep])
    assert "must be" in refusal(saved)


def test_every_flipped_bit_of_the_content_is_noticed(saved):
    raw = bytearray(saved.read_bytes())
    rng = np.random.default_rng(0)
    for position in rng.choice(len(raw), 40, replace=False):
        damaged = bytearray(raw)
        damaged[position] ^= 1
        saved.write_bytes(damaged)
        refusal(saved)


def test_a_foreign_file(tmp_path):
    path = tmp_path / "foreign.safetensors"
    safetensors.numpy.save_file({"x": np.zeros(3)}, path)
    assert "field 'format' must be present" in refusal(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "other"}, "field 'format' must be 'xnoreplay-bundle', not 'other'"),
        ({"version": "9"}, "field 'version' must be 1 or 2, not '9'"),
        ({"network": "{"}, "field 'network' must be JSON"),
        ({"network": json.dumps({"name": "x"})}, "field 'network': section 'network' must give"),
        ({"digest": "0" * 64}, "field 'digest' must match the content"),
    ],
)
def test_bad_metadata(saved, metadata, message):
    rewrite(saved, metadata=metadata)
    assert message in refusal(saved)


def test_bits_past_the_end_must_be_zero(tmp_path):
    bundle = bundles.random(dataclasses.replace(TINY, latent=11), 0)
    path = tmp_path / "b.safetensors"
    bundles.write(bundle, path)
    with safetensors.safe_open(path, framework="numpy") as f:
        tensors = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
    name = "conv0.weight"
    tensors[name] = tensors[name].copy()
    tensors[name][0, -1] |= 0x80
    digest = bundles._digest(bundle.network, bundle.provenance, tensors)
    rewrite(path, tensors, {"digest": digest})
    assert "tensor 'conv0.weight' must have 0 in its unused bits" in refusal(path)


def test_an_altered_tensor(saved):
    rewrite(saved, {"conv0.weight": np.zeros((8, 5), np.uint8)})
    assert "field 'digest' must match the content" in refusal(saved)


def test_a_tensor_of_the_wrong_shape_or_absent(saved):
    rewrite(saved, {"conv0.weight": np.zeros((7, 5), np.uint8)})
    assert "tensor 'conv0.weight' must be uint8 of shape (8, 5)" in refusal(saved)
    rewrite(saved, {"conv0.weight": None})
    assert "tensor 'conv0.weight' must be present" in refusal(saved)


BFLOAT16 = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]},"__metadata__":%s}'


@pytest.mark.parametrize("form", ["x", "y"])
def test_a_type_that_numpy_has_not_is_told_and_a_foreign_file_by_its_format(tmp_path, form):
    header = BFLOAT16 % json.dumps({"format": form}).encode()
    path = tmp_path / "b.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    sentence = (
        "must be a whole file: a tensor's type" if form == "x" else "'format' must be 'x', not 'y'"
    )
    with pytest.raises(XnoreplayError, match=sentence):
        bundles.read_tensors(path, "file", "x")


def test_a_bundle_with_a_type_that_numpy_has_not(saved):
    with safetensors.safe_open(saved, framework="numpy") as f:
        metadata = json.dumps(f.metadata()).encode()
    header = BFLOAT16 % metadata
    saved.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    assert "must be a whole safetensors file: a tensor's type cannot be read" in refusal(saved)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(bundles.Path, "write_bytes", fail)
    with pytest.raises(OSError, match="no space"):
        bundles.write(bundles.random(TINY, 0), tmp_path / "b.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_the_digest_covers_provenance():
    bundle = bundles.random(TINY, 0)
    other = dataclasses.replace(bundle, provenance={"seed": 9})
    assert bundles.digest(bundle) != bundles.digest(other)


def test_a_network_without_convolutions_has_its_classifier_alone(tmp_path):
    net = NetworkSpec("features", latent=13, hidden=5, classes=3)
    golden = np.random.default_rng(0).integers(0, 2, (4, 13), dtype=np.uint8)
    logits = np.arange(8, dtype=np.int32).reshape(4, 2)
    pairs = bundles.Golden(pack_bytes(golden), golden, logits)
    bundle = dataclasses.replace(bundles.random(net, 0), golden=pairs)
    path = tmp_path / "features.safetensors"
    bundles.write(bundle, path)
    with safetensors.safe_open(path, framework="numpy") as f:
        assert sorted(f.keys()) == ["golden.latent", "golden.logit", "hidden.proxy", "output.proxy"]
    read = bundles.read(path)
    assert read.network == net
    assert read.conv == ()
    assert [a.size for a in (read.lgap, read.dense, read.thresholds)] == [0, 0, 0]
    np.testing.assert_array_equal(read.golden.latent, golden)
    np.testing.assert_array_equal(read.golden.image, pack_bytes(golden))
    np.testing.assert_array_equal(reference.golden_latents(read), golden)
    rewrite(path, {"thermometer.threshold": np.zeros(3, np.uint8)})
    assert "tensor 'thermometer.threshold' must not be present" in refusal(path)


def test_a_latent_that_is_given_is_its_own_and_ignores_the_bits_past_its_last():
    net = NetworkSpec("features", latent=13, hidden=5, classes=3)
    bundle = bundles.random(net, 0)
    packed = np.array([0b10110001, 0b11101010], np.uint8)
    bits = [1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0]
    assert reference.latent(bundle, packed).tolist() == bits
    assert reference.latent(bundle, packed ^ np.array([0, 0b11100000], np.uint8)).tolist() == bits
    with pytest.raises(ImageError) as error:
        reference.latent(bundle, packed[:1])
    assert str(error.value) == "a packed latent of features must have shape (2,), not (1,)"
    with pytest.raises(ImageError) as error:
        reference.latent(bundle, packed.astype(int))
    assert str(error.value) == "a packed latent must be of type uint8, not int64"
