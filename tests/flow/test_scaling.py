"""Cost curves: what is varied, what work is counted, and what a table and a figure say of it."""

import json
from fractions import Fraction

import numpy as np
import pytest

from tests.strategies import images
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.records import RECORD
from xnoreplay.flow.speed import scaling
from xnoreplay.spec import plan, presets
from xnoreplay.spec.errors import SpecError

TINY = presets.load("tiny")
FULL = presets.load("3mb-stored")


def curve(dial, *points):
    return scaling.Curve(dial, "fast", tuple(scaling.Point(*p) for p in points))


def test_an_image_costs_the_products_of_the_network_where_no_cell_is_idle():
    """3mb fills its words, tiles and lanes; LGAP is not the array's."""
    net = FULL.network
    convs = sum(
        source.pixels * layer.filters * net.conv_fan_in(i)
        for i, (source, layer) in enumerate(zip(net.maps, net.convs, strict=False))
    )
    dense = net.latent * net.lgap_bits + net.hidden * net.latent + net.classes * net.output_fan_in
    subject = scaling.Subject(FULL, images(net, 1, 0), np.zeros(1, int))
    assert subject.inference == convs + dense


@pytest.mark.parametrize("name", ["tiny", "digits"])
def test_an_image_costs_the_enabled_cells(name):
    preset = presets.load(name)
    compiled = plan.compile(preset.network, preset.target)
    taps = sum(9 * op.lanes * op.beats * op.tiles * op.pixels for op in compiled.convolutions)
    for op, rows in (
        (compiled.latent, preset.network.latent),
        (compiled.hidden, preset.network.hidden),
        (compiled.output, 2 * preset.scenario.classes),
    ):
        taps += rows * ((op.beats - 1) * 9 + op.last_taps)
    subject = scaling.Subject(preset, images(preset.network, 1, 0), np.zeros(1, int))
    assert subject.inference == taps * preset.target.channels


def test_what_is_varied():
    weights = [net.network.weight_bits for _, net, _ in scaling.variants(FULL, "weight bits")]
    assert weights == [value for value, _, _ in scaling.variants(FULL, "weight bits")]
    assert len(weights) == len(scaling.WIDTHS)
    assert FULL.network.weight_bits in weights
    assert weights[-1] / weights[0] == pytest.approx(
        64, rel=0.4
    )  # all but the first layer: squares
    assert [v for v, _, _ in scaling.variants(FULL, "lanes")] == [2, 4, 8, 16, 32, 64]
    assert [p.target.batch for _, p, _ in scaling.variants(FULL, "minibatch")] == [
        4,
        8,
        16,
        32,
        64,
        128,
    ]
    assert [v for v, _, _ in scaling.variants(TINY, "lanes")] == [1, 2, 4]  # 4 channels
    assert [share for _, _, share in scaling.variants(TINY, "samples")] == list(scaling.SHARES)


def test_drawn_latents_are_no_memory_to_vary():
    drawn = presets.load("3mb")
    with pytest.raises(SpecError, match="replay must be 'stored' for --scaling"):
        scaling.measure(drawn, np.zeros((1, 32, 32, 3), np.uint8), np.zeros(1, int), Silent())


def test_a_width_must_stay_whole():
    with pytest.raises(SpecError, match="widths of tiny must stay whole, not 1/8 of what they are"):
        scaling.widened(TINY, Fraction(1, 8))


def test_exponents():
    line = curve("samples", (1, 10, 3.0), (2, 20, 6.0), (4, 40, 12.0))
    assert (line.by_dial, line.by_work) == (pytest.approx(1), pytest.approx(1))
    assert line.spread == pytest.approx(1)
    flat = curve("lanes", (1, 10, 2.0), (4, 10, 4.0))
    assert (flat.by_dial, flat.by_work, flat.spread) == (pytest.approx(0.5), None, pytest.approx(2))
    assert curve("lanes", (2, 10, 1.0)).by_dial is None


def test_every_curve_is_there_and_appears_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "COUNTS", dict.fromkeys(scaling.COUNTS, 4))
    pictures, labels = images(TINY.network, 12, 0), np.arange(12) % 5 - 1
    result = scaling.measure(TINY, pictures, labels, Silent())
    expected = [(dial, name) for dial, names in scaling.SIMULATORS.items() for name in names]
    assert [(c["dial"], c["simulator"]) for c in result["curves"]] == expected
    for found in result["curves"]:
        assert len(found["points"]) == len(list(scaling.variants(TINY, found["dial"])))
        assert all(p["seconds"] > 0 and p["work"] > 0 for p in found["points"])
    inference = scaling.Subject(TINY, pictures, labels).inference
    images_of = {
        c["simulator"]: [p["work"] / inference for p in c["points"]]
        for c in result["curves"]
        if c["dial"] == "samples"
    }
    assert images_of["fast"] == images_of["functional"] == [1, 1, 2, 4]
    folder = tmp_path / "run" / "scaling"
    scaling.write(result, folder)
    assert {p.name for p in folder.iterdir()} == {
        f"scaling.{s}" for s in ("json", "md", "svg", "pdf")
    } | {RECORD}
    assert json.loads((folder / "scaling.json").read_text())["curves"] == result["curves"]
    table = scaling.markdown(result).splitlines()
    assert len(table) == 2 + len(expected) + 2
    assert len({line.count("|") for line in table[:-2]}) == 1
    svg = (folder / "scaling.svg").read_text()
    for name in (*scaling.SIMULATORS, *scaling.TITLES.values(), "processor seconds"):
        assert name in svg
