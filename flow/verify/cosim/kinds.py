"""What a step of a script can be beside a command of the chip: of each kind what it does, on both sides.

A kind is one class here. Its simulated chip, its test bench, what COMMAND reads as afterwards, what the test bench
must report and what the coverage counts are its methods; `KINDS` lists the kinds by name. The test bench passes
itself to `drive`, so this file needs no HDL simulator.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from xnoreplay.flow.verify.cosim import resets
from xnoreplay.flow.verify.cosim.rows import rows_text
from xnoreplay.flow.verify.cosim.script import BUS, PORT, Step
from xnoreplay.spec.commands import Command
from xnoreplay.spec.registers import READ_ONLY, STALES, Register
from xnoreplay.spec.snapshot import Snapshot
from xnoreplay.spec.upset import Upset

SETTLE = 8  # cycles in which a transfer on the bus ends


@dataclass
class Done:
    """What a step that is no command did to a simulated chip, in the terms of a command's result.

    Parameters
    ----------
    phases : list of (str, int)
        Name and first cycle of each phase that ran.
    saved : Snapshot, optional
        What the host read before the power went.
    answers : list of (int, int), optional
        Response, and word read or 0, of each transfer.
    """

    phases: list[tuple[str, int]]
    saved: Snapshot | None = None
    answers: list[tuple[int, int]] | None = None
    events: ClassVar[tuple] = ()
    trace: ClassVar[tuple] = ()


class Kind:
    """A kind of step that is no command; the base changes nothing and reports nothing.

    Attributes
    ----------
    name : str
        What `Step.command` is of such a step.
    meaning : str
        What the step does.
    refused : int
        Writes of COMMAND that it makes, each of which must be answered with SLVERR.
    resets : bool
        The chip's registers and counters begin anew.
    counted : bool
        What counters moved by is what the chip counted.
    proxies : bool
        Proxies may be other ones afterwards.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    refused: ClassVar[int] = 0
    resets: ClassVar[bool] = False
    counted: ClassVar[bool] = True
    proxies: ClassVar[bool] = False

    def carry_out(self, _step: Step, _chip, _images: np.ndarray) -> Any:
        """Do the step on a simulated chip; returns a `Done`, or a result of the chip."""
        return Done([])

    def word(self, before: int) -> int:
        """What COMMAND reads as after the step, from what it read as before."""
        return before

    async def drive(self, _bench, _step: dict) -> dict:
        """Do the step on the chip in the HDL simulator.

        Parameters
        ----------
        _bench : bench.testbench.Bench
        _step : dict
            As `Step.plain` returns it.

        Returns
        -------
        dict
            What the test bench saw: `expected`'s keys, and "phases", "finished" and "responses" where they are
            not empty, true and empty.
        """
        return {}

    def expected(self, _model, _step: Step, _done) -> dict:
        """What `drive` must report beside the state, by the model and by what `carry_out` returned."""
        return {}

    def cover(self, _coverage, _step: Step, _stale: bool) -> None:
        """Count what the step reached; `_stale` says whether counts of labels were stale before it."""


class Refuse(Kind):
    """A write of COMMAND that must be refused."""

    name = "refuse"
    meaning = (
        "writes COMMAND with `argument` as the word, which must answer SLVERR and change nothing"
    )
    refused = 1

    async def drive(self, bench, step: dict) -> dict:
        """Write the word, and wait so long that a command which was taken all the same shows."""
        response = await bench.host.attempt(Register.COMMAND, step.get("argument", 0))
        await bench.clocks(SETTLE)
        return {"responses": [response]}

    def cover(self, coverage, step: Step, _stale: bool) -> None:
        """Count the rule that refused the word."""
        coverage.refused(step.argument)


class Write(Kind):
    """A write of a memory by the host."""

    name = "write"
    meaning = (
        "writes `rows`, first rows of `memory`, over the bus where the host has a window on it, but for labels "
        "and counts, which would be stale"
    )
    proxies = True

    def carry_out(self, step: Step, chip, _images: np.ndarray) -> Done:
        """Write past every port, so that no counts become stale."""
        chip.write(step.memory, step.bits(chip.plan))
        return Done([])

    async def drive(self, bench, step: dict) -> dict:
        """Write over the bus where there is a window, past every port elsewhere."""
        rows, memory = [int(row, 16) for row in step["rows"]], step["memory"]
        past = memory in (*STALES, *READ_ONLY)
        window = None if past else bench.windows.get(memory)
        if window:
            for i, value in enumerate(rows):
                await bench.host.write_row(window, i, value)
        else:
            await bench.put(memory, rows)
        bench.look_at_labels()
        return {}


class Counters(Kind):
    """A move of every event counter."""

    name = "counters"
    meaning = (
        "moves every event counter to 2^`argument` - 1, or with 0 back to where it would be without"
    )
    counted = False

    async def drive(self, bench, step: dict) -> dict:
        """Set the counters past every port."""
        bench.view.move_counters(step.get("argument", 0))
        await bench.clocks(1)
        return {}

    def expected(self, model, step: Step, _done) -> dict:
        """Move the model's counters alike."""
        model.move_counters(step.argument)
        return {}


class Reset(Kind):
    """A reset of the idle chip."""

    name = resets.RESET
    meaning = "resets the idle chip, and gives `transfers` while it empties its replay memory"
    resets = True
    counted = False
    proxies = True

    def carry_out(self, _step: Step, chip, _images: np.ndarray) -> Done:
        """Reset the simulated chip."""
        chip.reset()
        return Done([])

    def word(self, _before: int) -> int:
        """COMMAND reads as 0 after a reset."""
        return 0

    async def drive(self, bench, step: dict) -> dict:
        """Reset while requests are under way."""
        return await bench.reset(step, resets.LEAD)

    def expected(self, model, step: Step, _done) -> dict:
        """No handshake is high in the reset, and the transfers are answered as by a busy chip."""
        return resets.quiet(model.plan, step)


class Power(Kind):
    """A power cycle between a save and a restore."""

    name = resets.POWER
    meaning = (
        "takes the power away: the host saves the chip, all memories come to hold something else, and the host "
        "writes back what it saved and gives RESTORE"
    )
    resets = True
    counted = False
    proxies = True

    def carry_out(self, _step: Step, chip, _images: np.ndarray) -> Done:
        """Save, reset, invert every memory, and resume."""
        saved = chip.snapshot()
        chip.reset()
        for name, bits in chip.memories().items():
            chip.write(name, 1 - bits)
        return Done(chip.resume(saved).phases, saved)

    def word(self, _before: int) -> int:
        """The host's last command is RESTORE."""
        return int(Command.RESTORE)

    async def drive(self, bench, step: dict) -> dict:
        """Save and write back over the bus."""
        return await bench.power(step)

    def expected(self, model, step: Step, done: Done) -> dict:
        """Beside what holds of a reset, what the host reads when it saves."""
        assert done.saved is not None
        saved = resets.rows(model.plan, done.saved).items()
        return {
            "saved": {n: rows_text(rows, model.plan.memory(n).stored) for n, rows in saved},
            "saved_registers": list(done.saved.registers.values()),
            **resets.quiet(model.plan, step),
        }

    def cover(self, coverage, _step: Step, _stale: bool) -> None:
        """Count a restore of what a power cycle took."""
        coverage.happened("restores")


class Host(Kind):
    """Transfers of a host."""

    name = resets.HOST
    meaning = "makes `transfers` on the bus, one after another"
    proxies = True

    def carry_out(self, step: Step, chip, _images: np.ndarray) -> Done:
        """Make the transfers at the simulated chip's port."""
        from xnoreplay.sim.host import HostPort

        port = HostPort(chip)
        answers = [port.transfer(address, data) for address, data in step.transfers]
        return Done([], answers=[(int(response), word) for response, word in answers])

    async def drive(self, bench, step: dict) -> dict:
        """Make the transfers on the bus."""
        answers = [await bench.host.transfer(address, data) for address, data in step["transfers"]]
        bench.look_at_labels()
        return {"answers": answers}

    def expected(self, _model, _step: Step, done: Done) -> dict:
        """Every answer."""
        assert done.answers is not None
        return {"answers": [list(answer) for answer in done.answers]}

    def cover(self, coverage, step: Step, stale: bool) -> None:
        """Count what alone was written, where the read of STATUS at the end shows whether that is stale."""
        found = resets.written(coverage.plan, step)
        if not stale and len(found) == 1:
            coverage.hit("host's writes", *found)


class Port(Kind):
    """A stage on the host port; the test bench records it, and `protocol` judges it."""

    name = PORT
    meaning = (
        "lets a foreign master loose on the host port, as `stage` says; an inference that waits for pixels "
        "fills its cycles"
    )

    def carry_out(self, step: Step, chip, images: np.ndarray) -> Any:
        """What a stage leaves to later commands: cycles."""
        assert step.stage is not None
        chip.abort(step.stage.cycles)
        never = [step.stage.cycles] * chip.plan.input.pixels
        return chip.infer(images[step.image], gaps=never)

    def word(self, _before: int) -> int:
        """The stage ends with an inference."""
        return int(Command.INFER)


KINDS: dict[str, Kind] = {kind.name: kind() for kind in Kind.__subclasses__()}
"""Steps that are no command, by name: each class of this file that is a `Kind`."""


def names() -> tuple[str, ...]:
    """What `Step.command` can be: the commands of the chip, in lower case, and `KINDS`."""
    return (*(c.name.lower() for c in Command), *KINDS)


def carry_out(step: Step, chip, images: np.ndarray) -> Any:
    """Carry out a step on a simulated chip, and the reset that ends it, if one does.

    Parameters
    ----------
    step : Step
    chip : sim.run.Simulator
    images : ndarray
        (n, height, width, channels) uint8, which `step.image` is an index into.

    Returns
    -------
    sim.run.Result or Done
        What the chip did.
    """
    kind = KINDS.get(step.command)
    if kind is not None:
        return kind.carry_out(step, chip, images)
    if step.reset:
        chip.abort(step.reset + 1)
        result = carry_out(replace(step, reset=0), chip, images)
        chip.reset()
        return result
    command = Command[step.command.upper()]
    image = None if step.image is None else images[step.image]
    gaps = None if step.gaps is None else list(step.gaps)
    return chip.carry_out(command, step.argument, image, gaps)


def drive_on(step: Step, chip, images: np.ndarray) -> Any:
    """Carry out a step with what happens meanwhile: an abort as late as over the bus, and bits that change; see `carry_out`."""
    if step.abort:
        chip.abort(step.abort + BUS)
    chip.upset(Upset(*upset) for upset in step.upsets)
    return carry_out(step, chip, images)


def ends_in_reset(step: Step) -> bool:
    """Whether a reset is part of a step."""
    kind = KINDS.get(step.command)
    return bool(step.reset) or (kind is not None and kind.resets)


def word_after(step: Step, before: int) -> int:
    """What COMMAND reads as after a step, from what it read as before."""
    kind = KINDS.get(step.command)
    if kind is not None:
        return kind.word(before)
    return 0 if step.reset else Command[step.command.upper()] | step.argument << 16


def cycles_lost(step: Step, start: int) -> int:
    """What `cycles` had come to when a step reset it, `start` before the step; 0 where no step did."""
    if step.reset:
        return start + step.reset + 1
    return start if ends_in_reset(step) else 0
