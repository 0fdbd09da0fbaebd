"""CORe50's loader on a small made folder of the official layout, in both forms, and its refusals."""

import math
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from xnoreplay.flow.datasets import core50
from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.datasets import user_files as brought
from xnoreplay.flow.datasets.cifar100 import to_ycbcr
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError, XnoreplayError
from xnoreplay.spec.scenario import ScenarioSpec

RUN = 3
NAMES = [f"train_batch_{i:02d}_filelist.txt" for i in range(9)] + ["test_filelist.txt"]
GET = r"core50_128x128.zip and batches_filelists.zip from https://vlomonaco.github.io/core50"


def path_of(session, obj):
    return f"s{session}/o{obj + 1}/C_{session:02d}_{obj + 1:02d}_000.png"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with an image of each object in sessions 1 (training) and 3 (test).

    Objects arrive in a shuffled order, and an object's label is its number, not its place.
    """
    outer = tmp_path_factory.mktemp("data")
    root = outer / core50.FOLDER
    rng = np.random.default_rng(0)
    order = rng.permutation(50)
    cuts = np.cumsum((0, *core50.BATCHES))
    batches = [order[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    pixels = {}
    for session in (1, 3):
        for obj in range(50):
            name = path_of(session, obj)
            colour = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            pixels[name] = np.kron(colour, np.ones((64, 64, 1), np.uint8))
            file = root / core50.IMAGES / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[name]).save(file, compress_level=1)
    parts = [[(path_of(1, o), int(o)) for o in batch] for batch in batches]
    parts.append([(path_of(3, o), o) for o in range(50)])
    lists = root / core50.LISTS / f"run{RUN}"
    lists.mkdir(parents=True)
    for name, part in zip(NAMES, parts, strict=True):
        (lists / name).write_text("".join(f"{p} {y}\n" for p, y in part))
    return outer, order, parts, pixels


@pytest.fixture
def tables(made, tmp_path):
    """The same as tables and one array, without files."""
    _, _, parts, pixels = made
    paths = sorted(pixels)
    place = {p: i for i, p in enumerate(paths)}
    put(tmp_path, "paths.pkl", paths)
    filler = [None] * RUN
    put(tmp_path, "LUP.pkl", {"nc": [*filler, [[place[p] for p, _ in b] for b in parts]]})
    put(tmp_path, "labels.pkl", {"nc": [*filler, [[y for _, y in b] for b in parts]]})
    (tmp_path / core50.FOLDER).mkdir(exist_ok=True)
    np.savez_compressed(
        tmp_path / core50.FOLDER / core50.ARRAY, x=np.stack([pixels[p] for p in paths])
    )
    return tmp_path


def put(folder, name, tree):
    (folder / core50.FOLDER).mkdir(exist_ok=True)
    (folder / core50.FOLDER / name).write_bytes(pickle.dumps(tree, protocol=2))


def test_labels_are_numbered_by_arrival_and_images_are_ycbcr(made):
    outer, order, parts, pixels = made
    images, labels, is_test = core50.read(RUN, outer)
    assert images.shape == (100, 128, 128, 3)
    assert is_test.tolist() == [False] * 50 + [True] * 50
    for batch, (a, b) in enumerate(((0, 10), (10, 15), (15, 20))):
        assert set(labels[a:b]) == set(range(a, b)), batch
    objects = [y for part in parts for _, y in part]
    by_label = {}
    for label, obj in zip(labels, objects, strict=True):
        assert by_label.setdefault(label, obj) == obj
    assert set(order[:10]) == {by_label[i] for i in range(10)}
    first = parts[0][0][0]
    np.testing.assert_array_equal(images[0], to_ycbcr(pixels[first]))


def test_tables_and_file_lists_say_the_same(made, tables):
    for a, b in zip(core50.read(RUN, made[0]), core50.read(RUN, tables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_scenario_takes_the_official_order(made, monkeypatch):
    monkeypatch.setenv(brought.VARIABLE, str(made[0]))
    preset = presets.from_dict(
        {
            "preset": "3mb",
            "network": {"classes": 50},
            "scenario": {
                "dataset": "core50",
                "classes": 50,
                "base": 10,
                "step": 5,
                "order_seed": RUN,
            },
        }
    )
    scenario = preset.scenario
    dataset = data.of_preset(preset)  # 32x32: block means
    assert dataset.images.shape == (100, 32, 32, 3)
    assert scenario.tasks == 8
    chip = scenario.chip_classes(dataset.train_labels)
    assert sorted(chip[:10]) == list(scenario.task_classes(0))
    assert sorted(chip[10:15]) == list(scenario.task_classes(1))


def test_names_are_those_of_the_objects_in_order_of_arrival(made, tables, monkeypatch):
    """Of each run others; a scenario may have them as its class names, and no others."""
    _, order, parts, _ = made
    arrival = [
        o
        for (a, b) in ((0, 10), *((k, k + 5) for k in range(10, 50, 5)))
        for o in sorted(order[a:b])
    ]
    found = core50.names(RUN, made[0])
    assert found == core50.names(RUN, tables)
    assert (found[arrival.index(0)], found[arrival.index(49)]) == (
        "plug_adapter1",
        "remote_control5",
    )
    assert found[arrival.index(27)] == "glass3"
    assert len(set(found)) == 50
    monkeypatch.setenv(brought.VARIABLE, str(made[0]))
    preset = presets.vary(presets.load("3mb-res"), "scenario", order_seed=RUN, class_names=found)
    assert preset.scenario.name_of(0) == found[0]
    assert data.of_preset(preset).images.shape == (100, 128, 128, 3)
    wrong = presets.vary(preset, "scenario", class_names=(found[1], found[0], *found[2:]))
    with pytest.raises(SpecError, match=f"but number 0 is '{found[1]}' where the data set has"):
        data.of_preset(wrong)
    first, _ = parts[0][0]
    listed = made[0] / core50.FOLDER / core50.LISTS / f"run{RUN}" / NAMES[0]
    text = listed.read_text()
    listed.write_text(text.replace(first, "s1/o51/C.png", 1))
    with pytest.raises(XnoreplayError, match="must lie in folders o1 to o50, not 's1/o51/C.png'"):
        core50.names(RUN, made[0])
    listed.write_text(text)


def test_there_are_ten_orders():
    with pytest.raises(SpecError, match="order_seed must be an integer from 0 to 9, not 10"):
        ScenarioSpec("core50", classes=50, base=10, step=5, order_seed=10)


@pytest.fixture
def lists(made, tmp_path):
    """A folder with the lists alone, to damage; its images are the made ones."""
    root = tmp_path / core50.FOLDER
    (root / core50.LISTS / f"run{RUN}").mkdir(parents=True)
    (root / core50.IMAGES).symlink_to(made[0] / core50.FOLDER / core50.IMAGES)
    for name in NAMES:
        source = made[0] / core50.FOLDER / core50.LISTS / f"run{RUN}" / name
        (root / core50.LISTS / f"run{RUN}" / name).write_text(source.read_text())
    return root / core50.LISTS / f"run{RUN}"


def refused(folder, sentence):
    with pytest.raises(XnoreplayError, match=sentence) as told:
        core50.read(RUN, folder)
    assert core50.SITE in str(told.value)


def test_missing_folders_and_lists_are_told(tmp_path, monkeypatch, made):
    monkeypatch.delenv(brought.VARIABLE, raising=False)
    refused(None, rf"--data or XNOREPLAY_DATA.*{GET}")
    refused(tmp_path, rf"core50 must be the folder of CORe50, but is none; get {GET}")
    with pytest.raises(XnoreplayError, match="run4 must be a folder of CORe50's file lists, or"):
        core50.read(4, made[0])


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        (NAMES[2], None, r"train_batch_02_filelist.txt must be a file list.*No such file"),
        (
            NAMES[1],
            lambda t: t.split("\n", 1)[1],
            "batch 1 of run 3 .* 5 new classes and no others, not 4",
        ),
        (
            NAMES[1],
            lambda t: t.replace(" ", ","),
            "line 1 must be an image's path and its label, 0 to 49, not",
        ),
        (
            NAMES[1],
            lambda t: t.replace("\n", "9" * 23 + "\n"),
            "line 1 must be .* its label, 0 to 49, not",
        ),
        (
            NAMES[1],
            lambda t: t.replace("\n", "9" * 5000 + "\n"),
            "line 1 must be .* its label, 0 to 49, not",
        ),
        (
            NAMES[1],
            lambda t: "-" + t.replace(" ", " -"),
            "line 1 must be .* its label, 0 to 49, not",
        ),
        (NAMES[9], lambda t: "\n".join(t.split("\n")[:-2]), "must be of its 50 classes, not of 49"),
        (
            NAMES[0],
            lambda t: t.replace("s1/", "s8/", 1),
            "must be an image of CORe50, but.*No such file",
        ),
    ],
)
def test_damaged_lists_are_told(lists, name, change, sentence):
    if change is None:
        (lists / name).unlink()
    else:
        (lists / name).write_text(change((lists / name).read_text()))
    refused(lists.parents[3], sentence)


def test_images_that_are_none_are_told(lists, tmp_path):
    images = lists.parents[2] / core50.IMAGES
    images.unlink()
    refused(tmp_path, "must be the folder of CORe50's images, or core50_imgs.npz beside it")
    name = (lists / NAMES[0]).read_text().split()[0]
    (images / name).parent.mkdir(parents=True)
    for content, sentence in (
        (b"junk", "cannot identify image"),
        (None, "must be of 128x128 pixels, not 64x64"),
    ):
        if content is None:
            Image.new("RGB", (64, 64)).save(images / name)
        else:
            (images / name).write_bytes(content)
        refused(tmp_path, sentence)


def test_an_image_that_says_it_is_huge_is_told(lists, tmp_path):
    images = lists.parents[2] / core50.IMAGES
    images.unlink()
    path = images / (lists / NAMES[0]).read_text().split()[0]
    path.parent.mkdir(parents=True)
    Image.new("RGB", (128, 128)).save(path)
    raw = bytearray(path.read_bytes())
    raw[16:24] = struct.pack(">II", 60_000, 60_000)
    raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
    path.write_bytes(raw)
    refused(tmp_path, "must be an image of CORe50, but: Image size .3600000000 pixels. exceeds")


@pytest.mark.parametrize(
    ("name", "tree", "sentence"),
    [
        ("LUP.pkl", {"ni": []}, "must list run 3 of scenario 'nc', but do not .KeyError"),
        ("LUP.pkl", {"nc": [[]] * 4}, "must list run 3 of scenario .nc., but do not .ValueError"),
        (
            "LUP.pkl",
            {"nc": [None] * RUN + [[[-1]]]},
            "do not .ValueError: -1 must be an integer from 0 to 99",
        ),
        ("labels.pkl", {"nc": [None] * RUN + [[[math.inf] * 10]]}, "do not .OverflowError"),
        (
            "labels.pkl",
            {"nc": [None] * RUN + [[[50] * 10]]},
            "do not .ValueError: 50 must be an integer",
        ),
        ("paths.pkl", ["x"], "do not .ValueError: .* must be an integer from 0 to 0"),
        ("paths.pkl", 5, "must be a list of the paths of CORe50's images, but is none"),
        ("labels.pkl", print, "cannot be read .UnpicklingError: it asks for .*print"),
    ],
)
def test_damaged_tables_are_told(tables, name, tree, sentence):
    put(tables, name, tree)
    refused(tables, sentence)


@pytest.mark.parametrize("tree", [5, [1, 2]])
def test_damaged_paths_of_an_array_are_told_beside_file_lists(lists, tree):
    root = lists.parents[2]
    (root / core50.IMAGES).unlink()
    (root / core50.ARRAY).touch()
    put(root.parent, "paths.pkl", tree)
    refused(root.parent, "paths.pkl must be a list of the paths of CORe50's images, but is none")


def test_a_damaged_array_is_told(tables):
    file = tables / core50.FOLDER / core50.ARRAY
    np.savez_compressed(file, x=np.zeros((3, 128, 128, 3), np.uint8))
    refused(tables, r"must have an array 'x' of uint8 \(100, 128, 128, 3\), one image for each")
    file.write_bytes(b"junk")
    refused(tables, "must be CORe50's array of images, but cannot be read")
