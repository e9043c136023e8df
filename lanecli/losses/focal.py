"""Focal loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lanecli.losses.arguments import number, require_background
from lanecli.losses.entropy import WeighedLoss
from lanecli.losses.pixels import Pixels, Task, weighted_mean


class Focal(WeighedLoss):
    """Mean of -alpha (1 - p)^gamma log p, p the probability of the right class (Lin et al. 2017).

    p is a softmax in multiclass mode, so that gamma 0 is cross-entropy there too. The mean is over labels (over
    class weights where given), not over foreground objects as in the paper on detection.
    """

    def __init__(
        self, task: Task, *, gamma: float = 2.0, alpha: float | None = None, class_weights: Any = None
    ) -> None:
        """Make the loss.

        Args:
            task: see :class:`Task`; alpha needs a background in multiclass mode.
            gamma: from 0; how fast easy pixels fade out.
            alpha: 0 to 1: the foreground weighs alpha, the background 1 - alpha; None: both 1.
            class_weights: a list, a name, or None; see :mod:`lanecli.losses.weights`.
        """
        super().__init__(task, class_weights)
        self.gamma = number("gamma", gamma)
        self.alpha = None if alpha is None else number("alpha", alpha, 0, 1)
        if alpha is not None:
            require_background("alpha", task)

    def compute(self, pixels: Pixels) -> Tensor:
        # The power's slope at p = 1 is infinite for gamma below 1; expm1 keeps 1 - p exact near it
        wrong = -torch.expm1(-pixels.entropy.clamp_min(1e-12))
        losses = wrong**self.gamma * pixels.entropy
        if self.alpha is not None:
            losses = losses * (pixels.foreground * self.alpha + (1 - pixels.foreground) * (1 - self.alpha))
        return weighted_mean(losses, pixels.weights(self.class_weights))
