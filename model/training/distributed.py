"""Several processes that train one network, as torchrun starts them: one a GPU, or some on a CPU.

Each takes its share of every minibatch. What they compute together is what one process computes of
the whole minibatch, batch statistics included, up to the order of floating-point sums.
"""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.nn  # the all_reduce that gradients flow through
from torch import Tensor, nn

from xnoreplay.model.training.hardware import processor
from xnoreplay.spec.errors import XnoreplayError

PATIENCE = timedelta(days=1)  # others wait while the leading one loads data, or trains a teacher


@dataclass(frozen=True)
class Processes:
    """This process among all: its rank, how many there are, and the device it computes on."""

    rank: int
    count: int
    device: torch.device

    @property
    def hardware(self) -> str:
        """What computes, in words."""
        name = processor()
        if self.device.type == "cuda":
            name = torch.cuda.get_device_name(self.device)
        return f"{self.count} x {name}" if self.count > 1 else name

    def share(self, count: int) -> slice:
        """This process's part of `count` samples; parts differ by at most one.

        >>> [Processes(r, 3, None).share(8) for r in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)


def started() -> int:
    """How many processes torchrun has started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join() -> Processes:
    """Meet the others, if torchrun has started any; again and again is the same as once."""
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


def broadcast_request(thing: object = None) -> object:
    """What the leading process says, any plain value or tensors; the others say nothing and hear."""
    if not _several():
        return thing
    said = [thing]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def leave() -> None:
    """End the meeting."""
    if _several():
        dist.destroy_process_group()


def total(x: Tensor) -> Tensor:
    """The sum of a tensor over all processes; gradients flow back to each.

    Every process is to make the same scalar of it: averaged over processes, its gradients are then
    those of one process that has all samples.
    """
    if not _several():
        return x
    return torch.distributed.nn.functional.all_reduce(x)


def parallel(objective: nn.Module, processes: Processes) -> nn.Module:
    """The module with gradients averaged over the processes."""
    if processes.count == 1:
        return objective
    devices = [processes.device] if processes.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(
        objective, device_ids=devices, broadcast_buffers=False
    )


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
