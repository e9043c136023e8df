"""Geometry inside a graph: crop, resize and pad of pictures whose size is known only when the graph runs.

Each side of a picture is resized on its own, by a product with a matrix of weights: shares of overlap where it shrinks
(area averaging), the two nearest centres where it grows (bilinear), as `lanecli.geometry.resize` does. Only a band of
that matrix is not zero, so outputs are taken in blocks, each from the short window of inputs it needs: a tenth of the
work of the whole product.
"""

from __future__ import annotations

from typing import Any

import torch

BLOCK = 32
"""Outputs that share a window of inputs."""


def band(
    source: tuple[Any, Any], target: tuple[Any, Any], size: Any, device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
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
    number = torch.arange(blocks, device=device)[:, None, None] * BLOCK
    output = number + torch.arange(BLOCK, device=device)[None, :, None] - first
    # the first input a block may need; numerators stay whole numbers, so that nothing is lost far from the origin
    base = torch.clamp(torch.div((number - first) * length, count, rounding_mode="floor") - 1, min=0)
    place = base + torch.arange(window, device=device)[None, None, :]
    low = (output * length - place * count).float() / count  # the output's lower edge, seen from the input's
    step = length / count
    overlap = (torch.clamp(low + step, max=1.0) - torch.clamp(low, min=0.0)).clamp(min=0.0) / step
    # centre against centre: that of the first and last input stands for what lies beyond
    centre = torch.clamp(
        (2 * output + 1) * length - count, min=0, max=2 * count * (length - 1)
    )  # twice `count` times the centre
    distance = (centre - 2 * count * place).float().abs() / (2 * count)
    nearest = (1 - distance).clamp(min=0.0)
    shrinks = (torch.full((1,), 1, device=device) * length) > count
    weights = torch.where(shrinks, overlap, nearest)
    inside = (output >= 0) & (output < count) & (place < length)
    places = torch.clamp(place, max=length - 1)[:, 0] + start
    return places, torch.where(inside, weights, torch.zeros(1, device=device))


def along(values: torch.Tensor, places: torch.Tensor, weights: torch.Tensor, size: Any) -> torch.Tensor:
    """(N, L, M) of any type to (N, size, M) float32 along the middle side, by what :func:`band` gives."""
    batch, rest = values.shape[0], values.shape[2]
    blocks, window = places.shape
    taken = values.index_select(1, places.reshape(-1)).reshape(batch, blocks, window, rest)
    return torch.matmul(weights, taken.float()).reshape(batch, blocks * BLOCK, rest)[:, :size]


def inside(target: tuple[Any, Any], size: Any, device: torch.device | None = None) -> torch.Tensor:
    """(size,) bool: which outputs along one side :func:`band` fills."""
    place = torch.arange(size, device=device)
    return (place >= target[0]) & (place < target[0] + target[1])
