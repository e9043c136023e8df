"""SegNet: Badrinarayanan, Kendall & Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation", IEEE TPAMI 39(12), 2017, arXiv 1511.00561: the thirteen convolutions of VGG16 without its fully connected
layers, and thirteen more that densify the maps unpooled at the pooling indices of the encoder.

The last convolution of the decoder gives the logits. Dropout, if it is set, follows Bayesian SegNet (Kendall et al.,
arXiv 1511.02680): it comes after the three deepest stages of encoder and decoder.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.models.architecture import Architecture
from lanecli.models.vgg import VGG16, build_vgg16, initialise

_DEEP = 3  # stages with dropout on either side


class SegNet(Architecture):
    """The convolutions of VGG16 with batch norm, and their mirror image on unpooled maps."""

    stride = 32
    pools_by_index = True
    feature_stride = 1

    def __init__(self, classes: int, encoder: VGG16, dropout: float = 0.0) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            encoder: VGG16 with batch norm.
            dropout: dropout rate after each of the six central stages (0.5 in Bayesian SegNet).
        """
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.decoder = nn.ModuleList()
        below = [encoder.channels[0], *encoder.channels[:-1]]
        for channels, next_channels, count in reversed(
            list(zip(encoder.channels, below, (1, 2, 3, 3, 3), strict=True))
        ):
            layers: list[nn.Module] = []
            for inputs, outputs in pairwise([channels] * count + [next_channels]):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            self.decoder.append(nn.Sequential(*layers))
        self.feature_channels = below[0]
        self.classifier = nn.Conv2d(below[0], classes, 3, padding=1)
        initialise(self.decoder)
        initialise(self.classifier)

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the last map of the decoder, at full size."""
        features, indices = pictures, []
        for number in range(5):
            features, places = F.max_pool2d(self.encoder.stage(number, features), 2, return_indices=True)
            indices.append(places)
            if number >= 5 - _DEEP:
                features = self.dropout(features)
        for number, (stage, places) in enumerate(zip(self.decoder, reversed(indices), strict=True)):
            features = stage(F.max_unpool2d(features, places, [2, 2]))
            if number < _DEEP:
                features = self.dropout(features)
        return features, []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Apply the last convolution of the decoder."""
        return self.classifier(features)


def segnet(*, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any) -> SegNet:
    """Build SegNet. Encoder: ``vgg16_bn``. Arguments: ``width`` (1.0), ``dropout`` (0.0; 0.5 for Bayesian SegNet).

    Raises:
        InputError: the encoder is another one, its weights are not available, or an argument is unknown.
    """
    vgg = build_vgg16("segnet", encoder, encoder_weights, arguments, allowed=("vgg16_bn",))
    return SegNet(classes, vgg, arguments.get("dropout", 0.0))
