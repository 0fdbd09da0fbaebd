"""A user's own features that lie as nobody would have thought: names in capitals, columns to choose from, empty files."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.flow.test_own_odd import Told
from tests.flow.test_vectors import SPEC, X, Y, npy, npz, parquet, prepared, read
from xnoreplay.flow.datasets import vectors
from xnoreplay.flow.learning import use
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XNOREPLAY_CACHE", str(tmp_path / "cache"))


def columns(names: str = "abcde", rows=slice(None)) -> dict[str, np.ndarray]:
    """The features of `X` in columns a to e, in the order of `names`."""
    return {name: X[rows, "abcde".index(name)] for name in names}


# --- names of folders and files


def test_halves_are_found_in_capitals(tmp_path):
    for half, rows in (("Train", X[:18]), ("TEST", X[18:])):
        for name in "ab":
            npy(tmp_path / "d" / half / f"{name}.npy", rows)
    found = vectors.listing(tmp_path / "d")
    assert found.classes == ("a", "b")
    assert np.array_equal(found.is_test, np.repeat([False, True], [36, 12]))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: npz(p / "a.npz", features=X, labels=Y).rename(p / "A.NPZ"),
        lambda p: [
            npy(p / f"{n}.npy", a).rename(p / f"{n}.NPY")
            for n, a in (("labels", Y), ("features", X))
        ][1],
        lambda p: (
            [
                npy(p / "d" / f"{n}.npy", a).rename(p / "d" / f"{n}.NPY")
                for n, a in (("y", Y), ("x", X))
            ][1].parent
        ),
        lambda p: parquet(p / "a.parquet", label=Y, **columns()).rename(p / "A.PARQUET"),
        lambda p: parquet(p / "d" / "a.Parquet", label=Y, **columns()).parent,
        lambda p: (
            [npy(p / "d" / f"{n}.npy", X[Y == n]).rename(p / "d" / f"{n}.Npy") for n in (-7, 0, 7)][
                0
            ].parent
        ),
        lambda p: (
            [
                npy(p / "d" / str(n) / "1.npy", X[Y == n]).rename(p / "d" / str(n) / "1.NPY")
                for n in (-7, 0, 7)
            ][0].parent.parent
        ),
    ],
    ids=["npz", "npy", "folder", "parquet", "parquets", "file a class", "folder a class"],
)
def test_endings_in_capitals_are_read(tmp_path, make):
    path = make(tmp_path)
    assert vectors.are_at(path)
    found = vectors.listing(path)
    assert len(found.classes) == 3
    assert found.labels.shape == (24,)


def test_a_trained_chip_reads_endings_in_capitals_and_notes(tmp_path):
    path = npz(tmp_path / "a.npz", features=X, labels=Y)
    (tmp_path / "it.toml").write_text(SPEC)
    preset, rule = presets.load(str(tmp_path / "it.toml")), prepared(path).binariser
    told = Told()
    batch = use.read(preset, [path.rename(tmp_path / "A.NPZ")], told, rule)
    assert np.array_equal(batch.images, rule.packed(X))
    assert batch.classes is not None
    lone = npy(tmp_path / "b.npy", X).rename(tmp_path / "B.NPY")
    assert use.read(preset, [lone], told, rule).classes is None
    assert told.notes == []
    parquet(tmp_path / "C.PARQUET", label=Y, words=["w"] * 24, features=list(X))
    use.read(preset, [tmp_path / "C.PARQUET"], told, rule)
    assert told.notes == list(vectors.listing(tmp_path / "C.PARQUET").notes) != []


def test_the_names_of_parquet_halves_are_found_in_capitals(tmp_path):
    parquet(tmp_path / "Train-0.parquet", label=Y[:18], **columns(rows=slice(18)))
    parquet(tmp_path / "Test-0.parquet", label=Y[18:], **columns(rows=slice(18, None)))
    found = vectors.listing(tmp_path)
    assert found.has_split
    assert found.is_test.sum() == 6


def test_hidden_class_folders_are_told(tmp_path):
    for name in ("a", "b", ".c"):
        npy(tmp_path / "d" / name / "1.npy", X)
    found = vectors.listing(tmp_path / "d")
    assert found.classes == ("a", "b")
    assert found.notes == (
        f"folders of {tmp_path / 'd'} whose names begin with '.' are passed over: ['.c']",
    )


def test_a_class_that_is_called_as_the_array_of_all_is_told(tmp_path):
    for name in "xyz":
        npy(tmp_path / "d" / f"{name}.npy", X)
    with pytest.raises(SpecError, match="y of .* must be integers, .* no class may be called so$"):
        vectors.listing(tmp_path / "d")
    npy(tmp_path / "d" / "y.npy", Y)
    assert vectors.listing(tmp_path / "d").notes == (
        f"['z.npy'] of {tmp_path / 'd'} are passed over: 'x' has the vectors of all classes",
    )
    (tmp_path / "d" / "z.npy").unlink()
    assert vectors.listing(tmp_path / "d").notes == ()
    npy(tmp_path / "d" / "y.npy", X)
    with pytest.raises(SpecError, match=r"not float32 of shape \(24, 5\)$"):
        vectors.listing(tmp_path / "d")


HALVES = {"x_train": X[:18], "y_train": Y[:18], "x_test": X[18:], "y_test": Y[18:]}


def in_folder(arrays: dict, folder):
    for name, array in arrays.items():
        npy(folder / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("form", ["folder", "file", "archive"])
@pytest.mark.parametrize("letters", [str.upper, str.capitalize])
def test_names_of_arrays_are_found_in_capitals(tmp_path, form, letters):
    for arrays in (HALVES, {"x": X, "y": Y}):
        called = {letters(name): array for name, array in arrays.items()}
        path = tmp_path / f"{len(arrays)}"
        if form == "archive":
            path = npz(path.with_suffix(".npz"), **called)
        else:
            in_folder(called, path)
            path = path if form == "folder" else path / f"{next(iter(called))}.npy"
        assert vectors.are_at(path)
        found = vectors.listing(path)
        assert found.classes == ("-7", "0", "7")
        assert found.has_split == (len(arrays) == 4)
        assert np.array_equal(np.concatenate(list(found.blocks())), X)


def test_classes_of_capital_letters_are_classes(tmp_path):
    found = vectors.listing(in_folder({"W": X, "X": X, "Y": X}, tmp_path / "d"))
    assert found.classes == ("W", "X", "Y")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("train", "test"), r"must not be called like a half .* as .*test.npy: .* x_train.npy"),
        (("train", "Val"), "must not be called like a half"),
        (("nut", "bolt_train", "bolt_test"), "rename 'bolt_test.npy' where it is a class"),
        (("train_x", "train_y"), "must not be called like a half"),
        (("data", "Labels"), "or like its labels, as .*Labels.npy"),
        (("train/x", "train/y", "test/x", "test/y"), r"hold a file a class, but holds \['x.npy',"),
        (("train/Features", "train/labels", "test/a"), "or like its labels"),
        (("nut/train", "nut/test", "bolt/1"), "nut must hold vectors of one half, not 'train' be"),
        (("nut/train/1", "nut/Test/1", "bolt/1"), "'train/nut' and 'test/nut'"),
        (("X", "x", "y"), "must have one array that is called 'x', not two"),
    ],
)
def test_halves_and_labels_are_no_classes(tmp_path, names, sentence):
    with pytest.raises(SpecError, match=sentence):
        vectors.listing(in_folder(dict.fromkeys(names, X), tmp_path / "d"))


def test_images_in_array_files_are_sent_to_an_archive(tmp_path):
    folder = in_folder(HALVES | {"x_train": np.zeros((18, 8, 8), np.uint8)}, tmp_path / "d")
    with pytest.raises(SpecError, match=r"\(arrays of images are read from a .npz file\)$"):
        vectors.listing(folder)


# --- arrays


@pytest.mark.parametrize(
    "arrays",
    [{"x": X[:, 0], "y": Y}, {"x_train": X[:, 0], "y_train": Y, "x_test": X[:, 0], "y_test": Y}],
    ids=["x", "x_train"],
)
def test_an_array_of_one_axis_is_no_image(tmp_path, arrays):
    path = npz(tmp_path / "a.npz", **arrays)
    assert vectors.are_at(path)
    with pytest.raises(
        SpecError, match=r"x.* of .* of shape \(n, features\), not float32 of shape \(24,\)"
    ):
        vectors.listing(path)


@pytest.mark.parametrize("empty", [np.zeros(0), np.zeros(0, int), np.zeros((0, 3))])
def test_an_empty_array_is_said_to_be_empty(tmp_path, empty):
    path = npz(tmp_path / "a.npz", features=X[:0], labels=empty)
    with pytest.raises(SpecError, match="labels of .* one a vector, but the array is empty"):
        vectors.listing(path)


# --- columns of Parquet


def test_columns_are_joined_by_their_names(tmp_path):
    parquet(tmp_path / "1.parquet", label=Y[:9], **columns("abcde", slice(9)))
    parquet(tmp_path / "2.parquet", label=Y[9:], **columns("ecabd", slice(9, None)))
    found = vectors.listing(tmp_path)
    assert np.array_equal(read(found), X)


def test_columns_come_in_natural_order_whatever_a_file_has(tmp_path):
    names = ("f10", "f9", "f1", "f0", "f2")
    parquet(tmp_path / "a.parquet", label=Y, **dict(zip(names, X.T, strict=True)))
    assert np.array_equal(read(vectors.listing(tmp_path / "a.parquet")), X[:, [3, 2, 4, 1, 0]])


@pytest.mark.parametrize(
    ("other", "missing"),
    [
        (columns("abcd") | {"z": X[:, 4]}, "1.parquet has 'e' and .*2.parquet has not"),
        (columns() | {"z": X[:, 4]}, "2.parquet has 'z' and .*1.parquet has not"),
        ({"a": list(X)}, "1.parquet has 'b' and .*2.parquet has not"),
    ],
)
def test_columns_of_other_names_are_refused(tmp_path, other, missing):
    parquet(tmp_path / "1.parquet", label=Y, **columns())
    parquet(tmp_path / "2.parquet", label=Y, **other)
    with pytest.raises(SpecError, match=f"in columns of the same names, but .*{missing}"):
        vectors.listing(tmp_path)


def test_lists_and_numbers_of_one_name_are_refused(tmp_path):
    parquet(tmp_path / "1.parquet", label=Y, a=X[:, 0])
    parquet(tmp_path / "2.parquet", label=Y, a=list(X))
    with pytest.raises(SpecError, match="must all have lists of numbers in column 'a', or none"):
        vectors.listing(tmp_path)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"target": Y}, "must have one column of labels, not 'label' beside 'target'; drop or"),
        ({"y": X[:, 0]}, "must have one column of labels, not 'label' beside 'y'"),
        (
            {"u": list(X), "v": list(X), "id": Y},
            r"one that is called 'features' or .* or 'x', not \['u', 'v'\]",
        ),
    ],
)
def test_columns_that_do_not_say_which_are_meant_are_refused(tmp_path, more, sentence):
    path = parquet(tmp_path / "a.parquet", label=Y, **more, **columns())
    with pytest.raises(SpecError, match=sentence):
        vectors.listing(path)


def test_two_columns_of_one_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(Y), pa.array(Y), pa.array(Y)], ["label", "a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(SpecError, match="must have different names, not 'a' twice"):
        vectors.listing(tmp_path / "a.parquet")


def test_booleans_are_features(tmp_path):
    bits = X > 0
    path = parquet(tmp_path / "a.parquet", label=Y, a=X[:, 0], b=bits[:, 1])
    assert np.array_equal(read(vectors.listing(path)), np.stack([X[:, 0], bits[:, 1]], axis=1))
    path = parquet(tmp_path / "b.parquet", label=Y, features=[list(map(bool, r)) for r in bits])
    assert np.array_equal(read(vectors.listing(path)), bits)


def test_columns_taken_and_passed_over_are_told(tmp_path):
    numbers = {"id": np.arange(24), "__index_level_0__": np.arange(24), "name": ["n"] * 24}
    path = parquet(tmp_path / "a.parquet", target=Y, is_test=Y > 0, **columns("ab"), **numbers)
    found = vectors.listing(path, to_train=False)
    assert np.array_equal(read(found), X[:, :2])
    (note,) = found.notes
    assert note == (
        f"of {path}, labels are ['target'], features the 2 columns of numbers ['a', 'b']; "
        "passed over: ['id', '__index_level_0__', 'name']"
    )
    path = parquet(tmp_path / "b.parquet", label=Y, id=np.arange(24), x=list(X), v=list(-X))
    found = vectors.listing(path)
    assert np.array_equal(read(found), X)
    assert found.notes == (
        f"of {path}, labels are ['label'], features the lists of numbers ['x']; passed over: ['id', 'v']",
    )
    path = parquet(tmp_path / "c.parquet", label=Y, x=list(X))
    assert vectors.listing(path).notes == ()


def test_a_row_is_named_with_its_file_where_another_has_none(tmp_path):
    parquet(tmp_path / "a.parquet", label=Y[:0], **columns(rows=slice(0)))
    parquet(tmp_path / "b.parquet", label=Y, **columns())
    parquet(tmp_path / "c.parquet", label=Y[:0], **columns(rows=slice(0)))
    parquet(tmp_path / "d.parquet", label=Y, **columns())
    found = vectors.listing(tmp_path)
    assert found.place(3) == f"row 3 of {tmp_path / 'b.parquet'}"
    assert found.place(25) == f"row 1 of {tmp_path / 'd.parquet'}"
