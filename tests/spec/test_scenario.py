"""Scenarios of a user's own: orders, tasks of unequal size, few shots, names and paths."""

import dataclasses
import tomllib

import numpy as np
import pytest

from xnoreplay.flow.commands.specfile import to_toml
from xnoreplay.spec import class_names, presets
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.pixels import PixelSpec
from xnoreplay.spec.scenario import ImageSource, ScenarioSpec

NAMES = ("nut", "screw", "bolt", "pin", "ring", "clip")
OWN = ScenarioSpec(
    "parts",
    classes=6,
    base=2,
    step=(1, 3),
    source=ImageSource("/data/parts", PixelSpec("pad", greatest=63)),
    class_names=NAMES,
    class_order=("ring", "nut", 3, "screw", "bolt", 5),
    shots=2,
)


def test_tasks_of_unequal_size_in_a_given_order():
    assert OWN.tasks == 2
    assert [list(OWN.task_classes(t)) for t in range(3)] == [[0, 1], [2], [3, 4, 5]]
    assert [OWN.seen(t) for t in range(3)] == [2, 3, 6]
    assert OWN.task_of.tolist() == [0, 0, 1, 2, 2, 2]
    assert OWN.order.tolist() == [4, 0, 3, 1, 2, 5]
    assert OWN.chip_classes(np.arange(7)).tolist() == [1, 3, 4, 2, 0, 5, -1]
    assert [OWN.name_of(c) for c in range(3)] == ["ring", "nut", "pin"]
    assert (OWN.most_new_classes, OWN.step_text, OWN.max_pixel) == (3, "1 and 3", 63)


def test_a_part_of_a_data_set_may_be_any_of_its_classes():
    some = ScenarioSpec("digits", classes=2, base=2, step=1, class_order=(9, 4))
    assert some.chip_classes(np.arange(10)).tolist() == [-1] * 4 + [1] + [-1] * 4 + [0]
    assert some.tasks == 0


def test_a_known_data_set_has_the_names_of_its_files():
    some = ScenarioSpec("cifar100", classes=3, base=2, step=1, class_order=("bear", 99, "apple"))
    assert some.names == ["bear", "worm", "apple"]
    assert some.interface.class_names == ("bear", "worm", "apple")
    assert len(set(class_names.official("cifar100"))) == 100
    assert ScenarioSpec("digits", classes=2, base=2, step=1, class_order=(9, 4)).names == ["9", "4"]
    same = ScenarioSpec("mine", 2, 2, 1, source=ImageSource("/data"), class_order=(1, 0))
    assert same.names == ["1", "0"]


def test_few_shots_are_the_first_of_each_new_class():
    classes = np.array([0, 2, 0, 2, 2, 1, 3, -1, 0])
    kept = OWN.seen_in_training(classes)
    assert kept.astype(int).tolist() == [1, 1, 1, 1, 0, 1, 1, 0, 1]
    every = dataclasses.replace(OWN, shots=0).seen_in_training(classes)
    assert every.tolist() == (classes >= 0).tolist()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": (1, 2)}, "step must add up to the 4 classes after the base, not to 3"),
        ({"step": (4, 0)}, "step must be a positive integer, not 0"),
        ({"step": 3}, "step must divide the 4 classes"),
        (
            {"class_order": (0, 1)},
            r"class_order must name the scenario's 6 classes, each once, not 2",
        ),
        ({"class_order": (0, 1, 2, 3, 4, 4)}, "each once, not 6 \\(5 different ones\\)"),
        (
            {"class_order": ("nuts", *range(1, 6))},
            "class of class_order must be one of .*, not 'nuts'; did you mean 'nut'",
        ),
        (
            {"class_order": (0, 1, 2, 3, 4, 6)},
            "a label of class_order must be an integer from 0 to 5, not 6",
        ),
        ({"class_names": NAMES[:5]}, "class_names must name the scenario's 6 classes, not 5"),
        (
            {"class_names": (*NAMES[:5], "nut")},
            "class_names must differ, but 'nut' stands there twice",
        ),
        ({"class_names": "abcdef"}, "class_names must be a list of names"),
        ({"shots": -1}, "shots must be an integer from 0"),
        ({"dataset": "cifar100"}, "name of a data set of your own must be none of"),
        (
            {"source": None, "dataset": "core50", "class_order": tuple(range(6))},
            "class_order must be empty for 'core50'",
        ),
    ],
)
def test_a_scenario_that_is_none_is_one_sentence(change, sentence):
    with pytest.raises(SpecError, match=sentence):
        dataclasses.replace(OWN, **change)


def test_a_spec_file_gives_the_same_scenario_back():
    network = dataclasses.replace(presets.load("digits").network, name="parts")
    preset = dataclasses.replace(
        presets.load("digits"), name="parts", network=network, scenario=OWN
    )
    assert presets.from_dict(presets.to_dict(preset)) == preset
    assert presets.from_dict(tomllib.loads(to_toml(preset))) == preset


def test_a_path_is_relative_to_its_spec_file(tmp_path):
    (tmp_path / "chip.toml").write_text(
        'preset = "digits"\n[scenario]\ndataset = { path = "my parts", fit = "stretch" }\nclasses = 10\n'
    )
    scenario = presets.load(str(tmp_path / "chip.toml")).scenario
    assert scenario.source == ImageSource(str(tmp_path / "my parts"), PixelSpec("stretch"))
    assert scenario.dataset == "my-parts"
    assert scenario.max_pixel == 255


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("{ }", "dataset must have a path"),
        ("{ path = 3 }", "dataset must have a path"),
        (
            '{ path = "a", fitt = "pad" }',
            "field of dataset must be one of .*, not 'fitt'; did you mean 'fit'",
        ),
        ('{ path = "a", name = "digits" }', "must be none of"),
        ('{ path = "a", fit = "zoom" }', "fit must be"),
    ],
)
def test_a_data_set_that_is_none_is_one_sentence(tmp_path, table, sentence):
    (tmp_path / "chip.toml").write_text(f'preset = "digits"\n[scenario]\ndataset = {table}\n')
    with pytest.raises(SpecError, match=sentence):
        presets.load(str(tmp_path / "chip.toml"))


def test_presets_of_the_package_stay_as_they_were():
    """Digests of run folders and bundles know them by these fields."""
    for preset in presets.PRESETS.values():
        assert set(presets.to_dict(preset)["scenario"]) == {
            "dataset",
            "classes",
            "base",
            "step",
            "order_seed",
        }


def test_no_session_has_a_text_too():
    assert dataclasses.replace(OWN, base=6, step=()).step_text == "0"
