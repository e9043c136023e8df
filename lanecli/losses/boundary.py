"""Cross-entropy that looks harder near borders."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lanecli.losses.arguments import number
from lanecli.losses.entropy import WeighedLoss
from lanecli.losses.pixels import Pixels, Task, weighted_mean


class BoundaryCrossEntropy(WeighedLoss):
    """Mean cross-entropy with weights 1 + strength exp(-d^2 / (2 sigma^2)), d the distance to the nearest border.

    After the weight map of Ronneberger et al. 2015, with the nearest border in place of the two nearest cells. A
    pixel on a border has d = 0: one with a pixel of another class above, below or beside it; beyond 3 sigma the extra
    weight is 0. In multilabel mode each class has its own borders. Ignored pixels make none.
    """

    def __init__(self, task: Task, *, strength: float = 10.0, sigma: float = 2.0, class_weights: Any = None) -> None:
        """Make the loss.

        Args:
            task: see :class:`Task`.
            strength: extra weight on a border, from 0; 0 is cross-entropy.
            sigma: how far it reaches, in pixels, above 0 and at most 30.
            class_weights: a list, a name, or None; see :mod:`lanecli.losses.weights`.
        """
        super().__init__(task, class_weights)
        self.strength = number("strength", strength)
        self.sigma = number("sigma", sigma, 0, 30, above=True)

    def compute(self, pixels: Pixels) -> Tensor:
        reach = math.ceil(3 * self.sigma)
        squares = border_distances(pixels.labels, reach)
        extra = torch.exp(squares.to(pixels.logits.dtype) / (-2 * self.sigma**2)) * (squares <= (3 * self.sigma) ** 2)
        return weighted_mean(pixels.entropy, pixels.weights(self.class_weights) * (1 + self.strength * extra))


def border_distances(labels: Tensor, reach: int) -> Tensor:
    """Squared Euclidean distance in pixels from each label to the nearest border, int16.

    Exact to `reach` (at most 90) pixels; farther ones have any value above ``reach ** 2``.

    Args:
        labels: (..., H, W) integers; negative ones are ignored and lie on no border.
    """
    border = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (-2, -1):
        first, second = _shifted(labels, axis, 1)
        differ = (first != second) & (first >= 0) & (second >= 0)
        for side in _shifted(border, axis, 1):
            side |= differ
    squares = torch.where(border, 0, reach * reach + 1).to(torch.int16)
    for axis in (-2, -1):
        along = squares.clone()
        for step in range(1, min(reach, squares.shape[axis] - 1) + 1):
            for target, source in zip(
                _shifted(along, axis, step), reversed(_shifted(squares, axis, step)), strict=True
            ):
                torch.minimum(target, source + step * step, out=target)
        squares = along
    return squares


def _shifted(maps: Tensor, axis: int, step: int) -> tuple[Tensor, Tensor]:
    """Two views whose equal places lie `step` apart along the axis: without the last rows, without the first."""
    length = max(maps.shape[axis] - step, 0)
    return maps.narrow(axis, 0, length), maps.narrow(axis, min(step, maps.shape[axis]), length)
