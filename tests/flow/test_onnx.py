"""ONNX models: ONNX Runtime computes from them the bits of the reference, and QONNX's executor does, too."""

import dataclasses
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from tests import strategies
from xnoreplay.flow import cli
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.output import onnx_model
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan, presets, reference, snapshot
from xnoreplay.spec.errors import SpecError, ToolError
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.reference import Classifier

onnxruntime = pytest.importorskip("onnxruntime")
DIGITS, TINY = presets.load("digits"), presets.load("tiny")


def run(model: bytes, **given):
    return onnxruntime.InferenceSession(model).run(None, given)


def expected(bundle, target, images, seen):
    """Latents, sums and classes of the reference."""
    classifier = Classifier.load(bundle, target)
    latents = np.stack([reference.latent(bundle, image) for image in images])
    found = [classifier.forward(z, seen) for z in latents]
    return latents, np.stack([f.logits for f in found]), np.array([f.prediction for f in found])


def same(bundle, target, images, seen):
    latents, sums, classes = expected(bundle, target, images, seen)
    (z,) = run(onnx_model.extractor(bundle), image=images)
    learned = Classifier.load(bundle, target)
    s, c = run(onnx_model.classifier(bundle, learned, seen), latent=z)
    assert (z.dtype, s.dtype) == (np.uint8, np.int32)
    assert np.array_equal(z, latents)
    assert np.array_equal(s, sums)
    assert np.array_equal(c, classes)


def test_every_image_of_the_digits_gives_the_chips_bits():
    bundle = BundleSource.choose(DIGITS).load(DIGITS)
    same(bundle, DIGITS.target, registry.of_preset(DIGITS).images, DIGITS.scenario.base)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(network=strategies.networks())
def test_any_network_gives_the_references_bits(network):
    """Groups, pooling, skips, colours, both paddings, odd sizes; and images whose sums are 0."""
    bundle = bundles.random(network, 1)
    images = strategies.images(network, 6, 2)
    same(bundle, TINY.target, np.concatenate([images, images[:1] * 0]), network.classes)


def test_a_sum_that_misses_0_is_still_a_plus():
    """As a convolution by a transform with fractions leaves it."""
    graph = onnx_model._Graph(qonnx=False)
    graph.node("Identity", graph.signs("latent"), name="out")
    model = graph.model("signs", ("latent", "FLOAT", (3,)), [("out", "FLOAT", (3,))], {})
    (found,) = run(model, latent=np.array([[-1e-3, -1 + 1e-3, 0]], np.float32))
    assert found.tolist() == [[1, -1, 1]]


def test_the_quantisers_of_qonnx_give_the_same_bits():
    import onnx

    wrapper = pytest.importorskip("qonnx.core.modelwrapper")
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    net = dataclasses.replace(TINY.network, pad_bit=1)
    bundle = bundles.random(net, 3)
    images = registry.of_preset(TINY).images[:8]
    latents, sums, classes = expected(bundle, TINY.target, images, 3)
    learned = Classifier.load(bundle, TINY.target)

    def wrapped(model: bytes):
        assert b"BipolarQuant" in model
        return wrapper.ModelWrapper(onnx.load_from_string(model)).transform(InferShapes())

    extractor = wrapped(onnx_model.extractor(bundle, qonnx=True))
    classifier = wrapped(onnx_model.classifier(bundle, learned, 3, qonnx=True))
    for i in range(len(images)):
        found = execute_onnx(extractor, {"image": images[i : i + 1]})["latent"]
        assert np.array_equal(found[0], latents[i])
        found = execute_onnx(classifier, {"latent": latents[i : i + 1]})
        assert np.array_equal(found["sums"][0], sums[i])
        assert found["class"][0] == classes[i]


def test_the_command_writes_what_a_state_has_learned(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["onnx", "models", "--preset", "tiny", "--untrained"]) == 0
    assert "extractor: models/extractor.onnx" in capsys.readouterr().out
    bundle = BundleSource("random").load(TINY)
    assert (tmp_path / "models/extractor.onnx").read_bytes() == onnx_model.extractor(bundle)
    compiled = plan.compile(TINY.network, TINY.target)
    chip, data = Simulator(compiled, bundle), registry.of_preset(TINY)
    chip.arrive(3)
    for label in range(3):
        for image in data.images[data.labels == TINY.scenario.order[label]][:3]:
            chip.insert(image, label)
    for _ in range(5):
        chip.retrain()
    chip.rebalance()
    snapshot.write(compiled, chip.snapshot(), tmp_path / "s.state")
    arguments = ["onnx", "models", "--preset", "tiny", "--untrained", "--state", "s.state"]
    assert cli.main(arguments) == 0  # over its own files
    images = data.images[:200]
    model = (tmp_path / "models/classifier.onnx").read_bytes()
    sums, classes = run(model, latent=chip.latents(images))
    learned = Classifier(compiled.rule, *chip.proxies())
    latents = chip.latents(images)
    hidden = (learned.hidden_sum(latents) >= 0).astype(np.uint8)
    assert np.array_equal(sums, learned.logits(np.concatenate([latents, hidden], 1), 3))
    assert model != onnx_model.classifier(bundle, Classifier.load(bundle, TINY.target), 3)
    assert np.array_equal(classes, chip.predict(images))
    other = presets.vary(TINY, "scenario", order_seed=TINY.scenario.order_seed + 1)
    snapshot.write(compiled, chip.snapshot(), tmp_path / "s.state", other.scenario.interface)
    assert cli.main(arguments) == cli.BAD_INPUT
    assert "must be of the classes and the input rule of this bundle" in capsys.readouterr().err
    snapshot.write(compiled, chip.snapshot(), tmp_path / "s.state", TINY.scenario.interface)
    (tmp_path / "models/classifier.onnx").write_text("precious")
    assert cli.main(arguments) == cli.BAD_INPUT
    assert "must be new, or a file that this command wrote" in capsys.readouterr().err
    assert (tmp_path / "models/classifier.onnx").read_text() == "precious"


def test_what_cannot_be_a_model_is_one_sentence(monkeypatch):
    bundle = bundles.random(TINY.network, 0)
    learned = Classifier.load(bundle, TINY.target)
    with pytest.raises(SpecError, match="must have seen a class to be a model, not 0"):
        onnx_model.classifier(bundle, learned, 0)
    latents = NetworkSpec("latents", latent=9, hidden=3, classes=4)
    with pytest.raises(SpecError, match="must be of a network with convolutions, but latents is"):
        onnx_model.extractor(dataclasses.replace(bundle, network=latents))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ToolError, match=r"must have the library onnx .*xnoreplay\[onnx\]"):
        onnx_model.extractor(bundle)
