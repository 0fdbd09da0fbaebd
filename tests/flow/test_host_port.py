"""The host port under a foreign master: what a stage finds in a wrong port, and what it must reach."""

import dataclasses
import inspect
import re
from collections import Counter
from types import SimpleNamespace

import pytest

from tests.flow import variants
from tests.flow.test_cosim import samples
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import cosim
from xnoreplay.flow.verify.cosim import (
    again,
    building,
    chip,
    port_points,
    port_rules,
    script,
    session,
    step,
)
from xnoreplay.flow.verify.cosim.script import Script
from xnoreplay.flow.verify.cosim.stage import Stage
from xnoreplay.hw import verilog
from xnoreplay.spec import bundle, plan, presets, registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure

pytestmark = pytest.mark.usefixtures("compiled")
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0)
QUICK = "icarus" if tools.icarus() else "verilator"
needs_simulator = pytest.mark.skipif(
    not tools.icarus() and tools.verilator_root() is None, reason="no simulator"
)


@pytest.fixture(scope="module")
def text(verilog_of_tiny):
    return verilog_of_tiny


def stages(kind: str):
    """A script of stages alone."""

    def short(_preset, compiled, dataset):
        look = script.memories(compiled)
        first = building.port(compiled, 1, look, brief=True, transfers=40)
        arrive = script.Step("arrive", TINY.scenario.base)
        last = building.port(
            compiled, 2, look, infers=True, commands=True, brief=True, transfers=40
        )
        return Script((first,) if kind == "first" else (first, arrive, last), dataset.images)

    return short


def compare(folder, text, monkeypatch, kind="first"):
    (folder / chip.VERILOG).write_text(text, encoding="utf-8")
    (folder / "out").mkdir()
    monkeypatch.setattr(step, "script_of", lambda p, _b, d, *_: stages(kind)(p, PLAN, d))
    return cosim.cosimulate(
        TINY,
        BUNDLE,
        folder,
        folder / "out",
        Silent(),
        dataset=samples(20),
        simulator=QUICK,
        optimise="-O0",
    )


def first_difference(folder, text):
    """What the first stage finds in a chip, without a look at where it begins."""
    source = folder / chip.VERILOG
    source.write_text(text, encoding="utf-8")
    with chip.opened(TINY, BUNDLE, source, Silent(), optimise="-O0") as design:
        setup, _ = design.setup(QUICK)
        steps = stages("first")(TINY, PLAN, samples(1))
        outcome = session.compare(setup, steps, folder / "run", "the first stage", Silent())
    return outcome.differences[0] if outcome.differences else None


WRONG = {
    "BVALID dropped": (r"if \(s_axil_bready\) begin", "if (1'b1) begin", "BVALID"),
    "RVALID dropped": (r"if \(s_axil_rready\) begin", "if (1'b1) begin", "RVALID"),
    "RDATA unstable": (
        r"s_axil_rdata <= (\S+ );",
        r"s_axil_rdata <= s_axil_rvalid && !s_axil_rready ? ~\1 : \1;",
        "RDATA",
    ),
    "RRESP unstable": (
        r"s_axil_rresp <= (\S+ );",
        r"s_axil_rresp <= s_axil_rvalid && !s_axil_rready ? 2'h3 : \1;",
        "RRESP",
    ),
    "RRESP always OKAY": (r"s_axil_rresp <= \S+ ;", "s_axil_rresp <= 2'h0;", "RRESP"),
    "BRESP always OKAY": (r"s_axil_bresp <= \S+ ;", "s_axil_bresp <= 2'h0;", "BRESP"),
    "SLVERR for DECERR": (r"(s_axil_bresp <= )(\S+ );", r"\1\2 == 2'h3 ? 2'h2 : \2;", "BRESP"),
    "strobe 7 taken": (r"= & s_axil_wstrb;", "= & s_axil_wstrb[2:0];", "BRESP"),
    "strobe 14 taken": (r"= & s_axil_wstrb;", "= & s_axil_wstrb[3:1];", "BRESP"),
    "WREADY waits for WVALID": (
        r"(assign s_axil_wready = )(.*);",
        r"\1s_axil_wvalid & (\2);",
        "WREADY",
    ),
    "ARREADY high while one waits": (
        r"assign s_axil_arready = .*;",
        "assign s_axil_arready = 1'b1;",
        "ARREADY",
    ),
    "write before its data": (
        r"(assign write_ready = )\S+ +& ",
        r"\1~s_axil_awready & ",
        None,
    ),
    "reads never have their turn": (
        r"reads_next <= \S+ ;",
        "reads_next <= 1'h0;",
        None,
    ),
    "ARRIVE of classes + 1": (r"(value\[31:16\] <= 3'h)4;", r"\g<1>5;", "BRESP"),
    "window open in the start cycle": (r"= busy \| start;", "= busy;", None),
    "everything open while busy": (r"= busy \| start;", "= start;", None),
    "pixel taken outside the input": (
        r"assign pixel__ready = active & last;",
        "assign pixel__ready = last;",
        "TREADY",
    ),
    "last pixel's ready late": (
        r"assign pixel__ready = active & last;",
        "assign pixel__ready = active & last & pixel__valid;",
        "TREADY",
    ),
}
"""Pattern, what takes its place, and the signal that shows it, where it is one alone."""


@pytest.fixture(scope="module")
def ports(text, tmp_path_factory):
    """The chip and all wrong ports in one simulator, with the first stage."""
    every = variants.joined(text, [planted(text, name) for name in WRONG])
    with variants.served(every, TINY, BUNDLE, tmp_path_factory.mktemp("ports")) as server:
        server.add("first", stages("first")(TINY, PLAN, samples(1)))
        assert server.compare(0, "first")[0].differences == []
        yield server


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_port_is_found(ports, name):
    """At a named clock."""
    found = ports.compare([*WRONG].index(name) + 1, "first")[0].differences[0]
    assert found.what.startswith("host port, clock")
    assert found.expected != found.got
    assert WRONG[name][2] in (None, found.signal)


def planted(text: str, name: str) -> str:
    pattern, other, _ = WRONG[name]
    wrong, count = re.subn(pattern, other, text)
    assert count == 1
    return wrong


@needs_simulator
def test_a_difference_at_the_port_shows_again(tmp_path, monkeypatch, text):
    with pytest.raises(CheckFailure, match="host port, clock") as failure:
        compare(tmp_path, planted(text, "BVALID dropped"), monkeypatch)
    message, evidence = failure.value.args
    found = evidence["difference"]
    assert (found["signal"], found["expected"]) == ("BVALID", "held until BREADY")
    assert evidence["replay"] == f"xnoreplay cosim --again {tmp_path / 'out' / again.RECORD}"
    same = re.escape(message.split("but: ")[1].split(";")[0])
    with pytest.raises(CheckFailure, match=same):
        cosim.repeat(tmp_path / "out" / again.RECORD, Silent())


SOURCES = {
    "read-only register taken": (
        "Mux(slave.write, Response.SLVERR, Response.OKAY)",
        "Response.OKAY",
    ),
    "COMMAND taken while busy": (
        "with m.If(takes & self.legal):",
        "with m.If(slave.valid & slave.write & self.legal):",
    ),
    "unknown command taken": (
        "m.d.sync += self.legal.eq(0)\n        with m.Switch(slave.data[:8])",
        "m.d.sync += self.legal.eq(1)\n        with m.Switch(slave.data[:8])",
    ),
    "unmapped address OKAY": (
        "slave.response.eq(Response.DECERR)",
        "slave.response.eq(Response.OKAY)",
    ),
    "row committed by every word": (
        "ends = here & (chunk == window.chunks - 1) if split > 2 else here",
        "ends = here",
    ),
    "window read while busy": (
        "with m.If(mapped & closed):",
        "with m.If(mapped & closed & slave.write):",
    ),
    "counter's halves swapped": (
        "self.halves.eq(Cat(~offset[2], offset[2]))",
        "self.halves.eq(Cat(offset[2], ~offset[2]))",
    ),
    "refused write in the row register": (
        '(self.enters, here, "enters")',
        '(self.enters, written[WINDOW_SHIFT - 2 :] == window.base >> WINDOW_SHIFT, "enters")',
    ),
}
"""Text of `hw.host.host`, and what takes its place."""


@needs_simulator
@pytest.mark.parametrize("name", SOURCES)
def test_a_wrong_address_map_is_found(tmp_path, monkeypatch, name):
    from xnoreplay.hw import top
    from xnoreplay.hw.host import host

    source, (right, wrong) = inspect.getsource(host), SOURCES[name]
    assert source.count(right) == 1
    changed: dict = {"__name__": "xnoreplay.hw.host.host"}
    exec(compile(source.replace(right, wrong), "wrong host", "exec"), changed)
    with monkeypatch.context() as patch:
        patch.setattr(top, "Host", changed["Host"])
        text = verilog.generate(PLAN)
    found = first_difference(tmp_path, text)
    assert found.what.startswith("host port, clock")


@needs_simulator
def test_a_right_port_passes_and_is_tried_in_every_way(tmp_path, monkeypatch, text):
    result = compare(tmp_path, text, monkeypatch, "all")[QUICK]
    assert result["compared"]["port.stages"] == 2
    assert result["compared"]["port.clocks"] > 5_000


@needs_simulator
def test_a_long_restore_is_waited_for(tmp_path, monkeypatch):
    """Commands are tried on an idle chip also where a restore takes longer than what lies between."""
    large = presets.vary(TINY, "target", replay_capacity=600)
    compiled = plan.compile(large.network, large.target)
    (tmp_path / chip.VERILOG).write_text(verilog.generate(compiled), encoding="utf-8")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(step, "script_of", lambda p, _b, d, *_: stages("first")(p, compiled, d))
    result = cosim.cosimulate(
        large,
        BUNDLE,
        tmp_path,
        tmp_path / "out",
        Silent(),
        dataset=samples(20),
        simulator=QUICK,
        optimise="-O0",
    )
    assert result[QUICK]["differences"] == 0


def test_a_run_that_did_not_try_all_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "compare", lambda *_: session.Outcome())
    design = SimpleNamespace(work=tmp_path, progress=Silent())
    setup = session.Setup(TINY, BUNDLE, QUICK, tmp_path)
    with pytest.raises(
        CheckFailure, match="tried in every way, but these were not reached: "
    ) as failure:
        step.check(design, setup, stages("all")(TINY, PLAN, samples(1)), tmp_path)  # type: ignore[arg-type]
    assert "read at last busy" in failure.value.args[1]["missing"]


def test_too_little_is_said():
    """Every required count is one that a missing transfer leaves at 0."""
    wanted = port_points.required(PLAN, (Stage(1, infers=True, commands=True),))
    reached = Counter(wanted)
    assert port_points.missing(PLAN, (Stage(1, infers=True, commands=True),), reached) == []
    for name in wanted:
        assert port_points.missing(
            PLAN, (Stage(1, infers=True, commands=True),), reached - Counter({name: 1})
        ) == [name]
    windows = {w.memory.name for w in registers.windows(PLAN.memories)}
    assert {f"read {name} SLVERR" for name in windows} <= wanted.keys()
    assert {f"write COMMAND {c.name} OKAY" for c in Command} <= wanted.keys()


# ----------------------------------------------------------------- rules, without a simulator

QUIET = dict.fromkeys(port_rules.SIGNALS, 0) | {"bready": 1, "rready": 1}


def broken(*changes: dict):
    """The first broken rule of clocks that differ from `QUIET`."""
    rules = port_rules.Rules()
    for change in changes:
        if found := rules.broken(QUIET | change):
            return found[0], found[1]
    found = rules.unanswered()
    return found and found[:2]


ASKED = {"arvalid": 1, "arready": 1}
WRITTEN = {"awvalid": 1, "awready": 1, "wvalid": 1, "wready": 1}


@pytest.mark.parametrize(
    ("clocks", "rule"),
    [
        ((ASKED, {"rvalid": 1}), None),
        ((WRITTEN, {"bvalid": 1, "bready": 0}, {"bvalid": 1}), None),
        ((ASKED, {"rvalid": 1, "rready": 0}, {}), ("rvalid", "held until RREADY")),
        ((WRITTEN, {"bvalid": 1, "bready": 0}, {}), ("bvalid", "held until BREADY")),
        (
            (ASKED, {"rvalid": 1, "rready": 0}, {"rvalid": 1, "rdata": 1}),
            ("rdata", "stable at 0x0 until RREADY"),
        ),
        (
            (WRITTEN, {"bvalid": 1, "bready": 0}, {"bvalid": 1, "bresp": 2}),
            ("bresp", "stable at 0x0 until BREADY"),
        ),
        (({"rvalid": 1},), ("rvalid", "low: every request was answered")),
        (
            ({"awvalid": 1, "awready": 1}, {"bvalid": 1}),
            ("bvalid", "low: every request was answered"),
        ),
        ((ASKED, {"rvalid": 1}, {"rvalid": 1}), ("rvalid", "low: every request was answered")),
        ((ASKED,), ("rvalid", "one response each of 1 requests")),
        ((WRITTEN,), ("bvalid", "one response each of 1 requests")),
        (({"awready": None},), ("awready", "known")),
        ((ASKED, {"rvalid": 1, "rdata": None}), ("rdata", "known")),
        (({"rdata": None},), None),
    ],
)
def test_rules_of_the_bus(clocks, rule):
    assert broken(*clocks) == rule


def test_a_chip_of_more_words_a_pixel_never_waits_while_it_is_ready():
    """TREADY comes with a pixel's last word, to which only a pixel on offer leads."""
    narrow = plan.compile(TINY.network, dataclasses.replace(TINY.target, lanes=1, channels=2))
    stages = (Stage(1, infers=True),)
    assert narrow.input.words == 2
    assert "pause before T" not in port_points.required(narrow, stages)
    assert "pause before T" in port_points.required(PLAN, stages)
