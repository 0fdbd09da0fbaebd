"""One retraining session of a simulated chip, in either mode."""

from collections.abc import Callable

import numpy as np

from xnoreplay.sim.common import learn_ops, proxies
from xnoreplay.sim.common.counters import Event
from xnoreplay.sim.common.ops import Program
from xnoreplay.sim.common.phase_counters import Ledger
from xnoreplay.sim.common.state import SCALARS, Scalar, State
from xnoreplay.sim.fast import arithmetic as learn_kernels
from xnoreplay.sim.fast import session as fast_learn
from xnoreplay.sim.step import learn_registers as registers
from xnoreplay.sim.step import trace as recording
from xnoreplay.sim.step.learn_sequencer import Phase, run_session
from xnoreplay.sim.step.registers import R
from xnoreplay.sim.step.registers import registers as base_registers
from xnoreplay.sim.step.replay import WALK
from xnoreplay.spec.learning import class_weights
from xnoreplay.spec.plan import LEARNING_PHASES, Plan

Watch = Callable[[str, int, learn_kernels.Proxies, learn_kernels.Work, int, int], object]
"""Hears of each phase of a session in fast mode: its name, the shift of its deltas, proxies and
minibatch after it, how many samples that has, and how many classes were seen."""


class Session:
    """What a chip needs to retrain; kept from session to session.

    Parameters
    ----------
    plan, program, state : Plan, Program, State
    trace : int
        Cycles that stepping mode records between two conversions to text, or 0.
    ledger : Ledger
        Is charged after every phase.
    """

    def __init__(
        self, plan: Plan, program: Program, state: State, trace: int, ledger: Ledger
    ) -> None:
        self.plan, self.program, self.state, self.ledger = plan, program, state, ledger
        self.op = learn_ops.learn(plan)
        g = program.geometry
        beats = max(op.beats for op in plan.convolutions)
        self._now, self._next = base_registers(g, beats), base_registers(g, beats)
        self._unit, self._unit_next = (
            registers.registers(g, self.op),
            registers.registers(g, self.op),
        )
        self._files = registers.files(g, self.op)
        self._ports = registers.ports(g, self.op, max(m.width for m in plan.memories))
        self._trace = recording.buffer(trace, g, self._ports)
        self.form = recording.lines
        self._planes = fast_learn.planes(g)
        self._constants = learn_kernels.constants(plan.network, plan.target)
        self._work = learn_kernels.work(plan.network, plan.target.batch)
        self.watch: Watch | None = None

    @property
    def cycles(self) -> int:
        return int(self.state.counters.events[Event.CYCLES])

    def run(
        self,
        frequencies: list[int],
        mode: str,
        phases: list,
        lines: list[str],
        stop: int,
        done: Callable[[int], object] | None = None,
    ) -> bool:
        """Retrain; appends (name, cycle) of each phase, and the trace of stepping mode.

        Ends early where `cycles` reaches `stop`, which takes stepping mode; false then. `done` is
        called with 1 after each epoch.
        """
        chip = (
            _Fast(self, class_weights(frequencies)) if mode == "fast" else _Step(self, lines, stop)
        )

        def phase(kind: Phase, shift: int = 0) -> None:
            if self.cycles >= stop:
                raise _Stopped
            phases.append((LEARNING_PHASES[kind], self.cycles))
            finished = chip.phase(kind, shift)
            self.ledger.charge(LEARNING_PHASES[kind])
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
            chip.settle()
        return True

    def _phases(self, phase, done) -> None:
        """Every phase of a session, in order."""
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
        """Remembered and staged latents of each class seen."""
        m, scalars = self.state.memories, self.state.scalars
        staged = np.bincount(
            m.staging_label[: scalars[Scalar.STAGED]], minlength=len(m.replay_count)
        )
        counts = m.replay_count + staged
        return counts[: scalars[Scalar.SEEN]].tolist()


class _Stopped(Exception):
    """The session's last cycle has come before its end."""


class _Step:
    """A clock at a time."""

    def __init__(self, session: Session, lines: list[str], stop: int) -> None:
        self.session, self.lines, self.stop = session, lines, stop

    def phase(self, kind: Phase, shift: int) -> bool:
        s = self.session
        state, now, unit = s.state, s._now, s._unit
        now.all[:] = 0
        now.s[:SCALARS] = state.scalars
        if kind is Phase.LOAD:  # takes up the epoch's walk
            now.s[R.STATE] = WALK
            now.s[R.VISITED] = state.scalars[Scalar.VISITED]
            now.s[R.WALK_STATE] = state.scalars[Scalar.WALK_STATE]
        s._next.all[:] = now.all
        unit.all[:] = 0
        s._unit_next.all[:] = 0
        done = False
        while not done and s.cycles < self.stop:
            first = s.cycles
            s._trace.count[0] = 0
            done = run_session(
                s.op,
                s.program,
                kind,
                shift,
                state.memories,
                state.learning,
                state.counters,
                s._ports,
                now,
                s._next,
                unit,
                s._unit_next,
                s._files,
                s._trace,
                self.stop,
            )
            name = LEARNING_PHASES[kind]
            self.lines += s.form(s._trace, s.program.geometry, first, name)
        state.scalars[:] = now.s[:SCALARS]
        return done

    def settle(self) -> None:
        """Nothing is left to do."""


class _Fast:
    """A phase at a time.

    Proxies are written to the memories at the end, but for those that a phase reads there.
    """

    def __init__(self, session: Session, weights: list[int]) -> None:
        self.session = session
        self.weights = np.array(weights, np.int64)
        self.proxies = self._read()
        self.changed = tuple(
            np.zeros(len(p), bool) for p in (self.proxies.output, self.proxies.hidden)
        )

    def _read(self) -> learn_kernels.Proxies:
        s, net = self.session, self.session.plan.network
        integers = proxies.read(s.state)
        scalars = s.state.scalars
        p = learn_kernels.Proxies(
            np.ascontiguousarray(integers.hidden[:, None], np.int32),
            np.ascontiguousarray(integers.output, np.int32),
            np.zeros((net.hidden, net.latent), np.int8),
            np.zeros((net.classes, net.output_inputs), np.int8),
            scalars[[Scalar.ERROR, Scalar.UPDATE]].astype(np.int64),
        )
        learn_kernels.binarise(s._constants, p)
        return p

    def phase(self, kind: Phase, shift: int) -> bool:
        s, k, work = self.session, self.session._constants, self.session._work
        op, pr, g, state = s.op, s.program, s.program.geometry, s.state
        m, lm, c, scalars = state.memories, state.learning, state.counters, state.scalars
        samples, seen = int(scalars[Scalar.SAMPLES]), int(scalars[Scalar.SEEN])
        match kind:
            case Phase.BALANCE:
                fast_learn.balance_phase(pr, m, lm, c, scalars, self.weights)
            case Phase.SEED:
                fast_learn.seed_phase(c, scalars)
            case Phase.LOAD:
                fast_learn.load_phase(op, pr, m, lm, c, scalars, work)
            case Phase.HIDDEN_FORWARD:
                learn_kernels.forward(self.proxies, work, samples, seen)
                fast_learn.hidden_forward_phase(op, g, m, lm, c, samples, work)
            case Phase.OUTPUT_FORWARD:
                fast_learn.output_forward_phase(op, g, lm, c, samples, seen, work)
            case Phase.ERROR:
                learn_kernels.errors(k, self.proxies, work, samples, seen, self.weights, shift)
                fast_learn.error_phase(op, g, lm, c, samples, seen, work)
            case Phase.BACK:
                self._store(output=True)
                learn_kernels.back(k, self.proxies, work, samples, seen, shift)
                fast_learn.back_phase(op, g, m, lm, c, samples, seen, work, s._planes)
            case Phase.OUTPUT_UPDATE:
                learn_kernels.update(k, self.proxies, work, samples, seen)
                for changed, planes, rows in zip(
                    self.changed, work.planes, (seen, op.hidden), strict=True
                ):
                    changed[:rows] |= planes[:rows] > 0
                fast_learn.update_phase(op, g, c, samples, seen, work.q, 1, s._planes)
                if not op.hidden_learns:
                    fast_learn.settle_planes(g, m, lm, op, s._planes)
            case Phase.HIDDEN_UPDATE:
                fast_learn.update_phase(op, g, c, samples, op.hidden, work.d, 0, s._planes)
                fast_learn.settle_planes(g, m, lm, op, s._planes)
        scalars[[Scalar.ERROR, Scalar.UPDATE]] = self.proxies.random
        return True

    def settle(self) -> None:
        """Write what has not been written."""
        self._store(output=True)
        if self.session.op.hidden_learns:
            self._store(output=False)

    def _store(self, output: bool) -> None:
        s = self.session
        m, lm, g = s.state.memories, s.state.learning, s.program.geometry
        theta = self.proxies.output if output else self.proxies.hidden
        changed = self.changed[0 if output else 1]
        fast_learn.store_rows(s.op, g, m, lm, theta, changed, int(output))
