"""What every architecture is: maps from pictures, a classifier of them, and auxiliary heads for training."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.models.checkpointing import checkpoint_blocks, checkpoint_module


class Architecture(nn.Module):
    """A network from normalised pictures to logits in two halves, :meth:`describe` and :meth:`classify`.

    Attributes:
        stride: what H and W of pictures must be multiples of.
        minimum: what H and W must reach.
        feature_channels: D of the output ``features``.
        feature_stride: pixels a side of a feature's cell.
        pools_by_index: whether unpooling goes by where the maxima were, which rounding decides between near ties.
        auxiliary_weight: factor of each auxiliary head's loss; 0 without such heads.
        auxiliary: those heads; they are part of training only.
    """

    stride: int
    minimum: int = 0
    feature_channels: int
    feature_stride: int
    pools_by_index: bool = False
    auxiliary_weight: float = 0.0

    def __init__(self) -> None:
        """Without auxiliary heads; :meth:`add_auxiliary` adds them."""
        super().__init__()
        self.auxiliary = nn.ModuleList()

    def add_auxiliary(self, heads: list[nn.Module], weight: float) -> None:
        """Args: heads: one for each map :meth:`describe` passes on; weight: factor of the loss of each."""
        self.auxiliary.extend(heads)
        self.auxiliary_weight = weight

    def describe(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(N, 3, H, W) to what the last classifying layer takes, and the maps later steps or heads take besides."""
        raise NotImplementedError

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """What :meth:`describe` gave to (N, classes, H, W) logits; `size` is (H, W)."""
        raise NotImplementedError

    def auxiliary_logits(self, maps: list[torch.Tensor], size: torch.Size) -> list[torch.Tensor]:
        """Each head's (N, classes, H, W) logits."""
        return [enlarged(head(each), size) for head, each in zip(self.auxiliary, maps, strict=True)]

    def forward(self, pictures: torch.Tensor, outputs: Collection[str] = ("logits",)) -> dict[str, Any]:
        """The outputs asked for by name, from one pass through the encoder.

        Args:
            pictures: (N, 3, H, W) float, normalised.
            outputs: of ``"logits"`` (N, classes, H, W); ``"features"`` (N, feature_channels, H / feature_stride,
                W / feature_stride), what the last classifying layer takes (the deepest one's input where several
                classify); ``"auxiliary"``, a list of (N, classes, H, W), the logits of each auxiliary head.

        Returns:
            A mapping with exactly the names asked for.
        """
        features, maps = self.describe(pictures)
        size = pictures.shape[-2:]
        found: dict[str, Any] = {}
        if "features" in outputs:
            found["features"] = features
        if "logits" in outputs:
            found["logits"] = self.classify(features, maps, size)
        if "auxiliary" in outputs:
            found["auxiliary"] = self.auxiliary_logits(maps, size) if self.auxiliary_weight else []
        return found

    def encoders(self) -> list[nn.Module]:
        """The parts that spectral normalisation and gradient checkpointing work on."""
        return [self.encoder]  # type: ignore[list-item]

    def blocks(self) -> list[nn.Module]:
        """What gradient checkpointing works on where it cannot be told from the encoders' own lists of modules."""
        return []

    def checkpoint_gradients(self) -> int:
        """Make blocks compute their activations again in the backward pass; how many comes back."""
        named = self.blocks()
        for block in named:
            checkpoint_module(block)
        return len(named) or sum(checkpoint_blocks(encoder) for encoder in self.encoders())


def enlarged(logits: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """(N, classes, h, w) to (N, classes, H, W), bilinear with half-pixel centres."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def fcn_head(inputs: int, channels: int, classes: int, dropout: float = 0.0, kernel: int = 3) -> nn.Sequential:
    """The two-layer head of most papers' auxiliary losses: convolution, batch norm, ReLU, dropout, 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Dropout2d(dropout),
        nn.Conv2d(channels, classes, 1),
    )
