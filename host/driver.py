"""`Driver`: what a host's program calls. Each call is a few words on the bus, as `docs/host.md` has them."""

import math
import os
import stat
from pathlib import Path
from time import monotonic

import numpy as np

from xnoreplay.host.bus import Bus, HostError, check_object, seconds_of
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import image as images_of
from xnoreplay.spec import learning_plan, reading, registers, snapshot
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bits import to_int
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.codes import Verdict
from xnoreplay.spec.commands import Command, bits_of
from xnoreplay.spec.errors import ImageError, SpecError, XnoreplayError, require, shown, unknown
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.reference import check_image
from xnoreplay.spec.registers import Register, Response, Status
from xnoreplay.spec.snapshot import Snapshot

POLLS = 10_000_000
"""Reads of STATUS after which a chip is said to hang."""
SLOWER = 2
"""Times as long as its cycles take at the target's clock that a command is given, for a chip with a slower one."""


class Driver:
    """A chip behind a bus.

    Parameters
    ----------
    bus : Bus
    preset : Preset
        The chip's network and target.
    polls : int
        Reads of STATUS, with a pause of the bus after each, after which a command that has not ended raises
        `HostError`. It bounds the wait on a bus that knows no time, such as that of the simulator.
    timeout : float, optional
        Seconds after which a command that has not ended raises `HostError`, whatever the number of reads. Without it
        a bus that has `seconds` (see `host.bus.Bus`), such as a serial port, gets `SLOWER` times the command's
        `xnoreplay.spec.learning_plan.command_cycles` at the target's ``clock_hz``, and `seconds`; another bus has no bound in
        time. A wait that is of no one command is given the time of the longest.

    Raises
    ------
    HostError
        Where the chip's ID is not an xnoreplay chip's, or where it does not become idle: an earlier program left it
        waiting for the rest of a sample, most likely, which a write of `Register.ABORT` to the bus ends.
    SpecError
        For what is no bus, for what is no preset, for `polls` that are no positive integer, and for a `timeout` that is no number above 0.
    """

    def __init__(
        self, bus: Bus, preset: Preset, polls: int = POLLS, timeout: float | None = None
    ) -> None:
        if not isinstance(preset, Preset):
            raise SpecError(f"preset must be a Preset, not {shown(preset)}")
        check_object("bus", bus, ("read", "write", "stream", "pause"))
        self.bus, self.preset = bus, preset
        self.polls = require.whole("polls", polls)
        require.positive("polls", self.polls)
        self.timeout = None if timeout is None else seconds_of("timeout", timeout)
        self.plan = plans.compile(preset.network, preset.target)
        self.windows = {w.memory.name: w for w in registers.windows(self.plan.memories)}
        self.counter_names = registers.counters(self.plan.memories, self.plan.target)
        self._most_cycles = learning_plan.command_cycles(self.plan)
        found = self.read(Register.ID)
        if found != registers.ID:
            raise HostError(f"ID must be {registers.ID:#010x}, not {found:#010x}")
        self.wait()

    # ---------------------------------------------------------------- words

    def read(self, address: int) -> int:
        """Read a word.

        Raises
        ------
        HostError
            Where the chip does not answer OKAY.
        SpecError
            For an address that is no integer of 0 to 2^32 - 1.
        """
        answer, data = self.bus.read(address)
        if answer is not Response.OKAY:
            raise HostError(f"a read of {address:#010x} must be answered OKAY, not {answer.name}")
        return data

    def write(self, address: int, data: int) -> None:
        """Write a word.

        Raises
        ------
        HostError
            Where the chip does not answer OKAY; then nothing has changed.
        SpecError
            For an address or data that is no integer of 0 to 2^32 - 1.
        """
        answer = self.bus.write(address, data)
        if answer is not Response.OKAY:
            raise HostError(
                f"a write of {data:#x} to {address:#010x} must be answered OKAY, not {answer.name}"
            )

    def status(self) -> set[Status]:
        """The bits of STATUS that are 1."""
        word = self.read(Register.STATUS)
        return {bit for bit in Status if word >> bit & 1}

    def wait(self, command: Command | None = None) -> set[Status]:
        """Wait until the chip is idle; the bits of STATUS that are 1 then.

        Parameters
        ----------
        command : Command, optional
            The one that runs, where that is known: how long it may take.

        Raises
        ------
        HostError
            Where it is still busy after the driver's `timeout`, or after `polls` reads.
        SpecError
            For what is no `Command`.
        """
        if command is not None:
            _check_command(command)
        seconds = self._patience(command)
        end = monotonic() + seconds
        for _ in range(self.polls):
            # Before the read: a program that was held up itself looks once more.
            late = monotonic() >= end
            status = self.status()
            if Status.BUSY not in status:
                return status
            if late:
                raise HostError(f"the chip must become idle within {seconds:.3g} s, but did not")
            self.bus.pause()
        raise HostError(
            f"the chip must become idle within {self.polls:,} reads of STATUS, but did not"
        )

    def _patience(self, command: Command | None) -> float:
        """Seconds that a command is waited for; infinite where `polls` alone bound the wait."""
        if self.timeout is not None:
            return self.timeout
        line = getattr(self.bus, "seconds", None)
        if line is None:
            return math.inf
        cycles = self._most_cycles[command.name] if command else max(self._most_cycles.values())
        return SLOWER * cycles / self.plan.target.clock_hz + line

    def command(self, command: Command, argument: int = 0, image: np.ndarray | None = None) -> bool:
        """Carry out a command, and wait for its end.

        Parameters
        ----------
        command : Command
        argument : int
        image : ndarray, optional
            uint8 of the network's ``image_shape``, of a command that takes one: an image, or a packed latent.

        Returns
        -------
        bool
            False where the chip refused the command's sample (REFUSED of STATUS).

        Raises
        ------
        HostError
            Where the chip does not take the command, where it does not take the image, and where it was aborted.
        ImageError
            Where a command that takes an image is given none, or one of another shape or type, and where one that takes
            none is given one.
        SpecError
            For what is no `Command`, for an argument that is no integer of 16 bits, and for one other than 0 of a command
            that takes none.
        """
        _check_command(command)
        pixels = b""
        if command.image:
            if image is None:
                raise ImageError(f"{command.name} must be given an image, not None")
            sample = check_image(self.plan.network, image)
            pixels = self.plan.input.transfers(sample).tobytes()
        elif image is not None:
            raise ImageError(f"{command.name} must be given no image, but was")
        argument = require.whole("an argument", argument)
        require.between("an argument", argument, 0, (1 << 16) - 1)
        if argument and not command.argument:
            raise SpecError(f"{command.name} must be given no argument, not {argument}")
        if self.bus.write(Register.COMMAND, command | argument << 16) is not Response.OKAY:
            raise HostError(
                f"the chip must take {command.name} with argument {argument}, but refused it"
            )
        if command.image:
            self.bus.stream(pixels, self._patience(command))
        status = self.wait(command)
        if Status.FINISHED not in status:
            if command.image:
                self.abort()  # which drops what came of the image after the first one
            raise HostError(f"{command.name} must come to its end, but was aborted")
        return Status.REFUSED not in status

    # ---------------------------------------------------------------- memories

    def read_memory(self, name: str) -> list[int]:
        """Every row of a memory, as integers whose bit i is bit i of the row.

        Raises
        ------
        SpecError
            For a memory that the chip lacks, or that no host reaches.
        """
        window = self._window(name)
        return [
            sum(self.read(window.address(row, c)) << 32 * c for c in range(window.chunks))
            for row in range(window.memory.depth)
        ]

    def write_memory(self, name: str, rows: np.ndarray) -> None:
        """Write a memory's first rows.

        Parameters
        ----------
        name : str
        rows : ndarray
            (n, width) bits, 0 and 1 in integers; n is at most the memory's rows.

        Raises
        ------
        SpecError
            For a memory that the chip lacks, or that no host reaches, and for other rows; then nothing is written.
        """
        window = self._window(name)
        depth = window.memory.depth
        checked = bits_of(f"rows of {name}", rows, (None, window.memory.width))
        if len(checked) > depth:
            raise SpecError(f"rows of {name} must be at most {depth}, not {len(checked)}")
        for row, bits in enumerate(checked):
            for address, data in window.words(row, to_int(bits)):
                self.write(address, data)

    def _window(self, name: str) -> registers.Window:
        """The window of a memory; SpecError for one that the chip lacks, or that no host reaches."""
        if not isinstance(name, str) or name not in self.windows:
            raise unknown("memory", name, self.windows)
        return self.windows[name]

    # ---------------------------------------------------------------- what a chip is for

    def load(self, bundle: Bundle, classes: int = 0) -> None:
        """Write a trained network's weights and thresholds, and announce the classes that it knows.

        Parameters
        ----------
        bundle : Bundle
            Of the chip's network.
        classes : int
            What it was trained on; the chip predicts none that was not announced. 0 announces none.

        Raises
        ------
        HostError
            Where classes are to be announced while STATUS shows STALE; then nothing is written.
        SpecError
            Where the bundle is of another network or has other arrays than its network, or where the chip would not take so many classes: fewer than were
            announced before, or more than the network has. Then nothing is written.
        """
        if not isinstance(bundle, Bundle):
            raise SpecError(f"what is loaded must be a Bundle, not {shown(bundle)}")
        bundles.check(bundle)
        rows = images_of.load(self.plan, bundle)
        classes = require.whole("classes", classes)
        if classes:
            self._check_classes(classes)
        for name, bits in rows.items():
            self.write_memory(name, bits)
        if classes:
            self.announce(classes)

    def _check_classes(self, classes: int) -> None:
        """Refuse to announce what the chip would not take, before anything is written.

        Raises
        ------
        HostError
            As `load`.
        SpecError
            As `load`.
        """
        if Status.STALE in self.wait():
            raise HostError(
                "a chip whose STATUS shows STALE must be restored before classes are announced"
            )
        taken = Command.ARRIVE.arguments(self.read(Register.SEEN), self.plan.network.classes)
        require.between("classes", classes, taken.start, taken.stop - 1)

    def announce(self, classes: int) -> None:
        """Say how many classes there are now, at least as many as before; makes room in the replay memory."""
        self.command(Command.ARRIVE, classes)

    def classify(self, image: np.ndarray) -> int:
        """The class of an image, (height, width, channels) uint8, among those announced."""
        self.command(Command.INFER, image=image)
        return self.read(Register.PREDICTION)

    def remember(self, image: np.ndarray, label: int) -> bool:
        """Keep an image's latent in the replay memory; False where its class is full, or the memory."""
        return self.command(Command.INSERT, label, image)

    def enrol(self, image: np.ndarray, label: int) -> bool:
        """Give the chip a sample of the next session; False where there is no room for it.

        The class, and all below it, are announced by this, also by a sample that is refused. A chip without staging
        memory remembers a sample at once instead, and its class must have been announced.
        """
        staged = self.plan.replay.staging > 0
        return self.command(Command.STAGE if staged else Command.INSERT, label, image)

    def learn(self) -> None:
        """Learn in one session from all that is remembered and enrolled, then remember a share of each class."""
        self.command(Command.RETRAIN)
        self.command(Command.REBALANCE)

    def abort(self) -> None:
        """End what the chip is about."""
        self.write(Register.ABORT, 1)

    def counters(self) -> dict[str, int]:
        """The event counters that the idle chip has, by name; each wraps at 2 to the target's `counter_bits`."""
        return {name: self.counter(name) for name in self.counter_names}

    def counter(self, name: str) -> int:
        """One event counter of the idle chip; of a busy one its two words may be of different times.

        Raises
        ------
        SpecError
            For a counter that the chip lacks: its target has no bits for counters, or leaves the counter's group out.
        """  # noqa: DOC501  unknown() makes a SpecError
        if name not in self.counter_names:
            if name in registers.events(self.plan.memories):
                there = ", ".join(self.plan.target.counted) or "none"
                raise SpecError(
                    f"counter must be of a group that the chip's target counts ({there}), not {name!r} of group "
                    f"{registers.group(name)}"
                )
            raise unknown("counter", name, registers.events(self.plan.memories))
        at = Register.COUNTERS + 8 * self.counter_names.index(name)
        return self.read(at) | self.read(at + 4) << 32

    def errors(self, clear: bool = False) -> dict[str, set[Verdict]]:
        """Memories of which a read has found wrong bits since ERRORS was cleared, with what its code has made of them.

        Parameters
        ----------
        clear : bool
            Clear the bits that are returned: what is found from then on is told anew.

        Raises
        ------
        SpecError
            For a chip none of whose memories has parity or a code.
        """
        there = registers.coded(self.plan.memories)
        if not there:
            raise SpecError(
                "errors must be asked of a chip with parity or ecc, but its target names none"
            )
        word = self.read(Register.ERRORS)
        if clear:
            self.write(Register.ERRORS, word)
        found: dict[str, set[Verdict]] = {}
        for memory in there:
            for verdict in (Verdict.CORRECTED, Verdict.WRONG):
                bit = registers.error_bit(memory.name, verdict is Verdict.CORRECTED)
                if word >> bit & 1:
                    found.setdefault(memory.name, set()).add(verdict)
        return found

    # ---------------------------------------------------------------- saved states

    def save(self, path: Path | None = None) -> Snapshot:
        """What the chip holds, once it is idle; also written to a file where a path is given.

        Raises
        ------
        HostError
            Where the counts of labels are stale, because the host has written labels and no restore came after.
        XnoreplayError
            Where no file can be written at the path, and where a folder, a link or a device is: it would be replaced.
        """
        if path is not None:
            path = _path("the place of a saved state must be a file's path", path)
            _check_place(path)
        if Status.STALE in self.wait():
            raise HostError("a chip whose STATUS shows STALE must be restored before it is saved")
        taken = snapshot.of_words(self.plan, (self.read(a) for a in snapshot.reads(self.plan)))
        if path is not None:
            try:
                snapshot.write(self.plan, taken, path)
            except OSError as error:
                raise XnoreplayError(f"a state must be saved to {path}, but: {error}") from None
        return taken

    def restore(self, saved: Snapshot | Path) -> None:
        """Bring back what `save` took, from the file or as it was returned.

        Raises
        ------
        SpecError
            Where it is of another chip, damaged, or of a state that no chip comes to; then nothing is written.
        HostError
            Where the chip is busy; then nothing is written. Where the chip does not take it, or the connection fails; then
            the chip may hold parts of two states, and must be restored again.
        """
        if not isinstance(saved, Snapshot):
            saved = snapshot.read(
                self.plan, _path("a saved state must be a Snapshot or a file's path", saved)
            )
        snapshot.check(self.plan, saved)
        if Status.BUSY in self.status():
            raise HostError("the chip must be idle before it is restored, but is busy")
        for address, data in snapshot.writes(self.plan, saved):
            self.write(address, data)
        status = self.wait(Command.RESTORE)
        if Status.FINISHED not in status or Status.REFUSED in status:
            raise HostError("RESTORE must find labels of announced classes alone, but did not")


def _check_command(command: object) -> None:
    """SpecError for what is no command."""
    if not isinstance(command, Command):
        raise unknown("command", command, (f"Command.{c.name}" for c in Command))


def _check_place(path: Path) -> None:
    """XnoreplayError for what is there and no regular file: a state would take its place, not go through it."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise XnoreplayError(f"a state must be saved to {path}, but: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise XnoreplayError(f"a state must be saved to a file, but {path} is {reading.kind(mode)}")


def _path(rule: str, value: object) -> Path:
    """A value as a path; SpecError with the rule for what is none, and for a text that no file system takes."""
    try:
        text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    except TypeError:  # one whose __fspath__ gives no path
        text = None
    if not isinstance(text, str):
        raise SpecError(f"{rule}, not {shown(value)}")
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:  # half of a surrogate pair
        encoded = b"\0"
    if 0 in encoded:
        raise SpecError(f"{rule}, not {shown(text)}")
    return Path(text)
