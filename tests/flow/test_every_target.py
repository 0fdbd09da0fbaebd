"""The estimate takes every target that TargetSpec allows: energies above 0 and finite, and no exception."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import strategies
from xnoreplay.flow import cli
from xnoreplay.flow.commands.specfile import to_toml
from xnoreplay.flow.cost import estimate, session_cost, workload
from xnoreplay.flow.cost import replay_variants as native
from xnoreplay.flow.cost import tables as costs
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import limits, presets
from xnoreplay.spec import plan as plans
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.network import Conv
from xnoreplay.spec.plan import LEARNING_PHASES
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import events as event_names
from xnoreplay.spec.scenario import ScenarioSpec
from xnoreplay.spec.target import DEVICE_TYPES, MOST_LATENTS, TECHNOLOGIES, TargetSpec

POWERS = [1 << i for i in range(13)]
PRICED = st.fixed_dictionaries(
    {
        "technology": st.sampled_from(TECHNOLOGIES),
        "device_type": st.sampled_from(DEVICE_TYPES),
        "clock_hz": st.sampled_from((1, 50_000_000, limits.MOST["clock_hz"].most)),
    }
)
BASE = presets.load("tiny").network


@st.composite
def targets(draw):
    """Every range of TargetSpec, up to its ends."""
    channels = draw(st.sampled_from(POWERS))
    capacity = draw(st.sampled_from((4, 5, 100, 4096, MOST_LATENTS - 1, MOST_LATENTS)))
    staging = draw(st.sampled_from([n for n in (0, 1, 5000) if n + capacity <= MOST_LATENTS]))
    return TargetSpec(
        "drawn",
        lanes=draw(st.sampled_from([n for n in POWERS if n <= channels])),
        channels=channels,
        batch=draw(st.sampled_from([n for n in POWERS if n <= 8 * channels])),
        proxy_bits=draw(st.integers(2, 12)),
        delta_bits=draw(st.integers(2, 8)),
        proxies_per_pair=draw(st.sampled_from((1, 2))),
        hidden_learns=draw(st.booleans()),
        replay_capacity=capacity,
        staging_capacity=staging,
        epochs=draw(st.sampled_from((1, 1000))),
        most_error_units=draw(st.sampled_from(POWERS)),
        rate_shift=draw(st.integers(-8, 16)),
        **draw(PRICED),
    )


def positive(joules):
    assert len(joules) == 3
    assert all(0 < j < math.inf for j in joules), joules
    assert joules[0] <= joules[1] <= joules[2]


def counted(plan):
    """A run in which every event of the chip is counted, by phase."""
    names = event_names(plan.memories)
    events = dict.fromkeys(names, 12)
    phases = {op.name: dict(events) for op in plan.feature_ops}
    return workload.Workload(phases | {name: dict(events) for name in ("output", *LEARNING_PHASES)})


@settings(max_examples=60)
@given(
    target=targets(),
    latent=st.sampled_from((1, 12, 1024, 16384)),
    hidden=st.sampled_from((1, 5, 128)),
    convs=st.sampled_from(((Conv(8), Conv(8, pool=True)), (Conv(300),), (Conv(4096),))),
)
def test_every_event_has_a_price(target, latent, hidden, convs):
    network = dataclasses.replace(BASE, latent=latent, hidden=hidden, convs=convs)
    refused = ""
    try:
        plan = plans.compile(network, target)
    except SpecError as error:
        refused = str(error)
    assert not refused or limits.MEMORY in refused
    assume(not refused)
    run = counted(plan)
    for name in native.VARIANTS:
        for price in session_cost.variant(plan, run, run, name).values():
            positive(price["total"])
            for row in price["rows"]:  # a calibration below 1 takes joules off the others
                least = -price["total"][0] if row["part"] == "calibration" else 0
                assert all(math.isfinite(j) and j >= least for j in row["joules"])
            parts = price["split"]
            positive(parts["update units"])
    tree = estimate.report(plan, {"session": {"counters": run.counters, "cycles": run.cycles}})
    positive(tree["energy"]["session"]["total"])
    for part in tree["area"].values():
        assert all(math.isfinite(a) and a >= 0 for a in part)
    assert 0 <= session_cost.slowest(plan)["ns"] < math.inf


@settings(max_examples=8)
@given(data=st.data(), priced=PRICED)
def test_a_session_of_any_small_design_has_a_price(data, priced):
    """The whole cost of a session, its counters from the simulator."""
    target = dataclasses.replace(data.draw(strategies.targets(classes=4)), **priced)
    network = dataclasses.replace(data.draw(strategies.networks(lanes=target.lanes)), classes=4)
    try:
        plans.compile(network, target)
    except SpecError:
        assume(False)
    tree = session_cost.price_session(
        Preset("drawn", network, target, ScenarioSpec("random", 4, 2, 1)), None
    )
    assert tree["refused"] == {}
    for runs in tree["runs"].values():
        for price in runs.values():
            positive(price["total"])


def test_segments_of_proxies_without_low_bits_are_counted_elsewhere():
    """Of one design with and without low bits, the same count of updated segments by hand."""
    tiny = presets.load("tiny")
    for bits in (2, 3):
        for hidden_learns in (False, True):
            target = dataclasses.replace(
                tiny.target, proxy_bits=bits, hidden_learns=hidden_learns, rate_shift=0
            )
            plan = plans.compile(tiny.network, target)
            assert ("cls.low" in {m.name for m in plan.memories}) == (bits == 3)
            chip = Simulator(plan, bundles.random(tiny.network, 0))
            rng = np.random.default_rng(0)
            latents = rng.integers(0, 2, (9, 12), dtype=np.uint8)
            chip.arrive(4)
            chip.preload(latents, np.arange(9) % 4)
            before = chip.counters
            chip.retrain()
            moved = {name: n - before[name] for name, n in chip.counters.items()}
            segments = -(-12 // target.segment) + -(-5 // target.segment)
            assert segments > 1
            updated = estimate._updated_segments(moved)
            assert updated > 0
            assert updated % segments == 0
            if bits == 3:
                assert updated == moved["cls.low.writes"]
            rows = [
                r
                for r in estimate.energy(plan, moved, moved["cycles"])
                if r.event == "cls.low.writes"
            ]
            assert {r.count for r in rows if r.part == "update units"} == {updated}


@pytest.mark.parametrize("device_type", DEVICE_TYPES)
@pytest.mark.parametrize("technology", TECHNOLOGIES)
def test_every_technology_has_tables(technology, device_type):
    target = dataclasses.replace(
        presets.load("digits").target, technology=technology, device_type=device_type
    )
    assert costs.supply(costs.node_of(target), device_type) > 0
    assert costs.published(target)


def test_the_command_takes_a_target_at_its_ends(capsys, tmp_path):
    tiny = presets.load("tiny")
    target = TargetSpec(
        "ends",
        lanes=4,
        channels=16,
        batch=128,
        proxy_bits=2,
        delta_bits=2,
        hidden_learns=True,
        replay_capacity=4,
        most_error_units=4096,
        rate_shift=16,
        epochs=1,
        clock_hz=1,
        technology="22nm",
        device_type="hp",
    )
    spec = tmp_path / "ends.toml"
    spec.write_text(to_toml(Preset("ends", tiny.network, target, tiny.scenario)))
    assert cli.main(["estimate", "--preset", str(spec), "--untrained", "--explain", "all"]) == 0
    assert "update units" in capsys.readouterr().out
