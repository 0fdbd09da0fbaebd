"""Counted workloads against the sessions themselves, and native replay by hand."""

import dataclasses

import numpy as np
import pytest

from xnoreplay.flow.cost import replay_variants as native
from xnoreplay.flow.cost import workload
from xnoreplay.flow.datasets import registry as data
from xnoreplay.flow.verify import simulate
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets
from xnoreplay.spec.errors import SpecError

TINY = presets.load("tiny")
BUNDLE = bundles.random(TINY.network, 0)


def dialled(**dials):
    return dataclasses.replace(TINY, target=dataclasses.replace(TINY.target, **dials))


def simulated(preset):
    """Counters of the first session with every image, and its phases' cycles."""
    plan = plans.compile(preset.network, preset.target)
    chip = Simulator(plan, BUNDLE)
    prepare, session, *_ = simulate.script(preset, plan, data.of_preset(preset))
    for command in prepare:
        command.carry_out(chip)
    chip.ledger.clear()
    for command in session:
        if command.verb != "infer":
            command.carry_out(chip)
    return workload.Workload(chip.ledger.phases)


@pytest.mark.parametrize(
    "dials",
    [
        {},
        {"staging_capacity": 0},
        {"hidden_learns": True},
        {"replay": "generative"},
        {"replay": "generative", "staging_capacity": 0, "drawn_per_class": 40},
    ],
)
def test_a_session_from_latents_counts_what_images_count(dials):
    preset = dialled(**dials)
    met = workload.samples(preset, BUNDLE)
    counted, expected = workload.session(preset, BUNDLE, met), simulated(preset)
    assert met.real
    assert counted.cycles == expected.cycles
    assert counted.counters == expected.counters
    assert counted.phases == expected.phases


def test_an_inference_takes_the_closed_form():
    plan = plans.compile(TINY.network, TINY.target)
    assert workload.inference(TINY, BUNDLE).cycles == plan.infer_cycles(TINY.scenario.classes)


def test_random_bits_where_no_latents_are():
    met = workload.samples(TINY, None)
    assert not met.real
    assert "random bits" in met.origin
    share = TINY.target.replay_capacity // TINY.scenario.base
    assert np.bincount(met.remembered_class).tolist() == [share] * TINY.scenario.base


def test_packaged_latents_are_taken(monkeypatch):
    from xnoreplay.flow.learning import cil

    stored = cil.simulated(TINY, BUNDLE)
    monkeypatch.setattr(workload, "packaged", lambda _bundle: stored)
    monkeypatch.setattr(cil, "simulated", None)
    met = workload.samples(TINY, BUNDLE)
    assert met.real
    kept = met.arriving_class == 2
    ours = cil.of_scenario(TINY, stored)
    assert (met.arriving[kept] == ours.train[ours.train_class == 2]).all()


def test_a_bundle_without_latents_meets_random_bits():
    scenario = dataclasses.replace(TINY.scenario, dataset="random")
    met = workload.samples(dataclasses.replace(TINY, scenario=scenario), BUNDLE)
    assert not met.real
    assert len(met.arriving_class) == 75  # three of four of a hundred images are for training


def test_a_task_that_is_none():
    with pytest.raises(SpecError, match="task must be an integer from 1 to 2, not 3"):
        workload.samples(TINY, None, task=3)


def test_a_scenario_without_sessions():
    preset = presets.vary(TINY, "scenario", base=TINY.scenario.classes)
    with pytest.raises(SpecError, match="base must be less than the scenario's 4 classes .* not 4"):
        workload.samples(preset, None)


def test_native_memories_by_hand():
    preset = presets.load("3mb-stored")
    plan = plans.compile(preset.network, preset.target)
    latent, images, retrained = (
        {m.name: m for m in native.memories(plan, v)} for v in native.VARIANTS
    )
    assert latent.keys() - images.keys() == {"replay.latent", "staging.latent"}
    assert images["replay.image"].bits == 13 * 4882 * 1024
    assert images["staging.image"].bits == 13 * 5000 * 1024
    # Of 8-bit proxies seven bits more than the weight, in words of 16 proxies.
    assert retrained["fe.low"].bits == 7 * preset.network.fe_weight_bits
    # Bits of all input maps, masks before pooling, and two bits for each pooled output.
    inputs = 65536 + 131072 + 32768 + 65536 + 16384 + 32768 + 8192 + 1024
    outputs = 131072 + 131072 + 65536 + 65536 + 32768 + 32768 + 1024 + 1024
    places = 2 * (32768 + 16384 + 8192)
    assert native.map_bits(plan) == inputs + outputs + places


def test_native_replay_runs_the_extractor_at_every_visit():
    plan = plans.compile(TINY.network, TINY.target)
    met = workload.samples(TINY, BUNDLE)
    latent = workload.session(TINY, BUNDLE, met)
    images = native.workload(plan, latent, native.IMAGES)
    visits = latent.counters["learn.samples"]
    assert images.counters["images"] == visits
    assert images.phases["conv0"]["cycles"] == visits * plan.convolutions[0].cycles
    assert "replay.latent.reads" not in images.counters
    retrained = native.workload(plan, latent, native.RETRAINED)
    products, first = native.multiplications(plan)
    cells = TINY.target.delta_bits * (2 * products - first) * visits
    assert retrained.cycles - images.cycles == -(-cells // TINY.target.cells)


def test_products_of_3mb():
    """43,008 beats of 9,216 cells are the six convolutions."""
    preset = presets.load("3mb")
    plan = plans.compile(preset.network, preset.target)
    products, _ = native.multiplications(plan)
    assert products == 43_008 * 9_216 + 16 * 512 + 1024 * 1024


def test_a_session_of_few_shots_meets_no_more_new_samples():
    """Without latents at hand the samples are random bits, as many as the data set and `shots` bring."""
    full = presets.load("3mb-stored")
    preset = presets.vary(full, "scenario", shots=5)
    met = workload.samples(preset, None, 2)
    assert np.bincount(met.arriving_class).tolist() == [0] * 60 + [5] * 10
    assert np.bincount(met.remembered_class).tolist() == [4882 // 60] * 50 + [5] * 10
    every = workload.samples(full, None, 2)
    assert np.bincount(every.arriving_class)[60:].tolist() == [500] * 10
