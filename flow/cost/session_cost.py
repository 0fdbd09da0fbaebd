"""The cost of learning a task's classes: one preset, its counted workloads, and the tables."""

from dataclasses import replace

from xnoreplay.flow.cost import estimate, memory_map, replay_variants, tables, tornado, workload
from xnoreplay.flow.cost.tables import gates
from xnoreplay.flow.run import files
from xnoreplay.spec import counterparts, learning_plan
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure, SpecError
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

RUNS = {
    "inference": "one inference",
    "sample": "one new sample, learned",
    "epoch": "one epoch",
    "session": "one session",
}
ALONE = "the chip"
"""Title of the only variant of a chip that never learns."""
NO_SESSION = "no session: the base has all classes, so the chip never learns"


def price_session(
    preset: Preset, bundle: Bundle | None, task: int = 1, expected: dict | None = None
) -> dict:
    """Price a session in memory, time and energy, latent beside native replay, or generative beside stored.

    Of a scenario without sessions an inference is priced.

    Parameters
    ----------
    preset : Preset
        Network, target and scenario.
    bundle : Bundle, optional
        Without one, weights and latents are random bits.
    task : int
        Which session, from 1.
    expected : dict of str to int, optional
        Counters of the same session as another step counted them, with the images themselves.

    Returns
    -------
    dict
        preset, origin (of weights and latents), task, new_classes, new_names, new_samples, samples ("images" or
        "latents"), remembered (how many latents), technology, memory (as `memory_map`), area (mm2); runs: of
        `replay_variants.variants` and `RUNS`, each as `estimate.price` gives it; refused: why another variant has no
        price; tornado: a session's joules with each assumption at its ends (`tornado.swings`); phases: counters of
        each phase of inference and session. Where the base has all classes, what `price_inference` returns.

    Raises
    ------
    CostError
        Where a cost of the chip itself is not in the tables.
    SpecError
        For a session that the scenario has not, or that takes too many cycles.
    CheckFailure
        Where the counters are not the expected ones.
    """
    if not preset.scenario.tasks and task == 1:
        return price_inference(preset, bundle)
    plan = plans.compile(preset.network, preset.target)
    learning_plan.check_cycles(plan)
    met = workload.samples(preset, bundle, task)
    learned = workload.session(preset, bundle, met, task)
    if expected is not None and met.real and learned.counters != expected:
        wrong = [k for k, n in expected.items() if learned.counters.get(k) != n]
        raise CheckFailure(
            f"the session must count {wrong[0]} = {expected[wrong[0]]} as the simulate step does, "
            f"not {learned.counters.get(wrong[0])}"
        )
    inference = workload.inference(preset, bundle)
    runs, refused = {}, {}
    others = counterparts.stored(plan)
    for name in replay_variants.variants(plan):
        try:
            if name in others:
                runs[name] = _priced(replace(preset, target=others[name]), bundle, task)
            else:
                runs[name] = variant(plan, inference, learned, name)
        except (tables.CostError, SpecError) as error:
            if name == replay_variants.LATENT:
                raise
            refused[name] = str(error)
    return {
        "preset": preset.name,
        "origin": f"weights: {_weights(bundle)}; latents: {met.origin}",
        "task": task,
        "new_classes": workload.expected_new(preset.scenario, task),
        "new_names": [preset.scenario.name_of(c) for c in preset.scenario.task_classes(task)],
        "new_samples": len(met.arriving_class),
        "samples": "images" if preset.network.takes_images else "latents",
        "remembered": len(met.remembered_class),
        "technology": estimate.technology(plan) | {"slowest": slowest(plan)},
        "memory": memory_map.memory_map(plan),
        "area": gates.area(plan),
        "runs": runs,
        "refused": refused,
        "tornado": tornado.swings(plan, learned.counters, learned.cycles),
        "phases": {"inference": inference.phases, "session": learned.phases},
    }


def _priced(preset: Preset, bundle: Bundle | None, task: int) -> dict[str, dict]:
    """Price `RUNS` on the chip of a preset."""
    plan = plans.compile(preset.network, preset.target)
    learning_plan.check_cycles(plan)
    learned = workload.session(preset, bundle, workload.samples(preset, bundle, task), task)
    return variant(plan, workload.inference(preset, bundle), learned, replay_variants.LATENT)


def price_inference(preset: Preset, bundle: Bundle | None) -> dict:
    """Price a chip that never learns: its memory, and one inference.

    Returns
    -------
    dict
        As of `price_session`, with task None and without what a session brings; runs and the variants of memory have
        the chip itself alone, and of its runs the inference.

    Raises
    ------
    CostError
        Where a cost is not in the tables.
    """
    plan = plans.compile(preset.network, preset.target)
    run = workload.inference(preset, bundle)
    own = replay_variants.memories(plan, replay_variants.LATENT)
    price = estimate.price(plan, run.counters, run.cycles, own)
    memory, name = memory_map.memory_map(plan), replay_variants.LATENT
    memory["variants"] = {name: memory["variants"][name] | {"title": ALONE}}
    return {
        "preset": preset.name,
        "origin": f"weights: {_weights(bundle)}",
        "task": None,
        "technology": estimate.technology(plan) | {"slowest": slowest(plan)},
        "memory": memory,
        "area": gates.area(plan),
        "runs": {name: {"inference": price}},
        "refused": {},
        "tornado": tornado.swings(plan, run.counters, run.cycles),
        "phases": {"inference": run.phases},
    }


def _weights(bundle: Bundle | None) -> str:
    return "random bits" if bundle is None else "the bundle's"


def slowest(plan: Plan) -> dict:
    """Find the SRAM that limits the clock: its name, and nanoseconds from address to word."""
    times = {m.name: tables.access_ns(m.depth, m.stored, plan.target) for m in plan.memories}
    name = max(times, key=lambda n: times[n])
    return {"memory": name, "ns": times[name]}


WROTE = files.json_with("preset", "technology", "memory", "runs", "phases")
"""Whether a file is what `xnoreplay estimate --json` writes of `run`."""


def variant(
    plan: Plan, inference: workload.Workload, learned: workload.Workload, name: str
) -> dict[str, dict]:
    """Price `RUNS` on a chip of one variant."""
    instances = replay_variants.memories(plan, name)
    session = replay_variants.workload(plan, learned, name)
    samples = learned.phases["input"]["images"]
    epochs = plan.target.epochs
    # Of native replay the extractor works at every visit, which is in the epoch.
    every = [*workload.EPOCH_PHASES, replay_variants.BACKWARD]
    every += workload.feature_phases(plan) if name != replay_variants.LATENT else []
    epoch = _divided(session.of(every), epochs)
    counted = {
        "inference": replay_variants.inference(inference, name),
        "sample": _divided(session, samples),
        "epoch": epoch,
        "session": session,
    }
    return {
        run: estimate.price(plan, work.counters, work.cycles, instances)
        for run, work in counted.items()
    }


def _divided(work: workload.Workload, by: float) -> workload.Workload:
    return workload.Workload(
        {p: {name: n / by for name, n in events.items()} for p, events in work.phases.items()}
    )
