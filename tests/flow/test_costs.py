"""Cost tables: hand calculations, interpolation inside the table, and no silent zero."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.energies import near
from xnoreplay.flow.cost import tables as costs
from xnoreplay.spec import presets
from xnoreplay.spec.events import Event
from xnoreplay.spec.target import DEVICE_TYPES, TECHNOLOGIES

pytestmark = pytest.mark.usefixtures("counted_alone")
TARGET = presets.load("digits").target
KBIT = costs.KBIT


def target(technology, device_type="lstp"):
    return dataclasses.replace(TARGET, technology=technology, device_type=device_type)


def test_an_entry_of_the_table_is_itself():
    # sram.csv: lstp,45,64,128,7.9164,14.0524,...
    cost = costs.memory(512, 128, target("45nm"))
    assert cost.read.nominal == near(7.9164e-12)
    assert cost.write.nominal == near(14.0524e-12)
    assert cost.read.low == near(0.7 * 7.9164e-12)
    assert cost.read.high == near(1.3 * 7.9164e-12)
    assert cost.area == near(0.027706)


def test_halfway_is_the_geometric_mean():
    # Halfway in logarithms between 64 and 128 bits, and between 16 and 32 kbit.
    across = costs.sram("read_pj", 64 * KBIT, round(64 * math.sqrt(2)), target("45nm"))
    assert across == near(math.sqrt(6.137 * 7.9164), rel=2e-3)
    along = costs.sram("read_pj", round(16 * KBIT * math.sqrt(2)), 32, target("45nm"))
    assert along == near(math.sqrt(2.2318 * 2.8617), rel=1e-4)


def test_an_absent_corner_takes_the_next_capacity():
    # 16 kbit of 1,024-bit words has no entry; 32 kbit has 109.046 pJ.
    bits = 32 * KBIT - 1024
    between = costs.sram("read_pj", bits, 1024, target("45nm"))
    assert between == near(109.046)


def test_narrow_words_cost_as_32_bits():
    narrow, wide = (costs.memory(64 * KBIT // w, w, target("45nm")) for w in (8, 32))
    assert narrow.read == wide.read


def test_wide_words_are_cut():
    one, two = (costs.memory(64, w, target("45nm")) for w in (1024, 2048))
    assert two.read.nominal == near(2 * one.read.nominal)


def test_large_memories_are_banked():
    one, four = (costs.memory(d, 128, target("45nm")) for d in (131072, 4 * 131072))
    assert four.read == one.read
    assert four.leakage.nominal == near(4 * one.leakage.nominal)


def test_small_memories_are_standard_cells():
    cost = costs.memory(64, 16, target("65nm"))
    # 14 fJ a bit at 65 nm and 0.5 V, to the 1.2 V of 65 nm lstp.
    measured = 16 * 14e-15 * (1.2 / 0.5) ** 2
    assert measured in (near(c) for c in (cost.read.low, cost.read.nominal, cost.read.high))
    assert cost.area is None
    assert "ESSCIRC 2012" in cost.read.source


def test_a_register_file_is_read_through_its_multiplexers():
    """Eight words of 144 bits at 65 nm lstp: seven multiplexers a bit, half of which switch."""
    cost = costs.memory(8, 144, target("65nm"))
    scale = costs.energy_factor(65, "lp") / costs.energy_factor(130, "hp") * (1.2 / 1.2) ** 2
    by_hand = 144 * 7 / 2 * 11.5e-15 * scale
    assert cost.read.nominal == near(by_hand)
    assert "7 multiplexers a bit, half switch" in cost.read.source
    assert "multiplexers" not in cost.write.source


@given(
    depth=st.integers(1, 1 << 18),
    width=st.integers(1, 2000),
    technology=st.sampled_from(TECHNOLOGIES),
    device=st.sampled_from(DEVICE_TYPES),
)
def test_every_memory_has_a_cost(depth, width, technology, device):
    cost = costs.memory(depth, width, target(technology, device))
    for c in (cost.read, cost.write, cost.leakage):
        assert 0 < c.low <= c.nominal <= c.high


def test_supply_and_node_scaling_by_hand():
    # 45 hp to 45 hp: only the supply moves, 0.9 V to 1.0 V.
    row = {"node_nm": "45", "flavour": "hp", "supply_v": "0.9"}
    assert costs.scale(1.0, row, target("45nm", "hp")) == near((1.0 / 0.9) ** 2)
    # 65 to 90 nm: factors 1.332 and 2.073 at 1 V (Stillmaker and Baas).
    row = {"node_nm": "65", "flavour": "hp", "supply_v": "1.0"}
    scaled = costs.scale(1.0, row, target("90nm", "hp"))
    assert scaled == near(2.073 / 1.332 * 1.2**2, rel=1e-9)


def test_stillmaker_and_baas_corrected_example():
    """The corrigendum's factors: 32 nm at 0.9 V is 0.4571, 65 nm at 1.3 V is 2.604."""
    factors = {}
    for node, volts in ((32, 0.9), (65, 1.3)):
        row = next(
            r
            for r in costs.table("scaling.csv")
            if (r["node_nm"], r["flavour"]) == (str(node), "hp")
        )
        factors[node] = float(row["a2"]) * volts**2 + float(row["a1"]) * volts + float(row["a0"])
    assert factors[32] == pytest.approx(0.4571, abs=5e-5)
    assert factors[65] == pytest.approx(2.604, abs=5e-4)


def test_22_nm_lies_between_its_neighbours():
    assert costs.energy_factor(20, "hp") < costs.energy_factor(22, "hp")
    assert costs.energy_factor(22, "hp") < costs.energy_factor(32, "hp")


def test_no_extrapolation():
    with pytest.raises(costs.CostError, match="a node must be from 20 to 130 nm"):
        costs.energy_factor(7, "hp")


@pytest.mark.parametrize(
    ("bits", "width", "message"),
    [
        (8 * KBIT, 64, "capacity of an SRAM must be from 16 to 16,384 kbit.* not 8 kbit"),
        (32768 * KBIT, 64, "not 32,768 kbit"),
        (64 * KBIT, 2048, "width of an SRAM must be from 32 to 1024 bits.* not 2048"),
    ],
)
def test_the_table_is_not_left(bits, width, message):
    with pytest.raises(costs.CostError, match=message):
        costs.sram("read_pj", bits, width, TARGET)


def test_a_memory_may_have_many_banks():
    """64 banks of 16 Mbit: an access is that of one, leakage and area those of all."""
    one, many = (costs.memory(n << 18, 64, TARGET) for n in (1, 64))
    assert many.read == one.read
    assert many.write == one.write
    assert many.leakage.nominal == near(64 * one.leakage.nominal)
    assert many.area == near(64 * one.area)


def test_a_technology_with_no_table(tmp_path):
    own = tmp_path / "own.csv"
    text = ",".join(costs.SRAM_COLUMNS) + "\n"
    for kbit in (16, 16384):
        for width in (32, 1024):
            text += f"hp,65,{kbit},{width},1,2,3,4,5,6\n"
    own.write_text(text)
    costs.use_sram(own)
    try:
        with pytest.raises(
            costs.CostError, match="technology must be one with a table .* 65nm hp, not 45nm lstp"
        ):
            costs.memory(1024, 64, TARGET)
        assert costs.memory(1024, 64, target("65nm", "hp")).read.nominal == near(1e-12)
        assert "own.csv" in costs.memory(1024, 64, target("65nm", "hp")).read.source
    finally:
        costs.use_sram(None)


def sram(row):
    return f"{','.join(costs.SRAM_COLUMNS)}\n{row}\n"


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n",
        ",".join(costs.SRAM_COLUMNS[1:]) + "\n65,16,32,1,2,3,4,5,6\n",
        sram("hp,nan,16,32,1,2,3,4,5,6"),
        sram("hp,65,0,32,1,2,3,4,5,6"),
        sram("hp,65,16,32,-1,2,3,4,5,6"),
        sram("hp,65,16,32,1,inf,3,4,5,6"),
    ],
)
def test_a_table_that_is_none(tmp_path, text):
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(costs.CostError, match="SRAM table .*bad.csv must be readable"):
        costs.use_sram(tmp_path / "bad.csv")


def test_an_absent_cost_is_an_error():
    with pytest.raises(costs.CostError, match="logic.csv must have the cost 'magic'"):
        costs.logic("magic", TARGET)


@pytest.mark.parametrize(
    "name", sorted({r["cost"] for r in costs.table("logic.csv")} - {"scm_bit", "mux_bit"})
)
def test_every_logic_cost_has_three_sources(name):
    rows = [r for r in costs.table("logic.csv") if r["cost"] == name]
    assert len(rows) == 3
    assert all(r["source"] and r["mark"] in ("derived", "measured") for r in rows)
    cost = costs.logic(name, TARGET)
    assert 0 < cost.low <= cost.nominal <= cost.high


def test_tables_are_whole():
    assert len(costs.table("sram.csv")) == 975
    assert {r["cost"] for r in costs.table("events.csv")} - {""} <= {
        r["cost"] for r in costs.table("logic.csv")
    }
    assert all(r["why"] for r in costs.table("events.csv"))


@pytest.mark.parametrize("event", Event, ids=lambda event: event.counter)
def test_an_event_has_a_row_or_a_reason_why_it_costs_nothing(event):
    priced = any(r["counter"] == event.counter for r in costs.table("events.csv"))
    assert priced != bool(event.free)
