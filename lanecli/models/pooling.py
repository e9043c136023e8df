"""Adaptive average pooling that exports to ONNX with the picture's size left open."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class ExportableAdaptiveAvgPool2d(nn.Module):
    """`torch.nn.AdaptiveAvgPool2d`, exported as two matrix products whose bins come from the size at run time.

    torch's operator would be exported as pooling with the example's bin sizes, which no other picture size can run.
    Bin ``i`` of ``s`` over length ``n`` is ``floor(i n / s)`` up to ``ceil((i + 1) n / s)``, as in torch.
    """

    down: torch.Tensor
    right: torch.Tensor

    def __init__(self, output_size: tuple[int, int]) -> None:
        """Args: output_size: (rows, columns)."""
        super().__init__()
        self.output_size = output_size
        # no torch.arange on the way, here and below: ONNX Runtime warns of each that it cannot fold it
        self.register_buffer("down", torch.arange(output_size[0]), persistent=False)
        self.register_buffer("right", torch.arange(output_size[1]), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) float to (N, C, rows, columns)."""
        if torch.compiler.is_exporting():
            return self.products(features)
        return F.adaptive_avg_pool2d(features, self.output_size)  # many times faster than the products

    def products(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) float to (N, C, rows, columns), equal to torch's pooling up to rounding."""
        down = _bins(self.down, features[0, 0, :, 0])
        right = _bins(self.right, features[0, 0, 0])
        return down @ (features @ right.T)

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"output_size={self.output_size}"


def _bins(number: torch.Tensor, line: torch.Tensor) -> torch.Tensor:
    """(count, length) averaging weights for bins of `number` 0 to count - 1 over a `line` of features: each row is one
    bin and sums to one."""
    count, length = number.shape[0], line.shape[0]  # len() would fix the length at export
    first = number * length // count
    last = ((number + 1) * length + count - 1) // count
    position = torch.ones_like(line, dtype=torch.long).cumsum(0) - 1
    inside = (position >= first[:, None]) & (position < last[:, None])
    return inside.to(line.dtype) / (last - first)[:, None].to(line.dtype)


def make_pooling_exportable(module: nn.Module) -> nn.Module:
    """Replace every adaptive average pooling to more than one bin inside `module`, in place.

    It has no weights, so state dicts stay as they were. Pooling to a single bin exports as it is.
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
