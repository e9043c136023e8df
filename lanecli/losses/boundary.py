"""Cross-entropy with larger weights near the borders of classes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lanecli.losses.arguments import number
from lanecli.losses.entropy import ClassWeightedLoss
from lanecli.losses.pixels import Pixels, Task, weighted_mean


class BoundaryCrossEntropy(ClassWeightedLoss):
    """Mean cross-entropy with weights 1 + strength exp(-d^2 / (2 sigma^2)), d being the distance to the nearest border.

    This follows the weight map of Ronneberger et al. 2015, with the nearest border in place of the two nearest cells.
    A pixel lies on a border (d = 0) if a pixel above, below or beside it has another class. Beyond 3 sigma the extra
    weight is 0. In multilabel mode each class has its own borders. Ignored pixels form no border.
    """

    def __init__(self, task: Task, *, strength: float = 10.0, sigma: float = 2.0, class_weights: Any = None) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            strength: the extra weight on a border, at least 0; with 0 this is cross-entropy.
            sigma: how far the extra weight reaches, in pixels; above 0 and at most 30.
            class_weights: a list, a name, or None; see :mod:`lanecli.losses.weights`.
        """
        super().__init__(task, class_weights)
        self.strength = number("strength", strength)
        self.sigma = number("sigma", sigma, 0, 30, above=True)

    def compute(self, pixels: Pixels) -> Tensor:
        reach = math.ceil(3 * self.sigma)
        squares = border_distances(pixels.labels, reach)
        extra = torch.exp(squares.to(pixels.logits.dtype) / (-2 * self.sigma**2)) * (squares <= (3 * self.sigma) ** 2)
        return weighted_mean(pixels.cross_entropy, pixels.weights(self.class_weights) * (1 + self.strength * extra))


def border_distances(labels: Tensor, reach: int) -> Tensor:
    """Compute the squared distance from each label to the nearest border.

    Args:
        labels: (..., H, W) integers; negative ones are ignored and form no border.
        reach: distance in pixels, at most 90, up to which the result is exact.

    Returns:
        Squared Euclidean distances in pixels, int16, with the shape of `labels`. Pixels farther than `reach` have some
        value above ``reach ** 2``.
    """
    border = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (-2, -1):
        first, second = _shifted_views(labels, axis, 1)
        differ = (first != second) & (first >= 0) & (second >= 0)
        for side in _shifted_views(border, axis, 1):
            side |= differ
    squares = torch.where(border, 0, reach * reach + 1).to(torch.int16)
    for axis in (-2, -1):
        along = squares.clone()
        for step in range(1, min(reach, squares.shape[axis] - 1) + 1):
            for target, source in zip(
                _shifted_views(along, axis, step), reversed(_shifted_views(squares, axis, step)), strict=True
            ):
                torch.minimum(target, source + step * step, out=target)
        squares = along
    return squares


def _shifted_views(maps: Tensor, axis: int, step: int) -> tuple[Tensor, Tensor]:
    """Return two views of `maps`, without its last and without its first `step` rows (or columns).

    Equal positions of the two views lie `step` pixels apart along the axis.
    """
    length = max(maps.shape[axis] - step, 0)
    return maps.narrow(axis, 0, length), maps.narrow(axis, min(step, maps.shape[axis]), length)
