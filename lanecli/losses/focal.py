"""Focal loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lanecli.losses.arguments import number, require_background
from lanecli.losses.entropy import ClassWeightedLoss
from lanecli.losses.pixels import Pixels, Task, weighted_mean


class Focal(ClassWeightedLoss):
    """Mean of -alpha (1 - p)^gamma log p, p being the probability of the true class (Lin et al. 2017).

    In multiclass mode p comes from a softmax, so that gamma 0 gives cross-entropy there too. The sum is divided by the
    number of labels (by the sum of class weights where there are some), not by the number of foreground objects as in
    the paper, which is about detection.
    """

    def __init__(
        self, task: Task, *, gamma: float = 2.0, alpha: float | None = None, class_weights: Any = None
    ) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`; alpha needs a background in multiclass mode.
            gamma: at least 0; the larger it is, the less easy pixels count.
            alpha: weight of the foreground, 0 to 1; the background has weight 1 - alpha. With None both have weight 1.
            class_weights: a list, a name, or None; see :mod:`lanecli.losses.weights`.
        """
        super().__init__(task, class_weights)
        self.gamma = number("gamma", gamma)
        self.alpha = None if alpha is None else number("alpha", alpha, 0, 1)
        if alpha is not None:
            require_background("alpha", task)

    def compute(self, pixels: Pixels) -> Tensor:
        # For gamma below 1 the slope of the power is infinite at p = 1, hence the bound; expm1 keeps 1 - p exact there
        wrong = -torch.expm1(-pixels.cross_entropy.clamp_min(1e-12))
        losses = wrong**self.gamma * pixels.cross_entropy
        if self.alpha is not None:
            losses = losses * (pixels.foreground * self.alpha + (1 - pixels.foreground) * (1 - self.alpha))
        return weighted_mean(losses, pixels.weights(self.class_weights))
