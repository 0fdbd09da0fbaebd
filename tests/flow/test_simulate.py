"""The simulate step's processes that compile."""

import multiprocessing
from types import SimpleNamespace

import numpy as np
import pytest

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run import kernels
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.verify import simulate
from xnoreplay.sim import run, session
from xnoreplay.sim.common import ahead
from xnoreplay.sim.common.jit import COMPILED, KERNELS
from xnoreplay.sim.run import Simulator
from xnoreplay.sim.step import sequencer
from xnoreplay.sim.step.learn_sequencer import Phase
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.generative_chip import GenerativeChip
from xnoreplay.spec.plan import LEARNING_PHASES
from xnoreplay.spec.target import NEVER

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


TINY = presets.load("tiny")
PLAN, BUNDLE = plans.compile(TINY.network, TINY.target), bundles.random(TINY.network, 0)


def drawing() -> presets.Preset:
    """`tiny` with generative replay."""
    return presets.vary(
        TINY, "target", replay="generative", drawn_per_class=3, replay_components=2, epochs=1
    )


@pytest.fixture
def begun(monkeypatch):
    """Processes of `compile_kernels` that were begun, which live for so many waits; on a machine of three cores."""
    processes: list[dict] = []
    lives: list[int] = []

    def begin(**given) -> Worker:
        processes.append(given)
        return Worker(lives.pop(0) if lives else 0)

    context = SimpleNamespace(Process=begin)
    monkeypatch.setattr(multiprocessing, "get_context", lambda _way: context)
    monkeypatch.setattr(kernels, "cores", lambda: 3)
    monkeypatch.setattr(kernels.processes, "die_with_parent", lambda: None)
    return SimpleNamespace(processes=processes, lives=lives)


@pytest.mark.parametrize("lives", [(3, 1, 2), (1, 3, 2), (2, 1, 3)])
def test_whoever_still_compiles_is_waited_for(monkeypatch, begun, lives):
    monkeypatch.setattr(ahead, "is_noted", lambda _work: False)
    begun.lives.extend(lives)
    simulate.compile_kernels(PLAN, BUNDLE, [], Silent())
    assert len(begun.processes) == 3
    assert not begun.lives


def test_each_work_is_done_once(monkeypatch, begun):
    """By one process, which notes it; a process is begun only for what nobody has noted."""
    noted: list[str] = []
    monkeypatch.setattr(ahead, "is_noted", noted.__contains__)
    monkeypatch.setattr(ahead, "note", noted.append)
    for name in ("compile_step", "carry_out_fast", "learn_fast"):
        monkeypatch.setattr(simulate, name, lambda *_: None)
    sessions = [[simulate.Command("infer"), simulate.Command("retrain")]]
    simulate.compile_kernels(PLAN, BUNDLE, sessions, Silent())
    for process in begun.processes:
        process["target"](*process["args"])
    steps = [f"run_{n}" for n in ("forward", "image", "load", "replay", "update")]
    assert sorted(name for name in noted if name.startswith("step")) == [f"step {n}" for n in steps]
    assert len(noted) == len(set(noted)) == len(steps) + 2
    begun.processes.clear()
    simulate.compile_kernels(PLAN, BUNDLE, sessions, Silent())
    assert begun.processes == []
    noted.remove("step run_image")
    simulate.compile_kernels(PLAN, BUNDLE, sessions, Silent())
    assert [list(process["args"][0]) for process in begun.processes] == [["step run_image"]]


def test_generative_replay_is_compared_with_its_reference():
    """Both modes and the reference carry out power-on and a session; a wrong bit of a mean is found."""
    preset = drawing()
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


@pytest.mark.parametrize("preset", [TINY, drawing()], ids=["stored", "generative"])
def test_stepping_mode_calls_only_kernels_that_are_compiled_ahead(monkeypatch, preset):
    plan = plans.compile(preset.network, preset.target)
    chip = Simulator(plan, BUNDLE, "step")
    expected, called = set(chip.kernels()), set()
    for module in (run, session):
        real = module.kernel_of

        def noted(*given, real=real):
            kernel = real(*given)
            called.add(kernel.__qualname__)
            return lambda *_: True  # it has come to its end

        monkeypatch.setattr(module, "kernel_of", noted)
    image = np.zeros(preset.network.image_shape, np.uint8)
    chip.arrive(2)
    for verb in ("insert", "stage"):
        getattr(chip, verb)(image, 1)
    chip.rebalance()
    chip.infer(image)
    chip.restore()
    phases: list = []
    planned = [p for p in Phase if LEARNING_PHASES[p] in plan.phases]
    monkeypatch.setattr(chip._session, "_phases", lambda phase, _done: list(map(phase, planned)))
    chip._session.retrain([1, 1], "step", phases, [], NEVER)
    assert called == expected


def noted(monkeypatch, *modules) -> set[str]:
    """Names of the kernels of some modules that are called from here on."""
    called = set()

    def noting(name, real):
        return lambda *given: called.add(name) or real(*given)

    for module in modules:
        for name, real in list(vars(module).items()):
            if hasattr(real, "py_func") and real in KERNELS:
                monkeypatch.setattr(module, name, noting(name, real))
    return called


@pytest.mark.skipif(not COMPILED, reason="minutes where kernels run as plain Python")
def test_a_session_of_two_samples_calls_all_that_a_session_calls(monkeypatch):
    """In fast mode, without an image."""
    called = noted(monkeypatch, session.fast_learn, session.learn_kernels, run.fast)
    simulate.learn_fast(PLAN, BUNDLE)
    alone = set(called)
    called.clear()
    sessions = simulate.script(TINY, PLAN, registry.of_preset(TINY))
    chip = Simulator(PLAN, BUNDLE)
    for command in (*sessions[0][:9], *sessions[1][:9], simulate.Command("retrain")):
        command.carry_out(chip)
    assert {"forward", "update", "load_phase", "error_phase", "store_rows"} <= alone
    assert alone == {name for name in called if name not in vars(run.fast)}


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_a_kernel_is_compiled_without_a_clock(monkeypatch):
    chips = []
    monkeypatch.setattr(
        run, "Simulator", lambda *given: chips.append(Simulator(*given)) or chips[-1]
    )
    simulate.compile_step(PLAN, BUNDLE, "run_image")
    assert chips[0].cycles == 0
    assert sequencer.run_image.signatures


def test_what_the_tests_begin_with_has_every_kernel_of_stepping_mode(monkeypatch):
    found: dict[str, kernels.Work] = {}
    monkeypatch.setattr(simulate, "compile_ahead", lambda works, _progress: found.update(works))
    simulate.compile_everything(Silent())
    steps = {name.removeprefix("step ") for name in found if name.startswith("step ")}
    assert steps == simulate.SECONDS.keys() - {"fast", "session", "rest"}
    made = {kernel.__qualname__ for kernel in KERNELS if "run_" in kernel.__qualname__}
    assert steps == made or not COMPILED
    called = noted(monkeypatch, run.fast_replay, run.fast_generative, run.functional)
    for name in {name for name in found if name.startswith("rest")}:
        found[name].function(*found[name].arguments)
    wanted = {"epoch_phase", "restore_phase", "gather_phase", "check_phase", "classify"}
    assert called >= wanted or not COMPILED
