"""What must hold inside of an idle chip, as simulations watch it."""

import re

import numpy as np
import pytest

from tests.flow import variants
from xnoreplay.flow.chip import resets
from xnoreplay.flow.run import tools
from xnoreplay.flow.verify.cosim import at_rest
from xnoreplay.flow.verify.cosim.bench.requests import SELECT
from xnoreplay.flow.verify.cosim.resets import RESET
from xnoreplay.flow.verify.cosim.script import Script, Step
from xnoreplay.flow.verify.mutation import catalogue, score
from xnoreplay.spec import bundle, plan, presets

pytestmark = pytest.mark.usefixtures("compiled")
TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0)
CLEARED = "back dense front lgap learning replay thermometer".split()
"""Units that an abort clears, without the array, whose operand register has no reset."""


@pytest.fixture(scope="module")
def found(verilog_of_tiny):
    return at_rest.watches(verilog_of_tiny)


def test_every_register_with_a_reset_is_watched(verilog_of_tiny, found):
    clocked = re.findall(
        r"^module (\\?[^\s(]+)|^  always @\(posedge clk\)\n    (\S+) +<=",
        verilog_of_tiny,
        re.MULTILINE,
    )
    module, every = "", set()
    for header, register in clocked:
        module = header or module
        if register and "$" not in module:
            every.add((module.removeprefix("\\"), register.removeprefix("\\")))
    watched = {
        (module.removeprefix("\\"), w.net.removeprefix("\\"))
        for module, kept in found.items()
        for w in kept.watches
        if w.what.endswith("not put back")
    }
    names = {name for _, name in every}
    without = {place for place in resets.unreset(verilog_of_tiny) if place in every}
    memories = {place for place in every if place[0].startswith("xnoreplay_")}
    assert {"seen", "at", "state"} <= names
    assert watched == every - without - memories


def test_an_abort_clears_all_of_its_units(found):
    for module, kept in found.items():
        unit = module.removeprefix("\\xnoreplay.").partition(".")[0]
        if unit in CLEARED:
            put_back = [w for w in kept.watches if w.what.endswith("not put back")]
            assert all("at_rest_abort" in w.when for w in put_back), module


def test_each_strobe_of_the_host_is_watched(found):
    strobes = {w.net for w in found[at_rest.HOST].watches if w.what.endswith("unasked")}
    assert {"memory_act_ping__ren", "memory_cls_top__wen", "memory_replay_count__ren"} <= strobes
    assert "memory_replay_count__wen" not in strobes  # which the host does not write


def test_what_a_text_lost_is_watched_no_more(verilog_of_tiny, found):
    """Bits keep their numbers."""
    module = "\\xnoreplay.lgap"
    lost = found[module].watches[4].net
    line = re.compile(rf"^  (?:output )?reg (?:\[[^]]*\] )?{re.escape(lost)} = .*\n", re.MULTILINE)
    start = verilog_of_tiny.index(f"module {module} ")
    text = verilog_of_tiny[:start] + line.sub("", verilog_of_tiny[start:], count=1)
    watched = at_rest.watched(text, {module: found[module]})
    assert f"    if (1'b0)\n      {at_rest.FOUND}[4] <= 1'b1;" in watched
    assert watched.count("if (1'b0)") == 1


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator")
def test_a_fault_is_found_at_its_command(verilog_of_tiny, found, tmp_path):
    """Registers that keep their values in an abort or in a reset, memories that the host always reads, or that read unasked."""

    kinds = {"clear": r"\.dense", "reset": r"\.(array|counters)", "stuck high": r"\.host"}
    lines = verilog_of_tiny.splitlines()
    every = [
        site
        for site in catalogue.sites(verilog_of_tiny)
        if re.fullmatch(f"xnoreplay{kinds.get(site.kind, '-')}", site.module)
        and (site.kind != "stuck high" or "__ren = " in lines[site.line - 1])
    ]
    every = [site for n, site in enumerate(every) if site.kind != "reset" or n % 3 == 0]  # for time
    strobes = sum(site.kind == "stuck high" for site in every)
    chosen = dict(enumerate(every, 1))
    bits = (len(chosen) + 1).bit_length()
    text = catalogue.planted(verilog_of_tiny, chosen, bits)
    reads = len(chosen) + 1  # every memory reads in every cycle
    text = text.replace("    if (ren)\n", f"    if (ren | {SELECT} == {bits}'d{reads})\n")
    text = at_rest.watched(text, found)
    named = at_rest.names(verilog_of_tiny, found)
    latent = PLAN.infer_cycles(2) - 20  # in the output layer
    steps = (
        Step("arrive", 2),
        Step("infer", 0, 0, abort=latent),
        Step("infer", 0, 0, reset=latent),
        Step(RESET),
    )
    probed = (*steps[:1], Step("infer", 0, 0, probes=((10, PLAN.infer_cycles(2)),)))
    with variants.served(text, TINY, BUNDLE, tmp_path, at_rest=named) as server:
        image = np.zeros((1, *TINY.network.image_shape), np.uint8)
        for name, script in (("short", steps), ("probed", probed)):
            server.add(name, Script(script, image))
            assert server.compare(0, name)[0].differences == []
        shown: dict[str, list[int]] = {kind: [] for kind in kinds}
        for number, site in chosen.items():
            differences = server.compare(number, "short")[0].differences
            for difference in differences[:1]:
                assert "inside" in map(score.reason_of, differences), (site, difference)
                shown[site.kind].append(difference.command)
        read = server.compare(reads, "short")[0].differences[0]
        alike = [n for n, site in chosen.items() if site.kind == "reset"]
        looked = [server.compare(n, "probed")[0].differences for n in alike]
    # Not every register has another value than its start where the abort, or the reset, comes.
    assert len(shown["clear"]) >= 5
    assert set(shown["clear"]) == {1}
    assert set(shown["reset"]) <= {0, 2}  # the script begins with a reset, too
    assert 2 in shown["reset"]
    # Each cycle shows what a reset would do, so most do not wait for a reset in theirs.
    assert any("not to be put back" in d.signal for found in looked for d in found)
    assert 2 * sum(map(bool, looked)) > 3 * len(shown["reset"])
    assert shown["stuck high"] == [0] * strobes
    assert strobes > 10
    assert (read.command, score.reason_of(read)) == (0, "inside")
    assert "word not as read" in read.signal
