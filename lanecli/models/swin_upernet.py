"""Swin Transformer with UPerNet: Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows",
ICCV 2021, arXiv 2103.14030; decoder: Xiao et al., "Unified Perceptual Parsing", ECCV 2018, arXiv 1807.10221.

The encoder comes from timm, the decoder from segmentation-models-pytorch, with 512 channels. Windows are shifted in
every second block, including the last stage, for any size of picture. The auxiliary head follows the authors'
configuration (github.com/SwinTransformer/Swin-Transformer-Semantic-Segmentation): it comes after the third stage, with
weight 0.4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm

from lanecli.errors import InputError, did_you_mean
from lanecli.models.building import encoder_errors, is_weight_file, published_weights, refuse_unknown, scaled
from lanecli.models.pooling import make_pooling_exportable
from lanecli.models.registry import default_encoder
from lanecli.models.smp_models import SmpArchitecture, add_stage4_head
from lanecli.models.swin_blocks import use_paper_windows
from lanecli.models.weights import load_encoder_weights

_STRIDE = 32
_HEAD_CHANNELS = 32  # per attention head at full width, in every Swin


def swin_upernet(
    *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> SmpArchitecture:
    """Build Swin with UPerNet.

    Args:
        classes: number of output channels.
        encoder: ``tu-`` and the name of a timm Swin; Swin-T by default.
        encoder_weights: a local file, a name whose weights are downloaded, or None for random weights.
        arguments: ``decoder_channels`` (512), ``width`` (1.0, factor of all channel numbers), ``depths`` (number of
            blocks in each of the four stages; by default as in the encoder), ``dropout`` (0.0, before the classifier),
            ``auxiliary`` (true: with the auxiliary head).

    Raises:
        InputError: the encoder is of another kind, an argument is unknown, or the weights are not available.
    """
    refuse_unknown("swin_upernet", arguments, ("decoder_channels", "width", "depths", "dropout", "auxiliary"))
    default = str(default_encoder("swin_upernet"))
    encoder = encoder or default
    swins = [f"tu-{name}" for name in timm.list_models("swin_*")]
    if encoder.split(".")[0] not in swins:
        hint = did_you_mean(encoder, swins) or f", such as '{default}'"
        raise InputError(f"model 'swin_upernet' takes timm's Swin encoders, not '{encoder}'{hint}")
    width = arguments.get("width", 1.0)
    options: dict[str, Any] = {"strict_img_size": False, "always_partition": True}
    if width != 1.0:
        heads = _heads(encoder)
        options["embed_dim"] = heads * scaled(_HEAD_CHANNELS, width)
    if arguments.get("depths") is not None:
        options["depths"] = tuple(arguments["depths"])
    with encoder_errors("swin_upernet", encoder, encoder_weights):
        model = smp.UPerNet(
            encoder,
            encoder_weights=published_weights(encoder, encoder_weights),
            classes=classes,
            decoder_channels=scaled(arguments.get("decoder_channels", 512), width),
            **options,
        )
    if is_weight_file(encoder_weights):
        load_encoder_weights(model.encoder, Path(str(encoder_weights)).expanduser())
    make_pooling_exportable(model)
    use_paper_windows(model)
    dropout = arguments.get("dropout", 0.0)
    network = SmpArchitecture(model, _STRIDE, dropout=dropout)
    if arguments.get("auxiliary", True):
        add_stage4_head(network, classes, dropout, width)
    return network


def _heads(encoder: str) -> int:
    """Return the number of attention heads of the first stage."""
    import torch

    with torch.device("meta"):
        swin = timm.create_model(encoder.removeprefix("tu-"))
    return int(swin.layers[0].blocks[0].attn.num_heads)
