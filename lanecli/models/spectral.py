"""Spectral normalisation of encoders: Miyato et al., "Spectral Normalization for Generative Adversarial Networks",
arXiv 1802.05957. It gives features whose density shows how well a model knows a part of a picture: Mukhoti et al.,
"Deep Deterministic Uncertainty", arXiv 2102.11582.

The kernel of every convolution and linear layer of the encoder, as a matrix of output channels by all other axes, is
divided by its largest singular value, which one power iteration per training step estimates. Decoder, classifier,
auxiliary heads, and batch and layer normalisation are not normalised. Unlike Mukhoti et al., who bound the norm by 3,
it is set to 1; batch normalisation scales it again.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from lanecli.modelfile import ModelSpec

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
Net = TypeVar("Net", bound=nn.Module)


def normalise_spectrum(module: nn.Module) -> int:
    """Normalise every convolution and linear layer inside `module`, in place, and return the number of layers."""
    layers = [layer for layer in module.modules() if isinstance(layer, _LAYERS)]
    for layer in layers:
        parametrizations.spectral_norm(layer)
    return len(layers)


def spec_without_spectral_norm(spec: ModelSpec) -> ModelSpec:
    """Return the specification of the network that :func:`without_spectral_norm` returns."""
    arguments = {key: value for key, value in spec.arguments.items() if key != "spectral_norm"}
    return replace(spec, arguments=arguments)


def without_spectral_norm(network: Net) -> Net:
    """Return a copy of `network` with plain weights equal to the normalised ones, or `network` if it has none."""
    if not any(parametrize.is_parametrized(module, "weight") for module in network.modules()):
        return network
    network = copy.deepcopy(network).eval()  # in training mode, reading a weight would change it
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            # torch's own function would remove the weight from a class that copies share
            weight = cast(torch.Tensor, module.weight).detach().clone()
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            module.weight = nn.Parameter(weight)
    return network
