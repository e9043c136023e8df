"""Geometry inside a graph: crops, resizes and pads pictures whose size is known only when the graph runs.

Each side of a picture is resized on its own, by a product with a matrix of weights: shares of overlap where it shrinks
(area averaging), the two nearest centres where it grows (bilinear), as in `lanecli.geometry.resize`. Only a band of
that matrix is not zero. Outputs are therefore computed in blocks, each from the short window of inputs it needs, which
takes a tenth of the work of the whole product.
"""

from __future__ import annotations

from typing import Any

import torch

Band = tuple[torch.Tensor, torch.Tensor]
"""What :func:`resize_band` returns."""

BLOCK = 32
"""Number of outputs that share a window of inputs."""


def resize_band(
    source: tuple[Any, Any], target: tuple[Any, Any], size: Any, device: torch.device | None = None
) -> Band:
    """Return which inputs the outputs along one side come from, and with which weights.

    Args:
        source: (start, length) of the inputs that are used.
        target: (start, length) of the outputs they fill; other outputs are zero.
        size: number of outputs.
        device: device of the tensors.

    Returns:
        ``indices`` (blocks, window) int64, the inputs of each block of outputs; ``weights`` (blocks, BLOCK, window)
        float32, the share of each.
    """
    (start, length), (first, count) = source, target
    blocks, window = (size + BLOCK - 1) // BLOCK, (BLOCK * length + count - 1) // count + 3
    # minimum and maximum instead of clamp: exporters cast clamp's bounds in a way that makes runtimes warn
    zero, one = torch.zeros(1, dtype=torch.int64, device=device), torch.ones(1, device=device)
    number = torch.arange(blocks, device=device)[:, None, None] * BLOCK
    output = number + torch.arange(BLOCK, device=device)[None, :, None] - first
    # the first input a block may need; numerators are integers, which lose no precision far from the origin
    base = torch.maximum(torch.div((number - first) * length, count, rounding_mode="floor") - 1, zero)
    index = base + torch.arange(window, device=device)[None, None, :]
    low = (output * length - index * count).float() / count  # the output's lower edge, relative to the input's
    step = length / count
    overlap = torch.relu(torch.minimum(low + step, one) - torch.relu(low)) / step
    # distances of centres, both times twice `count`; the first and last input stand for those beyond them
    last = zero + 2 * count * (length - 1)
    centre = torch.minimum(torch.maximum((2 * output + 1) * length - count, zero), last)
    nearest = torch.relu(1 - (centre - 2 * count * index).float().abs() / (2 * count))
    weights = torch.where(zero + length > count, overlap, nearest)
    filled = (output >= 0) & (output < count) & (index < length)
    indices = torch.minimum(index, zero + (length - 1))[:, 0] + start
    return indices, torch.where(filled, weights, torch.zeros(1, device=device))


def resize_along(values: torch.Tensor, band: Band, size: Any) -> torch.Tensor:
    """Resize (N, L, M) of any type to (N, size, M) float32 along the middle side, with a :func:`resize_band`."""
    indices, weights = band
    batch, rest = values.shape[0], values.shape[2]
    blocks, window = indices.shape
    taken = values.index_select(1, indices.reshape(-1)).reshape(batch, blocks, window, rest)
    return torch.matmul(weights, taken.float()).reshape(batch, blocks * BLOCK, rest)[:, :size]


def filled_outputs(target: tuple[Any, Any], size: Any, device: torch.device | None = None) -> torch.Tensor:
    """Return which outputs along one side :func:`resize_band` fills, (size,) bool."""
    index = torch.arange(size, device=device)
    return (index >= target[0]) & (index < target[0] + target[1])
