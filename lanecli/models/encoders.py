"""Building an encoder of smp or timm by itself, for architectures whose decoders are our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp

from lanecli.errors import InputError, did_you_mean
from lanecli.models.building import encoder_errors, is_weight_file, published_weights
from lanecli.models.weights import load_encoder_weights


def build_encoder(model: str, encoder: str, weights: str | None, **arguments: Any) -> Any:
    """Build an encoder of five stages.

    Args:
        model: the architecture it is for, which messages name.
        encoder: its name in smp, or ``tu-`` and the name of a timm model.
        weights: a local file, the name of published weights, or None for random weights.
        arguments: further arguments of smp's function.

    Raises:
        InputError: the encoder is unknown or cannot be built so, or the weights are not available.
    """
    names = smp.encoders.get_encoder_names()
    if not encoder.startswith("tu-") and encoder not in names:
        raise InputError(f"unknown encoder '{encoder}'{did_you_mean(encoder, names)}")
    with encoder_errors(model, encoder, weights):
        built = smp.encoders.get_encoder(encoder, depth=5, weights=published_weights(encoder, weights), **arguments)
    if is_weight_file(weights):
        load_encoder_weights(built, Path(str(weights)).expanduser())
    return built
