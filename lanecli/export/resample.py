"""Geometry inside a graph: crop, resize and pad of pictures whose size is known only when the graph runs.

Each side of a picture is resized on its own, by a product with a matrix of weights: shares of overlap where it shrinks
(area averaging), the two nearest centres where it grows (bilinear), as `lanecli.geometry.resize` does. Only a band of
that matrix is not zero, so outputs are taken in blocks, each from the short window of inputs it needs: a tenth of the
work of the whole product.
"""

from __future__ import annotations

from typing import Any

import torch

Band = tuple[torch.Tensor, torch.Tensor]
"""What :func:`band` gives."""

BLOCK = 32
"""Outputs that share a window of inputs."""


def band(source: tuple[Any, Any], target: tuple[Any, Any], size: Any, device: torch.device | None = None) -> Band:
    """Where the outputs along one side come from.

    Args:
        source: (start, length) of the inputs that are used.
        target: (start, length) of the outputs they fill; others are left at zero.
        size: how many outputs there are.
        device: of the tensors.

    Returns:
        ``places`` (blocks, window) int64, the inputs each block of outputs looks at; ``weights`` (blocks, BLOCK,
        window) float32, how much of each.
    """
    (start, length), (first, count) = source, target
    blocks, window = (size + BLOCK - 1) // BLOCK, (BLOCK * length + count - 1) // count + 3
    # minimum and maximum, not clamp: exporters cast its bounds in a way that makes runtimes warn
    zero, one = torch.zeros(1, dtype=torch.int64, device=device), torch.ones(1, device=device)
    number = torch.arange(blocks, device=device)[:, None, None] * BLOCK
    output = number + torch.arange(BLOCK, device=device)[None, :, None] - first
    # the first input a block may need; numerators stay whole numbers, so that nothing is lost far from the origin
    base = torch.maximum(torch.div((number - first) * length, count, rounding_mode="floor") - 1, zero)
    place = base + torch.arange(window, device=device)[None, None, :]
    low = (output * length - place * count).float() / count  # the output's lower edge, seen from the input's
    step = length / count
    overlap = torch.relu(torch.minimum(low + step, one) - torch.relu(low)) / step
    # centre against centre, both times twice `count`; that of the first and last input stands for what lies beyond
    last = zero + 2 * count * (length - 1)
    centre = torch.minimum(torch.maximum((2 * output + 1) * length - count, zero), last)
    nearest = torch.relu(1 - (centre - 2 * count * place).float().abs() / (2 * count))
    weights = torch.where(zero + length > count, overlap, nearest)
    inside = (output >= 0) & (output < count) & (place < length)
    places = torch.minimum(place, zero + (length - 1))[:, 0] + start
    return places, torch.where(inside, weights, torch.zeros(1, device=device))


def along(values: torch.Tensor, resized: Band, size: Any) -> torch.Tensor:
    """(N, L, M) of any type to (N, size, M) float32 along the middle side, by what :func:`band` gives."""
    places, weights = resized
    batch, rest = values.shape[0], values.shape[2]
    blocks, window = places.shape
    taken = values.index_select(1, places.reshape(-1)).reshape(batch, blocks, window, rest)
    return torch.matmul(weights, taken.float()).reshape(batch, blocks * BLOCK, rest)[:, :size]


def inside(target: tuple[Any, Any], size: Any, device: torch.device | None = None) -> torch.Tensor:
    """(size,) bool: which outputs along one side :func:`band` fills."""
    place = torch.arange(size, device=device)
    return (place >= target[0]) & (place < target[0] + target[1])
