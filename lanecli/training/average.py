"""Averaging the weights of a network over training."""

from __future__ import annotations

import copy

import torch

from lanecli.models.build import Network


class ExponentialAverage:
    """A second network with the exponential moving average of the weights of the first one (Polyak averaging)."""

    def __init__(self, network: Network, decay: float) -> None:
        """Start from the current weights.

        Args:
            network: the network whose weights are averaged.
            decay: share of the old average that each step keeps; at the start of training it is smaller.
        """
        self.network: Network = copy.deepcopy(network).requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Move the average towards `network`, weights and statistics of batch norm alike. Other buffers are copied.

        Statistics of the last batches alone would be noisy, and would not fit weights of many batches.
        """
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))  # at the start the average forgets faster
        for mine, theirs in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs.detach().to(mine.dtype), 1 - decay)
        for (name, buffer), current in zip(self.network.named_buffers(), network.buffers(), strict=True):
            if name.endswith(("running_mean", "running_var")):
                buffer.lerp_(current.to(buffer.dtype), 1 - decay)
            else:
                buffer.copy_(current)
