"""Every architecture of segmentation-models-pytorch, with any of its encoders (timm's through ``tu-NAME``)."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import torch
from torch import nn

from lanecli.errors import InputError, nearest
from lanecli.models.weights import load_encoder_weights

_MINIMA = {"pan": 128}
_STRIDES = {"unet": 32, "pspnet": 8, "deeplabv3": 8, "deeplabv3plus": 16, "pan": 16}
_DEFAULT_ENCODERS = {"segformer": "mit_b0", "dpt": "tu-vit_tiny_patch16_224"}
_FILE_SUFFIXES = (".safetensors", ".pth", ".pt")


class SmpNetwork(nn.Module):
    """One smp model under lanecli's contract: no auxiliary outputs, and its stride known."""

    def __init__(self, model: nn.Module, stride: int, minimum: int) -> None:
        """Args: model: the smp model; stride: what H and W must be multiples of; minimum: what they must reach."""
        super().__init__()
        self.model = model
        self.stride, self.minimum = stride, minimum

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) float to (N, C, H, W) logits."""
        return self.model(pictures)


def _build(
    architecture: str, *, classes: int, encoder: str | None = None, encoder_weights: str | None = None, **arguments: Any
) -> SmpNetwork:
    """Build an smp model.

    Args:
        architecture: smp's name of it.
        classes: output channels.
        encoder: an smp encoder, or ``tu-`` and a timm model's name.
        encoder_weights: None for random ones, a local weight file, or a name smp fetches from its hub.
        arguments: passed to the architecture's constructor.

    Raises:
        InputError: unknown encoder or argument, or weights that cannot be had.
    """
    constructor = smp.MODEL_ARCHITECTURES_MAPPING[architecture]
    known = [p for p in inspect.signature(constructor.__init__).parameters if p not in ("self", "kwargs")]
    for name in arguments:
        if name not in known:
            raise InputError(f"model '{architecture}' takes no argument '{name}'{nearest(name, known)}")
    encoder = encoder or _DEFAULT_ENCODERS.get(architecture, "resnet18")
    local = encoder_weights is not None and encoder_weights.endswith(_FILE_SUFFIXES)
    if architecture == "dpt":
        arguments.setdefault("dynamic_img_size", True)
    try:
        model = constructor(
            encoder_name=encoder, encoder_weights=None if local else encoder_weights, classes=classes, **arguments
        )
    except KeyError as error:
        raise InputError(f"unknown encoder '{encoder}'{nearest(encoder, smp.encoders.get_encoder_names())}") from error
    except (OSError, RuntimeError) as error:
        if encoder_weights is None or local:
            raise InputError(
                f"model '{architecture}' cannot be built with encoder '{encoder}': {_first(error)}"
            ) from error
        raise InputError(
            f"weights '{encoder_weights}' of encoder '{encoder}' could not be fetched (no network?): use "
            "model.encoder_weights=null, or give a downloaded file (model.encoder_weights=FILE.safetensors)"
        ) from error
    except (TypeError, ValueError, AssertionError) as error:
        raise InputError(f"model '{architecture}' cannot be built with encoder '{encoder}': {_first(error)}") from error
    if local and encoder_weights is not None:
        load_encoder_weights(model.encoder, Path(encoder_weights).expanduser())
    return SmpNetwork(model, _STRIDES.get(architecture, 32), _MINIMA.get(architecture, 0))


def _first(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
