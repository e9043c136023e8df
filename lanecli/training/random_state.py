"""The state of the random numbers a step draws: dropout's and the like."""

from __future__ import annotations

import torch

from lanecli.training.processes import Processes


def random_state(processes: Processes, device: torch.device) -> list[list[torch.Tensor]]:
    """The generators' states of every process, the CPU's first; every process takes part."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    collected = [processes.collect(state) for state in states]
    return [[part[rank] for part in collected] for rank in range(processes.size)]


def set_random_state(states: list[torch.Tensor], device: torch.device) -> None:
    """Take up this process's part of what :func:`random_state` gave; on another kind of device, as far as it goes."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
