"""Spectral normalisation of encoders: Miyato et al., "Spectral Normalization for Generative Adversarial Networks",
arXiv 1802.05957. It gives features whose density shows how well a model knows a part of a picture: Mukhoti et al.,
"Deep Deterministic Uncertainty", arXiv 2102.11582.

The kernel of every convolution and linear layer of the encoder, as a matrix of output channels by all other axes, is
divided by its largest singular value, which one power iteration per training step estimates. Decoder, classifier,
auxiliary heads, and batch and layer normalisation are not normalised. With a bound other than 1, such as the 3 of
Mukhoti et al., only kernels whose norm is above it are divided, down to it; batch normalisation scales them again.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

from lanecli.errors import InputError
from lanecli.modelfile import ModelSpec

_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
_ORIGINAL = ".parametrizations.weight.original"
_ITERATIONS = 15  # as in the beginning
Net = TypeVar("Net", bound=nn.Module)


def check_bound(bound: float) -> None:
    """Raise InputError unless `bound`, which is ``True`` for 1, can bound the norm of a kernel."""
    if not 0 < bound < float("inf"):
        raise InputError(f"spectral_norm is true, or the largest norm of a kernel, such as 3, not {bound}")


def normalise_spectrum(module: nn.Module, bound: float = 1.0) -> int:
    """Normalise every convolution and linear layer inside `module`, in place, and return the number of layers.

    Args:
        module: the encoder.
        bound: 1 divides every kernel by its norm; another number divides those above it, so that it is their norm.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _LAYERS)]
    for layer in layers:
        if bound == 1:
            parametrizations.spectral_norm(layer)
        else:
            # of a transposed convolution the second axis has the output channels
            parametrize.register_parametrization(
                layer, "weight", _Bounded(layer.weight, float(bound), int(isinstance(layer, nn.ConvTranspose2d)))
            )
    return len(layers)


class _Bounded(_SpectralNorm):
    """Divides a weight W by max(1, norm / bound), as Mukhoti et al. do (arXiv 2102.11582)."""

    def __init__(self, weight: Tensor, bound: float, dim: int) -> None:
        super().__init__(weight, dim=dim)
        self.bound = bound

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight that the layer computes with."""
        normalised = super().forward(weight)
        # copies, because the next step changes the vectors before this one's gradient is computed
        norm = torch.vdot(self._u.clone(), torch.mv(self._reshape_weight_to_matrix(weight), self._v.clone()))
        return normalised * norm.clamp_max(self.bound)


def as_originals(state: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """Return `state` with plain weights under the names they have in a normalised network with the keys `wanted`."""
    renamed = {}
    for name, tensor in state.items():
        original = f"{name.removesuffix('.weight')}{_ORIGINAL}"
        renamed[original if original in wanted else name] = tensor
    return renamed


def is_estimate(name: str) -> bool:
    """Whether a tensor with this name in a state is a singular vector that was estimated, and not a weight."""
    return ".parametrizations.weight." in name and name.endswith(("._u", "._v"))


def estimate_norms(module: nn.Module) -> None:
    """Estimate the norms anew, after the weights inside `module` have been replaced."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, "weight"):
            weight = cast(parametrize.ParametrizationList, cast(nn.ModuleDict, layer.parametrizations)["weight"])
            norm = cast(_SpectralNorm, weight[0])
            norm._power_method(norm._reshape_weight_to_matrix(weight.original), _ITERATIONS)


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
