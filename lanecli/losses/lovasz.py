"""Lovasz-Softmax."""

from __future__ import annotations

import torch
from torch import Tensor

from lanecli.losses.overlap import RegionLoss
from lanecli.losses.pixels import Pixels


class Lovasz(RegionLoss):
    """The Lovasz extension of the Jaccard loss at the errors |t - p| of each class (Berman et al. 2018).

    Sorted over the pixels of the batch (or of each picture), averaged over the classes present in the target, by
    default foreground ones. In binary and multilabel mode p is a sigmoid, not the hinge of the paper's binary case.
    """

    def compute(self, pixels: Pixels) -> Tensor:
        given, members, _ = self.regions(pixels)
        # Ignored pixels have error 0: they join last and cost nothing
        errors = (members - given).abs()
        sizes = members.sum(-1)
        losses = [
            (row * slope(row.detach(), is_member)).sum() if size else row.sum() * 0
            for row, is_member, size in zip(
                errors.flatten(0, 1), members.flatten(0, 1), sizes.flatten().tolist(), strict=True
            )
        ]
        return self.average(torch.stack(losses).view_as(sizes), sizes > 0)


def slope(errors: Tensor, members: Tensor) -> Tensor:
    """Gradient of the Lovasz extension: how much the Jaccard loss grows when each pixel joins the wrong ones.

    Pixels join in falling order of their error; of equal errors members first.

    Args:
        errors: (P,) 0..1, without gradient.
        members: (P,) 0 or 1; at least one is 1.

    Returns:
        (P,), of the type of `errors`.
    """
    # Bits of floats from 0 up are in the floats' order, and integers sort by radix: five times as fast on a CPU
    bits = errors.view(torch.int64 if errors.dtype == torch.float64 else torch.int32)
    keys, order = (-(2 * bits + members.to(bits.dtype))).sort()
    member = (-keys).bitwise_and(1)
    inside = member.cumsum(0, dtype=torch.int64)
    size = inside[-1]
    joined = torch.arange(1, len(keys) + 1, device=keys.device)
    # The union grows by each pixel from outside, the intersection shrinks by each member: exact differences
    union = (size + joined - inside).to(errors.dtype)
    shared = (size - inside).to(errors.dtype)
    rise = torch.where(member == 1, 1 / union, shared / (union * (union - 1).clamp_min(1)))
    return torch.empty_like(errors).scatter_(0, order, rise)
