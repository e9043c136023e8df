"""Adaptive average pooling that can be exported to ONNX for pictures of any size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class ExportableAdaptiveAvgPool2d(nn.Module):
    """`torch.nn.AdaptiveAvgPool2d`, exported as two matrix products whose bins depend on the size at run time.

    torch's operator would be exported with the bin sizes of the example, which fit no other picture size.
    Bin ``i`` of ``s`` over length ``n`` is ``floor(i n / s)`` up to ``ceil((i + 1) n / s)``, as in torch.
    """

    def __init__(self, output_size: tuple[int, int]) -> None:
        """Keep the output size.

        Args:
            output_size: (rows, columns).
        """
        super().__init__()
        self.output_size = output_size

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) float to (N, C, rows, columns)."""
        if torch.compiler.is_exporting():
            return self.products(features)
        return F.adaptive_avg_pool2d(features, self.output_size)  # many times faster than the products

    def products(self, features: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) float to (N, C, rows, columns); the result equals torch's pooling up to rounding."""
        rows, columns = self.output_size
        down, right = _bins(rows, features[0, 0, :, 0]), _bins(columns, features[0, 0, 0])
        return down @ (features @ right.T)

    def extra_repr(self) -> str:
        """Return the text that ``print(model)`` shows."""
        return f"output_size={self.output_size}"


def _bins(count: int, line: torch.Tensor) -> torch.Tensor:
    """Compute the weights that average a line of features into bins.

    Args:
        count: number of bins.
        line: a line of features, of which only the length is used.

    Returns:
        (count, length) weights: each row is one bin and sums to one.
    """
    length = line.shape[0]  # len() would fix the length at export
    number = torch.arange(count, device=line.device)
    first = number * length // count
    last = ((number + 1) * length + count - 1) // count
    # not a cumsum of ones: OpenVINO 2026.4 with more than one stream gets its positions wrong
    position = torch.arange(length, device=line.device)
    inside = (position >= first[:, None]) & (position < last[:, None])
    return inside.to(line.dtype) / (last - first)[:, None].to(line.dtype)


def make_pooling_exportable(module: nn.Module) -> nn.Module:
    """Replace every adaptive average pooling to more than one bin inside `module`, in place.

    It has no weights, so that state dicts do not change. Pooling to a single bin can be exported as it is.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d):
            size = child.output_size
            rows, columns = size if isinstance(size, tuple) else (size, size)
            if rows is not None and columns is not None and rows * columns > 1:
                setattr(module, name, ExportableAdaptiveAvgPool2d((rows, columns)))
        else:
            make_pooling_exportable(child)
    return module
