"""`Simulator`: give it a plan and a bundle, then commands; each returns a `Result`.

>>> from xnoreplay.spec import bundle, plan, presets
>>> tiny = presets.load("tiny")
>>> chip = Simulator(plan.compile(tiny.network, tiny.target), bundle.random(tiny.network, 0))
>>> _ = chip.arrive(2)
>>> chip.insert(np.zeros(tiny.network.image_shape, np.uint8), 1).events
[(246, 'insert', 0, 1)]
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xnoreplay.sim import preload
from xnoreplay.sim.common import counters, proxies
from xnoreplay.sim.common.counters import Event
from xnoreplay.sim.common.phase_counters import Ledger
from xnoreplay.sim.common.program import Conv, compile_program
from xnoreplay.sim.common.state import SCALARS, Scalar, State
from xnoreplay.sim.common.upsets import SCALAR_OF, Upsets
from xnoreplay.sim.fast import generative as fast_generative
from xnoreplay.sim.fast import images as fast
from xnoreplay.sim.fast import replay as fast_replay
from xnoreplay.sim.fast.replay import KINDS, Log
from xnoreplay.sim.functional import data_sets as functional
from xnoreplay.sim.session import Session, Watch
from xnoreplay.sim.step import trace as recording
from xnoreplay.sim.step.registers import new_clock, new_image_ports
from xnoreplay.sim.step.sequencer import Kind, Operation, kernel_of
from xnoreplay.spec import commands, registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.bits import pack_bytes
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import ImageError, SpecError, require, unknown
from xnoreplay.spec.image import vector_words
from xnoreplay.spec.learning_plan import most_cycles
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.plan import LEARNING_PHASES, Plan
from xnoreplay.spec.reference import Classifier, Random, check_image
from xnoreplay.spec.registers import Register
from xnoreplay.spec.snapshot import Snapshot
from xnoreplay.spec.upset import Upset, bounds, checked


class HostView(NamedTuple):
    """The chip's architectural registers and flags, as a host reads them."""

    prediction: int
    seen: int
    quota: int
    staged: int
    refused: int
    lfsr_walk: int
    lfsr_error: int
    lfsr_update: int
    finished: int
    stale: int
    errors: int


@dataclass
class Result:
    """What one command did.

    phases : (name, value of `cycles` in its first cycle) of each phase
    prediction : the class, of `infer`
    refused : the command's sample was refused
    finished : the command came to its end; false where it was aborted
    events : (value of `cycles`, kind, slot, label), kind "evict", "insert" or "admit" in the cycle
        the label is written; of `epoch` (value of `cycles`, "hit", index, label) in a check
    trace : one line a cycle, if asked for; see `Simulator.trace_cycles`
    """

    phases: list[tuple[str, int]] = field(default_factory=list)
    prediction: int | None = None
    refused: bool = False
    finished: bool = True
    events: list[tuple[int, str, int, int]] = field(default_factory=list)
    trace: list = field(default_factory=list)


class Simulator:
    """One chip, from power-on.

    Parameters
    ----------
    plan, bundle : Plan, Bundle
    mode : str
        "fast" (a phase at a time) or "step" (a clock at a time).
    trace : bool
        Record a line a cycle, as `spec.trace.line` writes it; only stepping mode can.
    random : Random, optional
        States of the three 32-bit registers, as a host may write them after power-on.
    """

    def __init__(
        self,
        plan: Plan,
        bundle: Bundle,
        mode: str = "fast",
        trace: bool = False,
        random: Random | None = None,
    ) -> None:
        require.choice("mode", mode, ("fast", "step"))
        if trace and mode == "fast":
            raise SpecError("a trace must come from mode 'step', not 'fast'")
        self.plan, self.bundle, self.mode = plan, bundle, mode
        self._state = State(plan)
        self._state.load(bundle)
        random = random or Random()
        lfsrs = [Scalar.WALK, Scalar.ERROR, Scalar.UPDATE]
        self._state.scalars[lfsrs] = random.walk, random.error, random.update
        self._program = compile_program(plan)
        geometry = self._program.geometry
        beats = max([op.beats for op in plan.convolutions], default=0)
        self._room = fast.new_room(geometry, plan.convolutions)
        ports = new_image_ports(geometry, self._state.counters)
        self._clock = new_clock(self._state, self._program, ports, beats)
        self._trace = recording.buffer(recording.CHUNK if trace else 0, geometry, ports)
        self.ledger = Ledger(self._state.counters, plan.memories)
        self._upsets = Upsets(self._state, bounds(plan))
        self._session = Session(
            plan, self._program, self._upsets, len(self._trace.writes), self.ledger
        )
        self._most = most_cycles(plan)
        self._convs = {op.name: op.index for op in plan.convolutions}
        self._phases = {command: command.phases(plan) for command in Command}
        self._features = {op.name for op in plan.feature_ops}
        self._imported = Classifier.load(bundle, plan.target).hidden
        most = plan.replay.first_staged + plan.replay.staging + 1
        self._abort: int | None = None
        self._log = Log(np.zeros((most, 4), np.int64), np.zeros(1, np.int64))

    def kernels(self) -> dict[str, Callable[[], object]]:
        """What has numba compile the kernels of stepping mode that this chip needs: calls that carry out no clock, by name."""
        drawn = self.plan.generative is not None
        kinds = {
            self._kind(name)[0]
            for phases in self._phases.values()
            for name in phases
            if name not in LEARNING_PHASES
        }
        still = Operation(0, 0, 0, np.zeros((1, 1), np.uint8), np.zeros(1, np.int64))
        given = self._program, self._clock, still, self._log, self._trace, 0
        runs = {kernel_of(kind, drawn) for kind in kinds}
        return {r.__qualname__: partial(r, *given) for r in runs} | self._session.kernels()

    def trace_cycles(self) -> None:
        """Have results hold a `spec.trace.Cycle` of each traced cycle in place of its line."""
        self._session.form = recording.cycles

    def watch(self, watch: Watch) -> None:
        """Call a function after each phase of the sessions that run in fast mode."""
        self._session.watch = watch

    # ------------------------------------------------------------------------- commands

    def reset(self) -> None:
        """Reset the chip, at power-on or later.

        Registers and counters begin anew, and the replay memory is empty; the other memories keep what they hold. A
        reset in the midst of a command is an `abort` of that command in the cycle of the reset, then this.
        """
        self._state.reset()
        self._abort = None
        self.ledger.clear()

    def infer(self, image: np.ndarray, gaps: np.ndarray | None = None) -> Result:
        """Recognise one image, or one packed latent where the network has no convolutions.

        image : uint8 of the network's `image_shape`
        gaps : (transfers,) cycles by which each transfer of the stream, as a pixel, is offered late
        """
        result = self._walk(Command.INFER, 0, image, gaps)
        result.prediction = self.state.prediction
        return result

    def stage(self, image: np.ndarray, label: int, gaps: np.ndarray | None = None) -> Result:
        """Keep a new sample aside until the session ends; gaps: as in `infer`."""
        return self._walk(Command.STAGE, label, image, gaps)

    def insert(self, image: np.ndarray, label: int, gaps: np.ndarray | None = None) -> Result:
        """Remember a sample at once; gaps: as in `infer`."""
        return self._walk(Command.INSERT, label, image, gaps)

    def enter_latent(self, latent: np.ndarray, label: int, stage: bool = True) -> Result:
        """Stage a latent, or insert it where stored replay has no staging memory, as if an image had left it.

        stage : False to insert it in either case.

        latent (latent,) bits. For workloads whose images are not there: the phases from image to latent are neither
        run nor counted.
        """
        self._counted("enter_latent")
        stages = stage and (self.plan.replay.staging or self.plan.generative)
        command = Command.STAGE if stages else Command.INSERT
        label = self._accept(command, label)
        bits = commands.bits_of("a latent", latent, (self.plan.network.latent,))
        words = vector_words([bits[None]], self.plan.target.channels)
        self._state.write("act.latent", words[0])
        return self._carry_out(self._phases[command][len(self.plan.feature_ops) :], label=label)

    def remember(self, latents: np.ndarray, labels: np.ndarray) -> None:
        """Write samples into the replay memory from slot 0, as a host may, and empty its other slots.

        latents (n, latent) bits; labels (n,), of classes seen. SpecError where there are more than slots.
        """
        preload.fill_replay(self.plan, self._state, latents, labels)

    def arrive(self, seen: int) -> Result:
        """Announce how many classes there are now, at least as many as before."""
        self._state.scalars[Scalar.SEEN] = self._accept(Command.ARRIVE, seen)
        return self._carry_out(Command.ARRIVE.phases(self.plan))

    def rebalance(self) -> Result:
        """End a session: trim every class to its quota, then admit staged samples."""
        return self._walk(Command.REBALANCE)

    def epoch(self) -> Result:
        """Walk every remembered and staged sample once."""
        return self._walk(Command.EPOCH)

    def retrain(self, done: functional.Done | None = None) -> Result:
        """Learn in one session from every remembered and staged latent; `done` is called with 1 after each epoch."""
        self._accept(Command.RETRAIN)
        frequencies = self._session.frequencies()
        mode, stop = self._begin()
        result = Result()
        result.finished = self._session.retrain(
            frequencies, mode, result.phases, result.trace, stop, done
        )
        self._state.scalars[Scalar.FINISHED] = result.finished
        return result

    def restore(self) -> Result:
        """Count the labels anew, after the host has written them; refused where one is of no class seen.

        After the host has written what `spec.registers.STALES` names, or a restore was aborted or refused, only
        `infer` and `restore` are taken until a restore has come to its end unrefused.
        """
        self._state.scalars[Scalar.STALE] = 1
        result = self._walk(Command.RESTORE)
        self._state.scalars[Scalar.STALE] = not result.finished or result.refused
        return result

    def carry_out(
        self,
        command: Command,
        argument: int = 0,
        image: np.ndarray | None = None,
        gaps: np.ndarray | None = None,
    ) -> Result:
        """Carry out any command of `spec.commands`: by the method of its name, or by its phases where it has none.

        SpecError where the chip would answer SLVERR.

        Parameters
        ----------
        command : Command
        argument : int
            As the host writes it; passed over where the command has no use for one, as by the chip.
        image : ndarray, optional
            uint8 of the network's `image_shape`, of a command that takes an image.
        gaps : ndarray, optional
            (transfers,) cycles by which each transfer of the image is offered late.

        Raises
        ------
        ImageError
            Where a command that takes an image is given none, or one that takes none is given one.
        """
        if image is not None and not command.image:
            raise ImageError(f"{command.name} must be given no image, but was")
        verb = getattr(self, command.name.lower(), None)
        if verb is None:
            return self._walk(command, argument, image, gaps)
        arguments: list = [argument] if command.argument else []
        return verb(image, *arguments, gaps=gaps) if command.image else verb(*arguments)

    def abort(self, cycles: int) -> None:
        """Abort the next command after so many cycles, at least 1, as a write of ABORT does.

        What is in a pipeline is lost; memories, registers and counters stay as they are then. A
        command that is over by then comes to its end.
        """
        require.positive("cycles", cycles)
        self._abort = cycles

    # ---------------------------------------------------------------------------- state

    @property
    def state(self) -> HostView:
        """The chip's architectural registers and flags, as a host reads them now."""
        scalars = self._state.scalars
        first = scalars[: Scalar.VISITED].tolist()
        flags = scalars[[Scalar.FINISHED, Scalar.STALE, Scalar.ERRORS]].tolist()
        return HostView(*first, *flags)

    @property
    def counters(self) -> dict[str, int]:
        """How often every event came, modulo 2^48, whichever counters the chip has: what an estimate rests on."""
        return counters.named(self._state.counters, self.plan.memories)

    @property
    def chip_counters(self) -> dict[str, int]:
        """What a host reads of the chip's counters: those that it has, in the order of their registers, in their bits."""
        return counters.of_chip(self._state.counters, self.plan)

    def proxies(self) -> proxies.Integers:
        """The classifier's proxies.

        Those of a frozen hidden layer are the bundle's, of which the chip holds the signs.
        """
        learned = proxies.read(self._state)
        frozen = not self.plan.target.hidden_learns
        return learned._replace(hidden=self._imported) if frozen else learned

    @property
    def cycles(self) -> int:
        """Clock cycles of commands so far; a counter of the chip shows them modulo 2 to its bits."""
        return int(self._state.counters.events[Event.CYCLES])

    def memories(self) -> dict[str, np.ndarray]:
        """(depth * count, width) uint8 bits by name, as the chip reads them; lane.file's row is lane * slots + slot."""
        return {name: self._state.bits(name) for name in self._state.names()}

    def memory_ints(self, name: str) -> list[int]:
        """A memory's rows as integers, bit i worth 2^i."""
        rows = pack_bytes(self._state.bits(name))
        return [int.from_bytes(row.tobytes(), "little") for row in rows]

    def stored_ints(self, name: str) -> list[int]:
        """What a memory's rows hold, as integers: the words, and above them the check bits of a memory with a code.

        They differ from `memory_ints` in these bits, and in wrong bits that a read corrects.
        """
        words, codes = self.memory_ints(name), self._state.codes
        return codes.stored(name, words) if name in codes.codes else words

    def wrong_rows(self) -> dict[str, dict[str, int]]:
        """Rows of memories with a code whose bits are not as written: how many a read of them finds to be what.

        By memory: ``corrected``, ``wrong`` (found, and not corrected) and ``unnoticed``.
        """
        return self._state.codes.verdicts()

    def write(self, memory: str, rows: np.ndarray) -> None:
        """Replace a memory's first rows by (n, width) bits, past every port."""
        bits = self._state.bits(memory)
        bits[: len(rows)] = rows
        self._state.write(memory, bits, 0, len(rows))

    def preload(self, latents, labels, new=None, new_labels=()) -> None:
        """Write samples into the replay memory, and new ones into the staging memory, past every port.

        latents, new (n, latent) bits; labels, new_labels (n,). The other slots of both are emptied.
        """
        self.remember(latents, labels)
        if new is not None:
            preload.fill_staging(self.plan, self._state, new, new_labels)

    def count_from(self, values: dict[str, int]) -> None:
        """Set counters, by name, to these values, as a test bench may set the chip's.

        They wrap as the chip's do. `ledger` begins anew.
        """
        counters.put(self._state.counters, values)
        self.ledger.clear()

    def flip(self, memory: str, row: int, bit: int) -> None:
        """Change one bit of a memory, as a fault does; check bits lie above those of the word."""
        self._state.flip(memory, row, bit)

    def upset(self, upsets: Iterable[Upset]) -> None:
        """Have bits change while the commands that follow run; those of an earlier call that have not come are dropped.

        Their cycles count from now. In the cycles between two commands, which are not counted, nothing changes: what is
        due by then comes in the first cycle of the next one. A bit of a register of `spec.upset.BOUNDS` changes where the
        next phase begins. Fast mode carries out clock by clock what an upset falls
        into, so that both modes leave the same.

        Raises
        ------
        SpecError
            For a place, row, bit or cycle that there is not.
        """  # noqa: DOC502  raised by `checked`
        self._upsets.plan(checked(self.plan, upsets), self.cycles)

    @property
    def upsets(self) -> tuple[list[Upset], list[Upset]]:
        """Upsets of the last `upset` that have come, each with the value of `cycles` at which it did, and those without effect.

        The latter would give a register of `spec.upset.BOUNDS` a value that is not of `spec.upset.bounds`.
        """
        return list(self._upsets.found), list(self._upsets.beyond)

    def copied(self) -> dict[str, np.ndarray]:
        """A copy of all that the chip remembers, counters too, which `put` brings back. See `dump` for a file."""
        return self._state.copied()

    def put(self, copied: dict[str, np.ndarray]) -> None:
        """Continue from what `copied` of a chip of the same plan returned. `ledger` begins anew."""
        self._state.put(copied)
        self.ledger.clear()

    def twin(self) -> "Simulator":
        """A chip in fast mode that remembers the same; what either does then does not touch the other."""
        other = Simulator(self.plan, self.bundle)
        other.put(self.copied())
        return other

    def dump(self, path: Path) -> None:
        """Write all that this object holds, counters too, to an npz file, whole or not at all.

        What a host can read of a chip and give back to it is a `snapshot`.
        """
        self._state.save(path)

    def load(self, path: Path) -> None:
        """Continue from a file of `dump`, of a chip of the same plan."""
        self._state.restore(path)
        self.ledger.clear()

    # ------------------------------------------------------------------------- the host

    def write_register(self, register: Register, value: int) -> None:
        """Write a control register as the host does while the chip is idle.

        SpecError for a register that the host does not write, or a value to which the chip answers SLVERR.
        """
        legal = registers.writable(self.plan.memories)
        require.choice("register", register, legal)
        value = require.whole(register.name, value)
        values = legal[register]
        require.between(register.name, value, values.start, values.stop - 1)
        self._state.scalars[SCALAR_OF[register]] = value
        self._written(register)

    def clear_errors(self, bits: int) -> None:
        """Write ERRORS as the host does: bits that are 1 are cleared.

        SpecError for a chip none of whose memories has a code.
        """
        require.choice("register", Register.ERRORS, registers.present(self.plan.memories))
        self._state.scalars[Scalar.ERRORS] &= ~require.whole("ERRORS", bits)

    def snapshot(self) -> Snapshot:
        """What a host reads of the idle chip, to restore it after power-off.

        SpecError while the counts are stale, because the chip then does not follow what the host has written.
        """
        self._counted("a snapshot")
        names = [w.memory.name for w in snapshots.windows(self.plan)]
        scalars = self._state.scalars
        for name in names:
            scalars[Scalar.ERRORS] |= self._state.codes.read(name)
        return Snapshot(
            {name: self._state.bits(name) for name in names},
            {r: int(scalars[SCALAR_OF[r]]) for r in registers.writable(self.plan.memories)},
        )

    def resume(self, snapshot: Snapshot) -> Result:
        """Write back a snapshot as a host does, and count the labels; the result of that `restore`.

        PREDICTION, the last command's status and the event counters are not part of a snapshot. SpecError for a
        snapshot that is not of this chip, or of a state that no chip comes to.
        """
        snapshots.check(self.plan, snapshot)
        for name, bits in snapshot.memories.items():
            if name not in registers.READ_ONLY:
                self._state.write(name, bits)
                self._written(name)
        for register in registers.writable(self.plan.memories):
            self.write_register(register, snapshot.registers[register])
        return self.restore()

    def read_row(self, memory: str, row: int) -> int:
        """A row of a memory through the host's window, bit i worth 2^i."""
        self._window(memory, row)
        self._state.scalars[Scalar.ERRORS] |= self._state.codes.read(memory, row, 1)
        return int.from_bytes(pack_bytes(self._state.bits(memory)[row]).tobytes(), "little")

    def write_row(self, memory: str, row: int, value: int) -> None:
        """Write a row of a memory through the host's window; bits past its width are dropped.

        Raises
        ------
        SpecError
            For a memory without a window, a row it lacks, or one that the host only reads.
        """
        width = self._window(memory, row).width
        if memory in registers.READ_ONLY:
            raise SpecError(f"memory must be one that the host writes, not {memory!r}")
        bits = self._state.bits(memory)
        bits[row] = int(value) >> np.arange(width, dtype=object) & 1
        self._state.write(memory, bits, row, 1)
        self._written(memory)

    def _window(self, memory: str, row: int) -> Memory:
        """The memory behind a window of the host; SpecError for a memory without one, or a row that it lacks."""
        known = {w.memory.name: w.memory for w in registers.windows(self.plan.memories)}
        if memory not in known:
            raise unknown("memory", memory, known)
        require.between(f"row of {memory}", row, 0, known[memory].depth - 1)
        return known[memory]

    def _written(self, what: str | Register) -> None:
        """Mark the counts as stale where the host has written what they follow from."""
        if what in registers.STALES:
            self._state.scalars[Scalar.STALE] = 1

    def _accept(self, command: Command, argument: object = 0) -> int:
        """The argument of a command that is taken; SpecError for one that the chip answers SLVERR."""
        stale = self._state.scalars[Scalar.STALE]
        return commands.accept(command, argument, self.state.seen, self.plan.network.classes, stale)

    def _counted(self, command: str) -> None:
        """Refuse a command that needs the counts while they are stale: the chip answers SLVERR to it."""
        commands.check_counted(command, self._state.scalars[Scalar.STALE])

    # ---------------------------------------------------------------------- data sets

    def latents(self, images: np.ndarray, done: functional.Done | None = None) -> np.ndarray:
        """(n, latent) bits of (n, *`NetworkSpec.image_shape`) images; changes nothing.

        `done` is called with numbers of images, as they are done.
        """
        return functional.latents(self.plan, self._program, self._state, images, done)

    def predict(self, images: np.ndarray, done: functional.Done | None = None) -> np.ndarray:
        """(n,) int64 predicted classes among those seen, of (n, *`NetworkSpec.image_shape`) images; changes nothing.

        `done` is called with numbers of images, as they are done.
        """
        return functional.predict(self.plan, self._program, self._state, images, done)

    # ------------------------------------------------------------------------ internals

    def _walk(self, command: Command, argument: object = 0, image=None, gaps=None) -> Result:
        """Check a command and run its phases."""
        label = self._accept(command, argument)
        if command.image:
            image = check_image(self.plan.network, image)
        return self._carry_out(self._phases[command], image=image, gaps=gaps, label=label)

    def _kind(self, phase: str) -> tuple[Kind, int]:
        """What a phase of the plan is; of a convolution, which one."""
        index = self._convs.get(phase)
        return (Kind[phase.upper()], 0) if index is None else (Kind.CONV, index)

    def _carry_out(self, phases, image=None, gaps=None, label: int = 0) -> Result:
        """Run phases of the plan, by name, one after another."""
        pixels = np.zeros((1, 1), np.uint8)
        if image is not None:
            # Numba compiles a kernel anew for an array that cannot be written, or whose rows lie apart.
            pixels = np.require(self.plan.input.transfers(image), requirements=("C", "W"))
        late = np.zeros(len(pixels), np.int64) if gaps is None else np.array(gaps, np.int64)
        if late.shape != (len(pixels),) or (late < 0).any():
            raise SpecError(f"gaps must be {len(pixels)} numbers of cycles, one a transfer")
        mode, stop = self._begin()
        self._log.count[0] = 0
        result = Result()
        most = self._most
        for name in phases:
            kind, index = self._kind(name)
            if self.cycles < stop:
                self._upsets.begin(self.cycles)
                result.phases.append((name, self.cycles))
                operation = Operation(int(kind), index, label, pixels, late)
                soon = min(self._upsets.cycle, stop)
                step = mode == "step" or soon < self.cycles + most[name] + int(late.sum())
                step = step or self._state.codes.touched(name in self._features)
                operate = self._step if step else self._fast
                result.finished = operate(kind, name, operation, result, stop)
                self.ledger.close_phase(name)
            else:
                result.finished = False
        self._state.scalars[Scalar.FINISHED] = result.finished
        result.refused = bool(self.state.refused)
        for cycle, kind, slot, owner in self._log.rows[: self._log.count[0]].tolist():
            result.events.append((cycle, KINDS[kind], slot, owner))
        return result

    def _begin(self) -> tuple[str, int]:
        """Take a command: the mode in which it runs, and the cycle at which it is aborted, by the host or the watchdog."""
        scalars = self._state.scalars
        scalars[Scalar.REFUSED] = scalars[Scalar.FINISHED] = 0
        abort, self._abort = self._abort, None
        last = self.cycles + self.plan.target.watchdog_cycles
        if abort is None:
            return self.mode, last
        return "step", min(last, self.cycles + abort)

    def _step(self, kind: Kind, name: str, operation: Operation, result: Result, stop: int) -> bool:
        """Carry out an operation clock by clock; whether it came to its end before `cycles` is `stop`."""
        clock = self._clock
        clock.wide.block[:] = 0
        clock.now[:SCALARS] = self._state.scalars
        clock.wide.row_out[:] = self._state.row_out
        clock.nxt_wide.block[:] = clock.wide.block
        run, done = kernel_of(kind, self.plan.generative is not None), False
        while not done and self.cycles < stop:
            first = self.cycles
            self._upsets.come(first, clock.now, clock.nxt)
            self._trace.count[0] = 0
            until = min(stop, self._upsets.cycle)
            done = run(self._program, clock, operation, self._log, self._trace, until)
            result.trace += self._session.form(self._trace, self._program.geometry, first, name)
        self._state.scalars[:] = clock.now[:SCALARS]
        self._state.row_out[:] = clock.wide.row_out
        return done

    def _fast(  # noqa: C901  a case a kind of operation
        self, kind: Kind, _name: str, operation: Operation, _result: Result, _stop: int
    ) -> bool:
        """Carry out an operation in one go, which nothing aborts."""
        program, state, label = self._program, self._state, operation.label
        memory, counters, scalars = state.memories, state.counters, state.scalars
        geometry, replay, log = program.geometry, program.replay, self._log
        generative, room = program.generative, self._clock.nxt_wide
        chip = geometry, memory, counters
        match kind:
            case Kind.INPUT:
                stalls = int(operation.gaps.sum())
                if program.input.part:
                    fast.latent_phase(program.input, *chip, operation.pixels, stalls, self._room)
                else:
                    fast.input_phase(program.input, *chip, operation.pixels, stalls)
            case Kind.CONV:
                op = Conv(*program.convs[operation.index].tolist())
                fast.conv_phase(op, *chip, self._room, state.row_out)
            case Kind.LGAP:
                fast.lgap_phase(program.lgap, *chip, self._room)
            case Kind.LATENT:
                fast.dense_phase(program.latent, *chip, self._room)
            case Kind.HIDDEN:
                fast.dense_phase(program.hidden, *chip, self._room)
            case Kind.OUTPUT:
                fast.output_phase(program.output, geometry, memory, counters, scalars)
            case Kind.TAKE:
                fast_generative.take_phase(generative, *chip, scalars, room, label)
            case Kind.EMPTY:
                fast_generative.empty_phase(generative, memory, counters, scalars)
            case Kind.STAGE if self.plan.generative:
                fast_generative.keep_phase(replay, generative, memory, counters, scalars, label)
            case Kind.EPOCH if self.plan.generative:
                fast_generative.gather_phase(program, memory, counters, scalars, room, log)
            case Kind.RESTORE if self.plan.generative:
                fast_generative.check_phase(generative, *chip, scalars)
            case Kind.STAGE:
                fast_replay.stage_phase(replay, memory, counters, scalars, label)
            case Kind.INSERT:
                fast_replay.insert_phase(replay, *chip, scalars, label, log)
            case Kind.QUOTA:
                fast_replay.quota_phase(replay, counters, scalars)
            case Kind.EVICT:
                fast_replay.evict_phase(replay, *chip, scalars, log)
            case Kind.ADMIT:
                fast_replay.admit_phase(replay, *chip, scalars, log)
            case Kind.EPOCH:
                fast_replay.epoch_phase(replay, *chip, scalars, log)
            case Kind.RESTORE:
                fast_replay.restore_phase(replay, *chip, scalars)
        return True
