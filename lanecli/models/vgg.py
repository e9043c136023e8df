"""The convolutions of VGG16: Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015, arXiv 1409.1556, configuration D, for the architectures that start from it.

The layers and the published weights are torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
import torchvision
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from lanecli.errors import InputError, did_you_mean
from lanecli.models.building import is_weight_file, refuse_unknown, scaled
from lanecli.models.checkpointing import checkpointed
from lanecli.models.pretrained import not_fetched
from lanecli.models.registry import default_encoder
from lanecli.models.weights import load_encoder_weights

Net = TypeVar("Net", bound=nn.Module)
ENCODERS = ("vgg16", "vgg16_bn")


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions in five stages, each closed by 2x2 max pooling; names as in torchvision's files."""

    def __init__(self, width: float = 1.0, batch_norm: bool = False) -> None:
        """Args: width: factor of all channels; batch_norm: after every convolution."""
        super().__init__()
        self.features = make_layers([w if isinstance(w, str) else scaled(w, width) for w in cfgs["D"]], batch_norm)
        self.checkpointing = False
        initialise(self)

    @property
    def channels(self) -> list[int]:
        """Channels after each of the five stages."""
        convolutions = [[layer for layer in stage if isinstance(layer, nn.Conv2d)] for stage in self.stages()]
        return [stage[-1].out_channels for stage in convolutions]

    def stages(self) -> list[nn.Sequential]:
        """The five stages, without their poolings."""
        ends = [i for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        return [self.features[start:end] for start, end in zip([0, *(e + 1 for e in ends)], ends, strict=False)]

    def checkpoint_stages(self) -> int:
        """Checkpoint each stage from now on; how many there are."""
        self.checkpointing = True
        return 5

    def stage(self, number: int, features: torch.Tensor) -> torch.Tensor:
        """What stage `number`, from 0, makes of `features` before its pooling."""
        layers = self.stages()[number]
        return checkpointed(self, layers, features) if self.checkpointing else layers(features)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, H, W) to the output of each of the five poolings, at 1/2 … 1/32."""
        pools = [layer for layer in self.features if isinstance(layer, nn.MaxPool2d)]
        pooled = []
        for number, pool in enumerate(pools):
            pictures = pool(self.stage(number, pictures))
            pooled.append(pictures)
        return pooled


def initialise(module: Net) -> Net:
    """He et al.'s normal weights (arXiv 1502.01852) and zero biases for every convolution inside `module`, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def small(score: nn.Conv2d) -> nn.Conv2d:
    """Give a layer of class scores small normal weights (0.01, as the papers do) and a zero bias, in place."""
    nn.init.normal_(score.weight, std=0.01)
    if score.bias is not None:
        nn.init.zeros_(score.bias)
    return score


def fully_connected(inputs: int, hidden: int, kernel: int, dilation: int, dropout: float) -> nn.Sequential:
    """fc6 and fc7 as convolutions, each with ReLU and dropout: (N, inputs, h, w) to (N, hidden, h, w)."""
    layers: list[nn.Module] = []
    for channels, side, rate in ((inputs, kernel, dilation), (hidden, 1, 1)):
        convolution = nn.Conv2d(channels, hidden, side, padding=rate * (side // 2), dilation=rate)
        layers += [convolution, nn.ReLU(inplace=True), nn.Dropout(dropout)]
    return initialise(nn.Sequential(*layers))


def build_vgg16(
    model: str,
    encoder: str | None,
    encoder_weights: str | None,
    arguments: Mapping[str, Any],
    allowed: tuple[str, ...] = ENCODERS,
) -> VGG16:
    """The encoder of `model`, whose arguments are ``width``, the factor of all channels (1.0), and ``dropout``.

    Args:
        model: its name.
        encoder: one of `allowed`, or None for the model's own; ``vgg16_bn`` has batch normalisation.
        encoder_weights: None for random ones, a local file, ``imagenet``, or torchvision's name of a set.
        arguments: of the model; others than those two are refused.
        allowed: the encoders `model` has.

    Raises:
        InputError: another encoder, an unknown argument, or weights that do not exist, fit or arrive.
    """
    refuse_unknown(model, arguments, ("width", "dropout"))
    encoder, width = encoder or str(default_encoder(model)), arguments.get("width", 1.0)
    if encoder not in allowed:
        raise InputError(
            f"model '{model}' has its own encoder ({' or '.join(allowed)}), not '{encoder}': leave out model.encoder"
        )
    vgg = VGG16(width, batch_norm=encoder == "vgg16_bn")
    if encoder_weights is None:
        return vgg
    if is_weight_file(encoder_weights):
        load_encoder_weights(vgg, Path(encoder_weights).expanduser())
        return vgg
    if width != 1.0:
        raise InputError(f"weights '{encoder_weights}' of encoder '{encoder}' need model.width 1, not {width}")
    published = torchvision.models.get_model_weights(encoder).__members__
    name = "IMAGENET1K_V1" if encoder_weights == "imagenet" else encoder_weights
    if name not in published:
        known = ["imagenet", *published]
        raise InputError(
            f"encoder '{encoder}' has no weights '{encoder_weights}'{did_you_mean(encoder_weights, known)}; "
            f"there are: {', '.join(known)}"
        )
    try:
        state = published[name].get_state_dict(progress=False, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise not_fetched(encoder, encoder_weights) from error
    vgg.load_state_dict({key: value for key, value in state.items() if key.startswith("features.")})
    return vgg
