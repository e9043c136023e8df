"""Online hard example mining."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lanecli.losses.arguments import number
from lanecli.losses.entropy import ClassWeightedLoss
from lanecli.losses.pixels import Pixels, Task, weighted_mean


class HardExampleMining(ClassWeightedLoss):
    """Mean cross-entropy of the labels with a probability below a threshold, or of a minimum share of the hardest ones.

    The hardest labels are chosen over the whole batch (after Shrivastava et al. 2016, here per pixel). Labels exactly
    as hard as the last one that is kept count in part, with equal weights, so that the order of the pixels does not
    matter.
    """

    def __init__(
        self, task: Task, *, threshold: float = 0.7, min_kept: float = 1 / 16, class_weights: Any = None
    ) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            threshold: labels whose true class has a probability below it are kept; above 0 and at most 1.
            min_kept: the smallest share of labels to keep; above 0 and at most 1.
            class_weights: a list, a name, or None; they weight the kept labels in the mean, and have no influence on
                which labels are kept.
        """
        super().__init__(task, class_weights)
        self.threshold = number("threshold", threshold, 0, 1, above=True)
        self.min_kept = number("min_kept", min_kept, 0, 1, above=True)

    def compute(self, pixels: Pixels) -> Tensor:
        ranked = torch.where(pixels.valid, pixels.cross_entropy.detach(), -1)
        kept = selection_weights(ranked, -math.log(self.threshold), self.min_kept)
        return weighted_mean(pixels.cross_entropy, pixels.weights(self.class_weights) * kept)


def selection_weights(losses: Tensor, cut: float, share: float) -> Tensor:
    """Choose the largest losses.

    Args:
        losses: at least 0, without gradient; -1 marks labels that do not count.
        cut: losses above it are kept.
        share: the smallest share to keep, of the losses that count.

    Returns:
        Weights with the shape of `losses`: 1 where a loss is kept, 0 where it is not, and a fraction for equal losses
        of which only some would be needed to reach `share`.
    """
    above = losses > cut
    hard, count = torch.stack([above.sum(), (losses >= 0).sum()]).tolist()
    least = math.ceil(share * count)
    if hard >= least:
        return above.to(losses.dtype)
    last = losses.flatten().kthvalue(losses.numel() - least + 1).values
    above, ties = losses > last, losses == last
    fraction = (least - above.sum()).to(losses.dtype) / ties.sum()
    return above.to(losses.dtype) + ties * fraction
