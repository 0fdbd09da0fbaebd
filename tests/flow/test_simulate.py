"""The simulate step's processes that compile."""

import multiprocessing
from types import SimpleNamespace

import pytest

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import simulate
from xnoreplay.sim import run, session
from xnoreplay.sim.common.jit import COMPILED
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.generative_chip import GenerativeChip

MOST = 9  # commands of a kind that a test carries out


class Worker:
    """A process that lives until it was waited for so many times."""

    pid = 1

    def __init__(self, life):
        self.life, self.waits = life, 0

    def start(self):
        pass

    def is_alive(self):
        return self.waits < self.life

    def terminate(self):
        self.waits = self.life

    def join(self, seconds=None):
        assert self.is_alive() or seconds is None, (
            "waiting for a process that has ended takes no time"
        )
        self.waits += 1


@pytest.mark.parametrize("lives", [(3, 1, 2), (1, 3, 2), (2, 1, 3)])
def test_whoever_still_compiles_is_waited_for(monkeypatch, lives):
    left = list(lives)
    context = SimpleNamespace(Process=lambda **_: Worker(left.pop(0)))
    monkeypatch.setattr(multiprocessing, "get_context", lambda _way: context)
    simulate.compile_kernels(None, None, [], Silent())
    assert not left


def test_generative_replay_is_compared_with_its_reference():
    """Both modes and the reference carry out power-on and a session; a wrong bit of a mean is found."""
    preset = presets.vary(
        presets.load("tiny"),
        "target",
        replay="generative",
        drawn_per_class=3,
        replay_components=2,
        epochs=1,
    )
    compiled = plans.compile(preset.network, preset.target)
    bits = bundles.random(preset.network, 0, preset.scenario.max_pixel)
    data = registry.of_preset_or_random(preset, Silent())
    first, second, *_ = simulate.script(preset, compiled, data)
    chips = [Simulator(compiled, bits), GenerativeChip(bits, preset.target)]
    verbs = []
    for command in (*first, *second):
        verbs.append(command.verb)
        for chip in chips if verbs.count(command.verb) <= MOST else ():
            command.carry_out(chip)
    assert set(verbs) == set(simulate.VERBS)
    fast, reference = chips
    simulate.compare_reference(reference, fast, compiled, "here", simulate.Tally())
    fast.flip("replay.mean", 0, 1)
    with pytest.raises(CheckFailure, match="here: memory replay.mean at"):
        simulate.compare_reference(reference, fast, compiled, "here", simulate.Tally())


@pytest.mark.skipif(not COMPILED, reason="minutes where kernels run as plain Python")
def test_each_process_compiles_kernels_of_its_own(monkeypatch):
    """Of stepping mode the two large ones; together they are all that a script of sessions needs."""
    tiny = presets.load("tiny")
    plan, bundle = plans.compile(tiny.network, tiny.target), bundles.random(tiny.network, 0)
    sessions = simulate.script(tiny, plan, registry.of_preset(tiny))
    processes: list = []
    context = SimpleNamespace(Process=lambda **given: processes.append(given) or Worker(0))
    monkeypatch.setattr(multiprocessing, "get_context", lambda _way: context)
    monkeypatch.setattr(simulate.processes, "die_with_parent", lambda: None)
    simulate.compile_kernels(plan, bundle, sessions, Silent())

    called: set[str] = set()
    for module, name in ((run, "run_operation"), (session, "run_phase")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, n=name, real=real: called.add(n) or real(*given)
        )
    found = []
    for process in processes:
        process["target"](*process["args"])
        found.append(sorted(called))
        called.clear()
    assert found == [["run_phase"], ["run_operation"], []]
