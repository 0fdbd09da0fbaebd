"""Predictions as a file, and scores computed from it by another implementation."""

import json

import numpy as np
import pytest

from xnoreplay.flow.cli import main
from xnoreplay.flow.learning import cil, predictions
from xnoreplay.spec import bundle
from xnoreplay.spec.errors import XnoreplayError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A cil step with its file of predictions."""
    folder = tmp_path_factory.mktemp("cil")
    assert main(["cil", "--seeds", "2", "--dump", "--out", str(folder)]) == 0
    return folder / "cil"


def definitions(labels, task, predicted):
    """The scores from their definitions, sample by sample and loop by loop."""
    last = len(predicted) - 1

    def accuracy(session, tasks):
        right = [
            p == y for p, y, t in zip(predicted[session], labels, task, strict=True) if t in tasks
        ]
        return sum(right) / len(right)

    old = range(last)
    best = {j: max(accuracy(t, {j}) for t in range(j, last)) for j in old}
    return {
        "a_final": accuracy(last, set(range(last + 1))),
        "a_old": accuracy(last, set(old)),
        "a_new": accuracy(last, {last}),
        "average": sum(accuracy(t, set(range(t + 1))) for t in range(last + 1)) / (last + 1),
        "forgetting": sum(best[j] - accuracy(last, {j}) for j in old) / last,
        "backward_transfer": sum(accuracy(last, {j}) - accuracy(j, {j}) for j in old) / last,
    }


def test_the_reported_scores_follow_from_the_file(run):
    reported = json.loads((run / "result.json").read_text())
    labels, task, predicted, about = predictions.read(run / "predictions.safetensors")
    assert about["preset"] == "digits"
    assert set(predicted) == {f"{m}/{s}" for m in cil.METHODS for s in reported["seeds"]}
    assert np.bincount(task).tolist() == reported["test_counts"]
    for name, rows in predicted.items():
        method, _, seed = name.partition("/")
        assert rows.shape == (6, 445)
        assert rows[0].max() < 5  # the base classifier knows the base
        scores = reported["methods"][method]
        for score, value in definitions(labels, task, rows).items():
            assert scores[score][int(seed)] == pytest.approx(value, abs=1e-12), (name, score)


def test_without_being_asked_there_is_no_file(run):
    assert main(["cil", "--no-dump", "--out", str(run.parent)]) == 0
    assert not (run / "predictions.safetensors").exists()


def test_round_trip(tmp_path):
    file, rows = tmp_path / "p", np.array([[0, 1, 0], [2, 1, 0]])
    predictions.write(file, np.array([0, 1, 2]), np.array([0, 0, 1]), {"m/0": rows}, {"a": 1})
    labels, task, predicted, about = predictions.read(file)
    assert (labels.tolist(), task.tolist(), about) == ([0, 1, 2], [0, 0, 1], {"a": 1})
    np.testing.assert_array_equal(predicted["m/0"], rows)
    assert predictions.score(labels, task, predicted["m/0"])["a_final"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"label": None}, "must have tensors 'label' and 'task' and a field 'about', but: 'label'"),
        (
            {"task": np.zeros(2, np.uint16)},
            r"tensor 'task' must have a value for each label, but is of shape \(1, 2\)",
        ),
        ({"m/0": np.zeros((1, 2), np.uint16)}, r"tensor 'm/0' must have a value for each label"),
        ({"about": "{"}, "a field 'about', but: "),
    ],
)
def test_files_of_the_format_that_are_not_whole_are_refused(tmp_path, wrong, sentence):
    parts = {"label": np.zeros(3, np.uint16), "task": np.zeros(3, np.uint16), "about": "{}"} | wrong
    metadata = {"format": predictions.FORMAT, "about": parts.pop("about")}
    bundle.write_tensors(
        tmp_path / "p", {n: a for n, a in parts.items() if a is not None}, metadata
    )
    with pytest.raises(XnoreplayError, match=sentence):
        predictions.read(tmp_path / "p")


def test_other_files_are_refused(tmp_path, run):
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(XnoreplayError, match="must be a whole file"):
        predictions.read(tmp_path / "junk")
    foreign = run.parent / "export" / "bundle.safetensors"
    with pytest.raises(XnoreplayError, match="field 'format' must be 'xnoreplay-predictions-1'"):
        predictions.read(foreign)
