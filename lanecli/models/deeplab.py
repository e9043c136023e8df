"""DeepLab v1, v2 and the cascade of v3. The parallel v3 and v3+ come from segmentation-models-pytorch.

v1: Chen et al., "Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs", ICLR 2015,
arXiv 1412.7062. v2: Chen et al., "DeepLab", IEEE TPAMI 40(4), 2018, arXiv 1606.00915. v3: Chen et al., "Rethinking
Atrous Convolution for Semantic Image Segmentation", arXiv 1706.05587, section 3.2.

Unlike the papers: logits are upsampled inside the network, in training too; v1 and v2 have no CRF; v2 has no maximum
over three scales of the picture; the ResNets are those of torchvision or timm, in which the 3x3 convolution of a block
has the stride, and not its first 1x1 convolution.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from lanecli.errors import InputError
from lanecli.models.architecture import Architecture, upsampled
from lanecli.models.building import is_weight_file, refuse_unknown, scaled
from lanecli.models.encoders import build_encoder
from lanecli.models.registry import default_encoder
from lanecli.models.vgg import VGG16, build_vgg16, fully_connected, initialise, initialise_scores


def _outputs(encoder: Any) -> int:
    """Return the number of channels of the deepest map of an smp encoder."""
    return int(encoder.out_channels[-1])


def _dilate(module: nn.Module, rate: int) -> None:
    """Set the atrous rate of every convolution inside `module` with a kernel above 1x1, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
            layer.dilation = (rate, rate)
            layer.padding = (rate * (layer.kernel_size[0] // 2), rate * (layer.kernel_size[1] // 2))


class DeepLabV1(Architecture):
    """DeepLab-LargeFOV: VGG16 at stride 8, with fc6 as a 3x3 convolution of rate 12."""

    stride = 8
    feature_stride = 8

    def __init__(self, classes: int, encoder: VGG16, width: float = 1.0, dropout: float = 0.5) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            encoder: VGG16 built with the same `width`; it is changed in place.
            width: factor of all channel numbers.
            dropout: dropout rate after fc6 and fc7.
        """
        super().__init__()
        self.encoder = encoder
        pools = [layer for layer in encoder.features if isinstance(layer, nn.MaxPool2d)]
        for number, pool in enumerate(pools):
            pool.kernel_size, pool.padding, pool.stride = 3, 1, 2 if number < 3 else 1
        _dilate(encoder.stages()[4], 2)
        self.feature_channels = hidden = scaled(1024, width)
        self.head = fully_connected(encoder.channels[4], hidden, kernel=3, dilation=12, dropout=dropout)
        self.classifier = initialise_scores(nn.Conv2d(hidden, classes, 1))

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to fc7 at 1/8."""
        return self.head(self.encoder(pictures)[-1]), []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute logits at 1/8 and upsample them."""
        return upsampled(self.classifier(features), size)


class DeepLabV2(Architecture):
    """A ResNet at stride 8, and the sum of the logits of 3x3 convolutions at several rates."""

    stride = 8
    feature_stride = 8

    def __init__(self, classes: int, encoder: nn.Module, rates: tuple[int, ...], dropout: float = 0.0) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            encoder: an smp encoder at stride 8.
            rates: atrous rates of the pyramid's branches.
            dropout: dropout rate before the pyramid.
        """
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = _outputs(encoder)
        self.pyramid = nn.ModuleList(
            initialise_scores(nn.Conv2d(self.feature_channels, classes, 3, padding=rate, dilation=rate))
            for rate in rates
        )

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the last map of the encoder, at 1/8."""
        return self.dropout(self.encoder(pictures)[-1]), []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Sum the logits of the branches and upsample them."""
        logits = self.pyramid[0](features)
        for branch in self.pyramid[1:]:
            logits = logits + branch(features)
        return upsampled(logits, size)


class DeepLabV3Cascade(Architecture):
    """A ResNet whose last block is repeated as blocks 5 to 7, each at twice the rate of the previous one."""

    def __init__(
        self,
        classes: int,
        encoder: nn.Module,
        block4: nn.Sequential,
        stride: int,
        multi_grid: tuple[int, ...],
        dropout: float = 0.0,
    ) -> None:
        """Build the layers.

        Args:
            classes: number of output channels.
            encoder: an encoder at `stride`.
            block4: its last block, which is dilated in place.
            stride: 8 or 16, the output stride.
            multi_grid: factor of the atrous rate for each unit of a block.
            dropout: dropout rate before the classifier.
        """
        super().__init__()
        self.stride = self.feature_stride = stride
        self.encoder = encoder
        # blocks 5 to 7 consist of copies of a later unit, which keeps channels and size
        self.cascade = nn.Sequential(*[nn.Sequential(*[copy.deepcopy(block4[-1]) for _ in block4]) for _ in range(3)])
        initialise(self.cascade)
        for number, block in enumerate([block4, *self.cascade]):
            for factor, part in zip(multi_grid, block, strict=False):
                _dilate(part, factor * (32 // stride) << number)
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = _outputs(encoder)
        self.classifier = nn.Conv2d(self.feature_channels, classes, 1)

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the last map of the cascade, at 1/``stride``."""
        return self.dropout(self.cascade(self.encoder(pictures)[-1])), []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute logits and upsample them."""
        return upsampled(self.classifier(features), size)

    def encoders(self) -> list[nn.Module]:
        """Return the ResNet and the blocks that follow it."""
        return [self.encoder, self.cascade]


def _resnet(model: str, encoder: str, encoder_weights: str | None, width: float, stride: int) -> Any:
    """Build an smp encoder at `stride`; for a width other than 1, timm's ResNet with fewer channels in its stages."""
    arguments: dict[str, Any] = {}
    if width != 1.0:
        encoder = "tu-" + encoder.removeprefix("tu-")
        arguments["channels"] = tuple(scaled(channels, width) for channels in (64, 128, 256, 512))
        if encoder_weights is not None and not is_weight_file(encoder_weights):
            raise InputError(f"weights '{encoder_weights}' of encoder '{encoder}' need model.width 1, not {width}")
    return build_encoder(model, encoder, encoder_weights, output_stride=stride, **arguments)


def deeplabv1(
    *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> DeepLabV1:
    """Build DeepLab v1. Encoder: ``vgg16`` or ``vgg16_bn``. Arguments: ``width`` (1.0), ``dropout`` (0.5).

    Raises:
        InputError: the encoder is another one, its weights are not available, or an argument is unknown.
    """
    return DeepLabV1(classes, build_vgg16("deeplabv1", encoder, encoder_weights, arguments), **arguments)


def deeplabv2(
    *,
    classes: int,
    encoder: str | None = None,
    encoder_weights: str | None = None,
    width: float = 1.0,
    rates: tuple[int, ...] = (6, 12, 18, 24),
    dropout: float = 0.0,
    **arguments: Any,
) -> DeepLabV2:
    """Build DeepLab v2.

    Args:
        classes: number of output channels.
        encoder: any smp or timm (``tu-NAME``) encoder that can be dilated to stride 8; by default ``resnet101``.
        encoder_weights: a local file, a name whose weights smp downloads, or None for random weights.
        width: factor of the channel numbers of a ResNet's four stages.
        rates: atrous rates of the pyramid's branches.
        dropout: dropout rate before the pyramid.
        arguments: there are no others; an unknown one is refused.

    Raises:
        InputError: the encoder is unknown or does not fit, its weights are not available, or an argument is unknown.
    """
    refuse_unknown("deeplabv2", arguments, ("width", "rates", "dropout"))
    if not rates or any(not isinstance(rate, int) or rate < 1 for rate in rates):
        raise InputError(f"model.rates must be whole numbers from 1 up, not {rates}")
    built = _resnet("deeplabv2", encoder or str(default_encoder("deeplabv2")), encoder_weights, width, 8)
    return DeepLabV2(classes, built, tuple(rates), dropout)


def deeplabv3_cascade(
    *,
    classes: int,
    encoder: str | None = None,
    encoder_weights: str | None = None,
    width: float = 1.0,
    multi_grid: tuple[int, ...] = (1, 2, 1),
    output_stride: int = 16,
    dropout: float = 0.0,
    **arguments: Any,
) -> DeepLabV3Cascade:
    """Build the cascade of DeepLab v3, with blocks 5 to 7.

    Args:
        classes: number of output channels.
        encoder: a ResNet of smp or timm (``tu-resnet…``); by default ``resnet101``.
        encoder_weights: a local file, a name whose weights smp downloads, or None for random weights. Blocks 5 to 7
            start from random weights in any case.
        width: factor of the channel numbers of the ResNet's four stages.
        multi_grid: factors of the atrous rate inside blocks 4 to 7, one per unit (ResNet-18 has two units, and uses
            two).
        output_stride: 16, or 8 at four times the cost.
        dropout: dropout rate before the classifier.
        arguments: there are no others; an unknown one is refused.

    Raises:
        InputError: the encoder is not a ResNet, its weights are not available, or an argument is unknown or has a bad
            value.
    """
    model = "deeplabv3_cascade"
    refuse_unknown(model, arguments, ("width", "multi_grid", "output_stride", "dropout"))
    if output_stride not in (8, 16):
        raise InputError(f"model.output_stride must be 8 or 16, not {output_stride}")
    encoder = encoder or str(default_encoder(model))
    built = _resnet(model, encoder, encoder_weights, width, output_stride)
    block4 = getattr(built, "layer4", None) or getattr(getattr(built, "model", None), "layer4", None)
    if not isinstance(block4, nn.Sequential) or getattr(block4[-1], "downsample", None) is not None:
        raise InputError(f"model '{model}' needs a ResNet as encoder, not '{encoder}'")
    if len(multi_grid) < len(block4) or any(not isinstance(factor, int) or factor < 1 for factor in multi_grid):
        raise InputError(f"model.multi_grid needs {len(block4)} whole numbers from 1 up, not {multi_grid}")
    return DeepLabV3Cascade(classes, built, block4, output_stride, tuple(multi_grid), dropout)
