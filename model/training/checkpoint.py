"""Checkpoints of the pre-training: one safetensors file, whole or absent, never a pickle."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from xnoreplay.model.training.recipe import Recipe
from xnoreplay.spec import bundle as bundles
from xnoreplay.spec import reading, whole
from xnoreplay.spec.errors import XnoreplayError, shown

FORMAT = "xnoreplay-checkpoint-1"
MOMENTS = {
    torch.optim.Adam: ("exp_avg", "exp_avg_sq", "step"),
    torch.optim.SGD: ("momentum_buffer",),
}
"""What an optimiser keeps of each weight: tensors of its shape, and the number of steps."""


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Write the model, its optimiser and a dictionary of plain values, atomically."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": t for name, t in moments.items()}
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {"format": FORMAT, "state": json.dumps(state, sort_keys=True)}
    with whole.whole_file(path) as part:
        safetensors.torch.save_file(tensors, part, metadata=metadata)


def load(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read the tensors and the dictionary of a checkpoint.

    Raises
    ------
    XnoreplayError
        For a file that is missing, damaged or of another kind.
    """
    tensors, metadata = bundles.read_tensors(path, "checkpoint", FORMAT, "pt")
    try:
        state = reading.json_of(metadata["state"], "it")
        Recipe(**state["config"]["recipe"])
        numbers = (
            state["epoch"],
            state["config"]["epochs"],
            state.get("within", 0),
            state.get("steps", 0),
        )
        whole = all(type(number) is int for number in numbers)
        whole = whole and 0 <= numbers[0] <= numbers[1] and 0 <= numbers[2] <= numbers[3]
    except (AttributeError, KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise XnoreplayError(
            f"checkpoint {path}: field 'state' must say of which training it is and how many epochs it "
            f"has, not {shown(metadata.get('state'))}"
        )
    return tensors, state


def restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's tensors back into model and optimiser, the inverse of `save`.

    PyTorch compares no moment with its weight's shape, and its fused steps would write beside a smaller one.

    Raises
    ------
    XnoreplayError
        As `require_alike`, and for moments that no step leaves.
    """
    fill_model(model, tensors, "model.")
    weights = [w for group in optimizer.param_groups for w in group["params"]]
    known = {
        f"{i}.{moment}": torch.zeros(()) if moment == "step" else w
        for i, w in enumerate(weights)
        for moment in MOMENTS[type(optimizer)]
    }
    found = with_prefix(tensors, "optimizer.")
    require_alike(found, known, "optimizer.")
    for name, tensor in found.items():
        if name.endswith((".step", ".exp_avg_sq")) and tensor.min() < 0:
            raise XnoreplayError(
                f"tensor {shown('optimizer.' + name)} of the checkpoint must be at least 0"
            )
    moments: dict[int, dict[str, Tensor]] = {i: {} for i in range(len(weights))}
    for name, tensor in found.items():
        i, _, moment = name.partition(".")
        moments[int(i)][moment] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def fill_model(model: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Give a model those tensors whose names start with a prefix.

    Raises
    ------
    XnoreplayError
        As `require_alike`.
    """
    given = with_prefix(tensors, prefix)
    require_alike(given, model.state_dict(), prefix)
    model.load_state_dict(given)


def require_alike(given: dict[str, Tensor], known: Mapping[str, Tensor], prefix: str) -> None:
    """Refuse tensors of a checkpoint that are not like the known ones, or not finite.

    Parameters
    ----------
    given, known : dict of Tensor
        Tensors of the checkpoint and of the model, by name without the prefix.
    prefix : str
        Of the names in the checkpoint, for the sentence.

    Raises
    ------
    XnoreplayError
        For the first that is missing, not known, of another shape or type, or not finite.
    """
    for name in sorted(given.keys() | known.keys()):
        told = f"tensor {shown(prefix + name)} of the checkpoint"
        if name not in given:
            raise XnoreplayError(f"{told} must be there")
        if name not in known:
            raise XnoreplayError(
                f"{told} must be one of the training's, which has none of that name"
            )
        mine, theirs = ((t.dtype, tuple(t.shape)) for t in (known[name], given[name]))
        if mine != theirs:
            raise XnoreplayError(
                f"{told} must be {mine[0]} of shape {mine[1]}, not {theirs[0]} of shape {theirs[1]}"
            )
        if not given[name].isfinite().all():
            raise XnoreplayError(f"{told} must have finite numbers alone")


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, under the rest of their names."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
