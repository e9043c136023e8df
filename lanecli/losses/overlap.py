"""Losses on the overlap of regions: Dice, Jaccard, Tversky and focal Tversky.

All of them average in the same way. Sums run over the pixels of the whole batch (of each picture with `per_image`);
then the mean is taken over the classes. By default these are the foreground classes, since a background of 98 % has a
Dice near 1 for any prediction and would only halve the gradient of the lane. A class without a pixel in the target is
left out of the mean (`absent` ``"skip"``), because its ratio is 0 for any prediction; with ``"count"`` and `smooth`
above 0 it counts, and every pixel predicted as that class raises the loss. Where no class remains, the loss and its
gradient are 0. In binary and multilabel mode every channel is a foreground class. Ignored pixels are in no sum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lanecli.errors import InputError
from lanecli.losses.arguments import channels, choice, flag, number
from lanecli.losses.base import Loss
from lanecli.losses.pixels import Pixels, Task, select_channels, weighted_mean
from lanecli.losses.weights import resolve_weights


class RegionLoss(Loss):
    """A mean over classes of a loss of the region that each class covers. Subclasses define the loss of a region."""

    class_weights: Tensor | None

    def __init__(
        self, task: Task, *, classes: Any = "foreground", per_image: bool = False, class_weights: Any = None
    ) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            classes: the classes in the mean: ``"foreground"``, ``"all"``, or a list of class ids.
            per_image: sum over each picture and average over pictures and classes, instead of summing over the batch.
            class_weights: weights of the classes in the mean: a list with one per class, or a name.
        """
        super().__init__(task)
        self.channels = channels(classes, task)
        self.per_image = flag("per_image", per_image)
        if class_weights is not None and task.mode == "binary":
            raise InputError(
                "class_weights in binary mode: there is one region; set the weight of the loss term instead"
            )
        weights = resolve_weights(class_weights, task)
        if weights is not None:
            weights = weights[list(self.channels)]
            if not weights.any():
                raise InputError("class_weights are 0 for every class in the mean")
        self.register_buffer("class_weights", weights, persistent=False)

    def regions(self, pixels: Pixels) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities, truth (0 and 1) and mask of the classes in the mean, all 0 where a pixel is ignored.

        Each is (R, K, pixels) for K classes; R is 1 where sums run over the batch, else the number of pictures.
        """
        mask = pixels.channel_mask if pixels.softmax else select_channels(pixels.channel_mask, self.channels)
        probabilities = select_channels(pixels.probabilities, self.channels) * mask
        return self._flat(probabilities), self._flat(pixels.one_hot(self.channels)), self._flat(mask)

    def _flat(self, maps: Tensor) -> Tensor:
        flat = maps.flatten(2)
        return flat if self.per_image else flat.transpose(0, 1).flatten(1).unsqueeze(0)

    def average(self, losses: Tensor, counted: Tensor) -> Tensor:
        """Average (R, K) losses over those marked in `counted`, with the class weights."""
        weights = counted.to(losses.dtype)
        if self.class_weights is not None:
            weights = weights * self.class_weights.to(losses)
        return weighted_mean(losses, weights)


class OverlapLoss(RegionLoss):
    """1 - (numerator + smooth) / (denominator + smooth); subclasses define both."""

    def __init__(
        self,
        task: Task,
        *,
        smooth: float = 0.0,
        classes: Any = "foreground",
        per_image: bool = False,
        absent: str = "skip",
        class_weights: Any = None,
    ) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            smooth: added to numerator and denominator, in pixels, at least 0.
            classes: the classes in the mean: ``"foreground"``, ``"all"``, or a list of class ids.
            per_image: sum over each picture and average over pictures and classes, instead of summing over the batch.
            absent: ``"skip"`` leaves classes without a pixel in the target out of the mean, ``"count"`` includes them.
            class_weights: weights of the classes in the mean: a list with one per class, or a name.
        """
        super().__init__(task, classes=classes, per_image=per_image, class_weights=class_weights)
        self.smooth = number("smooth", smooth)
        self.absent = choice("absent", absent, ("skip", "count"))
        if self.absent == "count" and not self.smooth:
            raise InputError("absent 'count' needs smooth above 0: without it an absent class has no gradient")

    def ratio(self, intersection: Tensor, probabilities: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Return numerator and denominator, both (R, K) and without `smooth`.

        Args:
            intersection: (R, K), the sum of p t.
            probabilities: (R, K, pixels), p.
            truth: (R, K, pixels), t.
        """
        raise NotImplementedError

    def transform(self, losses: Tensor) -> Tensor:
        """Transform the loss of each class before the mean."""
        return losses

    def compute(self, pixels: Pixels) -> Tensor:
        probabilities, truth, _ = self.regions(pixels)
        intersection = (probabilities * truth).sum(-1)
        numerator, denominator = self.ratio(intersection, probabilities, truth)
        losses = 1 - (numerator + self.smooth) / (denominator + self.smooth).clamp_min(1e-7)
        present = truth.sum(-1) > 0
        return self.average(self.transform(losses), present if self.absent == "skip" else torch.ones_like(present))


class Dice(OverlapLoss):
    """1 - (2 sum p t + smooth) / (sum p + sum t + smooth) (Drozdzal et al. 2016)."""

    def ratio(self, intersection: Tensor, probabilities: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * intersection, probabilities.sum(-1) + truth.sum(-1)


class DiceSquared(OverlapLoss):
    """1 - (2 sum p t + smooth) / (sum p^2 + sum t^2 + smooth) (Milletari et al. 2016)."""

    def ratio(self, intersection: Tensor, probabilities: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * intersection, (probabilities * probabilities).sum(-1) + truth.sum(-1)


class Jaccard(OverlapLoss):
    """1 - (sum p t + smooth) / (sum p + sum t - sum p t + smooth) (Rahman and Wang 2016)."""

    def ratio(self, intersection: Tensor, probabilities: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        return intersection, probabilities.sum(-1) + truth.sum(-1) - intersection


class Tversky(OverlapLoss):
    """1 - TP / (TP + alpha FP + beta FN) with soft counts, `smooth` in both (Salehi et al. 2017).

    If only one of alpha and beta is given, the other is 1 minus it. Without either, beta is 0.7, so that a missed lane
    pixel costs more than a false one. With both 1/2 this is Dice (with half its smooth), with both 1 it is Jaccard.
    """

    def __init__(self, task: Task, *, alpha: float | None = None, beta: float | None = None, **options: Any) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            alpha: weight of false positives, at least 0.
            beta: weight of false negatives, at least 0.
            options: see :class:`OverlapLoss`.
        """
        super().__init__(task, **options)
        if beta is None:
            beta = 0.7 if alpha is None else 1 - number("alpha without beta", alpha, 0, 1)
        elif alpha is None:
            alpha = 1 - number("beta without alpha", beta, 0, 1)
        self.beta = number("beta", beta)
        self.alpha = number("alpha", 1 - self.beta if alpha is None else alpha)
        if not self.alpha and not self.beta:
            raise InputError("alpha and beta are both 0: no mistake would cost anything")

    def ratio(self, intersection: Tensor, probabilities: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        false_positive, false_negative = probabilities.sum(-1) - intersection, truth.sum(-1) - intersection
        return intersection, intersection + self.alpha * false_positive + self.beta * false_negative


class FocalTversky(Tversky):
    """The Tversky loss of each class to the power 1 / gamma, before the mean (Abraham and Khan 2019).

    A gamma above 1 keeps the gradient large for small regions that are nearly right; 4/3 is the best in the paper.
    """

    def __init__(self, task: Task, *, gamma: float = 4 / 3, **options: Any) -> None:
        """Check and keep the arguments.

        Args:
            task: see :class:`Task`.
            gamma: above 0.
            options: see :class:`Tversky`.
        """
        super().__init__(task, **options)
        self.gamma = number("gamma", gamma, above=True)

    def transform(self, losses: Tensor) -> Tensor:
        # Below 1e-7 a straight line stands in: for gamma above 1 the slope of the power is infinite at 0
        start, power = 1e-7, 1 / self.gamma
        line = losses.clamp_min(0) * start ** (power - 1)
        return torch.where(losses > start, losses.clamp_min(start) ** power, line)
