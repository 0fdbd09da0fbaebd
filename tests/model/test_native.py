"""Native replay: where it starts, and that a session trains the whole network."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from xnoreplay.model import export
from xnoreplay.model import float_classifier as adam
from xnoreplay.model.training import checkpoint, native, pretrain
from xnoreplay.model.training import teach as teaching
from xnoreplay.model.training.losses import ClassLoss
from xnoreplay.spec import bundle as bundles  # noqa: E402
from xnoreplay.spec.errors import SpecError, XnoreplayError  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("loss", adam.LOSSES)
def test_losses_have_the_slopes_of_the_float_baseline(loss):
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(7, 4)), requires_grad=True)
    label, weights = rng.integers(0, 4, 7), np.array([0.5, 1.0, 1.5, 2.0])
    ClassLoss(weights, loss)(logits, torch.tensor(label)).backward()
    expected = adam.slope(logits.detach().numpy(), label, loss) * weights[label][:, None] / 7
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-6, atol=1e-9)


def test_unknown_losses_are_refused():
    with pytest.raises(SpecError, match="loss must be 'cce' or 'fcce' or 'sh', not 'mse'"):
        ClassLoss(np.ones(2), "mse")


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    path = pretrain.pretrain(*small, tmp_path_factory.mktemp("native"), seed=3, epochs=2)
    return export.export_bundle(*small, path), path


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_it_starts_as_the_bundle_s_network(small, trained, with_checkpoint):
    bundle, path = trained
    state = native.start(bundle, path if with_checkpoint else None)
    learner = native.Native(bundle, state, "digits", seed=0, epochs=1)
    base = small[0].scenario.base
    logits = learner.network(base).evaluate(bundle.golden.image).logits
    np.testing.assert_array_equal(logits, bundle.golden.logit)


def test_a_checkpoint_of_another_bundle_is_refused(small, trained):
    with pytest.raises(XnoreplayError, match="must be the one that the bundle was exported from"):
        native.start(bundles.random(small[0].network, 0), trained[1])


def test_a_teacher_s_checkpoint_is_refused(small, trained, tmp_path):
    pretrain.pretrain(*small, tmp_path, epochs=1, objective="distilled")
    with pytest.raises(XnoreplayError, match="must be the one that the bundle was exported from"):
        native.start(trained[0], tmp_path / teaching.CHECKPOINT)


def test_a_session_trains_extractor_and_new_rows(small, trained):
    bundle, path = trained
    _, dataset = small
    learner = native.Native(bundle, native.start(bundle, path), "digits", seed=0, epochs=3)
    before = {n: t.clone() for n, t in learner.state.items()}
    images, labels = dataset.images[:24], np.arange(24) % 3
    learner.session(images, labels, 3, session=1)
    assert all(
        not torch.equal(before[n], t)
        for n, t in learner.state.items()
        if t.is_floating_point() and n != native.OUTPUT
    )
    assert len(learner.state[native.OUTPUT]) == 3
    assert learner.predict(images, 3).shape == (24,)


@pytest.mark.parametrize("dataset", ["digits", "cifar100"])
def test_the_extractor_moves_its_share_of_what_the_classifier_does(small, trained, dataset):
    """Adam's first step is the learning rate, whatever the gradient."""
    bundle, path = trained
    learner = native.Native(bundle, native.start(bundle, path), dataset, seed=0, epochs=1)
    before = {n: t.clone() for n, t in learner.state.items()}
    learner.session(small[1].images[:24], np.arange(24) % 2, 2, session=1)  # one minibatch
    moved = {
        n: (t - before[n]).abs().max().item()
        for n, t in learner.state.items()
        if t.is_floating_point()
    }
    for name, distance in moved.items():
        slow = dataset == "cifar100" and not name.startswith("classifier.")
        assert distance == pytest.approx(native.LEARNING_RATE / (10 if slow else 1), rel=1e-3), name


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("thermometer.thresholds", lambda t: t + 1),
        ("classifier.hidden.weight", lambda t: -t),
        ("classifier.output", lambda t: t[0, 0, 0]),
        ("dense.weight", lambda t: t.half()),
        ("dense.weight", lambda t: t * torch.nan),
    ],
)
def test_a_checkpoint_that_differs_from_its_bundle_is_refused(trained, tmp_path, name, change):
    bundle, path = trained
    tensors, metadata = bundles.read_tensors(path, "checkpoint", checkpoint.FORMAT, "pt")
    tensors[f"model.network.{name}"] = change(tensors[f"model.network.{name}"]).contiguous()
    checkpoint.safetensors.torch.save_file(tensors, tmp_path / "c", metadata)
    with pytest.raises(XnoreplayError, match="must be the one that the bundle was exported from"):
        native.start(bundle, tmp_path / "c")
