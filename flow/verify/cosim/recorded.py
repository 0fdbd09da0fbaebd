"""Reads a recorded comparison from an untrusted folder and checks every field."""

import zipfile
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from xnoreplay.flow.run import files
from xnoreplay.flow.verify.cosim import faults as fault_texts
from xnoreplay.flow.verify.cosim.chip import OPTIMISATIONS
from xnoreplay.flow.verify.cosim.faults import Faults
from xnoreplay.flow.verify.cosim.kinds import names
from xnoreplay.flow.verify.cosim.script import CONTENTS, Script, Step
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import limits, presets, reading
from xnoreplay.spec import plan as plans
from xnoreplay.spec.bundle import Bundle
from xnoreplay.spec.errors import SpecError, require
from xnoreplay.spec.plan import Plan
from xnoreplay.spec.presets import Preset

RECORD, IMAGES, BUNDLE = "replay.json", "images.npy", "bundle.safetensors"
FIELDS = frozenset({"preset", "simulator", "optimise", "faults", "commands"})
SIMULATORS = ("verilator", "icarus")
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    MemoryError,
    *reading.DAMAGED_ARRAYS,
)
"""What JSON, NumPy and its archives raise for files that are not whole."""
MOST = 1 << 32  # of any number of a command: cycles above it would not be simulated in days


@dataclass(frozen=True)
class Recorded:
    """What a recorded folder holds, after every field has been checked."""

    preset: Preset
    bundle: Bundle
    script: Script
    faults: Faults
    simulator: str
    optimise: str


def read(folder: Path) -> Recorded:
    """Read a folder that `again.record` wrote.

    Raises
    ------
    SpecError
        Where anything in it is not what a record holds; names the field and the value.
    """
    try:
        return _read(folder)
    except SpecError as error:
        raise SpecError(f"record {folder} must be a folder that cosim recorded: {error}") from None
    except DAMAGE as error:
        raise SpecError(
            f"record {folder} must be a folder that cosim recorded: {_sentence(error)}"
        ) from None


def _read(folder: Path) -> Recorded:
    tree = files.read_json(folder / RECORD)
    if not isinstance(tree, dict) or tree.keys() != FIELDS:
        raise SpecError(f"{RECORD} must have the fields {', '.join(sorted(FIELDS))} and no others")
    require.choice("simulator", tree["simulator"], SIMULATORS)
    require.choice("optimise", tree["optimise"], OPTIMISATIONS)
    preset = presets.from_dict(tree["preset"])
    plan = plans.compile(preset.network, preset.target)
    bundle = bundles.read(folder / BUNDLE)
    if bundle.network != preset.network:
        raise SpecError(f"{BUNDLE} must be of the preset's network, but is of another one")
    reading.check_size(folder / IMAGES)
    images = np.load(folder / IMAGES, allow_pickle=False)
    shape = preset.network.image_shape
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != shape:
        raise SpecError(f"{IMAGES} must be uint8 images of shape {shape}")
    commands = tree["commands"]
    if not isinstance(commands, list):
        raise SpecError(f"commands must be a list, not {type(commands).__name__}")
    steps = tuple(_step(i, command, plan, len(images)) for i, command in enumerate(commands))
    script = Script(steps, images, contents=_contents(folder, plan))
    return Recorded(
        preset, bundle, script, _faults(tree["faults"], plan), tree["simulator"], tree["optimise"]
    )


def _faults(texts: object, plan: Plan) -> Faults:
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise SpecError("faults must be a list of texts")
    found = fault_texts.parse(texts, plan)
    if found.plan:
        raise SpecError("faults must be of memories: one of the plan is in the Verilog already")
    return found


def _contents(folder: Path, plan: Plan) -> dict[str, np.ndarray]:
    """First rows of memories: (rows, width) bits."""
    reading.check_size(folder / CONTENTS)
    with zipfile.ZipFile(folder / CONTENTS) as packed:
        limits.check_memory(CONTENTS, sum(part.file_size for part in packed.infolist()))
    with np.load(folder / CONTENTS, allow_pickle=False) as archive:
        contents = {name: archive[name] for name in archive.files}
    known = {m.name: m for m in plan.memories}
    for name, rows in contents.items():
        require.choice(f"memory in {CONTENTS}", name, known)
        memory = known[name]
        fits = (
            rows.ndim == 2
            and rows.shape[1] == memory.width
            and len(rows) <= memory.depth * memory.count
        )
        if (
            not fits
            or rows.dtype.kind not in "biu"
            or (rows.size and not 0 <= rows.min() <= rows.max() <= 1)
        ):
            raise SpecError(
                f"{name} in {CONTENTS} must be bits in at most {memory.depth * memory.count} rows of {memory.width}"
            )
    return contents


def _step(index: int, tree: object, plan: Plan, images: int) -> Step:
    """A command of the record; its limits are reckoned anew."""
    what = f"command {index}"
    if not isinstance(tree, dict):
        raise SpecError(f"{what} must be a table, not {type(tree).__name__}")
    given = {name: value for name, value in tree.items() if name != "limits"}
    _check_type(what, given, Step)
    require.choice(f"command of {what}", given["command"], names())
    memories = [m.name for m in plan.memories]
    for name in (*given.get("memories", ()), *given.get("before", ())):
        require.choice(f"memories of {what}", name, memories)
    step = Step.load(given)
    if step.image is not None and step.image >= images:
        raise SpecError(f"image of {what} must be one of {images}, not {step.image}")
    if step.gaps is not None and len(step.gaps) != plan.input.pixels:
        raise SpecError(f"gaps of {what} must be {plan.input.pixels}, not {len(step.gaps)}")
    return step


def _check_type(what: str, value: Any, hint: Any) -> None:
    """Hold a value as JSON has it to a type; SpecError where it is of another.

    Parameters
    ----------
    what : str
        What an error calls the value.
    value : object
    hint : type
        A dataclass, a tuple of one or of several types, int for a number up to `MOST`, bool, or str for a word;
        a union with None takes None, too.
    """
    if isinstance(hint, UnionType):
        options = [option for option in get_args(hint) if option is not NoneType]
        if value is not None:
            _check_type(what, value, options[0])
    elif get_origin(hint) is tuple:
        _check_list(what, value, get_args(hint))
    elif is_dataclass(hint):
        _check_table(what, value, hint)
    elif hint is bool:
        require.choice(what, value, (False, True))
    elif hint is str:
        require.name(what, value)
    else:
        require.between(what, value, 0, MOST)


def _check_list(what: str, value: Any, kinds: tuple) -> None:
    """Hold a list to the types of a tuple, whose last may be `...`."""
    if not isinstance(value, list):
        raise SpecError(f"{what} must be a list, not {type(value).__name__}")
    if kinds[-1] is ...:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise SpecError(f"{what} must have {len(kinds)} values, not {len(value)}")
    for item, kind in zip(value, kinds, strict=True):
        _check_type(what, item, kind)


def _check_table(what: str, value: Any, hint: Any) -> None:
    """Hold a table to the fields of a dataclass, of which it may leave some out."""
    if not isinstance(value, dict):
        raise SpecError(f"{what} must be a table, not {type(value).__name__}")
    hints = get_type_hints(hint)
    for name, item in value.items():
        if name not in hints:
            raise SpecError(f"{what} must have no field {name!r}")
        _check_type(f"{name} of {what}", item, hints[name])


def _sentence(error: Exception) -> str:
    return (
        f"field {error.args[0]!r} is missing"
        if isinstance(error, KeyError) and error.args
        else str(error)
    )
