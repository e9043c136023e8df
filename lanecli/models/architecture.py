"""The base class of all architectures: a feature extractor, a classifier, and auxiliary heads for training."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from lanecli.models.checkpointing import checkpoint_blocks, checkpoint_module


class Architecture(nn.Module):
    """A network from normalised pictures to logits in two halves, :meth:`extract_features` and :meth:`classify`.

    Attributes:
        stride: the number that H and W of pictures must be multiples of.
        minimum: the smallest H and W of pictures.
        feature_channels: number of channels of the output ``features``.
        feature_stride: side of a cell of the feature map, in pixels.
        pools_by_index: whether unpooling uses the positions of the maxima, which rounding decides between near ties.
        auxiliary_weight: the factor of the loss of each auxiliary head; 0 where there are none.
        auxiliary: these heads, which are used in training only.
    """

    stride: int
    minimum: int = 0
    feature_channels: int
    feature_stride: int
    pools_by_index: bool = False
    auxiliary_weight: float = 0.0

    def __init__(self) -> None:
        """Start without auxiliary heads; :meth:`add_auxiliary` adds them."""
        super().__init__()
        self.auxiliary = nn.ModuleList()

    def add_auxiliary(self, heads: list[nn.Module], weight: float) -> None:
        """Add auxiliary heads, which are used in training only.

        Args:
            heads: one for each map that :meth:`extract_features` passes on.
            weight: the factor of the loss of each head.
        """
        self.auxiliary.extend(heads)
        self.auxiliary_weight = weight

    def extract_features(self, pictures: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map (N, 3, H, W) pictures to the input of the last classifying layer.

        Returns:
            The features, and further maps for :meth:`classify` and the auxiliary heads.
        """
        raise NotImplementedError

    def classify(self, features: torch.Tensor, maps: list[torch.Tensor], size: torch.Size) -> torch.Tensor:
        """Map the result of :meth:`extract_features` to (N, classes, H, W) logits; `size` is (H, W)."""
        raise NotImplementedError

    def auxiliary_logits(self, maps: list[torch.Tensor], size: torch.Size) -> list[torch.Tensor]:
        """Return the (N, classes, H, W) logits of each auxiliary head."""
        return [upsampled(head(each), size) for head, each in zip(self.auxiliary, maps, strict=True)]

    def forward(self, pictures: torch.Tensor, outputs: Collection[str] = ("logits",)) -> dict[str, Any]:
        """Compute the requested outputs in one pass through the encoder.

        Args:
            pictures: (N, 3, H, W) float, normalised.
            outputs: any of ``"logits"``, ``"features"`` and ``"auxiliary"``.

        Returns:
            A mapping with exactly the requested names. ``"logits"``: (N, classes, H, W). ``"features"``:
            (N, feature_channels, H / feature_stride, W / feature_stride), the input of the last classifying layer (of
            the deepest one where there are several). ``"auxiliary"``: a list of (N, classes, H, W) logits, one for each
            auxiliary head.
        """
        features, maps = self.extract_features(pictures)
        size = pictures.shape[-2:]
        computed: dict[str, Any] = {}
        if "features" in outputs:
            computed["features"] = features
        if "logits" in outputs:
            computed["logits"] = self.classify(features, maps, size)
        if "auxiliary" in outputs:
            computed["auxiliary"] = self.auxiliary_logits(maps, size) if self.auxiliary_weight else []
        return computed

    def encoders(self) -> list[nn.Module]:
        """Return the modules to which spectral normalisation and gradient checkpointing apply."""
        return [self.encoder]  # type: ignore[list-item]

    def blocks(self) -> list[nn.Module]:
        """Return the blocks to checkpoint, where they cannot be found from the lists of modules in the encoders."""
        return []

    def checkpoint_gradients(self) -> int:
        """Make the blocks compute their activations again in the backward pass, and return the number of blocks."""
        blocks = self.blocks()
        for block in blocks:
            checkpoint_module(block)
        return len(blocks) or sum(checkpoint_blocks(encoder) for encoder in self.encoders())


def upsampled(logits: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Upsample (N, classes, h, w) to (N, classes, H, W), bilinearly with half-pixel centres."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def enlarged(planes: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Upsample (N, h, w) planes to (N, H, W), bilinearly with half-pixel centres, as :func:`upsampled` does.

    If the factor is a whole number, a convolution computes the pixels of each cell from the 3 x 3 cells around it.
    OpenVINO takes 2 ms to interpolate a single plane to 512x256, and a tenth of that for the convolution.

    Args:
        planes: (N, h, w) float.
        size: (H, W).
    """
    if planes.shape[-2:] == size:
        return planes
    factor = size[0] // planes.shape[-2]
    if tuple(size) != tuple(factor * side for side in planes.shape[-2:]):
        return upsampled(planes[:, None], size)[:, 0]
    shifts = [(position + 0.5) / factor - 0.5 for position in range(factor)]
    taps = [(max(-shift, 0.0), 1 - abs(shift), max(shift, 0.0)) for shift in shifts]
    # Python numbers, not tensors: OpenVINO computes the kernel wrongly if torch operations compute it in the graph
    kernel = [[[[y * x for x in column] for y in row]] for row in taps for column in taps]
    padded = F.pad(planes[:, None], (1, 1, 1, 1), mode="replicate")
    return F.pixel_shuffle(F.conv2d(padded, planes.new_tensor(kernel)), factor)[:, 0]


def fcn_head(inputs: int, channels: int, classes: int, dropout: float = 0.0, kernel: int = 3) -> nn.Sequential:
    """Build the auxiliary head that most papers use: convolution, batch norm, ReLU, dropout, 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Dropout2d(dropout),
        nn.Conv2d(channels, classes, 1),
    )
