"""Netlists with delays: the player against a naive one, picosecond by picosecond; Liberty files as processes have them."""

import random

import numpy as np
import pytest

from xnoreplay.flow.cost.cells import delayed, functions, liberty, player

KINDS = {"INV": "!A", "NAND2": "!(A&B)", "XOR2": "A^B", "MUX": "(A&S) | (B&!S)"}


def library(rng):
    """Cells with drawn delays; Q of a flip-flop follows it, too."""

    def pin(delays):
        tables = [(liberty.Table((), (), ((ps * 1e-12,),)),) for ps in delays]
        return liberty.Pin("output", 0.0, False, {}, *tables)

    def delays():
        return rng.randint(1, 9), rng.randint(1, 9)

    cells = {}
    for name, function in KINDS.items():
        pins = {n: liberty.Pin("input", 0.0, False, {}) for n in functions.names(function)}
        cells[name] = liberty.Cell(
            name, 1.0, 0.0, False, True, pins | {"Y": pin(delays())}, {"Y": function}
        )
    state = liberty.State("IQ", "IQN", False, "CK", "D")
    pins = {n: liberty.Pin("input", 0.0, n == "CK", {}) for n in ("CK", "D")}
    cells["DFF"] = liberty.Cell(
        "DFF", 1.0, 0.0, True, True, pins | {"Q": pin(delays())}, {"Q": "IQ"}, state
    )
    return liberty.Library("drawn", 1.0, cells)


def netlist(rng, gates=12, flops=3, inputs=3):
    """Gates in an order without loops but through flip-flops; net 2 is the clock, then come the inputs."""
    nets = [3 + i for i in range(inputs + flops)]
    cells = {}
    for i in range(gates):
        kind = rng.choice([*KINDS])
        wires = {name: [rng.choice(nets)] for name in functions.names(KINDS[kind])}
        nets.append(3 + inputs + flops + i)
        cells[f"g{i}"] = {"type": kind, "connections": wires | {"Y": [nets[-1]]}}
    for i in range(flops):
        wires = {"CK": [2], "D": [rng.choice(nets)], "Q": [3 + inputs + i]}
        cells[f"f{i}"] = {"type": "DFF", "connections": wires}
    return {"ports": {"clk": {"bits": [2]}}, "cells": cells}


def naive(made, lib, rows, inputs):
    """Transitions of each net, and values before each rising edge: every gate is looked at in every picosecond."""
    value = dict.fromkeys(range(2, 3 + inputs + len(made["cells"])), 0)
    gates, flops = [], []
    for cell in made["cells"].values():
        pins = {p: bits[0] for p, bits in cell["connections"].items()}
        (flops if cell["type"] == "DFF" else gates).append([lib.cells[cell["type"]], pins, None])
    held = [0] * len(flops)
    moves, shown = dict.fromkeys(value, 0), []

    def wanted(i, entry):
        cell, pins, _ = entry
        if i is not None:
            return held[i]
        (function,) = cell.functions.values()
        names = functions.names(function)
        row = sum(value[pins[n]] << j for j, n in enumerate(names))
        return functions.table(function, names) >> row & 1

    def settle():
        time = 0
        while True:
            for entry in (*gates, *flops):  # what is due
                out = entry[1].get("Y", entry[1].get("Q"))
                if entry[2] == time:
                    value[out] ^= 1
                    moves[out] += 1
                    entry[2] = None
            for i, entry in (*((None, g) for g in gates), *enumerate(flops)):
                cell, pins, due = entry
                port = "Y" if "Y" in pins else "Q"
                new = wanted(i, entry)
                if new == value[pins[port]]:
                    entry[2] = None
                elif due is None:
                    rise, fall = (round(t / 1e-12) for t in cell.pins[port].delays(0.0))
                    entry[2] = time + (rise if new else fall)
            if all(entry[2] is None for entry in (*gates, *flops)):
                return
            time += 1

    for i in range(inputs):
        value[3 + i] = rows[0][i]
    settle()
    moves = dict.fromkeys(moves, 0)
    for cycle in range(len(rows)):
        shown.append([value[net] for net in sorted(value)])
        held[:] = [value[flop[1]["D"]] for flop in flops]
        following = rows[min(cycle + 1, len(rows) - 1)]
        # A picosecond lies between the edge, which the flip-flops alone follow, and the other inputs.
        for entry in (*gates, *flops):
            assert entry[2] is None
        for i, entry in enumerate(flops):
            if held[i] != value[entry[1]["Q"]]:
                rise, fall = (round(t / 1e-12) for t in entry[0].pins["Q"].delays(0.0))
                entry[2] = (rise if held[i] else fall) - 1
        for i in range(inputs):
            moves[3 + i] += value[3 + i] != following[i]
            value[3 + i] = following[i]
        settle()
    return moves, shown


@pytest.mark.parametrize("seed", range(30))
def test_the_player_is_a_naive_simulator(seed):
    rng = random.Random(seed)
    lib = library(rng)
    made = netlist(rng)
    rows = [[rng.getrandbits(1) for _ in range(3)] for _ in range(12)]
    design = delayed.delayed(made, lib, lambda _bit: 0.0, [2, 3, 4, 5])
    nets = sorted(design.numbers)
    numbers = np.array([design.numbers[n] for n in nets], np.int32)
    clock, *inputs = (design.numbers[n] for n in (2, 3, 4, 5))
    played = player.play(
        design.design, clock, np.array(inputs, np.int32), numbers, np.array(rows, np.uint8)
    )
    moves, shown = naive(made, lib, rows, 3)
    assert {n: int(played.moves[design.numbers[n]]) for n in nets if n > 2} == {
        n: moves[n] for n in nets if n > 2
    }
    known = sorted({2, *moves})
    for ours, theirs in zip(played.outputs.tolist(), shown, strict=True):
        values = dict(zip(known, theirs, strict=True))
        assert [v for n, v in zip(nets, ours, strict=True) if n > 2] == [
            values[n] for n in nets if n > 2
        ]


QUOTED = """
library ("as processes have them") {
  define(sim_opt, timing, string);
  nom_voltage : 1.8; time_unit : "1ns"; voltage_unit : "1V"; leakage_power_unit : "1nW";
  capacitive_load_unit(1.0, "pf");
  power_lut_template ("inputs") { variable_1 : "input_transition_time"; index_1("1, 2, 3"); }
  lu_table_template ("by_slew") {
    variable_1 : "input_net_transition"; variable_2 : "total_output_net_capacitance";
    index_1("1, 2"); index_2("1, 2, 3");
  }
  lu_table_template ("by_load") {
    variable_1 : "total_output_net_capacitance"; variable_2 : "input_net_transition";
    index_1("0.001, 0.002, 0.003"); index_2("0.1, 0.2");
  }
  lu_table_template ("load_alone") {
    variable_1 : "total_output_net_capacitance"; index_1("0.001, 0.002, 0.003");
  }
  cell ("nand2_1") {
    area : 3.75; pg_pin ("VGND") { pg_type : "primary_ground"; }
    pin ("A") { direction : "input"; capacitance : 0.0017; }
    pin ("Y") { direction : "output"; function : "(!A) | (!B)";
      timing () { related_pin : "A"; timing_sense : "negative_unate"; timing_type : "combinational";
        cell_rise ("by_slew") { index_1("0.1, 0.2"); index_2("0.001, 0.002, 0.003");
          values("9, 9, 9", "0.1, 0.2, 0.3"); }
        cell_fall ("by_load") { values("9, 0.1", "9, 0.2", "9, 0.3"); } }
      timing () { related_pin : "B"; timing_type : "three_state_enable";
        cell_rise ("load_alone") { values("7, 7, 7"); } } }
    pin ("B") { direction : "input"; capacitance : 0.0017;
      timing () { timing_type : "setup_rising"; rise_constraint ("by_slew") { values("1, 2, 3", "1, 2, 3"); } } }
  }
  cell ("buf_1") { area : 3;
    pin ("A") { direction : "input"; capacitance : 0.002; }
    pin ("X") { direction : "output"; function : "A";
      timing () { cell_rise ("load_alone") { values("0.1, 0.2, 0.3"); } } } }
  cell ("dfrtp_1") { area : 25;
    ff ("IQ", "IQ_N") { clear : "!RESET_B"; clocked_on : "CLK"; next_state : "D"; }
    pin ("CLK") { clock : "true"; direction : "input"; capacitance : 0.0018; }
    pin ("D") { direction : "input"; capacitance : 0.0017; }
    pin ("RESET_B") { direction : "input"; capacitance : 0.0035; }
    pin ("Q") { direction : "output"; function : "IQ"; } }
  cell ("dlclkp_1") { area : 17; clock_gating_integrated_cell : "latch_posedge";
    statetable ("CLK GATE", "M0") { table : "L H : - : H, L L : - : L, H - : - : N"; }
    pin ("M0") { direction : "internal"; internal_node : "M0"; }
    pin ("CLK") { clock_gate_clock_pin : "true"; clock : "true"; direction : "input"; capacitance : 0.004; }
    pin ("GATE") { clock_gate_enable_pin : "true"; direction : "input"; capacitance : 0.0018; }
    pin ("GCLK") { clock_gate_out_pin : "true"; direction : "output"; state_function : "(CLK*M0)"; } }
}
"""
"""Cells as sky130 and GF180 write them, with other figures: names in quotes, tables over either axis first, no models of wires."""


def test_a_library_as_processes_have_them(tmp_path):
    path = tmp_path / "quoted.lib"
    path.write_text(QUOTED)
    found = liberty.read(path)
    nand, buffer, flop = (found.cells[n] for n in ("nand2_1", "buf_1", "dfrtp_1"))
    assert nand.pins["Y"].delays(1.5e-15) == pytest.approx((0.15e-9, 0.15e-9))
    assert nand.pins["Y"].delays(9e-15) == pytest.approx((0.3e-9, 0.3e-9)), "the table's greatest"
    assert nand.pins["B"].delays(0.0) is None
    assert buffer.pins["X"].delays(2.5e-15) == pytest.approx((0.25e-9, 0.25e-9))
    assert flop.state == liberty.State("IQ", "IQ_N", False, "CLK", "D", "!RESET_B")
    (gate,) = liberty.clock_gates(path)
    assert found.cells[gate.name].state.data == "GATE"
    assert found.wire_load(1e4) is None


def test_a_reset_of_a_flip_flop_and_the_inverse_of_what_it_holds(tmp_path):
    path = tmp_path / "quoted.lib"
    path.write_text(QUOTED.replace('function : "IQ";', 'function : "IQ_N";'))
    cells = {
        "f": {"type": "dfrtp_1", "connections": {"CLK": [2], "D": [3], "RESET_B": [4], "Q": [5]}}
    }
    made = {"ports": {"clk": {"bits": [2]}}, "cells": cells}
    design = delayed.delayed(made, liberty.read(path), lambda _bit: 0.0, [2, 3, 4])
    clock, d, reset, q = (design.numbers[n] for n in (2, 3, 4, 5))
    rows = np.array([[1, 1], [1, 1], [1, 0], [1, 1], [0, 1], [0, 1]], np.uint8)
    inputs = np.array([d, reset], np.int32)
    played = player.play(design.design, clock, inputs, np.array([q], np.int32), rows)
    assert played.outputs[:, 0].tolist() == [1, 0, 1, 1, 0, 1]
