"""A recorded comparison is another's folder: every field is held to what a record of ours can hold."""

import json
from pathlib import Path

import numpy as np
import pytest

from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import cosim
from xnoreplay.flow.verify.cosim import again, recorded
from xnoreplay.flow.verify.cosim import script as scripts
from xnoreplay.flow.verify.cosim.chip import VERILOG, DesignUnderTest
from xnoreplay.flow.verify.cosim.faults import Faults
from xnoreplay.flow.verify.cosim.script import CONTENTS, Script, Step
from xnoreplay.flow.verify.cosim.session import Outcome, Setup
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.errors import SpecError

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0)
WIDTH = PLAN.memory("replay.latent").width


def written(out: Path) -> Path:
    """A record with a little of everything, below a folder."""
    images = np.zeros((3, *TINY.network.image_shape), np.uint8)
    steps = (
        Step("arrive", 2),
        Step(
            "insert", 1, 2, gaps=(1,) * PLAN.input.pixels, memories=scripts.memories(PLAN), bus=True
        ),
        Step("infer", 0, 0, trace=True, windows=((0, 9),), abort=3),
        Step("host", transfers=((0, None), (4, 7))),
    )
    contents = {"replay.latent": np.zeros((2, WIDTH), np.uint8)}
    faults = Faults(rtl=(("cls.low", 0, 1),))
    text = "module xnoreplay; endmodule\n"
    design = DesignUnderTest(TINY, BUNDLE, text, faults, {}, out, "-O2", Silent())
    setup = Setup(TINY, BUNDLE, "verilator", out, faults)
    return again.record(design, setup, Script(steps, images, contents=contents), Outcome(), out)


@pytest.fixture
def folder(tmp_path) -> Path:
    return written(tmp_path)


def test_what_is_recorded_is_read(folder):
    read = recorded.read(folder)
    assert [s.command for s in read.script.steps] == ["arrive", "insert", "infer", "host"]
    assert read.script.steps[2].windows == ((0, 9),)
    assert read.script.steps[3].transfers == ((0, None), (4, 7))
    assert (read.simulator, read.optimise, read.faults.rtl) == (
        "verilator",
        "-O2",
        (("cls.low", 0, 1),),
    )


CHANGES = {
    "option of the compiler": (("optimise",), "-B/folder/evil", "optimise must be '-O0' or"),
    "two options": (("optimise",), "-O2 -fplugin=x", "optimise must be"),
    "simulator": (("simulator",), "../evil", "simulator must be 'verilator' or 'icarus'"),
    "simulator, a list": (("simulator",), ["icarus"], "simulator must be"),
    "fault of the plan": (("faults",), ["plan:input.pixels=3"], "faults must be of memories"),
    "fault, a number": (("faults",), [7], "faults must be a list of texts"),
    "fault's bit": (("faults",), ["rtl:cls.low:0:999"], "must be in its"),
    "commands": (("commands",), {}, "commands must be a list"),
    "command": (("commands", 0), "arrive", "command 0 must be a table"),
    "command's name": (("commands", 0, "command"), "__class__", "command of command 0 must be"),
    "argument": (
        ("commands", 0, "argument"),
        -1,
        "argument of command 0 must be an integer from 0",
    ),
    "argument, true": (("commands", 0, "argument"), True, "argument of command 0 must be"),
    "huge": (("commands", 2, "abort"), 10**30, "abort of command 2 must be"),
    "image": (("commands", 1, "image"), 3, "image of command 1 must be one of 2, not 3"),
    "memory": (("commands", 1, "memories"), ["../x"], "memories of command 1 must be"),
    "gaps": (("commands", 1, "gaps"), [1], "gaps of command 1 must be"),
    "gap": (
        ("commands", 1, "gaps"),
        ["1"] * PLAN.input.pixels,
        "gaps of command 1 must be an integer",
    ),
    "windows": (("commands", 2, "windows"), [[0, "x"]], "windows of command 2 must be an integer"),
    "window of one": (
        ("commands", 2, "windows"),
        [[0]],
        "windows of command 2 must have 2 values, not 1",
    ),
    "window, a number": (
        ("commands", 2, "windows"),
        [3],
        "windows of command 2 must be a list, not int",
    ),
    "transfer": (
        ("commands", 3, "transfers"),
        [[0, "x"]],
        "transfers of command 3 must be an integer",
    ),
    "no address": (
        ("commands", 3, "transfers"),
        [[None, 1]],
        "transfers of command 3 must be an integer",
    ),
    "field": (("commands", 0, "shell"), "x", "command 0 must have no field 'shell'"),
    "field of the record": (("include",), "x", "must have the fields"),
    "preset": (("preset",), 3, ""),
    "preset's name": (("preset", "name"), "../../x", "must be a word"),
}


@pytest.mark.parametrize(("path", "value", "message"), CHANGES.values(), ids=CHANGES)
def test_any_other_value_is_refused(folder, path, value, message):
    tree = json.loads((folder / recorded.RECORD).read_text())
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / recorded.RECORD).write_text(json.dumps(tree))
    with pytest.raises(SpecError) as refused:
        recorded.read(folder)
    assert str(refused.value).startswith(f"record {folder} must be a folder that cosim recorded: ")
    assert message in str(refused.value)


@pytest.mark.parametrize("name", [recorded.RECORD, recorded.IMAGES, recorded.BUNDLE, CONTENTS])
@pytest.mark.parametrize("text", [b"", b"{}", b"[[[[", b"\x93NUMPY\x01\x00", b"PK\x03\x04"])
def test_a_damaged_file_is_refused(folder, name, text):
    (folder / name).write_bytes(text)
    with pytest.raises(SpecError, match="must be a folder that cosim recorded"):
        recorded.read(folder)


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("replay.latent", np.zeros((2, WIDTH + 1), np.uint8)),
        ("replay.latent", np.full((2, WIDTH), 2)),
        ("replay.latent", np.zeros((10**6, WIDTH), np.uint8)),
        ("replay.latent", np.zeros((2, WIDTH))),
        ("elsewhere", np.zeros((2, WIDTH), np.uint8)),
    ],
)
def test_contents_must_be_bits_of_memories(folder, name, rows):
    np.savez_compressed(folder / CONTENTS, **{name: rows})
    with pytest.raises(
        SpecError, match=rf"{name}.*in contents\.npz must be|in contents.npz must be"
    ):
        recorded.read(folder)


def test_images_must_be_of_the_preset(folder):
    np.save(folder / recorded.IMAGES, np.zeros((3, 1, 1, 1), np.uint8))
    with pytest.raises(SpecError, match="must be uint8 images of shape"):
        recorded.read(folder)


def test_its_verilog_is_not_trusted(folder):
    (folder / VERILOG).write_text('module xnoreplay; initial $system("false"); endmodule\n')
    with pytest.raises(SpecError, match=r"line 1 has \$system; add --trust"):
        cosim.repeat(folder, Silent(), env={})
