"""SETR: Zheng et al., "Rethinking Semantic Segmentation from a Sequence-to-Sequence Perspective with Transformers",
CVPR 2021, arXiv 2012.15840, section 3.3: a plain Vision Transformer and one of three decoders.

Naive and MLA only interpolate from patches, so their outlines are as coarse as a patch; PUP's are not.

The encoder is timm's ViT; its position embeddings are interpolated to the picture's grid of patches. The paper's is
ViT-Large (``encoder: tu-vit_large_patch16_224``); the default is the small ViT-Ti. Deviations: the class token stays in
the sequence (its output is unused), intermediate features pass through the encoder's last layer norm, and the auxiliary
heads of training are left out, since a model here gives one logit map.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lanecli.errors import InputError
from lanecli.models.building import encoder_errors, is_weight_file, refuse_unknown, scaled
from lanecli.models.weights import load_encoder_weights

_DEFAULT = "tu-vit_tiny_patch16_224"
_ARGUMENTS = ("decoder_channels", "width", "depth")


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _upsample(x: torch.Tensor, factor: float) -> torch.Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Naive(nn.Module):
    """Two 1x1 convolutions, then one bilinear upsampling to the picture."""

    def __init__(self, inputs: int, channels: int, classes: int, patch: int) -> None:
        """Args: inputs: of the encoder; channels: between; classes: out; patch: side in pixels."""
        super().__init__()
        self.patch = patch
        self.layers = nn.Sequential(_conv(inputs, channels, 1), nn.Conv2d(channels, classes, 1))

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """The last of `features`, (N, inputs, H/patch, W/patch), to (N, classes, H, W)."""
        return _upsample(self.layers(features[-1]), float(self.patch))


class Progressive(nn.Module):
    """PUP: 3x3 convolutions and upsampling by two in turn, four times for patches of 16."""

    def __init__(self, inputs: int, channels: int, classes: int, patch: int) -> None:
        """Args: inputs: of the encoder; channels: between; classes: out; patch: side in pixels, a power of two."""
        super().__init__()
        steps = patch.bit_length() - 1
        self.layers = nn.ModuleList(_conv(inputs if i == 0 else channels, channels, 3) for i in range(steps))
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """The last of `features`, (N, inputs, H/patch, W/patch), to (N, classes, H, W)."""
        x = features[-1]
        for layer in self.layers:
            x = _upsample(layer(x), 2.0)
        return self.classifier(x)


class MultiLevel(nn.Module):
    """MLA: features of four depths, summed from the deepest up, each refined, concatenated."""

    def __init__(self, inputs: int, channels: int, classes: int, patch: int) -> None:
        """Args: inputs: of the encoder; channels: of each stream, halved at its end; classes: out; patch: in pixels."""
        super().__init__()
        self.factor = patch / 4
        half = max(1, channels // 2)
        self.reduce = nn.ModuleList(_conv(inputs, channels, 1) for _ in range(4))
        self.merge = nn.ModuleList(_conv(channels, channels, 3) for _ in range(4))
        self.refine = nn.ModuleList(
            nn.Sequential(_conv(channels, channels, 3), _conv(channels, half, 3)) for _ in range(4)
        )
        self.classifier = nn.Conv2d(4 * half, classes, 1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Four maps (N, inputs, H/patch, W/patch), shallow to deep, to (N, classes, H, W)."""
        total: torch.Tensor | None = None
        streams = []
        for level in (3, 2, 1, 0):
            reduced = self.reduce[level](features[level])
            total = reduced if total is None else total + reduced
            streams.append(_upsample(self.refine[level](self.merge[level](total)), 4.0))
        # classified before the last upsampling: both are linear, and this way round is cheaper
        return _upsample(self.classifier(torch.cat(streams, 1)), self.factor)


class SETR(nn.Module):
    """A Vision Transformer and a decoder of its patch features."""

    minimum = 0

    def __init__(self, encoder: VisionTransformer, decoder: nn.Module, patch: int) -> None:
        """Args: encoder: with ``dynamic_img_size``; decoder: one of the three; patch: side in pixels."""
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.stride = patch
        depth = len(encoder.blocks)
        self.taken = [depth * (i + 1) // 4 - 1 for i in range(4)] if isinstance(decoder, MultiLevel) else [depth - 1]

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float to (N, classes, H, W) logits; H and W multiples of the patch's side."""
        features = self.encoder.forward_intermediates(
            pictures, indices=self.taken, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return self.decoder(features)


def _build(
    name: str,
    decoder: type[nn.Module],
    *,
    classes: int,
    encoder: str | None = None,
    encoder_weights: str | None = None,
    **arguments: Any,
) -> SETR:
    """Build SETR.

    Args:
        name: in the registry, for messages.
        decoder: its class.
        classes: output channels.
        encoder: a timm ViT, with or without ``tu-`` before its name; ViT-Ti by default.
        encoder_weights: None, a local file, or a name to fetch.
        arguments: ``decoder_channels`` (256), ``width`` (1.0, factor of all channels), ``depth`` (the encoder's).

    Raises:
        InputError: another kind of encoder, an unknown argument, or weights that cannot be had.
    """
    refuse_unknown(name, arguments, _ARGUMENTS)
    encoder = encoder or _DEFAULT
    vit_name = encoder.removeprefix("tu-")
    width, depth = arguments.get("width", 1.0), arguments.get("depth")
    if depth is not None and depth < 4:
        raise InputError(f"model '{name}' needs a depth of 4 or more, not {depth}")
    local = is_weight_file(encoder_weights)
    options: dict[str, Any] = {"dynamic_img_size": True, "num_classes": 0, "global_pool": ""}
    if depth is not None:
        options["depth"] = depth
    with encoder_errors(name, encoder, encoder_weights):
        with torch.device("meta"):
            plain = timm.create_model(vit_name)
        if not isinstance(plain, VisionTransformer):
            raise InputError(f"model '{name}' takes timm's Vision Transformers, such as '{_DEFAULT}', not '{encoder}'")
        if width != 1.0:
            heads = plain.blocks[0].attn.num_heads
            options["embed_dim"] = heads * scaled(plain.embed_dim // heads, width)
        vit = timm.create_model(vit_name, pretrained=encoder_weights is not None and not local, **options)
    patch = vit.patch_embed.patch_size[0]
    if patch < 4 or patch & (patch - 1):
        raise InputError(f"model '{name}' needs a patch side that is a power of two, encoder '{encoder}' has {patch}")
    if local and encoder_weights is not None:
        load_encoder_weights(vit, Path(encoder_weights).expanduser())
    channels = scaled(arguments.get("decoder_channels", 256), width)
    return SETR(vit, decoder(vit.embed_dim, channels, classes, patch), patch)


setr_naive = partial(_build, "setr_naive", Naive)
setr_pup = partial(_build, "setr_pup", Progressive)
setr_mla = partial(_build, "setr_mla", MultiLevel)
