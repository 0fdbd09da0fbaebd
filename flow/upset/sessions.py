"""Sessions with upsets in the fast simulator: the work of one job of `campaign`."""

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from xnoreplay.flow.datasets import registry
from xnoreplay.flow.explore.jobs import Sources
from xnoreplay.flow.learning import cil
from xnoreplay.flow.run import files
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, registers, snapshot
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.learning_plan import session_cycles
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.snapshot import Snapshot
from xnoreplay.spec.upset import Upset, places

ALL = "all"
"""The place of a campaign whose upsets come anywhere."""
LOSS = 0.02
"""Of a_final, up to which a session counts as good: other random registers alone move that of `digits` by a point."""
ONE = 0.0
"""Stands for a rate: every session has exactly one upset."""
HANG, BEYOND, WRONG, RECOVERED, GOOD, SAME = (
    "hang",
    "beyond",
    "wrong",
    "recovered",
    "good",
    "same",
)
OUTCOMES = {
    SAME: "every test image is given the class that it is given without upsets",
    GOOD: f"some are not, but a_final falls by at most {100 * LOSS:g} points",
    RECOVERED: "it falls by more, and one more session without upsets brings it back to that",
    WRONG: "it falls by more, and stays so",
    BEYOND: "SEEN or STAGED has a value with which a loop goes on past the end of its memory; a_final counts as 0",
    HANG: "a command takes more cycles than the plan's watchdog allows",
}
"""What a session with upsets can come to, from harmless to worst."""
HARMED = (RECOVERED, WRONG, BEYOND, HANG)
COMMANDS = ("retrain", "rebalance")
"""Commands of a session, in which the upsets come."""


@dataclass
class Bench:
    """A chip at the start of its last session, and what becomes of it without upsets.

    Attributes
    ----------
    images, classes : ndarray
        (n, *image_shape) uint8 and (n,) int64: the test images, and their classes as the chip numbers them.
    cycles : int
        Of the commands of the session.
    came : list of Upset
        Of the last session, those that have come, each in the cycle in which it did.
    beyond : bool
        Whether one of them was too much for a register of `spec.upset.BOUNDS`.
    """

    plan: Plan
    chip: Any
    start: dict[str, np.ndarray]
    images: np.ndarray
    classes: np.ndarray
    cycles: int = 0
    predictions: np.ndarray | None = None
    a_final: float = 0.0
    came: list[Upset] = field(default_factory=list)
    beyond: bool = False

    @classmethod
    def of(cls, preset: Preset, bundle: Bundle, start: Snapshot) -> "Bench":
        """A bench from the snapshot of `prepared`."""
        from xnoreplay.sim.run import Simulator

        plan = plans.compile(preset.network, preset.target)
        chip = Simulator(plan, bundle)
        chip.resume(start)
        data = registry.of_preset(preset)
        classes = preset.scenario.chip_classes(data.labels)
        test = (classes >= 0) & data.is_test
        bench = cls(plan, chip, chip.copied(), data.images[test], classes[test])
        bench.cycles = bench.carry_out([])[-1]
        bench.predictions = chip.predict(bench.images)
        bench.a_final = float((bench.predictions == bench.classes).mean())
        return bench

    def carry_out(self, upsets: list[Upset]) -> list[int]:
        """Carry out the session from its start with upsets, whose cycles count from there; the cycle in which each command ends.

        Upsets that come later than that are dropped.
        """
        chip = self.chip
        chip.put(self.start)
        first = chip.cycles
        chip.upset(upsets)
        ends = [self._after(command) - first for command in COMMANDS]
        came, beyond = chip.upsets
        self.came = [Upset(u.cycle - first, u.place, u.row, u.bit) for u in came]
        self.beyond = bool(beyond)
        chip.upset([])
        return ends

    def _after(self, command: str) -> int:
        """Carry out a command, and return the chip's cycles after it."""
        getattr(self.chip, command)()
        return self.chip.cycles

    def split(self, upsets: list[Upset]) -> list[tuple[tuple[int, str, int, int], ...]]:
        """Carry out the session; its upsets by its commands: cycle of the command, place, row and bit of each."""
        ends = self.carry_out(upsets)
        return [
            tuple(
                (u.cycle - begin, u.place, u.row, u.bit)
                for u in self.came
                if begin <= u.cycle < end
            )
            for begin, end in itertools.pairwise((0, *ends))
        ]

    @property
    def most(self) -> int:
        """Cycles after which a session that has not ended hangs: of a chip with a watchdog, what that allows its commands."""
        target = self.plan.target
        return (
            len(COMMANDS) * target.watchdog_cycles
            if target.watchdog_bits
            else session_cycles(self.plan)
        )

    def digest(self) -> str:
        """The digest of all that the chip holds; see the function."""
        return digest(self.plan, self.chip.memories(), self.chip.state)

    def judge(self, upsets: list[Upset]) -> dict:
        """What a session with these upsets comes to.

        Returns
        -------
        dict
            outcome; a_final; digest of all that the chip then holds; errors: ERRORS, after a host has read every window.
        """
        finished = self.carry_out(upsets)[-1] <= self.most
        held = self.digest()
        self.chip.snapshot()
        errors = self.chip.state.errors
        found = self.chip.predict(self.images)
        a_final = float((found == self.classes).mean())
        if self.beyond:
            outcome, a_final = BEYOND, 0.0
        elif not finished:
            outcome = HANG
        elif (found == self.predictions).all():
            outcome = SAME
        elif a_final >= self.a_final - LOSS:
            outcome = GOOD
        else:
            for command in COMMANDS:
                self._after(command)
            again = float((self.chip.predict(self.images) == self.classes).mean())
            outcome = RECOVERED if again >= self.a_final - LOSS else WRONG
        return {"outcome": outcome, "a_final": a_final, "digest": held, "errors": errors}


def digest(plan: Plan, memories: dict[str, np.ndarray], state) -> str:
    """SHA-256 of what a host reads of a chip: the bits of the memories of `snapshot.windows`, and the registers.

    memories : (depth, width) uint8 bits by name; state : `sim.run.HostView`
    """
    found = hashlib.sha256()
    for window in snapshot.windows(plan):
        found.update(np.packbits(memories[window.memory.name]).tobytes())
    for register in registers.writable(plan.memories):
        found.update(int(getattr(state, register.name.lower())).to_bytes(8, "little"))
    return found.hexdigest()


def prepared(preset: Preset, bundle: Bundle) -> Snapshot:
    """The chip as its last session begins: every task before was learned, and the samples of the last are staged."""
    from xnoreplay.sim.run import Simulator

    plan = plans.compile(preset.network, preset.target)
    chip = Simulator(plan, bundle)
    latents, scenario = cil.extract(preset, bundle), preset.scenario
    for task in range(scenario.tasks + 1):
        cil.begin(_Entry(chip), scenario, latents, task)
        if 0 < task < scenario.tasks:
            chip.retrain()
            chip.rebalance()
    return chip.snapshot()


class _Entry:
    """The simulated chip as `cil.begin` gives samples to a learner."""

    def __init__(self, chip) -> None:
        self.chip, self.target, self.arrive = chip, chip.plan.target, chip.arrive

    def insert(self, latent: np.ndarray, label: int) -> None:
        """Remember a latent at once."""
        self.chip.enter_latent(latent, label, stage=False)

    def stage(self, latent: np.ndarray, label: int) -> None:
        """Stage a latent."""
        self.chip.enter_latent(latent, label)


def drawn(plan: Plan, place: str, rate: float, cycles: int, seed: list[int]) -> list[Upset]:
    """The upsets of one session: each bit changes with a probability, in a cycle of the session.

    Parameters
    ----------
    plan : Plan
    place : str
        A key of `spec.upset.places`, or `ALL`.
    rate : float
        Probability that a bit changes in a session; `ONE` for a session with exactly one upset.
    cycles : int
        Of the session.
    seed : list of int
        Of all that is drawn.
    """
    rng, found = np.random.default_rng(seed), []
    chosen = {name: p for name, p in places(plan).items() if place in (name, ALL)}
    sizes = np.array([p.rows * p.bits for p in chosen.values()])
    if rate == ONE:
        counts = rng.multinomial(1, sizes / sizes.sum())
    else:
        counts = rng.binomial(sizes, rate)
    for (name, (_, bits, _)), size, count in zip(chosen.items(), sizes, counts, strict=True):
        for _ in range(count):
            row, bit = divmod(int(rng.integers(size)), bits)
            found.append(Upset(int(rng.integers(cycles)), name, row, bit))
    return sorted(found)


def bench(preset: dict, sources: Sources) -> Bench:
    """The bench of a campaign's chip; one process makes it once.

    Parameters
    ----------
    preset : dict
    sources : Sources
        Paths of the bundle and of the snapshot of `prepared`.
    """
    start = Path(str(sources.state))
    text = json.dumps(preset, sort_keys=True)
    return _bench(text, sources.bundle, start, files.file_digest(start))


@cache
def _bench(preset: str, bundle: str, start: Path, _digest: str) -> Bench:
    """The bench by the text of its preset, and by the files' paths and the snapshot's digest: another one may lie there."""
    chosen, read = presets.from_dict(json.loads(preset)), bundles.read(Path(bundle))
    plan = plans.compile(chosen.network, chosen.target)
    return Bench.of(chosen, read, snapshot.read(plan, start))


def upsets(
    preset: dict, place: str, rate: float, seed: int, first: int, count: int, sources
) -> dict:
    """Carry out some sessions with upsets: the function of a job, see `flow.explore.jobs`.

    Parameters
    ----------
    preset : dict
    place : str
        As for `drawn`.
    rate : float
        Probability that a bit changes in a session.
    seed : int
        Of the campaign.
    first, count : int
        Number of the first session, and how many there are.
    sources : Sources
        Paths of the bundle and of the snapshot of `prepared`.

    Returns
    -------
    dict
        sessions: number, upsets (how many), and what `Bench.judge` returns, of each session that had any; quiet: how many
        had none, and are therefore the session without upsets.
    """
    chip = bench(preset, sources)
    found = []
    for number in range(first, first + count):
        changed = drawn(chip.plan, place, rate, chip.cycles, seed_of(seed, place, rate, number))
        if changed:
            found.append({"number": number, "upsets": len(changed), **chip.judge(changed)})
    return {"sessions": found, "quiet": count - len(found)}


def seed_of(seed: int, place: str, rate: float, number: int) -> list[int]:
    """What the upsets of a session are drawn from: of a campaign's seed, other ones for each place, rate and session."""
    named = hashlib.sha256(f"{place} {rate!r}".encode()).digest()
    return [seed, int.from_bytes(named[:8], "little"), number]
