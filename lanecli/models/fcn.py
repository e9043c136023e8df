"""FCN: Long, Shelhamer & Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015,
arXiv 1411.4038: VGG16 with its fully connected layers as convolutions; logits are upsampled by transposed convolutions
that start as bilinear interpolation, and logits of earlier stages are added on the way.

Unlike the paper: the first convolution pads by 1 and fc6 by 3, where the paper pads the picture by 100, so that nothing
is cropped; logits are extended by one replicated cell before each upsampling, so that it is bilinear up to the border;
each class is upsampled on its own; all upsamplings are learned; and all logits are trained at once from small random
weights, not stage by stage from zero.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.models.architecture import Architecture
from lanecli.models.building import scaled
from lanecli.models.vgg import VGG16, build_vgg16, fully_connected, initialise_scores


class Upsampling(nn.ConvTranspose2d):
    """Learned upsampling of each channel on its own. Before training it is bilinear, with half-pixel centres."""

    def __init__(self, channels: int, factor: int) -> None:
        """Build the layer.

        Args:
            channels: number of input and output channels.
            factor: factor of both sides, an even number.
        """
        super().__init__(
            channels,
            channels,
            2 * factor,
            stride=factor,
            padding=factor + factor // 2,  # one replicated cell, and half a cell to the first centre
            groups=channels,
            bias=False,
        )
        ramp = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
        with torch.no_grad():
            self.weight.copy_((ramp[:, None] * ramp).expand_as(self.weight))

    def forward(self, scores: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """Map (N, channels, h, w) to (N, channels, factor h, factor w)."""
        return super().forward(F.pad(scores, (1, 1, 1, 1), mode="replicate"), output_size)


class FCN(Architecture):
    """VGG16, fc6 and fc7 as convolutions, and the sum of the logits of one to three stages."""

    stride = 32
    feature_stride = 32

    def __init__(self, classes: int, encoder: VGG16, skips: int, width: float = 1.0, dropout: float = 0.5) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            encoder: VGG16 built with the same `width`.
            skips: number of skip connections: 0 (FCN-32s), 1 (FCN-16s) or 2 (FCN-8s).
            width: factor of all channel numbers.
            dropout: dropout rate after fc6 and fc7.
        """
        super().__init__()
        self.encoder = encoder
        self.feature_channels = hidden = scaled(4096, width)
        self.head = fully_connected(encoder.channels[4], hidden, kernel=7, dilation=1, dropout=dropout)
        sources = [hidden, encoder.channels[3], encoder.channels[2]][: skips + 1]
        self.scores = nn.ModuleList(initialise_scores(nn.Conv2d(channels, classes, 1)) for channels in sources)
        self.upsamplings = nn.ModuleList(Upsampling(classes, factor) for factor in [2] * skips + [32 >> skips])

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to fc7 at 1/32, and pool4 and pool3."""
        *_, pool3, pool4, pool5 = self.encoder(pictures)
        return self.head(pool5), [pool4, pool3]

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Map fc7 and the pooled maps to (N, classes, H, W) logits."""
        logits = self.upsamplings[0](self.scores[0](features))
        for pooled, score, upsampling in zip(maps, self.scores[1:], self.upsamplings[1:], strict=False):
            logits = upsampling(logits + score(pooled))
        return logits


def _build(model: str, skips: int, classes: int, encoder: str | None, weights: str | None, arguments: Any) -> FCN:
    return FCN(classes, build_vgg16(model, encoder, weights, arguments), skips, **arguments)


def fcn32s(*, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any) -> FCN:
    """Build FCN-32s. Encoder: ``vgg16`` or ``vgg16_bn``. Arguments: ``width`` (1.0), ``dropout`` (0.5).

    Raises:
        InputError: the encoder is another one, its weights are not available, or an argument is unknown.
    """
    return _build("fcn32s", 0, classes, encoder, encoder_weights, arguments)


def fcn16s(*, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any) -> FCN:
    """Build FCN-16s, which adds the logits of pool4. Otherwise as :func:`fcn32s`."""
    return _build("fcn16s", 1, classes, encoder, encoder_weights, arguments)


def fcn8s(*, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any) -> FCN:
    """Build FCN-8s, which adds the logits of pool4 and pool3. Otherwise as :func:`fcn32s`."""
    return _build("fcn8s", 2, classes, encoder, encoder_weights, arguments)
