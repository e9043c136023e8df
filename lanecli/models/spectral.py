"""Spectral normalisation of encoders: Miyato et al., "Spectral Normalization for Generative Adversarial Networks",
arXiv 1802.05957; for features whose density tells how far a model knows a place: Mukhoti et al., "Deep Deterministic
Uncertainty", arXiv 2102.11582.

Every convolution and linear layer of the encoder is divided by its largest singular value, its kernel taken as a matrix
of output channels by everything else, found by one power iteration a training step. Decoder, classifier and auxiliary
heads stay free, and so do batch and layer normalisation. Unlike Mukhoti et al., whose bound is 3, the norm is set to 1
and not only bounded; batch normalisation scales it again.
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
    """Normalise every convolution and linear layer inside `module`, in place; how many comes back."""
    layers = [layer for layer in module.modules() if isinstance(layer, _LAYERS)]
    for layer in layers:
        parametrizations.spectral_norm(layer)
    return len(layers)


def plain_spec(spec: ModelSpec) -> ModelSpec:
    """The specification of the network :func:`folded` gives."""
    arguments = {key: value for key, value in spec.arguments.items() if key != "spectral_norm"}
    return replace(spec, arguments=arguments)


def folded(network: Net) -> Net:
    """A copy of `network` with plain weights that equal the normalised ones; without any, `network` itself."""
    if not any(parametrize.is_parametrized(module, "weight") for module in network.modules()):
        return network
    network = copy.deepcopy(network).eval()  # in eval mode, or reading a weight would change it
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            # not by torch's own removal, which takes the weight from the class that copies share
            weight = cast(torch.Tensor, module.weight).detach().clone()
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            module.weight = nn.Parameter(weight)
    return network
