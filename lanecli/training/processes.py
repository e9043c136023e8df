"""The processes of one run: those that `torchrun` started, or just this one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lanecli.errors import InputError


@dataclass(frozen=True)
class Processes:
    """This process among those that train together. By default it is alone, and nothing is sent anywhere."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, on its device. Shape and dtype are equal in all of them."""
        if self.size == 1:
            return values
        summed = values.detach().clone().to(self.device)
        dist.all_reduce(summed)
        return summed.to(values.device)

    def gather(self, batch: Tensor) -> Tensor:
        """Concatenate (N, ...) of every process to (size * N, ...), in the order of ranks.

        The gradient is the part of this process, times `size`. Averaged over processes, as DDP does, this is the
        gradient of a loss that every process computes on the whole batch.
        """
        return batch if self.size == 1 else _Gather.apply(batch, self)

    def collect(self, values: Tensor) -> list[Tensor]:
        """Return the tensor of every process, on the CPU. Shape and dtype are equal in all of them."""
        if self.size == 1:
            return [values.cpu()]
        return [part.cpu() for part in _all_gather(values.to(self.device), self.size)]

    def agree(self, text: str) -> str:
        """Return the `text` of the main process, in every process."""
        if self.size == 1:
            return text
        data = torch.frombuffer(bytearray(text.encode() or b"\0"), dtype=torch.uint8).to(self.device)
        length = torch.tensor([len(data)], device=self.device)
        dist.broadcast(length, 0)
        if not self.main:
            data = torch.empty(int(length), dtype=torch.uint8, device=self.device)
        dist.broadcast(data, 0)
        return bytes(data.cpu().tolist()).decode().rstrip("\0")

    def leave(self) -> None:
        """Close the connection to the other processes once the work is done."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def join(device: str) -> tuple[Processes, torch.device]:
    """Connect to the other processes that `torchrun` started, which sets environment variables for this.

    Args:
        device: ``auto``, ``cpu`` or ``cuda`` (with several processes each one takes a GPU of its own); ``cuda:N`` only
            for a single process.

    Returns:
        The processes, and the device of this process.

    Raises:
        InputError: there is no such device, or one GPU is named for several processes.
    """
    from lanecli.training.device import pick_device

    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Processes(), pick_device(device)
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    picked = pick_device(device)
    if picked.type == "cuda":
        if picked.index is not None:
            raise InputError(f"--device {device} is one GPU for {size} processes: use --device cuda")
        picked = pick_device(f"cuda:{local_rank}")
        torch.cuda.set_device(picked)
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if picked.type == "cuda" else "gloo")
    return Processes(rank, size, picked), picked


def _all_gather(values: Tensor, size: int) -> list[Tensor]:
    values = values.contiguous()
    parts = [torch.empty_like(values) for _ in range(size)]
    dist.all_gather(parts, values)
    return parts


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, batch: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return torch.cat(_all_gather(batch, processes.size))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        processes: Processes = ctx.processes
        return gradients[0].chunk(processes.size)[processes.rank] * processes.size, None
