"""The simulate step: whole sessions in both modes and in the reference, held to each other.

One script runs three times: power-on, base classes into the replay memory, then for each task its
images staged, the classifier retrained, the replay memory rebalanced, and test images recognised.
Every memory bit, counter, phase boundary, event and register must be the same.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.run.kernels import Work, compile_ahead
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.verify import scenario, utilisation
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, reference, trace
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.generative_chip import GenerativeChip
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.rows import Images

COMPONENTS = ("replay.mean", "replay.share", "fit.count", "fit.open", "draw.state")
"""Memories of generative replay that are compared with the reference's."""
VERBS = ("arrive", "insert", "infer", "stage", "retrain", "rebalance")
TEST_IMAGES = 8  # recognised after each session by the reference and in stepping mode
SPEED_IMAGES = {"step": 50, "fast": 1000}


@dataclass(frozen=True)
class Command:
    """One command of the script: a verb of the simulator, its image and its argument."""

    verb: str
    image: np.ndarray | None = None
    argument: int | None = None

    def carry_out(self, chip):
        """Carry out the command on a simulator or on the reference's chip; returns what the verb returns."""
        arguments = [a for a in (self.image, self.argument) if a is not None]
        return getattr(chip, self.verb)(*arguments)


def script(preset: Preset, plan: Plan, dataset: registry.Dataset) -> list[list[Command]]:
    """Commands of power-on and of each session, with samples in the data set's order."""
    planned, images = preset.scenario, dataset.images
    probes = [Command("infer", image) for image in dataset.test_images[:TEST_IMAGES]]
    first = scenario.power_on(planned, dataset, plan.first_samples(planned.base))
    inserted = [Command("insert", images[s.index], s.label) for s in first]
    sessions = [[Command("arrive", argument=planned.base), *inserted, *probes]]
    stages = plan.replay.staging or plan.generative
    for task in range(1, planned.tasks + 1):
        verb = "stage" if stages else "insert"
        entry = [] if stages else [Command("arrive", argument=planned.seen(task))]
        new = scenario.session(planned, dataset, task)
        samples = [Command(verb, images[s.index], s.label) for s in new]
        sessions.append([*entry, *samples, Command("retrain"), Command("rebalance"), *probes])
    return sessions


@dataclass
class Tally:
    """How much a comparison compared, by kind, and the cycles that it spent."""

    commands: int = 0
    memory_bits: int = 0
    counters: int = 0
    phases: int = 0
    events: int = 0
    proxies: int = 0
    images: int = 0
    phase_cycles: Counter = field(default_factory=Counter)

    def as_dict(self, what: str, cycles: int) -> dict:
        """A row of the report: `what` was compared over how many cycles, and how much of each kind."""
        return {
            "what": what,
            "images": self.images,
            "commands": self.commands,
            "memory_bits": self.memory_bits,
            "counters": self.counters,
            "phases": self.phases,
            "events": self.events,
            "proxies": self.proxies,
            "cycles": cycles,
            "equal": True,
        }


def must_equal(what: str, expected, got) -> None:
    """Raise CheckFailure that names what differs, unless two values are exactly equal."""
    if isinstance(expected, np.ndarray):
        if (expected == got).all():
            return
        row = tuple(int(i) for i in np.argwhere(expected != got)[0])
        expected, got, what = expected[row], got[row], f"{what} at {row}"
    if expected != got:
        raise CheckFailure(f"{what} must be {expected}, not {got}")


def compare_modes(fast, step, first, second, where: str, tally: Tally) -> None:
    """Compare what both modes show after the same command: phases, events, registers and counters."""
    must_equal(f"{where}: phase boundaries", first.phases, second.phases)
    must_equal(f"{where}: events", first.events, second.events)
    must_equal(f"{where}: registers", fast.state, step.state)
    must_equal(f"{where}: cycles", fast.cycles, step.cycles)
    counters = step.counters
    for name, value in fast.counters.items():
        must_equal(f"{where}: counter {name}", value, counters[name])
    tally.counters += len(counters)
    tally.phases += len(first.phases)
    tally.events += len(first.events)


def compare_memories(fast, step, where: str, tally: Tally) -> None:
    """Compare every bit of every memory of two simulators."""
    other = step.memories()
    for name, bits in fast.memories().items():
        must_equal(f"{where}: memory {name}", bits, other[name])
        tally.memory_bits += bits.size


def compare_reference(chip: reference.Chip, fast, plan: Plan, where: str, tally: Tally) -> None:
    """Compare proxies, replay memory and registers of a simulator with those of the reference."""
    from xnoreplay.spec.image import cls_top, vector_words

    must_equal(f"{where}: cls.top", cls_top(plan, chip.classifier), fast.memories()["cls.top"])
    learned = fast.proxies()
    must_equal(f"{where}: hidden proxies", chip.classifier.hidden, learned.hidden)
    must_equal(f"{where}: output proxies", chip.classifier.output, learned.output)
    tally.proxies += chip.classifier.hidden.size + chip.classifier.output.size
    must_equal(f"{where}: walk register", chip.random.walk, fast.state.lfsr_walk)
    if plan.generative:
        told = snapshots.of_chip(plan, chip).memories
        for name in COMPONENTS:
            must_equal(f"{where}: memory {name}", told[name], fast.memories()[name])
        return
    labels, latents = fast.memory_ints("replay.label"), fast.memories()["replay.latent"]
    valid = 1 << plan.memory("replay.label").width - 1
    expected = [label + valid if label >= 0 else 0 for label in chip.labels.tolist()]
    must_equal(f"{where}: replay labels", expected, labels)
    held = np.flatnonzero(chip.labels >= 0)
    words = vector_words([chip.latents[held]], plan.target.channels)
    stored = latents.reshape(plan.replay.capacity, plan.replay.words, -1)[held]
    must_equal(f"{where}: replay latents", words, stored)


def simulate_sessions(preset: Preset, bundle: Bundle, out: Path, progress: Progress) -> dict:
    """Run the script of a preset in both modes and in the reference, compare, and write the trace of one image.

    Returns
    -------
    dict
        inference and session: cycles, counters, phases (cycles by phase); speed: modelled
        cycles/s of both modes; equality: what was compared. Of the session the first is reported, which a scenario
        whose base has all classes has not; sessions lists the cycles of all.
    """
    from xnoreplay.sim.run import Simulator

    plan = plans.compile(preset.network, preset.target)
    dataset = registry.of_preset(preset)
    fast, step = Simulator(plan, bundle), Simulator(plan, bundle, "step")
    chip = (GenerativeChip if plan.generative else reference.Chip)(bundle, preset.target)
    sessions = script(preset, plan, dataset)
    compile_kernels(plan, bundle, sessions, progress)
    tally, costs = Tally(), []
    retraining: dict = {}
    with progress.task("simulate sessions", sum(map(len, sessions))) as task:
        for number, commands in enumerate(sessions):
            start = fast.cycles
            spent: Counter = Counter()
            events: Counter = Counter()
            for command in commands:
                where = f"session {number}, {command.verb}"
                before = fast.counters
                fast.ledger.clear()
                first, second = command.carry_out(fast), command.carry_out(step)
                third = command.carry_out(chip)
                compare_modes(fast, step, first, second, where, tally)
                tally.commands += 1
                tally.images += command.image is not None
                if command.verb == "infer":
                    must_equal(f"{where}: prediction", third.prediction, first.prediction)
                else:
                    own = phase_cycles(first.phases, fast.cycles)
                    spent += own
                    after = fast.counters
                    moved = {name: after[name] - before[name] for name in after}
                    events.update(moved)
                    if command.verb == "retrain" and number == 1:
                        retraining = utilisation.of_session(fast.ledger.phases)
                if command.verb in ("retrain", "rebalance", "infer"):
                    compare_memories(fast, step, where, tally)
                task.advance(1, where)
            compare_reference(chip, fast, plan, f"session {number}", tally)
            costs.append(
                {
                    "cycles": sum(spent.values()),
                    "phases": dict(spent),
                    "counters": dict(events),
                    "all_cycles": fast.cycles - start,
                }
            )
    inference, busy = one_inference(plan, bundle, preset, dataset.test_images[0], out)
    what = "reference = fast mode = stepping mode, power-on and every session"
    _, *later = costs
    utilised = {"inference": busy} | ({"session": retraining} if later else {})
    return {
        "inference": inference,
        **({"session": later[0]} if later else {}),
        "sessions": [c["cycles"] for c in later],
        "speed": speed(plan, bundle, preset, dataset.images),
        "utilisation": utilised,
        "equality": [tally.as_dict(what, fast.cycles)],
    }


SECONDS = {
    "run_image": 11,
    "run_replay": 7,
    "run_generative": 10,
    "run_load": 6,
    "run_gather": 5,
    "run_forward": 7,
    "run_back": 7,
    "run_update": 9,
    "fast": 12,
    "session": 12,
    "rest": 7,
}
"""Seconds of a processor that kernels take to compile, roughly: those of stepping mode, and what fast mode calls."""


def compile_kernels(
    plan: Plan, bundle: Bundle, sessions: list[list[Command]], progress: Progress
) -> None:
    """Have numba compile what both modes need for a script into the cache on disk."""
    compile_ahead(works(plan, bundle, sessions), progress)


def compile_everything(progress: Progress) -> None:
    """Have numba compile what chips of every kind need, so that a test finds all of it."""
    tiny = presets.load("tiny")
    found: dict[str, Work] = {}
    drawn = {"replay": "generative", "drawn_per_class": 3, "replay_components": 2}
    for dials in ({}, {"hidden_learns": True}, drawn):
        preset = presets.vary(tiny, "target", epochs=1, **dials)
        plan, bundle = plans.compile(preset.network, preset.target), bundles.random(tiny.network, 0)
        dataset = registry.of_preset(preset)
        found |= works(plan, bundle, script(preset, plan, dataset))
        kind = f"rest {plan.generative is not None}"
        found[kind] = Work(carry_out_rest, (plan, bundle, dataset.images[:2]), SECONDS["rest"])
    compile_ahead(found, progress)


def works(plan: Plan, bundle: Bundle, sessions: list[list[Command]]) -> dict[str, Work]:
    """Work that has numba compile the kernels of a script, by name."""
    from xnoreplay.sim.run import Simulator

    first = {command.verb: command for session in sessions for command in reversed(session)}
    commands = [first[verb] for verb in VERBS if verb in first]
    without = [command for command in commands if command.verb != "retrain"]
    kind = f"{plan.generative is not None} {plan.network.takes_images} {plan.target.hidden_learns}"
    verbs = " ".join(command.verb for command in commands)
    found = {
        f"step {name}": Work(compile_step, (plan, bundle, name), SECONDS[name])
        for name in Simulator(plan, bundle, "step").kernels()
    }
    found[f"fast {kind} {verbs}"] = Work(carry_out_fast, (plan, bundle, without), SECONDS["fast"])
    if len(without) < len(commands):
        seconds = SECONDS["session"]
        stored = Work(learn_fast, (plan, bundle), seconds)
        drawn = Work(carry_out_fast, (plan, bundle, commands), seconds)
        found[f"session {kind}"] = stored if plan.generative is None else drawn
    return found


def carry_out_fast(plan: Plan, bundle: Bundle, commands: list[Command]) -> None:
    """Carry out commands on a new chip in fast mode."""
    from xnoreplay.sim.run import Simulator

    chip = Simulator(plan, bundle)
    for command in commands:
        command.carry_out(chip)


def learn_fast(plan: Plan, bundle: Bundle) -> None:
    """Carry out a session of two remembered samples in fast mode, which no image brings there."""
    from xnoreplay.sim.run import Simulator

    chip = Simulator(plan, bundle)
    chip.arrive(2)
    chip.preload(np.zeros((2, plan.network.latent), np.uint8), [0, 1])
    chip.retrain()


def carry_out_rest(plan: Plan, bundle: Bundle, images: np.ndarray) -> None:
    """Carry out in fast mode what no script has: an epoch and a restore alone, and images classified as a data set."""
    from xnoreplay.sim.run import Simulator

    chip = Simulator(plan, bundle)
    chip.arrive(2)
    chip.epoch()
    chip.restore()
    chip.predict(images)


def compile_step(plan: Plan, bundle: Bundle, name: str) -> None:
    """Have numba compile one kernel of stepping mode."""
    from xnoreplay.sim.run import Simulator

    Simulator(plan, bundle, "step").kernels()[name]()


def phase_cycles(phases: list[tuple[str, int]], end: int) -> Counter:
    """Cycles by phase from the boundaries of one command that ended at `end`."""
    spent: Counter = Counter()
    for name, start, stop in trace.spans(phases, 0, end):
        spent[name] += stop - start
    return spent


def one_inference(
    plan: Plan, bundle: Bundle, preset: Preset, image: np.ndarray, out: Path
) -> tuple[dict, dict]:
    """Counters and phases of one image among all classes, held to the closed form; writes its trace.

    Also how busy the array is; see `utilisation`.
    """
    from xnoreplay.sim.run import Simulator

    chip = Simulator(plan, bundle, "step", trace=True)
    chip.arrive(preset.scenario.classes)
    before, start = chip.counters, chip.cycles
    chip.ledger.clear()
    result = chip.infer(image)
    must_equal("inference: cycles", plan.infer_cycles(preset.scenario.classes), chip.cycles - start)
    traces = out / "traces"
    traces.mkdir(parents=True, exist_ok=True)
    (traces / "inference.txt").write_text("\n".join(result.trace) + "\n")
    after = chip.counters
    phases = dict(phase_cycles(result.phases, chip.cycles))
    busy = utilisation.of_image(plan, chip.ledger.phases)
    counted = {name: after[name] - before[name] for name in after}
    lines = sum(" x=" in line for line in result.trace)
    must_equal("inference: beats of the trace", counted["array.beats"], lines)
    return {"cycles": chip.cycles - start, "counters": counted, "phases": phases}, busy


def speed(
    plan: Plan,
    bundle: Bundle,
    preset: Preset,
    images: Images,
    counts: dict[str, int] = SPEED_IMAGES,
) -> dict[str, float]:
    """Modelled cycles a second of both modes on inference, in one thread, by processor time."""
    from xnoreplay.sim.run import Simulator

    figures = {}
    for mode, label in (("fast", "fast"), ("step", "stepping")):
        chip = Simulator(plan, bundle, mode)
        chip.arrive(preset.scenario.classes)
        chip.infer(images[0])
        start, begin = chip.cycles, time.process_time()
        for i in range(counts[mode]):
            chip.infer(images[i % len(images)])
        figures[label] = (chip.cycles - start) / (time.process_time() - begin)
    return figures
