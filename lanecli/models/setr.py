"""SETR: Zheng et al., "Rethinking Semantic Segmentation from a Sequence-to-Sequence Perspective with Transformers",
CVPR 2021, arXiv 2012.15840, section 3.3: a plain Vision Transformer and one of three decoders.

Naive and MLA only interpolate between patches, so that their outlines are as coarse as a patch; those of PUP are finer.

The encoder is timm's ViT, whose position embeddings are interpolated to the picture's grid of patches. The paper uses
ViT-Large (``encoder: tu-vit_large_patch16_224``); the default here is the small ViT-Ti. Auxiliary losses follow the
paper: two-layer heads after blocks 10, 15 and 20 of 24 (naive), also 24 (PUP), or 6, 12, 18 and 24 (MLA), and in
proportion for another depth. Their weight, 0.4, follows public implementations (mmsegmentation). Unlike the paper: the
class token stays in the sequence (its output is unused), and intermediate features pass through the last layer norm of
the encoder.
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
from lanecli.models.architecture import Architecture, fcn_head
from lanecli.models.building import encoder_errors, is_weight_file, refuse_unknown, scaled
from lanecli.models.registry import default_encoder
from lanecli.models.weights import load_encoder_weights

_ARGUMENTS = ("decoder_channels", "width", "depth", "dropout", "auxiliary")
_AUXILIARY_WEIGHT = 0.4


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _upsample(x: torch.Tensor, factor: float) -> torch.Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class Naive(nn.Module):
    """Two 1x1 convolutions, and one bilinear upsampling to the size of the picture."""

    taken = (24,)  # the blocks, of 24, whose output the decoder takes; then those with an auxiliary head
    auxiliary = (10, 15, 20)
    auxiliary_kernel = 1

    def __init__(self, inputs: int, channels: int, classes: int, patch: int) -> None:
        """Build the layers.

        Args:
            inputs: number of channels of the encoder.
            channels: number of channels between the layers.
            classes: number of output channels.
            patch: side of a patch in pixels.
        """
        super().__init__()
        self.patch = patch
        self.feature_channels, self.feature_stride = channels, patch
        self.layers = nn.Sequential(_conv(inputs, channels, 1), nn.Conv2d(channels, classes, 1))

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Map one (N, inputs, H/patch, W/patch) to (N, channels, H/patch, W/patch)."""
        return self.layers[0](maps[0])

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H/patch, W/patch) to (N, classes, H, W)."""
        return _upsample(self.layers[1](features), float(self.patch))


class Progressive(nn.Module):
    """PUP: 3x3 convolutions and upsampling by two alternate, four times for patches of 16 pixels."""

    taken = (24,)
    auxiliary = (10, 15, 20, 24)
    auxiliary_kernel = 3

    def __init__(self, inputs: int, channels: int, classes: int, patch: int) -> None:
        """Build the layers.

        Args:
            inputs: number of channels of the encoder.
            channels: number of channels between the layers.
            classes: number of output channels.
            patch: side of a patch in pixels, a power of two.
        """
        super().__init__()
        steps = patch.bit_length() - 1
        self.feature_channels, self.feature_stride = channels, 1
        self.layers = nn.ModuleList(_conv(inputs if i == 0 else channels, channels, 3) for i in range(steps))
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Map one (N, inputs, H/patch, W/patch) to (N, channels, H, W)."""
        x = maps[0]
        for layer in self.layers:
            x = _upsample(layer(x), 2.0)
        return x

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, classes, H, W)."""
        return self.classifier(features)


class MultiLevel(nn.Module):
    """MLA: features of four depths, summed from the deepest one upwards, each refined, then concatenated."""

    taken = auxiliary = (6, 12, 18, 24)
    auxiliary_kernel = 1

    def __init__(self, inputs: int, channels: int, classes: int, patch: int) -> None:
        """Build the layers.

        Args:
            inputs: number of channels of the encoder.
            channels: number of channels of each stream, halved at its end.
            classes: number of output channels.
            patch: side of a patch in pixels.
        """
        super().__init__()
        self.factor = patch / 4
        half = max(1, channels // 2)
        self.feature_channels, self.feature_stride = 4 * half, patch // 4
        self.reduce = nn.ModuleList(_conv(inputs, channels, 1) for _ in range(4))
        self.merge = nn.ModuleList(_conv(channels, channels, 3) for _ in range(4))
        self.refine = nn.ModuleList(
            nn.Sequential(_conv(channels, channels, 3), _conv(channels, half, 3)) for _ in range(4)
        )
        self.classifier = nn.Conv2d(4 * half, classes, 1)

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Map four (N, inputs, H/patch, W/patch), from shallow to deep, to (N, 4 half, 4 H/patch, 4 W/patch)."""
        total: torch.Tensor | None = None
        streams = []
        for level in (3, 2, 1, 0):
            reduced = self.reduce[level](maps[level])
            total = reduced if total is None else total + reduced
            streams.append(_upsample(self.refine[level](self.merge[level](total)), 4.0))
        return torch.cat(streams, 1)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Map the result of :meth:`forward` to (N, classes, H, W)."""
        # the classifier comes before the last upsampling: both are linear, and this order is cheaper
        return _upsample(self.classifier(features), self.factor)


class SETR(Architecture):
    """A Vision Transformer, and a decoder of its patch features."""

    def __init__(self, encoder: VisionTransformer, decoder: Any, patch: int, dropout: float = 0.0) -> None:
        """Join encoder and decoder, without auxiliary heads.

        Args:
            encoder: a Vision Transformer with ``dynamic_img_size``.
            decoder: one of the three decoders above.
            patch: side of a patch in pixels.
            dropout: share of channels dropped before the classifier.
        """
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.dropout = nn.Dropout2d(dropout)
        self.stride = patch
        self.feature_channels, self.feature_stride = decoder.feature_channels, decoder.feature_stride
        depth = len(encoder.blocks)
        self.taken = [depth * block // 24 - 1 for block in decoder.taken]
        self.tapped = [depth * block // 24 - 1 for block in decoder.auxiliary]
        self.wanted = sorted({*self.taken, *self.tapped})

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) to the features of the decoder, and the tokens for the auxiliary heads."""
        tokens = self.encoder.forward_intermediates(
            pictures, indices=self.wanted, norm=False, output_fmt="NLC", intermediates_only=True
        )
        of_block = dict(zip(self.wanted, tokens, strict=True))
        maps = [self._map(of_block[block], pictures.shape[-2:]) for block in self.taken]
        return self.dropout(self.decoder(maps)), [of_block[block] for block in self.tapped]

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Compute logits, and upsample them where the features of the decoder are smaller than the picture."""
        return self.decoder.classify(features)

    def auxiliary_logits(self, maps: list[torch.Tensor], size: torch.Size) -> list[torch.Tensor]:
        """Return the (N, classes, H, W) logits of each auxiliary head."""
        return super().auxiliary_logits([self._map(tokens, size) for tokens in maps], size)

    def _map(self, tokens: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """Normalise (N, patches, C) tokens and arrange them as (N, C, H/patch, W/patch)."""
        grid = size[0] // self.stride, size[1] // self.stride
        return self.encoder.norm(tokens).transpose(1, 2).unflatten(2, grid)


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
        name: the name of the model in the registry, for messages.
        decoder: the class of the decoder.
        classes: number of output channels.
        encoder: a timm ViT, with or without ``tu-`` before its name; ViT-Ti by default.
        encoder_weights: a local file, a name whose weights are downloaded, or None for random weights.
        arguments: ``decoder_channels`` (256), ``width`` (1.0, factor of all channel numbers), ``depth`` (that of the
            encoder), ``dropout`` (0.0, before the classifier), ``auxiliary`` (true: with auxiliary heads).

    Raises:
        InputError: the encoder is of another kind, an argument is unknown, or the weights are not available.
    """
    refuse_unknown(name, arguments, _ARGUMENTS)
    default = str(default_encoder(name))
    encoder = encoder or default
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
            raise InputError(f"model '{name}' takes timm's Vision Transformers, such as '{default}', not '{encoder}'")
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
    dropout = arguments.get("dropout", 0.0)
    network = SETR(vit, decoder(vit.embed_dim, channels, classes, patch), patch, dropout)
    if arguments.get("auxiliary", True):
        kernel: int = network.decoder.auxiliary_kernel
        heads = [fcn_head(vit.embed_dim, channels, classes, dropout, kernel) for _ in network.tapped]
        network.add_auxiliary(list(heads), _AUXILIARY_WEIGHT)
    return network


setr_naive = partial(_build, "setr_naive", Naive)
setr_pup = partial(_build, "setr_pup", Progressive)
setr_mla = partial(_build, "setr_mla", MultiLevel)
