"""The state of the random numbers that a step draws, for dropout and the like."""

from __future__ import annotations

import torch

from lanecli.training.processes import Processes


def random_state(processes: Processes, device: torch.device) -> list[list[torch.Tensor]]:
    """Return the states of the generators of every process, the CPU first. Every process must take part."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    collected = [processes.collect(state) for state in states]
    return [[part[rank] for part in collected] for rank in range(processes.size)]


def set_random_state(states: list[torch.Tensor], device: torch.device) -> None:
    """Restore the states of this process from :func:`random_state`; on another kind of device that of the CPU only."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
