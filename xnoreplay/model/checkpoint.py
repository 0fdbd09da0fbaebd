"""Checkpoints of the pre-training: one safetensors file, whole or absent, never a pickle."""

import json
import os
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from xnoreplay.spec import bundle as bundles
from xnoreplay.spec.errors import XnoreplayError

FORMAT = "xnoreplay-checkpoint-1"


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Write the model, its optimiser and a dictionary of plain values, atomically."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": t for name, t in moments.items()}
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        metadata = {"format": FORMAT, "state": json.dumps(state, sort_keys=True)}
        safetensors.torch.save_file(tensors, temporary, metadata=metadata)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the dictionary of a checkpoint.

    Raises
    ------
    XnoreplayError
        For a file that is missing, damaged or foreign.
    """
    tensors, metadata = bundles.read_tensors(path, "checkpoint", FORMAT, "pt")
    try:
        state = json.loads(metadata["state"])
        whole = isinstance(state["config"]["recipe"], dict) and isinstance(state["epoch"], int)
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise XnoreplayError(
            f"checkpoint {path}: field 'state' must say of which training it is and how many epochs it "
            f"has, not {metadata.get('state')!r}"
        )
    return tensors, state


def restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's tensors back, the inverse of `save`; XnoreplayError as `fill` has it."""
    fill(model, part(tensors, "model."))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part(tensors, "optimizer.").items():
        i, _, moment = name.partition(".")
        moments.setdefault(int(i), {})[moment] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def fill(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a model its tensors by name.

    Raises
    ------
    XnoreplayError
        For a tensor that is missing, of another shape, or that the model does not have.
    """
    known = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    given = {name: tuple(t.shape) for name, t in tensors.items()}
    for name in sorted(known | given):
        if known.get(name) != given.get(name):
            raise XnoreplayError(
                f"tensor {name!r} of the checkpoint must have shape {known.get(name, 'none')}, "
                f"not {given.get(name, 'none')}"
            )
    model.load_state_dict(tensors)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, under the rest of their names."""
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
