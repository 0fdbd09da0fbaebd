"""Events that one inference and one retraining session of a scenario count in the simulator, by phase.

The phases from image to latent cost the same for every image, so they run once and are multiplied;
every other phase of the session runs, latent by latent, in the simulator's fast mode, whose counters
co-simulation holds to those of the Verilog.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.datasets.latent_files import LatentSet, packaged
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import replay
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.plan import LEARNING_PHASES, Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.scenario import ScenarioSpec

# Training images of a class in data sets that the user must bring; of CORe50 the mean of 119,894.
ARRIVALS = {"cifar100": 500, "core50": 2398}
EPOCH_PHASES = LEARNING_PHASES[1:]


@dataclass(frozen=True)
class Workload:
    """Counters of one run by phase.

    Parameters
    ----------
    phases : dict
        Phase -> counter -> events; ``cycles`` is a counter like the others. Events are whole but where a run is a mean
        of several.
    """

    phases: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def counters(self) -> dict[str, float]:
        """Events of all phases together, by counter."""
        total: Counter = Counter()
        for events in self.phases.values():
            total.update(events)
        return dict(total)

    @property
    def cycles(self) -> float:
        """Clock cycles of all phases together."""
        return sum(events["cycles"] for events in self.phases.values())

    def of(self, names) -> "Workload":
        """Return the workload of the named phases alone."""
        return Workload({p: e for p, e in self.phases.items() if p in names})


@dataclass(frozen=True)
class Samples:
    """Latents that a session meets: (n, latent) bits, (n,) chip classes, and where they are from.

    real : whether they are those of the scenario's images
    """

    remembered: np.ndarray
    remembered_class: np.ndarray
    arriving: np.ndarray
    arriving_class: np.ndarray
    origin: str
    real: bool


def samples(
    preset: Preset, bundle: Bundle | None, task: int = 1, stored: LatentSet | None = None
) -> Samples:
    """Return the latents that are remembered before a task, stored or by components, and those that arrive with it.

    They are those given in `stored`, else the packaged ones of the bundle, or made from the digits;
    of other data sets random bits stand for them, as many as the data set has training images.

    Raises
    ------
    SpecError
        For a task that the scenario has not.
    """
    scenario, target = preset.scenario, preset.target
    scenario.check_session(task)
    draws = target.replay == "generative"
    # Components learn from one sample more than an epoch draws, as the simulate step shows them.
    quota = (
        target.drawn_per_class + 1 if draws else target.replay_capacity // scenario.seen(task - 1)
    )
    if stored is None and bundle is not None:
        stored = latents_of(preset, bundle)
    if stored is not None:
        from xnoreplay.flow.learning import cil

        latents = cil.of_scenario(preset, stored)
        train, classes = latents.train, latents.train_class
        real = True
        origin = f"latents of the data set {scenario.dataset}, from the bundle"
        old = {c: train[classes == c] for c in range(scenario.seen(task - 1))}
        new = {c: train[classes == c] for c in scenario.task_classes(task)}
    else:
        count = _arrivals(preset)
        random = np.random.default_rng(0)

        def draw(n: int) -> np.ndarray:
            return random.integers(0, 2, (n, preset.network.latent), dtype=np.uint8)

        share = min(count, quota)
        few = min(count, scenario.shots or count)
        old = {
            c: draw(share if c < scenario.base else min(share, few))
            for c in range(scenario.seen(task - 1))
        }
        new = {c: draw(few) for c in scenario.task_classes(task)}
        real = False
        origin = "random bits: no latents of a trained extractor are at hand"
    kept = {c: z if draws and c >= scenario.base else z[:quota] for c, z in old.items()}
    return Samples(*_flat(kept), *_flat(new), origin, real)


def latents_of(preset: Preset, bundle: Bundle) -> LatentSet | None:
    """Return the latents of the data set: packaged, or those of the digits or a user's own images, or None."""
    from xnoreplay.flow.learning import cil

    stored = packaged(bundle)
    if stored is not None and stored.dataset == preset.scenario.dataset:
        return stored
    scenario = preset.scenario
    at_hand = scenario.dataset == "digits" or scenario.source is not None
    return cil.simulated(preset, bundle) if at_hand else None


def _flat(table: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    labels = np.concatenate([np.full(len(z), c) for c, z in table.items()])
    return np.concatenate(list(table.values())), labels


def _arrivals(preset: Preset) -> int:
    """Return how many training images a class of the base has; a new one has no more than the scenario's shots."""
    name = preset.scenario.dataset
    if name in ARRIVALS:
        return ARRIVALS[name]
    return int(np.bincount(registry.train_labels(preset)).max())


def chip(preset: Preset, bundle: Bundle | None):
    """Make a simulator in fast mode; without a bundle its weights are random bits."""
    from xnoreplay.sim.run import Simulator

    plan = plans.compile(preset.network, preset.target)
    return Simulator(plan, bundle or bundles.random(preset.network, 0, preset.scenario.max_pixel))


def inference(preset: Preset, bundle: Bundle | None, seen: int | None = None) -> Workload:
    """Count the events of one image among so many classes, of the whole scenario if not given."""
    simulator = chip(preset, bundle)
    simulator.arrive(preset.scenario.classes if seen is None else seen)
    simulator.ledger.clear()
    simulator.infer(np.zeros(preset.network.image_shape, np.uint8))
    return Workload(simulator.ledger.phases)


def session(preset: Preset, bundle: Bundle | None, met: Samples, task: int = 1) -> Workload:
    """Count the events of one session: new images enter, the classifier learns, the memory is rebalanced."""
    scenario = preset.scenario
    simulator = chip(preset, bundle)
    simulator.arrive(scenario.seen(task - 1))
    if simulator.plan.generative:
        for i in replay.entry_order(preset.target, met.remembered_class).tolist():
            simulator.enter_latent(met.remembered[i], int(met.remembered_class[i]), stage=False)
    else:
        simulator.remember(met.remembered, met.remembered_class)
    features = feature_phases(simulator.plan)
    simulator.ledger.clear()
    if not (simulator.plan.replay.staging or simulator.plan.generative):
        simulator.arrive(scenario.seen(task))
    for i in replay.entry_order(preset.target, met.arriving_class).tolist():
        simulator.enter_latent(met.arriving[i], int(met.arriving_class[i]))
    simulator.retrain()
    simulator.rebalance()
    one = inference(preset, bundle, seen=scenario.seen(task)).of(features)
    images = len(met.arriving_class)
    many = {p: {name: n * images for name, n in e.items()} for p, e in one.phases.items()}
    return Workload(many | simulator.ledger.phases)


def feature_phases(plan: Plan) -> tuple[str, ...]:
    """Name the phases from image to latent."""
    return tuple(op.name for op in plan.feature_ops)


def expected_new(scenario: ScenarioSpec, task: int) -> int:
    """Return how many classes a session learns."""
    return len(scenario.task_classes(task))
