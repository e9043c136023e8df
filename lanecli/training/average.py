"""Averaging weights over training."""

from __future__ import annotations

import copy

import torch

from lanecli.models.build import Network


class ExponentialAverage:
    """A second network whose weights follow the first one's slowly (Polyak averaging, exponentially weighted)."""

    def __init__(self, network: Network, decay: float) -> None:
        """Args: network: to follow; decay: share of the old average kept at each step, after a ramp."""
        self.network: Network = copy.deepcopy(network).requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take a step towards `network`; buffers such as batch norm statistics are copied."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))  # young averages forget faster
        for mine, theirs in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs.detach().to(mine.dtype), 1 - decay)
        for buffer, current in zip(self.network.buffers(), network.buffers(), strict=True):
            buffer.copy_(current)
