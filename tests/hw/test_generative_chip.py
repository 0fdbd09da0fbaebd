"""The chip of generative replay, in Amaranth's simulator, against the simulator: every memory, counter and cycle."""

import numpy as np
import pytest

from tests.hw.chip_bench import (
    ARRIVE,
    EPOCH,
    INFER,
    INSERT,
    REBALANCE,
    RESTORE,
    RETRAIN,
    STAGE,
    run_chip,
)
from tests.sim.generative_chips import TINY, latent_plan, tiny_plan
from tests.strategies import images
from xnoreplay.hw import generative as units
from xnoreplay.hw.learning import draw, fit
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles

PICTURES = images(TINY.network, 12, 3)
BUNDLE = bundles.random(TINY.network, 3)
SMALL = tiny_plan(
    drawn_per_class=4, replay_components=2, staging_capacity=3, staged_per_class=2, epochs=1
)
TAKES = [(ARRIVE, 2, None), *((INSERT, n // 3, PICTURES[n]) for n in range(4))]
NEW = [(STAGE, label, PICTURES[n]) for n, label in ((6, 2), (7, 2), (8, 2), (9, 0))]
LEARNS = [(RESTORE, 0, None), (EPOCH, 0, None), (RETRAIN, 0, None), (REBALANCE, 0, None)]
SESSION = [*TAKES, *NEW, *LEARNS, (INFER, 0, PICTURES[10])]


def check(plan, commands, aborts=None, resets=None, contents=None, bundle=BUNDLE):
    """The commands on both: phases, cycles, memories, registers and counters after each.

    aborts, resets : dict of int to int, cycles after which a command ends, by its number
    contents : dict of str to list of int, rows of memories before the first command
    """
    chip = Simulator(plan, bundle)
    for name, values in (contents or {}).items():
        width = plan.memory(name).width
        chip.write(name, np.array(values)[:, None] >> np.arange(width) & 1)
    ends = [[(cycles or {}).get(n) for n in range(len(commands))] for cycles in (aborts, resets)]
    seen = run_chip(plan, bundle, commands, aborts=ends[0], resets=ends[1], contents=contents)
    for n, ((command, argument, pixels), have) in enumerate(zip(commands, seen, strict=True)):
        start = chip.cycles
        if cycles := ends[0][n] or ends[1][n]:
            chip.abort(cycles)
        result = chip.carry_out(command, argument, pixels)
        assert [(name, cycle - start) for name, cycle in result.phases] == have.phases, n
        assert have.cycles == chip.cycles - start
        if ends[1][n]:
            chip.reset()
        state = chip.state
        names = ("prediction", "seen", "quota", "staged", "refused", "finished", "stale")
        names += ("lfsr_walk", "lfsr_error", "lfsr_update")
        assert [getattr(have, name) for name in names] == [getattr(state, name) for name in names]
        for name, rows in have.memories.items():
            assert rows == chip.memory_ints(name), (n, name)
        assert have.counters == chip.chip_counters, n


def test_whole_sessions():
    dials = {"staging_capacity": 4, "staged_per_class": 3, "hidden_learns": True, "epochs": 1}
    plan = tiny_plan(drawn_per_class=2, replay_components=1, mean_bits=1, **dials)
    check(plan, [*SESSION, (STAGE, 3, PICTURES[11]), (RETRAIN, 0, None)])


@pytest.mark.parametrize(
    "dials",
    [
        {"drawn_per_class": 5, "replay_components": 3, "mean_bits": 2},
        {"drawn_per_class": 3, "replay_components": 2, "mean_bits": 4, "lanes": 1, "channels": 64},
    ],
    ids=["three components", "two wide registers"],
)
def test_samples_are_taken_and_drawn(dials):
    check(tiny_plan(**dials), [*TAKES, LEARNS[0], LEARNS[1]])


def test_a_chip_that_is_given_latents():
    plan = latent_plan()
    given = images(plan.network, 12, 3)
    commands = [
        (command, argument, None if pixels is None else given[n])
        for n, (command, argument, pixels) in enumerate(SESSION[:12])
    ]
    check(plan, commands, bundle=bundles.random(plan.network, 2))


def test_commands_that_are_aborted():
    """In take, stage, a restore, an epoch and a session; and what comes after."""
    rng, features = np.random.default_rng(1), SMALL.feature_cycles
    script, aborts = list(TAKES), {}
    for command in (*[NEW[0]] * 3, *LEARNS[:3]):
        if command[0] is STAGE:
            aborts[len(script)] = features + int(rng.integers(1, 140))
        else:
            most = {RESTORE: 14, EPOCH: 150, RETRAIN: 600}[command[0]]
            aborts[len(script)] = int(rng.integers(1, most))
        script += [command] * (2 if command[0] is RESTORE else 1)
    check(SMALL, [*script, NEW[0], LEARNS[1]], aborts)


def test_resets_empty_what_is_remembered():
    cycles = {4: SMALL.feature_cycles + 30, 6: 40}
    check(SMALL, [*TAKES, TAKES[0], LEARNS[1], *TAKES[:2], LEARNS[1]], resets=cycles)


def test_full_shares_are_halved():
    """Of a class to which a host has given the most samples."""
    shares = [1023] * SMALL.generative.components
    means = np.random.default_rng(2).integers(0, 16, SMALL.generative.mean_rows).tolist()
    contents = {"replay.share": shares, "replay.mean": means}
    check(SMALL, TAKES[:3], contents=contents)


def opened_at_once(unit, m):
    """`FitUnit.begin_cycle` without the test which class is open."""
    m.d.comb += [unit.first.eq(1), unit.set_entry.eq(1)]
    unit.go(m, fit.State.SEEK)


def drawn_of_the_last(unit, m):
    """`GenerativeUnit.pick_cycle` without a comparison."""
    m.d.sync += [unit.chosen.eq(SMALL.generative.components - 1), unit.state.eq(units.State.DRAW)]


FAULTS = {
    "no class is opened": (fit.FitUnit, "begin_cycle", opened_at_once),
    "counters reach no mean": (fit.FitUnit, "compare", lambda *_: None),
    "a draw is of the last component": (units.GenerativeUnit, "pick_cycle", drawn_of_the_last),
    "a plane works the other way": (draw, "joined", lambda w, p, r: (p & w & r) | (~p & (w | r))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault, monkeypatch):
    monkeypatch.setattr(*FAULTS[fault])
    with pytest.raises(AssertionError):
        check(SMALL, [*TAKES, TAKES[2], LEARNS[1]])
