"""Cross-entropy and its siblings that weigh classes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lanecli.losses.arguments import choice, number, require_background
from lanecli.losses.base import Loss
from lanecli.losses.pixels import Pixels, Task, weighted_mean
from lanecli.losses.weights import resolve_weights


class NegativeLogLikelihood(Loss):
    """-log p of the right class, for logits (log-probabilities are logits too: softmax leaves them as they are).

    In multilabel and binary mode that of each class's yes or no. `reduction` ``"mean"`` is over the labels that
    count, ``"sum"`` their total.
    """

    def __init__(self, task: Task, *, reduction: str = "mean") -> None:
        """Args: task: see :class:`Task`. reduction: ``"mean"`` or ``"sum"``."""
        super().__init__(task)
        self.reduction = choice("reduction", reduction, ("mean", "sum"))

    def compute(self, pixels: Pixels) -> Tensor:
        if self.reduction == "sum":
            return pixels.entropy.sum()
        return weighted_mean(pixels.entropy, pixels.mask)


class WeighedLoss(Loss):
    """A loss that is a mean over labels, each with the weight of its class."""

    class_weights: Tensor | None

    def __init__(self, task: Task, class_weights: Any = None) -> None:
        """Args: task: see :class:`Task`. class_weights: a list, a name, or None; see :mod:`lanecli.losses.weights`."""
        super().__init__(task)
        self.register_buffer("class_weights", resolve_weights(class_weights, task), persistent=False)


class CrossEntropy(WeighedLoss):
    """Softmax cross-entropy, or the sigmoid one where labels overlap: sum of w_y l over the sum of w_y.

    With label smoothing s the target is (1 - s) on the right class plus s / C on every class (Szegedy et al. 2016),
    each class's share times its weight, as torch has it; for a yes or no, 1 - s / 2 against s / 2.
    In multilabel mode a class's weight is its channel's, in binary mode the weights are those of 0 and 1.
    """

    def __init__(self, task: Task, *, class_weights: Any = None, label_smoothing: float = 0.0) -> None:
        """Args: task, class_weights: see :class:`WeighedLoss`. label_smoothing: 0 to below 1."""
        super().__init__(task, class_weights)
        self.label_smoothing = number("label_smoothing", label_smoothing, 0, 0.999)

    def compute(self, pixels: Pixels) -> Tensor:
        weights = pixels.weights(self.class_weights)
        if not self.label_smoothing:
            return weighted_mean(pixels.entropy, weights)
        sharp, even = (pixels.entropy * weights).sum(), _even(pixels, self.class_weights, weights)
        total = weights.sum()
        # Where every label here weighs 0, the even part may not: over infinity it is 0 too
        total = torch.where(total > 0, total, math.inf)
        return ((1 - self.label_smoothing) * sharp + self.label_smoothing * even) / total


def _even(pixels: Pixels, class_weights: Tensor | None, weights: Tensor) -> Tensor:
    """Sum over labels of the entropy against a target that is even over the classes."""
    if not pixels.softmax:
        both = F.logsigmoid(pixels.logits) + F.logsigmoid(-pixels.logits)
        return (both / -2 * weights).sum()
    surprise = -pixels.log_probabilities
    if class_weights is not None:
        surprise = surprise * class_weights.to(surprise).view(1, -1, 1, 1)
    return (surprise.mean(1) * pixels.mask).sum()


class BinaryCrossEntropy(CrossEntropy):
    """Sigmoid cross-entropy; in multiclass mode of each class against the rest, a class's weight on its channel."""

    def compute(self, pixels: Pixels) -> Tensor:
        return super().compute(pixels.one_vs_rest())


class WeightedCrossEntropy(Loss):
    """Mean of -(beta y log p + (1 - y) log(1 - p)) (Jadon 2020): beta above 1 buys recall with precision.

    In multiclass mode every class but the background weighs beta. The mean is over labels, not over weights, so that
    beta 1 is cross-entropy. The default of 10 is about the square root of background over lane pixels.
    """

    def __init__(self, task: Task, *, beta: float = 10.0) -> None:
        """Args: task: see :class:`Task`; multiclass needs a background. beta: weight of the foreground, above 0."""
        super().__init__(task)
        require_background("beta", task)
        self.beta = number("beta", beta, above=True)

    def compute(self, pixels: Pixels) -> Tensor:
        return weighted_mean(pixels.entropy * (1 + (self.beta - 1) * pixels.foreground), pixels.mask)


class BalancedCrossEntropy(Loss):
    """Mean of -(beta y log p + (1 - beta)(1 - y) log(1 - p)).

    Without `beta` it is the share of background labels in the batch (per class in multilabel mode), so that both
    sides weigh the same (Xie and Tu 2015, there per picture); a batch without foreground then costs nothing.
    """

    def __init__(self, task: Task, *, beta: float | None = None) -> None:
        """Args: task: see :class:`Task`; multiclass needs a background. beta: 0 to 1, or None."""
        super().__init__(task)
        require_background("beta", task)
        self.beta = None if beta is None else number("beta", beta, 0, 1)

    def compute(self, pixels: Pixels) -> Tensor:
        background = 1 - pixels.foreground
        beta: Tensor | float
        if self.beta is None:
            axes = (0, 1, 2) if pixels.softmax else (0, 2, 3)
            count = pixels.mask.sum(axes, keepdim=True).clamp_min(1)
            beta = (background * pixels.mask).sum(axes, keepdim=True) / count
        else:
            beta = self.beta
        return weighted_mean(pixels.entropy * (pixels.foreground * beta + background * (1 - beta)), pixels.mask)
