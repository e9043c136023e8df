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
    """Thirteen 3x3 convolutions in five stages, each ending with 2x2 max pooling. Names are those of torchvision."""

    def __init__(self, width: float = 1.0, batch_norm: bool = False) -> None:
        """Build the layers.

        Args:
            width: factor of all channel numbers.
            batch_norm: whether batch norm follows every convolution.
        """
        super().__init__()
        self.features = make_layers([w if isinstance(w, str) else scaled(w, width) for w in cfgs["D"]], batch_norm)
        self.checkpointing = False
        initialise(self)

    @property
    def channels(self) -> list[int]:
        """The numbers of channels after each of the five stages."""
        convolutions = [[layer for layer in stage if isinstance(layer, nn.Conv2d)] for stage in self.stages()]
        return [stage[-1].out_channels for stage in convolutions]

    def stages(self) -> list[nn.Sequential]:
        """Return the five stages, without their poolings."""
        ends = [i for i, layer in enumerate(self.features) if isinstance(layer, nn.MaxPool2d)]
        return [self.features[start:end] for start, end in zip([0, *(e + 1 for e in ends)], ends, strict=False)]

    def checkpoint_stages(self) -> int:
        """Checkpoint each stage from now on, and return the number of stages."""
        self.checkpointing = True
        return 5

    def stage(self, number: int, features: torch.Tensor) -> torch.Tensor:
        """Apply stage `number`, counted from 0, to `features`, without its pooling."""
        layers = self.stages()[number]
        return checkpointed(self, layers, features) if self.checkpointing else layers(features)

    def forward(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        """Map (N, 3, H, W) to the output of each of the five poolings, at 1/2 … 1/32."""
        pools = [layer for layer in self.features if isinstance(layer, nn.MaxPool2d)]
        pooled = []
        for number, pool in enumerate(pools):
            pictures = pool(self.stage(number, pictures))
            pooled.append(pictures)
        return pooled


def initialise(module: Net) -> Net:
    """Give every convolution in `module` normal weights (He et al., arXiv 1502.01852) and zero biases, in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def initialise_scores(score: nn.Conv2d) -> nn.Conv2d:
    """Give a classifying layer small normal weights (0.01, as in the papers) and a zero bias, in place."""
    nn.init.normal_(score.weight, std=0.01)
    if score.bias is not None:
        nn.init.zeros_(score.bias)
    return score


def fully_connected(inputs: int, hidden: int, kernel: int, dilation: int, dropout: float) -> nn.Sequential:
    """Build fc6 and fc7 as convolutions with ReLU and dropout; they map (N, inputs, h, w) to (N, hidden, h, w)."""
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
    """Build the encoder of `model`.

    Args:
        model: the name of the model.
        encoder: one of `allowed`, or None for the default of the model; ``vgg16_bn`` has batch normalisation.
        encoder_weights: a local file, ``imagenet``, torchvision's name of a set, or None for random weights.
        arguments: the arguments of the model: ``width``, the factor of all channel numbers (1.0), and ``dropout``.
        allowed: the encoders of the model.

    Raises:
        InputError: the encoder is another one, an argument is unknown, or the weights do not exist, do not fit or could
            not be fetched.
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
