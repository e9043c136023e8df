"""Every architecture of segmentation-models-pytorch (smp), with any of its encoders (those of timm as ``tu-NAME``).

Unlike smp: the encoder of PSPNet has all its stages, the last two dilated to stride 8, as in the paper (smp ends after
the third), unless ``encoder_depth`` says otherwise; PSPNet and UPerNet have the auxiliary head of their papers after
stage 4, with weight 0.4; DPT has its own after the penultimate fusion, with weight 0.2.
"""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
from torch import nn

from lanecli.errors import InputError, did_you_mean
from lanecli.models.architecture import Architecture, fcn_head
from lanecli.models.building import encoder_errors, is_weight_file, published_weights, refuse_unknown, scaled
from lanecli.models.pooling import make_pooling_exportable
from lanecli.models.registry import default_encoder
from lanecli.models.weights import load_encoder_weights

_MINIMA = {"pan": 128}
_STRIDES = {"unet": 32, "pspnet": 8, "deeplabv3": 8, "deeplabv3plus": 16, "pan": 16}
_DROPOUTS = {
    "pspnet": ("psp_dropout", 0.2),
    "fpn": ("decoder_dropout", 0.2),
    "deeplabv3": ("decoder_aspp_dropout", 0.5),
    "deeplabv3plus": ("decoder_aspp_dropout", 0.5),
    "dpt": ("", 0.1),
}
"""smp's argument for the dropout rate and its default, where smp has one; other models drop before the classifier."""
_AUXILIARY = ("pspnet", "upernet", "dpt")
_OWN = (
    "self",
    "kwargs",
    "encoder_name",
    "encoder_weights",
    "classes",
    "in_channels",
    "activation",
    "aux_params",
    "upsampling",
)
"""Arguments of smp that are set elsewhere, or whose result would not be logits of the picture's size."""


class SmpArchitecture(Architecture):
    """A model of smp: encoder, decoder, and a head of one convolution and an upsampling."""

    def __init__(self, model: Any, stride: int, minimum: int = 0, dropout: float = 0.0) -> None:
        """Wrap an smp model.

        Args:
            model: the smp model.
            stride: as in :class:`Architecture`.
            minimum: as in :class:`Architecture`.
            dropout: share of channels dropped before the head.
        """
        super().__init__()
        self.model = model
        self.dropout = nn.Dropout2d(dropout)
        self.stride, self.minimum = stride, minimum
        convolution, upsampling, _ = model.segmentation_head
        self.feature_channels = convolution.in_channels
        self.feature_stride = int(getattr(upsampling, "scale_factor", 1))

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the last map of the decoder, and the last map but one of the encoder."""
        maps = self.model.encoder(pictures)
        fourth = maps[-2]
        return self.dropout(self.model.decoder(maps)), [fourth]

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Apply smp's segmentation head."""
        return self.model.segmentation_head(features)

    def encoders(self) -> list[nn.Module]:
        """Return smp's encoder."""
        return [self.model.encoder]


class DPT(Architecture):
    """smp's DPT, whose head has further layers before the classifier."""

    def __init__(self, model: Any, stride: int, dropout: float) -> None:
        """Wrap an smp model.

        Args:
            model: the smp model.
            stride: as in :class:`Architecture`.
            dropout: dropout rate before the classifier.
        """
        super().__init__()
        self.model, self.stride = model, stride
        model.encoder.model.norm = nn.Identity()  # the Vision Transformer's last layer norm, which smp does not use
        *_, dropping, classifier = model.segmentation_head.head
        dropping.p = dropout
        self.feature_channels = classifier.in_channels
        self.feature_stride = int(model.segmentation_head.upsampling_factor)

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the features of the head at 1/2, and the output of the penultimate fusion."""
        decoder = self.model.decoder
        maps, tokens = self.model.encoder(pictures)
        parts = zip(decoder.projection_blocks, decoder.reassemble_blocks, maps, tokens, strict=True)
        levels = [reassemble(project(level, token)) for project, reassemble, level, token in parts]
        fused: list[Any] = [None]
        for fusion, level in zip(decoder.fusion_blocks, reversed(levels), strict=True):
            fused.append(fusion(level, fused[-1]))
        return self.model.segmentation_head.head[:3](fused[-1]), [fused[-2]]

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Apply dropout, compute logits at 1/2, and upsample them as smp does."""
        logits = self.model.segmentation_head.head[3:](features)
        return F.interpolate(logits, scale_factor=float(self.feature_stride), mode="bilinear", align_corners=True)

    def encoders(self) -> list[nn.Module]:
        """Return the Vision Transformer."""
        return [self.model.encoder]


class _PyramidBranch(nn.Module):
    """A branch of smp's pyramid pooling, without smp's special case for export, which would fix the picture's size."""

    def __init__(self, block: PSPBlock) -> None:
        """Take over the layers of a block.

        Args:
            block: smp's branch, whose layers and names of weights are taken over.
        """
        super().__init__()
        self.pool = block.pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, h, w) to (N, c, h, w)."""
        return F.interpolate(self.pool(x), size=x.shape[2:], mode="bilinear", align_corners=True)


def add_stage4_head(network: SmpArchitecture, classes: int, dropout: float, width: float = 1.0) -> None:
    """Add the auxiliary head of PSPNet and UPerNet: two layers of 256 channels after the last stage but one.

    The weight of its loss is 0.4 (Zhao et al., arXiv 1612.01105, section 3.3).
    """
    inputs = network.model.encoder.out_channels[-2]
    network.add_auxiliary([fcn_head(inputs, scaled(256, width), classes, dropout)], 0.4)


def _build(
    architecture: str, *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> Architecture:
    """Build an smp model.

    Args:
        architecture: its name in smp.
        classes: number of output channels.
        encoder: an smp encoder, or ``tu-`` and the name of a timm model.
        encoder_weights: a local file, a name whose weights smp downloads from its hub, or None for random weights.
        arguments: ``dropout``, ``auxiliary`` (where the model has such heads), and the arguments of smp's constructor.

    Raises:
        InputError: the encoder or an argument is unknown, or the weights are not available.
    """
    constructor = smp.MODEL_ARCHITECTURES_MAPPING[architecture]
    known = [p for p in inspect.signature(constructor.__init__).parameters if p not in _OWN]
    refuse_unknown(architecture, arguments, [*known, "dropout", *(["auxiliary"] if architecture in _AUXILIARY else [])])
    auxiliary = arguments.pop("auxiliary", architecture in _AUXILIARY)
    dropout_name, usual = _DROPOUTS.get(architecture, ("", 0.0))
    if "dropout" in arguments and dropout_name in arguments:
        raise InputError(
            f"model.dropout and model.args.{dropout_name} set the same value of '{architecture}': give only one"
        )
    dropout = arguments.pop("dropout", arguments.pop(dropout_name, usual))
    stride = _STRIDES.get(architecture, 32)
    if dropout_name:
        arguments[dropout_name] = dropout
    if architecture == "dpt":
        arguments |= {"dynamic_img_size": True, "num_classes": 0}
    if architecture == "pspnet":
        depth = arguments.setdefault("encoder_depth", 5)
        arguments["upsampling"] = stride = min(stride, 2**depth)
        if depth > 3:
            arguments["output_stride"] = stride
    model = _construct(architecture, classes, encoder or str(default_encoder(architecture)), encoder_weights, arguments)
    make_pooling_exportable(model)
    if architecture == "dpt":
        dpt = DPT(model, stride, dropout)
        if auxiliary:
            dpt.add_auxiliary([fcn_head(dpt.feature_channels, dpt.feature_channels, classes, dropout)], 0.2)
        return dpt
    if architecture == "pspnet":
        model.decoder.psp.blocks = nn.ModuleList(_PyramidBranch(block) for block in model.decoder.psp.blocks)
    network = SmpArchitecture(model, stride, _MINIMA.get(architecture, 0), 0.0 if dropout_name else dropout)
    if auxiliary:
        add_stage4_head(network, classes, dropout)
    return network


def _construct(
    architecture: str, classes: int, encoder: str, encoder_weights: str | None, arguments: dict[str, Any]
) -> Any:
    """Build a model of smp, and turn its errors into one line."""
    weights = published_weights(encoder, encoder_weights)
    with encoder_errors(architecture, encoder, encoder_weights):
        try:
            model = smp.MODEL_ARCHITECTURES_MAPPING[architecture](
                encoder_name=encoder, encoder_weights=weights, classes=classes, **arguments
            )
        except KeyError as error:
            known = smp.encoders.get_encoder_names()
            raise InputError(f"unknown encoder '{encoder}'{did_you_mean(encoder, known)}") from error
    if is_weight_file(encoder_weights):
        load_encoder_weights(model.encoder, Path(str(encoder_weights)).expanduser())
    return model


unet = partial(_build, "unet")
unetplusplus = partial(_build, "unetplusplus")
manet = partial(_build, "manet")
linknet = partial(_build, "linknet")
fpn = partial(_build, "fpn")
pspnet = partial(_build, "pspnet")
deeplabv3 = partial(_build, "deeplabv3")
deeplabv3plus = partial(_build, "deeplabv3plus")
pan = partial(_build, "pan")
upernet = partial(_build, "upernet")
segformer = partial(_build, "segformer")
dpt = partial(_build, "dpt")


def encoder_names() -> list[str]:
    """Return the names of smp's own encoders. Any timm model can be used as ``tu-NAME``, too."""
    return sorted(smp.encoders.get_encoder_names())
