"""A snapshot: what a host reads of a chip to save it, and writes to restore it after power-off.

The windows and registers stand in one order, `windows` and `spec.registers.writable`; last comes the
command RESTORE, which counts the labels. A snapshot is taken while the chip is idle.
`docs/microarchitecture.md` says what a restored chip has in common with the one that was saved.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xnoreplay.spec import bundle, features, image, presets, reading, registers
from xnoreplay.spec import interface as interfaces
from xnoreplay.spec.bits import ceil_div, pack_bytes, to_int, unpack_bytes
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.codes import KINDS
from xnoreplay.spec.commands import Command, bits_of
from xnoreplay.spec.errors import ReadError, SpecError, require, shown, unknown
from xnoreplay.spec.features import Binariser
from xnoreplay.spec.generative import NONE, SHARE_BITS
from xnoreplay.spec.generative_chip import GenerativeChip
from xnoreplay.spec.interface import Interface
from xnoreplay.spec.lfsr import WIDE_BITS
from xnoreplay.spec.memories import Memory, label_bits
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.reference import Chip, Random
from xnoreplay.spec.registers import Register, Window
from xnoreplay.spec.target import GENERATIVE

FORMAT = "xnoreplay-snapshot"
VERSION = 1
COSTS = (
    "name",
    "clock_hz",
    "technology",
    "device_type",
    "counter_bits",
    "counters",
    *KINDS,
    "watchdog_bits",
)
"""Fields of a target that decide neither what memories say nor the rule: chips that differ in them alone hold the
same state. A host reads and writes words without their check bits."""


@dataclass(frozen=True)
class Snapshot:
    """What a chip holds between two commands.

    memories : (depth, width) uint8 bits of each memory of `windows`, by name
    registers : the value of each register of `spec.registers.writable`
    """

    memories: dict[str, np.ndarray]
    registers: dict[Register, int]

    def ints(self, name: str) -> list[int]:
        """A memory's rows as integers, bit i worth 2^i."""
        return [to_int(row) for row in self.memories[name]]


def windows(plan: Plan) -> tuple[Window, ...]:
    """Windows that a host reads, in order; it writes those that are not `spec.registers.READ_ONLY`."""
    return tuple(w for w in registers.windows(plan.memories) if not w.memory.declaration.scratch)


def reads(plan: Plan) -> Iterator[int]:
    """Addresses of the 32-bit words that a host reads, in order; `of_words` takes what it gets.

    Yields
    ------
    int
        Byte address.
    """
    for window in windows(plan):
        for row in range(window.memory.depth):
            yield from (window.address(row, chunk) for chunk in range(window.chunks))
    yield from map(int, registers.writable(plan.memories))


def of_words(plan: Plan, words: Iterable[int]) -> Snapshot:
    """The snapshot of the words read at `reads`."""
    stream = iter(words)
    memories = {}
    for window in windows(plan):
        memory = window.memory
        rows = np.array(
            [[next(stream) for _ in range(window.chunks)] for _ in range(memory.depth)], np.uint32
        )
        packed = rows.astype("<u4").view(np.uint8).reshape(memory.depth, -1)
        memories[memory.name] = unpack_bytes(packed[:, : ceil_div(memory.width, 8)], memory.width)
    return Snapshot(memories, {r: next(stream) for r in registers.writable(plan.memories)})


def writes(plan: Plan, snapshot: Snapshot) -> Iterator[tuple[int, int]]:
    """The 32-bit words that a host writes, in order; the last starts RESTORE.

    Once that command has come to its end, REFUSED of STATUS says whether a label is of no class seen.

    Yields
    ------
    tuple of int
        Byte address and data.
    """
    for window in windows(plan):
        if window.memory.name in registers.READ_ONLY:
            continue
        for row, value in enumerate(snapshot.ints(window.memory.name)):
            yield from window.words(row, value)
    for register in registers.writable(plan.memories):
        yield int(register), snapshot.registers[register]
    yield int(Register.COMMAND), int(Command.RESTORE)


def of_chip(plan: Plan, chip: Chip) -> Snapshot:
    """What a host reads of the reference; rows of the staging memory that hold no sample are 0."""
    word = plan.target.channels
    memories = image.load(plan, chip.bundle) | image.proxy_low_bits(plan, chip.classifier)
    memories["cls.top"] = image.cls_top(plan, chip.classifier)
    if isinstance(chip, GenerativeChip):
        memories |= _components(plan, chip)
    else:
        valid = 1 << label_bits(plan.network)
        labels = [label | valid if label >= 0 else 0 for label in chip.labels.tolist()]
        counts = [(chip.labels == c).sum() for c in range(plan.network.classes)]
        memories |= {
            "replay.latent": image.vector_words([chip.latents], word).reshape(-1, word),
            "replay.label": _rows(plan, "replay.label", labels),
            "replay.count": _rows(plan, "replay.count", counts),
        }
    if plan.replay.staging:
        latents = np.zeros((plan.replay.staging, plan.network.latent), np.uint8)
        for slot, (z, _) in enumerate(chip.staged):
            latents[slot] = z
        memories["staging.latent"] = image.vector_words([latents], word).reshape(-1, word)
        memories["staging.label"] = _rows(plan, "staging.label", [y for _, y in chip.staged])
    values = {
        Register.SEEN: chip.seen,
        Register.QUOTA: chip.quota,
        Register.STAGED: len(chip.staged),
        Register.LFSR_WALK: chip.random.walk,
        Register.LFSR_ERROR: chip.random.error,
        Register.LFSR_UPDATE: chip.random.update,
    }
    return Snapshot(memories, {r: values[r] for r in registers.writable(plan.memories)})


def _components(plan: Plan, chip: GenerativeChip) -> dict[str, np.ndarray]:
    """Memories of what generative replay remembers; means and counters of empty components are 0."""
    held = chip.components
    filled = held.share > 0
    mean = np.where(filled[:, :, None], held.mean, 0)
    is_open = held.open != NONE
    count = np.where(filled[held.open][:, None], held.count, 0) if is_open else 0 * held.count
    entry = held.open | 1 << label_bits(plan.network) if is_open else 0
    word = plan.target.channels
    rows = {
        "replay.mean": image.planes(mean, plan.target.mean_bits, word),
        "replay.share": _rows(plan, "replay.share", held.share.ravel().tolist()),
        "fit.count": image.planes(count, SHARE_BITS, word),
        "fit.open": _rows(plan, "fit.open", [entry]),
        "draw.state": _rows(plan, "draw.state", chip.wide),
    }
    if plan.replay.staging:
        labels = [label for _, label in chip.staged]
        counts = [labels.count(c) for c in range(plan.network.classes)]
        rows["staging.count"] = _rows(plan, "staging.count", counts)
    return rows


def _rows(plan: Plan, name: str, values: Sequence[int]) -> np.ndarray:
    """(depth, width) bits of a memory whose first rows hold integers, the others 0."""
    memory = plan.memory(name)
    padded = np.zeros(memory.depth, np.int64)
    padded[: len(values)] = values
    return (padded[:, None] >> np.arange(memory.width) & 1).astype(np.uint8)


def into_chip(plan: Plan, snapshot: Snapshot, chip: Chip) -> bool:
    """Write a snapshot into the reference, which holds the same bundle, and restore; its result."""
    check(plan, snapshot)
    values = snapshot.registers
    chip.seen, chip.quota = values[Register.SEEN], values.get(Register.QUOTA, 0)
    chip.random = Random(*(values[Register[f"LFSR_{n}"]] for n in ("WALK", "ERROR", "UPDATE")))
    hidden, output = image.proxies(plan, snapshot.memories.__getitem__)
    chip.classifier.output = output
    if plan.target.hidden_learns:
        chip.classifier.hidden = hidden
    valid = 1 << label_bits(plan.network)
    if isinstance(chip, GenerativeChip):
        held = chip.components
        mean = image.values(snapshot.memories["replay.mean"], plan.target.mean_bits, held.latent)
        count = image.values(snapshot.memories["fit.count"], SHARE_BITS, held.latent)
        held.mean, held.count = mean.reshape(held.mean.shape), count.reshape(held.count.shape)
        held.share = np.array(snapshot.ints("replay.share")).reshape(held.share.shape)
        (entry,) = snapshot.ints("fit.open")
        held.open = entry - valid if entry >= valid else NONE
        chip.wide = snapshot.ints("draw.state")
    else:
        latents = snapshot.memories["replay.latent"].reshape(plan.replay.capacity, -1)
        chip.latents = latents[:, : plan.network.latent].copy()
        entries = snapshot.ints("replay.label")
        chip.labels = np.array([entry - valid if entry >= valid else -1 for entry in entries])
    chip.staged = []
    if plan.replay.staging:
        rows = snapshot.memories["staging.latent"].reshape(plan.replay.staging, -1)
        labels = snapshot.ints("staging.label")[: values[Register.STAGED]]
        chip.staged = [(z[: plan.network.latent], y) for z, y in zip(rows, labels, strict=False)]
    chip.stale = True
    return chip.restore()


def check(plan: Plan, snapshot: Snapshot) -> None:
    """Refuse a snapshot that no chip of a plan comes to.

    Parameters
    ----------
    plan : Plan
    snapshot : Snapshot
        Of any origin.

    Raises
    ------
    SpecError
        For what is no `Snapshot`, or has no mappings for parts; where a register of `spec.registers.writable` is missing
        or has a value that the chip does not take; where a memory of `windows` is missing or has not its (depth, width)
        bits, 0 and 1 in uint8; where there are other registers or memories; where a label in an occupied
        replay slot, or of one of the first STAGED staging places, is not below SEEN; and where replay.count
        is not how often each class is among the labels of replay.label. With generative replay, where a class that
        is not below SEEN has a share or is the open one, where staging.count is not how often each class is among the
        staged labels, and where a wide register is 0.
    """
    if not isinstance(snapshot, Snapshot):
        raise SpecError(f"a saved state must be a Snapshot, not {shown(snapshot)}")
    legal = registers.writable(plan.memories)
    _check_names("register", snapshot.registers, {r: f"Register.{r.name}" for r in legal})
    for register, values in legal.items():
        if register not in snapshot.registers:
            raise SpecError(f"a snapshot must give register {register.name}, but does not")
        value = snapshot.registers[register]
        require.between(f"{register.name} of a snapshot", value, values.start, values.stop - 1)
    memories = {w.memory.name: w.memory for w in windows(plan)}
    _check_names("memory", snapshot.memories, {name: name for name in memories})
    for name, memory in memories.items():
        _check_bits(memory, snapshot.memories.get(name))
    _check_labels(plan, snapshot)


def _check_names(kind: str, held: object, known: Mapping[Any, str]) -> None:
    """SpecError where a snapshot's registers or memories are no mapping, or have a key that is not known."""
    if not isinstance(held, Mapping):
        raise SpecError(f"what a snapshot has of each {kind} must be in a dict, not {shown(held)}")
    for key in held:
        if key not in known:
            raise unknown(f"{kind} of a snapshot", key, known.values())


def _check_bits(memory: Memory, bits: object) -> None:
    """SpecError for what are not a memory's (depth, width) bits, 0 and 1 in uint8."""
    what, size = f"memory {memory.name} of a snapshot", (memory.depth, memory.width)
    shape = bits.shape if isinstance(bits, np.ndarray) else None
    if not isinstance(bits, np.ndarray) or shape != size:
        raise SpecError(
            f"{what} must have {memory.depth} rows of {memory.width} bits, not the shape {shape}"
        )
    if bits.dtype != np.uint8:
        raise SpecError(f"{what} must have bits in uint8, not {bits.dtype}")
    bits_of(what, bits, size)


def _check_labels(plan: Plan, snapshot: Snapshot) -> None:
    """SpecError where a snapshot has something of a class that is not seen, or counts that are not the labels'."""
    seen, staged = snapshot.registers[Register.SEEN], snapshot.registers[Register.STAGED]
    valid = 1 << label_bits(plan.network)
    waiting = snapshot.ints("staging.label")[:staged] if plan.replay.staging else []
    if plan.generative:
        shares = enumerate(snapshot.ints("replay.share"))
        owners = [row // plan.generative.components for row, share in shares if share]
        opened = [entry - valid for entry in snapshot.ints("fit.open") if entry >= valid]
        classes = {"replay.share": owners, "fit.open": opened, "staging.label": waiting}
        counted, counts = "staging.count", waiting
        for state in snapshot.ints("draw.state"):
            require.between("a state in draw.state of a snapshot", state, 1, (1 << WIDE_BITS) - 1)
    else:
        held = [label - valid for label in snapshot.ints("replay.label") if label >= valid]
        classes = {"replay.label": held, "staging.label": waiting}
        counted, counts = "replay.count", held
    for name, labels in classes.items():
        for label in labels:
            if label >= seen:
                raise SpecError(
                    f"a label in {name} of a snapshot must be of one of the {seen} classes seen, "
                    f"not {label}"
                )
    if counted not in snapshot.memories:
        return
    wanted = [counts.count(c) for c in range(plan.network.classes)]
    if snapshot.ints(counted) != wanted:
        raise SpecError(
            f"{counted} of a snapshot must be the labels', {wanted}, not {snapshot.ints(counted)}"
        )


def write(
    plan: Plan,
    snapshot: Snapshot,
    path: Path,
    interface: Interface | None = None,
    binariser: Binariser | None = None,
) -> None:
    """Write a snapshot to a safetensors file, whole or not at all.

    Parameters
    ----------
    plan : Plan
    snapshot : Snapshot
    path : Path
    interface : Interface, optional
        Of the samples that the chip has learned, and of its classes; a host that does not know it leaves it out.
    binariser : Binariser, optional
        What made latents of them, where they are vectors of features.

    Raises
    ------
    SpecError
        As `check`.
    """
    check(plan, snapshot)
    tensors = {w.memory.name: pack_bytes(snapshot.memories[w.memory.name]) for w in windows(plan)}
    values = [snapshot.registers[r] for r in registers.writable(plan.memories)]
    tensors["registers"] = np.array(values, np.uint32)
    metadata = _metadata(plan) | {"digest": _digest(tensors)}
    if interface is not None:
        metadata["interface"] = json.dumps(interfaces.to_dict(interface), sort_keys=True)
    if binariser is not None:
        metadata["binariser"] = _binariser_digest(binariser)
    bundle.write_tensors(Path(path), tensors, metadata)


def read(
    plan: Plan,
    path: Path,
    interface: Interface | None = None,
    trained: Bundle | None = None,
) -> Snapshot:
    """Read and verify a file of `write`; a file that cannot be read is an `XnoreplayError` of any kind.

    XnoreplayError for a file that is missing, damaged or foreign, or of a state that no chip comes to.

    Parameters
    ----------
    plan : Plan
    path : Path
    interface : Interface, optional
        Of the samples and classes that the state is to be used with; it is held to the file's, where that has one.
    trained : Bundle, optional
        The bundle that the state is to be used with. Its binarisation is held to the file's, where that has one; what
        learning never changes, the extractor and a frozen hidden layer, must be in the state as it is in the bundle.

    Raises
    ------
    SpecError
        For a file that is altered, of another chip, of other classes, another input rule, another binarisation or another
        training, or of a state that no chip comes to.
    """
    tensors, metadata = bundle.read_tensors(Path(path), "snapshot", FORMAT)
    for name, value in _metadata(plan).items():
        if metadata.get(name) != value:
            got = str(metadata.get(name))
            what = f"{value!r}, not {got[:40]!r}" if name == "version" else "this chip's"
            raise SpecError(f"snapshot {path}: field {name!r} must be {what}")
    _check_use(path, metadata, interface, None if trained is None else trained.binariser)
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        w.memory.name: ((w.memory.depth, ceil_div(w.memory.width, 8)), "uint8")
        for w in windows(plan)
    }
    known = tuple(registers.writable(plan.memories))
    expected["registers"] = ((len(known),), "uint32")
    if wrong := bundle.mismatch(tensors, expected):
        raise SpecError(f"snapshot {path}: {wrong}")
    if metadata.get("digest") != _digest(tensors):
        raise SpecError(f"snapshot {path}: field 'digest' must match the content, but does not")
    values = tensors.pop("registers").tolist()
    memories = {n: unpack_bytes(t, plan.memory(n).width) for n, t in tensors.items()}
    snapshot = Snapshot(memories, dict(zip(known, values, strict=True)))
    try:
        check(plan, snapshot)
    except SpecError as error:
        raise SpecError(f"snapshot {path}: {error}") from None
    if trained is not None:
        _check_training(plan, path, snapshot, trained)
    return snapshot


def identity(plan: Plan) -> dict[str, str]:
    """What tells files of this chip from another's: its network, and what of its target decides memories and rule.

    `target` is the SHA-256 of the target's fields that decide memories and rule, as JSON with sorted keys: all
    but `COSTS` and, with stored replay, but `replay` and the dials of generative replay.
    """
    left_out = (*COSTS, "replay", *GENERATIVE) if plan.target.replay == "stored" else COSTS
    target = json.dumps(
        {name: value for name, value in asdict(plan.target).items() if name not in left_out},
        sort_keys=True,
    )
    return {
        "network": json.dumps(presets.network_to_dict(plan.network), sort_keys=True),
        "target": hashlib.sha256(target.encode()).hexdigest(),
    }


def _metadata(plan: Plan) -> dict[str, str]:
    """The header of a file, but for the digest of its content."""
    return {"format": FORMAT, "version": str(VERSION), **identity(plan)}


def _check_use(
    path: Path, metadata: dict[str, str], interface: Interface | None, binariser: Binariser | None
) -> None:
    """SpecError where a header says that the state is of other classes, another input rule or another binarisation."""
    if interface is not None and "interface" in metadata:
        what = f"snapshot {path}: field 'interface'"
        try:
            tree = reading.json_of(metadata["interface"], what)
        except ReadError as error:
            raise SpecError(str(error)) from None
        try:
            saved = interfaces.from_dict(tree)
        except SpecError as error:
            raise SpecError(f"{what}: {error}") from None
        if different := interface.differences(saved):
            raise SpecError(
                f"snapshot {path} must be of the classes and the input rule of this bundle, but differs in "
                f"{', '.join(different)}"
            )
    if binariser is not None and "binariser" in metadata:
        if metadata["binariser"] != _binariser_digest(binariser):
            raise SpecError(
                f"snapshot {path} must be of latents that this bundle's binarisation makes, but another one made them"
            )


def _check_training(plan: Plan, path: Path, snapshot: Snapshot, trained: Bundle) -> None:
    """SpecError where a state has other bits than the bundle in what learning never changes."""
    hidden = 0 if plan.target.hidden_learns else plan.output.weight_base  # rows of cls.top
    for name, bits in image.load(plan, trained).items():
        if plan.memory(name).learning:
            continue
        frozen = hidden if name == "cls.top" else len(bits)
        if (snapshot.memories[name][:frozen] != bits[:frozen]).any():
            raise SpecError(
                f"snapshot {path} must be of the network of this bundle, but is of another training: its {name} differs"
            )


def _binariser_digest(binariser: Binariser) -> str:
    """SHA-256 over the arrays of a binarisation, as `_digest` over the tensors that a bundle has of it."""
    return _digest({bundle.PREFIX + n: getattr(binariser, n) for n in features.shapes(1, 1, 1)})


def _digest(tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over every tensor in name order."""
    h = hashlib.sha256()
    for name in sorted(tensors):
        h.update(f"{name}\n".encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return h.hexdigest()
