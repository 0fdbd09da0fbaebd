"""Co-simulation of a chip with generative replay: sessions, aborts, resets and power cycles over the host's port."""

import re

import numpy as np
import pytest

from tests.strategies import DRAWING
from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify.cosim import (
    chip,
    coverage,
    edges,
    large,
    reset_steps,
    resets,
    session,
    short,
    waveforms,
)
from xnoreplay.flow.verify.cosim.faults import Faults
from xnoreplay.flow.verify.cosim.kinds import carry_out
from xnoreplay.flow.verify.cosim.script import COMPONENTS, Script, Step, changing
from xnoreplay.flow.verify.cosim.waves import layout
from xnoreplay.hw import verilog
from xnoreplay.sim.host import HostPort
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets
from xnoreplay.spec.commands import Command
from xnoreplay.spec.generative import SHARE_BITS
from xnoreplay.spec.registers import Register

TINY = presets.vary(presets.load("tiny"), "target", **DRAWING)
PLAN = plan.compile(TINY.network, TINY.target)
BUNDLE = bundle.random(TINY.network, 0, TINY.scenario.max_pixel)
DATA = registry.of_preset_or_random(TINY, Silent())
LOOK = {"memories": changing(PLAN), "bus": True}
STEPS = (
    Step("arrive", 2, **LOOK),
    *(Step("insert", n // 3, n, **LOOK) for n in range(4)),
    Step("insert", 1, 4, trace=True, **LOOK),
    Step("insert", 0, 5, abort=260, **LOOK),
    Step("stage", 2, 6, trace=True, **LOOK),
    Step("epoch", trace=True, **LOOK),
    Step("retrain", **LOOK),
    Step("power", **LOOK),
    Step("rebalance", **LOOK),
    Step("restore", trace=True, **LOOK),
    Step("epoch", reset=60, **LOOK),
    Step("arrive", 1, **LOOK),
    Step("infer", 0, 7, **LOOK),
)


@pytest.fixture(scope="module")
def design(tmp_path_factory):
    """The chip in Icarus Verilog."""
    folder = tmp_path_factory.mktemp("chip")
    text = verilog.generate(PLAN)
    (folder / chip.VERILOG).write_text(text, encoding="utf-8")
    with chip.opened(TINY, BUNDLE, folder, Silent(), optimise="-O0") as opened:
        yield opened.setup("icarus")[0], folder


@pytest.mark.skipif(not tools.icarus(), reason="no Icarus Verilog")
def test_the_chip_is_its_simulator_over_the_host_port(design):
    setup, folder = design
    script = Script(STEPS, DATA.images)
    run = session.compare(setup, script, folder / "run", "", Silent())
    assert run.differences == []
    assert run.compared["trace.lines"] > 0
    assert run.compared["aborts.take"] == 1
    assert {f"commands.{c.name.lower()}" for c in Command} <= set(run.compared)


@pytest.mark.skipif(not tools.icarus(), reason="no Icarus Verilog")
def test_a_chip_of_another_plan_is_found(tmp_path):
    """One that draws five latents of a class in place of six."""
    setup_faults = Faults(plan=(("generative", "drawn_per_class", 5),))
    text = verilog.generate(setup_faults.changed(PLAN))
    (tmp_path / chip.VERILOG).write_text(text, encoding="utf-8")
    steps = (*STEPS[:3], Step("epoch", **LOOK))
    with chip.opened(TINY, BUNDLE, tmp_path, Silent(), optimise="-O0") as opened:
        setup = opened.setup("icarus")[0]
        run = session.compare(setup, Script(steps, DATA.images), tmp_path / "run", "", Silent())
    assert run.differences


def test_the_script_of_a_large_network_begins_with_one_class_and_stages_another():
    """So that an epoch draws few minibatches, of which every class with samples has as many as any."""
    labels = large.remembered_labels(PLAN, TINY.scenario.base)
    assert labels.tolist() == [0] * 3  # one more than its components
    assert large.new_samples(PLAN, [np.array([7]), np.array([4, 5, 6])]) == [(1, 4), (1, 5)]
    latents = np.random.default_rng(0).integers(0, 2, (3, PLAN.network.latent), dtype=np.uint8)
    contents = large.replay_contents(PLAN, BUNDLE, latents, labels)
    assert contents.keys() == {"replay.mean", "replay.share"}
    shares = contents["replay.share"] @ (1 << np.arange(SHARE_BITS))
    assert sorted(shares[:2]) == [1, 2]
    assert not shares[2:].any()


def test_the_short_script_reaches_what_it_must():
    script = short.build(TINY, PLAN, DATA, BUNDLE)
    needed = coverage.required(PLAN, BUNDLE, script)
    assert "samples refused" not in needed
    assert {"take", "stage"} <= {name for s in script.steps for name in phases_of(s)}


def phases_of(step: Step) -> tuple[str, ...]:
    """Phases of a step's command."""
    name = step.command.upper()
    return Command[name].phases(PLAN) if name in Command.__members__ else ()


def test_what_a_whole_script_needs_is_what_the_chip_can_have():
    needed = coverage.required(PLAN, BUNDLE, Script((), DATA.images, length="whole"))
    assert needed["labels refused"] == ("replay.share", "staging.label")
    assert needed["replay memory"] == ("staging full",)
    assert "replay.evictions" not in needed["counters moved"]
    assert {"take", "restore", "epoch"} <= set(needed["phases aborted"])
    assert {"replay.share", "fit.open", "draw.state"} <= set(needed["host's writes"])
    assert resets.quiet(PLAN, Step("epoch", reset=9))["empties"] == 8


def test_components_of_samples_are_those_of_their_classes():
    """Rounds write them: the first latents of a class, as far as means can be."""
    made = Simulator(PLAN, BUNDLE)
    latents = np.random.default_rng(0).integers(0, 2, (4, PLAN.network.latent), dtype=np.uint8)
    for step in edges._components(PLAN, latents, np.array([1, 1, 1, 3])):
        made.write(step.memory, step.bits(PLAN))
    assert made.memory_ints("replay.share") == [0, 0, 1, 1, 0, 0, 1, 0]
    made.arrive(4)
    result = made.epoch()
    assert {label for _, _, _, label in result.events} == {1, 3}


def test_a_host_writes_a_share_of_no_class_seen():
    made = Simulator(PLAN, BUNDLE)
    made.arrive(PLAN.network.classes)
    bad, back = reset_steps._bad_label(made)
    assert [data for _, data in bad[:2]] == [1, PLAN.network.classes - 1]
    assert back[0] == (bad[0][0], 0)


def test_a_restore_refuses_a_staged_label_alone():
    """Where a host has taken the shares of its class, which are looked at first."""
    made, last = Simulator(PLAN, BUNDLE), PLAN.network.classes - 1
    watched = coverage.Coverage(PLAN, BUNDLE, made)
    made.arrive(last + 1)
    made.stage(DATA.images[0], last)
    port, found = HostPort(made), []
    for transfers in ((), reset_steps._forgotten(PLAN, last)):
        for address, data in transfers:
            port.transfer(address, data)
        made.write_register(Register.SEEN, last)
        assert made.restore().refused
        found.append(watched._refused_label(made.state))
    assert found == ["replay.share", "staging.label"]


def test_rounds_have_a_restore_that_refuses():
    made, refused = Simulator(PLAN, BUNDLE), []
    made.arrive(PLAN.network.classes)
    made.insert(DATA.images[0], PLAN.network.classes - 1)
    for step in edges._refused_restore(PLAN.network.classes):
        result = carry_out(step, made, DATA.images)
        refused += [result.refused] if step.command == "restore" else []
    assert refused == [True, False]


@pytest.mark.skipif(not tools.icarus(), reason="no Icarus Verilog")
def test_waveforms_have_a_group_for_every_unit(design):
    """But for the host, which has one of its own, and memories."""
    text = (design[1] / chip.VERILOG).read_text(encoding="utf-8")
    scopes = set(re.findall(r"^module \\xnoreplay\.([\w.]+) ?\(", text, re.MULTILINE))
    assert {"draw", "open_class", "replay.fit"} <= scopes
    grouped = {part for parts in layout.UNITS.values() for part in parts}
    memories = {name.replace(".", "_") for name in (m.name for m in PLAN.memories)}
    rest = {s for s in scopes if "." not in s} - grouped - memories
    assert rest <= {"host", "clearing"}
    for item in waveforms.enumerations(PLAN):
        assert {end.lstrip(".").rpartition(".")[0] for end in item.ends} <= scopes | {""}


def test_events_of_labels_are_not_watched_where_there_are_none():
    assert not {*COMPONENTS} - {m.name for m in PLAN.memories}
