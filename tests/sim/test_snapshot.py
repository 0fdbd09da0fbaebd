"""Save, power-off and restore between two commands: nothing differs from a chip that never stopped."""

from dataclasses import fields, replace

import numpy as np
import pytest

from tests.strategies import images
from xnoreplay.flow.chip import host_files
from xnoreplay.sim.host import HostPort
from xnoreplay.sim.run import Simulator
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import plan as plans
from xnoreplay.spec import presets, reference, registers
from xnoreplay.spec import snapshot as snapshots
from xnoreplay.spec.commands import Command
from xnoreplay.spec.errors import SpecError, XnoreplayError
from xnoreplay.spec.features import Binariser, FeatureSpec
from xnoreplay.spec.interface import Interface
from xnoreplay.spec.pixels import PixelSpec
from xnoreplay.spec.registers import Register, Response
from xnoreplay.spec.snapshot import Snapshot
from xnoreplay.spec.target import GENERATIVE

TINY = presets.load("tiny")
PLAN = plans.compile(TINY.network, TINY.target)
BUNDLE = bundles.random(TINY.network, 0)
OTHER = bundles.random(TINY.network, 1)
PICTURES = images(PLAN.network, 8, 0)
CLASSES = PLAN.network.classes
LAST = CLASSES - 1
SCRIPT = (
    [("arrive", LAST)]
    + [("insert", PICTURES[n], n % LAST) for n in range(6)]
    + [("infer", PICTURES[6])]
    + [("stage", PICTURES[n], LAST) for n in range(3)]
    + [("epoch",), ("retrain",), ("rebalance",), ("retrain",), ("restore",)]
    + [("stage", PICTURES[4], 0), ("retrain",), ("rebalance",), ("arrive", CLASSES)]
    + [("insert", PICTURES[5], LAST), ("retrain",), ("infer", PICTURES[7])]
)
ABORTS = {5: 205, 8: 100, 11: 40, 12: 700, 13: 60, 15: 9, 17: 900, 18: 20, 21: 200}
"""Cycles after which some of them are aborted, by their number in the script."""


def power_cycled(chip: Simulator, mode: str) -> Simulator:
    """A chip that held another bundle, in the state that a host saved of this one."""
    fresh = Simulator(PLAN, OTHER, mode)
    result = fresh.resume(snapshots.of_words(PLAN, words(chip)))
    assert result.finished
    assert not result.refused
    return fresh


def words(chip: Simulator) -> list[int]:
    """What a host reads, word by word."""
    port = HostPort(chip)
    answers = [port.transfer(address) for address in snapshots.reads(PLAN)]
    assert {response for response, _ in answers} == {Response.OKAY}
    return [word for _, word in answers]


def outlasting(chip: Simulator) -> dict:
    """All that a restored chip has in common with the one that was saved."""
    state = chip.state._asdict()
    for name in ("prediction", "refused", "finished"):
        state.pop(name)
    return {w.memory.name: chip.memory_ints(w.memory.name) for w in snapshots.windows(PLAN)} | state


def carry_out(chip: Simulator, command, abort=None):
    name, *arguments = command
    if abort:
        chip.abort(abort)
    start = chip.cycles
    result = getattr(chip, name)(*arguments)
    phases = [(phase, cycle - start) for phase, cycle in result.phases]
    events = [(cycle - start, *event) for cycle, *event in result.events]
    return phases, events, result.prediction, result.refused, result.finished


@pytest.mark.parametrize("mode", ["fast", "step"])
def test_at_every_command_boundary(mode):
    steady = Simulator(PLAN, BUNDLE)
    chip = Simulator(PLAN, BUNDLE, mode)
    stopped = 0
    for n, command in enumerate(SCRIPT):
        want = carry_out(steady, command, ABORTS.get(n))
        chip = power_cycled(chip, mode)
        assert carry_out(chip, command, ABORTS.get(n)) == want, n
        if chip.state.stale:  # an aborted restore is begun again before the chip is saved
            steady.restore()
            chip.restore()
        assert outlasting(chip) == outlasting(steady), n
        stopped += not want[-1]
    assert stopped == len(ABORTS)


def test_what_a_host_writes_word_by_word_is_a_resumed_chip():
    chip = Simulator(PLAN, BUNDLE)
    for command in SCRIPT[:13]:
        carry_out(chip, command)
    port = HostPort(Simulator(PLAN, OTHER))
    for address, data in snapshots.writes(PLAN, chip.snapshot()):
        assert port.transfer(address, data) == (Response.OKAY, 0)
    assert outlasting(port.chip) == outlasting(chip)


def test_the_reference_saves_and_resumes_the_same():
    chip, steady = Simulator(PLAN, BUNDLE), reference.Chip(BUNDLE, PLAN.target)
    for command in [c for c in SCRIPT if c[0] not in ("epoch", "restore")]:
        fresh = reference.Chip(BUNDLE, PLAN.target)
        assert snapshots.into_chip(PLAN, snapshots.of_chip(PLAN, steady), fresh)
        other = reference.Chip(BUNDLE, PLAN.target)
        assert snapshots.into_chip(PLAN, chip.snapshot(), other)
        carry_out(chip, command)
        for each in (steady, fresh, other):
            getattr(each, command[0])(*command[1:])
        assert fresh.events == steady.events[len(steady.events) - len(fresh.events) :]
        saved = [snapshots.of_chip(PLAN, each) for each in (steady, fresh, other)]
        for name, bits in saved[0].memories.items():
            held = chip.memories()[name]
            if name.startswith("staging"):  # rows that hold no sample keep what they had
                held = held.copy()
                held[chip.state.staged * len(held) // PLAN.replay.staging :] = 0
            for each in (saved[1].memories[name], saved[2].memories[name], held):
                np.testing.assert_array_equal(each, bits, err_msg=name)
        assert saved[0].registers == saved[1].registers == saved[2].registers
        assert saved[0].registers == chip.snapshot().registers


def filled() -> Simulator:
    """Two samples remembered, of two of the classes seen, and one staged."""
    chip = Simulator(PLAN, BUNDLE)
    chip.arrive(2)
    chip.insert(PICTURES[0], 1)
    chip.insert(PICTURES[1], 0)
    chip.stage(PICTURES[2], 2)
    return chip


COMMANDS = {
    "arrive": (CLASSES,),
    "insert": (PICTURES[0], 0),
    "stage": (PICTURES[0], 0),
    "rebalance": (),
    "epoch": (),
    "retrain": (),
    "snapshot": (),
}


@pytest.mark.parametrize("mode", ["fast", "step"])
@pytest.mark.parametrize("what", ["replay.label", "staging.label", "seen", "staged", "restore"])
def test_commands_wait_for_the_labels_to_be_counted(what, mode):
    chip = filled()
    chip.mode = mode
    match what:
        case "seen" | "staged":
            chip.write_register(Register[what.upper()], getattr(chip.state, what))
        case "restore":
            chip.abort(3)
            chip.restore()
        case _:
            chip.write_row(what, 0, chip.read_row(what, 0))
    before = chip.counters
    for command, arguments in COMMANDS.items():
        with pytest.raises(SpecError, match=f"^(a )?{command} must wait for a restore"):
            getattr(chip, command)(*arguments)
    assert chip.counters == before
    chip.infer(PICTURES[0])
    assert chip.restore().finished
    for command, arguments in COMMANDS.items():
        getattr(chip, command)(*arguments)


@pytest.mark.parametrize("mode", ["fast", "step"])
@pytest.mark.parametrize("memory", ["replay.label", "staging.label"])
def test_a_label_of_no_class_seen_is_refused(memory, mode):
    chip = filled()
    chip.mode = mode
    chip.write_register(Register.SEEN, 3)
    was = chip.read_row(memory, 0)
    valid = 1 << PLAN.memory("replay.label").width - 1 if memory == "replay.label" else 0
    chip.write_row(memory, 0, valid | 3)
    start = chip.cycles
    result = chip.restore()
    place = 0 if memory == "replay.label" else PLAN.replay.capacity
    assert chip.cycles - start == CLASSES + 2 * (place + 1)
    assert (result.finished, result.refused) == (True, True)
    assert (chip.state.refused, chip.state.stale) == (1, 1)
    chip.write_row(memory, 0, was)
    assert not chip.restore().refused
    assert chip.memory_ints("replay.count")[:3] == [1, 1, 0]


def test_a_host_writes_registers_within_their_ranges():
    chip, port = filled(), HostPort(filled())
    for register, legal in registers.writable(PLAN.memories).items():
        for value in (legal.start, legal.stop - 1):
            chip.write_register(register, value)
            assert port.transfer(register, value) == (Response.OKAY, 0)
            assert port.transfer(register) == (Response.OKAY, value)
            assert getattr(chip.state, register.name.lower()) == value
        for value in (legal.start - 1, legal.stop):
            with pytest.raises(SpecError, match=f"{register.name} must be an integer from"):
                chip.write_register(register, value)
            if 0 <= value < 1 << 32:
                assert port.transfer(register, value) == (Response.SLVERR, 0)
    with pytest.raises(SpecError, match="register must be"):
        chip.write_register(Register.PREDICTION, 0)
    with pytest.raises(SpecError, match="must be one that the host writes, not 'replay.count'"):
        chip.write_row("replay.count", 0, 1)
    assert port.transfer(Register.PREDICTION, 0)[0] == Response.SLVERR
    assert port.transfer(0x3FC, 0)[0] == Response.DECERR
    assert port.transfer(Register.COMMAND, Command.INSERT | CLASSES << 16)[0] == Response.SLVERR


class TestFile:
    """A snapshot in a file."""

    def test_comes_back_whole(self, tmp_path):
        chip, path = filled(), tmp_path / "chip.safetensors"
        snapshots.write(PLAN, chip.snapshot(), path)
        again = snapshots.read(PLAN, path)
        fresh = Simulator(PLAN, OTHER)
        fresh.resume(again)
        assert outlasting(fresh) == outlasting(chip)
        first = path.read_bytes()
        snapshots.write(PLAN, again, path)
        assert path.read_bytes() == first
        assert [p.name for p in tmp_path.iterdir()] == [path.name]

    @pytest.mark.parametrize("part", ["network", "target"])
    def test_of_another_chip_is_refused(self, part, tmp_path):
        path = tmp_path / "chip.safetensors"
        snapshots.write(PLAN, filled().snapshot(), path)
        fields = {"network": {"pad_bit": 1 - TINY.network.pad_bit}, "target": {"epochs": 7}}[part]
        other = presets.vary(TINY, part, **fields)
        plan = plans.compile(other.network, other.target)
        with pytest.raises(SpecError, match=f"field '{part}' must be this chip's"):
            snapshots.read(plan, path)

    @pytest.mark.parametrize(
        "field",
        [{"name": "other"}, {"clock_hz": 1_000_000}, {"technology": "22nm"}, {"device_type": "hp"}],
    )
    def test_is_of_every_chip_that_holds_the_same(self, field, tmp_path):
        """Name, clock and technology decide costs, and no bit of a chip's state."""
        path, saved = tmp_path / "chip.safetensors", filled().snapshot()
        snapshots.write(PLAN, saved, path)
        target = replace(PLAN.target, **field)
        assert target != PLAN.target
        again = snapshots.read(plans.compile(TINY.network, target), path)
        assert again.registers == saved.registers

    def test_of_any_other_field_of_a_target_is_refused(self, tmp_path):
        path = tmp_path / "chip.safetensors"
        snapshots.write(PLAN, filled().snapshot(), path)
        others = {
            "lanes": 4,
            "channels": 8,
            "batch": 2,
            "proxy_bits": 5,
            "delta_bits": 3,
            "proxies_per_pair": 2,
            "hidden_learns": True,
            "replay_capacity": 10,
            "staging_capacity": 7,
            "epochs": 7,
            "most_error_units": 2,
            "rate_shift": 4,
        }
        without_meaning = {"replay", *GENERATIVE}  # of a chip with stored replay
        assert {*others, *snapshots.COSTS, *without_meaning} == {
            f.name for f in fields(PLAN.target)
        }
        for name, value in others.items():
            assert getattr(PLAN.target, name) != value, name
            plan = plans.compile(TINY.network, replace(PLAN.target, **{name: value}))
            with pytest.raises(SpecError, match="field 'target' must be this chip's"):
                snapshots.read(plan, path)
        other = {name: getattr(PLAN.target, name) + 1 for name in GENERATIVE}
        snapshots.read(plans.compile(TINY.network, replace(PLAN.target, **other)), path)

    @pytest.mark.parametrize(
        ("other", "sentence"),
        [
            (Interface(PixelSpec(), ("bolt", "nut")), r"class 0 \('nut', not 'bolt'\)"),
            (Interface(PixelSpec(fit="pad"), ("nut", "bolt")), r"fit \('crop', not 'pad'\)"),
            (Interface(FeatureSpec(), ("nut", "bolt")), r"kind \('image', not 'features'\)"),
        ],
    )
    def test_of_other_classes_or_another_input_is_refused(self, other, sentence, tmp_path):
        path, mine = tmp_path / "chip.state", Interface(PixelSpec(), ("nut", "bolt"))
        saved = filled().snapshot()
        snapshots.write(PLAN, saved, path, mine)
        for asked in (None, mine):  # who does not say what it is for may read it
            assert snapshots.read(PLAN, path, asked).registers == saved.registers
        with pytest.raises(
            SpecError, match=f"must be of the classes and the input rule of this .* in .*{sentence}"
        ):
            snapshots.read(PLAN, path, other)
        snapshots.write(PLAN, saved, path)  # as a host writes it, which does not know them
        assert snapshots.read(PLAN, path, other).registers == saved.registers

    def test_of_another_binarisation_is_refused(self, tmp_path):
        def binariser(**changed) -> Binariser:
            arrays = {
                "exponent": np.zeros(3, np.int16),
                "offset": np.zeros(3, np.int32),
                "tap": np.zeros((5, 2), np.uint16),
                "weight": np.ones((5, 2), np.int8),
                "threshold": np.zeros(5, np.int32),
            }
            return Binariser(**arrays | changed)

        def bundle(**changed) -> bundles.Bundle:
            return replace(BUNDLE, binariser=binariser(**changed))

        path, mine = tmp_path / "chip.state", Interface(FeatureSpec(), ("nut", "bolt"))
        saved = filled().snapshot()
        snapshots.write(PLAN, saved, path, mine, binariser())
        assert snapshots.read(PLAN, path, mine, bundle()).registers == saved.registers
        for changed in (
            {"exponent": np.array([0, 1, 0], np.int16)},
            {"offset": np.array([0, 1, 0], np.int32)},
            {"tap": np.ones((5, 2), np.uint16)},
            {"weight": -np.ones((5, 2), np.int8)},
            {"threshold": np.array([0, 0, 0, 0, 1], np.int32)},
        ):
            with pytest.raises(SpecError, match="latents that this bundle's binarisation makes"):
                snapshots.read(PLAN, path, mine, bundle(**changed))
        snapshots.write(PLAN, saved, path)
        assert snapshots.read(PLAN, path, mine, bundle()).registers == saved.registers

    @pytest.mark.parametrize("text", ["{", "[]", '{"class_names": ["a"]}'])
    def test_with_an_interface_that_is_none_is_refused(self, text, tmp_path):
        path, mine = tmp_path / "chip.state", Interface(PixelSpec(), ("nut", "bolt"))
        snapshots.write(PLAN, filled().snapshot(), path, mine)
        tensors, metadata = bundles.read_tensors(path, "snapshot", snapshots.FORMAT)
        bundles.write_tensors(path, tensors, metadata | {"interface": text})
        with pytest.raises(SpecError, match=r"chip.state: field 'interface'"):
            snapshots.read(PLAN, path, mine)

    def test_that_is_damaged_is_refused(self, tmp_path):
        path = tmp_path / "chip.safetensors"
        snapshots.write(PLAN, filled().snapshot(), path)
        whole = path.read_bytes()
        for at in range(9, len(whole), 97):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
            with pytest.raises(XnoreplayError):
                snapshots.read(PLAN, path)
        path.write_bytes(whole[:-1])
        with pytest.raises(XnoreplayError, match="must be a whole file"):
            snapshots.read(PLAN, path)
        path.unlink()
        with pytest.raises(XnoreplayError):
            snapshots.read(PLAN, path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: s.memories["replay.count"].__setitem__((0, 0), 0), "must be the labels'"),
            (
                lambda s: s.registers.update({Register.SEEN: 1}),
                "must be of one of the 1 classes seen",
            ),
            (lambda s: s.registers.update({Register.SEEN: 2}), "in staging.label of a snapshot"),
            (
                lambda s: s.registers.update({Register.LFSR_WALK: 0}),
                "LFSR_WALK of a snapshot must be",
            ),
            (lambda s: s.registers.pop(Register.QUOTA), "must give register QUOTA"),
            (lambda s: s.memories.pop("cls.top"), "memory cls.top of a snapshot must have"),
            (
                lambda s: s.memories.update({"cls.top": s.memories["cls.top"][:, :-1]}),
                "cls.top of a snapshot must have 13 rows of 36 bits, not the shape .13, 35.",
            ),
            (lambda s: s.memories.update({"cls.top": [[0]]}), "not the shape None"),
            (
                lambda s: s.memories.update({"cls.top": s.memories["cls.top"].astype(np.int64)}),
                "cls.top of a snapshot must have bits in uint8, not int64",
            ),
            (
                lambda s: s.memories["cls.top"].__setitem__((0, 0), 2),
                "cls.top of a snapshot must be bits, 0 and 1, not 0 to 2",
            ),
            (
                lambda s: s.memories.update({"cls.tip": s.memories["cls.top"]}),
                "memory of a snapshot must be one of .* did you mean 'cls.top'",
            ),
            (
                lambda s: s.registers.update({"SEEN": 2}),
                "register of a snapshot must be one of .* not 'SEEN'",
            ),
            (
                lambda s: s.registers.update({Register.SEEN: 2.0}),
                "SEEN of a snapshot must be an integer from 0 to 4, not 2.0",
            ),
        ],
    )
    def test_of_a_state_that_no_chip_comes_to_is_refused(self, change, message, tmp_path):
        chip = filled()
        saved = chip.snapshot()
        change(saved)
        before = chip.memories()
        for attempt in (
            lambda: chip.resume(saved),
            lambda: snapshots.write(PLAN, saved, tmp_path / "chip.safetensors"),
        ):
            with pytest.raises(SpecError, match=message):
                attempt()
        assert not list(tmp_path.iterdir())
        assert all((chip.memories()[name] == bits).all() for name, bits in before.items())


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (None, "a saved state must be a Snapshot, not None"),
        (Snapshot(None, None), "what a snapshot has of each register must be in a dict, not None"),
        (Snapshot(None, filled().snapshot().registers), "each memory must be in a dict, not None"),
    ],
)
def test_what_is_no_snapshot_is_a_sentence(state, sentence):
    with pytest.raises(SpecError, match=sentence):
        filled().resume(state)


def test_the_order_of_a_snapshots_parts_says_nothing():
    saved = filled().snapshot()
    parts = ({n: held[n] for n in reversed(held)} for held in (saved.memories, saved.registers))
    other = Snapshot(*parts)
    assert list(other.registers) != list(saved.registers)
    assert list(snapshots.writes(PLAN, other)) == list(snapshots.writes(PLAN, saved))
    assert (host_files.state(PLAN, other) == host_files.state(PLAN, saved)).all()


def test_a_chip_without_staging_memory_is_saved_too():
    target = replace(PLAN.target, staging_capacity=0)
    plan = plans.compile(TINY.network, target)
    chip = Simulator(plan, BUNDLE)
    chip.arrive(2)
    chip.insert(PICTURES[0], 1)
    fresh = Simulator(plan, OTHER)
    assert not fresh.resume(chip.snapshot()).refused
    chip.retrain()
    fresh.retrain()
    np.testing.assert_array_equal(fresh.proxies().output, chip.proxies().output)
