"""Class-incremental learning on a frozen feature extractor: the chip's integers, and baselines.

Every method sees the same latents in the same order. Task 0 is the base, whose classifier the bundle
has; each later task is one retraining session.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xnoreplay.flow.datasets import latent_files, registry
from xnoreplay.flow.datasets.latent_files import LatentSet
from xnoreplay.flow.learning import predictions
from xnoreplay.flow.output.quantities import percent
from xnoreplay.flow.run.progress import Progress, Silent
from xnoreplay.flow.run.workers import side_by_side, still_wanted
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import counterparts, replay
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, XnoreplayError, shown
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.rows import chunks
from xnoreplay.spec.scenario import ScenarioSpec
from xnoreplay.spec.target import MOST_LATENTS, TargetSpec

CODE = ("flow/learning/cil.py",)
"""Modules that compute the scores; see `xnoreplay.flow.run.step.Step`."""
FLOAT_EPOCHS = 10
SILENT = Silent()


@dataclass(frozen=True)
class Latents:
    """Latents and chip classes of a scenario's samples.

    Parameters
    ----------
    train, test : ndarray
        (n, latent) uint8 bits of training and test samples.
    train_class, test_class : ndarray
        (n,) int64, their chip classes.
    """

    train: np.ndarray
    train_class: np.ndarray
    test: np.ndarray
    test_class: np.ndarray

    def shuffled(self, seed: int) -> "Latents":
        """Return the latents with the training samples in another order, drawn from a seed."""
        order = np.random.default_rng(seed).permutation(len(self.train))
        return dataclasses.replace(
            self, train=self.train[order], train_class=self.train_class[order]
        )

    def of(self, classes: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return training latents and classes of some classes, in order of arrival."""
        chosen = np.isin(self.train_class, list(classes))
        return self.train[chosen], self.train_class[chosen]

    @property
    def largest_class(self) -> int:
        """How many training samples the class with most of them has."""
        return int(np.bincount(self.train_class).max())

    def test_counts(self, scenario: ScenarioSpec) -> list[int]:
        """Count the test samples of each task."""
        return np.bincount(scenario.task_of[self.test_class], minlength=scenario.tasks + 1).tolist()


def simulated(preset: Preset, bundle: Bundle, progress: Progress = SILENT) -> LatentSet:
    """Compute the latents of every image of the scenario's data set with the simulator's feature extractor."""
    from xnoreplay.sim.run import Simulator

    dataset = registry.of_preset(preset)
    stored = dataclasses.replace(preset.target, replay="stored")  # latents are the same either way
    simulator = Simulator(plans.compile(preset.network, stored), bundle)
    with progress.task("latents", len(dataset.images)) as task:
        parts = [simulator.latents(chunk, task.advance) for chunk in chunks(dataset.images)]
    bits = np.concatenate(parts)
    digest = bundles.digest(bundle)
    return LatentSet(dataset.name, digest, bits, dataset.labels, dataset.is_test)


def extract(
    preset: Preset, bundle: Bundle, file: Path | None = None, progress: Progress = SILENT
) -> Latents:
    """Return the latents of the scenario's classes: of a file, else the bundle's packaged ones, else simulated.

    Parameters
    ----------
    preset : Preset
        With the scenario.
    bundle : Bundle
        Whose feature extractor makes the latents.
    file : Path, optional
        A latent file of the bundle.
    progress : Progress
        Shows how far the simulator is.

    Raises
    ------
    SpecError
        For a file of another data set.
    XnoreplayError
        For a file that is unreadable, or of another bundle.
    """
    wanted = preset.scenario.dataset
    if file is not None:
        stored = latent_files.of(bundle, file)
        if stored.dataset != wanted:
            raise SpecError(
                f"latent file {file} must be of data set {wanted!r}, not {shown(stored.dataset)}"
            )
    else:
        known = latent_files.packaged(bundle)
        stored = known if known and known.dataset == wanted else simulated(preset, bundle, progress)
    return of_scenario(preset, stored)


def of_scenario(preset: Preset, stored: LatentSet) -> Latents:
    """Choose the latents of the scenario's classes among those of its data set.

    Raises
    ------
    XnoreplayError
        Where a class has no training or no test sample: no score could be computed.
    """
    scenario = preset.scenario
    classes = scenario.chip_classes(stored.labels)
    test = (classes >= 0) & stored.is_test
    train = np.zeros(len(classes), bool)
    given = np.flatnonzero(~stored.is_test)
    train[given] = scenario.seen_in_training(classes[given])
    for kind, chosen in (("training", train), ("test", test)):
        counts = np.bincount(classes[chosen], minlength=scenario.classes)
        if not counts.all():
            raise XnoreplayError(
                f"latents of data set {shown(stored.dataset)} must have {kind} samples of all the scenario's "
                f"{scenario.classes} classes, but have none of label {scenario.order[counts.argmin()]}"
            )
    return Latents(stored.latents[train], classes[train], stored.latents[test], classes[test])


Session = Callable[[int], None]
Predict = Callable[[np.ndarray], np.ndarray]


def evaluate(scenario: ScenarioSpec, latents: Latents, session: Session, predict: Predict) -> dict:
    """Learn every task of a scenario and score it, by `xnoreplay.model.metrics`.

    Parameters
    ----------
    scenario : ScenarioSpec
        With its tasks.
    latents : Latents
        Whose `test` is what `predict` takes: latents, or images.
    session : callable
        Takes the number of a task, and learns it.
    predict : callable
        Takes test samples, and returns their (n,) chip classes.

    Returns
    -------
    dict
        matrix (None above its diagonal), a_final, a_old, a_new, average, forgetting,
        backward_transfer; predictions (tasks, n) of every test sample after each task.
    """
    tasks, rows = scenario.task_of[latents.test_class], []
    for task in range(scenario.tasks + 1):
        still_wanted()
        session(task)
        rows.append(predict(latents.test))
    predicted = np.stack(rows)
    return {**predictions.score(latents.test_class, tasks, predicted), "predictions": predicted}


def power_on(target: TargetSpec, bundle: Bundle, seed: int):
    """Make a learner whose random registers start from a seed; seed 0 is the chip's own power-on.

    The registers of another seed are what a host writes to LFSR_WALK, LFSR_ERROR and LFSR_UPDATE before it begins, and
    to the draw registers of generative replay.

    """
    from xnoreplay.sim.generative import GenerativeLearner
    from xnoreplay.sim.learner import Learner
    from xnoreplay.spec.generative import registers
    from xnoreplay.spec.lfsr import WIDE_BITS
    from xnoreplay.spec.reference import Random

    kind = {"stored": Learner, "generative": GenerativeLearner}[target.replay]
    if not seed:
        return kind(bundle, target)
    rng = np.random.default_rng(seed)
    random = Random(*map(int, rng.integers(1, 1 << 32, 3)))
    if target.replay == "stored":
        return Learner(bundle, target, random)
    wide = rng.integers(1, 1 << WIDE_BITS, registers(target.channels), np.uint64)
    return GenerativeLearner(bundle, target, random, wide.tolist())


def chip(preset: Preset, bundle: Bundle, latents: Latents, seed: int) -> dict:
    """Score latent replay in the chip's integers: the sessions that the hardware runs."""
    learner = power_on(preset.target, bundle, seed)
    scenario = preset.scenario

    def session(task: int) -> None:
        begin(learner, scenario, latents, task)
        if task:
            learner.retrain()
            learner.rebalance()

    return evaluate(scenario, latents, session, learner.predict)


def begin(learner, scenario: ScenarioSpec, latents: Latents, task: int) -> None:
    """Let a task's samples enter the learner: staged where there is staging, else inserted at once.

    The base fills the replay memory at power-on.
    """
    direct = task == 0 or not learner.target.staging_capacity
    if direct:
        learner.arrive(scenario.seen(task))
    put = learner.insert if direct else learner.stage
    z, y = latents.of(scenario.task_classes(task))
    for i in replay.entry_order(learner.target, y):
        put(z[i], int(y[i]))


def cumulative(preset: Preset, bundle: Bundle, latents: Latents, seed: int) -> dict:
    """Score the chip's rule with room for every training sample: the upper bound of latent replay."""
    target = dataclasses.replace(
        preset.target,
        replay="stored",
        replay_capacity=most_latents(preset.scenario, latents),
        staging_capacity=0,
    )
    return chip(dataclasses.replace(preset, target=target), bundle, latents, seed)


def most_latents(scenario: ScenarioSpec, latents: Latents) -> int:
    """Count the latents that a memory must hold to have every training sample, at most those that a chip's can."""
    return min(latents.largest_class * scenario.classes, MOST_LATENTS)


def naive(preset: Preset, bundle: Bundle, latents: Latents, seed: int) -> dict:
    """Score the chip's rule on new classes alone, with nothing remembered: the lower bound of latent replay."""
    scenario = preset.scenario
    staging = latents.largest_class * scenario.most_new_classes
    target = dataclasses.replace(preset.target, replay="stored", staging_capacity=staging)
    learner = power_on(target, bundle, seed)

    def session(task: int) -> None:
        if task == 0:
            learner.arrive(scenario.seen(0))
            return
        begin(learner, scenario, latents, task)
        learner.retrain()
        learner.staged.clear()

    return evaluate(scenario, latents, session, learner.predict)


def floating(
    preset: Preset,
    bundle: Bundle,
    latents: Latents,
    seed: int,
    balanced: bool = True,
    loss: str = "cce",
) -> dict:
    """Score a float classifier, trained by Adam on the latents that the chip learns from in each session.

    With generative replay the samples are those of one epoch, again and again, where the chip draws anew.

    Parameters
    ----------
    preset, bundle, latents, seed
        As of every method of `METHODS`.
    balanced, loss
        As of `xnoreplay.model.float_classifier.train`; the chip balances its classes, too.
    """
    learner = power_on(preset.target, bundle, seed)

    def source(task: int) -> tuple[np.ndarray, np.ndarray]:
        if task > 1:
            learner.rebalance()  # what the last session staged
        begin(learner, preset.scenario, latents, task)
        return learner.samples()

    return float_sessions(preset, bundle, latents, seed, source, balanced=balanced, loss=loss)


def float_sessions(  # noqa: PLR0913  each is a choice of the experiment
    preset: Preset,
    bundle: Bundle,
    latents: Latents,
    seed: int,
    source: Callable[[int], tuple[np.ndarray, np.ndarray]],
    reset: bool = False,
    balanced: bool = True,
    loss: str = "cce",
    epochs: int = FLOAT_EPOCHS,
) -> dict:
    """Score a float classifier, trained by Adam in each session on the samples that `source` gives.

    Parameters
    ----------
    preset : Preset
        With the scenario.
    bundle : Bundle
        With the classifier of the base.
    latents : Latents
        In the order of the seed.
    seed : int
        Of the training.
    source : callable
        Takes the number of a task, and returns its latents and classes. It is called for every task in order; its
        samples of task 0 are not learnt.
    reset : bool
        Whether each session starts from random proxies, not from what the last one left.
    balanced, loss, epochs
        As of `xnoreplay.model.float_classifier.train`.
    """
    from xnoreplay.model import float_classifier

    scenario, weights, seen = preset.scenario, float_classifier.weights_of_bundle(bundle), 0

    def session(task: int) -> None:
        nonlocal weights, seen
        seen = scenario.seen(task)
        z, y = source(task)
        if task:
            weights = float_classifier.train(
                float_classifier.random_weights(bundle.network, seed) if reset else weights,
                z,
                y,
                seen,
                seed=seed,
                epochs=epochs,
                batch=preset.target.batch,
                balanced=balanced,
                loss=loss,
            )

    return evaluate(
        scenario, latents, session, lambda z: float_classifier.predict(weights, z, seen)
    )


METHODS = {"chip": chip, "float": floating, "cumulative": cumulative, "naive": naive}


def methods_of(preset: Preset) -> dict[str, Callable[[Preset, Bundle, Latents, int], dict]]:
    """Return `METHODS`, and with generative replay the chip with each of `counterparts.stored` besides."""
    plan = plans.compile(preset.network, preset.target)

    def beside(target: TargetSpec) -> Callable[[Preset, Bundle, Latents, int], dict]:
        stored = dataclasses.replace(preset, target=target)
        return lambda _preset, bundle, latents, seed: chip(stored, bundle, latents, seed)

    return METHODS | {name: beside(t) for name, t in counterparts.stored(plan).items()}


def compare_learners(
    preset: Preset,
    bundle: Bundle,
    seeds: Iterable[int],
    progress: Progress,
    dump: Path | None = None,
    workers: int = 1,
) -> dict:
    """Score every method of `methods_of` over every seed.

    Parameters
    ----------
    preset : Preset
        With the scenario.
    bundle : Bundle
        With extractor and classifier of the base.
    seeds : iterable of int
        A seed orders the samples and starts the random registers.
    progress : Progress
        Shows how far the methods are.
    dump : Path, optional
        Where a file of all predictions goes, as `xnoreplay.flow.learning.predictions` describes it.
    workers : int
        How many are computed side by side.

    Returns
    -------
    dict
        seeds, tasks (chip classes of each), names of the chip classes, by_class: what `by_class` returns of the
        chip after the last session, test_counts, and for each method lists
        over seeds: matrix, the scores of `evaluate`; accuracies in [0, 1].

    Raises
    ------
    SpecError
        For no seed, and a scenario without sessions.
    """
    seeds = list(seeds)
    if not seeds:
        raise SpecError("seeds must name at least one seed, not none")
    scenario = preset.scenario
    scenario.check_session()
    latents = extract(preset, bundle, progress=progress)
    truth = latents.test_class
    methods = methods_of(preset)
    jobs = [(seed, name) for seed in seeds for name in methods]

    def one(job: tuple[int, str]) -> dict:
        seed, name = job
        return methods[name](preset, bundle, latents.shuffled(seed), seed)

    scores: dict[str, dict[str, list]] = {name: {} for name in methods}
    predicted = {}
    with progress.task("class-incremental learning", len(jobs)) as task:
        for (seed, name), result in zip(jobs, side_by_side(one, jobs, workers), strict=True):
            predicted[f"{name}/{seed}"] = result.pop("predictions")
            for key, value in result.items():
                scores[name].setdefault(key, []).append(value)
            task.advance(1, f"seed {seed}, {name}")
    for name, values in scores.items():
        progress.note(_line(name, values))
    if dump is not None:
        predictions.dump(dump, preset, bundle, latents.test_class, predicted)
    classes = [list(scenario.task_classes(t)) for t in range(scenario.tasks + 1)]
    return {
        "seeds": seeds,
        "tasks": classes,
        "names": scenario.names,
        "by_class": by_class(truth, [p[-1] for n, p in predicted.items() if n.startswith("chip/")]),
        "test_counts": latents.test_counts(scenario),
        "methods": scores,
    }


def by_class(truth: np.ndarray, predicted: Sequence[np.ndarray]) -> list[dict]:
    """Count for each class how often it is recognised, and what it is mostly taken for.

    Parameters
    ----------
    truth : (n,) int64
        Chip class of each test sample.
    predicted : sequence of (n,) int64
        What was said of them, once a seed.

    Returns
    -------
    list of dict
        Of each chip class: images, right (fraction over all seeds), taken_for (the most frequent wrong class, the
        lowest of several; None where all are right), times (how often, over all seeds).
    """
    found = []
    for c in range(int(truth.max()) + 1):
        said = np.concatenate([p[truth == c] for p in predicted])
        wrong = np.bincount(said[said != c])
        found.append(
            {
                "images": int((truth == c).sum()),
                "right": float((said == c).mean()),
                "taken_for": int(wrong.argmax()) if wrong.size else None,
                "times": int(wrong.max(initial=0)),
            }
        )
    return found


def _line(name: str, scores: dict[str, list]) -> str:
    """Return one method's scores as a line in percent: mean and sample standard deviation over the seeds."""
    named = ("a_final", "a_old", "a_new", "average", "forgetting")
    return f"{name:10} | {' | '.join(f'{n} {percent(scores[n])}' for n in named)}"
