"""The processes of one run: what `torchrun` started, or just this one."""

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
    """This process among those that train together; the default is alone, and then nothing is sent anywhere."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes of a tensor of one shape and dtype everywhere, on its device."""
        if self.size == 1:
            return values
        summed = values.detach().clone().to(self.device)
        dist.all_reduce(summed)
        return summed.to(values.device)

    def gather(self, batch: Tensor) -> Tensor:
        """(N, ...) of every process to (size * N, ...), in order of rank.

        The gradient is this process's share, times `size`: averaged over processes (as DDP does) it is the gradient of
        a loss that every process computes on the whole.
        """
        return batch if self.size == 1 else _Gather.apply(batch, self)

    def collect(self, values: Tensor) -> list[Tensor]:
        """A tensor of one shape and dtype everywhere, from every process, on the CPU."""
        if self.size == 1:
            return [values.cpu()]
        return [part.cpu() for part in _all_gather(values.to(self.device), self.size)]

    def agree(self, text: str) -> str:
        """The main process's `text`, in all of them."""
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
        """End the connection to the others; call it once the work is done."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


def join(device: str) -> tuple[Processes, torch.device]:
    """Meet the processes `torchrun` started beside this one, by the variables it sets.

    Args:
        device: ``auto``, ``cpu`` or ``cuda`` (each process then takes its own GPU), ``cuda:N`` where there is one
            process.

    Returns:
        The processes, and the device this process computes on.

    Raises:
        InputError: the device is not there, or one GPU is named for several processes.
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
