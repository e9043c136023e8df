"""Every architecture of segmentation-models-pytorch, with any of its encoders (timm's through ``tu-NAME``).

Unlike smp's own: PSPNet's encoder has all its stages, the last two dilated to stride 8, as in its paper (smp ends after
the third), unless ``encoder_depth`` says otherwise; PSPNet and UPerNet have their papers' auxiliary head behind stage 4
with weight 0.4, DPT its own behind the penultimate fusion with weight 0.2.
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
"""smp's argument for the rate and its default, where it has dropout; the others have theirs before the classifier."""
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
"""Arguments of smp that say what is said elsewhere, or would give something else than logits of the picture's size."""


class SmpArchitecture(Architecture):
    """One smp model: encoder, decoder, and a head of one convolution and an upsampling."""

    def __init__(self, model: Any, stride: int, minimum: int = 0, dropout: float = 0.0) -> None:
        """Args: model: the smp model; stride, minimum: as in Architecture; dropout: of channels before the head."""
        super().__init__()
        self.model = model
        self.dropout = nn.Dropout2d(dropout)
        self.stride, self.minimum = stride, minimum
        convolution, upsampling, _ = model.segmentation_head
        self.feature_channels = convolution.in_channels
        self.feature_stride = int(getattr(upsampling, "scale_factor", 1))

    def describe(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(N, 3, H, W) to what the decoder ends with, and the encoder's last map but one."""
        maps = self.model.encoder(pictures)
        fourth = maps[-2]
        return self.dropout(self.model.decoder(maps)), [fourth]

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """smp's segmentation head."""
        return self.model.segmentation_head(features)

    def encoders(self) -> list[nn.Module]:
        """smp's encoder."""
        return [self.model.encoder]


class DPT(Architecture):
    """smp's DPT, whose head has layers of its own before the classifier."""

    def __init__(self, model: Any, stride: int, dropout: float) -> None:
        """Args: model: the smp model; stride: as in Architecture; dropout: before the classifier."""
        super().__init__()
        self.model, self.stride = model, stride
        model.encoder.model.norm = nn.Identity()  # the Vision Transformer's last layer norm, which smp does not use
        *_, dropping, classifier = model.segmentation_head.head
        dropping.p = dropout
        self.feature_channels = classifier.in_channels
        self.feature_stride = int(model.segmentation_head.upsampling_factor)

    def describe(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(N, 3, H, W) to the head's features at 1/2, and the output of the penultimate fusion."""
        decoder = self.model.decoder
        maps, tokens = self.model.encoder(pictures)
        parts = zip(decoder.projection_blocks, decoder.reassemble_blocks, maps, tokens, strict=True)
        levels = [reassemble(project(level, token)) for project, reassemble, level, token in parts]
        fused: list[Any] = [None]
        for fusion, level in zip(decoder.fusion_blocks, reversed(levels), strict=True):
            fused.append(fusion(level, fused[-1]))
        return self.model.segmentation_head.head[:3](fused[-1]), [fused[-2]]

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Dropout, scores at 1/2, and smp's upsampling."""
        logits = self.model.segmentation_head.head[3:](features)
        return F.interpolate(logits, scale_factor=float(self.feature_stride), mode="bilinear", align_corners=True)

    def encoders(self) -> list[nn.Module]:
        """The Vision Transformer."""
        return [self.model.encoder]


class _PyramidBranch(nn.Module):
    """One branch of smp's pyramid pooling without its detour for export, which fixes the picture's size."""

    def __init__(self, block: PSPBlock) -> None:
        """Args: block: smp's, whose layers and names of weights it takes over."""
        super().__init__()
        self.pool = block.pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, c, h, w)."""
        return F.interpolate(self.pool(x), size=x.shape[2:], mode="bilinear", align_corners=True)


def add_stage4_head(network: SmpArchitecture, classes: int, dropout: float, width: float = 1.0) -> None:
    """Add the auxiliary head of PSPNet and UPerNet: two layers of 256 channels behind the encoder's last stage but one.

    The weight of its loss is 0.4 (Zhao et al., arXiv 1612.01105, section 3.3).
    """
    inputs = network.model.encoder.out_channels[-2]
    network.add_auxiliary([fcn_head(inputs, scaled(256, width), classes, dropout)], 0.4)


def _build(
    architecture: str, *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> Architecture:
    """Build an smp model.

    Args:
        architecture: smp's name of it.
        classes: output channels.
        encoder: an smp encoder, or ``tu-`` and a timm model's name.
        encoder_weights: None for random ones, a local weight file, or a name smp fetches from its hub.
        arguments: ``dropout``, ``auxiliary`` (where it has such heads), and those of smp's constructor.

    Raises:
        InputError: unknown encoder or argument, or weights that cannot be had.
    """
    constructor = smp.MODEL_ARCHITECTURES_MAPPING[architecture]
    known = [p for p in inspect.signature(constructor.__init__).parameters if p not in _OWN]
    refuse_unknown(architecture, arguments, [*known, "dropout", *(["auxiliary"] if architecture in _AUXILIARY else [])])
    auxiliary = arguments.pop("auxiliary", architecture in _AUXILIARY)
    named, usual = _DROPOUTS.get(architecture, ("", 0.0))
    if "dropout" in arguments and named in arguments:
        raise InputError(f"model.dropout and model.args.{named} say the same of '{architecture}': give one of them")
    dropout = arguments.pop("dropout", arguments.pop(named, usual))
    stride = _STRIDES.get(architecture, 32)
    if named:
        arguments[named] = dropout
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
    network = SmpArchitecture(model, stride, _MINIMA.get(architecture, 0), 0.0 if named else dropout)
    if auxiliary:
        add_stage4_head(network, classes, dropout)
    return network


def _construct(
    architecture: str, classes: int, encoder: str, encoder_weights: str | None, arguments: dict[str, Any]
) -> Any:
    """smp's model, with every error of its in one line."""
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
    """Every encoder of smp's own; any timm model goes as ``tu-NAME`` besides."""
    return sorted(smp.encoders.get_encoder_names())
