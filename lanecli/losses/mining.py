"""Online hard example mining."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lanecli.losses.arguments import number
from lanecli.losses.entropy import WeighedLoss
from lanecli.losses.pixels import Pixels, Task, weighted_mean


class HardExampleMining(WeighedLoss):
    """Mean cross-entropy of the labels whose probability is below a threshold, or of the hardest few if those are more.

    Which are hard is seen over the whole batch (after Shrivastava et al. 2016, per pixel). Labels exactly as hard as
    the last one kept share its place, so that the order of the pixels does not matter.
    """

    def __init__(
        self, task: Task, *, threshold: float = 0.7, min_kept: float = 1 / 16, class_weights: Any = None
    ) -> None:
        """Make the loss.

        Args:
            task: see :class:`Task`.
            threshold: labels with a probability of the right answer below it are kept; above 0, to 1.
            min_kept: share of the labels kept at least, above 0, to 1.
            class_weights: a list, a name, or None; weigh the kept labels in the mean and not which are kept.
        """
        super().__init__(task, class_weights)
        self.threshold = number("threshold", threshold, 0, 1, above=True)
        self.min_kept = number("min_kept", min_kept, 0, 1, above=True)

    def compute(self, pixels: Pixels) -> Tensor:
        ranked = torch.where(pixels.valid, pixels.entropy.detach(), -1)
        kept = hardest(ranked, -math.log(self.threshold), self.min_kept)
        return weighted_mean(pixels.entropy, pixels.weights(self.class_weights) * kept)


def hardest(losses: Tensor, cut: float, share: float) -> Tensor:
    """Shape of `losses`: 1 where kept, a fraction where ties share places, else 0.

    Args:
        losses: from 0, without gradient; -1 does not count.
        cut: losses above it are kept.
        share: of the losses that count, kept at least.
    """
    above = losses > cut
    hard, count = torch.stack([above.sum(), (losses >= 0).sum()]).tolist()
    least = math.ceil(share * count)
    if hard >= least:
        return above.to(losses.dtype)
    last = losses.flatten().kthvalue(losses.numel() - least + 1).values
    above, ties = losses > last, losses == last
    places = (least - above.sum()).to(losses.dtype) / ties.sum()
    return above.to(losses.dtype) + ties * places
