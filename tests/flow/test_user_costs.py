"""Costs and cells that a user brings: a figure that cannot be is refused by name, before any work."""

import gzip
import json
import math
import random
from pathlib import Path

import pytest

from xnoreplay.flow import cli
from xnoreplay.flow.chip import families, synth
from xnoreplay.flow.cost import tables as costs
from xnoreplay.flow.cost.cells import delayed, gate_level, liberty
from xnoreplay.flow.cost.tables import measured
from xnoreplay.flow.run import files
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.records import record_of
from xnoreplay.spec.errors import CheckFailure, ToolError

CELLS = Path(__file__).parent / "data" / "cells.lib"
TEXT = CELLS.read_text(encoding="utf-8")
UNIT = {"cells": 9, "by_type": {"INV": 9}, "nets": 8, "annotated": 8, "leakage": 1e-9, "area": 1e-3}
EVENT = {"count": 1e-12, "wires": 1e-13, "glitches": 0.0}
LOGIC = {
    "format": measured.FORMAT,
    "liberty": "cells",
    "volts": 1.2,
    "window": 36,
    "segment": 4,
    "proxy_bits": 8,
    "delta_bits": 6,
    "classes": 4,
    "draw_planes": 2,
    "events": {event: EVENT for events in measured.EVENTS.values() for event in events},
    "units": dict.fromkeys(measured.EVENTS, UNIT),
}
NUMBERS = (-37.9e3, -1e-30, math.nan, math.inf, -math.inf, "1", None, True, [1])


@pytest.fixture(autouse=True)
def _cited_costs():
    yield
    costs.use_sram(None)
    measured.use_logic(None)


def changed(tree, place, value):
    """The tree with another value at a place, a path of keys."""
    first, *rest = place
    return {**tree, first: changed(tree[first], rest, value) if rest else value}


NO_JSON = "must be JSON: .*(NaN|Infinity) is no number of JSON"


PLACES = [
    ("volts",),
    *(("events", e, "count") for events in measured.EVENTS.values() for e in events),
    *(("events", "error_sample", part) for part in ("wires", "glitches")),
    *(("units", u, "leakage") for u in measured.EVENTS),
]


@pytest.mark.parametrize("place", PLACES, ids=".".join)
@pytest.mark.parametrize("value", [*NUMBERS, 0], ids=str)
def test_a_logic_cost_that_cannot_be(tmp_path, place, value):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(changed(LOGIC, place, value)))
    if value == 0 and value is not False and place[-1] in ("leakage", "wires", "glitches"):
        assert measured.read(path).events["lane_beat"]["count"].nominal == 1e-12
        return
    rule = f"must be a file of characterize, but: {'.'.join(place)} must be a finite"
    with pytest.raises(
        costs.CostError, match=NO_JSON if str(value)[-3:] in ("nan", "inf") else rule
    ):
        measured.use_logic(path)


@pytest.mark.parametrize(
    "place",
    [("window",), ("classes",), ("units", "lane", "nets"), ("units", "update", "annotated")],
    ids=".".join,
)
@pytest.mark.parametrize("value", [*NUMBERS, 0, 9.5], ids=str)
def test_a_count_that_cannot_be(tmp_path, place, value):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(changed(LOGIC, place, value)))
    rule = f"but: {'.'.join(place)} must be a"
    with pytest.raises(
        costs.CostError, match=NO_JSON if str(value)[-3:] in ("nan", "inf") else rule
    ):
        measured.use_logic(path)


def test_a_file_of_the_format_before_is_refused(tmp_path):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(LOGIC | {"format": "xnoreplay-logic-1"}))
    with pytest.raises(costs.CostError, match="older version: characterize the library again"):
        measured.use_logic(path)


def test_the_estimate_command_refuses_negative_energy(capsys, tmp_path):
    path = tmp_path / "logic.json"
    path.write_text(json.dumps(changed(LOGIC, ("events", "lane_beat", "count"), -1.0)))
    assert (
        cli.main(["estimate", "--preset", "tiny", "--untrained", "--logic", str(path)])
        == cli.BAD_INPUT
    )
    assert (
        "events.lane_beat.count must be a finite number above 0, not -1.0"
        in capsys.readouterr().err
    )


SRAM = dict(zip(costs.SRAM_COLUMNS, "lstp,45,16,32,1,2,3,4,5,6".split(","), strict=True))


def table(*rows):
    return "\n".join([",".join(costs.SRAM_COLUMNS), *(",".join(r.values()) for r in rows)]) + "\n"


@pytest.mark.parametrize("column", costs.SRAM_COLUMNS)
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e400", "", "x", "1" * 5000])
def test_an_sram_that_cannot_be(tmp_path, column, value):
    path = tmp_path / "sram.csv"
    path.write_text(table(SRAM, SRAM | {"capacity_kbit": "32"} | {column: value}))
    if column in costs.SRAM_COLUMNS[4:] and value == "1" * 5000:
        assert math.isinf(float(value))
    with pytest.raises(costs.CostError, match=f"row 2: {column} must be") as error:
        costs.use_sram(path)
    assert len(str(error.value)) < 400 + len(str(path))


@pytest.mark.parametrize("column", ["node_nm", "capacity_kbit", "width_bits"])
def test_an_sram_of_broken_numbers(tmp_path, column):
    path = tmp_path / "sram.csv"
    path.write_text(table(SRAM | {column: "16.5"}))
    with pytest.raises(costs.CostError, match=f"row 1: {column} must be an integer from 1"):
        costs.use_sram(path)


def test_an_sram_that_is_there_twice(tmp_path):
    path = tmp_path / "sram.csv"
    path.write_text(table(SRAM, SRAM | {"read_pj": "7"}))
    with pytest.raises(costs.CostError, match="row 2 repeats lstp, 45, 16, 32"):
        costs.use_sram(path)


# ------------------------------------------------------------------------------- Liberty

NETLIST = {
    "cells": {
        name: {"type": name, "connections": {pin: [i + 2] for i, pin in enumerate(pins)}}
        for name, pins in (
            ("INV", "AY"),
            ("NAND2", "ABY"),
            ("DFF", ("CK", "D", "Q")),
            ("TIE1", "Y"),
        )
    },
    "netnames": {str(bit): {"bits": [bit]} for bit in range(2, 6)},
}
WORDS = (
    "",
    "nan",
    "-1",
    "inf",
    "1e400",
    "(",
    ")",
    "{",
    "}",
    '"',
    ";",
    ":",
    "\\",
    "/*",
    "0x",
    ",",
    "é",
    "9" * 5000,
)


def mutant(rng):
    """The library with some lines gone, doubled, moved or garbled."""
    lines = TEXT.splitlines(keepends=True)
    for _ in range(rng.randint(1, 2)):
        i = rng.randrange(len(lines))
        match rng.randrange(5):
            case 0:
                del lines[i]
            case 1:
                lines.insert(i, lines[rng.randrange(len(lines))])
            case 2:
                words = lines[i].split(" ")
                words[rng.randrange(len(words))] = rng.choice(WORDS)
                lines[i] = " ".join(words)
            case 3:
                at = rng.randrange(len(lines[i]))
                lines[i] = lines[i][:at] + rng.choice(WORDS) + lines[i][at + 1 :]
            case 4:
                lines = lines[: rng.randrange(1, len(lines))]
    return "".join(lines)


def attempt(function, *arguments):
    """The sentence of a refusal, or "" and the result; any other exception is a failure."""
    try:
        return "", function(*arguments)
    except (liberty.LibertyError, ToolError) as error:
        return str(error), None


def test_a_damaged_library_is_refused_or_gives_figures(tmp_path):
    """400 mutants: none ends in another exception, and what is read prices a netlist."""
    rng, path, whole = random.Random(11), tmp_path / "mutant.lib", 0
    for _ in range(400):
        path.write_text(mutant(rng), encoding="utf-8")
        said, _ = attempt(liberty.check_cells, path)
        assert len(said) < 400 + len(str(path))
        said, library = attempt(liberty.read, path)
        assert len(said) < 400 + len(str(path))
        if library is None:
            continue
        for cell in library.cells.values():
            assert cell.area >= 0 <= cell.leakage
            for pin in cell.pins.values():
                assert math.isfinite(pin.joules(0.0) + pin.joules(1e-14))
        count = {bit: 10 for bit in range(2, 6)}
        wire = gate_level.wires_of(library, 1.0, 4)[1]
        said, price = attempt(gate_level.price, NETLIST, count, library, wire)
        assert said or math.isfinite(price.data)
        attempt(delayed.delayed, NETLIST, library, lambda _bit: 1e-15, ())
        whole += not said
    assert whole > 50


NO_AXES = TEXT.replace('index_1("0.1, 0.2");', "").replace('index_2("0, 10");', "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            NO_AXES,
            r"cell INV: rise_power must have 1 x 1 values, as its axes have, not \[2, 2\] in its rows",
        ),
        (TEXT.replace('"0, 10"', '"10, 0"'), "cell INV: index_2 must grow from number to number"),
        (TEXT.replace('"0, 10"', '"5, 5"'), "index_2 must grow from number to number"),
        (
            TEXT.replace("area : 1;", "area : -1;", 1),
            "cell INV: area must be a number of at least 0, not '-1'",
        ),
        (
            TEXT.replace("capacitance : 1;", "capacitance : nan;", 1),
            "cell INV: capacitance must be a finite number",
        ),
        (
            TEXT.replace('values("5")', "values(x)"),
            "cell NAND2: values must be a finite number, not 'x'",
        ),
        (TEXT.replace('{ values("5"); }', "{ }"), "cell NAND2: 'values' is missing"),
        (
            TEXT.replace("nom_voltage : 2.0", "nom_voltage : 0"),
            "nom_voltage must be a number above 0, not '0'",
        ),
        (
            TEXT.replace("nom_voltage : 2.0", "nom_voltage : inf"),
            "nom_voltage must be a finite number, not 'inf'",
        ),
        (
            TEXT.replace("(1, ff)", "(-1, ff)"),
            "capacitive_load_unit must be a number above 0, not '-1'",
        ),
        (TEXT.replace("(1, ff)", "(1)"), "capacitive_load_unit must be a number and a unit"),
        (TEXT.replace("cell(BUF)", "cell(INV)"), "cell INV must be there once, but is there again"),
        (TEXT.replace("cell(BUF)", "cell()"), "a cell must have one name"),
        (TEXT[:-30], "it ends within a group"),
        ("library(x) { " + "a() { " * 5000, "its groups are too deep"),
    ],
    ids=range(15),
)
def test_damage_is_named(tmp_path, text, message):
    path = tmp_path / "bad.lib"
    path.write_text(text)
    with pytest.raises(liberty.LibertyError, match=message):
        liberty.read(path)


def test_values_in_one_row_are_the_same_table(tmp_path):
    path = tmp_path / "flat.lib"
    path.write_text(
        TEXT.replace('"9, 9", \\\n                                       "1, 3"', '"9, 9, 1, 3"')
    )
    assert path.read_text() != TEXT
    assert liberty.read(path) == liberty.read(CELLS)


MAPPED = (
    (b"GARBAGE", "it does not begin with library"),
    (b"\x1f\x8bgarbage", "must be readable"),
    (b"library(x) { }", "it has no cell"),
    (
        TEXT.replace("function", "fun").encode(),
        "must have a cell with an area and a function, but none of its 8",
    ),
    (
        TEXT.replace("ff(IQ, IQN)", "no(IQ, IQN)").encode(),
        "must have a flip-flop, but none of its 8 cells is one",
    ),
)


@pytest.mark.parametrize(("content", "message"), MAPPED, ids=range(len(MAPPED)))
def test_synth_refuses_a_library_before_the_work(capsys, tmp_path, content, message):
    """The former result stays, and no step is even begun."""
    folder, path = tmp_path / "run", tmp_path / "cells.lib"
    path.write_bytes(content)
    (folder / "synth").mkdir(parents=True)
    files.write_json(folder / "synth" / "step.json", record_of("synth", {}, {}, 0.0))
    arguments = ["synth", "--preset", "tiny", "--untrained", "--out", folder, "--liberty", path]
    assert cli.main([str(a) for a in arguments]) == cli.BAD_INPUT
    assert message in capsys.readouterr().err
    assert sorted(p.name for p in folder.rglob("*") if p.name != ".lock") == ["step.json", "synth"]
    arguments = [
        "characterize",
        "--preset",
        "tiny",
        "--untrained",
        "--liberty",
        path,
        "--out",
        tmp_path / "x.json",
    ]
    if b"fun" not in content and b"no(IQ" not in content:
        assert cli.main([str(a) for a in arguments]) == cli.BAD_INPUT
        assert "Liberty file" in capsys.readouterr().err


def test_cells_that_yosys_cannot_map_to_are_no_failed_check(tmp_path, monkeypatch):
    def refuse(_out, _name, what):
        raise CheckFailure(f"the Verilog must {what}, but: ABC: no NAND")

    monkeypatch.setattr(synth, "yosys", refuse)
    with pytest.raises(
        liberty.LibertyError, match="must have the cells that a mapping needs: .* ABC: no NAND"
    ):
        families.area(CELLS, [], "top", tmp_path, Silent())
    assert not (tmp_path / "cells.lib").exists()


def test_cells_that_map():
    liberty.check_cells(CELLS)


def test_a_packed_library_maps(tmp_path):
    path = tmp_path / "cells.lib.gz"
    path.write_bytes(gzip.compress(TEXT.encode()))
    liberty.check_cells(path)
