"""Steps of a script in which resets end commands, power goes, and a host writes what a restore counts."""

from dataclasses import replace
from itertools import count

import numpy as np

from xnoreplay.flow.verify.cosim.building import SHORT, merged, others, spans
from xnoreplay.flow.verify.cosim.coverage import can_fill_staging
from xnoreplay.flow.verify.cosim.kinds import drive_on, ends_in_reset
from xnoreplay.flow.verify.cosim.resets import HOST, POWER, RESET, emptying
from xnoreplay.flow.verify.cosim.script import Step
from xnoreplay.spec import registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.registers import READ_ONLY, STALES, Register


def build(chip, images: np.ndarray, label: int, rng: np.random.Generator, look: dict) -> list[Step]:
    """Steps with power cycles, writes of a host, refused labels, and a reset in the midst of every command.

    Parameters
    ----------
    chip : sim.run.Simulator
        As the script's commands so far leave it; it is driven on.
    images : ndarray
        (n, height, width, channels) uint8: images of the script.
    label : int
        A class of the network.
    rng : numpy Generator
        Draws an image, and the cycles of resets.
    look : dict
        Fields of each step, that say what is looked at after it.
    """
    made = _Steps(chip, images, label, rng, look)
    made.stage(label)
    made.do(POWER)
    made.session()
    made.host_writes()
    made.resets()
    made.sizes()
    made.label_of_none_seen()
    made.no_slot_free()
    made.refused_staged_label()
    made.probed()
    made.session()
    return made.steps


OFTEN = 8  # times that a short command is ended
PROBED = 48  # first, and last, cycles of a phase in which it is seen what a reset would do
LABELS = ("replay.label", "staging.label")
FLIPPED = 2
"""Classes announced where a label 0 becomes that of a class that was not seen: a power of two, so that one bit changes."""


class _Steps:
    """Steps that are carried out on a simulated chip as they are put together; parameters as of `build`."""

    def __init__(
        self, chip, images: np.ndarray, label: int, rng: np.random.Generator, look: dict
    ) -> None:
        self.chip, self.images, self.label, self.rng, self.look = chip, images, label, rng, look
        self.image = int(rng.integers(len(images)))
        self.classes = chip.plan.network.classes
        self.steps: list[Step] = []
        self.kinds = count()  # of `emptying`, one for each reset

    def do(self, command: str, **fields) -> None:
        """Carry out and keep a step with these fields."""
        step = Step(command, **(self.look | fields))
        if ends_in_reset(step):
            step = replace(step, transfers=emptying(self.chip.plan, next(self.kinds)))
        drive_on(step, self.chip, self.images)
        self.steps.append(step)

    def stage(self, label: int) -> None:
        """Stage the image as of a class."""
        self.do("stage", argument=label, image=self.image)

    def probed(self) -> None:
        """Carry out every command with looks at what a reset would do, in the first and the last cycles of each phase."""
        self.do("arrive", argument=self.classes)
        self.do("insert", argument=0, image=self.image)
        for fields in self.every():
            found = spans(self.chip, Step(**fields), self.images)
            begin = found[0][1]
            runs = {phase: (first - begin, last - begin) for phase, first, last in reversed(found)}
            ends = ((a, min(b, a + PROBED), max(a, b - PROBED), b) for a, b in runs.values())
            windows = merged(w for a, b, c, d in ends for w in ((a, b), (c, d)))
            self.do(probes=windows, **fields)

    def parts(self) -> list[dict]:
        """Fields of the steps of a session, and of an inference after it."""
        return [
            {"command": "stage", "argument": self.label, "image": self.image},
            {"command": "retrain"},
            {"command": "rebalance"},
            {"command": "infer", "image": self.image},
        ]

    def every(self) -> list[dict]:
        """Fields of a step of each command."""
        every = [
            *self.parts(),
            {"command": "insert", "argument": 0, "image": self.image},
            {"command": "arrive", "argument": self.classes},
            {"command": "epoch"},
            {"command": "restore"},
        ]
        named = [Step(fields["command"]) for fields in every]
        for s in others(named, self.image, self.classes, self.classes):
            every.append({"command": s.command, "argument": s.argument, "image": s.image})
        return every

    def session(self) -> None:
        """Stage, retrain, rebalance and infer."""
        for fields in self.parts():
            self.do(**fields)

    def host_writes(self) -> None:
        """Write what is there of each window and register; write labels that a restore refuses."""
        for what, transfers in rewritten(self.chip).items():
            self.do(HOST, transfers=transfers)
            if what in STALES:
                self.do("restore")
        for transfers in _bad_label(self.chip):
            self.do(HOST, transfers=transfers)
            self.do("restore")
        self.do("restore", abort=self.classes)
        self.do(HOST, transfers=refused(self.chip))
        self.do("restore", trace=True)

    def resets(self) -> None:
        """Reset the chip in the midst of every command, and while it is idle."""
        for fields in self.every():
            left = None
            while left != []:
                self.do("arrive", argument=self.classes)
                self.do("insert", argument=self.label, image=self.image)
                self.stage(0)
                if left is None:
                    left = self.midst(Step(**fields))
                if left:  # a command of one cycle has no midst
                    self.do(reset=left.pop(), **fields)
        self.do(RESET)

    def midst(self, step: Step) -> list[int]:
        """Drawn cycles at which a reset ends a step: one in each of its phases, or one alone of a long step."""
        found = spans(self.chip, step, self.images)
        start, end = found[0][1], found[-1][2]
        if end - start > SHORT:
            return [int(self.rng.integers(1, end - start))]
        by_phase: dict[str, list[int]] = {}
        for phase, first, last in found:
            by_phase.setdefault(phase, []).extend(range(max(1, first - start), last - start))
        return [int(self.rng.choice(cycles)) for cycles in by_phase.values() if cycles]

    def sizes(self) -> None:
        """After a reset, sessions without a sample, and with as many as a minibatch has."""
        self.do("arrive", argument=self.classes)
        for samples in (0, self.chip.plan.target.batch):
            for _ in range(samples):
                self.do("insert", argument=0, image=self.image)
            self.do("retrain")
            self.do("rebalance")
        self.do(RESET)

    def label_of_none_seen(self) -> None:
        """After a reset, commands in which bits change, so that samples have the label of the first class that was not seen."""
        names = [m.name for m in self.chip.plan.memories if m.name in LABELS]
        flips = [(0, name, 0, FLIPPED.bit_length() - 1) for name in names]
        walks = [Step(c, upsets=tuple(flips)) for c in ("retrain", "rebalance", "epoch")]
        # A sample that comes takes the slot of such a label, which counts as free.
        comes = [Step("rebalance"), Step("insert", 0, self.image)]
        walks += [replace(step, upsets=(flips[0],)) for step in comes if len(flips) == len(LABELS)]
        for step in walks if self.classes > FLIPPED else ():
            self.do("arrive", argument=FLIPPED)
            self.do("insert", argument=0, image=self.image)
            self.stage(0)
            self.do(step.command, image=step.image, upsets=step.upsets)
            self.do(RESET)

    def no_slot_free(self) -> None:
        """After a reset, two samples that counts admit and no slot takes, because bits of labels have changed."""
        memories = {m.name: m for m in self.chip.plan.memories}
        if not set(LABELS) <= memories.keys() or memories[LABELS[1]].depth < 2:
            return
        label = memories[LABELS[0]]
        self.do("arrive", argument=self.classes)
        self.do("insert", argument=0, image=self.image)
        self.stage(0)
        self.stage(self.label)
        taken = tuple((0, label.name, slot, label.width - 1) for slot in range(1, label.depth))
        self.do("rebalance", upsets=taken)
        self.do(RESET)

    def refused_staged_label(self) -> None:
        """After a reset, fill the staging memory, and restore without the last sample's class and with it."""
        self.do("arrive", argument=self.classes)
        self.do("insert", argument=0, image=self.image)
        staged = _staged(self.chip.plan)
        for sample in range(staged):
            self.stage(self.label if sample == staged - 1 else 0)
        if staged and self.chip.plan.generative:
            self.do(HOST, transfers=_forgotten(self.chip.plan, self.label))
        for seen in (self.label, self.classes) if staged else ():
            self.do(HOST, transfers=((int(Register.SEEN), seen), (int(Register.STATUS), None)))
            self.do("restore")


def _forgotten(plan: Plan, label: int) -> tuple[tuple[int, int | None], ...]:
    """Transfers after which components have no sample of a class, and no class is open: staging alone has its label."""
    windows = {w.memory.name: w for w in registers.windows(plan.memories)}
    form, shares = plan.generative, windows["replay.share"]
    assert form is not None
    rows = range(label * form.components, (label + 1) * form.components)
    return (
        *((shares.address(row, 0), 0) for row in rows),
        (windows["fit.open"].address(0, 0), 0),
        (int(Register.STATUS), None),
    )


def rewritten(chip) -> dict[str | Register, tuple[tuple[int, int | None], ...]]:
    """Transfers that write to each window's first row and each register what is there, and read STATUS.

    By window's memory or register. Those of `STALES` alone make the counts stale; each begins with
    counts that are not.
    """
    plan, status = chip.plan, (int(Register.STATUS), None)
    found: dict[str | Register, tuple[tuple[int, int | None], ...]] = {}
    for window in registers.windows(plan.memories):
        name = window.memory.name
        if name not in READ_ONLY:
            value = chip.read_row(name, 0)
            words = [value >> 32 * chunk & 0xFFFFFFFF for chunk in range(window.chunks)]
            row = tuple((window.address(0, chunk), word) for chunk, word in enumerate(words))
            found[name] = (*row, status)
    for register in registers.writable(plan.memories):
        found[register] = ((int(register), getattr(chip.state, register.name.lower())), status)
    return found


def refused(chip) -> tuple[tuple[int, int], ...]:
    """Transfers that write commands, none of which a chip with stale counts takes."""
    seen, classes = chip.state.seen, chip.plan.network.classes
    found = []
    for command in Command:
        legal = command.arguments(seen, classes)
        if command.counted and legal:
            found.append((int(Register.COMMAND), command | legal.start << 16))
    return tuple(found)


def _bad_label(chip) -> list[tuple[tuple[int, int | None], ...]]:
    """Transfers that write a label of no class seen, or a share of one, and those that put it right again.

    With the last slot's label the chip has counted the others before it refuses. The commands after
    either write are refused, because no restore has come yet.
    """
    plan = chip.plan
    windows = {w.memory.name: w for w in registers.windows(plan.memories)}
    window = windows[plan.forgotten.name]
    slot, seen = window.memory.depth - 1, chip.state.seen
    address = window.address(slot, 0)
    status = (int(Register.STATUS), None)
    was = chip.memory_ints(plan.forgotten.name)[slot]
    lower, found = (int(Register.SEEN), seen - 1), []
    valid = 1 << window.memory.width - 1
    if plan.generative:  # the last share is of the last class
        found.append(((address, 1), lower, status, *refused(chip)))
    elif (bad := valid | min(seen, valid - 1)) - valid >= seen:
        found.append(((address, bad), status, *refused(chip)))
    else:  # every label that the memory can hold is of a class seen
        found.append(((address, valid | seen - 1), lower, status, *refused(chip)))
    back = ((address, was), (int(Register.SEEN), seen), status)
    counts = windows.get("staging.count" if plan.generative else "replay.count")
    if counts is None:
        found.append((*back, *refused(chip)))
        return found
    readings = tuple((counts.address(row, 0), None) for row in range(counts.memory.depth))
    found.append((*back, *readings, (counts.address(0, 0), 1), *refused(chip)))
    return found


def _staged(plan: Plan) -> int:
    """How many samples are staged before a restore refuses the last one's label: as many as there is time for."""
    return plan.replay.staging if can_fill_staging(plan) else min(2, plan.replay.staging)


def brief(base: int, look: dict) -> tuple:
    """Steps for a slow simulator: a reset in mid-work, and a command that shows that the chip goes on from there."""
    return Step("epoch", reset=20, **look), Step("arrive", base, **look)


def times(cycles: int) -> int:
    """How often a command of so many cycles is ended in its midst, each time at a drawn cycle; one of one cycle has none."""
    return 0 if cycles <= 1 else OFTEN if cycles <= SHORT else 1


def length(chip, step: Step, images: np.ndarray) -> int:
    """Cycles of a step on a chip like this one, which is not changed."""
    found = spans(chip, step, images)
    return found[-1][2] - found[0][1]
