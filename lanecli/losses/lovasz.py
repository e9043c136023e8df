"""The Lovasz-Softmax loss."""

from __future__ import annotations

import torch
from torch import Tensor

from lanecli.losses.overlap import RegionLoss
from lanecli.losses.pixels import Pixels


class Lovasz(RegionLoss):
    """The Lovasz extension of the Jaccard loss, evaluated at the errors |t - p| of each class (Berman et al. 2018).

    The errors are sorted over the pixels of the batch (or of each picture), and the mean is over the classes present in
    the target, by default the foreground ones. In binary and multilabel mode p comes from a sigmoid, where the paper's
    binary case uses a hinge.
    """

    def compute(self, pixels: Pixels) -> Tensor:
        probabilities, truth, _ = self.regions(pixels)
        # Ignored pixels have error 0: they come last and add nothing
        errors = (truth - probabilities).abs()
        sizes = truth.sum(-1)
        losses = [
            (row * lovasz_gradient(row.detach(), truth_row)).sum() if size else row.sum() * 0
            for row, truth_row, size in zip(
                errors.flatten(0, 1), truth.flatten(0, 1), sizes.flatten().tolist(), strict=True
            )
        ]
        return self.average(torch.stack(losses).view_as(sizes), sizes > 0)


def lovasz_gradient(errors: Tensor, truth: Tensor) -> Tensor:
    """Compute the gradient of the Lovasz extension: by how much each pixel raises the Jaccard loss when it turns wrong.

    Pixels turn wrong in descending order of their error; among equal errors, pixels of the class come first.

    Args:
        errors: (P,) in 0..1, without gradient.
        truth: (P,) of 0 and 1, at least one of them 1.

    Returns:
        (P,), in the type of `errors`.
    """
    # The bits of non-negative floats have the order of the floats, and integers are sorted by radix: 5x faster on a CPU
    bits = errors.view(torch.int64 if errors.dtype == torch.float64 else torch.int32)
    keys, order = (-(2 * bits + truth.to(bits.dtype))).sort()
    member = (-keys).bitwise_and(1)
    inside = member.cumsum(0, dtype=torch.int64)
    size = inside[-1]
    joined = torch.arange(1, len(keys) + 1, device=keys.device)
    # Exact differences: a pixel outside the class enlarges the union, a pixel of the class shrinks the intersection
    union = (size + joined - inside).to(errors.dtype)
    shared = (size - inside).to(errors.dtype)
    rise = torch.where(member == 1, 1 / union, shared / (union * (union - 1).clamp_min(1)))
    return torch.empty_like(errors).scatter_(0, order, rise)
