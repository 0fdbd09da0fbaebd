"""A user's own features: every layout and type, what is refused, and the latents kept for the next command."""

import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xnoreplay.flow.datasets import binarise, registry, vector_listing, vectors
from xnoreplay.flow.run.progress import Silent
from xnoreplay.spec import presets
from xnoreplay.spec.bits import unpack_bytes
from xnoreplay.spec.errors import FeatureError, SpecError
from xnoreplay.spec.features import FeatureSpec
from xnoreplay.spec.scenario import ImageSource

RNG = np.random.default_rng(5)
X = RNG.standard_normal((24, 5)).astype(np.float32)
Y = np.arange(24) % 3 * 7 - 7  # labels -7, 0, 7
LAST = np.arange(24) >= 18


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("XNOREPLAY_CACHE", str(folder))
    return folder


def read(found) -> np.ndarray:
    return np.concatenate(list(found.blocks()))


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def npy(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=7)
    return path


def halves(**more):
    return {
        "x_train": X[~LAST],
        "y_train": Y[~LAST],
        "x_test": X[LAST],
        "y_test": Y[LAST],
    } | more


LAYOUTS = {
    "npz": lambda p: npz(p / "a.npz", features=X, labels=Y, is_test=LAST),
    "npz x": lambda p: npz(p / "a.npz", x=X, y=Y, is_test=LAST),
    "npz halves": lambda p: npz(p / "a.npz", **halves()),
    "npz turned": lambda p: npz(p / "a.npz", features=np.asfortranarray(X), labels=Y, is_test=LAST),
    "npy pair": lambda p: [
        npy(p / "d" / f"{n}.npy", a) for n, a in (("labels", Y), ("is_test", LAST), ("features", X))
    ][-1],
    "npy pair x": lambda p: [
        npy(p / "d" / f"{n}.npy", a) for n, a in (("is_test", LAST), ("y", Y), ("x", X))
    ][-1],
    "npy folder": lambda p: [npy(p / "d" / f"{n}.npy", a) for n, a in halves().items()][0].parent,
    "npy turned": lambda p: [
        npy(p / "d" / f"{n}.npy", np.asfortranarray(a)) for n, a in halves().items()
    ][0],
    "parquet lists": lambda p: parquet(
        p / "a.parquet", other=["a"] * 24, embedding=list(X), label=Y, is_test=LAST
    ),
    "parquet fixed": lambda p: parquet(
        p / "a.parquet",
        features=pa.FixedSizeListArray.from_arrays(X.ravel(), 5),
        label=Y,
        is_test=LAST,
    ),
    "parquet columns": lambda p: parquet(
        p / "a.parquet",
        **{f"f{i}": X[:, i] for i in range(5)},
        name=["a"] * 24,
        target=Y,
        is_test=LAST,
    ),
    "parquet halves": lambda p: (
        [
            parquet(p / "d" / "train-0.parquet", features=list(X[~LAST]), label=Y[~LAST]),
            parquet(p / "d" / "test-0.parquet", features=list(X[LAST]), label=Y[LAST]),
        ][0].parent
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_its_vectors_labels_and_split(tmp_path, layout):
    path = LAYOUTS[layout](tmp_path)
    assert vectors.are_at(path)
    found = vectors.listing(path)
    assert found.classes == ("-7", "0", "7")
    assert found.features == 5
    order = np.argsort(
        found.is_test, kind="stable"
    )  # a folder of halves is read in the order of names
    assert np.array_equal(read(found)[order], X)
    assert np.array_equal(found.labels[order], Y // 7 + 1)
    assert np.array_equal(found.is_test[order], LAST)


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("files", [True, False])
def test_a_file_or_a_folder_a_class(tmp_path, split, files):
    names = {-7: "c2", 0: "c10", 7: "a"}
    for label, name in names.items():
        for part, chosen in (("train", ~LAST), ("test", LAST)) if split else (("", LAST | True),):
            rows = X[chosen & (label == Y)]
            if files:
                npy(tmp_path / "d" / part / f"{name}.npy", rows)
            else:
                for i, row in enumerate(rows):
                    npy(tmp_path / "d" / part / name / f"{i}.npy", row)
    assert vectors.are_at(tmp_path / "d")
    found = vectors.listing(tmp_path / "d")
    assert found.classes == ("a", "c2", "c10")
    rows = read(found)
    for label, name in names.items():
        mine = found.labels == found.classes.index(name)
        assert np.array_equal(
            rows[mine & ~found.is_test], X[(label == Y) & ~LAST][: mine.sum()]
        ) or (not split)
        if split:
            assert np.array_equal(rows[mine & found.is_test], X[(label == Y) & LAST])
        else:
            assert np.array_equal(rows[mine], X[label == Y])
            assert found.is_test[mine].sum() == 2


def test_class_names_and_a_split_are_taken_where_they_are_given(tmp_path):
    found = vectors.listing(
        npz(tmp_path / "a.npz", features=X, labels=Y // 7 + 1, class_names=list("pqr"))
    )
    assert found.classes == ("p", "q", "r")
    assert found.is_test.sum() == 6
    info = {"info": {"features": {"label": {"names": ["p", "q", "r"]}}}}
    table = pa.table({"features": list(X), "label": Y // 7 + 1})
    pq.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "b.parquet"
    )
    assert vectors.listing(tmp_path / "b.parquet").classes == ("p", "q", "r")


def object_array():
    ragged = np.empty(24, object)
    ragged[:] = [list(range(i % 2 + 1)) for i in range(24)]
    return ragged


REFUSED = {
    "labels of words": (
        lambda p: npz(p / "a.npz", features=X, labels=np.array(["a", "b"] * 12)),
        "labels of .* must be integers, one a vector, not <U1",
    ),
    "labels of floats": (
        lambda p: npz(p / "a.npz", features=X, labels=Y + 0.5),
        "must be integers, one a vector, not float64",
    ),
    "too few labels": (
        lambda p: npz(p / "a.npz", features=X, labels=Y[:-1]),
        r"features of .* must have one vector a label \(23\), not 24",
    ),
    "no labels": (
        lambda p: npz(p / "a.npz", features=X),
        "must hold features and labels, but has no 'labels'",
    ),
    "other arrays": (
        lambda p: npz(p / "a.npz", vectors=X),
        "must hold features and labels, or x_train, .* but has only",
    ),
    "images": (
        lambda p: npz(p / "a.npz", features=np.zeros((24, 2, 2)), labels=Y),
        r"of shape \(n, features\), not float64 of shape \(24, 2, 2\)",
    ),
    "complex numbers": (
        lambda p: npz(p / "a.npz", features=X.astype(complex), labels=Y),
        "must be floats or integers of at most 64 bits .* not complex",
    ),
    "one class": (
        lambda p: npz(p / "a.npz", features=X, labels=0 * Y),
        "must have at least two classes, not 1",
    ),
    "one sample": (
        lambda p: npz(p / "a.npz", features=X[:9], labels=np.arange(9) // 8),
        r"class '1' .* at least one vector to train and one to test, but has none to test \(1 in all\)",
    ),
    "no sample": (
        lambda p: npz(p / "a.npz", features=X[:0], labels=Y[:0]),
        "must be integers, one a vector, but the array is empty",
    ),
    "no feature": (
        lambda p: npz(p / "a.npz", features=X[:, :0], labels=Y),
        "must have 1 to 65,536 features, not 0",
    ),
    "is_test of words": (
        lambda p: npz(p / "a.npz", features=X, labels=Y, is_test=["y"] * 24),
        "is_test of .* must have one value a label",
    ),
    "a label without a name": (
        lambda p: npz(p / "a.npz", features=X, labels=Y, class_names=["a", "b"]),
        "numbers of its 2 class names, 0 to 1, not -7",
    ),
    "lone array": (lambda p: npy(p / "some.npy", X), "must be features.npy beside labels.npy"),
    "no label beside": (
        lambda p: npy(p / "d" / "features.npy", X),
        "must hold features and labels, but has no 'labels'",
    ),
    "several widths": (
        lambda p: [npy(p / "d" / "a.npy", X), npy(p / "d" / "b.npy", X[:, :3])][0].parent,
        "must all have the same number of features, not 3 and 5",
    ),
    "an empty class": (
        lambda p: [npy(p / "d" / "a.npy", X), npy(p / "d" / "b.npy", X[:0])][0].parent,
        "class 'b' of .* must hold vectors, but holds none",
    ),
    "a folder of text": (
        lambda p: [npy(p / "d" / "a" / "1.npy", X), (p / "d" / "b").mkdir()][0].parent.parent,
        "class folder .*b must hold vectors .* but holds none",
    ),
    "parquet without numbers": (
        lambda p: parquet(p / "a.parquet", text=["a"] * 24, label=Y),
        "must have a column of lists of numbers, or columns of numbers, beside 'label', but has",
    ),
    "parquet without label": (
        lambda p: parquet(p / "a.parquet", features=list(X)),
        "must have a column 'label' or",
    ),
    "parquet with words": (
        lambda p: parquet(p / "a.parquet", features=list(X), label=["a"] * 24),
        "column 'label' of .* must be integers, not string",
    ),
    "a zip": (lambda p: npz(p / "a.zip.npz", x=X) and (p / "a.zip"), "that is there, not"),
    "text": (
        lambda p: [(p / "a.csv").write_text("1,2"), p / "a.csv"][1],
        "features must be a .npz file",
    ),
    "a damaged archive": (
        lambda p: [(p / "a.npz").write_bytes(b"PK\3\4" + bytes(90)), p / "a.npz"][1],
        "must be an archive of NumPy arrays",
    ),
    "damaged parquet": (
        lambda p: [(p / "a.parquet").write_bytes(b"PAR1" + bytes(90)), p / "a.parquet"][1],
        "must be Parquet, but",
    ),
    "a damaged array": (
        lambda p: [(p / "x.npy").write_bytes(b"\x93NUMPY"), npy(p / "y.npy", Y), p / "x.npy"][2],
        "must be a NumPy array, but",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_one_sentence(tmp_path, case):
    make, sentence = REFUSED[case]
    with pytest.raises(SpecError, match=sentence) as caught:
        vectors.listing(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_vectors_of_several_lengths_are_refused_without_unpickling(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name, array in (("features", object_array()), ("labels", Y)):
            file = io.BytesIO()
            np.save(file, array, allow_pickle=True)
            archive.writestr(f"{name}.npy", file.getvalue())
    with pytest.raises(SpecError, match="not object of shape .24,. .vectors of several lengths."):
        vectors.listing(tmp_path / "a.npz")


def prepared(path, latent=40, way="selected", base=(0, 1)):
    return vectors.prepare(vectors.listing(path), FeatureSpec(way), latent, base, Silent())


def bad(value, i=13, j=2):
    x = X.astype(np.float64)
    x[i, j] = value
    return x


DAMAGED = {
    "nan": (
        lambda p: npz(p / "a.npz", features=bad(np.nan), labels=Y),
        r"vector 13 of features of .*: features must be finite numbers, not nan \(feature 2\)",
    ),
    "inf in the second half": (
        lambda p: npz(p / "a.npz", **halves(x_test=bad(-np.inf)[LAST | True][13:19])),
        r"vector 0 of x_test of .*: features must be finite numbers, not -inf \(feature 2\)",
    ),
    "a large integer": (
        lambda p: npz(p / "a.npz", features=bad(2.0**60).astype(np.int64), labels=Y),
        "vector 13 of .*: integer features must be at most 2.53",
    ),
    "nan in a class": (
        lambda p: [npy(p / "d" / "a.npy", X), npy(p / "d" / "b.npy", bad(np.nan))][0].parent,
        "vector 13 of .*b.npy: features must be finite",
    ),
    "ragged lists": (
        lambda p: parquet(
            p / "a.parquet", features=[list(r)[: 5 - (i == 9)] for i, r in enumerate(X)], label=Y
        ),
        "row 9 of .* must have 5 features, as the first has, not 4",
    ),
    "a null": (
        lambda p: parquet(
            p / "a.parquet", features=[None if i == 9 else r for i, r in enumerate(X)], label=Y
        ),
        "row 9 of .* must have 'features', but has a null there",
    ),
    "a null in a list": (
        lambda p: parquet(
            p / "a.parquet",
            features=[
                [None if (i, j) == (9, 3) else float(v) for j, v in enumerate(r)]
                for i, r in enumerate(X)
            ],
            label=Y,
        ),
        "row 9 of .* must have numbers alone, but has a null",
    ),
    "a null in a column": (
        lambda p: parquet(
            p / "a.parquet", a=X[:, 0], b=[None if i == 9 else 1.5 for i in range(24)], label=Y
        ),
        "row 9 of .* must have 'b', but has a null there",
    ),
    "nan in a column": (
        lambda p: parquet(p / "a.parquet", a=X[:, 0], b=bad(np.nan)[:, 2], label=Y),
        "row 13 of .*: features must be finite",
    ),
    "no variation": (
        lambda p: npz(p / "a.npz", features=0 * X + 3, labels=Y),
        "features must vary among the training samples of the base classes, but all 12 are equal",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_vector_that_is_damaged_is_named(tmp_path, case):
    make, sentence = DAMAGED[case]
    with pytest.raises(FeatureError, match=sentence) as caught:
        prepared(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_truncated_array_is_refused(tmp_path):
    path = npy(tmp_path / "d" / "features.npy", X)
    npy(tmp_path / "d" / "labels.npy", Y)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FeatureError, match="features.npy must be whole, but ends at"):
        prepared(path)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_latents_are_those_of_the_rule_whatever_is_read_at_once(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(vector_listing, "CHUNK", rows * 20)
    path = npz(tmp_path / "a.npz", features=X, labels=Y)
    made = prepared(path)
    train = ~made.listing.is_test & np.isin(made.listing.labels, (0, 1))
    classes = made.listing.labels[train]
    rule = binarise.train(X[train].astype(float), classes, FeatureSpec("selected"), 40)
    for name in ("exponent", "offset", "tap", "weight", "threshold"):
        assert np.array_equal(getattr(made.binariser, name), getattr(rule, name))
    assert np.array_equal(made.packed, rule.packed(X))
    assert unpack_bytes(made.packed, 40).shape == (24, 40)


def test_latents_are_kept_until_a_file_the_base_or_the_rule_changes(tmp_path, monkeypatch):
    path = npz(tmp_path / "a.npz", features=X, labels=Y)
    first = prepared(path)
    monkeypatch.setattr(binarise, "train", None)
    again = prepared(path)
    assert np.array_equal(again.packed, first.packed)
    for changed in ({"latent": 41}, {"way": "thermometer"}, {"base": (0, 2)}):
        with pytest.raises(TypeError):
            prepared(path, **changed)
    npz(path, features=X + 1, labels=np.append(Y[1:], 0))
    with pytest.raises(TypeError):
        prepared(path)


def test_a_flipped_bit_of_a_prepared_latent_is_noticed(tmp_path, cache):
    path = npz(tmp_path / "a.npz", features=X, labels=Y)
    first = np.array(prepared(path).packed)
    (target,) = (cache / "datasets").glob("*.npy")
    content = bytearray(target.read_bytes())
    content[-9] ^= 4
    target.write_bytes(content)
    assert np.array_equal(prepared(path).packed, first)


def test_training_vectors_among_the_test_vectors_are_told(tmp_path):
    x = X.copy()
    x[23] = x[4]
    made = prepared(npz(tmp_path / "a.npz", features=x, labels=Y, is_test=LAST))
    (note,) = made.notes
    assert note.startswith("1 test vectors are also training vectors")
    assert "vector 23 of features" in note
    assert note.endswith(f"is vector 4 of features of {tmp_path / 'a.npz'}")


def test_few_samples_of_many_stand_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(binarise, "most_samples", lambda _width: 5)
    taken = []
    plain = binarise.train
    monkeypatch.setattr(binarise, "train", lambda x, *rest: taken.append(x) or plain(x, *rest))
    prepared(npz(tmp_path / "a.npz", features=X, labels=Y, is_test=LAST))
    chosen = X[~LAST & (Y < 7)][::3]
    assert np.array_equal(taken[0], chosen)


SPEC = """
name = "it"
[network]
name = "it"
convs = []
latent = 40
hidden = 8
classes = 3
[target]
name = "it"
lanes = 2
channels = 8
batch = 4
replay_capacity = 9
[scenario]
dataset = { path = "a.npz", binarise = "thermometer" }
classes = 3
base = 2
step = 1
"""


def test_the_data_set_of_a_spec_is_packed_latents(tmp_path):
    npz(tmp_path / "a.npz", features=X, labels=Y)
    (tmp_path / "it.toml").write_text(SPEC)
    preset = presets.load(str(tmp_path / "it.toml"))
    assert presets.from_dict(presets.to_dict(preset)) == preset
    assert preset.scenario.max_pixel == 255
    data = registry.of_preset(preset, Silent())
    assert (data.images.shape, data.images.dtype, data.name) == ((24, 5), np.uint8, "a")
    assert np.array_equal(data.images, data.binariser.packed(X))
    assert np.array_equal(registry.train_labels(preset), data.train_labels)
    few = registry.of_preset(presets.vary(preset, "scenario", shots=1), Silent())
    assert np.bincount(few.train_labels).min() == 1
    before = registry.stamp(preset)
    npz(tmp_path / "a.npz", features=X, labels=Y, is_test=LAST)
    assert registry.stamp(preset) != before


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"thermometer"', '"itq"', "binarise must be .* not 'itq'"),
        ("binarise =", "fit =", "field of dataset must be one of binarise, name, path, not 'fit'"),
        ("{ path", "{ name = 'random', path", "must be none of digits"),
    ],
)
def test_a_wrong_field_of_the_data_set_is_one_sentence(tmp_path, old, new, sentence):
    (tmp_path / "it.toml").write_text(SPEC.replace(old, new))
    with pytest.raises(SpecError, match=sentence):
        presets.load(str(tmp_path / "it.toml"))


def test_images_and_features_are_not_taken_for_each_other(tmp_path):
    npz(tmp_path / "a.npz", features=X, labels=Y)
    (tmp_path / "it.toml").write_text(SPEC)
    preset = presets.load(str(tmp_path / "it.toml"))
    with pytest.raises(SpecError, match="data set of network digits must be images, not features"):
        presets.Preset("x", presets.PRESETS["digits"].network, preset.target, preset.scenario)
    images = ImageSource(str(tmp_path / "a.npz"))
    with pytest.raises(SpecError, match="must hold images, but holds vectors of features; a net"):
        registry.listing(images)
    npz(tmp_path / "b.npz", images=np.zeros((4, 8, 8), np.uint8), labels=[0, 0, 1, 1])
    assert not vectors.are_at(tmp_path / "b.npz")
    assert not vectors.are_at(tmp_path / "nowhere")
    npy(tmp_path / "photos" / "a" / "1.npy", X)
    assert vectors.are_at(tmp_path / "photos")
    (tmp_path / "photos" / "a" / "1.JPG").write_bytes(b"")
    assert not vectors.are_at(tmp_path / "photos")
    npz(tmp_path / "c.npz", **{n: np.zeros((4, 8, 8), np.uint8)[:4] for n in ("x_train", "x_test")})
    assert not vectors.are_at(tmp_path / "c.npz")
