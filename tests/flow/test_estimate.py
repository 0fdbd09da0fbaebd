"""Energy against hand calculations, and a memory map that misses nothing."""

import re

import pytest
from amaranth.back import rtlil

from tests.flow.energies import near
from xnoreplay.flow.cost import estimate
from xnoreplay.flow.cost import memory_map as footprint
from xnoreplay.flow.cost import tables as costs
from xnoreplay.flow.cost.tables import gates
from xnoreplay.hw.learning.error import ErrorPath
from xnoreplay.hw.watchdog import Watchdog
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import counterparts, presets, registers
from xnoreplay.spec import plan as plans
from xnoreplay.spec.errors import XnoreplayError

pytestmark = pytest.mark.usefixtures("counted_alone")
DIGITS = presets.load("digits")
PLAN = plans.compile(DIGITS.network, DIGITS.target)
COUNTERS = dict.fromkeys(registers.events(PLAN.memories), 0)


def rows(**events):
    counted = COUNTERS | {name.replace("__", "."): n for name, n in events.items()}
    return [r for r in estimate.energy(PLAN, counted, cycles=0) if r.joules[2]]


def test_nothing_counted_costs_nothing():
    assert estimate.total(rows()) == (0, 0, 0)


def test_memory_reads_by_hand():
    (row,) = rows(weights__fe__reads=10)
    cost = costs.memory(416, 144, DIGITS.target).read
    assert (row.part, row.event, row.count) == ("weights.fe", "reads", 10)
    assert row.joules == near((10 * cost.low, 10 * cost.nominal, 10 * cost.high))


def test_check_bits_by_hand():
    """144 bits have 9 check bits: 84 columns of 3 of them and 60 of 5, so 552 inputs of XORs."""
    coded = presets.vary(DIGITS, "target", ecc=("weights.fe",))
    plan = plans.compile(coded.network, coded.target)
    counted = COUNTERS | {"weights.fe.reads": 10, "weights.fe.writes": 1}
    read, write, *gates_of = (
        r for r in estimate.energy(plan, counted, cycles=0) if r.joules[2] and r.event != "leakage"
    )
    assert read.joules[1] == near(10 * costs.memory(416, 153, DIGITS.target).read.nominal)
    assert (write.part, write.count) == ("weights.fe", 1)
    xors, corrects = 84 * 3 + 60 * 5 - 9, 144 * 9
    bit = costs.logic("add_bit", DIGITS.target).nominal
    expected = [("codes", 10 * (xors + 9 + corrects) / 2 * bit), ("codes", xors / 2 * bit)]
    assert [(r.part, r.joules[1]) for r in gates_of] == [(n, near(j)) for n, j in expected]
    assert gates.elements(plan)["codes"]["flip_flop"] == 3
    assert "codes" not in gates.elements(PLAN)


def test_array_by_hand():
    """One tap is G = 16 cells; the nominal cell is Horowitz's 5.6 fJ at 45 nm hp and 0.9 V."""
    (row,) = rows(array__taps=1)
    lp_over_hp = (1.103 - 0.362 + 0.2767) / (1.018 - 0.3107 + 0.1539)
    assert row.joules[1] == near(16 * 5.6e-15 * lp_over_hp * (1.1 / 0.9) ** 2)


def test_control_and_clock_tree_run_every_cycle():
    control, clock = rows(cycles=1000)
    assert (control.part, clock.part) == ("control", "clock")
    assert control.joules[1] == near(
        1000 * estimate.CONTROL_BITS * costs.logic("register_bit", DIGITS.target).nominal
    )
    assert clock.joules[1] == near(
        1000 * gates.flip_flops(PLAN) * costs.logic("clock_bit", DIGITS.target).nominal
    )


def test_leakage_takes_time():
    one, two = (
        estimate.total(estimate.energy(PLAN, COUNTERS, cycles))[1] for cycles in (1000, 2000)
    )
    assert two == near(2 * one)
    assert one > 0


def test_a_lane_pays_for_storage_pipeline_and_sum():
    assert {r.part for r in rows(lane__file__reads=1)} == {
        "lane.file",
        "array pipeline",
        "accumulators",
    }


def test_a_tap_written_alone_is_a_ninth_of_a_word():
    (tap,), (word,) = rows(lane__file__tap_writes=9), rows(lane__file__writes=1)
    assert tap.part == "lane.file"
    assert tap.joules == near(word.joules)


def test_update_units_work_once_a_segment():
    units = estimate.units(PLAN)
    parts = {r.count for r in rows(cls__low__writes=7) if r.part == "update units"}
    assert parts == {7}
    assert units["update"] == 8 * (8 + 6 + 5)


def test_every_counter_has_a_cost_or_a_reason():
    """The chip's counters and the simulator's, which also counts learning."""
    from xnoreplay.sim.run import Simulator

    simulator = Simulator(PLAN, bundles.random(DIGITS.network, 0))
    counted = dict.fromkeys([*COUNTERS, *simulator.counters], 1)
    assert estimate.energy(PLAN, counted, cycles=1)


def test_units_of_events_are_known():
    named = {e["times"] for e in costs.table("events.csv") if e["cost"]}
    assert named == estimate.units(PLAN).keys()


def test_cell_operations_of_both_kinds():
    """A tap is 16 cells; a node joins 9 taps of 2 channels at B = 16."""
    counted = {"array.taps": 3, "array.nodes": 5}
    assert estimate.cell_operations(PLAN, counted) == 3 * 16 + 5 * 18


def test_an_unknown_counter_is_an_error():
    with pytest.raises(costs.CostError, match=r"events.csv must have a cost for the counter 'x'"):
        estimate.energy(PLAN, {"x": 1}, cycles=1)


def test_no_counters_is_an_error():
    with pytest.raises(XnoreplayError, match="the counters of at least one run, not none"):
        estimate.report(PLAN, {})


@pytest.mark.parametrize("name", presets.PRESETS)
def test_the_memory_map_adds_up(name):
    preset = presets.load(name)
    plan = plans.compile(preset.network, preset.target)
    tree = footprint.memory_map(plan)
    assert sum(tree["roles"].values()) == tree["bits"]
    assert sum(m["bits"] for m in tree["instances"]) == tree["bits"]
    assert all(m["kib"] == m["bits"] / 8 / 1024 for m in tree["instances"])
    assert {m["name"] for m in tree["instances"]} == {m.name for m in plan.memories}


def test_latent_beside_native_replay():
    """3mb-stored: an image is 13 latents, which is the paper's 13 times more samples."""
    preset = presets.load("3mb-stored")
    replay = footprint.memory_map(plans.compile(preset.network, preset.target))["replay"]
    assert replay["native_total"] == 13 * replay["latent_total"]
    assert replay["latent_total"] == (4882 + 5000) * 1024


def test_report_is_complete():
    run = {"counters": dict.fromkeys(COUNTERS, 3), "cycles": 100}
    tree = estimate.report(PLAN, {"inference": run})
    energy = tree["energy"]["inference"]
    assert energy["seconds"] == 100 / DIGITS.target.clock_hz
    assert energy["operations"] == 2 * (
        3 * 16 + 3 * 18
    )  # taps of 16 channels, nodes of 9 x 2 cells
    low, nominal, high = (sum(part[i] for part in energy["parts"].values()) for i in range(3))
    assert energy["total"] == near((low, nominal, high))
    assert low < nominal < high
    assert {c["chip"] for c in tree["published"]} == {"XNE", "ChewBaccaNN", "XNORBIN"}


def test_the_split_has_every_joule_once():
    counted = dict.fromkeys(COUNTERS, 3)
    rows = estimate.energy(PLAN, counted, cycles=100)
    parts = estimate.split(rows)
    assert sum(j[1] for j in parts.values()) == near(estimate.total(rows)[1])
    assert {
        "array",
        "accumulators",
        "update units",
        "error unit (softmax)",
        "clock tree",
        "leakage, logic",
        "leakage, memories",
        "weights.fe, reads",
        "weights.fe, writes",
    } <= parts.keys()


def test_logic_leakage_by_hand():
    """45 nm lstp: 1.1 V x 6 x 0.045 um x 1.01e-11 A/um."""
    one = gates.leakage(DIGITS.target)
    assert one.nominal == near(1.1 * 6 * 0.045 * 1.01e-11)
    assert one.low == near(0.480769 * one.nominal)
    leaked = [r for r in estimate.energy(PLAN, COUNTERS, cycles=50_000_000) if "logic" in r.part]
    assert sum(r.joules[1] for r in leaked) == near(
        sum(map(round, gates.gates(PLAN).values())) * one.nominal
    )


def test_gates_by_hand():
    """4 lanes x 144 cells: XNOR, AND, multiplexer and full adder are 2 + 1.25 + 2.5 + 7 gates."""
    cells = 4 * 144
    flip_flops = 144 + 4 * (16 * 4 + 8 * 5 + 4 * 6)
    assert gates.gates(PLAN)["array"] == near(12.75 * cells + 6.5 * flip_flops)


def error_unit(name, most):
    preset = presets.vary(presets.load(name), "target", most_error_units=most)
    plan = plans.compile(preset.network, preset.target)
    return plan, gates.elements(plan)["error unit"]


@pytest.mark.parametrize(("name", "most"), [("tiny", 1), ("digits", 4), ("3mb", 8)])
def test_registers_of_the_error_paths_are_those_of_the_hardware(name, most):
    plan, unit = error_unit(name, most)
    assert plan.target.error_units == min(most, plan.target.lanes)
    cells = re.findall(
        r"cell \$a?s?dff\w* .*?\n +end", rtlil.convert(ErrorPath(plan, 0)), re.DOTALL
    )
    path = sum(int(re.search(r"\\WIDTH (\d+)", cell)[1]) for cell in cells)
    logits = plan.target.batch * (plan.memory("batch.logit").width // plan.target.lanes)
    assert unit["flip_flop"] == logits + plan.target.error_units * path


def test_eight_error_units_have_eight_times_the_gates():
    """A path's place is how many draws it goes on by: eight have 1 + 2 + ... + 8 of 24 XORs."""
    (plan, one), (_, eight) = (error_unit("3mb", most) for most in (1, 8))
    for element in ("multiplier_bit", "adder_bit"):
        assert eight[element] == 8 * one[element]
    assert (one["xnor"], eight["xnor"]) == (24, 36 * 24)
    assert eight["flip_flop"] - one["flip_flop"] == 7 * gates.path_registers(plan)


def test_a_watchdog_has_the_registers_of_its_hardware():
    """And its area and its leaf of the clock tree stand in an estimate."""
    preset = presets.vary(presets.load("digits"), "target", watchdog_bits=18)
    plan = plans.compile(preset.network, preset.target)
    text = rtlil.convert(Watchdog(18))
    cells = re.findall(r"cell \$a?s?dff\w* .*?\n +end", text, re.DOTALL)
    bits = sum(int(re.search(r"\\WIDTH (\d+)", cell)[1]) for cell in cells)
    assert gates.flip_flops(plan) - gates.flip_flops(PLAN) == bits == 19
    assert gates.area(plan)["logic"][1] > gates.area(PLAN)["logic"][1]


def test_flip_flops_beside_synthesis():
    """Yosys maps the digits chip to 6,929 flip-flops, 67 x 48 of them event counters."""
    assert gates.flip_flops(PLAN) == near(6929 - 67 * 48, rel=0.5)


def test_area_has_memories_and_logic():
    parts = gates.area(PLAN)
    assert parts.keys() == {"SRAM", "standard-cell memories", "logic"}
    assert all(0 < low <= nominal <= high for low, nominal, high in parts.values())


def drawing(channels: int, **dials):
    """The plan of `digits` with generative replay."""
    target = presets.vary(DIGITS, "target", replay="generative", channels=channels, **dials).target
    return plans.compile(DIGITS.network, target)


def test_draws_and_fits_by_hand():
    """A plane that is read steps one register of 63 bits and a word of 16; 96 draws are numbered by 7 bits."""
    plan = drawing(16)
    counted = {"replay.mean.reads": 3, "replay.share.reads": 5, "fit.count.writes": 7}
    found = estimate.energy(plan, counted, cycles=0)
    priced = {(r.part, r.event): r for r in found if r.part in ("draw", "fit") and r.count}
    register = costs.logic("register_bit", plan.target).nominal
    multiply = costs.logic("multiply_bit", plan.target).nominal
    wanted = {
        ("draw", "replay.mean.reads"): 3 * (63 + 16) * register,
        ("draw", "replay.share.reads"): 5 * 7 * (10 + 3) * multiply,
        ("fit", "fit.count.writes"): 7 * 16 * 4 * register,
    }
    assert {k: r.joules[1] for k, r in priced.items()} == near(wanted)
    assert {r.part for r in found} >= {"replay.mean", "replay.share", "fit.count"}


def test_gates_of_drawing_and_fitting_follow_the_dials():
    two, four = (gates.elements(drawing(16, mean_bits=bits))["fit"] for bits in (2, 4))
    assert (two["flip_flop"], four["flip_flop"]) == (16 * 4 + 10, 16 * 16 + 10)
    assert "fit" not in gates.elements(PLAN)
    draw = gates.elements(drawing(16))["draw"]  # a number of 7 bits by a sum of shares of 13
    assert (draw["multiplier_bit"], draw["adder_bit"], draw["flip_flop"]) == (7 * 13, 40, 16 + 40)


def test_a_chip_that_draws_stands_beside_stored_replay():
    """Of as many latents as its bits would hold, and of those that its target says."""
    plan = drawing(16)
    tree = footprint.memory_map(plan)
    assert tree["roles"]["replay"] == 10 * 5 * 128 * 2 + 10 * 5 * 10 + 5 * 128 * 10
    titles = {name: v["title"] for name, v in tree["variants"].items()}
    assert titles == {
        "latent": "generative replay",
        "stored_bits": "stored replay of 148 latents",
        "stored": "stored replay of 100 latents",
    }
    most, wanted = tree["bits"], counterparts.stored(plan)["stored_bits"].replay_capacity
    bits = {n: v["bits"] for n, v in tree["variants"].items()}
    assert bits["stored_bits"] <= most < bits["stored_bits"] + 128 + 5
    assert wanted == 148


def test_stored_replay_that_cannot_be_is_not_beside_it():
    few = drawing(16, replay_capacity=9)
    assert counterparts.stored(few).keys() == {"stored_bits"}
    assert counterparts.stored(drawing(16, replay_capacity=148)).keys() == {"stored_bits"}
    assert counterparts.stored(PLAN) == {}
