"""ERFNet: Romera, Alvarez, Bergasa, Arroyo, "ERFNet: Efficient Residual Factorized ConvNet for Real-Time Semantic
Segmentation", IEEE Transactions on Intelligent Transportation Systems 19(1), 2018, 10.1109/TITS.2017.2750080.

The layers follow Table I of the paper. This module does not include the pretraining of the encoder on ImageNet.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.models.architecture import Architecture
from lanecli.models.building import refuse_encoder, refuse_unknown, scaled

_EPSILON = 1e-3  # of batch norm


class Factorized(nn.Module):
    """Non-bottleneck-1D: two 3x3 convolutions, each split into 3x1 and 1x3, the second pair dilated; and a residual."""

    def __init__(self, channels: int, dropout: float, dilation: int) -> None:
        """Build the layers.

        Args:
            channels: number of input and output channels.
            dropout: share of channels dropped.
            dilation: dilation of the second pair of convolutions.
        """
        super().__init__()
        d = dilation
        self.down1 = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        self.right1 = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))
        self.norm1 = nn.BatchNorm2d(channels, eps=_EPSILON)
        self.down2 = nn.Conv2d(channels, channels, (3, 1), padding=(d, 0), dilation=(d, 1))
        self.right2 = nn.Conv2d(channels, channels, (1, 3), padding=(0, d), dilation=(1, d))
        self.norm2 = nn.BatchNorm2d(channels, eps=_EPSILON)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to the same shape."""
        y = F.relu(self.norm1(self.right1(F.relu(self.down1(x)))))
        y = self.norm2(self.right2(F.relu(self.down2(y))))
        return F.relu(self.dropout(y) + x)


class Downsampler(nn.Module):
    """The concatenation of a strided 3x3 convolution and 2x2 max pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Build the layers.

        Args:
            inputs: number of input channels, which pooling passes on.
            outputs: number of output channels; the convolution gives the others.
        """
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs - inputs, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.BatchNorm2d(outputs, eps=_EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/2, W/2)."""
        return F.relu(self.norm(torch.cat([self.conv(x), self.pool(x)], 1)))


def _upsampler(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1),
        nn.BatchNorm2d(outputs, eps=_EPSILON),
        nn.ReLU(),
    )


class ERFNet(Architecture):
    """An encoder to 1/8, and a light decoder of transposed convolutions."""

    stride = 8
    feature_stride = 2

    def __init__(self, classes: int, width: float = 1.0, dropout: float = 0.3) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            width: factor of all channel numbers.
            dropout: dropout rate of the stage at 1/8; the stage at 1/4 has a tenth of it.
        """
        super().__init__()
        low, middle, high = scaled(16, width), scaled(64, width), scaled(128, width)
        self.encoder = nn.Sequential(
            Downsampler(3, low),
            Downsampler(low, middle),
            *[Factorized(middle, dropout / 10, 1) for _ in range(5)],
            Downsampler(middle, high),
            *[Factorized(high, dropout, dilation) for _ in range(2) for dilation in (2, 4, 8, 16)],
        )
        self.decoder = nn.Sequential(
            _upsampler(high, middle),
            *[Factorized(middle, 0.0, 1) for _ in range(2)],
            _upsampler(middle, low),
            *[Factorized(low, 0.0, 1) for _ in range(2)],
        )
        self.feature_channels = low
        self.classifier = nn.ConvTranspose2d(low, classes, 2, stride=2)

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the last map of the decoder, at 1/2."""
        return self.decoder(self.encoder(pictures)), []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute the logits with a transposed convolution that doubles the size."""
        return self.classifier(features)


def erfnet(*, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any) -> ERFNet:
    """Build ERFNet. Arguments: ``width`` (1.0), ``dropout`` (0.3).

    Raises:
        InputError: an encoder is given (the model has its own), or an argument is unknown.
    """
    refuse_encoder("erfnet", encoder, encoder_weights)
    refuse_unknown("erfnet", arguments, ("width", "dropout"))
    return ERFNet(classes, **arguments)
