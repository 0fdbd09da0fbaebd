"""Several processes that train one network, as torchrun starts them: one a GPU, or some on a CPU.

Each takes its share of every minibatch. What they compute together is what one process computes of
the whole minibatch, batch statistics included, up to the order of floating-point sums.
"""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn  # the all_reduce that gradients flow through
from torch import Tensor, nn

from xnoreplay.model.training.hardware import processor
from xnoreplay.spec.errors import XnoreplayError

PATIENCE = timedelta(days=1)  # others wait while the leading one loads data, or trains a teacher


@dataclass(frozen=True)
class Processes:
    """Rank and device of this process among all that train together.

    Parameters
    ----------
    rank, count : int
        Number of this process, from 0, and how many there are.
    device : torch.device
        That it computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def hardware(self) -> str:
        """The processors or GPUs that compute, in words."""
        name = processor()
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return f"{self.count} x {name}" if self.count > 1 else name

    def share(self, count: int) -> slice:
        """Return the part of `count` samples that this process has; parts differ by at most one.

        >>> [Processes(r, 3, None).share(8) for r in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)


def started() -> int:
    """Return how many processes torchrun has started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join() -> Processes:
    """Join the processes that torchrun has started, if any; a second call changes nothing.

    Raises
    ------
    XnoreplayError
        Where a machine has more processes than GPUs.
    """
    cuda = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda:
        if local >= torch.cuda.device_count():
            raise XnoreplayError(
                f"processes of a machine must be at most its {torch.cuda.device_count()} GPUs, "
                f"not {local + 1} or more"
            )
        torch.cuda.set_device(local)
        # Partial sums rounded to bfloat16 would change the sign of a sum of bits.
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        torch.backends.cudnn.benchmark = True  # few shapes of minibatch: try algorithms once
    device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if started() == 1:
        return Processes(0, 1, device)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    return Processes(dist.get_rank(), dist.get_world_size(), device)


def broadcast(thing: object = None) -> Any:
    """Return a plain value or tensors that the leading process passes; the others pass nothing."""
    if not _several():
        return thing
    said = [thing]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def leave() -> None:
    """Leave the processes that train together."""
    if _several():
        dist.destroy_process_group()


def total(x: Tensor) -> Tensor:
    """Sum a tensor over all processes; gradients flow back to each.

    Every process is to make the same scalar of it: averaged over processes, its gradients are then
    those of one process that has all samples.
    """
    if not _several():
        return x
    return torch.distributed.nn.functional.all_reduce(x)


def parallel(objective: nn.Module, processes: Processes) -> nn.Module:
    """Return a module whose gradients are averaged over the processes."""
    if processes.count == 1:
        return objective
    devices = [processes.device] if processes.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(
        objective, device_ids=devices, broadcast_buffers=False
    )


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
