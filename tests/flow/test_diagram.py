"""The chip's block diagram: all of the plan is on it, inside its frame, and the committed one is current."""

import dataclasses
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib import font_manager
from PIL import ImageFont

from xnoreplay.flow import cli
from xnoreplay.flow.output import diagram
from xnoreplay.flow.output.diagram import chip_pdf, chip_svg, convolution_use, shape
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.memories import Memory

DOCS = Path(__file__).parents[2] / "docs"
SPACE = "{http://www.w3.org/2000/svg}"


CHIPS = tuple(presets.PRESETS)


def compiled(name):
    preset = presets.load(name)
    return plans.compile(preset.network, preset.target)


def texts(svg):
    root = ElementTree.fromstring(svg)
    return [(e.text or "", float(e.get("x")), float(e.get("y"))) for e in root.iter(f"{SPACE}text")]


@pytest.mark.parametrize("name", CHIPS)
def test_every_memory_stands_on_it_once(name):
    plan = compiled(name)
    lines = [text for text, _, _ in texts(chip_svg(plan, name))]
    assert [lines.count(shape(m)) for m in plan.memories] == [1] * len(plan.memories)


@pytest.mark.parametrize("name", CHIPS)
def test_what_is_drawn_lies_inside_the_frame(name):
    svg = chip_svg(compiled(name), name)
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())
    boxes = [
        [float(e.get(k, 0)) for k in ("x", "y", "width", "height")]
        for e in ElementTree.fromstring(svg).iter(f"{SPACE}rect")
    ][1:]
    for x, y, w, h in boxes:
        assert 0 < x < x + w < width
        assert 0 < y < y + h < height
    for i, (x, y, w, h) in enumerate(boxes):
        for u, v, a, b in boxes[:i]:
            assert x + w <= u or u + a <= x or y + h <= v or v + b <= y
    for path in re.findall(r'<path d="(M[^"]*)" marker-end', svg):
        numbers = [float(n) for n in re.findall(r"[\d.]+", path)]
        assert all(0 <= n <= max(width, height) for n in numbers)


@pytest.mark.parametrize("name", CHIPS)
def test_lines_fit_their_blocks(name):
    """Measured in DejaVu Sans, a wide one of the fonts that a reader's system may have."""
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)
    picture = diagram._Layout(compiled(name), name)
    for unit, lines in picture.lines.items():
        for line, _ in lines:
            assert font.getlength(line) <= diagram.COLUMN_WIDTH - diagram.PADDING, (unit, line)


def test_a_legend_names_every_colour_and_the_numbers():
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)
    svg = chip_svg(compiled("digits"), "digits")
    kinds = {unit.kind for unit in diagram.UNITS}
    assert kinds == {kind for kind, _, _ in diagram.LEGEND if kind}
    ends = [x + 1.5 * diagram.SWATCH + font.getlength(t) for _, x, t in diagram.LEGEND]
    assert all(e < x for e, (_, x, _) in zip(ends, diagram.LEGEND[1:], strict=False)), ends
    said = [text for text, _, _ in texts(svg)]
    assert said[0] == "Chip of preset digits"
    assert [text for _, _, text in diagram.LEGEND] == said[1 : 1 + len(diagram.LEGEND)]


def test_a_memory_that_no_unit_holds_is_listed():
    plan = compiled("tiny")
    new = Memory("means.of_classes", "replay", 7, 11)
    plan.__dict__["memories"] = (*plan.memories, new)
    assert any(shape(new) in text for text, _, _ in texts(chip_svg(plan, "tiny")))


def test_a_chip_that_draws_has_components_and_no_quota():
    said = [text for text, _, _ in texts(chip_svg(compiled("3mb"), "3mb"))]
    assert {"5 components a class, 2-bit means", "96 draws a class and epoch"} <= set(said)
    assert not [text for text in said if "quota" in text]


def test_share_of_cycles_by_hand():
    plan = compiled("tiny")
    busy = cycles = 0
    for op in plan.convolutions:
        busy += op.tiles * op.height * op.width * op.beats
        cycles += op.cycles
    assert convolution_use(plan) == busy / cycles
    assert round(convolution_use(compiled("3mb")), 3) == 0.992  # simulated: README, array busy


def test_numbers_follow_the_target():
    preset = presets.load("tiny")
    one = dataclasses.replace(preset.target, lanes=1)
    plan = plans.compile(preset.network, one)
    assert any("1 lane × 36 cells" in text for text, _, _ in texts(chip_svg(plan, "tiny")))


def test_names_are_escaped():
    svg = chip_svg(compiled("tiny"), "a<b&c")
    assert ElementTree.fromstring(svg).find(f"{SPACE}title").text.endswith("a<b&c")


def test_a_paper_gets_the_same_bytes_each_time():
    plan = compiled("tiny")
    file = chip_pdf(plan, "costs $5 and $6")  # not mathematics
    assert file.startswith(b"%PDF")
    assert file == chip_pdf(plan, "costs $5 and $6")


def test_dark_only_where_asked_for():
    plan = compiled("tiny")
    assert "prefers-color-scheme" in chip_svg(plan, "tiny")
    assert "prefers-color-scheme" not in chip_svg(plan, "tiny", dark=False)


def test_the_documents_picture_is_current(tmp_path, capsys):
    """What `xnoreplay draw` writes is what the documents show."""
    written = tmp_path / "chip.svg"
    assert cli.main(["draw", str(written)]) == 0
    assert written.read_text(encoding="utf-8") == (DOCS / "chip.svg").read_text(encoding="utf-8")
    assert str(written) in capsys.readouterr().out


def test_draw_refuses(tmp_path, capsys):
    assert cli.main(["draw", str(tmp_path)]) == 1
    assert "must be a file to write" in capsys.readouterr().err
    assert cli.main(["draw", "--set", "lanes=3", str(tmp_path / "x.svg")]) == 1
    assert "lanes must be a power of two" in capsys.readouterr().err
    assert not (tmp_path / "x.svg").exists()


def test_version_option(capsys):
    assert cli.main(["--version"]) == 0
    asked = capsys.readouterr().out
    assert cli.main(["version"]) == 0
    assert asked == capsys.readouterr().out != ""
