"""Predictions of published chips: re-derived by hand, printed whatever they are."""

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.cost import tables as costs
from xnoreplay.flow.cost import validate

FOUND = {p.chip: p for p in validate.predictions()}


def test_the_four_chips():
    assert list(FOUND) == ["XNE", "ChewBaccaNN", "BinarEye", "TinyCL"]
    for p in FOUND.values():
        low, nominal, high = p.predicted
        assert 0 < low <= nominal <= high
        assert p.events
        assert all(e.mark in ("published", "derived", "assumed") and e.why for e in p.events)


@pytest.mark.parametrize(
    ("chip", "published"),
    [
        ("XNE", 21.6e-15),
        ("ChewBaccaNN", 1 / 223e12),
        ("BinarEye", 1 / 230e12),
        ("TinyCL", 86e-3 * 1.76),
    ],
)
def test_published_figures_are_those_of_the_papers(chip, published):
    assert FOUND[chip].published == pytest.approx(published, rel=0.01)


def test_chewbaccann_by_hand():
    """784 cells, 112 memory bits, 784 register bits, 16 sums and 1,312 clocked bits: 1,568 operations."""
    names = {"cell": 784, "scm_bit": 112, "register_bit": 784, "add_bit": 16, "clock_bit": 1312}
    joules = sum(n * costs.logic_at(name, 22, "lp", 0.4).nominal for name, n in names.items())
    assert FOUND["ChewBaccaNN"].predicted[1] == pytest.approx(joules / 1568)
    # 241 GOPS at 154 MHz.
    assert 241e9 / 154e6 == pytest.approx(1568, rel=0.005)


def test_tinycl_by_hand():
    conv, dense = 3 * 8 * 9 * 32 * 32, 8 * 32 * 32 * 10
    products = 2 * conv + 3 * dense
    events = {(e.name, e.count) for e in FOUND["TinyCL"].events}
    assert ("multiply_bit", products * 16 * 16) in events
    assert ("add_bit", products * 32) in events


def test_one_cell_is_scaled_by_node_and_supply():
    """Horowitz's 5.6 fJ at 45 nm and 0.9 V."""
    factor = costs.energy_factor(22, "lp") / costs.energy_factor(45, "hp")
    by_hand = 5.6e-15 * factor * (0.4 / 0.9) ** 2
    cost = costs.logic_at("cell", 22, "lp", 0.4)
    assert by_hand in (pytest.approx(c) for c in (cost.low, cost.nominal, cost.high))


def test_large_ratios_are_explained(capsys):
    assert cli.main(["validate", "--explain"]) == 0
    out = capsys.readouterr().out
    for p in FOUND.values():
        assert f"{p.ratio:.2f}" in out
        assert (f"\n{p.chip}: {p.explanation}" in out) == validate.large(p)
        assert p.source in out
