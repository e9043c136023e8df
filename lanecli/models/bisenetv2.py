"""BiSeNetV2: Yu, Gao, Wang, Yu, Shen, Sang, "BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time
Semantic Segmentation", International Journal of Computer Vision 129, 2021, arXiv 2004.02147.

Channels, strides and repetitions follow Table 1 of the paper; the stem, gather-expand and context blocks follow its
Figures 4 and 5, the aggregation layer its Figure 6. The booster heads for training follow the stages of the semantic
branch at 1/4, 1/8, 1/16 and 1/32; each of their losses counts as much as the main one, as in public implementations
(mmsegmentation, CoinCheung).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.models.architecture import Architecture, fcn_head
from lanecli.models.building import refuse_encoder, refuse_unknown, scaled

_EXPANSION = 6
_BOOSTER_CHANNELS = 128
_STAGE_ENDS = (0, 2, 4, 8)  # of the semantic branch: 1/4, 1/8, 1/16, 1/32


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Build a convolution with batch norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


def _conv_relu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs, kernel, stride), nn.ReLU())


def _upsample(x: torch.Tensor, factor: int) -> torch.Tensor:
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)


class Stem(nn.Module):
    """Downsampling to 1/4 by strided convolutions and, in parallel, max pooling."""

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: number of output channels.
        """
        super().__init__()
        self.first = _conv_relu(3, channels, stride=2)
        self.left = nn.Sequential(_conv_relu(channels, channels // 2, 1), _conv_relu(channels // 2, channels, stride=2))
        self.right = nn.MaxPool2d(3, 2, 1)
        self.fuse = _conv_relu(2 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to (N, channels, H/4, W/4)."""
        x = self.first(x)
        return self.fuse(torch.cat([self.left(x), self.right(x)], 1))


class GatherExpand(nn.Module):
    """The gather-and-expansion layer: 3x3 convolution, depthwise expansion by six, projection, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Build the layers.

        Args:
            inputs: number of input channels.
            outputs: number of output channels.
            stride: 1 or 2; with 2 there is a second depthwise convolution, and the shortcut is projected.
        """
        super().__init__()
        wide = inputs * _EXPANSION
        expand = [_conv(inputs, wide, stride=stride, groups=inputs)]
        if stride > 1:
            expand.append(_conv(wide, wide, groups=wide))
        self.body = nn.Sequential(_conv_relu(inputs, inputs), *expand, _conv(wide, outputs, 1))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(
                _conv(inputs, inputs, stride=stride, groups=inputs), _conv(inputs, outputs, 1)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""
        return F.relu(self.body(x) + self.shortcut(x))


class ContextEmbedding(nn.Module):
    """The mean over the whole map, added at every position of it."""

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: number of input and output channels.
        """
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.project = _conv_relu(channels, channels, 1)
        self.fuse = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to the same shape."""
        return self.fuse(x + self.project(self.norm(x.mean((2, 3), keepdim=True))))


class Aggregation(nn.Module):
    """Bilateral guided aggregation: each branch gates the other one, at 1/8 and at 1/32."""

    def __init__(self, channels: int) -> None:
        """Build the layers.

        Args:
            channels: number of channels of both branches.
        """
        super().__init__()
        c = channels
        self.detail_keep = nn.Sequential(_conv(c, c, groups=c), nn.Conv2d(c, c, 1))
        self.detail_down = nn.Sequential(_conv(c, c, stride=2), nn.AvgPool2d(3, 2, 1, count_include_pad=False))
        self.semantic_up = _conv(c, c)
        self.semantic_keep = nn.Sequential(_conv(c, c, groups=c), nn.Conv2d(c, c, 1))
        self.fuse = _conv(c, c)

    def forward(self, detail: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H/8, W/8) and (N, C, H/32, W/32) to (N, C, H/8, W/8)."""
        fine = self.detail_keep(detail) * torch.sigmoid(_upsample(self.semantic_up(semantic), 4))
        coarse = self.detail_down(detail) * torch.sigmoid(self.semantic_keep(semantic))
        return self.fuse(fine + _upsample(coarse, 4))


class BiSeNetV2(Architecture):
    """A wide, shallow branch for detail, a narrow, deep one for semantics, and their guided aggregation."""

    stride = 32
    feature_stride = 8

    def __init__(
        self,
        classes: int,
        width: float = 1.0,
        head_channels: int = 1024,
        dropout: float = 0.0,
        auxiliary: bool = True,
    ) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            width: factor of all channel numbers.
            head_channels: number of channels of the head, before it is multiplied by `width`.
            dropout: share of channels dropped before each classifier.
            auxiliary: whether to add the booster heads.
        """
        super().__init__()
        low, high = scaled(64, width), scaled(128, width)
        stem, third, fourth = scaled(16, width), scaled(32, width), scaled(64, width)
        self.feature_channels = head = scaled(head_channels, width)
        self.detail = nn.Sequential(
            _conv_relu(3, low, stride=2),
            _conv_relu(low, low),
            _conv_relu(low, low, stride=2),
            *[_conv_relu(low, low) for _ in range(2)],
            _conv_relu(low, high, stride=2),
            *[_conv_relu(high, high) for _ in range(2)],
        )
        self.semantic = nn.Sequential(
            Stem(stem),
            GatherExpand(stem, third, 2),
            GatherExpand(third, third),
            GatherExpand(third, fourth, 2),
            GatherExpand(fourth, fourth),
            GatherExpand(fourth, high, 2),
            *[GatherExpand(high, high) for _ in range(3)],
            ContextEmbedding(high),
        )
        self.aggregation = Aggregation(high)
        self.head = nn.Sequential(_conv_relu(high, head), nn.Conv2d(head, classes, 1))
        self.dropout = nn.Dropout2d(dropout)
        if auxiliary:
            channels = scaled(_BOOSTER_CHANNELS, width)
            heads = [fcn_head(inputs, channels, classes, dropout) for inputs in (stem, third, fourth, high)]
            self.add_auxiliary(list(heads), 1.0)

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the features of the head at 1/8, and the outputs of the semantic branch's stages."""
        semantic, ends = pictures, []
        for number, block in enumerate(self.semantic):
            semantic = block(semantic)
            if number in _STAGE_ENDS:
                ends.append(semantic)
        aggregated = self.aggregation(self.detail(pictures), semantic)
        return self.dropout(self.head[0](aggregated)), ends

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute logits at 1/8 and upsample them."""
        return _upsample(self.head[1](features), 8)

    def encoders(self) -> list[nn.Module]:
        """Return both branches."""
        return [self.detail, self.semantic]

    def blocks(self) -> list[nn.Module]:
        """Return every block of both branches."""
        return [*self.detail, *self.semantic]


def bisenetv2(
    *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> BiSeNetV2:
    """Build BiSeNetV2. Arguments: ``width`` (1.0), ``head_channels`` (1024), ``dropout`` (0.0), ``auxiliary`` (true).

    Raises:
        InputError: an encoder is given (the model has its own), or an argument is unknown.
    """
    refuse_encoder("bisenetv2", encoder, encoder_weights)
    refuse_unknown("bisenetv2", arguments, ("width", "head_channels", "dropout", "auxiliary"))
    return BiSeNetV2(classes, **arguments)
