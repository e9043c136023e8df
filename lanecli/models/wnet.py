"""W-Net: Xia & Kulis, "W-Net: A Deep Model for Fully Unsupervised Image Segmentation", arXiv 1711.08506: two U-Nets in
a chain, trained with labels as Galdran et al., "The Little W-Net That Could", arXiv 2009.01907: the second net sees the
picture and the first one's logits, and corrects them.

Unlike the papers: both nets are the original U-Net with batch norm, with plain instead of depthwise separable
convolutions; the unsupervised reconstruction and normalised-cut losses are not part of it; and the first net learns
through the second one only, without a loss of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lanecli.models.building import refuse_encoder, refuse_unknown
from lanecli.models.unet_classic import UNet


class WNet(nn.Module):
    """A U-Net, and a second one on the picture and the first one's logits."""

    stride = 16
    minimum = 0

    def __init__(self, classes: int, width: float = 1.0, dropout: float = 0.5) -> None:
        """Args: width: factor of all channels of both nets; dropout: of both bottlenecks."""
        super().__init__()
        self.first = UNet(classes, width, dropout)
        self.second = UNet(classes, width, dropout, inputs=3 + classes)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float to (N, classes, H, W) logits; H and W multiples of 16."""
        return self.second(torch.cat([pictures, self.first(pictures)], 1))


def wnet(*, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any) -> WNet:
    """Build W-Net. Arguments: ``width`` (1.0), ``dropout`` (0.5).

    Raises:
        InputError: an encoder (it has its own) or an unknown argument.
    """
    refuse_encoder("wnet", encoder, encoder_weights)
    refuse_unknown("wnet", arguments, ("width", "dropout"))
    return WNet(classes, **arguments)
