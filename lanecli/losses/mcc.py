"""A loss from the Matthews correlation coefficient."""

from __future__ import annotations

from torch import Tensor

from lanecli.losses.overlap import RegionLoss
from lanecli.losses.pixels import Pixels


class Mcc(RegionLoss):
    """1 - (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)) with soft counts of each class against the rest.

    It lies between 0 and 2, and is 1 for a guess at random (Abhishek and Hamarneh 2021). The mean is over the classes,
    by default the foreground ones, that have pixels both inside and outside them in the target: for others the
    coefficient is not defined.
    """

    def compute(self, pixels: Pixels) -> Tensor:
        probabilities, truth, mask = self.regions(pixels)
        missed, others = mask - probabilities, mask - truth
        count = mask.sum(-1).clamp_min(1)
        true_positive, false_positive = (
            (probabilities * truth).sum(-1) / count,
            (probabilities * others).sum(-1) / count,
        )
        false_negative, true_negative = (missed * truth).sum(-1) / count, (missed * others).sum(-1) / count
        size, rest = true_positive + false_negative, true_negative + false_positive
        spread = (true_positive + false_positive) * (true_negative + false_negative) * size * rest
        # With probability 0 or 1 everywhere both sides of the fraction are 0, and the slope of the root is infinite
        correlation = (true_positive * true_negative - false_positive * false_negative) / spread.clamp_min(1e-24).sqrt()
        return self.average(1 - correlation, (truth.sum(-1) > 0) & (others.sum(-1) > 0))
