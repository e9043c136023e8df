"""Cross-entropy, and its variants that weight the classes."""

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
    """-log p of the true class, computed from logits. Log-probabilities are logits too: softmax does not change them.

    In multilabel and binary mode it is -log p of the true answer, yes or no, to each class.
    """

    def __init__(self, task: Task, *, reduction: str = "mean") -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            reduction: ``"mean"`` over the labels that count, or their ``"sum"``.
        """
        super().__init__(task)
        self.reduction = choice("reduction", reduction, ("mean", "sum"))

    def compute(self, pixels: Pixels) -> Tensor:
        if self.reduction == "sum":
            return pixels.cross_entropy.sum()
        return weighted_mean(pixels.cross_entropy, pixels.mask)


class ClassWeightedLoss(Loss):
    """A loss that is a mean over labels in which each label has the weight of its class."""

    class_weights: Tensor | None

    def __init__(self, task: Task, class_weights: Any = None) -> None:
        """Resolve the class weights.

        Args:
            task: see :class:`Task`.
            class_weights: a list, a name, or None; see :mod:`lanecli.losses.weights`.
        """
        super().__init__(task)
        self.register_buffer("class_weights", resolve_weights(class_weights, task), persistent=False)


class CrossEntropy(ClassWeightedLoss):
    """Softmax cross-entropy, or sigmoid cross-entropy where labels overlap: the sum of w_y l over the sum of w_y.

    With label smoothing s the target is (1 - s) on the true class plus s / C on every class (Szegedy et al. 2016); the
    share of each class is multiplied by its weight, as in torch. For a yes or no the target is 1 - s / 2 and s / 2.
    In multilabel mode the weight of a class applies to its channel; in binary mode the two weights are those of 0 and
    1.
    """

    def __init__(self, task: Task, *, class_weights: Any = None, label_smoothing: float = 0.0) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            class_weights: see :class:`ClassWeightedLoss`.
            label_smoothing: at least 0 and below 1.
        """
        super().__init__(task, class_weights)
        self.label_smoothing = number("label_smoothing", label_smoothing, 0, 0.999)

    def compute(self, pixels: Pixels) -> Tensor:
        weights = pixels.weights(self.class_weights)
        if not self.label_smoothing:
            return weighted_mean(pixels.cross_entropy, weights)
        on_truth = (pixels.cross_entropy * weights).sum()
        uniform = _uniform_cross_entropy(pixels, self.class_weights, weights)
        total = weights.sum()
        # Where every label weighs 0, the uniform part may be above 0: dividing by infinity makes the loss 0
        total = torch.where(total > 0, total, math.inf)
        return ((1 - self.label_smoothing) * on_truth + self.label_smoothing * uniform) / total


def _uniform_cross_entropy(pixels: Pixels, class_weights: Tensor | None, weights: Tensor) -> Tensor:
    """Return the sum over labels of the cross-entropy with a target that is uniform over the classes."""
    if not pixels.softmax:
        both = F.logsigmoid(pixels.logits) + F.logsigmoid(-pixels.logits)
        return (both / -2 * weights).sum()
    losses = -pixels.log_probabilities
    if class_weights is not None:
        losses = losses * class_weights.to(losses).view(1, -1, 1, 1)
    return (losses.mean(1) * pixels.mask).sum()


class BinaryCrossEntropy(CrossEntropy):
    """Sigmoid cross-entropy. In multiclass mode each class is set against the rest, and its weight applies to it."""

    def compute(self, pixels: Pixels) -> Tensor:
        return super().compute(pixels.one_vs_rest())


class WeightedCrossEntropy(Loss):
    """Mean of -(beta y log p + (1 - y) log(1 - p)) (Jadon 2020): beta above 1 gains recall at the cost of precision.

    In multiclass mode every class but the background has weight beta. The sum is divided by the number of labels, not
    by the sum of weights, so that beta 1 gives cross-entropy. The default of 10 is about the square root of the ratio
    of background to lane pixels.
    """

    def __init__(self, task: Task, *, beta: float = 10.0) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`; in multiclass mode it needs a background.
            beta: weight of the foreground, above 0.
        """
        super().__init__(task)
        require_background("beta", task)
        self.beta = number("beta", beta, above=True)

    def compute(self, pixels: Pixels) -> Tensor:
        return weighted_mean(pixels.cross_entropy * (1 + (self.beta - 1) * pixels.foreground), pixels.mask)


class BalancedCrossEntropy(Loss):
    """Mean of -(beta y log p + (1 - beta)(1 - y) log(1 - p)).

    By default beta is the share of background labels in the batch (of each class in multilabel mode), so that
    foreground and background have the same total weight (Xie and Tu 2015, who do so per picture); the loss of a batch
    without foreground is then 0.
    """

    def __init__(self, task: Task, *, beta: float | None = None) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`; in multiclass mode it needs a background.
            beta: weight of the foreground, 0 to 1; None takes the background's share of the batch.
        """
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
        return weighted_mean(pixels.cross_entropy * (pixels.foreground * beta + background * (1 - beta)), pixels.mask)
