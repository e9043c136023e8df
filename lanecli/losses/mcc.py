"""Matthews correlation coefficient."""

from __future__ import annotations

from torch import Tensor

from lanecli.losses.overlap import RegionLoss
from lanecli.losses.pixels import Pixels


class Mcc(RegionLoss):
    """1 - (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)) with soft counts of each class against the rest.

    From 0 to 2; 1 is chance (Abhishek and Hamarneh 2021). Averaged over the classes that the target has pixels both
    in and outside of, by default foreground ones: for others the coefficient is not defined.
    """

    def compute(self, pixels: Pixels) -> Tensor:
        given, members, mask = self.regions(pixels)
        missed, others = mask - given, mask - members
        count = mask.sum(-1).clamp_min(1)
        true_positive, false_positive = (given * members).sum(-1) / count, (given * others).sum(-1) / count
        false_negative, true_negative = (missed * members).sum(-1) / count, (missed * others).sum(-1) / count
        size, rest = true_positive + false_negative, true_negative + false_positive
        spread = (true_positive + false_positive) * (true_negative + false_negative) * size * rest
        # Where nothing or everything is given to the class, both sides are 0 and the root's slope infinite
        correlation = (true_positive * true_negative - false_positive * false_negative) / spread.clamp_min(1e-24).sqrt()
        return self.average(1 - correlation, (members.sum(-1) > 0) & (others.sum(-1) > 0))
