"""Uncertainty inside a network's graph: torch modules that compute one map from features or logits of the same pass."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lanecli.modelfile import ModelSpec
from lanecli.models.outputs import Output
from lanecli.uncertainty.density import ClassGaussians, log_normaliser
from lanecli.uncertainty.neco import PrincipalSpace

if TYPE_CHECKING:
    from lanecli.models.build import Network

CELL = 4
"""Side, in pixels, of a cell of density and NECO: where features are finer, a cell has the mean of its middle ones."""


@contextlib.contextmanager
def _in_single(values: torch.Tensor) -> Iterator[torch.Tensor]:
    """Give `values` in float32, with autocast off: in half precision a density would drown in rounding."""
    kind = values.device.type
    if torch.is_autocast_enabled(kind):
        with torch.autocast(kind, enabled=False):
            yield values.float()
    else:  # no context, because the exporter would have to trace it
        yield values.float()


class Cells(nn.Module):
    """Features at a multiple of their stride: the mean of the middle two by two of each cell.

    The mean of a whole cell would blur thin markings into their surroundings; that of the middle also lies on the
    cell's centre. A strided convolution is used because slicing would copy the whole map.
    """

    taps: torch.Tensor

    def __init__(self, channels: int, step: int) -> None:
        """Set up.

        Args:
            channels: D.
            step: features along a side of a cell: 1, which changes nothing, or an even number.
        """
        super().__init__()
        self.step = step
        side = step // 2 + 1
        taps = torch.zeros(channels, 1, side, side)
        taps[..., -2:, -2:] = 0.25
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Reduce (N, D, h, w), with h and w multiples of the step, to (N, D, h / step, w / step)."""
        if self.step == 1:
            return features
        return F.conv2d(features, self.taps, stride=self.step, groups=self.taps.shape[0])


class LogDensity(Output):
    """:meth:`ClassGaussians.log_density`, the log density under one Gaussian per class, as 1x1 convolutions.

    Whitening is one convolution for all classes: with the Cholesky factor L of a covariance, the squares of L^-1 (x -
    m) sum to the Mahalanobis distance. If features are reduced, that convolution includes their projection.
    """

    needs: tuple[str, ...] = ("features",)
    whitening: torch.Tensor
    offset: torch.Tensor
    constant: torch.Tensor

    def __init__(self, spec: ModelSpec, network: Network, arguments: Mapping[str, Any]) -> None:
        """Set up with buffers of the right shapes, whose values are loaded or set by :meth:`fill`.

        Args:
            spec: specification of the model.
            network: the network; its ``feature_channels`` are used.
            arguments: ``groups``: number of Gaussians; ``components``: k of each; ``step``: features along a side of a
                cell.
        """
        super().__init__(spec, network, arguments)
        self.groups, self.components = int(arguments["groups"]), int(arguments["components"])
        channels = network.feature_channels
        self.cells = Cells(channels, int(arguments["step"]))
        self.reduced = self.components < channels and self.groups > 1
        width = self.components if self.reduced else channels
        if self.reduced:
            self.register_buffer("basis", torch.zeros(self.components, channels, 1, 1))
            self.register_buffer("basis_offset", torch.zeros(self.components))
        self.register_buffer("whitening", torch.zeros(self.groups * self.components, width, 1, 1))
        self.register_buffer("offset", torch.zeros(self.groups * self.components))
        self.register_buffer("constant", torch.zeros(self.groups))
        halves = torch.zeros(self.groups, self.groups * self.components, 1, 1)
        for group in range(self.groups):
            halves[group, group * self.components : (group + 1) * self.components] = -0.5
        self.register_buffer("halves", halves, persistent=False)

    def fill(self, gaussians: ClassGaussians) -> None:
        """Take the numbers of fitted Gaussians."""
        inverses = [np.linalg.inv(factor) for factor in gaussians.factors]
        offsets = [-inverse @ mean for inverse, mean in zip(inverses, gaussians.means, strict=True)]
        if gaussians.basis is not None and gaussians.origin is not None:
            shift = -gaussians.basis @ gaussians.origin
            if self.reduced:
                self._set("basis", gaussians.basis)
                self._set("basis_offset", shift)
            else:
                offsets = [o + inverse @ shift for o, inverse in zip(offsets, inverses, strict=True)]
                inverses = [inverse @ gaussians.basis for inverse in inverses]
        self._set("whitening", np.concatenate(inverses))
        self._set("offset", np.concatenate(offsets))
        weight = math.log(len(gaussians.factors))
        self._set("constant", np.array([log_normaliser(factor) - weight for factor in gaussians.factors]))

    def _set(self, name: str, values: np.ndarray) -> None:
        buffer = self.get_buffer(name)
        buffer.copy_(torch.from_numpy(values).reshape(buffer.shape))

    def forward(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the log density, (N, h / step, w / step), float32, nats, of ``features`` (N, D, h, w)."""
        with _in_single(outputs["features"]) as features:
            return self.of_cells(self.cells(features))

    def of_cells(self, cells: torch.Tensor) -> torch.Tensor:
        """Return the log density, (N, h, w), of cells' features (N, D, h, w), float32."""
        if self.reduced:
            cells = F.conv2d(cells, self.get_buffer("basis"), self.get_buffer("basis_offset"))
        white = F.conv2d(cells, self.whitening, self.offset)
        each = F.conv2d(white * white, self.get_buffer("halves"), self.constant)
        # subtract the largest explicitly: not every runtime's log-sum-exp does, and these values lie in the hundreds
        highest = each.amax(1, keepdim=True)
        return (highest + (each - highest).exp().sum(1, keepdim=True).log())[:, 0]


class Energy(Output):
    """:func:`lanecli.uncertainty.energy.energy` of the logits."""

    needs: tuple[str, ...] = ("logits",)

    def __init__(self, spec: ModelSpec, network: Network, arguments: Mapping[str, Any]) -> None:
        """Set up.

        Args:
            spec: specification of the model; its label map selects the formula.
            network, arguments: not used.
        """
        super().__init__(spec, network, arguments)
        self.multilabel = spec.label_map.multilabel

    def forward(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the energy, (N, h, w), of ``logits`` (N, C, h, w)."""
        logits = outputs["logits"].float()
        if self.multilabel:
            return -F.softplus(logits).sum(1)
        highest = logits.amax(1, keepdim=True)
        return -(highest + (logits - highest).exp().sum(1, keepdim=True).log())[:, 0]


class Entropy(Output):
    """:func:`lanecli.uncertainty.entropy.entropy` of the logits' softmax, or of their sigmoids."""

    needs: tuple[str, ...] = ("logits",)

    def __init__(self, spec: ModelSpec, network: Network, arguments: Mapping[str, Any]) -> None:
        """Set up.

        Args:
            spec: specification of the model; its label map selects the formula.
            network, arguments: not used.
        """
        super().__init__(spec, network, arguments)
        self.multilabel = spec.label_map.multilabel

    def forward(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the entropy, (N, h, w), nats, of ``logits`` (N, C, h, w)."""
        logits = outputs["logits"].float()
        if self.multilabel:
            return (F.softplus(logits) - logits * logits.sigmoid()).mean(1)
        if logits.shape[1] == 2:  # without reductions over classes, which take longer than the network's last layers
            apart = (logits[:, 1] - logits[:, 0]).abs()
            return torch.log1p((-apart).exp()) + apart * (-apart).sigmoid()
        shifted = logits - logits.amax(1, keepdim=True)
        powers = shifted.exp()
        total = powers.sum(1)
        return total.log() - (powers * shifted).sum(1) / total


class Neco(Output):
    """:meth:`PrincipalSpace.neco` of the features."""

    needs: tuple[str, ...] = ("features",)
    weight: torch.Tensor
    offset: torch.Tensor

    def __init__(self, spec: ModelSpec, network: Network, arguments: Mapping[str, Any]) -> None:
        """Set up with buffers of the right shapes, whose values are loaded or set by :meth:`fill`.

        Args:
            spec: specification of the model.
            network: the network; its ``feature_channels`` are used.
            arguments: ``components``: d; ``step``: features along a side of a cell.
        """
        super().__init__(spec, network, arguments)
        channels, components = network.feature_channels, int(arguments["components"])
        self.cells = Cells(channels, int(arguments["step"]))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("weight", torch.zeros(components, channels, 1, 1))

    def fill(self, space: PrincipalSpace) -> None:
        """Take the numbers of a fitted principal space."""
        for name, values in (
            ("scale", 1 / space.std),
            ("shift", -space.mean / space.std),
            ("weight", space.components),
        ):
            buffer = self.get_buffer(name)
            buffer.copy_(torch.from_numpy(values).reshape(buffer.shape))

    def forward(self, outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return NECO, (N, h / step, w / step), 0 to 1, of ``features`` (N, D, h, w)."""
        with _in_single(outputs["features"]) as features:
            return self.of_cells(self.cells(features))

    def of_cells(self, cells: torch.Tensor) -> torch.Tensor:
        """Return NECO, (N, h, w), of cells' features (N, D, h, w), float32."""
        scale, shift = (self.get_buffer(name).view(1, -1, 1, 1) for name in ("scale", "shift"))
        standard = cells * scale + shift
        inside = F.conv2d(standard, self.weight)
        total = (standard * standard).sum(1)
        return ((inside * inside).sum(1) / total.clamp(min=1e-12)).sqrt()
