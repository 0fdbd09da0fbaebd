"""The Python driver on the simulator: what it finds is what the simulator's own calls give."""

import dataclasses
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.host import program
from tests.host.chips import C99, GIVEN, TINY
from xnoreplay.flow.chip import host_files
from xnoreplay.flow.verify import served
from xnoreplay.host import driver as drivers
from xnoreplay.host.bus import HostError
from xnoreplay.host.driver import Driver
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.host.uart import UartBus
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import host_map, learning_plan, presets, registers, snapshot
from xnoreplay.spec import image as images_of
from xnoreplay.spec import plan as plans
from xnoreplay.spec.codes import Verdict
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import ImageError, SpecError, XnoreplayError
from xnoreplay.spec.registers import Register, Response, Status
from xnoreplay.spec.snapshot import Snapshot

PLAN = plans.compile(TINY.network, TINY.target)
BUNDLE = bundles.random(TINY.network, 0)


def connected(preset=TINY):
    plan = plans.compile(preset.network, preset.target)
    # Power-on: memories hold nothing of a bundle yet.
    return Driver(SimulatedBus(Simulator(plan, bundles.random(preset.network, 99))), preset)


def own_calls():
    """The program's life by the simulator's own methods."""
    chip, found = Simulator(PLAN, BUNDLE), {}
    pictures = program.images(connected(), 12)
    chip.arrive(2)
    found["remembered"] = [
        not chip.insert(pictures[i], i % 2).refused for i in range(2 * program.KEPT)
    ]
    found["before"] = [chip.infer(x).prediction for x in pictures]
    found["enrolled"] = [not chip.stage(x, 2).refused for x in pictures[-program.NEW :]]
    found["ready"] = [chip.infer(x).prediction for x in pictures]
    chip.retrain()
    chip.rebalance()
    found["learned"] = [chip.infer(x).prediction for x in pictures]
    found["counters"] = chip.counters
    found["low"] = chip.memory_ints("cls.low")
    return found


def test_a_program_sees_what_the_simulator_does():
    seen, expected = program.life(connected(), BUNDLE), own_calls()
    assert {name: seen[name] for name in expected} == expected
    assert seen["learned"] != seen["before"], "a session that changes nothing shows nothing"
    assert seen["sentence"] == "the chip must take ARRIVE with argument 1, but refused it"


def test_a_chip_without_staging_remembers_what_it_is_given():
    driver = connected(presets.vary(TINY, "target", staging_capacity=0))
    driver.load(BUNDLE, classes=2)
    picture = program.images(driver, 1)[0]
    assert driver.enrol(picture, 1)
    assert sum(label > 0 for label in driver.read_memory("replay.label")) == 1


def test_a_state_goes_through_a_file(tmp_path):
    driver = connected()
    driver.load(BUNDLE, classes=2)
    driver.remember(program.images(driver, 1)[0], 1)
    saved = driver.save(tmp_path / "state")
    other = connected()
    other.restore(tmp_path / "state")
    again = other.save()
    assert again.registers == saved.registers
    assert all((again.memories[n] == bits).all() for n, bits in saved.memories.items())


def test_a_state_takes_the_place_of_a_file_alone(tmp_path):
    """A link or a pipe that is there stays what it is."""
    driver = connected()
    file, link, pipe, dangling = (tmp_path / name for name in ("file", "link", "pipe", "dangling"))
    file.write_text("kept")
    link.symlink_to(file)
    dangling.symlink_to(tmp_path / "nothing")
    os.mkfifo(pipe)
    for path, kind in ((link, "a symbolic link"), (dangling, "a sym"), (pipe, "a named pipe")):
        with pytest.raises(XnoreplayError, match=f"must be saved to a file, but {path} is {kind}"):
            driver.save(path)
    assert link.is_symlink()
    assert pipe.is_fifo()
    assert file.read_text() == "kept"
    driver.save(file)
    assert file.read_bytes()[:4] != b"kept"


def test_counters_have_both_their_words():
    chip = Simulator(PLAN, BUNDLE)
    chip.count_from(dict.fromkeys(chip.counters, (1 << 48) - 2))
    chip.arrive(2)
    assert Driver(SimulatedBus(chip), TINY).counters() == chip.counters


def test_a_chip_of_few_counters_gives_those_alone():
    """In 32 bits; a state of a chip with all counters goes in."""
    preset = presets.vary(TINY, "target", counter_bits=32, counters=["learning", "cycles"])
    plan = plans.compile(preset.network, preset.target)
    chip = Simulator(plan, BUNDLE)
    chip.count_from({"cycles": (1 << 32) - 2})
    chip.arrive(2)
    driver = Driver(SimulatedBus(chip), preset)
    counted = driver.counters()
    assert counted == chip.chip_counters
    assert counted["cycles"] == chip.cycles - (1 << 32)
    assert {registers.group(name).value for name in counted} == {"learning", "cycles"}
    assert driver.bus.read(Register.COUNTERS + 8 * len(counted)) == (Response.DECERR, 0)
    assert driver.bus.read(Register.COUNTERS + 4) == (Response.OKAY, 0)
    with pytest.raises(
        SpecError, match=r"\(cycles, learning\), not 'cls.top.reads' of group memories"
    ):
        driver.counter("cls.top.reads")
    with pytest.raises(SpecError, match="did you mean 'cycles'"):
        driver.counter("cycle")
    driver.restore(connected().save())
    bare = connected(presets.vary(TINY, "target", counter_bits=0))
    assert bare.counters() == {}
    told = [host_map.host_map(driver.plan) for driver in (driver, bare)]
    assert [t["counter_bits"] for t in told] == [32, 0]
    assert [t["counters"] for t in told] == [list(counted), []]
    assert bare.bus.read(Register.COUNTERS) == (Response.DECERR, 0)
    with pytest.raises(SpecError, match=r"counts \(none\), not 'cycles' of group cycles"):
        bare.counter("cycles")


def test_the_c_driver_says_that_a_chip_has_no_counters(tmp_path):
    """The header of a chip without any is C99, and the driver answers NO_SUCH."""
    bare = presets.vary(TINY, "target", counter_bits=0).target
    plan = plans.compile(TINY.network, bare)
    (tmp_path / "xnoreplay_chip.h").write_text(host_files.chip_header(plan))
    (tmp_path / host_files.REGISTERS).write_text(host_files.registers_header())
    (tmp_path / "main.c").write_text(
        '#include "xnoreplay_chip.h"\nint main(void) { struct xnoreplay x; uint64_t value; x.chip = &xnoreplay_chip;\n'
        "return xnoreplay_counter(&x, 0, &value) != XNOREPLAY_NO_SUCH || xnoreplay_chip.counter_bits; }\n"
    )
    source = Path(host_files.__file__).parents[2] / "host" / "c"
    options = [*C99, f"-I{tmp_path}", f"-I{source}"]
    subprocess.run([*options, "main.c", source / "xnoreplay_host.c"], cwd=tmp_path, check=True)
    subprocess.run(["./a.out"], cwd=tmp_path, check=True)


def test_another_chip_is_refused():
    class Wrong(SimulatedBus):
        def read(self, address):
            return (Response.OKAY, 7) if address == 0 else super().read(address)

    with pytest.raises(HostError, match="ID must be 0x584e5250, not 0x00000007"):
        Driver(Wrong(Simulator(PLAN, BUNDLE)), TINY)


def test_a_bundle_of_another_network_is_refused_before_a_word_is_written():
    driver = connected()
    other = dataclasses.replace(TINY.network, classes=3)
    before = driver.read_memory("cls.top")
    with pytest.raises(SpecError, match="the bundle must hold network 'tiny' as specified"):
        driver.load(bundles.random(other, 0))
    assert driver.read_memory("cls.top") == before


def test_an_image_that_stops_is_a_sentence_and_abort_ends_it():
    driver = connected()
    driver.load(BUNDLE, classes=2)
    whole = driver.bus.stream
    driver.bus.stream = lambda pixels, _: whole(pixels[:-1])
    picture = program.images(driver, 1)[0]
    with pytest.raises(HostError, match="an image must have 16 bytes, but the chip was offered 15"):
        driver.classify(picture)
    assert driver.status() == {Status.BUSY}
    assert driver.read(Register.PHASE) == PLAN.phases.index("input")
    assert driver.bus.read(registers.windows(PLAN.memories)[0].base) == (Response.SLVERR, 0)
    assert driver.bus.write(Register.COMMAND, Command.INFER) is Response.SLVERR
    driver.abort()
    assert driver.status() == set()
    driver.bus.stream = whole
    expected = Simulator(PLAN, BUNDLE)
    expected.arrive(2)
    assert driver.classify(picture) == expected.infer(picture).prediction


@pytest.mark.parametrize(
    "changed", [{}, {"counter_bits": 0, "counters": ()}], ids=["all counters", "none"]
)
def test_a_chip_that_waits_refuses_what_it_has_and_knows_no_other_address(changed):
    """What it lacks is DECERR in both states, the counters that its target leaves out too."""
    driver = connected(presets.vary(TINY, "target", **changed))
    bus, port = driver.bus, range(0, Register.COUNTERS + 0x200, 4)
    addresses = [*port, *(i << registers.WINDOW_SHIFT | 4 * j for i in range(32) for j in (0, 99))]
    there = {a for a in addresses if bus.read(a)[0] is not Response.DECERR}
    assert {Register.ABORT, Register.SEEN} < there
    known = set(registers.present(driver.plan.memories))
    assert known - there == ({Register.COUNTERS} if changed else set())
    driver.write(Register.COMMAND, Command.INFER)
    for address in addresses:
        if address != Register.ABORT:
            refused = Response.SLVERR if address in there else Response.DECERR
            assert bus.write(address, 0) is refused
    assert driver.status() == {Status.BUSY}


def test_a_host_hears_of_wrong_bits_and_clears_what_it_heard():
    coded = presets.vary(TINY, "target", ecc=("weights.fe",), parity=("replay.label",))
    driver = connected(coded)
    driver.load(BUNDLE, classes=2)
    assert driver.errors() == {}
    driver.bus.chip.flip("weights.fe", 0, 3)
    driver.classify(program.images(driver, 1)[0])
    assert driver.errors() == driver.errors(clear=True) == {"weights.fe": {Verdict.CORRECTED}}
    assert driver.errors() == {}
    driver.bus.chip.flip("weights.fe", 0, 4)
    driver.bus.chip.flip("replay.label", 3, 3)  # its parity bit
    driver.save()
    found = {"weights.fe": {Verdict.WRONG}, "replay.label": {Verdict.WRONG}}
    driver.write(Register.COMMAND, Command.INFER)  # waits for its image
    assert driver.errors(clear=True) == found
    assert driver.errors() == {}
    with pytest.raises(SpecError, match="errors must be asked of a chip with parity or ecc"):
        connected().errors()


def test_an_image_or_an_argument_that_a_command_lacks_or_does_not_take_is_a_sentence():
    driver = connected()
    driver.load(BUNDLE, classes=2)
    (picture,) = program.images(driver, 1)
    driver.bus.write = None  # nothing is written
    with pytest.raises(ImageError, match="INFER must be given an image, not None"):
        driver.command(Command.INFER)
    with pytest.raises(ImageError, match="RETRAIN must be given no image, but was"):
        driver.command(Command.RETRAIN, image=picture)
    with pytest.raises(SpecError, match="REBALANCE must be given no argument, not 7"):
        driver.command(Command.REBALANCE, 7)
    with pytest.raises(SpecError, match="INFER must be given no argument, not 1"):
        driver.command(Command.INFER, 1, picture)
    chip = driver.bus.chip
    with pytest.raises(ImageError, match="RETRAIN must be given no image, but was"):
        chip.carry_out(Command.RETRAIN, 0, picture)
    with pytest.raises(ImageError, match="an image must be of type uint8, not object"):
        chip.carry_out(Command.INFER)


def test_an_image_that_comes_after_an_abort_is_dropped():
    """The bridge of a serial line keeps what comes late; a write of ABORT drops it there."""
    driver = connected()
    driver.load(BUNDLE, classes=2)
    aborts, write = [], driver.bus.write

    def heard(address, data):
        aborts.append(address == Register.ABORT)
        return write(address, data)

    driver.bus.write = heard
    driver.bus.stream = lambda *_: driver.abort()  # of another thread
    with pytest.raises(HostError, match="INFER must come to its end, but was aborted"):
        driver.classify(program.images(driver, 1)[0])
    assert aborts == [False, True, True]


def test_a_busy_chip_is_not_restored():
    driver = connected()
    driver.load(BUNDLE, classes=2)
    saved = driver.save()
    driver.write(Register.COMMAND, Command.INFER)
    with pytest.raises(HostError, match="must be idle before it is restored, but is busy"):
        driver.restore(saved)


def test_labels_that_a_host_wrote_make_a_save_wait_for_a_restore():
    driver = connected()
    driver.load(BUNDLE, classes=2)
    driver.write_memory("replay.label", np.zeros((1, 3), np.uint8))
    with pytest.raises(HostError, match="STATUS shows STALE must be restored before"):
        driver.save()
    driver.command(Command.RESTORE)
    driver.save()


def test_a_state_of_a_class_not_announced_is_refused():
    driver = connected()
    driver.load(BUNDLE, classes=2)
    saved = driver.save()
    saved.registers[Register.SEEN] = PLAN.network.classes + 1
    with pytest.raises(SpecError, match="SEEN of a snapshot must be an integer from 0 to"):
        driver.restore(saved)
    assert (
        snapshot.of_words(PLAN, map(driver.read, snapshot.reads(PLAN))).registers[Register.SEEN]
        == 2
    )


@pytest.mark.parametrize("channels", [4, 16, 64])
def test_a_program_of_latents_sees_what_the_simulator_does(channels):
    """Words narrower than a byte, of two bytes, and of two transfers."""
    preset = presets.vary(GIVEN, "target", channels=channels)
    bundle = bundles.random(preset.network, 0)
    driver = connected(preset)
    seen = program.life(driver, bundle)
    chip = Simulator(driver.plan, bundle)
    chip.arrive(2)
    latents = program.images(driver, 12)
    for i in range(2 * program.KEPT):
        chip.insert(latents[i], i % 2)
    assert seen["before"] == [chip.infer(x).prediction for x in latents]
    for x in latents[-program.NEW :]:
        chip.stage(x, 2)
    assert seen["ready"] == [chip.infer(x).prediction for x in latents]
    chip.retrain()
    chip.rebalance()
    assert seen["learned"] == [chip.infer(x).prediction for x in latents]
    assert seen["counters"] == chip.counters


def test_a_latent_that_stops_is_a_sentence_and_abort_ends_it():
    driver = connected(GIVEN)
    driver.load(bundles.random(GIVEN.network, 0), classes=2)
    whole = driver.bus.stream
    driver.bus.stream = lambda data, _: whole(data[:-1])
    with pytest.raises(HostError, match="an image must have 19 bytes, but the chip was offered 18"):
        driver.classify(program.images(driver, 1)[0])
    assert driver.status() == {Status.BUSY}
    driver.abort()
    assert driver.status() == set()


WORDS = "must be an integer from 0 to 4294967295, not"


@dataclasses.dataclass(frozen=True)
class PathOf:
    """What `os.fspath` gives a value of."""

    value: object

    def __fspath__(self):
        return self.value


WRONG_CALLS = [
    (lambda d: d.classify([[1], [1, 2]]), "must have shape .4, 4, 1., not rows of several lengths"),
    (lambda d: d.command(3), "command must be one of Command.ARRIVE, .*, not 3"),
    (lambda d: d.command(None), "command must be one of Command.ARRIVE, .*, not None"),
    (lambda d: d.load(None), "what is loaded must be a Bundle, not None"),
    *[
        (lambda d, part=part: d.load(dataclasses.replace(BUNDLE, **part)), sentence)
        for part, sentence in [
            ({"network": None}, "network of a bundle must be a NetworkSpec, not None"),
            ({"hidden": None}, "hidden of a bundle must be an array, not None"),
            (
                {"hidden": BUNDLE.hidden * 0.5},
                "bundle: tensor 'hidden' must be int16 of shape .*, not",
            ),
            ({"output": BUNDLE.output[:-1]}, "bundle: tensor 'output' must be int16 of shape"),
            ({"conv": BUNDLE.conv[:-1]}, "bundle: tensor 'conv.1.' must be present, but is not"),
            ({"conv": BUNDLE.conv[0]}, "bundle: tensor 'conv.0.' must be present, but is not"),
            ({"lgap": 2 * BUNDLE.lgap}, "lgap of a bundle must be bits, 0 and 1, not 2"),
            (
                {"thresholds": BUNDLE.thresholds[1:]},
                "bundle: tensor 'thresholds' must be uint8 of s",
            ),
        ]
    ],
    (lambda d: d.read_memory("cls.tip"), "memory must be one of .* did you mean 'cls.top'"),
    (lambda d: d.read_memory(None), "memory must be one of .*, not None"),
    (lambda d: d.write_memory("nosuch", BITS), "memory must be one of .*, not 'nosuch'"),
    (lambda d: d.write_memory("replay.label", BITS[:, :2]), r"must have shape \(n, 3\), not"),
    (lambda d: d.write_memory("replay.label", BITS + 7), "must be bits, 0 and 1, not 7 to 7"),
    (lambda d: d.write_memory("replay.label", BITS / 2), "must be bits in integers"),
    (
        lambda d: d.write_memory("replay.label", [[1], [1, 2]]),
        r"must have shape \(n, 3\), not rows of several lengths",
    ),
    (lambda d: d.write_memory("replay.label", [[0] * 3] * 10), "must be at most 9, not 10"),
    (lambda d: d.save(Path()), "a state must be saved to a file, but . is a folder"),
    (lambda d: d.save(Path("/dev/null/state")), "a state must be saved to /dev/null/state, but: "),
    (lambda d: d.save(3), "the place of a saved state must be a file's path, not 3"),
    *[
        (lambda d, save=save, value=value: (d.save if save else d.restore)(value), sentence)
        for save, start in ((True, "the place of a saved state"), (False, "a saved state"))
        for value, sentence in (
            ("a\0b", rf"{start} must be .*file's path, not 'a\\x00b'"),
            ("/tmp/\ud800", rf"{start} must be .*file's path, not '/tmp/\\ud800'"),
            (PathOf(b"x"), f"{start} must be .*file's path, not PathOf"),
            (PathOf(7), f"{start} must be .*file's path, not PathOf"),
            (
                "/tmp/" + "a" * 5000,
                "(a state must be saved|must be a whole file).*: .*File name too long",
            ),
        )
    ],
    (lambda d: d.restore(None), "must be a Snapshot or a file's path, not None"),
    (lambda d: d.restore(Snapshot(None, None)), "must be in a dict, not None"),
    (lambda d: d.restore(Snapshot({}, {})), "a snapshot must give register SEEN, but does not"),
    (lambda d: d.wait(3), "command must be one of Command.ARRIVE, .*, not 3"),
    (lambda d: d.counter([]), r"counter must be one of .*, not \[\]"),
    (lambda d: d.write(Register.SEEN, 1.7), "data must be an integer, not 1.7"),
    (lambda d: d.write(Register.SEEN, 1 << 32), f"data {WORDS} 4294967296"),
    (lambda d: d.read("x"), "an address must be an integer, not 'x'"),
    (lambda d: d.read(-1), f"an address {WORDS} -1"),
    (lambda d: Driver(d.bus, TINY, polls=1.5), "polls must be an integer, not 1.5"),
    (lambda d: Driver(d.bus, TINY, polls=0), "polls must be a positive integer, not 0"),
    *[
        (lambda d, value=value: Driver(d.bus, TINY, timeout=value), "timeout must be a number of s")
        for value in (0, -1, "1", float("nan"), True)
    ],
    (lambda d: Driver(d.bus, TINY, timeout=10**400), r"timeout must be at most 1.8e\+308 seconds"),
    (lambda _: Driver(SimulatedBus, TINY), "bus must be an object, not the class SimulatedBus"),
    (lambda d: Driver(d.bus, None), "preset must be a Preset, not None"),
    (lambda _: SimulatedBus(None), "chip must be a Simulator, not None"),
    (lambda _: Driver(None, TINY), "bus must have a method 'read', which None has not"),
]
BITS = np.zeros((1, 3), np.uint8)


def test_what_no_call_takes_is_a_sentence_and_changes_nothing():
    driver = connected()
    driver.load(BUNDLE, classes=2)
    driver.remember(program.images(driver, 1)[0], 1)
    before = driver.save()
    for call, sentence in WRONG_CALLS:
        with pytest.raises(XnoreplayError, match=sentence):
            call(driver)
    after = driver.save()
    assert after.registers == before.registers
    assert all((after.memories[n] == bits).all() for n, bits in before.memories.items())


class Mute:
    """Pipes and ports that must not be used."""

    def used(self, *_):
        raise AssertionError("it was used")

    reset_input_buffer = write = read = used


@pytest.mark.parametrize(
    "bus",
    [
        SimulatedBus(Simulator(PLAN, BUNDLE)),
        UartBus(Mute(), 1),
        served.ServedBus(Mute(), Mute(), 1),
    ],
    ids=["simulated", "uart", "served"],
)
def test_what_is_no_word_is_the_same_sentence_on_every_bus(bus):
    for value, said in [
        (-1, f"{WORDS} -1"),
        (1 << 32, WORDS),
        ("x", "must be an integer, not 'x'"),
    ]:
        with pytest.raises(SpecError, match=f"an address {said}"):
            bus.read(value)
        with pytest.raises(SpecError, match=f"an address {said}"):
            bus.write(value, 0)
        with pytest.raises(SpecError, match=f"data {said}"):
            bus.write(Register.SEEN, value)


WIDE = presets.vary(GIVEN, "target", channels=16)  # two bytes a transfer
WIDE_PLAN = plans.compile(WIDE.network, WIDE.target)


@pytest.mark.parametrize(
    "bus",
    [
        SimulatedBus(Simulator(WIDE_PLAN, bundles.random(WIDE.network, 0))),
        UartBus(Mute(), 2),
        served.ServedBus(Mute(), Mute(), 2),
    ],
    ids=["simulated", "uart", "served"],
)
def test_what_are_no_whole_transfers_is_the_same_sentence_on_every_bus(bus):
    with pytest.raises(SpecError, match="pixels must be whole transfers of 2 bytes, not 3 bytes"):
        bus.stream(b"123")
    for value in ("12", 2, [1, 2], None):
        with pytest.raises(SpecError, match="pixels must be bytes, not"):
            bus.stream(value)


def test_a_save_waits_until_the_chip_is_idle():
    driver = connected()
    driver.load(BUNDLE, classes=2)
    picture = program.images(driver, 1)[0]
    driver.write(Register.COMMAND, Command.INSERT | 1 << 16)
    driver.bus.pause = lambda: driver.bus.stream(picture.tobytes())  # the image ends meanwhile
    assert sum(driver.save().ints("replay.count")) == 1


def test_classes_that_the_chip_would_not_take_are_refused_before_a_word_is_written():
    driver = connected()
    driver.load(BUNDLE, classes=2)
    other, before = bundles.random(TINY.network, 7), driver.save()
    writes, write = [], driver.bus.write
    driver.bus.write = lambda *word: writes.append(word) or write(*word)
    for classes in (1, 5, 1 << 20, -1):
        with pytest.raises(
            SpecError, match=f"classes must be an integer from 2 to 4, not {classes}"
        ):
            driver.load(other, classes)
    for classes in (None, 2.0, "2", True):
        with pytest.raises(SpecError, match="classes must be an integer, not"):
            driver.load(other, classes)
    assert not writes
    after = driver.save()
    assert all((after.memories[n] == bits).all() for n, bits in before.memories.items())
    driver.write(Register.STAGED, 0)
    with pytest.raises(HostError, match="must be restored before classes are announced"):
        driver.load(other, 2)
    assert len(writes) == 1
    driver.load(other)  # which announces none
    driver.command(Command.RESTORE)
    driver.load(other, np.uint8(3))
    assert driver.read(Register.SEEN) == 3


LOADS = """
#include "xnoreplay_chip.h"
#include <stdio.h>
static uint32_t status, taken, writes, words[1 << 12];
static int rd(void *c, uint32_t a, uint32_t *d)
{
    (void)c;
    *d = a == XNOREPLAY_REG_ID ? XNOREPLAY_ID : a == XNOREPLAY_REG_SEEN ? 2 : a == XNOREPLAY_REG_COMMAND ? taken : status;
    return 0;
}
static int wr(void *c, uint32_t a, uint32_t d)
{
    (void)c, writes++;
    if (a == XNOREPLAY_REG_COMMAND)
        taken = d;
    return 0;
}
int main(int count, char **names)
{
    const struct xnoreplay_bus bus = {NULL, rd, wr, NULL, NULL, NULL};
    struct xnoreplay x;
    size_t n = fread(words, 4, 1 << 12, fopen(names[count - 1], "rb"));
    int e = xnoreplay_open(&x, &xnoreplay_chip, &bus);
    printf("%d", e);
    for (uint16_t classes = 0; classes < 6; classes++) {
        writes = 0, status = 1u << 2;
        e = xnoreplay_load(&x, words, n, classes);
        printf(" %d %u", e, writes);
    }
    static const uint32_t held[] = {XNOREPLAY_STATUS_BUSY, XNOREPLAY_STATUS_STALE};
    for (int i = 0; i < 2; i++) {
        writes = 0, status = held[i];
        e = xnoreplay_load(&x, words, n, 2);
        printf(" %d %u", e, writes);
    }
    return 0;
}
"""


def test_the_c_driver_refuses_classes_before_a_word_is_written(tmp_path):
    host_files.write(PLAN, BUNDLE, tmp_path)
    folder = tmp_path / host_files.FOLDER
    (folder / "main.c").write_text(LOADS)
    subprocess.run([*C99, "-o", "loads", "main.c", "xnoreplay_host.c"], cwd=folder, check=True)
    told = subprocess.check_output(["./loads", host_files.NETWORK], cwd=folder, text=True)
    opened, *found = map(int, told.split())
    windows = {w.memory.name: w for w in registers.windows(PLAN.memories)}
    rows = images_of.load(PLAN, BUNDLE)
    all_of_it = sum(len(bits) * windows[name].chunks for name, bits in rows.items())
    ok, not_now, stale = 0, 2, 7
    expected = {0: (ok, all_of_it), 1: (not_now, 0), 5: (not_now, 0)}
    expected |= dict.fromkeys((2, 3, 4), (ok, all_of_it + 1))
    assert opened == ok
    assert found[:12] == [number for classes in range(6) for number in expected[classes]]
    assert found[12:] == [not_now, 0, stale, 0]
    # Files whose check is right: of a window that is not there, and of one that ends too early.
    content = host_files.network(PLAN, BUNDLE)[host_files.HEAD :]
    for wrong in (np.concatenate([[99], content[1:]]), content[:-1]):
        host_files._file(PLAN, "NETWORK", wrong).tofile(folder / "wrong.bin")
        told = subprocess.check_output(["./loads", "wrong.bin"], cwd=folder, text=True)
        assert list(map(int, told.split()))[:3] == [ok, 8, 0]


CALLS = """
#include "xnoreplay_chip.h"
#include <stdio.h>
static uint32_t sent, status, taken, deaf, ticks;
static int streamed, paused, started; /* a chip that was given no command is idle */
static int rd(void *c, uint32_t a, uint32_t *d)
{
    (void)c, sent++, ticks++;
    *d = a == XNOREPLAY_REG_ID ? XNOREPLAY_ID : a == XNOREPLAY_REG_COMMAND ? taken : started ? status : 0;
    return 0;
}
static int wr(void *c, uint32_t a, uint32_t d)
{
    (void)c, sent++;
    if (a == XNOREPLAY_REG_COMMAND && !deaf)
        taken = d, started = 1;
    return 0;
}
static int stream(void *c, const uint8_t *b, size_t n) { (void)c, (void)b, (void)n, sent++; return streamed; }
static int let_work(void *c) { (void)c; return paused; }
static uint32_t milliseconds(void *c) { (void)c; return ticks; }

static uint32_t words[1 << 12];
static const uint8_t image[1 << 10];
static uint16_t label;
static size_t room;

static void each_call(struct xnoreplay *x)
{
    uint32_t word;
    uint64_t value;
    int answers[] = {
        xnoreplay_read(x, 0, &word), xnoreplay_write(x, 0, 0), xnoreplay_wait(x, &word),
        xnoreplay_command(x, XNOREPLAY_EPOCH, 0, NULL), xnoreplay_load(x, words, room, 2), xnoreplay_announce(x, 2),
        xnoreplay_classify(x, image, &label), xnoreplay_remember(x, image, 0), xnoreplay_enrol(x, image, 0),
        xnoreplay_learn(x), xnoreplay_abort(x), xnoreplay_counter(x, 0, &value), xnoreplay_save(x, words, room),
        xnoreplay_restore(x, words, room)};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        printf("%d ", answers[i]);
}

int main(void)
{
    static struct xnoreplay x;
    const struct xnoreplay_chip *chip = &xnoreplay_chip;
    struct xnoreplay_bus bus = {NULL, rd, NULL, NULL, let_work, milliseconds};
    room = xnoreplay_state_words(chip);
    each_call(NULL);
    each_call(&x);
    printf("%d %d %d ", xnoreplay_open(NULL, chip, &bus), xnoreplay_open(&x, chip, NULL), xnoreplay_open(&x, chip, &bus));
    bus.read = NULL, bus.write = wr;
    printf("%d ", xnoreplay_open(&x, chip, &bus));
    bus.read = rd;
    x.chip = chip, x.bus = bus; /* of a chip that was open before */
    printf("%d ", xnoreplay_open(&x, NULL, &bus));
    each_call(&x);
    printf("| %u %d ", sent, (int)xnoreplay_state_words(NULL));
    printf("%d ", xnoreplay_open(&x, chip, &bus));
    sent = 0;
    printf("| %d ", xnoreplay_classify(&x, image, &label)); /* with nothing to send it by */
    x.bus.stream = stream;
    printf("%d %d %d ", xnoreplay_read(&x, 0, NULL), xnoreplay_wait(&x, NULL), xnoreplay_load(&x, NULL, 9, 0));
    printf("%d %d ", xnoreplay_classify(&x, NULL, &label), xnoreplay_classify(&x, image, NULL));
    printf("%d %d ", xnoreplay_remember(&x, NULL, 0), xnoreplay_enrol(&x, NULL, 0));
    printf("%d %d ", xnoreplay_counter(&x, 0, NULL), xnoreplay_restore(&x, NULL, room));
    printf("%d %d ", xnoreplay_save(&x, NULL, room), xnoreplay_save(&x, words, room - 1));
    printf("%d ", xnoreplay_command(&x, XNOREPLAY_RETRAIN, 0, image));
    printf("%d ", xnoreplay_command(&x, XNOREPLAY_RETRAIN, 1, NULL));
    printf("%d ", xnoreplay_command(&x, XNOREPLAY_INFER, 1, image));
    for (int n = 0; n < 256; n++)
        if (n == 0 || n == 31 || n == 32 || n == 255)
            printf("%d ", xnoreplay_command(&x, (uint8_t)n, 0, NULL));
    printf("| %u ", sent);
    deaf = 1; /* the chip refuses, and the bus does not tell */
    printf("| %d ", xnoreplay_announce(&x, 2));
    deaf = 0, streamed = 7;
    printf("%d ", xnoreplay_classify(&x, image, &label));
    streamed = XNOREPLAY_SLVERR;
    printf("%d ", xnoreplay_classify(&x, image, &label));
    streamed = 0, status = XNOREPLAY_STATUS_BUSY, paused = 1;
    printf("%d ", xnoreplay_wait(&x, &taken));
    paused = 0, started = 0, ticks = 0xFFFFFFF0u; /* which wraps meanwhile */
    uint32_t from = ticks;
    printf("| %d ", xnoreplay_classify(&x, image, &label));
    printf("%u ", ticks - from), from = ticks;
    printf("%d ", xnoreplay_wait(&x, &taken));
    printf("%u ", ticks - from), from = ticks;
    x.timeout = 7;
    printf("%d ", xnoreplay_wait(&x, &taken));
    printf("%u ", ticks - from);
    x.timeout = 0, x.bus.milliseconds = NULL, x.polls = 20, sent = 0;
    printf("%d ", xnoreplay_wait(&x, &taken));
    printf("%u\\n", sent);
    return 0;
}
"""
OK, NOT_NOW, HANGS, BUS, ARGUMENT = 0, 2, 5, 9, 10


def test_the_c_driver_refuses_wrong_calls_at_once_and_waits_a_bounded_time(tmp_path):
    """On a clock that goes on by a millisecond with each read."""
    preset = presets.vary(TINY, "target", clock_hz=100)
    plan, most = plans.compile(preset.network, preset.target), learning_plan.command_cycles(PLAN)
    host_files.write(plan, BUNDLE, tmp_path)
    folder = tmp_path / host_files.FOLDER
    (folder / "main.c").write_text(CALLS)
    subprocess.run([*C99, "-o", "calls", "main.c", "xnoreplay_host.c"], cwd=folder, check=True)
    told = subprocess.check_output(["./calls"], cwd=folder, text=True)
    unopened, opened, wrong, sent, lines, waits = (
        list(map(int, t.split())) for t in told.split("|")
    )
    assert unopened == [ARGUMENT] * (3 * 14 + 5)
    assert opened == [0, 0, OK]
    assert wrong == [ARGUMENT] * 19
    assert sent == [0]
    assert lines == [NOT_NOW, BUS, NOT_NOW, BUS]
    given = [2000 * cycles // 100 + 1000 for cycles in (most["INFER"], max(most.values()))]
    # Reads: STATUS and COMMAND, then STATUS until one that began when the time was over.
    assert waits == [HANGS, 2 + given[0] + 1, HANGS, given[1] + 1, HANGS, 7 + 1, HANGS, 20]


class Hanging(SimulatedBus):
    """A chip whose command never ends, and a clock on the wall that a pause sets on by `step` seconds."""

    step, now, seconds = 0.5, 0.0, None

    def pause(self):
        self.now += self.step


@pytest.mark.parametrize("given", [None, 7])
def test_a_command_is_given_the_time_of_its_cycles(monkeypatch, given):
    """A wait ends with the first read that began after the time was over."""
    bus = Hanging(Simulator(PLAN, BUNDLE))
    monkeypatch.setattr(drivers, "monotonic", lambda: bus.now)
    driver = Driver(bus, presets.vary(TINY, "target", clock_hz=1000), 1000, given)
    bus.seconds = 3.25
    picture, most = program.images(driver, 1)[0], learning_plan.command_cycles(PLAN)
    given_to_stream = []
    bus.stream = lambda _, seconds: given_to_stream.append(seconds)
    for wait, cycles in [
        (lambda: driver.classify(picture), most["INFER"]),
        (driver.wait, most["RETRAIN"]),
    ]:
        bus.now, seconds = 0.0, given or 2 * cycles / 1000 + 3.25
        with pytest.raises(HostError, match=re.escape(f"idle within {seconds:.3g} s, but did not")):
            wait()
        assert seconds <= bus.now < seconds + bus.step
        driver.abort()
        driver.write(Register.COMMAND, Command.INFER)
    assert given_to_stream == [given or 2 * most["INFER"] / 1000 + 3.25]
    bus.seconds, bus.now = None, 0.0
    sentence = "7 s" if given else "1,000 reads of STATUS"
    with pytest.raises(HostError, match=f"must become idle within {sentence}, but did not"):
        driver.wait()


def test_a_program_that_was_held_up_looks_once_more(monkeypatch):
    bus = Hanging(Simulator(PLAN, BUNDLE))
    monkeypatch.setattr(drivers, "monotonic", lambda: bus.now)
    driver = Driver(bus, TINY, 1000, 1)
    picture = program.images(driver, 1)[0]
    whole, bus.stream = bus.stream, lambda *_: None
    bus.step = 1000

    def pause():
        Hanging.pause(bus)
        whole(picture.tobytes())

    bus.pause = pause
    assert driver.classify(picture) == Simulator(PLAN, BUNDLE).infer(picture).prediction
