"""The simulate step of a large network: a whole retraining session in both modes, few images.

Both modes start from the same samples in the replay and staging memories, put there past the ports; with
generative replay, from the components that fast mode makes of their latents. The images of a session are counted once
and multiplied: what one costs on its way to the latent does not depend on it, which the first ones show.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.verify import simulate, utilisation
from xnoreplay.spec import plan as plans
from xnoreplay.spec import reference
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

PROBES = 4  # images staged, and images recognised, in both modes
REFERENCE_IMAGES = 1
SPEED_IMAGES = {"step": 10, "fast": 100}


def simulate_session(preset: Preset, bundle: Bundle, out: Path, progress: Progress) -> dict:
    """Simulate one session of a large network and compare; returns what `simulate.simulate_sessions` does.

    Of a scenario whose base has all classes it is a retraining on what is remembered of them, which is compared, and not
    returned as a session.
    """
    from xnoreplay.sim.run import Simulator

    plan = plans.compile(preset.network, preset.target)
    dataset = registry.of_preset(preset)
    labels = preset.scenario.chip_classes(dataset.labels)
    old, new = chosen(preset, plan, np.where(dataset.is_test, -1, labels))
    fast, step = Simulator(plan, bundle), Simulator(plan, bundle, "step")
    tally = simulate.Tally()
    with progress.task("latents of the session's samples"):
        latents = fast.latents(dataset.images[np.concatenate([old, new])])
    kept = len(new) - min(PROBES, len(new))
    moved = remember(
        fast,
        preset,
        latents[: len(old) + kept],
        labels[np.concatenate([old, new[:kept]])],
        len(old),
    )
    step.put(fast.copied())
    commands = [simulate.Command("stage", dataset.images[i], int(labels[i])) for i in new[kept:]]
    commands += [simulate.Command("retrain"), simulate.Command("rebalance")]
    commands += [simulate.Command("infer", image) for image in dataset.test_images[:PROBES]]
    features = {op.name for op in plan.feature_ops}
    table: dict = {}
    with progress.task("simulate a session in both modes", len(commands)) as task:
        for command in commands:
            fast.ledger.clear()
            first, second = command.carry_out(fast), command.carry_out(step)
            simulate.compare_modes(fast, step, first, second, command.verb, tally)
            tally.commands += 1
            tally.images += command.image is not None
            every = len(new) / max(1, len(new) - kept)
            for name, events in fast.ledger.phases.items():
                alone = plan.generative and name not in features  # a take depends on its sample
                times = {"stage": 1 if alone else every, "infer": 0}.get(command.verb, 1)
                moved.setdefault(name, Counter()).update({k: n * times for k, n in events.items()})
            if command.verb == "retrain":
                table = utilisation.of_session(fast.ledger.phases)
            if command.verb != "stage":
                simulate.compare_memories(fast, step, command.verb, tally)
            task.advance(1, command.verb)
    inference, busy = simulate.one_inference(plan, bundle, preset, dataset.test_images[0], out)
    for image in dataset.test_images[:REFERENCE_IMAGES]:
        expected = reference.latent(bundle, image)
        simulate.must_equal("latent of the reference", expected, fast.latents(image[None])[0])
    phases = {name: round(events["cycles"]) for name, events in moved.items()}
    counters: Counter = sum(moved.values(), Counter())
    session = {
        "cycles": round(counters["cycles"]),
        "phases": {name: n for name, n in phases.items() if n},
        "counters": {name: round(counters[name]) for name in fast.counters},
    }
    what = "fast mode = stepping mode, a whole session"
    learns = preset.scenario.tasks > 0
    return {
        "inference": inference,
        **({"session": session} if learns else {}),
        "sessions": [session["cycles"]] if learns else [],
        "speed": simulate.speed(plan, bundle, preset, dataset.images, SPEED_IMAGES),
        "utilisation": {"inference": busy} | ({"session": table} if learns else {}),
        "equality": [tally.as_dict(what, fast.cycles)],
    }


def remember(
    fast, preset: Preset, latents: np.ndarray, labels: np.ndarray, old: int
) -> dict[str, Counter]:
    """Put samples of a session into a chip: the first `old` of earlier classes, then new ones.

    Returns
    -------
    dict
        Counters by phase that the new ones moved: of generative replay, whose components take them one by one.
    """
    if fast.plan.generative is None:
        fast.arrive(preset.scenario.seen_first)
        fast.preload(latents[:old], labels[:old], latents[old:], labels[old:])
        return {}
    fast.arrive(preset.scenario.base)
    samples = list(zip(latents, labels.tolist(), strict=True))
    for latent, label in samples[:old]:
        fast.enter_latent(latent, label, stage=False)
    fast.ledger.clear()
    for latent, label in samples[old:]:
        fast.enter_latent(latent, label, stage=True)
    return {name: Counter(events) for name, events in fast.ledger.phases.items()}


def chosen(preset: Preset, plan: Plan, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the samples of one session: those remembered of the base, and those new in the first task.

    labels : (n,) chip classes, -1 of samples that are not for training
    """
    scenario, replay = preset.scenario, plan.replay
    draws = plan.generative is not None
    quota = plan.first_samples(scenario.base) // scenario.base + draws
    old = np.concatenate([np.flatnonzero(labels == k)[:quota] for k in range(scenario.base)])
    new = [np.flatnonzero(labels == k) for k in range(scenario.base, scenario.seen_first)]
    most = None if draws else replay.staging
    return old, np.concatenate([*new, np.zeros(0, int)])[:most].astype(int)
