"""Losses on the overlap of regions: Dice, Jaccard, Tversky and focal Tversky.

All share what is averaged. Sums run over the pixels of the whole batch (of each picture with `per_image`), then the
losses of the classes are averaged: by default of the foreground classes, since a background of 98 % has a Dice near 1
whatever is predicted and would only halve the lane's gradient. A class without a pixel in the target is left out of
the mean (`absent` ``"skip"``), as its ratio is 0 whatever is predicted; with ``"count"`` and `smooth` above 0 it
counts, and every pixel given to it costs. Where no class is left, the loss and its gradient are 0. In binary and
multilabel mode every channel is a foreground class. Ignored pixels are in no sum.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lanecli.errors import InputError
from lanecli.losses.arguments import channels, choice, flag, number
from lanecli.losses.base import Loss
from lanecli.losses.pixels import Pixels, Task, pick, weighted_mean
from lanecli.losses.weights import resolve_weights


class RegionLoss(Loss):
    """A mean over classes of a loss of each class's region. Subclasses say what a region loses."""

    class_weights: Tensor | None

    def __init__(
        self, task: Task, *, classes: Any = "foreground", per_image: bool = False, class_weights: Any = None
    ) -> None:
        """Make the mean.

        Args:
            task: see :class:`Task`.
            classes: ``"foreground"``, ``"all"``, or a list of class ids: what the mean is over.
            per_image: sum over each picture and average over pictures and classes, instead of over the batch.
            class_weights: weights of the classes in the mean: a list of one per class, or a name.
        """
        super().__init__(task)
        self.channels = channels(classes, task)
        self.per_image = flag("per_image", per_image)
        if class_weights is not None and task.mode == "binary":
            raise InputError("class_weights in binary mode: there is one region, and its weight is the term's")
        weights = resolve_weights(class_weights, task)
        if weights is not None:
            weights = weights[list(self.channels)]
            if not weights.any():
                raise InputError("class_weights are 0 for every class in the mean")
        self.register_buffer("class_weights", weights, persistent=False)

    def regions(self, pixels: Pixels) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities, members (0 and 1) and mask of the classes in the mean, each (R, K, pixels), ignored ones 0.

        R is 1 over the batch, or the number of pictures.
        """
        mask = pixels.channel_mask if pixels.softmax else pick(pixels.channel_mask, self.channels)
        given = pick(pixels.probabilities, self.channels) * mask
        return self._flat(given), self._flat(pixels.members(self.channels)), self._flat(mask)

    def _flat(self, maps: Tensor) -> Tensor:
        flat = maps.flatten(2)
        return flat if self.per_image else flat.transpose(0, 1).flatten(1).unsqueeze(0)

    def average(self, losses: Tensor, counted: Tensor) -> Tensor:
        """Mean of (R, K) losses over those that count, times the class weights."""
        weights = counted.to(losses.dtype)
        if self.class_weights is not None:
            weights = weights * self.class_weights.to(losses)
        return weighted_mean(losses, weights)


class OverlapLoss(RegionLoss):
    """1 - (intersection + smooth) / (size + smooth), with sizes by the subclass."""

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
        """Make the loss.

        Args:
            task: see :class:`Task`.
            smooth: added to numerator and denominator, in pixels, from 0.
            classes: ``"foreground"``, ``"all"``, or a list of class ids: what the mean is over.
            per_image: sum over each picture and average over pictures and classes, instead of over the batch.
            absent: ``"skip"`` leaves classes without a pixel in the target out of the mean, ``"count"`` does not.
            class_weights: weights of the classes in the mean: a list of one per class, or a name.
        """
        super().__init__(task, classes=classes, per_image=per_image, class_weights=class_weights)
        self.smooth = number("smooth", smooth)
        self.absent = choice("absent", absent, ("skip", "count"))
        if self.absent == "count" and not self.smooth:
            raise InputError("absent 'count' needs smooth above 0: without, an absent class has no gradient")

    def parts(self, shared: Tensor, given: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        """Numerator and denominator without `smooth`, from (R, K) sum of p t and (R, K, pixels) p and t."""
        raise NotImplementedError

    def shape(self, losses: Tensor) -> Tensor:
        """What becomes of each class's loss before the mean."""
        return losses

    def compute(self, pixels: Pixels) -> Tensor:
        given, members, _ = self.regions(pixels)
        shared = (given * members).sum(-1)
        above, below = self.parts(shared, given, members)
        losses = 1 - (above + self.smooth) / (below + self.smooth).clamp_min(1e-7)
        present = members.sum(-1) > 0
        return self.average(self.shape(losses), present if self.absent == "skip" else torch.ones_like(present))


class Dice(OverlapLoss):
    """1 - (2 sum p t + smooth) / (sum p + sum t + smooth) (Drozdzal et al. 2016)."""

    def parts(self, shared: Tensor, given: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * shared, given.sum(-1) + members.sum(-1)


class DiceSquared(OverlapLoss):
    """1 - (2 sum p t + smooth) / (sum p^2 + sum t^2 + smooth) (Milletari et al. 2016)."""

    def parts(self, shared: Tensor, given: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * shared, (given * given).sum(-1) + members.sum(-1)


class Jaccard(OverlapLoss):
    """1 - (sum p t + smooth) / (sum p + sum t - sum p t + smooth) (Rahman and Wang 2016)."""

    def parts(self, shared: Tensor, given: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        return shared, given.sum(-1) + members.sum(-1) - shared


class Tversky(OverlapLoss):
    """1 - TP / (TP + alpha FP + beta FN) with soft counts, `smooth` in both (Salehi et al. 2017).

    The one of alpha and beta that is not given is 1 minus the other; with neither beta is 0.7, so that a missed lane
    pixel costs more than a false one. Both 1/2 is Dice (with half its smooth), both 1 Jaccard.
    """

    def __init__(self, task: Task, *, alpha: float | None = None, beta: float | None = None, **options: Any) -> None:
        """Args: task, options: see :class:`OverlapLoss`. alpha, beta: weight of false positives and negatives."""
        super().__init__(task, **options)
        if beta is None:
            beta = 0.7 if alpha is None else 1 - number("alpha without beta", alpha, 0, 1)
        elif alpha is None:
            alpha = 1 - number("beta without alpha", beta, 0, 1)
        self.beta = number("beta", beta)
        self.alpha = number("alpha", 1 - self.beta if alpha is None else alpha)
        if not self.alpha and not self.beta:
            raise InputError("alpha and beta are both 0: nothing would cost")

    def parts(self, shared: Tensor, given: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
        false_positive, false_negative = given.sum(-1) - shared, members.sum(-1) - shared
        return shared, shared + self.alpha * false_positive + self.beta * false_negative


class FocalTversky(Tversky):
    """Tversky loss of each class to the power 1 / gamma, before the mean (Abraham and Khan 2019).

    gamma above 1 keeps the gradient up for small regions that are nearly right; the paper's best is 4/3.
    """

    def __init__(self, task: Task, *, gamma: float = 4 / 3, **options: Any) -> None:
        """Args: task, options: see :class:`Tversky`. gamma: above 0."""
        super().__init__(task, **options)
        self.gamma = number("gamma", gamma, above=True)

    def shape(self, losses: Tensor) -> Tensor:
        # A straight line from 0 to the first 1e-7: the power's slope is infinite at 0 for gamma above 1
        start, power = 1e-7, 1 / self.gamma
        line = losses.clamp_min(0) * start ** (power - 1)
        return torch.where(losses > start, losses.clamp_min(start) ** power, line)
