"""DeconvNet: Noh, Hong & Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015,
arXiv 1505.04366, table 2: VGG16 with its fully connected layers as convolutions, and its mirror image, which unpools at
stored indices and uses transposed convolutions. Batch normalisation follows every layer.

Unlike the paper: fc6 and its mirror pad by 3, so that their map stays 1/32 of any picture (in the paper the 7x7 map of
a 224x224 picture shrinks to 1x1); training uses whole pictures instead of object proposals; and dropout, which the
paper does not have, is possible after fc6 and fc7.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.models.architecture import Architecture
from lanecli.models.building import scaled
from lanecli.models.vgg import VGG16, build_vgg16, initialise


def _normed(layer: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(inplace=True)]


class DeconvNet(Architecture):
    """VGG16, two wide layers, and the mirror image of VGG16."""

    stride = 32
    pools_by_index = True
    feature_stride = 1

    def __init__(self, classes: int, encoder: VGG16, width: float = 1.0, dropout: float = 0.0) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            encoder: VGG16 with batch norm, built with the same `width`.
            width: factor of all channel numbers.
            dropout: dropout rate after fc6 and fc7.
        """
        super().__init__()
        self.encoder = encoder
        hidden, top = scaled(4096, width), encoder.channels[4]
        self.bottleneck = nn.Sequential(
            *_normed(nn.Conv2d(top, hidden, 7, padding=3)),
            nn.Dropout(dropout),
            *_normed(nn.Conv2d(hidden, hidden, 1)),
            nn.Dropout(dropout),
            *_normed(nn.ConvTranspose2d(hidden, top, 7, padding=3)),
        )
        self.decoder = nn.ModuleList()
        below = [encoder.channels[0], *encoder.channels[:-1]]
        for channels, next_channels, count in reversed(
            list(zip(encoder.channels, below, (2, 2, 3, 3, 3), strict=True))
        ):
            sizes = [channels] * count + [next_channels]
            layers = [m for i, o in pairwise(sizes) for m in _normed(nn.ConvTranspose2d(i, o, 3, padding=1))]
            self.decoder.append(nn.Sequential(*layers))
        self.feature_channels = below[0]
        self.classifier = nn.Conv2d(below[0], classes, 1)
        for part in (self.bottleneck, self.decoder, self.classifier):
            initialise(part)

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the last map of the decoder, at full size."""
        features, indices = pictures, []
        for number in range(5):
            features, places = F.max_pool2d(self.encoder.stage(number, features), 2, return_indices=True)
            indices.append(places)
        features = self.bottleneck(features)
        for stage, places in zip(self.decoder, reversed(indices), strict=True):
            features = stage(F.max_unpool2d(features, places, [2, 2]))
        return features, []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute the logits of every pixel."""
        return self.classifier(features)


def deconvnet(
    *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> DeconvNet:
    """Build DeconvNet. Encoder: ``vgg16_bn``. Arguments: ``width`` (1.0), ``dropout`` (0.0).

    Raises:
        InputError: the encoder is another one, its weights are not available, or an argument is unknown.
    """
    vgg = build_vgg16("deconvnet", encoder, encoder_weights, arguments, allowed=("vgg16_bn",))
    return DeconvNet(classes, vgg, **arguments)
