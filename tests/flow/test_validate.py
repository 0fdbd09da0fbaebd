"""Predictions of published chips: each from the others, re-derived by hand, printed whatever they are."""

import math
from importlib import resources
from pathlib import Path
from statistics import mean, stdev

import pytest

from tests.flow.energies import near
from xnoreplay.flow import cli
from xnoreplay.flow.cost import chips, validate
from xnoreplay.flow.cost import tables as costs
from xnoreplay.flow.cost.tables import laws, stored, wires
from xnoreplay.flow.output.quantities import quantity
from xnoreplay.spec.errors import SpecError

ROOT = Path(__file__).parents[2]
FOUND = {p.chip: p for p in chips.predictions()}
ROWS = {r["chip"]: r for r in chips.rows()}


MARKS = ("published", "derived", "assumed")


def test_at_least_twelve_chips_with_marks():
    families = {r["family"] for r in ROWS.values()}
    assert len(families) >= 12
    for p in FOUND.values():
        low, nominal, high = p.predicted
        assert 0 < low <= nominal <= high
        assert p.events
        assert all(e.mark in MARKS and e.why for e in p.events)
    for r in ROWS.values():
        assert r["mark"] in MARKS
        assert r["read"] in ("yes", "partly", "no")
        assert all(r[c] for c in ("source", "scope", "memory", "weights", "node_nm", "supply_v"))


@pytest.mark.parametrize(
    ("chip", "published"),
    [
        ("XNE", 21.6e-15),
        ("ChewBaccaNN", 1 / 223e12),
        ("BinarEye", 1 / 230e12),
        ("TinyCL", 86e-3 * 1.76),
        ("XNORBIN", 1 / 95e12),
        ("YodaNN 0.6 V", 1 / 61.2e12),
        ("YodaNN 1.2 V", 153e-3 / 1510e9),
        ("UNPU 0.63 V", 1 / 50.6e12),
        ("UNPU 1.1 V", 297e-3 / 7372e9),
        ("BRein", 0.6 / 1.4e12),
        ("TCN-CUTIE", 1 / 1036e12),
        ("Colonnade", 1 / 117.3e12),
        ("ODIN", 12.7e-12),
        ("BNN 10 nm", 1 / 617e12),
    ],
)
def test_published_figures_are_those_of_the_papers(chip, published):
    assert FOUND[chip].published == near(published, rel=0.01)


@pytest.mark.parametrize(
    ("chip", "ratio"), [("XNE", 0.11), ("ChewBaccaNN", 0.12), ("BinarEye", 0.20), ("TinyCL", 2.77)]
)
def test_without_corrections_chips_are_as_far_off_as_ever(chip, ratio):
    with laws.switched(laws.SWITCHES):
        assert chips.predict(ROWS[chip]).ratio == pytest.approx(ratio, abs=0.005)


def test_chewbaccann_by_hand():
    """784 cells, 112 memory bits, 784 register bits, 16 sums and 1,312 clocked bits: 1,568 operations."""
    names = {"cell": 784, "scm_bit": 112, "register_bit": 784, "add_bit": 16, "clock_bit": 1312}
    joules = sum(n * costs.logic_at(name, (22, "lp", 0.4)).nominal for name, n in names.items())
    with laws.switched(("wires", "long wires", "glitches", "calibration")):
        assert chips.predict(ROWS["ChewBaccaNN"]).predicted[1] == near(joules / 1568)
    # 241 GOPS at 154 MHz.
    assert 241e9 / 154e6 == near(1568, rel=0.005)


def test_chewbaccann_corrected_by_hand():
    """Its cell is that of 130 nm, 22.9 fJ at 1.2 V, without wires and glitches: six gates, 0.64 more transitions."""
    node, supply = laws.law(laws.NODE).exponent, laws.law(laws.SUPPLY).exponent
    cell = 22.9e-15 * (22 / 130) ** node * (0.4 / 1.2) ** supply
    pitch = math.sqrt(0.798 * (22 / 45) ** 2 * 2 / 0.7)
    wire = 0.5 * 0.2e-15 * 0.5 * wires.pitches(10_000, 0.6) * pitch * 0.4**2
    found = {e.name: e for e in FOUND["ChewBaccaNN"].events}
    assert found["cell"].cost.nominal == near(cell)
    assert found["cell, glitches"].cost.nominal == near(0.64 * cell)
    assert found["cell, wires"].cost.nominal == near(3 * 1.64 * wire)
    assert "add_bit, glitches" not in found  # Horowitz's adder has its own
    bits = 112 * 420
    assert found["wire_um"].count == bits
    assert found["wire_um"].cost.nominal == near(0.25 * 0.2e-15 * 0.4**2)


def test_tinycl_by_hand():
    conv, dense = 3 * 8 * 9 * 32 * 32, 8 * 32 * 32 * 10
    products = 2 * conv + 3 * dense
    events = {(e.name, e.count) for e in FOUND["TinyCL"].events}
    assert ("multiply_bit", products * 16 * 16) in events
    assert ("add_bit", products * 32) in events


def test_one_cell_is_scaled_by_node_and_supply():
    """Horowitz's 5.6 fJ at 45 nm and 0.9 V."""
    with laws.switched(laws.SWITCHES):
        factor = costs.energy_factor(22, "lp") / costs.energy_factor(45, "hp")
        by_hand = 5.6e-15 * factor * (0.4 / 0.9) ** 2
        cost = costs.logic_at("cell", (22, "lp", 0.4))
        assert by_hand in (near(c) for c in (cost.low, cost.nominal, cost.high))


def test_the_laws_by_hand():
    """Of each pair its exponent, of each group the mean, of the groups mean and deviation."""
    unpu = math.log(40.3 / 19.8) / math.log(1.1 / 0.63)
    supply = laws.law(laws.SUPPLY)
    assert supply.groups["UNPU"] == near(unpu)
    assert supply.exponent == near(mean(supply.groups.values()))
    assert supply.error == near(stdev(supply.groups.values()))
    pulp = math.log(14.9 / 5.18 / (0.6 / 0.46) ** supply.exponent) / math.log(65 / 28)
    assert laws.law(laws.NODE).groups["PULP clusters"] == near(pulp)
    doubled = laws.scale(1.0, (65, "hp", 0.6), (65, "lp", 1.2))
    assert doubled == near(2**supply.exponent)
    with pytest.raises(costs.CostError, match="a node must be from 7 to 130 nm .* not 180"):
        laws.scale(1.0, (180, "hp", 1.8), (22, "lp", 0.8))


def hundredfold(monkeypatch, chip):
    """Make every figure of a chip a hundred times what it is, in all tables that have one."""
    table = stored.packaged

    def changed(name):
        rows = []
        for row in table(name):
            own = chip in (row.get("family"), row.get("chip"), row.get("other"))
            figure = {"published_chips.csv": "published", "logic.csv": "femtojoule"}.get(name)
            if name == "pairs.csv":
                figure = "value" if row["chip"] == chip else "other_value"
            rows.append(
                row | {figure: str(100 * float(row[figure]))} if own and figure else dict(row)
            )
        return tuple(rows)

    for module in (costs, stored, laws):
        monkeypatch.setattr(module, "packaged", changed)
    costs.table.cache_clear()
    laws.law.cache_clear()


@pytest.mark.parametrize("family", ["XNE", "YodaNN", "UNPU", "XNORBIN", "ODIN", "TinyCL"])
def test_no_figure_of_a_chip_is_in_its_own_prediction(monkeypatch, family):
    """YodaNN and UNPU are in the supply law, ODIN in that of the node, XNORBIN among the costs of a cell."""
    before = {c: p.predicted for c, p in FOUND.items() if ROWS[c]["family"] == family}
    other = "BinarEye"
    hundredfold(monkeypatch, family)
    try:
        for chip, predicted in before.items():
            row = next(r for r in chips.rows() if r["chip"] == chip)
            assert float(row["published"]) == near(100 * FOUND[chip].published)
            assert chips.predict(row).predicted == near(predicted)
        assert chips.predict(ROWS[other]).predicted != near(FOUND[other].predicted)
    finally:
        for cached in (costs.table, laws.law):
            cached.cache_clear()


def test_the_factor_is_the_mean_of_the_others():
    """A family of two supplies counts once; the interval is Student's of ten chips."""
    row, fit = ROWS["YodaNN 0.6 V"], FOUND["YodaNN 0.6 V"].calibration
    assert "YodaNN" not in fit.quotients
    others = [math.log(q) for q in fit.quotients.values()]
    assert len(others) == 10
    assert fit.factor == near(math.exp(mean(others)))
    wide = chips.student(0.8, 9) * stdev(others) * math.sqrt(1 + 1 / 10)
    assert fit.spread == near(math.exp(wide))
    assert chips.student(0.8, 9) == near(1.383, rel=3e-3)  # as tables have it
    nominal = fit.factor * chips.counted(row, "YodaNN")
    assert FOUND["YodaNN 0.6 V"].predicted[1] == near(nominal)


def test_what_is_reached_is_printed():
    """The interval holds the share that it is made for."""
    fitted = [p for p in FOUND.values() if p.fitted]
    inside = sum(p.inside for p in fitted)
    assert inside >= chips.COVERAGE * len(fitted)
    text = validate.reached(list(FOUND.values()))
    assert f"Of {len(fitted)} configurations" in text
    assert f"{inside} of the published figures" in text


def test_large_ratios_are_explained(capsys):
    assert cli.main(["validate", "--explain"]) == 0
    out = capsys.readouterr().out
    for p in FOUND.values():
        assert f"{p.ratio:.2f}" in out
        assert not validate.large(p) or f"\n{p.chip}: {p.explanation}" in out
        assert p.source in out
        joules = sum(e.count * e.cost.nominal for e in p.events)
        assert p.predicted[1] == near(joules / p.operations * p.calibration.factor)
        assert f"times {p.calibration.factor:.3f} as the others take" in out
    assert "exponent of the node: " in out
    assert "O-FSCIL on GAP9" in out


def test_large_ratios_have_a_reason():
    assert all(p.explanation for p in FOUND.values() if validate.large(p))


def test_the_table_in_the_readme_is_what_is_predicted():
    text = resources.files(costs).joinpath("README.md").read_text(encoding="utf-8")
    with laws.switched(laws.SWITCHES):
        alone = {p.chip: f"{p.ratio:.2f}" for p in chips.predictions()}
    for p in FOUND.values():
        line = next(line for line in text.splitlines() if line.startswith(f"| {p.chip} |"))
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert cells[4] == f"{p.ratio:.2f}"
        assert cells[5] == ("yes" if p.inside else "no")
        low, nominal, high = (quantity(float(v), p.unit) for v in p.predicted)
        assert cells[1:3] == [p.technology, f"{nominal} ({low} to {high})"]
        assert cells[3] == quantity(p.published, p.unit)
        assert cells[6] == alone.get(p.chip, "beyond it")
    for law in map(laws.law, (laws.SUPPLY, laws.NODE)):
        assert f"| {law.exponent:.2f} ± {law.error:.2f} |" in text
    fit = chips.whole()
    assert f"({fit.factor:.2f} of all eleven)" in text
    assert f"({fit.spread:.2f} either way)" in text
    fitted = [p for p in FOUND.values() if p.fitted]
    near_two, near_one = (sum(1 / f <= p.ratio <= f for p in fitted) for f in (2, 1.4))
    said = f"{near_two} are within a factor of 2 and {near_one} within 1.4"
    assert said in " ".join(text.split())
    inside = sum(p.inside for p in fitted)
    front = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"of {len(fitted)} configurations" in front
    assert f"{near_two} are within a factor of 2 and {inside} within the printed" in front
    status = " ".join((ROOT / "docs/status.md").read_text(encoding="utf-8").split())
    assert f"{near_two} of {len(fitted)} configurations are within a factor of 2" in status
    assert f"{near_one} within 1.4, and {inside} lie in the interval" in status
    assert f"{fit.spread:.2f} times either way" in status


def test_published_memories():
    """A word of 64 bits of 64 kbit at 45 nm hp: 5.2883 pJ at 1.0 V in sram.csv, 10 pJ at 0.9 V published."""
    found = {m.name: m for m in chips.memories()}
    supply = laws.law(laws.SUPPLY).exponent
    first = found["cache of 8 KB"]
    assert first.predicted == near(5.2883e-12 * 0.9**supply)
    assert first.ratio == near(first.predicted / 10e-12)
    small = [m for m in found.values() if m.kind != "sram"]
    assert len(small) == 2
    assert all(1 / 4 < m.ratio < 4 for m in found.values())


def test_a_node_that_the_law_alone_reaches(capsys):
    assert cli.main(["validate", "--without", "node"]) == 0
    assert "BNN 10 nm" not in capsys.readouterr().out


def test_an_unknown_correction(capsys):
    with pytest.raises(SpecError, match="correction must be one of calibration, .* not 'nodes'"):
        laws.switch(["nodes"])
    assert cli.main(["validate", "--without", "wire"]) == cli.BAD_INPUT
    assert "did you mean 'wires'?" in capsys.readouterr().err
