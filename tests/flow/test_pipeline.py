"""Settings that a run folder remembers, and what its steps leave."""

import dataclasses
import json

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.chip import families, synth
from xnoreplay.flow.commands.specfile import to_toml
from xnoreplay.flow.datasets.bundles import BundleSource
from xnoreplay.flow.learning import pretrain
from xnoreplay.flow.pipeline import steps as pipeline
from xnoreplay.flow.pipeline.options import Memory
from xnoreplay.flow.pipeline.resolve import resolve
from xnoreplay.flow.pipeline.settings import SETTINGS, START, Settings, remembered
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.step import Context, Run
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure, SpecError, XnoreplayError

TINY = presets.load("tiny")


@pytest.fixture
def start(tmp_path):
    path = tmp_path / "start.bundle"
    bundles.write(bundles.random(TINY.network, 0), path)
    return path


def opened(folder, **chosen):
    """A run folder's settings after a pre-training with these choices."""
    _, settings = resolve(folder, {"preset": "tiny", **chosen}, remembered(Memory.TRAINING))
    run = pipeline.open_run(folder, settings, Silent())
    pipeline.set_up(run, settings, ["pretrain"])
    return run


def test_a_folder_keeps_what_its_training_went_on_from(tmp_path, start):
    folder = tmp_path / "run"
    run = opened(folder, start=start, epochs=2)
    own = folder / START
    assert run.configs["pretrain"]["start"] == str(own)
    assert run.configs["pretrain"]["epochs"] == 2
    assert own.read_bytes() == start.read_bytes()
    start.unlink()  # a later step asks whether the training is up to date, and not for this file
    _, later = resolve(folder, {})
    assert (later.start, later.epochs) == (own, 2)
    again = pipeline.open_run(folder, later, Silent())
    assert again.configs["pretrain"] == run.configs["pretrain"]
    assert again.pending(["pretrain"]) == ["pretrain"]


def test_a_training_that_names_no_start_has_none(tmp_path, start):
    folder = tmp_path / "run"
    opened(folder, start=start, epochs=2)
    run = opened(folder)
    assert run.configs["pretrain"]["start"] is run.configs["pretrain"]["epochs"] is None
    _, later = resolve(folder, {})
    assert later.start is later.epochs is None


def test_another_network_forgets_where_the_training_began(tmp_path, start):
    folder = tmp_path / "run"
    opened(folder, start=start, epochs=2)
    _, other = resolve(folder, {"preset": "digits"})
    assert other.start is other.epochs is None


def asked(folder, first="export", **chosen):
    """A run's folder after a command: whether its training's bundle is exported, and its steps."""
    if first == "pretrain":
        chosen["own_training"] = True
    _, settings = resolve(folder, {"preset": "digits", **chosen})
    run = pipeline.open_run(folder, settings, Silent())
    pipeline.set_up(run, settings, [first])
    return settings.source.kind == "training", run


def test_a_bundle_or_a_training_what_was_asked_for_last(tmp_path):
    folder, packaged = tmp_path / "run", BundleSource.choose(presets.load("digits")).path
    train, run = asked(folder, untrained=True)
    assert not train
    run.update(["export"])
    assert asked(folder)[1].configs["export"]["untrained"]  # it is kept
    assert asked(folder, "pretrain")[0]
    train, run = asked(folder)
    assert not train  # the training is not done
    assert run.configs["export"]["untrained"]
    (folder / "pretrain").mkdir()
    assert asked(folder)[0]
    for other in ({"untrained": True}, {"bundle": packaged}):
        asked(folder, **other)[1].update(["export"])
        train, run = asked(folder)
        assert not train
        assert run._is_current(run.steps["export"])
    with pytest.raises(
        XnoreplayError, match="a training must be without a bundle or untrained bits"
    ):
        asked(folder, "pretrain", untrained=True)


def test_a_training_that_is_not_finished_is_told(capsys, tmp_path):
    asked(tmp_path, "pretrain")
    assert cli.main(["export", "--out", str(tmp_path)]) == 0
    told = (
        f"the pre-training of {tmp_path} is not finished, and another bundle stands in for its own"
    )
    assert told in capsys.readouterr().err
    assert cli.main(["export", "--out", str(tmp_path), "--preset", "3mb"]) == 0
    assert "is not finished" not in capsys.readouterr().err  # that of another network is no concern


@pytest.mark.parametrize("wrong", ["bundle", "order-seed", "start"])
def test_a_command_that_is_refused_leaves_the_folder_as_it_was(capsys, tmp_path, start, wrong):
    folder = tmp_path / "run"
    asked(folder)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    command, sentence = {
        "bundle": (["cil", "--seeds", "2", "--bundle", start], "the bundle must be of the network"),
        "order-seed": (["cil", "--order-seed", "1"], "must have a bundle, but none is packaged"),
        "start": (["pretrain", "--start", start], "the bundle must be of the network"),
    }[wrong]
    assert cli.main([*map(str, command), "--out", str(folder)]) == 1
    assert sentence in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_missing_tool_leaves_the_folder_s_start(tmp_path, start, monkeypatch):
    folder = tmp_path / "run"
    asked(folder, "pretrain", preset="tiny", start=start)
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    other = tmp_path / "other"
    bundles.write(bundles.random(TINY.network, 1), other)
    monkeypatch.setattr(
        tools,
        "TOOLS",
        tuple(
            dataclasses.replace(t, find=lambda: None) if t.name == "torch" else t
            for t in tools.TOOLS
        ),
    )
    assert cli.main(["pretrain", "--out", str(folder), "--start", str(other)]) == 1
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_report_needs_no_bundle(tmp_path):
    assert cli.main(["report", "--preset", "tiny", "--out", str(tmp_path)]) == 0


def test_a_start_that_is_no_file(tmp_path):
    with pytest.raises(XnoreplayError, match="nowhere must be a readable file: No such file"):
        opened(tmp_path / "run", start=tmp_path / "nowhere")
    assert not (tmp_path / "run" / START).exists()


def test_a_start_of_another_network_leaves_the_folder_as_it_was(tmp_path, start):
    folder = tmp_path / "run"
    opened(folder, start=start, epochs=2)
    kept = {path: path.read_bytes() for path in (folder / START, folder / SETTINGS)}
    other = tmp_path / "other.bundle"
    bundles.write(bundles.random(presets.load("digits").network, 0), other)
    with pytest.raises(
        XnoreplayError, match="must be of the network and scenario of preset 'tiny'"
    ):
        opened(folder, start=other)
    assert {path: path.read_bytes() for path in kept} == kept


def test_the_training_is_given_what_was_chosen(tmp_path, start, monkeypatch):
    training = pytest.importorskip("xnoreplay.model.training.pretrain")
    given = {}

    def run(_preset, _dataset, folder, **chosen):
        given.update(chosen)
        (folder / training.CHECKPOINT).write_text("")
        return folder / training.CHECKPOINT

    monkeypatch.setattr(training, "pretrain", run)
    steps = opened(tmp_path / "run", start=start, epochs=2, augment=False)
    out = tmp_path / "out"
    out.mkdir()
    pretrain.pretrain(Context(steps.configs["pretrain"], out, {}, tmp_path / "scratch", Silent()))
    assert (given["epochs"], given["augment"]) == (2, False)
    assert bundles.digest(given["start"]) == bundles.digest(bundles.read(start))


def test_a_synthesis_that_fails_leaves_no_netlist(tmp_path, monkeypatch):
    generated, out = tmp_path / "generate", tmp_path / "synth"
    generated.mkdir()
    out.mkdir()
    (generated / "manifest.json").write_text('{"macros": []}')
    (generated / "result.json").write_text('{"verilog": "chip.v", "top": "chip"}')

    def fail(*_):
        for name in (synth.SOURCE, synth.NETLIST, "yosys.log"):
            (out / name).write_text("")
        raise CheckFailure("a latch")

    monkeypatch.setattr(families, "map_to_families", fail)
    config = {"preset": presets.to_dict(TINY), "families": [], "liberty": None, "place": False}
    context = Context(config, out, {"generate": generated}, tmp_path, Silent())
    with pytest.raises(CheckFailure, match="a latch"):
        pipeline._synth(context)
    assert [p.name for p in out.iterdir()] == ["yosys.log"]


def test_what_cannot_be_built_is_refused_at_once(tmp_path):
    preset = presets.vary(TINY, "target", replay="generative", drawn_per_class=5)
    run = pipeline.open_run(tmp_path, Settings(preset, BundleSource("random")), Silent())
    assert run.configs["cil"]["preset"]["target"]["replay"] == "generative"
    for dials, message in (
        ({"lanes": 8, "channels": 8}, "multiple of the target's 8 lanes"),
        ({"drawn_per_class": 4096, "staging_capacity": 60_000}, "at most 65536 indices"),
    ):
        wide = presets.vary(preset, "target", **dials)
        with pytest.raises(SpecError, match=message):
            pipeline.configs(Settings(wide, BundleSource("random")))


@pytest.mark.parametrize(
    "kept", [{"verilog": "evil.v", "trust": True}, {"liberty": True}, {"faults": 5}]
)
def test_a_folder_remembers_only_what_is_remembered(tmp_path, kept):
    """Files that are run as programs, and the leave to do so, come from the command line alone."""
    (tmp_path / SETTINGS).write_text(json.dumps({"preset": presets.to_dict(TINY)} | kept))
    with pytest.raises(XnoreplayError, match="is no setting"):
        resolve(tmp_path, {})


@pytest.mark.parametrize(
    ("base", "command", "expected"),
    [(4, "run", False), (2, "run", True), (4, "cil", True)],
)
def test_a_run_whose_base_has_all_classes_leaves_out_what_needs_a_session(
    tmp_path, monkeypatch, capsys, base, command, expected
):
    """A step that is asked for by its name is not left out: it says what it needs."""
    brought = []
    monkeypatch.setattr(Run, "update", lambda _run, names, _force=(): brought.extend(names) or [])
    preset = presets.vary(presets.load("tiny"), "scenario", base=base, step=1)
    spec = tmp_path / "own.toml"
    spec.write_text(to_toml(preset), encoding="utf-8")
    out = str(tmp_path / "run")
    assert cli.main([command, "--preset", str(spec), "--untrained", "--out", out]) == 0
    assert ("cil" in brought) == expected
    assert ("estimate" in brought) == (command == "run")
    assert ("simulate" in brought) == (command == "run")
    said = capsys.readouterr()
    told = "no session comes after it: cil is left out" in said.err + said.out
    assert told == (not expected)
