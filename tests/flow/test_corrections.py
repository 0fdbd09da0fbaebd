"""What corrections add to an estimate: each by hand, each switched off, and an interval that published chips give."""

import csv
import io

import pytest

from tests.flow.energies import near
from xnoreplay.flow.cost import chips, estimate, tornado
from xnoreplay.flow.cost import tables as costs
from xnoreplay.flow.cost.cells import glitches
from xnoreplay.flow.cost.tables import gates, laws, wires
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, registers

DIGITS = presets.load("digits")
PLAN = plans.compile(DIGITS.network, DIGITS.target)
COUNTERS = dict.fromkeys(registers.counters(PLAN.memories, PLAN.target), 3)
VOLTS = 1.1  # of 45 nm lstp


@pytest.fixture(scope="module")
def priced():
    return estimate.corrected_rows(PLAN, COUNTERS, 100)


@pytest.fixture(scope="module")
def rows(priced):
    """By part and event; those that several rows share have the last one."""
    return {(r.part, r.event): r for r in priced}


def test_glitches_are_a_share_of_what_lacks_them(rows):
    """The cell's middle source is a netlist without delays, the adder's one with its own glitches."""
    cell, more = rows["array", "array.taps"], rows["array", "array.taps, glitches"]
    assert more.joules[1] == near(0.64 * cell.joules[1])
    assert more.correction == "glitches"
    assert ("accumulators", "lane.file.reads, glitches") not in rows


def test_wires_of_a_tap_by_hand(rows):
    """Sixteen cells of six gates, each of which switches every second time and 0.64 times more."""
    per = wires.transition(45, VOLTS).nominal
    assert rows["array", "array.taps, wires"].cost[1] == near(16 * 3 * 1.64 * per)
    length = 0.5 * wires.pitches(10_000, 0.6) * wires.pitch_um(45)
    assert per == near(0.5 * 0.2e-15 * VOLTS**2 * length)


def test_long_wires_by_hand(rows):
    """A word of weights.fe goes half the side of the chip; the operand reaches four lanes."""
    area = sum(bounds[1] for bounds in gates.area(PLAN).values())
    half = 1000 * (area / wires.FILL) ** 0.5 / 2
    bit = 0.25 * 0.2e-15 * VOLTS**2
    assert rows["weights.fe", "reads, long wires"].cost[1] == near(144 * half * bit)
    lane = gates.gates(PLAN)["array"] / 4 * costs.gate_um2(45).nominal
    pitch = (lane / wires.FILL) ** 0.5
    assert rows["array operand", "array.beats, long wires"].cost[1] == near(144 * 4 * pitch * bit)
    assert ("lane.file", "reads, long wires") not in rows


def test_event_counters_by_hand(rows):
    """The clock reaches the gate of each in every cycle, its 8 flip-flops and their leaf where its event happens.

    Seven bits are more than the 102 cycles that a row is behind at most. A row of 48 bits is read and written in every cycle.
    """
    clock, still = (
        costs.logic("clock_bit", DIGITS.target).nominal,
        costs.logic("register_bit", DIGITS.target).low,
    )
    gates_of = rows["event counters", "cycles, clock gates"]
    assert gates_of.joules[1] == near(100 * len(COUNTERS) * clock)
    events = rows["event counters", "events, registers"]
    assert events.joules[1] == near(3 * len(COUNTERS) * 8 * (clock + still))
    swept = costs.memory(67, 48, DIGITS.target)
    for way, each in (("reads", swept.read), ("writes", swept.write)):
        assert rows["event counters", f"cycles, sweep {way}"].joules[1] == near(100 * each.nominal)


def test_divisions_by_hand(rows):
    """Ten classes: 22 and 33 cycles, a sum of 24 bits; two registers of 33 bits and two of 24."""
    steps = 3 * (22 + 33)
    registers_, sums = (
        rows["class weights", f"division steps, {what}"] for what in ("registers", "sums")
    )
    assert (registers_.count, sums.count) == (steps, steps)
    flip_flop, add = (costs.logic(n, DIGITS.target).nominal for n in ("register_bit", "add_bit"))
    assert registers_.cost[1] == near((2 * 33 + 2 * 24) * flip_flop)
    assert sums.cost[1] == near(2 * 24 * add)
    assert rows["walk", "samples, draws"].joules[1] == near(3 * 32 * flip_flop)


def test_a_beat_adds_to_a_counter_once():
    """A beat of 144 cells has 36 taps, and no counter is clocked more often than there are cycles."""
    counted = COUNTERS | {"array.beats": 5, "array.taps": 180, "cycles": 300}
    found = estimate.corrected_rows(PLAN, counted, 100)
    events = next(r for r in found if r.event == "events, registers")
    assert events.count == 3 * (len(COUNTERS) - 3) + 5 + 5 + 100


def test_the_factor_of_published_chips_is_one_row(priced):
    (calibration,) = (r for r in priced if r.part == "calibration")
    others = sum(r.joules[1] for r in priced) - calibration.joules[1]
    assert calibration.joules[1] == near((chips.whole().factor - 1) * others)


def test_the_joules_of_a_run_are_its_rows_added_up():
    run = estimate.price(PLAN, COUNTERS, 100)
    whole = sum(r["count"] * r["cost"][1] for r in run["rows"])
    spread = chips.whole().spread
    assert run["total"] == near((whole / spread, whole, whole * spread))
    assert sum(run["corrections"].values()) == near(whole)
    for sums in (run["parts"], run["split"]):
        for i in range(3):
            assert sum(bounds[i] for bounds in sums.values()) == near(run["total"][i])


@pytest.mark.parametrize("name", laws.SWITCHES)
def test_each_correction_can_be_switched_off(name):
    whole = estimate.price(PLAN, COUNTERS, 100)
    with laws.switched([name]):
        less = estimate.price(PLAN, COUNTERS, 100)
    assert name not in less["corrections"]
    assert less["total"][1] != near(whole["total"][1])
    assert estimate.price(PLAN, COUNTERS, 100)["total"] == whole["total"]


def test_without_any_correction_the_interval_is_that_of_the_sources():
    with laws.switched(laws.SWITCHES):
        run = estimate.price(PLAN, COUNTERS, 100)
        assert run["total"] == estimate.total(estimate.energy(PLAN, COUNTERS, 100))
        assert run["corrections"].keys() == {"count"}


def test_pads_are_counted_when_asked_for():
    with laws.switched(pads=True):
        run = estimate.price(PLAN, COUNTERS, 100)
    bits = DIGITS.network.native_image_bits
    assert run["corrections"]["pads"] == near(3 * bits * 0.25 * 10e-12 * 1.8**2)


def test_a_table_of_ones_own_leaves_published_chips_to_ours(tmp_path):
    """The factor is of the package's tables, also where a user's has only the node of the target."""
    before = chips.whole()
    own = tmp_path / "own.csv"
    text = io.StringIO()
    mine = [
        r for r in costs.table("sram.csv") if (r["node_nm"], r["device_type"]) == ("45", "lstp")
    ]
    writer = csv.DictWriter(text, costs.SRAM_COLUMNS)
    writer.writeheader()
    writer.writerows(mine)
    own.write_text(text.getvalue())
    costs.use_sram(own)
    try:
        chips._whole.cache_clear()
        assert chips.whole() == before
        assert len(costs.table("sram.csv")) == len(mine)
    finally:
        costs.use_sram(None)


@pytest.mark.parametrize(
    ("cost", "nets"),
    [
        ("cell", (glitches.popcount(9), glitches.popcount(128))),
        ("add_bit", (glitches.ripple(8), glitches.ripple(32))),
        ("multiply_bit", (glitches.product(8), glitches.product(16))),
    ],
)
def test_glitches_of_the_table_are_those_of_the_nets(cost, nets):
    row = next(
        r
        for r in costs.table("corrections.csv")
        if (r["cost"], r["correction"]) == (cost, "glitches")
    )
    nominal, high = (glitches.share(net) for net in nets)
    assert float(row["nominal"]) == pytest.approx(nominal, abs=0.006)
    assert float(row["high"]) == pytest.approx(high, abs=0.006)
    assert float(row["low"]) == pytest.approx(nominal / 2, abs=0.006)


@pytest.mark.parametrize(
    ("net", "function", "width"),
    [
        (glitches.popcount(5), lambda a, b: (a ^ b).bit_count(), 5),
        (glitches.ripple(4), lambda a, b: a + b, 4),
        (glitches.product(4), lambda a, b: a * b, 4),
    ],
)
def test_nets_settle_at_their_function(net, function, width):
    """The gates' last values have the bits of count, sum and product among them."""
    a, b = 0b1011 & (1 << width) - 1, 0b0110
    values = [0] * len(net.gates)
    operands = [i for i, gate in enumerate(net.gates) if gate is None]
    for bits, places in ((a, operands[:width]), (b, operands[width:])):
        for i, place in enumerate(places):
            values[place] = glitches.MASK if bits >> i & 1 else 0
    settled, transitions = net.settle(values)
    assert transitions
    results = net.results
    found = sum((settled[i] & 1) << w for w, i in enumerate(results))
    assert found == function(a, b)


def test_a_swing_by_hand():
    """The clock tree at its least and greatest source, all else nominal, by the factor of published chips."""
    run = estimate.price(PLAN, COUNTERS, 100)
    swing = next(
        s for s in tornado.swings(PLAN, COUNTERS, 100) if s["assumption"] == "the clock tree"
    )
    clocks = [r for r in run["rows"] if r["kind"] == "clock_bit"]
    more = sum(r["joules"][2] - r["joules"][1] for r in clocks)
    assert more > 0
    assert swing["high"] == near(run["total"][1] + chips.whole().factor * more)


def test_anchors_have_scope_and_source():
    for a in costs.table("anchors.csv"):
        assert a["scope"]
        assert a["source"]
        assert a["mark"] in ("published", "derived")
