"""A U-Net for processors without an accelerator: nearly all of its time is that of its encoder.

Unlike the U-Net of Ronneberger et al. (arXiv 1505.04597), skips are narrowed by a 1x1 convolution and added, as in the
top-down pathway of Lin et al. (arXiv 1612.03144); maps are narrowed before they are upsampled, by nearest neighbours;
one 3x3 convolution follows at each level; and the last level is at half of the picture's size, from which a sub-pixel
convolution (Shi et al., arXiv 1609.05158) computes the logits of each 2x2 pixels.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.errors import InputError
from lanecli.models.architecture import Architecture
from lanecli.models.building import refuse_unknown
from lanecli.models.encoders import build_encoder
from lanecli.models.registry import default_encoder

_CHANNELS = (160, 96, 64, 32, 16)


class UNetLite(Architecture):
    """An encoder of five stages, a pathway of added skips up to half of the picture's size, and a sub-pixel head."""

    stride = 32
    feature_stride = 2

    def __init__(self, encoder: Any, classes: int, channels: tuple[int, ...], dropout: float) -> None:
        """Build the decoder.

        Args:
            encoder: an smp encoder of five stages.
            classes: number of output channels.
            channels: those of the decoder's levels from 1/32 to 1/2.
            dropout: share of channels dropped before the classifier.
        """
        super().__init__()
        self.encoder = encoder
        maps = encoder.out_channels[:0:-1]
        # some encoders have no map at 1/2, which smp tells by a map of no channels
        self.laterals = nn.ModuleList(
            nn.Conv2d(i, o, 1) if i else nn.Identity() for i, o in zip(maps, channels, strict=True)
        )
        self.narrowings = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in pairwise(channels))
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU(inplace=True))
            for c in channels[1:]
        )
        self.dropout = nn.Dropout2d(dropout)
        self.feature_channels = channels[-1]
        self.classifier = nn.Conv2d(channels[-1], 4 * classes, 3, padding=1)

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the decoder's last map, at half of the size."""
        deepest, *maps = self.encoder(pictures)[:0:-1]
        features = self.laterals[0](deepest)
        for narrowing, lateral, level, skip in zip(self.narrowings, self.laterals[1:], self.levels, maps, strict=True):
            features = F.interpolate(narrowing(features), scale_factor=2.0, mode="nearest")
            features = level(features + lateral(skip) if skip.shape[1] else features)
        return self.dropout(features), []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute the logits of the four pixels of every cell."""
        return F.pixel_shuffle(self.classifier(features), 2)

    def encoders(self) -> list[nn.Module]:
        """Return the encoder."""
        return [self.encoder]


def unet_lite(
    *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> UNetLite:
    """Build a U-Net of added skips. Arguments: ``decoder_channels`` (160, 96, 64, 32, 16), ``dropout`` (0).

    Raises:
        InputError: the encoder or an argument is unknown, the encoder does not halve the picture five times, or the
            weights are not available.
    """
    refuse_unknown("unet_lite", arguments, ("decoder_channels", "dropout"))
    channels = tuple(arguments.get("decoder_channels", _CHANNELS))
    if len(channels) != 5 or not all(isinstance(c, int) and c > 0 for c in channels):
        raise InputError(f"decoder_channels of 'unet_lite' must be five numbers of at least 1, not {list(channels)}")
    name = encoder or str(default_encoder("unet_lite"))
    built = build_encoder("unet_lite", name, encoder_weights)
    if len(built.out_channels) != 6 or built.output_stride != 32:
        raise InputError(f"model 'unet_lite' needs an encoder with maps at 1/2 to 1/32 of the picture, unlike '{name}'")
    return UNetLite(built, classes, channels, arguments.get("dropout", 0.0))
