"""What a co-simulation's stimulus reached, counted on the model's side, and what it must reach.

Equality says nothing of what the chip was never shown. A point is a kind of situation, its members the
single ones; a script that leaves a required member out fails. Which members a design can have follows
from its plan and its bundle alone, by the rules of `required`.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from xnoreplay.flow.verify.cosim import resets
from xnoreplay.flow.verify.cosim.kinds import KINDS
from xnoreplay.flow.verify.cosim.script import BUS, PORT, Script, Step
from xnoreplay.spec.bits import unpack_bytes
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command, refused_arguments
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.learning import EXP_ENTRIES, P_BITS
from xnoreplay.spec.learning_plan import most_cycles, most_samples
from xnoreplay.spec.plan import MANY_CYCLES, Plan
from xnoreplay.spec.registers import counters
from xnoreplay.spec.scenario import BYTE

LENGTHS = ("whole", "large", "short", "part")
"""Kinds of scripts: the whole comparison; that of a large network; that for a slow simulator; and
steps of another script, carried out again, which have nothing to reach."""
CARRIES = {48: (24, 32, 48), 32: (24, 31, 32)}
"""By the bits of a counter: exponents of the powers of two that every one passes."""
LATENTS = 8  # distinct ones that a whole script must show, where the network tells so many apart
FEW_LATENTS = 4  # and one of few images
LOOKED_AT = 400  # images of a script by which that is judged
RESETS = 2  # in mid-work
RESTORES = 1  # of the replay memory, after its power went
UNKNOWN = "unknown command"
BUSY = "another one while one runs"


@dataclass(frozen=True)
class Point:
    """A kind of situation that a script must take the chip to; its members are given by `required`.

    Parameters
    ----------
    why : str
        The fault in a chip that co-simulation would not see without this situation.
    lengths : tuple of str
        Kinds of scripts, of `LENGTHS`, that must reach every member which the design can have.
    """

    why: str
    lengths: tuple[str, ...] = ("whole",)


_ALL = ("whole", "large", "short")
_BOTH = ("whole", "large")
POINTS = {
    "corner images": Point(
        "sums at the ends of their range, and pixels at the edges of windows", _ALL
    ),
    "thresholds": Point("a comparison with a wrong bit, or that is strict", _ALL),
    "distinct latents": Point("everything after the feature extractor sees one word only", _ALL),
    "pixels in time and late": Point("a pixel that is taken twice or lost while the chip waits"),
    "commands": Point("an operation that never ran", _ALL),
    "commands refused": Point("a command that should not be taken, and changes something", _ALL),
    "samples refused": Point("a memory that takes more than it holds, or than a class's share"),
    "phases aborted": Point("what a phase leaves behind where it ends early"),
    "replay memory": Point("an address that falls short of the last slot"),
    "predictions": Point("classes at the ends, and the order of equal ones"),
    "minibatches": Point("lanes of samples that are not there, and of the last class"),
    "decays": Point("a rate that does not fall in its epoch"),
    "deltas clamped": Point("a delta that wraps where it should stay at its end"),
    "proxies at their ends": Point("a column of the update whose saturation is off by one"),
    "updates past the ends": Point("a proxy that wraps where it should stay at its end"),
    "counters moved": Point("an event that is not counted", _BOTH),
    "counters' carries": Point("a counter that is too short", _BOTH),
    "resets in mid-work": Point("a register that no reset clears"),
    "restores": Point("a replay memory that a host cannot bring back"),
    "host's writes": Point(
        "counts that a write makes stale unseen, or that one leaves and should not"
    ),
    "labels refused": Point("a memory whose labels a restore does not look at"),
}


def required(plan: Plan, bundle: Bundle, script: Script) -> dict[str, tuple[str, ...]]:
    """Members of each point that a script of this length must reach on this design."""
    net, target, length = plan.network, plan.target, script.length
    names = counters(plan.memories, plan.target)
    staging = can_fill_staging(plan)
    learning = ("output", "hidden") if target.hidden_learns else ("output",)
    some = names if length == "whole" else ("cycles", "images")
    moved = [n for n in names if n in some and can_move(plan, n)]
    latents = LATENTS if length == "whole" else FEW_LATENTS
    members: dict[str, list[str]] = {
        "corner images": list(
            corners(net.height, net.width, length) if net.takes_images else corner_latents(plan)
        ),
        "thresholds": _thresholds(bundle.thresholds),
        "distinct latents": [
            f"{n + 1}" for n in range(min(latents, _distinct(plan, bundle, script)))
        ],
        "pixels in time and late": ["in time", "late"],
        "commands": [c.name.lower() for c in Command],
        "commands refused": refusals(net.classes, length == "whole"),
        "samples refused": []
        if plan.generative
        else ["insert"] + ["stage"] * (staging or not plan.replay.staging),
        "phases aborted": [p for p in plan.phases if _can_abort(plan, p)],
        "replay memory": ["last slot filled", "last slot emptied"] * (plan.generative is None)
        + ["staging full"] * staging,
        "predictions": ["first class", "last class", "tie"],
        "minibatches": ["last class"]
        + ["whole"] * (most_samples(plan) - plan.replay.staging >= target.batch)
        + ["partial"] * (target.batch > 1),
        "decays": [str(d) for d in sorted({plan.rule.decay(e) for e in range(target.epochs)})],
        "deltas clamped": [f"output {end}" for end in ENDS] * decisive(plan),
        "proxies at their ends": [
            f"{layer} column {n}, copy {k}, {end}"
            for layer in learning
            for n in range(min(target.segment, max(net.latent, net.hidden * (layer == "output"))))
            for k in range(target.proxies_per_pair if layer == "output" else 1)
            for end in ENDS
        ],
        "updates past the ends": [f"output {end}" for end in ENDS] * _pushes(plan),
        "counters moved": moved,
        "counters' carries": [f"{n} at 2^{bits}" for n in moved for bits in carries(plan)],
        "resets in mid-work": [str(n + 1) for n in range(RESETS)],
        "restores": [str(n + 1) for n in range(RESTORES)],
        "host's writes": list(resets.writes(plan)),
        "labels refused": [plan.forgotten.name] + ["staging.label"] * (plan.replay.staging > 0),
    }
    return {n: tuple(members[n]) for n, p in POINTS.items() if length in p.lengths and members[n]}


ENDS = ("least", "greatest")


def corners(height: int, width: int, length: str = "whole") -> dict[str, tuple]:
    """Corner images by name: (background, pixel's place or None), the background an end of `ENDS`.

    A large network sees each corner's pixel on one background only.
    """
    found: dict[str, tuple] = {f"all {end}": (end, None) for end in ENDS}
    places = dict.fromkeys((y, x) for y in (0, height - 1) for x in (0, width - 1))
    for n, place in enumerate(places if height * width > 1 else ()):
        for end in ENDS[n % 2 :][:1] if length == "large" else ENDS:
            found[f"pixel {place[0]},{place[1]} on {end}"] = (end, place)
    return found


def corner_latents(plan: Plan) -> dict[str, np.ndarray]:
    """Corner latents by name, (latent,) uint8 bits: all alike, or one bit unlike the others.

    That one is the first or last of the latent, of a transfer of the stream, or of a word of G bits.
    """
    size, word = plan.network.latent, plan.target.channels
    beside = (0, plan.input.part - 1, plan.input.part, word - 1, word, size - 1)
    found = {}
    for end, ground in zip(ENDS, (0, 1), strict=True):
        found[f"all {end}"] = np.full(size, ground, np.uint8)
        for place in dict.fromkeys(n for n in beside if n < size > 1):
            bits = np.full(size, ground, np.uint8)
            bits[place] = 1 - ground
            found[f"bit {place} on {end}"] = bits
    return found


def _thresholds(thresholds: np.ndarray) -> list[str]:
    """Each threshold from below, at, and above, as far as a byte can be there."""
    found = []
    for i, t in enumerate(thresholds.tolist()):
        sides = {"below": t > 0, "equal": True, "above": t < BYTE}
        found += [f"{i} {side}" for side, there in sides.items() if there]
    return found


def _distinct(plan: Plan, bundle: Bundle, script: Script) -> int:
    """Distinct latents that the network makes of the images at hand."""
    from xnoreplay.sim.run import Simulator

    images = script.images[:: max(1, len(script.images) // LOOKED_AT)]
    return len(np.unique(Simulator(plan, bundle).latents(images), axis=0))


def decisive(plan: Plan) -> bool:
    """Whether a sample can exist of which only one class has an exponential above 0, as the softmax takes it.

    A logit is a sum over `skip` inputs, each counted with two weights (two copies of +1 or -1), so it lies in
    -2 skip to 2 skip, and two logits at most 4 skip apart. An exponential is 0 from the last entry of
    `EXP_TABLE` on, at a distance of 15 after the shift.
    """
    return 4 * plan.network.output_inputs >> plan.rule.logit_shift >= EXP_ENTRIES - 1


def _pushes(plan: Plan) -> bool:
    """Whether a single clamped delta moves a proxy for certain."""
    rule = plan.rule
    return decisive(plan) and (1 << rule.delta_bits - 1) - 1 >= 1 << max(0, rule.update_shift)


def carries(plan: Plan) -> tuple[int, ...]:
    """Exponents of the powers of two that every counter of the plan's chip passes; none where it has no counters."""
    return CARRIES[plan.target.counter_bits] if counters(plan.memories, plan.target) else ()


def can_fill_staging(plan: Plan) -> bool:
    """Whether a script can fill the staging memory.

    There must be one, and staging one sample more than it holds must take at most a quarter of `MANY_CYCLES`
    clock cycles.
    """
    staging = plan.replay.staging
    return staging > 0 and (staging + 1) * plan.feature_cycles <= MANY_CYCLES // 4


def can_move(plan: Plan, name: str) -> bool:
    """Whether a command can move a counter of a chip of this plan.

    Not the writes of weights.fe and weights.lgap, which the host alone does, not evictions with generative replay, and
    not what belongs to a hidden layer that learns where it does not. A block of classes, B of them for a minibatch of
    B, is skipped where all its deltas are 0: that needs a second block, so fewer samples in a minibatch than classes.

    Parameters
    ----------
    plan : Plan
    name : str
        Of `spec.registers.counters`.
    """
    if name in ("weights.fe.writes", "weights.lgap.writes"):
        return False
    if name == "replay.evictions" and plan.generative:
        return False
    if name == "learn.blocks_skipped" and plan.target.batch >= plan.network.classes:
        return False
    return plan.target.hidden_learns or not name.startswith(
        ("learn.blocks", "learn.back", "learn.hidden")
    )


def _can_abort(plan: Plan, phase: str) -> bool:
    """Whether a phase runs, and so long that ABORT reaches the chip in it."""
    if phase in ("idle", "stage", "admit"):
        return phase != "idle" and plan.replay.staging > 0
    if phase == "quota":
        return plan.replay.quota_cycles(plan.network.classes) > BUS + 2
    return most_cycles(plan)[phase] > BUS + 3


def refusal(word: int, seen: int, classes: int) -> str:
    """Why a chip that has seen so many classes refuses a word of COMMAND; "" where it does not."""
    number, argument = word & 0xFF, word >> 16
    if number not in list(Command):
        return UNKNOWN
    rule = Command(number).first_broken_rule(argument, seen, classes)
    return rule.refusal if rule else ""


def refusals(classes: int, whole: bool) -> list[str]:
    """Refusals that a script must show.

    Parameters
    ----------
    classes : int
        Of the network.
    whole : bool
        All that the rules of commands and a running command make; else those alone that a chip makes which has
        seen no class.
    """
    if whole:
        return [UNKNOWN, BUSY, *(rule.refusal for c in Command for rule in c.rules)]
    return [UNKNOWN, *{r.refusal: 0 for c in Command for _, r in refused_arguments(c, 0, classes)}]


class Coverage:
    """Counts what the steps reached.

    Parameters
    ----------
    chip : sim.run.Simulator
        In fast mode; the one that the steps are carried out on. It is watched.
    """

    def __init__(self, plan: Plan, bundle: Bundle, chip) -> None:
        self.plan, self.bundle, self.chip = plan, bundle, chip
        self.hits: dict[str, Counter[str]] = {name: Counter() for name in POINTS}
        self._latents: set[bytes] = set()
        self._images: set[int] = set()
        self._proxies: np.ndarray | None = None
        self._before = chip.chip_counters
        self._stale = chip.state.stale
        chip.watch(self._phase)

    def hit(self, point: str, *members: str) -> None:
        """Count members of a point."""
        self.hits[point].update(members)

    def happened(self, point: str) -> None:
        """Count one more of a point whose members are 1, 2, 3 and so on."""
        self.hit(point, str(len(self.hits[point]) + 1))

    def refused(self, word: int) -> None:
        """Count why a word of COMMAND was refused."""
        seen, classes = self.chip.state.seen, self.plan.network.classes
        self.hit("commands refused", refusal(word, seen, classes))

    def passed(self) -> None:
        """Take the counters as they are: what a stage on the host port did has points of its own, in `port_points`."""
        self._before = self.chip.chip_counters
        self._stale = self.chip.state.stale

    def step(self, step: Step, result, images: np.ndarray) -> None:
        """Count what a step reached; call it once after each step that the chip has carried out, in order.

        Parameters
        ----------
        step : Step
        result : sim.run.Result
            What the chip returned for it.
        images : ndarray
            (n, *image_shape) uint8: the script's, which `step.image` is an index into.
        """
        if step.command == PORT:
            self.passed()
            return
        kind = KINDS.get(step.command)
        now = self.chip.chip_counters
        if not step.reset and (kind is None or kind.counted):
            self._counted(now)
        self._before = now
        stale, self._stale = self._stale, self.chip.state.stale
        if (kind is not None and kind.proxies) or "cls.top" in step.changes:
            self._proxies = None
        if step.reset:
            self.happened("resets in mid-work")
        elif kind is not None:
            kind.cover(self, step, stale)
        elif result.phases:
            self._command(step, result, images)

    def _command(self, step: Step, result, images: np.ndarray) -> None:
        """Count what a command reached that no reset ended."""
        state = self.chip.state
        if step.intrude:
            self.hit("commands refused", BUSY)
        if not result.finished:
            self.hit("phases aborted", result.phases[-1][0])
            return
        self.hit("commands", step.command)
        self._replayed(step, result, state)
        if step.image is not None:
            self._shown(step)
            if step.image not in self._images:
                self._images.add(step.image)
                self._image(images[step.image])
        if step.command == "infer" and state.seen:
            self._predicted(state)

    def _counted(self, now: dict[str, int]) -> None:
        """What each counter moved by, and which powers of two it passed."""
        powers = carries(self.plan)
        for name, value in now.items():
            before = self._before[name]
            if value != before:
                self.hit("counters moved", name)
            value += (value < before) << self.plan.target.counter_bits
            for bits in powers:
                if before < 1 << bits <= value:
                    self.hit("counters' carries", f"{name} at 2^{bits}")

    def _replayed(self, step: Step, result, state) -> None:
        last = self.plan.replay.capacity - 1
        for _, kind, slot, _ in result.events:
            if slot == last and kind in ("insert", "admit", "evict"):
                done = "emptied" if kind == "evict" else "filled"
                self.hit("replay memory", f"last slot {done}")
        if result.refused and step.command == "restore":
            self.hit("labels refused", self._refused_label(state))
        elif result.refused:
            self.hit("samples refused", step.command)
        if state.staged and state.staged == self.plan.replay.staging:
            self.hit("replay memory", "staging full")

    def _refused_label(self, state) -> str:
        """The memory of the label that a restore refused; the replay memory is looked at first."""
        if form := self.plan.generative:
            shares = self.chip.memory_ints("replay.share")[state.seen * form.components :]
            return "replay.share" if any(shares) else "staging.label"
        valid = 1 << self.plan.memory("replay.label").width - 1
        held = [n - valid for n in self.chip.memory_ints("replay.label") if n >= valid]
        return "replay.label" if any(n >= state.seen for n in held) else "staging.label"

    def _shown(self, step: Step) -> None:
        """How an image came, and what the chip made of it."""
        self.hit("pixels in time and late", "late" if any(step.gaps or ()) else "in time")
        latent = repr(self.chip.memory_ints("act.latent")).encode()
        if latent not in self._latents:
            self._latents.add(latent)
            self.hit("distinct latents", str(len(self._latents)))

    def _image(self, image: np.ndarray) -> None:
        """What an image has that no other may have had."""
        if not self.plan.network.takes_images:
            bits = unpack_bytes(image, self.plan.network.latent)
            self.hit(
                "corner images",
                *(n for n, c in corner_latents(self.plan).items() if (c == bits).all()),
            )
            return
        height, width, _ = image.shape
        for name, (end, place) in corners(height, width).items():
            elsewhere = np.ones((height, width), bool)
            if place is not None:
                elsewhere[place] = False
            ground, pixel = image[elsewhere], image[~elsewhere]
            low, high = (ground, pixel) if end == "least" else (pixel, ground)
            if ground.min() == ground.max() and (low == 0).all() and (high > 0).all():
                self.hit("corner images", name)
        i = 0
        for channel, levels in enumerate(self.plan.network.levels):
            pixels = image[:, :, channel].astype(int)
            for t in self.bundle.thresholds[i : i + levels].tolist():
                sides = {"below": pixels < t, "equal": pixels == t, "above": pixels > t}
                self.hit(
                    "thresholds", *(f"{i} {side}" for side, there in sides.items() if there.any())
                )
                i += 1

    def _predicted(self, state) -> None:
        from xnoreplay.spec.reference import Classifier

        if state.prediction == 0:
            self.hit("predictions", "first class")
        if state.prediction == self.plan.network.classes - 1:
            self.hit("predictions", "last class")
        if self._proxies is None:
            proxies = self.chip.proxies()
            self._classifier = Classifier(self.plan.rule, proxies.hidden, proxies.output)
            self._proxies = proxies.output
        z = self.chip.memories()["act.latent"].reshape(-1)[: self.plan.network.latent]
        logits = self._classifier.forward(z, state.seen).logits
        if (logits == logits.max()).sum() > 1:
            self.hit("predictions", "tie")

    def _phase(self, phase: str, shift: int, proxies, work, samples: int, seen: int) -> None:
        """A phase of a session; see `sim.session.Watch`."""
        rule, target = self.plan.rule, self.plan.target
        if phase == "hidden.forward":
            self.hit("minibatches", "whole" if samples == target.batch else "partial")
            if (work.label[:samples] == self.plan.network.classes - 1).any():
                self.hit("minibatches", "last class")
        elif phase == "error":
            self.hit("decays", str(shift - (P_BITS + 1 - rule.delta_bits)))
            most = (1 << rule.delta_bits - 1) - 1
            deltas = work.q[:seen, :samples]
            for end, value in zip(ENDS, (-most, most), strict=True):
                if (deltas == value).any():
                    self.hit("deltas clamped", f"output {end}")
            self._start = proxies.output.copy()
        elif phase == "output.update":
            self._updated("output", proxies.output[:seen], work.planes[0, :seen])
            self._pushed(work, samples, seen)
            if target.hidden_learns:
                self._updated("hidden", proxies.hidden, work.planes[1, : len(proxies.hidden)])

    def _updated(self, layer: str, theta: np.ndarray, planes: np.ndarray) -> None:
        """Proxies (rows, copies, columns) that stand at an end in a row that was written."""
        half = 1 << self.plan.rule.proxy_bits - 1
        segment, latent = self.plan.target.segment, self.plan.network.latent
        for end, value in zip(ENDS, (-half, half - 1), strict=True):
            copies, columns = np.nonzero((theta[planes > 0] == value).any(axis=0))
            columns = np.where(columns < latent, columns, columns - latent) % segment
            for k, n in set(zip(copies.tolist(), columns.tolist(), strict=True)):
                self.hit("proxies at their ends", f"{layer} column {n}, copy {k}, {end}")

    def _pushed(self, work, samples: int, seen: int) -> None:
        """Updates of the output layer that would pass an end whatever is drawn."""
        rule = self.plan.rule
        half, t = 1 << rule.proxy_bits - 1, rule.update_shift
        gradient = work.q[:seen, :samples].astype(int) @ work.v[:samples].astype(int)
        top = (1 << t) - 1 if t > 0 else 0
        least = gradient >> t if t >= 0 else gradient << -t
        most = gradient + top >> t if t >= 0 else least
        before = self._start[:seen]
        if (before - most[:, None] > half - 1).any():
            self.hit("updates past the ends", "output greatest")
        if (before - least[:, None] < -half).any():
            self.hit("updates past the ends", "output least")

    def missing(self, needed: dict[str, tuple[str, ...]]) -> dict[str, list[str]]:
        """Members that were not reached, by point."""
        found = {n: [m for m in members if not self.hits[n][m]] for n, members in needed.items()}
        return {name: members for name, members in found.items() if members}

    def table(self, needed: dict[str, tuple[str, ...]]) -> list[dict]:
        """One row a point.

        Returns
        -------
        list of dict
            ``point``: its name; ``reached``: how many of its ``required`` members were; ``hits``: how often any of
            its members was; ``why`` it must be reached.
        """
        return [
            {
                "point": name,
                "reached": sum(self.hits[name][m] > 0 for m in needed.get(name, ())),
                "required": len(needed.get(name, ())),
                "hits": self.hits[name].total(),
                "why": point.why,
            }
            for name, point in POINTS.items()
        ]


def check(missing: dict[str, list[str]], table: list[dict]) -> None:
    """CheckFailure where a script left out what it must reach."""
    if missing:
        listed = "; ".join(f"{name}: {', '.join(members)}" for name, members in missing.items())
        raise CheckFailure(
            f"the stimulus must reach what a wrong chip could do otherwise, but did not: {listed}",
            {"not_reached": missing, "coverage": table},
        )
