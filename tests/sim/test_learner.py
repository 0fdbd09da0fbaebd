"""The latent-level learner against the reference, over random tiny dials."""

import dataclasses

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from xnoreplay.sim.learner import Learner
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import presets, reference

TINY = presets.load("tiny")

TARGETS = st.builds(
    lambda **dials: dataclasses.replace(TINY.target, **dials),
    batch=st.sampled_from([1, 2, 4, 8]),
    proxy_bits=st.integers(2, 12),
    delta_bits=st.integers(2, 8),
    proxies_per_pair=st.sampled_from([1, 2]),
    hidden_learns=st.booleans(),
    replay_capacity=st.integers(4, 12),
    staging_capacity=st.integers(0, 6),
    epochs=st.integers(1, 6),
    rate_shift=st.integers(0, 6),
)


@settings(max_examples=40, deadline=None, derandomize=True, phases=[Phase.generate])
@given(target=TARGETS, seed=st.integers(0, 2**32 - 1))
def test_a_session_equals_the_reference(target, seed):
    bundle = bundles.random(TINY.network, seed)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (16, *TINY.network.image_shape), dtype=np.uint8)
    latents = [reference.latent(bundle, image) for image in images]
    chip = reference.Chip(bundle, target)
    learner = Learner(bundle, target)
    for both in (chip, learner):
        both.arrive(2)
    for n in range(8):
        chip.insert(images[n], n % 2)
        learner.insert(latents[n], n % 2)
    for session in range(2):
        if not target.staging_capacity:
            for both in (chip, learner):
                both.arrive(3 + session)
        for n in range(8, 14):
            if target.staging_capacity:
                chip.stage(images[n], 2 + session)
                learner.stage(latents[n], 2 + session)
            else:
                chip.insert(images[n], 2 + session)
                learner.insert(latents[n], 2 + session)
        minibatches = chip.retrain()
        assert learner.retrain() == len(minibatches)
        for both in (chip, learner):
            both.rebalance()
        assert (learner.proxies.hidden[:, 0] == chip.classifier.hidden).all()
        assert (learner.proxies.output == chip.classifier.output).all()
        assert learner.proxies.random.tolist() == [chip.random.error, chip.random.update]
        assert learner.walk_state == chip.random.walk
        assert (learner.labels == chip.labels).all()
        assert (learner.latents == chip.latents).all()
    expected = [chip.infer(image).prediction for image in images]
    assert learner.predict(np.array(latents)).tolist() == expected
