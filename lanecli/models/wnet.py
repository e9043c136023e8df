"""W-Net: Xia & Kulis, "W-Net: A Deep Model for Fully Unsupervised Image Segmentation", arXiv 1711.08506: two U-Nets in
a chain, trained with labels as Galdran et al., "The Little W-Net That Could", arXiv 2009.01907: the second net sees the
picture and the first one's logits, and corrects them.

Unlike the papers: both nets are the original U-Net with batch norm, with plain instead of depthwise separable
convolutions; and the unsupervised reconstruction and normalised-cut losses are not part of it. As Galdran et al.
train it (github.com/agaldran/lwnet), the first net's logits have a loss of their own, with weight 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lanecli.models.architecture import Architecture
from lanecli.models.building import refuse_encoder, refuse_unknown
from lanecli.models.unet_classic import UNet


class WNet(Architecture):
    """A U-Net, and a second one on the picture and the first one's logits."""

    stride = 16
    feature_stride = 1

    def __init__(self, classes: int, width: float = 1.0, dropout: float = 0.5, auxiliary: bool = True) -> None:
        """Args: width: of both nets; dropout: of both bottlenecks; auxiliary: the first net has a loss of its own."""
        super().__init__()
        self.first = UNet(classes, width, dropout)
        self.second = UNet(classes, width, dropout, inputs=3 + classes)
        self.feature_channels = self.second.feature_channels
        self.auxiliary_weight = 1.0 if auxiliary else 0.0

    def describe(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(N, 3, H, W) to the second net's features, at full size, and the first one's logits."""
        first = self.first(pictures)["logits"]
        features, _ = self.second.describe(torch.cat([pictures, first], 1))
        return features, [first]

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """The second net's logits."""
        return self.second.classify(features, maps, size)

    def auxiliary_logits(self, maps: list[torch.Tensor], size: torch.Size) -> list[torch.Tensor]:
        """The first net's logits."""
        return maps

    def encoders(self) -> list[nn.Module]:
        """Contracting path and bottleneck of either net."""
        return [*self.first.encoders(), *self.second.encoders()]

    def blocks(self) -> list[nn.Module]:
        """Every level of both nets."""
        return [*self.first.blocks(), *self.second.blocks()]


def wnet(*, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any) -> WNet:
    """Build W-Net. Arguments: ``width`` (1.0), ``dropout`` (0.5), ``auxiliary`` (true).

    Raises:
        InputError: an encoder (it has its own) or an unknown argument.
    """
    refuse_encoder("wnet", encoder, encoder_weights)
    refuse_unknown("wnet", arguments, ("width", "dropout", "auxiliary"))
    return WNet(classes, **arguments)
