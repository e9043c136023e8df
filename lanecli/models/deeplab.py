"""DeepLab before its decoder: v1, v2 and the cascade of v3; parallel v3 and v3+ are segmentation-models-pytorch's.

v1: Chen et al., "Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs", ICLR 2015,
arXiv 1412.7062. v2: Chen et al., "DeepLab", IEEE TPAMI 40(4), 2018, arXiv 1606.00915. v3: Chen et al., "Rethinking
Atrous Convolution for Semantic Image Segmentation", arXiv 1706.05587, section 3.2.

Unlike the papers: logits are upsampled inside the network, also in training; v1 and v2 do without the CRF; v2 without
the maximum over three picture scales; ResNets are torchvision's or timm's, which stride in a block's 3x3 convolution,
not in its first 1x1.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import nn

from lanecli.errors import InputError, did_you_mean
from lanecli.models.architecture import Architecture, enlarged
from lanecli.models.building import encoder_errors, is_weight_file, published_weights, refuse_unknown, scaled
from lanecli.models.registry import default_encoder
from lanecli.models.vgg import VGG16, build_vgg16, fully_connected, initialise, small
from lanecli.models.weights import load_encoder_weights


def _outputs(encoder: Any) -> int:
    """Channels of the deepest map of an smp encoder."""
    return int(encoder.out_channels[-1])


def _dilate(module: nn.Module, rate: int) -> None:
    """Give every convolution inside `module` that is wider than one pixel the atrous rate `rate`, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
            layer.dilation = (rate, rate)
            layer.padding = (rate * (layer.kernel_size[0] // 2), rate * (layer.kernel_size[1] // 2))


class DeepLabV1(Architecture):
    """VGG16 at stride 8, and fc6 as a 3x3 convolution of rate 12: DeepLab-LargeFOV."""

    stride = 8
    feature_stride = 8

    def __init__(self, classes: int, encoder: VGG16, width: float = 1.0, dropout: float = 0.5) -> None:
        """Args: encoder: made for `width`, changed in place; dropout: after fc6 and fc7."""
        super().__init__()
        self.encoder = encoder
        pools = [layer for layer in encoder.features if isinstance(layer, nn.MaxPool2d)]
        for number, pool in enumerate(pools):
            pool.kernel_size, pool.padding, pool.stride = 3, 1, 2 if number < 3 else 1
        _dilate(encoder.stages()[4], 2)
        self.feature_channels = hidden = scaled(1024, width)
        self.head = fully_connected(encoder.channels[4], hidden, kernel=3, dilation=12, dropout=dropout)
        self.classifier = small(nn.Conv2d(hidden, classes, 1))

    def describe(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(N, 3, H, W) to fc7 at 1/8."""
        return self.head(self.encoder(pictures)[-1]), []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Scores at 1/8, enlarged."""
        return enlarged(self.classifier(features), size)


class DeepLabV2(Architecture):
    """A ResNet at stride 8, and 3x3 convolutions of several rates to class logits, summed."""

    stride = 8
    feature_stride = 8

    def __init__(self, classes: int, encoder: nn.Module, rates: tuple[int, ...], dropout: float = 0.0) -> None:
        """Args: encoder: an smp one at stride 8; rates: of the pyramid; dropout: before it."""
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = _outputs(encoder)
        self.pyramid = nn.ModuleList(
            small(nn.Conv2d(self.feature_channels, classes, 3, padding=rate, dilation=rate)) for rate in rates
        )

    def describe(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(N, 3, H, W) to the encoder's last map, at 1/8."""
        return self.dropout(self.encoder(pictures)[-1]), []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """The branches' scores, summed and enlarged."""
        logits = self.pyramid[0](features)
        for branch in self.pyramid[1:]:
            logits = logits + branch(features)
        return enlarged(logits, size)


class DeepLabV3Cascade(Architecture):
    """A ResNet whose last block is repeated as blocks 5 to 7, each at twice the rate of the one before."""

    def __init__(
        self,
        classes: int,
        encoder: nn.Module,
        block4: nn.Sequential,
        stride: int,
        multi_grid: tuple[int, ...],
        dropout: float = 0.0,
    ) -> None:
        """Args: encoder: at `stride`; block4: its last, dilated in place; multi_grid: factor of the rate, by unit."""
        super().__init__()
        self.stride = self.feature_stride = stride
        self.encoder = encoder
        # units behind the first keep channels and size: what blocks 5 to 7 consist of
        self.cascade = nn.Sequential(*[nn.Sequential(*[copy.deepcopy(block4[-1]) for _ in block4]) for _ in range(3)])
        initialise(self.cascade)
        for number, block in enumerate([block4, *self.cascade]):
            for factor, part in zip(multi_grid, block, strict=False):
                _dilate(part, factor * (32 // stride) << number)
        self.dropout = nn.Dropout(dropout)
        self.feature_channels = _outputs(encoder)
        self.classifier = nn.Conv2d(self.feature_channels, classes, 1)

    def describe(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(N, 3, H, W) to the cascade's last map, at 1/``stride``."""
        return self.dropout(self.cascade(self.encoder(pictures)[-1])), []

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Scores, enlarged."""
        return enlarged(self.classifier(features), size)

    def encoders(self) -> list[nn.Module]:
        """The ResNet and the blocks behind it."""
        return [self.encoder, self.cascade]


def _resnet(model: str, encoder: str, encoder_weights: str | None, width: float, stride: int) -> nn.Module:
    """An smp encoder at `stride`; at another width than 1 it is timm's ResNet with fewer channels in its stages."""
    arguments: dict[str, Any] = {}
    if width != 1.0:
        encoder = "tu-" + encoder.removeprefix("tu-")
        arguments["channels"] = tuple(scaled(channels, width) for channels in (64, 128, 256, 512))
        if encoder_weights is not None and not is_weight_file(encoder_weights):
            raise InputError(f"weights '{encoder_weights}' of encoder '{encoder}' need model.width 1, not {width}")
    names = smp.encoders.get_encoder_names()
    if not encoder.startswith("tu-") and encoder not in names:
        raise InputError(f"unknown encoder '{encoder}'{did_you_mean(encoder, names)}")
    named = published_weights(encoder, encoder_weights)
    with encoder_errors(model, encoder, encoder_weights):
        built: nn.Module = smp.encoders.get_encoder(encoder, depth=5, weights=named, output_stride=stride, **arguments)
    if is_weight_file(encoder_weights):
        load_encoder_weights(built, Path(str(encoder_weights)).expanduser())
    return built


def deeplabv1(
    *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> DeepLabV1:
    """Build DeepLab v1. Encoder: ``vgg16`` or ``vgg16_bn``. Arguments: ``width`` (1.0), ``dropout`` (0.5).

    Raises:
        InputError: another encoder, its weights cannot be had, or an unknown argument.
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
        classes: output channels.
        encoder: any smp or timm (``tu-NAME``) encoder that can be dilated to stride 8; ``resnet101`` unless given.
        encoder_weights: None, a local file, or a name smp fetches.
        width: factor of the channels of a ResNet's four stages.
        rates: of the pyramid's branches.
        dropout: before the pyramid.
        arguments: none.

    Raises:
        InputError: unknown or unfit encoder, weights that cannot be had, or an unknown argument.
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
        classes: output channels.
        encoder: a ResNet of smp's or timm's (``tu-resnet…``); ``resnet101`` unless given.
        encoder_weights: None, a local file, or a name smp fetches. Blocks 5 to 7 start from random weights.
        width: factor of the channels of the ResNet's four stages.
        multi_grid: factors of the rate inside blocks 4 to 7, one a unit (ResNet-18 has two units, and uses two).
        output_stride: 16, or 8 at four times the cost.
        dropout: before the classifier.
        arguments: none.

    Raises:
        InputError: an encoder that is no ResNet, weights that cannot be had, or an unknown or unfit argument.
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
