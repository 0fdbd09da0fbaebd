"""`xnoreplay init`: a spec that fits a user's own images, its reasons, and the run that it begins."""

import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from xnoreplay.flow import cli
from xnoreplay.flow.cost import session_cost
from xnoreplay.flow.datasets import own, proposal, registry, splits
from xnoreplay.flow.datasets.own import Listing
from xnoreplay.flow.datasets.proposal import Look
from xnoreplay.flow.pipeline import steps as pipeline
from xnoreplay.flow.pipeline.resolve import resolve
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import learning_plan, limits, pixels, plan, presets, registers
from xnoreplay.spec.errors import SpecError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XNOREPLAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def parts(tmp_path):
    """Three classes of twelve grey images, 12x9."""
    rng = np.random.default_rng(0)
    for name in ("bolt", "nut", "screw"):
        (tmp_path / "my parts" / name).mkdir(parents=True)
        for i in range(12):
            image = Image.fromarray(rng.integers(0, 256, (9, 12), np.uint8))
            image.save(tmp_path / "my parts" / name / f"{i}.png")
    return tmp_path / "my parts"


def listed(classes: int, samples: int) -> Listing:
    labels = np.repeat(np.arange(classes), samples)
    names = tuple(f"c{i}" for i in range(classes))
    return Listing("it", names, labels, splits.split(labels), "", lambda _: iter(()), str)


@pytest.mark.parametrize("classes", [2, 3, 11, 100, 240])
@pytest.mark.parametrize("samples", [20, 1000])
@pytest.mark.parametrize(
    "size", [(8, 8), (28, 28), (32, 32), (64, 48), (100, 100), (128, 128), (30, 500), (5, 3)]
)
def test_every_proposal_can_be_built(classes, samples, size):
    for colour in ("grey", "ycbcr"):
        made = proposal.propose(listed(classes, samples), Look(*size, colour, 9), "/it", "it")
        net, target, scenario = made.preset.network, made.preset.target, made.preset.scenario
        compiled = plan.compile(net, target)
        assert compiled.infer_cycles(classes) > 0
        assert 8 <= max(net.height, net.width) <= 128
        assert max(net.height, net.width) <= max(8, *size)
        assert min(net.maps[-1].height, net.maps[-1].width) >= 2
        assert classes <= target.replay_capacity <= 15 * classes * samples // 20
        assert scenario.seen(scenario.tasks) == classes
        assert scenario.tasks <= 5
        wanted = (target.staging_capacity == 0) == (scenario.tasks == 0)
        assert wanted


@pytest.mark.parametrize(
    ("classes", "samples"),
    [(2, 20), (2, 10_000), (10, 20), (10, 10_000), (100, 1000), (241, 20), (1000, 20), (1024, 200)],
)
def test_proposals_at_the_corners_are_sensible(classes, samples):
    """A chip that can be built, driven and simulated, images that were not blown up, sessions that fit."""
    found = listed(classes, samples)
    train = int((~found.is_test).sum())
    for size in (
        (8, 8),
        (128, 128),
        (3, 3),
        (3, 7),
        (7, 5),
        (1, 1),
        (8, 128),
        (200, 120),
        (32, 30),
    ):
        for colour in ("grey", "ycbcr"):
            made = proposal.propose(found, Look(*size, colour, 9), "/it", "it")
            net, target, scenario = made.preset.network, made.preset.target, made.preset.scenario
            compiled = plan.compile(net, target)
            learning_plan.check_cycles(compiled)
            assert registers.windows(compiled.memories)
            assert plan.working_bytes(compiled) < limits.GIB
            assert net.height * net.width <= max(64, size[0] * size[1])
            assert min(net.maps[-1].height, net.maps[-1].width) >= 2
            assert net.latent >= min(1024, 10 * classes)
            assert min(train, 10 * classes) <= target.replay_capacity <= min(train, 50 * classes)
            assert scenario.base >= max(2, classes // 2)
            assert scenario.seen(scenario.tasks) == classes
            assert scenario.tasks == min(5, classes - scenario.base)
            session = max(np.bincount(scenario.task_of)[1:], default=0) * train // classes
            assert target.staging_capacity == min(session, proposal.MOST_STAGED)
            assert set(made.reasons) >= {"height", "latent", "convs", "base", "replay_capacity"}


@pytest.mark.parametrize("classes", [1025, 5000])
def test_more_classes_than_a_chip_has_are_one_sentence(classes):
    sentence = (
        f"classes must be at most 1,024 .* not {classes}: give init a data set of those to learn"
    )
    with pytest.raises(SpecError, match=sentence):
        proposal.propose(listed(classes, 4), Look(8, 8, "grey", 9), "/it", "it")


def test_a_chip_that_never_learns_is_told_so_and_priced(parts, capsys, tmp_path):
    shutil.rmtree(parts / "screw")
    assert cli.main(["init", str(parts)]) == 0
    said, text = capsys.readouterr().out, (tmp_path / "my-parts.toml").read_text()
    assert "# a base has at least 2 classes, so all 2 are trained off the chip\nbase = 2" in text
    for line in ("bits of memory", "one inference: "):
        assert line in said
        assert line in text
    assert "session 1" not in said
    preset = presets.load("my-parts.toml")
    priced = session_cost.price_inference(preset, None)["runs"]["latent"]["inference"]
    assert priced["cycles"] == plan.compile(preset.network, preset.target).infer_cycles(2)
    assert f"one inference: {priced['cycles']:,} cycles" in said


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [(3, "2 of 3 classes are trained"), (4, "half of the 4 classes are trained")],
)
def test_the_reason_of_the_base_counts_right(classes, sentence):
    made = proposal.propose(listed(classes, 20), Look(8, 8, "grey", 9), "/it", "it")
    assert made.preset.scenario.base == 2
    assert made.reasons["base"].startswith(sentence)


@pytest.mark.parametrize(
    ("size", "shape", "sentence"),
    [
        (
            (28, 28),
            (16, 16),
            (
                "16, is the greatest of 8, 16, 32, 64 and 128 that is at most theirs; "
                "the other is in proportion, in multiples of 4 for 2 poolings"
            ),
        ),
        (
            (5, 3),
            (8, 4),
            "8, is the least; the other is in proportion, in multiples of 2 for 1 pooling",
        ),
    ],
)
def test_the_reason_of_a_shape_is_the_rule_that_chose_it(size, shape, sentence):
    made = proposal.propose(listed(3, 20), Look(*size, "grey", 9), "/it", "it")
    assert (made.preset.network.height, made.preset.network.width) == shape
    told = f"images are {size[0]}x{size[1]} (median); the longer side, {sentence}"
    assert made.reasons["height"] == made.reasons["width"] == told


@pytest.mark.parametrize(
    ("size", "kept", "noted"),
    [
        ((3, 200), "3x96 pixels of an image of 3x200", True),
        ((200, 3), "96x3 pixels of an image of 200x3", True),
        ((64, 48), "", False),
        ((120, 128), "112x128 pixels of an image of 120x128", False),
        ((30, 500), "30x480 pixels of an image of 30x500", False),
    ],
)
def test_what_a_crop_cuts_away_is_said(size, kept, noted):
    made = proposal.propose(listed(3, 20), Look(*size, "grey", 9), "/it", "it")
    said = made.reasons.get("dataset", "")
    assert (f"keeps {kept} (median)" in said) == bool(kept)
    assert bool(said) == bool(kept)
    assert made.notes == ((said,) if noted else ())
    net = made.preset.network
    whole = np.arange(size[0] * size[1]).reshape(*size)
    rows, columns = pixels.frames("crop", *size, net.height, net.width)
    inside = whole[-rows.start :, -columns.start :][: rows.size, : columns.size]
    assert not kept or f"{inside.shape[0]}x{inside.shape[1]} pixels" in said


def test_a_note_says_what_is_cut_away(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / "long" / name).mkdir(parents=True)
        for i in range(4):
            Image.new("L", (200, 3), 30 * i).save(tmp_path / "long" / name / f"{i}.png")
    assert cli.main(["init", "long"]) == 0
    said = capsys.readouterr()
    assert "keeps 3x96 pixels of an image of 3x200 (median)" in said.out + said.err
    assert "# fit = 'crop', the default, keeps 3x96 pixels" in (tmp_path / "long.toml").read_text()


def test_a_chip_learns_the_classes_that_class_order_names(parts):
    """As docs/own_images.md says of data sets of more classes than a chip has."""
    assert cli.main(["init", str(parts)]) == 0
    preset = presets.load("my-parts.toml")
    scenario = dataclasses.replace(
        preset.scenario, classes=2, step=1, class_order=("screw", "bolt")
    )
    network = dataclasses.replace(preset.network, classes=2)
    preset = dataclasses.replace(preset, network=network, scenario=scenario)
    data = registry.of_preset(preset, Silent())
    chip = preset.scenario.chip_classes(data.train_labels)
    assert preset.scenario.names == ["screw", "bolt"]
    assert [int((chip == c).sum()) for c in (-1, 0, 1)] == [9, 9, 9]


@pytest.mark.parametrize("seed", range(3))
def test_a_split_takes_every_fourth_of_a_class_or_the_last(seed):
    labels = np.random.default_rng(seed).choice(
        [0, 3, 4, 9, 11], 40, p=[0.6, 0.25, 0.1, 0.04, 0.01]
    )
    found = splits.split(labels)
    for label in np.unique(labels):
        own_half = found[labels == label].tolist()
        many, one = len(own_half) >= 4, len(own_half) == 1
        assert own_half == [
            i % 4 == 3 if many else not one and i == len(own_half) - 1 for i in range(len(own_half))
        ]


def test_a_spec_is_written_with_reasons_and_costs_and_never_over_another(parts, capsys, tmp_path):
    assert cli.main(["init", str(parts)]) == 0
    said = capsys.readouterr().out
    text = (tmp_path / "my-parts.toml").read_text()
    assert "3 classes, 27 images to train and 9 to test" in said
    assert "next: xnoreplay run --preset my-parts.toml" in said
    assert "cycles" in text
    assert '# no colour in 36 images\ncolour = "grey"' in text
    preset = presets.load(str(tmp_path / "my-parts.toml"))
    assert preset.scenario.class_names == ("bolt", "nut", "screw")
    assert (preset.network.height, preset.network.width) == (6, 8)
    assert cli.main(["init", str(parts)]) == 1
    assert "must be new, but is there already, and this command replaces no file" in (
        capsys.readouterr().err
    )
    assert (tmp_path / "my-parts.toml").read_text() == text


def test_a_path_to_nowhere_is_one_sentence(capsys):
    assert cli.main(["init", "nowhere"]) == 1
    assert "must be a folder or a file that is there" in capsys.readouterr().err


def test_the_data_set_of_a_spec_is_what_the_network_takes(parts):
    assert cli.main(["init", str(parts)]) == 0
    preset = presets.load("my-parts.toml")
    data = registry.of_preset(preset, Silent())
    assert data.images.shape == (36, 6, 8, 1)
    assert (data.max_pixel, data.name) == (255, "my-parts")
    few = presets.vary(preset, "scenario", shots=2)
    some = registry.of_preset(few, Silent())
    chip = few.scenario.chip_classes(some.train_labels)
    assert np.bincount(chip).tolist() == [9, 9, 2]
    assert some.is_test.sum() == data.is_test.sum()
    other = presets.vary(preset, "scenario", class_names=("nut", "bolt", "screw"))
    with pytest.raises(
        ValueError, match="class_names must be the classes of .* but number 0 is 'nut'"
    ):
        registry.of_preset(other, Silent())


def test_a_run_trains_and_begins_anew_when_a_file_changes(parts, tmp_path):
    assert cli.main(["init", str(parts)]) == 0
    folder, settings = resolve(tmp_path / "run", {"preset": "my-parts.toml"})
    assert settings.source.kind == "training"
    first = pipeline.configs(settings)
    assert first["pretrain"]["data"] == first["cil"]["data"]
    (parts / "nut" / "extra.png").write_bytes((parts / "nut" / "0.png").read_bytes())
    again = pipeline.configs(settings)
    assert again["pretrain"]["data"] != first["pretrain"]["data"]
    assert pipeline.open_run(folder, settings, Silent()).span("pretrain", "export") == [
        "pretrain",
        "export",
    ]


def test_a_name_with_a_line_of_toml_in_it_says_nothing(tmp_path, parts):
    odd = parts.rename(tmp_path / "nl\n[target]\nlanes = 2\x7f")
    assert cli.main(["init", str(odd), "--out", "odd.toml"]) == 0
    preset = presets.load("odd.toml")
    assert preset.scenario.source.path == str(odd)
    assert preset.target.lanes == 4


def test_colours_and_sizes_are_looked_for_in_every_class(tmp_path):
    rng = np.random.default_rng(1)
    for name, size, count in (("a", (8, 8), 205), ("b", (40, 40, 3), 300)):
        (tmp_path / "mixed" / name).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(rng.integers(0, 256, size, np.uint8))
            image.save(tmp_path / "mixed" / name / f"{i}.png")
    seen = proposal.look(own.listing(tmp_path / "mixed"))
    assert (seen.height, seen.width, seen.colour) == (40, 40, "ycbcr")
    assert seen.images <= 200
