"""Flips of the Verilog's flip-flops: also of those of pipelines and state machines, which the simulator does not have.

Bits of registers that the chip has beside its memories change in drawn clocks of a session, or of an image, in Verilator.
What the chip then answers is compared with what it answers without.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xnoreplay.flow.run import processes, temporary
from xnoreplay.flow.run.progress import Progress
from xnoreplay.flow.run.verilate import BARE_RUNTIME, TOP, Verilate
from xnoreplay.flow.upset.sessions import LOSS, Bench
from xnoreplay.flow.verify import programs
from xnoreplay.flow.verify.cosim.chip import opened
from xnoreplay.spec import registers, snapshot
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import CheckFailure, SpecError
from xnoreplay.spec.learning_plan import session_cycles
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset
from xnoreplay.spec.registers import Register
from xnoreplay.spec.snapshot import Snapshot
from xnoreplay.spec.upset import REGISTER_ROLE, places

if TYPE_CHECKING:
    from xnoreplay.sim.run import Simulator

MAIN = Path(__file__).parent / "flops.cpp"
COMMANDS = (Command.RETRAIN, Command.REBALANCE)
SESSION, IMAGE = "session", "image"
WINDOWS = (SESSION, IMAGE)
"""While what a flip comes: the commands of a session, or the recognition of an image."""
NO_FLIP = 0xFFFFFFFF
SLACK = 256  # clocks of transfers, beside those of commands that a watchdog ends
IMAGES = 2
"""Test images that a trial recognises: one while bits change, and one after it."""
MASKED, CHANGED, HARMED, HANG = "masked", "changed", "harmed", "hang"
OUTCOMES = {
    MASKED: "the host reads what it reads without the flip: classes of the images, memories and registers",
    CHANGED: "it reads something else, and every command ends, by itself or by the chip's watchdog",
    HARMED: f"it does, and a_final falls by more than {100 * LOSS:g} points",
    HANG: "a command takes more cycles than the plan's watchdog allows, or the host port does not answer",
}
ENDED, ABORTED, RESET = 0, 1, 2  # as `flops.cpp` has them
HELPED = {ABORTED: "abort", RESET: "reset"}
NAME = r"(?:\\\S+|\w+)"
NO_FLOPS = {"rows", "met"}
"""Names of what a clock writes and is no flip-flop of a chip: rows of memories, and what simulations alone have."""
PUBLIC = "/*verilator public_flat_rw*/"


Trial = tuple[str, int, int, int]
"""One of `WINDOWS`, number of the register or `NO_FLIP`, bit, and the clock after whose edge it changes, from 1 on."""


class Flop(NamedTuple):
    """A register: its place in the program's list, its path below the top, and its bits."""

    number: int
    path: str
    bits: int

    @property
    def unit(self) -> str:
        """The unit of the top that it belongs to, or `TOP`."""
        head, _, rest = self.path.partition(".")
        return head if rest else TOP


def marked(verilog: str) -> str:
    """The Verilog with each register that is a flip-flop made visible to `flops.cpp`."""
    return re.sub(
        r"^module .*?^endmodule", lambda module: _marked(module[0]), verilog, flags=re.M | re.S
    )


def _marked(module: str) -> str:
    """A module with the registers that a rising edge of the clock writes made visible."""
    names = set()
    for block in re.findall(
        r"^  always @\(posedge clk\).*\n((?:   .*\n|  end\n)+)", module, re.MULTILINE
    ):
        names |= set(re.findall(rf"^\s+({NAME})\s*(?:\[[^<]*)?<=", block, re.MULTILINE))

    def declared(line: re.Match) -> str:
        return f"{line[1]}{line[2]} {PUBLIC}{line[3]}" if line[2] in names - NO_FLOPS else line[0]

    return re.sub(rf"^(  reg (?:\[[^]]*\] )?)({NAME})( ?[;=])", declared, module, flags=re.M)


class Program:
    """The compiled chip whose flip-flops can change.

    Parameters
    ----------
    plan : Plan
    verilog : str
        Its text.
    env : dict
        Of `flow.run.tools.verilator_env`.
    progress : Progress
        Shows the time that compiling takes.
    optimise : str
        The C++ compiler's option for the design.
    """

    def __init__(
        self,
        plan: Plan,
        verilog: str,
        env: dict[str, str],
        progress: Progress,
        optimise: str = "-O2",
    ) -> None:
        self.plan, self.progress = plan, progress
        text = marked(verilog)
        with programs.of_chip(MAIN, verilog) as main:
            built = Verilate(env, optimise).build(
                text, "bare", [], "`verilator_config\n", main, BARE_RUNTIME, [], progress
            )
        self.binary = built.folder / TOP
        listed = subprocess.run([self.binary], capture_output=True, text=True, check=True).stdout
        self.flops = [
            _flop(number, *line.split()) for number, line in enumerate(listed.splitlines())
        ]

    @property
    def bits(self) -> int:
        """How many flip-flops there are."""
        return sum(f.bits for f in self.flops)

    def try_out(
        self, state: Snapshot, images: np.ndarray, trials: list[Trial], by_reset: bool = False
    ) -> Iterator[tuple[int, int, tuple[int, ...]]]:
        """Carry out trials, each from the same state.

        Parameters
        ----------
        state : Snapshot
            Of the idle chip.
        images : ndarray
            (n, *image_shape) uint8: recognised after the session, or alone.
        trials : list of Trial
        by_reset : bool
            Reset a chip that hangs, where ABORT would be tried first.

        Yields
        ------
        ended : int
            ENDED, or what helped: ABORTED or RESET, after which the same was done again without a flip.
        clocks : int
            Of the session, or of the first image.
        words : tuple of int
            The classes of the images, then what a host reads at `snapshot.reads`.

        Raises
        ------
        CheckFailure
            Where not even a reset helps.
        """
        with temporary.folder("flops") as work:
            file = work / "words"
            self._words(state, images, trials, by_reset).tofile(file)
            with (
                self.progress.task("flips of flip-flops", len(trials)) as task,
                processes.started(
                    [self.binary, file], stdout=subprocess.PIPE, text=True
                ) as process,
            ):
                assert process.stdout
                for trial, line in zip(trials, process.stdout, strict=False):
                    ended, clocks, *words = map(int, line.split())
                    if ended not in (ENDED, *HELPED):
                        window, number, bit, clock = trial
                        name = "no flip" if number == NO_FLIP else self.flops[number].path
                        raise CheckFailure(
                            f"a reset must bring the chip back, but does not after a flip of {name}, bit {bit}, in clock "
                            f"{clock} of the {window}"
                        )
                    task.advance()
                    yield ended, clocks, tuple(words)

    def _words(
        self, state: Snapshot, images: np.ndarray, trials: list[Trial], by_reset: bool
    ) -> np.ndarray:
        """The words that `flops.cpp` reads, uint32."""
        plan = self.plan
        before = list(snapshot.writes(plan, state))
        session = [(int(Register.COMMAND), int(c)) for c in COMMANDS]
        reads = list(snapshot.reads(plan))
        sent = [n for image in images for n in plan.input.payloads(image)]
        addresses = [Register.COMMAND, Register.PREDICTION, Register.ABORT]
        most = [session_cycles(plan), plan.infer_cycles(plan.network.classes) + plan.input.pixels]
        if plan.target.watchdog_bits:
            most = [n * plan.target.watchdog_cycles + SLACK for n in (len(COMMANDS), 1)]
        parts: tuple = (
            [len(before)],
            np.array(before).ravel(),
            [len(session)],
            np.array(session).ravel(),
            [len(images), plan.input.pixels, int(Command.INFER)],
            sent,
            addresses,
            most,
            [len(reads)],
            reads,
            [len(trials)],
            [n for window, *rest in trials for n in (WINDOWS.index(window) + 2 * by_reset, *rest)],
        )
        return np.concatenate([np.array(part, np.int64) for part in parts]).astype("<u4")


def _flop(number: int, scope: str, name: str, bits: str) -> Flop:
    """A register as the program lists it."""
    path = f"{scope}.{name}".removeprefix("TOP.").removeprefix(f"{TOP}.")
    return Flop(number, path, int(bits))


def drawn(flops: list[Flop], window: str, clocks: int, count: int, seed: int) -> list[Trial]:
    """Trials with one flip each: any flip-flop, in any clock of a window of so many clocks."""
    rng = np.random.default_rng([seed, WINDOWS.index(window)])
    ends = np.cumsum([f.bits for f in flops])
    found = []
    for place in rng.integers(ends[-1], size=count):
        flop = flops[int(np.searchsorted(ends, place, "right"))]
        bit = int(place - ends[flop.number] + flop.bits)
        found.append((window, flop.number, bit, int(rng.integers(clocks)) + 1))
    return found


Judge = Callable[[Snapshot], bool]
"""Whether a chip in this state after a session recognises test images so much worse that it counts as harmed."""


def measure(
    program: Program, chip: "Simulator", images: np.ndarray, count: int, seed: int, harms: Judge
) -> dict[str, Any]:
    """Flip drawn flip-flops of a chip, each in a trial of its own.

    Parameters
    ----------
    program : Program
    chip : Simulator
        Idle, its session staged; it is not changed.
    images : ndarray
        (n, *image_shape) uint8, at least one: recognised after the session, or alone.
    count : int
        Flips of each of `WINDOWS`.
    seed : int
    harms : function
        Asked of each session that changed something.

    Returns
    -------
    dict
        registers, flops (bits of these), modelled (bits of those that are places of `spec.upset`); windows: of each of
        `WINDOWS` clocks, flips, outcomes (how many of each of `OUTCOMES`), units (the same by unit), and hung (path, bit,
        clock and what helped, of each that hangs).

    Raises
    ------
    CheckFailure
        Where the Verilog without a flip answers otherwise than the simulated chip, or where it does not answer as
        without a flip after a reset and the state written once more.
    """
    state = chip.snapshot()
    clean = list(program.try_out(state, images, [(w, NO_FLIP, 0, 0) for w in WINDOWS]))
    _must_be(program.plan, chip, images, [words for _, _, words in clean])
    found = {}
    for window, (_, clocks, wanted) in zip(WINDOWS, clean, strict=True):
        trials = drawn(program.flops, window, clocks, count, seed)
        outcomes: list[str] = []
        helped: dict[Trial, int] = {}
        for trial, (ended, _, words) in zip(
            trials, program.try_out(state, images, trials), strict=True
        ):
            if ended != ENDED:
                outcomes.append(HANG)
                helped[trial] = ended if words == wanted else RESET
            elif words == wanted:
                outcomes.append(MASKED)
            else:
                after = snapshot.of_words(program.plan, words[len(images) :])
                outcomes.append(HARMED if window == SESSION and harms(after) else CHANGED)
        resets = [trial for trial, ended in helped.items() if ended == RESET]
        _must_come_back(program, state, images, resets, wanted)
        units: dict[str, Counter] = {}
        for (_, number, _, _), outcome in zip(trials, outcomes, strict=True):
            units.setdefault(program.flops[number].unit, Counter())[outcome] += 1
        found[window] = {
            "clocks": clocks,
            "flips": count,
            "outcomes": {name: outcomes.count(name) for name in OUTCOMES},
            "units": {unit: {n: counted[n] for n in OUTCOMES} for unit, counted in units.items()},
            "hung": [
                [program.flops[number].path, bit, clock, HELPED[ended]]
                for (_, number, bit, clock), ended in helped.items()
            ],
        }
    known = places(program.plan).values()
    return {
        "registers": len(program.flops),
        "flops": program.bits,
        "modelled": sum(place.bits for place in known if place.role == REGISTER_ROLE),
        "windows": found,
    }


def _must_come_back(program: Program, state, images, trials: list[Trial], wanted: tuple) -> None:
    """CheckFailure where a chip that hangs in one of these trials does not answer as before after a reset."""
    results = program.try_out(state, images, trials, by_reset=True)
    for (window, number, bit, clock), (_, _, words) in zip(trials, results, strict=True):
        if words != wanted:
            raise CheckFailure(
                f"a chip that was reset and restored must answer as before, but does not after a flip of "
                f"{program.flops[number].path}, bit {bit}, in clock {clock} of the {window}"
            )


def campaign(
    preset: Preset,
    bundle: Bundle,
    verilog: Path,
    bench: Bench,
    count: int,
    seed: int,
    progress: Progress,
    **options: Any,
) -> dict[str, Any]:
    """Flip flip-flops in the last session of a preset's scenario; see `measure`.

    Parameters
    ----------
    preset : Preset
    bundle : Bundle
    verilog : Path
        Folder of the generated Verilog.
    bench : Bench
        At the start of that session.
    count, seed : int
        As for `measure`.
    progress : Progress
    **options
        Of `flow.verify.cosim.chip.opened`.
    """
    twin = bench.chip.twin()

    def harms(after: Snapshot) -> bool:
        try:
            twin.resume(after)
        except SpecError:  # a chip with such labels or registers refuses its commands
            return True
        right = twin.predict(bench.images) == bench.classes
        return float(right.mean()) < bench.a_final - LOSS

    with opened(preset, bundle, verilog, progress, **options) as design:
        program = Program(bench.plan, design.verilog, design.env, progress, design.optimise)
    bench.chip.put(bench.start)
    return measure(program, bench.chip, bench.images[:IMAGES], count, seed, harms)


def _must_be(plan: Plan, chip: "Simulator", images: np.ndarray, answered: list) -> None:
    """Raise CheckFailure where the Verilog without a flip answers otherwise than the simulated chip."""
    for window, words in zip(WINDOWS, answered, strict=True):
        twin = chip.twin()
        if window == SESSION:
            for command in COMMANDS:
                twin.carry_out(command)
        classes = tuple(twin.infer(image).prediction for image in images)
        want, have = twin.snapshot(), snapshot.of_words(plan, words[len(images) :])
        equal = classes == words[: len(images)] and all(
            have.registers[r] == want.registers[r] for r in registers.writable(plan.memories)
        )
        same = all((have.memories[n] == rows).all() for n, rows in want.memories.items())
        if not (equal and same):
            raise CheckFailure(
                f"the Verilog without a flip must answer as the simulator after the {window}, but does not"
            )
