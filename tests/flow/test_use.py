"""A trained chip put to use: predict and learn, on the digits of the package as a user's image files."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from xnoreplay.flow import cli
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.learning import use
from xnoreplay.flow.run.progress import Silent
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan, presets, snapshot
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import ImageError, SpecError
from xnoreplay.spec.pixels import PixelSpec
from xnoreplay.spec.reference import Classifier
from xnoreplay.spec.scenario import ImageSource

DIGITS, TINY = presets.load("digits"), presets.load("tiny")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XNOREPLAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def bundle():
    return BundleSource.choose(DIGITS).load(DIGITS)


@pytest.fixture(scope="module")
def data():
    return registry.of_preset(DIGITS)


@pytest.fixture(scope="module")
def started(bundle):
    """A chip that knows the base classes, saved."""
    return use.power_on(DIGITS, bundle, None, Silent()).snapshot()


@pytest.fixture
def chip(bundle, started):
    chip = Simulator(plan.compile(DIGITS.network, DIGITS.target), bundle)
    chip.resume(started)
    return chip


def folders(root, data, labels, count: int, test: bool = False):
    """So many images of each label as PNG files of 0 to 255, in class folders."""
    for label in labels:
        (root / str(label)).mkdir(parents=True)
        chosen = np.flatnonzero((data.labels == label) & (data.is_test == test))[:count]
        for i in chosen:
            pixels = (data.images[i, ..., 0].astype(int) * 255 + 8) // 16
            Image.fromarray(pixels.astype(np.uint8)).save(root / str(label) / f"{i}.png")
    return root


def test_images_come_as_the_network_takes_them(tmp_path, data):
    root = folders(tmp_path / "some", data, (3, 4), 5)
    batch = use.read(DIGITS, [root], Silent())
    at = [int(name.rsplit("/", 1)[1].removesuffix(".png")) for name in batch.names]
    assert np.array_equal(batch.images, data.images[at])  # 0 to 255 are scaled to 0 to 16, exactly
    assert batch.classes.tolist() == DIGITS.scenario.chip_classes(data.labels[at]).tolist()
    flat = use.read(DIGITS, [root / "3", root / "4" / f"{at[-1]}.png"], Silent())
    assert flat.classes is None
    assert len(flat.images) == 6
    assert np.array_equal(flat.images[-1], data.images[at[-1]])
    np.save(tmp_path / "a.npy", data.images[:3])
    assert np.array_equal(use.read(DIGITS, [tmp_path / "a.npy"], Silent()).images, data.images[:3])


def test_an_image_of_other_bits_than_the_spec_says_is_refused(tmp_path):
    """A file that is given alone as one in a data set: its values would be misread."""
    rule = PixelSpec(sample_bits=12)
    own = presets.vary(DIGITS, "scenario", dataset="parts", source=ImageSource(str(tmp_path), rule))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "b.png")
    Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "c.png")
    with pytest.raises(ImageError, match="sample_bits must be 16 .*b.png has rgb of 8 bits"):
        use.read(own, [tmp_path / "b.png"], Silent())
    assert use.read(own, [tmp_path / "c.png"], Silent()).images.max() == 255


def test_guesses_are_the_references(chip, data):
    images = data.test_images[:40]
    guesses = use.classify(chip, images, 3)
    proxies = chip.proxies()
    classifier = Classifier(chip.plan.rule, proxies.hidden, proxies.output)
    for image, classes, logits, margin in zip(images, *guesses, guesses.margins, strict=True):
        forward = classifier.forward(chip.latents(image[None])[0], chip.state.seen)
        wanted = sorted(range(chip.state.seen), key=lambda c: (-forward.logits[c], c))[:3]
        assert classes.tolist() == wanted
        assert logits.tolist() == [forward.logits[c] for c in wanted]
        assert margin == logits[0] - logits[1]
    assert guesses.classes[:, 0].tolist() == chip.predict(images).tolist()


def test_learning_is_the_chips_own_session_and_its_state_goes_on(
    tmp_path, chip, bundle, data, started
):
    label = int(DIGITS.scenario.order[5])
    root = folders(tmp_path / "new", data, (label,), 200)
    batch = use.read(DIGITS, [root], Silent())
    assert use.learn(chip, DIGITS, batch, Silent()) == range(5, 6)
    other = Simulator(plan.compile(DIGITS.network, DIGITS.target), bundle)
    other.resume(started)
    for image in batch.images:
        other.stage(image, 5)
    other.retrain()
    other.rebalance()
    use.save(chip, DIGITS, tmp_path / "state")
    kept = snapshot.read(chip.plan, tmp_path / "state")
    assert all(
        np.array_equal(kept.memories[n], bits) for n, bits in other.snapshot().memories.items()
    )
    again = use.power_on(DIGITS, bundle, tmp_path / "state", Silent())
    assert again.state.seen == 6
    assert np.array_equal(again.predict(data.test_images), other.predict(data.test_images))


def test_a_chip_that_draws_is_given_class_after_class(bundle, data):
    """It has the counters of one class. What staging has no room for is learnt all the same."""
    drawn = presets.vary(DIGITS, "target", replay="generative", staging_capacity=2)
    chip = Simulator(plan.compile(drawn.network, drawn.target), bundle)
    chip.arrive(5)
    batch = use.Batch(data.images[:4], tuple("abcd"), np.array([6, 5, 6, 5]))
    entered = use.session(chip, drawn, batch)[:4]
    assert entered == [(Command.STAGE, c, i) for c, i in ((5, 1), (5, 3), (6, 0), (6, 2))]


def test_confusion_counts_what_is_seen():
    guesses = use.Guesses(np.array([[0], [1], [1], [0]]), np.array([[4], [3], [2], [1]]))
    assert use.confusion(np.array([0, 0, 1, 7]), guesses, 2).tolist() == [[1, 1], [0, 1]]
    assert guesses.margins.tolist() == [0] * 4


@pytest.mark.parametrize("seed", range(3))
def test_confusions_of_many_classes_are_the_most_frequent(seed):
    table = np.random.default_rng(seed).integers(0, 5, (9, 9))
    found = use.confused(table, 12)
    assert len(set(found)) == 12
    assert all(c != d and table[c, d] == n for c, d, n in found)
    counts = sorted((table[c, d] for c in range(9) for d in range(9) if c != d), reverse=True)
    assert [n for _, _, n in found] == counts[:12]
    assert use.confused(np.diag([3, 4]), 5) == []


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([6], "new classes must come in the order of the scenario: .* is next, but has no image"),
        ([-1], "images to learn must be of the scenario's classes, but it 0 is not"),
        (None, "images to learn must lie in class folders, or have labels"),
    ],
)
def test_a_session_that_cannot_be_is_one_sentence(chip, data, labels, sentence):
    classes = None if labels is None else np.array(labels)
    batch = use.Batch(data.images[:1], ("it 0",), classes)
    with pytest.raises(SpecError, match=sentence):
        use.learn(chip, DIGITS, batch, Silent())


def test_more_than_staging_holds_is_refused(chip, data):
    batch = use.Batch(np.repeat(data.images[:1], 161, axis=0), ("it",) * 161, np.full(161, 5))
    with pytest.raises(
        SpecError, match="must bring at most 160 images, which the staging memory holds, not 161"
    ):
        use.learn(chip, DIGITS, batch, Silent())


def test_a_chip_that_has_seen_nothing_names_nothing(bundle, data):
    fresh = Simulator(plan.compile(DIGITS.network, DIGITS.target), bundle)
    with pytest.raises(SpecError, match="must have seen a class"):
        use.classify(fresh, data.images[:1])


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((2, 8, 8), np.uint8), "must hold uint8 images of the network's shape"),
        (np.zeros((2, 8, 8, 1)), "must hold uint8 images of the network's shape"),
        (np.full((2, 8, 8, 1), 17, np.uint8), "pixels of .* must be at most 16, not 17"),
        (np.array([{}]), "must be a NumPy array"),
    ],
)
def test_an_array_that_does_not_fit_is_one_sentence(tmp_path, array, sentence):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(SpecError, match=sentence):
        use.read(DIGITS, [tmp_path / "a.npy"], Silent())


def test_the_commands(tmp_path, capsys, data):
    labels = DIGITS.scenario.order
    folders(tmp_path / "new", data, (int(labels[5]),), 60)
    tests = folders(tmp_path / "tests", data, map(int, labels[:7]), 6, test=True)
    assert cli.main(["learn", "new", "--save", "one.state"]) == 0
    said = capsys.readouterr().out
    assert f"new classes: {labels[5]}; 60 images" in said
    assert cli.main(["predict", str(tests), "--state", "one.state", "--top", "2"]) == 0
    said = capsys.readouterr().out
    assert "of 36" in said
    assert "6 images are of classes that the chip has not seen" in said
    odd = tmp_path / "li\nne.png"
    odd.write_bytes(next((tests / str(labels[0])).iterdir()).read_bytes())
    assert cli.main(["predict", str(odd), "--state", "one.state"]) == 0
    assert "li\\nne.png" in capsys.readouterr().out
    assert cli.main(["predict", "nowhere.png"]) == 1
    assert "must be a file that is there" in capsys.readouterr().err
    assert cli.main(["learn", "new", "--save", "one.state", "--state", "new"]) == 1
    (tmp_path / "mine").write_text("precious")
    assert cli.main(["learn", "new", "--save", "mine"]) == 1
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.parametrize(
    "arguments", [["predict", "nowhere.png"], ["learn", "nowhere", "--save", "a.state"]]
)
def test_images_are_read_before_the_chip_fills_its_memory(monkeypatch, capsys, arguments):
    def power_on(*_arguments):
        raise AssertionError("the images were not read first")

    monkeypatch.setattr(use, "power_on", power_on)
    assert cli.main(arguments) == cli.BAD_INPUT
    assert "nowhere" in capsys.readouterr().err


def test_a_state_of_another_chip_is_refused(tmp_path, bundle):
    small = Simulator(
        plan.compile(TINY.network, TINY.target),
        bundles.random(TINY.network, 0, TINY.scenario.max_pixel),
    )
    use.save(small, TINY, tmp_path / "tiny.state")
    with pytest.raises(SpecError, match="snapshot"):
        use.power_on(DIGITS, bundle, tmp_path / "tiny.state", Silent())


def test_a_state_of_other_classes_is_refused(tmp_path, chip, bundle):
    """The same chip with the classes in another order: the state's answers would get the wrong names."""
    use.save(chip, DIGITS, tmp_path / "it.state")
    assert use.power_on(DIGITS, bundle, tmp_path / "it.state", Silent()).state.seen == 5
    other = presets.vary(DIGITS, "scenario", order_seed=DIGITS.scenario.order_seed + 1)
    first = DIGITS.scenario.name_of(0), other.scenario.name_of(0)
    assert first[0] != first[1]
    with pytest.raises(SpecError) as error:
        use.power_on(other, bundle, tmp_path / "it.state", Silent())
    assert f"class 0 ('{first[0]}', not '{first[1]}')" in str(error.value)
    snapshot.write(chip.plan, chip.snapshot(), tmp_path / "host.state")
    assert use.power_on(other, bundle, tmp_path / "host.state", Silent()).state.seen == 5


@pytest.mark.parametrize("what", ["conv", "thresholds", "hidden", "host"])
def test_a_state_of_another_training_is_refused(tmp_path, chip, bundle, what):
    """The same network and classes, trained again: of another extractor, or another frozen hidden layer."""
    use.save(chip, DIGITS, tmp_path / "it.state")
    changed = {
        "conv": {"conv": (*bundle.conv[:-1], 1 - bundle.conv[-1])},
        "thresholds": {"thresholds": bundle.thresholds[::-1].copy()},
        "hidden": {"hidden": ~bundle.hidden},
        "host": {"dense": 1 - bundle.dense},
    }[what]
    if what == "host":  # whose file says nothing of classes or rule
        snapshot.write(chip.plan, chip.snapshot(), tmp_path / "it.state")
    with pytest.raises(
        SpecError, match="of the network of this bundle, but is of another training"
    ):
        use.power_on(
            DIGITS, dataclasses.replace(bundle, **changed), tmp_path / "it.state", Silent()
        )
    trained_on = dataclasses.replace(bundle, output=~bundle.output)  # what learning changes
    assert use.power_on(DIGITS, trained_on, tmp_path / "it.state", Silent()).state.seen == 5


@pytest.mark.parametrize("top", [1, 2, 9])
def test_the_margin_does_not_depend_on_how_many_classes_are_named(
    tmp_path, chip, data, capsys, top
):
    use.save(chip, DIGITS, tmp_path / "it.state")
    np.save(tmp_path / "a.npy", data.test_images[:6])
    assert cli.main(["predict", "a.npy", "--state", "it.state", "--top", str(top)]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    guesses = use.classify(chip, data.test_images[:6], 2)
    assert [row.split()[-1] for row in rows] == [f"{m:,}" for m in guesses.margins]
    assert [row.count(",") for row in rows] == [min(top, 5) - 1] * 6
    assert guesses.margins.any()


def test_one_image_of_each_kind_of_unknown_class(tmp_path, chip, data, capsys):
    """A class that is still to come, and one that the scenario does not have."""
    use.save(chip, DIGITS, tmp_path / "it.state")
    coming, any_label = int(DIGITS.scenario.order[5]), int(DIGITS.scenario.order[0])
    root = folders(tmp_path / "some", data, (coming,), 1)
    (folders(root, data, (any_label,), 2) / str(any_label)).rename(root / "eleven")
    assert cli.main(["predict", "some", "--state", "it.state"]) == 0
    said = capsys.readouterr().out
    assert "1 image is of a class that the chip has not seen\n" in said
    assert "2 images are of classes that the scenario does not have\n" in said
    next((root / "eleven").iterdir()).unlink()
    assert cli.main(["predict", "some", "--state", "it.state"]) == 0
    said = capsys.readouterr().out
    assert "1 image is of a class that the scenario does not have\n" in said
