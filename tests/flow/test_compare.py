"""Two runs compared: directions, what is new or gone, and bad input."""

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.output.quantities import Metric
from xnoreplay.flow.report import compare
from xnoreplay.flow.run import files


def metric(name, value, better="lower", unit="J"):
    return Metric(name, value, unit, better, "modelled")


BEFORE = [
    metric("energy", 2.0),
    metric("a_final", 0.8, "higher", "fraction"),
    metric("lut4", 10),
    metric("old", 1),
    metric("same", 3),
    metric("events.x", 5, "neither", "event"),
    metric("step.cil.seconds", 1.0, unit="s"),
]
AFTER = [
    metric("energy", 1.0),
    metric("a_final", 0.7, "higher", "fraction"),
    metric("lut4", 12),
    metric("new", 1),
    metric("same", 3),
    metric("events.x", 6, "neither", "event"),
    metric("step.cil.seconds", 9.0, unit="s"),
]


def write(folder, metrics):
    (folder / "report").mkdir(parents=True)
    tree = {"preset": "digits", "metrics": [m.as_dict() for m in metrics]}
    files.write_json(folder / "report" / "report.json", tree)
    return folder


def test_verdicts():
    found = {
        c.name: c.verdict
        for c in compare.changes(*({m.name: m for m in side} for side in (BEFORE, AFTER)))
    }
    assert found == {
        "energy": "better",
        "a_final": "worse",
        "lut4": "worse",
        "new": "new",
        "events.x": "changed",
        "old": "gone",
    }


def test_the_command(capsys, tmp_path):
    one, two = write(tmp_path / "a", BEFORE), write(tmp_path / "b", AFTER)
    assert cli.main(["compare", str(one), str(two / "report" / "report.json")]) == 0
    out = capsys.readouterr().out
    assert "1 better, 2 worse, 1 changed, 1 new, 1 gone" in out
    (energy,) = (line for line in out.splitlines() if line.startswith("energy"))
    assert energy.split() == ["energy", "2", "J", "1", "J", "-50.0", "%", "better"]
    assert "events.x" not in out
    assert "1 event counters changed, too" in out
    assert cli.main(["compare", str(one), str(two), "--events"]) == 0
    assert "events.x" in capsys.readouterr().out


def test_the_same_run(capsys, tmp_path):
    one = write(tmp_path / "a", BEFORE)
    assert cli.main(["compare", str(one), str(one)]) == 0
    assert "every number is the same" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "{", "[]", '{"preset": "x", "metrics": [{}]}'])
def test_no_report(capsys, tmp_path, content):
    path = tmp_path / "run"
    if content is not None:
        path.write_text(content)
    assert cli.main(["compare", str(path), str(path)]) == cli.BAD_INPUT
    assert f"{path} must be a run folder with a report" in capsys.readouterr().err
