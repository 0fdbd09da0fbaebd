"""One retraining session of a simulated chip, in either mode."""

from collections.abc import Callable
from functools import partial

import numpy as np

from xnoreplay.sim.common import proxies
from xnoreplay.sim.common.counters import Event
from xnoreplay.sim.common.learn_program import compile_learning
from xnoreplay.sim.common.phase_counters import Ledger
from xnoreplay.sim.common.program import Program
from xnoreplay.sim.common.state import SCALARS, Scalar
from xnoreplay.sim.common.upsets import Upsets
from xnoreplay.sim.fast import arithmetic as learn_kernels
from xnoreplay.sim.fast import session as fast_learn
from xnoreplay.sim.step import trace as recording
from xnoreplay.sim.step.learn_registers import LEARN_FLOPS, new_learn_clock, new_session_ports
from xnoreplay.sim.step.learn_sequencer import Phase, kernel_of
from xnoreplay.sim.step.registers import Flop, new_clock
from xnoreplay.sim.step.replay import WALK
from xnoreplay.spec import image
from xnoreplay.spec.learning import class_weights
from xnoreplay.spec.learning_plan import most_cycles
from xnoreplay.spec.plan import LEARNING_PHASES, Plan

BEGINS = (Phase.BALANCE, Phase.SEED, Phase.LOAD)
"""Phases before which fast mode has all that a session knows in the chip's memories and registers."""
Watch = Callable[[str, int, learn_kernels.Proxies, learn_kernels.Work, int, int], object]
"""Hears of each phase of a session in fast mode: its name, the shift of its deltas, proxies and
minibatch after it, how many samples that has, and how many classes were seen."""


class Session:
    """One chip's retraining, kept from session to session.

    Parameters
    ----------
    plan, program : Plan, Program
    upsets : Upsets
        Of the chip, whose state they have.
    trace : int
        Cycles that stepping mode records between two conversions to text, or 0.
    ledger : Ledger
        Sums counters by phase; a phase is closed as it ends.
    """

    def __init__(
        self, plan: Plan, program: Program, upsets: Upsets, trace: int, ledger: Ledger
    ) -> None:
        state = upsets.state
        self.plan, self.program, self.state, self.ledger = plan, program, state, ledger
        self.upsets, self._most = upsets, most_cycles(plan)
        self.op = compile_learning(plan)
        geometry = program.geometry
        beats = max([op.beats for op in plan.convolutions], default=0)
        widest = max(m.width for m in plan.memories)
        ports = new_session_ports(geometry, self.op, state.counters, widest)
        self._clock = new_clock(state, program, ports, beats, LEARN_FLOPS)
        self._learning = new_learn_clock(state, geometry, self.op)
        self._trace = recording.buffer(trace, geometry, ports)
        self.form: Callable[..., list] = recording.lines
        self._planes = fast_learn.new_planes(geometry)
        self._constants = learn_kernels.new_constants(plan.network, plan.target)
        self._work = learn_kernels.new_work(plan.network, plan.target.batch)
        self.watch: Watch | None = None
        self._absent = self._absent_columns()

    def _absent_columns(self) -> np.ndarray:
        """Bits of cls.top, in the state's shape, of columns that do not exist: only a host, or a fault, makes one of them 1."""
        words = self.state.layouts["cls.top"].from_bits(image.cls_top_columns(self.plan))
        return ~words.reshape(self.state.arrays["cls.top"].shape)

    def kernels(self) -> dict[str, Callable[[], object]]:
        """The same as `run.Simulator.kernels`, of a session."""
        given = self.program, self._clock, self._learning, 0, 0, self._trace, 0
        drawn = self.plan.generative is not None
        runs = {kernel_of(p, drawn) for p in Phase if LEARNING_PHASES[p] in self.plan.phases}
        return {run.__qualname__: partial(run, *given) for run in runs}

    @property
    def cycles(self) -> int:
        """Clock cycles of the chip so far."""
        return int(self.state.counters.events[Event.CYCLES])

    def retrain(
        self,
        frequencies: list[int],
        mode: str,
        phases: list,
        lines: list[str],
        stop: int,
        done: Callable[[int], object] | None = None,
    ) -> bool:
        """Retrain; whether the session came to its end.

        A name and first cycle of each phase are appended to `phases`, and stepping mode's trace to `lines`. Where
        `cycles` reaches `stop` the session ends early, which takes stepping mode. `done` is called with 1 after
        each epoch.
        """
        weights = self.state.learning.weight
        if not self.upsets.came:
            weights = np.array(class_weights(frequencies), np.int64)
        chip: _Fast | _Step
        chip = _Fast(self, weights) if mode == "fast" else _Step(self, lines, stop)

        def phase(kind: Phase, shift: int = 0) -> None:
            nonlocal chip
            if self.cycles >= stop:
                raise _Stopped
            self.upsets.begin(self.cycles)
            if mode == "fast" and kind in BEGINS:
                chip = self._chosen(chip, kind, lines, stop)
            phases.append((LEARNING_PHASES[kind], self.cycles))
            finished = chip.phase(kind, shift)
            self.ledger.close_phase(LEARNING_PHASES[kind])
            if self.watch and isinstance(chip, _Fast):
                samples, seen = (int(self.state.scalars[s]) for s in (Scalar.SAMPLES, Scalar.SEEN))
                self.watch(LEARNING_PHASES[kind], shift, chip.proxies, self._work, samples, seen)
            if not finished:
                raise _Stopped

        try:
            self._phases(phase, done)
        except _Stopped:
            return False
        finally:
            chip.finish()
        return True

    def _chosen(
        self, chip: "_Fast | _Step", kind: Phase, lines: list[str], stop: int
    ) -> "_Fast | _Step":
        """How fast mode carries out a phase of `BEGINS` and those up to the next: by clocks, if an upset or the end falls into them.

        So it does where a memory of samples has wrong bits, because a read of them shows in ERRORS, and where cls.top has a 1
        in a column that does not exist, which counts in the chip's sums.
        After any upset the chip's labels and counts may disagree, and only its own clocks tell what weights follow.
        """
        minibatch = [n for n in LEARNING_PHASES[Phase.LOAD :] if n in self._most]
        span = [LEARNING_PHASES[kind]] if kind is not Phase.LOAD else minibatch
        steps = min(self.upsets.soon, stop) < self.cycles + sum(self._most[n] for n in span)
        steps |= kind is Phase.BALANCE and self.upsets.came
        steps |= self.state.codes.touched(features=False)
        steps |= bool((self.state.arrays["cls.top"] & self._absent).any())
        if steps == isinstance(chip, _Step):
            return chip
        chip.finish()
        return _Step(self, lines, stop) if steps else _Fast(self, self.state.learning.weight)

    def _phases(self, phase, done) -> None:
        """Call `phase` with every phase of a session, in order."""
        scalars = self.state.scalars
        last = 1 << self.op.walk_bits

        phase(Phase.BALANCE)
        for epoch in range(self.plan.target.epochs):
            phase(Phase.SEED)
            while scalars[Scalar.VISITED] < last:
                phase(Phase.LOAD)
                if not scalars[Scalar.SAMPLES]:
                    break
                phase(Phase.HIDDEN_FORWARD)
                phase(Phase.OUTPUT_FORWARD)
                phase(Phase.ERROR, self.plan.rule.delta_shift(epoch))
                if self.op.hidden_learns:
                    phase(Phase.BACK, self.plan.rule.hidden_shift(epoch))
                phase(Phase.OUTPUT_UPDATE)
                if self.op.hidden_learns:
                    phase(Phase.HIDDEN_UPDATE)
            if done:
                done(1)

    def frequencies(self) -> list[int]:
        """How many latents of each class seen are remembered or staged."""
        m, scalars = self.state.memories, self.state.scalars
        if self.plan.generative:
            shares = m.share.reshape(-1, self.plan.generative.components)
            staged = m.staging_count[: len(shares)]
            drawn = np.maximum(staged, self.plan.generative.drawn_per_class)
            counts = np.where(shares.any(axis=1), drawn, staged)
            return counts[: scalars[Scalar.SEEN]].tolist()
        staged = np.bincount(
            m.staging_label[: scalars[Scalar.STAGED]], minlength=len(m.replay_count)
        )
        counts = m.replay_count + staged
        return counts[: scalars[Scalar.SEEN]].tolist()


class _Stopped(Exception):
    """The cycle at which a session is aborted has come before the session's end."""


class _Step:
    """Stepping mode: a session clock by clock."""

    def __init__(self, session: Session, lines: list[str], stop: int) -> None:
        self.session, self.lines, self.stop = session, lines, stop

    def phase(self, kind: Phase, shift: int) -> bool:
        """Clock a phase; whether it came to its end before `cycles` is `stop`. shift: of the phase's deltas."""
        session = self.session
        state, clock, learning = session.state, session._clock, session._learning
        now = clock.now
        clock.wide.block[:] = 0
        now[:SCALARS] = state.scalars
        if kind is Phase.LOAD:  # takes up the epoch's walk
            now[Flop.STATE] = WALK
            now[Flop.VISITED] = state.scalars[Scalar.VISITED]
            now[Flop.WALK_STATE] = state.scalars[Scalar.WALK_STATE]
        clock.nxt_wide.block[:] = clock.wide.block
        learning.wide.block[:] = 0
        learning.nxt_wide.block[:] = 0
        run, done = kernel_of(kind, session.plan.generative is not None), False
        while not done and session.cycles < self.stop:
            first = session.cycles
            session.upsets.come(first, now, clock.nxt)
            session._trace.count[0] = 0
            until = min(self.stop, session.upsets.cycle)
            done = run(session.program, clock, learning, int(kind), shift, session._trace, until)
            name = LEARNING_PHASES[kind]
            self.lines += session.form(session._trace, session.program.geometry, first, name)
        state.scalars[:] = now[:SCALARS]
        return done

    def finish(self) -> None:
        """Do nothing: every clock has written what it changes."""


class _Fast:
    """Fast mode: a session phase by phase.

    Proxies are written to the memories at the end, except where a phase reads them there.
    """

    def __init__(self, session: Session, weights: np.ndarray) -> None:
        self.session, self.weights = session, weights
        self.proxies = self._read()
        self.changed = tuple(
            np.zeros(len(p), bool) for p in (self.proxies.output, self.proxies.hidden)
        )

    def _read(self) -> learn_kernels.Proxies:
        """The proxies in the chip's memories, and the weights that follow from them."""
        session, net = self.session, self.session.plan.network
        integers = proxies.read(session.state)
        scalars = session.state.scalars
        found = learn_kernels.Proxies(
            np.ascontiguousarray(integers.hidden[:, None], np.int32),
            np.ascontiguousarray(integers.output, np.int32),
            np.zeros((net.hidden, net.latent), np.int8),
            np.zeros((net.classes, net.output_inputs), np.int8),
            scalars[[Scalar.ERROR, Scalar.UPDATE]].astype(np.int64),
        )
        learn_kernels.binarise(session._constants, found)
        return found

    def phase(self, kind: Phase, shift: int) -> bool:  # noqa: C901  a case a phase
        """Carry out a phase in one go; true, because nothing aborts it. shift: of the phase's deltas."""
        session, constants, work = self.session, self.session._constants, self.session._work
        op, program, state = session.op, session.program, session.state
        geometry = program.geometry
        memory, learning, counters = state.memories, state.learning, state.counters
        scalars = state.scalars
        samples, seen = int(scalars[Scalar.SAMPLES]), int(scalars[Scalar.SEEN])
        batch = fast_learn.Minibatch(samples, seen, work)
        match kind:
            case Phase.BALANCE:
                fast_learn.balance_phase(
                    op, program, memory, learning, counters, scalars, self.weights
                )
            case Phase.SEED:
                fast_learn.seed_phase(counters, scalars)
            case Phase.LOAD if session.plan.generative:
                rooms = session._clock.nxt_wide, work
                fast_learn.gather_minibatch_phase(
                    op, program, memory, learning, counters, scalars, rooms
                )
            case Phase.LOAD:
                fast_learn.load_phase(op, program, memory, learning, counters, scalars, work)
            case Phase.HIDDEN_FORWARD:
                learn_kernels.forward(self.proxies, work, samples, seen)
                fast_learn.hidden_forward_phase(op, geometry, memory, learning, counters, batch)
            case Phase.OUTPUT_FORWARD:
                fast_learn.output_forward_phase(op, geometry, learning, counters, batch)
            case Phase.ERROR:
                learn_kernels.errors(
                    constants, self.proxies, work, samples, seen, self.weights, shift
                )
                fast_learn.error_phase(op, geometry, learning, counters, batch)
            case Phase.BACK:
                self._store(output=True)
                learn_kernels.back(constants, self.proxies, work, samples, seen, shift)
                fast_learn.back_phase(
                    op, geometry, memory, learning, counters, batch, session._planes
                )
            case Phase.OUTPUT_UPDATE:
                learn_kernels.update(constants, self.proxies, work, samples, seen)
                for changed, planes, rows in zip(
                    self.changed, work.planes, (seen, op.hidden), strict=True
                ):
                    changed[:rows] |= planes[:rows] > 0
                fast_learn.update_phase(op, geometry, counters, batch, 1, session._planes)
                if not op.hidden_learns:
                    fast_learn.write_planes(op, geometry, memory, learning, session._planes)
            case Phase.HIDDEN_UPDATE:
                fast_learn.update_phase(op, geometry, counters, batch, 0, session._planes)
                fast_learn.write_planes(op, geometry, memory, learning, session._planes)
        scalars[[Scalar.ERROR, Scalar.UPDATE]] = self.proxies.random
        return True

    def finish(self) -> None:
        """Write the proxies that have not been written."""
        self._store(output=True)
        if self.session.op.hidden_learns:
            self._store(output=False)

    def _store(self, output: bool) -> None:
        """Write the rows of proxies that changed: those of the output layer, or of the hidden layer."""
        session = self.session
        memories, learning = session.state.memories, session.state.learning
        geometry = session.program.geometry
        theta = self.proxies.output if output else self.proxies.hidden
        changed = self.changed[0 if output else 1]
        fast_learn.store_rows(session.op, geometry, memories, learning, theta, changed, int(output))
