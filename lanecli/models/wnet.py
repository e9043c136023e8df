"""W-Net: Xia & Kulis, "W-Net: A Deep Model for Fully Unsupervised Image Segmentation", arXiv 1711.08506: two U-Nets in
a chain, trained with labels as in Galdran et al., "The Little W-Net That Could", arXiv 2009.01907: the second network
sees the picture and the logits of the first one, and corrects them.

Unlike the papers: both networks are the original U-Net with batch norm, with plain instead of depthwise separable
convolutions, and there are no unsupervised reconstruction and normalised-cut losses. As in the training of Galdran et
al. (github.com/agaldran/lwnet), the logits of the first network have a loss of their own, with weight 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lanecli.models.architecture import Architecture
from lanecli.models.building import refuse_encoder, refuse_unknown
from lanecli.models.unet_classic import UNet


class WNet(Architecture):
    """A U-Net, and a second one that takes the picture and the logits of the first one."""

    stride = 16
    feature_stride = 1

    def __init__(self, classes: int, width: float = 1.0, dropout: float = 0.5, auxiliary: bool = True) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            width: factor of all channel numbers of both networks.
            dropout: dropout rate after both bottlenecks.
            auxiliary: whether the first network has a loss of its own.
        """
        super().__init__()
        self.first = UNet(classes, width, dropout)
        self.second = UNet(classes, width, dropout, inputs=3 + classes)
        self.feature_channels = self.second.feature_channels
        self.auxiliary_weight = 1.0 if auxiliary else 0.0

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the features of the second network, at full size, and the logits of the first one."""
        first = self.first(pictures)["logits"]
        features, _ = self.second.extract_features(torch.cat([pictures, first], 1))
        return features, [first]

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute the logits of the second network."""
        return self.second.classify(features, maps, size)

    def auxiliary_logits(self, maps: list[torch.Tensor], size: torch.Size) -> list[torch.Tensor]:
        """Return the logits of the first network."""
        return maps

    def encoders(self) -> list[nn.Module]:
        """Return the contracting path and the bottleneck of both networks."""
        return [*self.first.encoders(), *self.second.encoders()]

    def blocks(self) -> list[nn.Module]:
        """Return every level of both networks."""
        return [*self.first.blocks(), *self.second.blocks()]


def wnet(*, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any) -> WNet:
    """Build W-Net. Arguments: ``width`` (1.0), ``dropout`` (0.5), ``auxiliary`` (true).

    Raises:
        InputError: an encoder is given (the model has its own), or an argument is unknown.
    """
    refuse_encoder("wnet", encoder, encoder_weights)
    refuse_unknown("wnet", arguments, ("width", "dropout", "auxiliary"))
    return WNet(classes, **arguments)
