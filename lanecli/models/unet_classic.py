"""U-Net: Ronneberger, Fischer & Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv 1505.04597, figure 1: four poolings, two 3x3 convolutions per level, transposed convolutions by 2, concatenated
skips, and dropout at the end of the contracting path.

Unlike the paper: batch normalisation follows every 3x3 convolution, whose biases it replaces; there are three input
channels; and by default convolutions are padded by one zero. ``cropped=true`` gives the unpadded convolutions and
cropped skips of the paper; its input is extended by mirroring, as in the overlap-tile strategy of the paper (figure 2),
so that the logits cover the whole picture.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.models.architecture import Architecture
from lanecli.models.building import refuse_encoder, refuse_unknown, scaled
from lanecli.models.vgg import initialise

_MARGIN = 94  # without padding a side of 16 k + 188 becomes 16 k + 4: 92 pixels are lost, and 2 make a multiple of 16
_SURPLUS = 2
_CROPS = (4, 16, 40, 88)  # cut from each side of a skip, the deepest first: half of 64 - 56, 136 - 104 … in figure 1


def _double(inputs: int, outputs: int, padding: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=padding, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(Architecture):
    """A contracting path, a bottleneck, and an expanding path with concatenated skips."""

    stride = 16
    feature_stride = 1

    def __init__(
        self, classes: int, width: float = 1.0, dropout: float = 0.5, cropped: bool = False, inputs: int = 3
    ) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            width: factor of all channel numbers.
            dropout: dropout rate after the bottleneck.
            cropped: whether convolutions are unpadded and skips cropped, as in the paper.
            inputs: number of input channels.
        """
        super().__init__()
        self.cropped = cropped
        self.minimum = 96 if cropped else 0  # mirroring needs a side longer than the margin
        sizes = [scaled(channels, width) for channels in (64, 128, 256, 512, 1024)]
        padding = 0 if cropped else 1
        self.contracting = nn.ModuleList(
            _double(i, o, padding) for i, o in zip([inputs, *sizes[:3]], sizes[:4], strict=True)
        )
        self.bottleneck = nn.Sequential(_double(sizes[3], sizes[4], padding), nn.Dropout(dropout))
        upwards = sizes[::-1]
        self.upsamplings = nn.ModuleList(nn.ConvTranspose2d(i, o, 2, stride=2) for i, o in pairwise(upwards))
        self.expanding = nn.ModuleList(_double(2 * o, o, padding) for o in upwards[1:])
        self.feature_channels = sizes[0]
        self.classifier = nn.Conv2d(sizes[0], classes, 1)
        initialise(self)

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, inputs, H, W) to the last map of the expanding path, at full size."""
        features = F.pad(pictures, (_MARGIN,) * 4, mode="reflect") if self.cropped else pictures
        skips = []
        for level in self.contracting:
            features = level(features)
            skips.append(features)
            features = F.max_pool2d(features, 2)
        features = self.bottleneck(features)
        for crop, skip, upsampling, level in zip(
            _CROPS, reversed(skips), self.upsamplings, self.expanding, strict=True
        ):
            if self.cropped:
                skip = skip[..., crop:-crop, crop:-crop]
            features = level(torch.cat([skip, upsampling(features)], 1))
        return features[..., _SURPLUS:-_SURPLUS, _SURPLUS:-_SURPLUS] if self.cropped else features, []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute the logits of every pixel."""
        return self.classifier(features)

    def encoders(self) -> list[nn.Module]:
        """Return the contracting path and the bottleneck."""
        return [*self.contracting, self.bottleneck]

    def blocks(self) -> list[nn.Module]:
        """Return every level of both paths."""
        return [*self.contracting, self.bottleneck, *self.expanding]


def unet_classic(
    *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> UNet:
    """Build the original U-Net. Arguments: ``width`` (1.0), ``dropout`` (0.5), ``cropped`` (false).

    Raises:
        InputError: an encoder is given (the model has its own), or an argument is unknown.
    """
    refuse_encoder("unet_classic", encoder, encoder_weights)
    refuse_unknown("unet_classic", arguments, ("width", "dropout", "cropped"))
    return UNet(classes, **arguments)
