"""The host port against a model of its address map, with gaps and at any moment."""

import random
from dataclasses import dataclass, field

import pytest
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from xnoreplay.hw.host.axi import Response
from xnoreplay.hw.host.host import Host
from xnoreplay.spec import plan, presets, registers
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError
from xnoreplay.spec.memories import Memory
from xnoreplay.spec.registers import Register

SEEN, CLASSES = 3, 4
TINY = presets.load("tiny")
TARGET = TINY.target
WEIGHT = Memory("table.weight", "tables", CLASSES, 7)  # has a row a class on every chip


@dataclass(frozen=True)
class Transfer:
    """One bus transfer; data None is a read. Gaps are cycles before valid and before ready."""

    address: int
    data: int | None = None
    strobe: int = 15
    gaps: tuple[int, int, int] = (0, 0, 0)


@dataclass
class Chip:
    """What the host port looks at: memories with one cycle of latency, and fixed registers."""

    rows: dict[str, list[int]]
    busy: bool = False
    started: list[tuple[int, int]] = field(default_factory=list)
    written: list[tuple[Register, int]] = field(default_factory=list)
    touched: int = 0
    aborts: int = 0


def drive(memories, transfers, busy=False, restored=(), target=TARGET, told=None):
    """Transfers through the hardware: [(response, read data or None)], and the chip they left.

    restored : numbers of the transfers after which a restore comes to its end
    told : by the number of a transfer, the strobe of a decoder that is high for a cycle before it
    """
    host = Host(memories, target)
    chip = Chip({w.memory.name: [0] * w.memory.depth for w in host.windows}, busy)
    answers = []

    async def surroundings(ctx):
        ctx.set(host.busy, busy)
        ctx.set(host.seen, SEEN)
        looked = [None, None]  # at which counter, two cycles ago and one
        async for _ in ctx.tick():
            if host.counter_names:
                i = looked.pop(0)
                count = 0 if i is None else (i + 1) << 32 | i
                ctx.set(host.count, count % (1 << target.counter_bits))
                looked.append(ctx.get(host.index) if ctx.get(host.look) else None)
            if ctx.get(host.start):
                chip.started.append((ctx.get(host.command), ctx.get(host.argument)))
            chip.aborts += ctx.get(host.abort)
            for register in host.writable:
                if ctx.get(host.strobe(register.name.lower())):
                    chip.written.append((register, ctx.get(host.value)))

    def memory(window):
        port, rows = host.port(window.memory.name), chip.rows[window.memory.name]

        async def serve(ctx):
            async for *_, ren, wen, addr, wdata, is_open in ctx.tick().sample(
                port.ren, port.wen, port.addr, port.wdata, port.open
            ):
                chip.touched += ren + wen
                assert ren + wen <= is_open
                # A word that nobody asked for must not be looked at.
                ctx.set(port.rdata, rows[addr] if ren else (1 << len(port.rdata)) - 1)
                if wen:
                    rows[addr] = wdata

        return serve

    async def send(ctx, channel, gap, **values):
        await ctx.tick().repeat(gap) if gap else None
        for name, value in values.items():
            ctx.set(getattr(host, f"s_axil_{name}"), value)
        valid, ready = f"s_axil_{channel}valid", f"s_axil_{channel}ready"
        ctx.set(getattr(host, valid), 1)
        await ctx.tick().until(getattr(host, ready))
        ctx.set(getattr(host, valid), 0)

    async def receive(ctx, channel, gap, *names):
        await ctx.tick().repeat(gap) if gap else None
        ready, valid = f"s_axil_{channel}ready", f"s_axil_{channel}valid"
        ctx.set(getattr(host, ready), 1)
        values = (
            await ctx.tick()
            .sample(*(getattr(host, f"s_axil_{n}") for n in names))
            .until(getattr(host, valid))
        )
        ctx.set(getattr(host, ready), 0)
        return values

    async def master(ctx):
        for n, t in enumerate(transfers):
            if n - 1 in restored:
                ctx.set(host.restored, 1)
                await ctx.tick()
                ctx.set(host.restored, 0)
            if told and n in told:
                strobe = getattr(host, told[n])
                ctx.set(strobe, 1)
                await ctx.tick()
                ctx.set(strobe, 0)
            if t.data is None:
                await send(ctx, "ar", t.gaps[0], araddr=t.address)
                data, response = await receive(ctx, "r", t.gaps[2], "rdata", "rresp")
                answers.append((Response(response), data))
            else:
                # Either channel may come first.
                first, second = ("aw", "w") if t.gaps[0] <= t.gaps[1] else ("w", "aw")
                values = {"aw": {"awaddr": t.address}, "w": {"wdata": t.data, "wstrb": t.strobe}}
                await send(ctx, first, min(t.gaps[:2]), **values[first])
                await send(ctx, second, abs(t.gaps[0] - t.gaps[1]), **values[second])
                (response,) = await receive(ctx, "b", t.gaps[2], "bresp")
                answers.append((Response(response), None))
        await ctx.tick().repeat(3)

    simulator = Simulator(host)
    simulator.add_clock(1e-8)
    simulator.add_testbench(surroundings, background=True)
    for window in host.windows:
        simulator.add_testbench(memory(window), background=True)
    simulator.add_testbench(master)
    simulator.run()
    return answers, chip


class Model:
    """The address map in plain Python."""

    def __init__(self, memories, busy=False, restored=(), target=TARGET):
        self.writable, self.written = registers.writable(memories), []
        self.stale, self.count, self.restored = False, -1, restored
        self.windows = {w.base >> registers.WINDOW_SHIFT: w for w in registers.windows(memories)}
        self.rows = {w.memory.name: [0] * w.memory.depth for w in self.windows.values()}
        self.gathered = {}
        self.busy, self.started, self.command, self.aborts = busy, [], 0, 0
        self.fixed = {Register.ID: registers.ID, Register.STATUS: int(busy), Register.SEEN: SEEN}
        self.fixed |= dict.fromkeys(
            set(registers.present(memories)) - self.fixed.keys() - {Register.COUNTERS}, 0
        )
        for i, _ in enumerate(registers.counters(memories, target)):
            high = i + 1 if target.counter_bits == 48 else 0
            self.fixed |= {0x400 + 8 * i: i, 0x404 + 8 * i: high}

    def __call__(self, t: Transfer):
        self.stale = self.stale and self.count not in self.restored
        self.count += 1
        if t.data is not None and t.strobe != 15:
            return Response.SLVERR, None
        region, offset = divmod(t.address, 1 << registers.WINDOW_SHIFT)
        none = None if t.data is not None else 0
        if region == 0:
            return self.control(offset & ~3, t.data)
        window = self.windows.get(region)
        if window is None:
            return Response.DECERR, none
        row, chunk = divmod(offset // 4, window.stride)
        if chunk >= window.chunks or row >= window.memory.depth:
            return Response.DECERR, none
        if self.busy:
            return Response.SLVERR, none
        rows = self.rows[window.memory.name]
        if t.data is None:
            return Response.OKAY, rows[row] >> 32 * chunk & 0xFFFFFFFF
        if window.memory.name == "replay.count":
            return Response.SLVERR, None
        self.gathered[chunk] = t.data
        if chunk == window.chunks - 1:
            value = sum(self.gathered.get(c, 0) << 32 * c for c in range(window.chunks))
            rows[row] = value & (1 << window.memory.width) - 1
            self.stale |= window.memory.name in ("replay.label", "staging.label")
        return Response.OKAY, None

    def control(self, offset, data):
        if offset not in self.fixed:
            return Response.DECERR, None if data is not None else 0
        if data is None:
            now = {4: self.command, 8: self.fixed[8] | self.stale << 3}
            return Response.OKAY, now.get(offset, self.fixed[offset])
        if offset in self.writable:
            if self.busy or data not in self.writable[Register(offset)]:
                return Response.SLVERR, None
            self.written.append((Register(offset), data))
            self.stale |= offset in (Register.SEEN, Register.STAGED)
            return Response.OKAY, None
        number, argument = data & 255, data >> 16
        if offset == Register.ABORT:
            self.aborts += 1
            return Response.OKAY, None
        legal = {
            Command.STAGE: range(CLASSES),
            Command.INSERT: range(SEEN),
            Command.ARRIVE: range(SEEN, CLASSES + 1),
        }
        known = number in list(Command)
        if (
            offset != 4
            or self.busy
            or not known
            or argument not in legal.get(number, range(1 << 16))
        ):
            return Response.SLVERR, None
        if self.stale and number not in (Command.INFER, Command.RESTORE):
            return Response.SLVERR, None
        self.stale |= number == Command.RESTORE
        self.started.append((number, argument))
        self.command = argument << 16 | number
        return Response.OKAY, None


@pytest.mark.parametrize("busy", [False, True])
def test_errors_stay_until_a_one_is_written_to_them(busy):
    """Bits 0 and 16 are of window 0, 7 and 23 of window 7; what else is written to is not there."""
    coded = [
        Memory("weights.fe", "weights", 4, 40, code="parity"),
        Memory("replay.label", "replay", 4, 5, code="ecc"),
    ]
    look = Transfer(Register.ERRORS)
    told = {1: "wrong_weights_fe", 2: "corrected_replay_label", 4: "wrong_replay_label"}
    transfers = [
        *(look for _ in range(5)),
        Transfer(Register.ERRORS, 0),
        look,
        Transfer(Register.ERRORS, 1 << 7 | 1),
        look,
        Transfer(Register.ERRORS, 0xFFFFFFFF),
        look,
    ]
    answers, _ = drive((*coded, WEIGHT), transfers, busy, told=told)
    assert {answer for answer, _ in answers} == {Response.OKAY}
    bits = [0, 1 << 16, 1 << 16 | 1 << 7, 1 << 16 | 1 << 7, 1 << 23 | 1 << 16 | 1 << 7]
    assert [data for _, data in answers] == [
        *bits,
        None,
        bits[-1],
        None,
        1 << 23 | 1 << 16,
        None,
        0,
    ]
    (answer,), _ = drive((Memory("weights.fe", "weights", 4, 40), WEIGHT), [look])
    assert answer == (Response.DECERR, 0)


@st.composite
def memory_sets(draw):
    """A few of the host's memories with any shape, and the counts that tell the classes."""
    others = sorted(set(registers.HOST_MEMORIES) - {"replay.count"})
    names = draw(st.sets(st.sampled_from(others), min_size=1, max_size=4))
    sizes = st.tuples(st.integers(1, 20), st.integers(1, 150))
    memories = [Memory(name, "any", *draw(sizes)) for name in sorted(names)]
    return (*memories, Memory("replay.count", "tables", CLASSES, 4), WEIGHT)


def random_transfers(memories, rng, n):
    """Rows written whole and in part and read, and addresses all over the map."""
    windows = registers.windows(memories)

    def gaps():
        return rng.choice([(0, 0, 0), (0, 0, 0), tuple(rng.randrange(4) for _ in range(3))])

    for _ in range(n):
        window = rng.choice(windows)
        row, kind = rng.randrange(window.memory.depth), rng.random()
        if kind < 0.7:
            write = rng.random() < 0.5
            for chunk in range(window.chunks):
                data = rng.getrandbits(32) if write else None
                yield Transfer(window.address(row, chunk), data, gaps=gaps())
        elif kind < 0.8:
            chunk = rng.randrange(window.stride)
            row = rng.randrange(2 * window.memory.depth)
            yield Transfer(window.address(row, chunk), rng.choice([None, 7]), gaps=gaps())
        elif kind < 0.95:
            address = rng.choice([*range(0, 0x30, 2), 0x400, 0x404, 0x428, 0x3FC, 0x600, 0xD << 24])
            # 5 is more classes than there are, and may be as many slots as there are, or more.
            yield Transfer(address, rng.choice([None, None, 0, 1, 5, 1 << 31]), gaps=gaps())
        else:
            word = rng.randrange(10) | rng.randrange(6) << 16
            yield Transfer(Register.COMMAND, word, rng.choice([15, 15, 3]), gaps())


@settings(max_examples=12, deadline=None, derandomize=True)
@given(memories=memory_sets(), seed=st.integers(0, 999), busy=st.booleans())
def test_address_map(memories, seed, busy):
    rng = random.Random(seed)
    transfers = list(random_transfers(memories, rng, 30))
    restored = rng.sample(range(len(transfers) - 1), min(4, len(transfers) - 1))
    model = Model(memories, busy, restored)
    expected = [model(t) for t in transfers]
    answers, chip = drive(memories, transfers, busy, restored)
    for transfer, want, got in zip(transfers, expected, answers, strict=True):
        if want[0] == Response.OKAY:
            assert got == want, transfer
        else:
            assert got[0] == want[0], transfer
    assert chip.rows == model.rows
    assert chip.started == model.started
    assert chip.written == model.written
    assert chip.aborts == model.aborts
    if busy:
        assert chip.touched == 0


def test_status_is_busy_from_the_strobe_on():
    """A read that waits behind the command's write must not find the chip idle."""
    host = Host(plan.compile(TINY.network, TINY.target).memories, TINY.target)
    found = {}

    async def sequencer(ctx):
        await ctx.tick().until(host.start)
        ctx.set(host.busy, 1)

    async def master(ctx):
        ctx.set(host.s_axil_awaddr, Register.COMMAND)
        ctx.set(host.s_axil_wdata, Command.INFER)
        ctx.set(host.s_axil_wstrb, 15)
        ctx.set(host.s_axil_araddr, Register.STATUS)
        for name in ("awvalid", "wvalid", "arvalid", "rready", "bready"):
            ctx.set(getattr(host, f"s_axil_{name}"), 1)
        found["status"], _ = (
            await ctx.tick().sample(host.s_axil_rdata, host.s_axil_rvalid).until(host.s_axil_rvalid)
        )

    simulator = Simulator(host)
    simulator.add_clock(1e-8)
    simulator.add_testbench(sequencer, background=True)
    simulator.add_testbench(master)
    simulator.run()
    assert found["status"] == 1


def test_a_write_past_the_last_row_leaves_the_row_register():
    """What is not mapped is refused, and the row that was begun before is not spoilt."""
    memories = (Memory("weights.fe", "any", 5, 40), WEIGHT)
    window = registers.windows(memories)[0]
    low, other, high = 0x11111111, 0x22222222, 0x33
    answers, chip = drive(
        memories,
        [
            Transfer(window.address(0, 0), low),
            Transfer(window.address(5, 0), other),
            Transfer(window.address(0, 1), high),
        ],
    )
    assert [response for response, _ in answers] == [Response.OKAY, Response.DECERR, Response.OKAY]
    assert chip.rows["weights.fe"][0] == high << 32 | low


def test_a_memory_larger_than_its_window_is_refused():
    latents = Memory("replay.latent", "replay", 65_536 * 64, 64)
    with pytest.raises(
        SpecError, match="window on replay.latent must have at most 16,777,216 bytes"
    ):
        registers.windows((latents,))


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_presets_have_room_for_their_rows(preset):
    """The windows of a preset's memories fit the address map."""
    p = presets.load(preset)
    for window in registers.windows(plan.compile(p.network, p.target).memories):
        assert window.address(window.memory.depth - 1, window.stride - 1) < window.base + (1 << 24)


LABELS = (
    Memory("replay.label", "replay", 6, 3),
    Memory("staging.label", "staging", 3, 2),
    Memory("replay.count", "tables", CLASSES, 3),
    WEIGHT,
)
DRAWN = (Memory("replay.share", "replay", 6, 3), Memory("fit.open", "tables", 1, 3), WEIGHT)
COMMANDS = {command: command.arguments(SEEN, CLASSES).start for command in Command}


@pytest.mark.parametrize("what", registers.STALES)
def test_commands_wait_for_a_restore_after_a_write_of(what):
    """Before the write all commands are taken, after it two, and after a restore all again."""
    memories = DRAWN if what in {m.name for m in DRAWN} else LABELS
    window = {w.memory.name: w for w in registers.windows(memories)}.get(what)
    address = window.address(0, 0) if window else int(what)
    asked = [Transfer(Register.COMMAND, c | argument << 16) for c, argument in COMMANDS.items()]
    before = asked[:-1]  # without the restore, which has the commands wait in any case
    transfers = [*before, Transfer(address, 1), Transfer(Register.STATUS), *asked, *asked]
    first, second = len(before) + 2, len(before) + 2 + len(asked)
    answers, _ = drive(memories, transfers, restored=(second - 1,))
    fine, waits = Response.OKAY, Response.SLVERR
    free = [fine if c in (Command.INFER, Command.RESTORE) else waits for c in COMMANDS]
    assert [r for r, _ in answers[: len(before)]] == [fine] * len(before)
    assert answers[first - 2 : first] == [(fine, None), (fine, 8)]
    assert [r for r, _ in answers[first:second]] == free
    assert [r for r, _ in answers[second:]] == [fine] * len(asked)


def test_registers_take_the_ends_of_their_ranges():
    transfers, want = [], []
    for register, legal in registers.writable(LABELS).items():
        for value in (legal.start - 1, legal.start, legal.stop - 1, legal.stop):
            if 0 <= value < 1 << 32:
                transfers.append(Transfer(register, value))
                want.append(value in legal)
    answers, chip = drive(LABELS, transfers)
    assert [response == Response.OKAY for response, _ in answers] == want
    assert chip.written == [
        (t.address, t.data) for t, legal in zip(transfers, want, strict=True) if legal
    ]


def test_the_counts_are_only_read():
    window = {w.memory.name: w for w in registers.windows(LABELS)}["replay.count"]
    transfers = [Transfer(window.address(row, 0), data) for row in range(4) for data in (3, None)]
    answers, chip = drive(LABELS, transfers)
    assert answers == [(Response.SLVERR, None), (Response.OKAY, 0)] * 4
    assert chip.touched == 4
