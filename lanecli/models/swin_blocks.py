"""timm's Swin blocks with the padding and masking of the paper, in a form that is exported quickly for any size.

timm shifts before it pads, so that at sizes which are no multiple of a window, rows that were wrapped around attend to
their new neighbours. The authors' code pads first (github.com/SwinTransformer/Swin-Transformer-Semantic-Segmentation).
Where windows divide the picture, both are the same. timm writes each mask region by region; here regions are compared.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock, window_partition, window_reverse
from torch import nn

_MASKED = -100.0  # added to attention between regions, as in the authors' code


class ShiftedWindowBlock(SwinTransformerBlock):
    """A block whose attention pads, shifts and masks, and then undoes the shift and the padding."""

    def _attn(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, H, W, C) to the same shape."""
        height, width, channels = x.shape[1:]
        (rows, columns), (down, right) = self.window_size, self.shift_size
        tall = (height + rows - 1) // rows * rows
        wide = (width + columns - 1) // columns * columns
        x = F.pad(x, (0, 0, 0, wide - width, 0, tall - height))
        mask = None
        if down or right:
            x = x.roll((-down, -right), (1, 2))
            mask = self._mask(tall, wide, x)
        windows = window_partition(x, self.window_size).view(-1, self.window_area, channels)
        windows = self.attn(windows, mask=mask).view(-1, rows, columns, channels)
        x = window_reverse(windows, self.window_size, tall, wide)
        if down or right:
            x = x.roll((down, right), (1, 2))
        return x[:, :height, :width].contiguous()

    def _mask(self, tall: int, wide: int, like: torch.Tensor) -> torch.Tensor:
        """Return (windows, cells, cells): 0 between cells of one region, a large negative value between others."""
        down = _regions(tall, self.window_size[0], self.shift_size[0], like)
        right = _regions(wide, self.window_size[1], self.shift_size[1], like)
        regions = (3 * down[:, None] + right)[None, :, :, None]
        places = window_partition(regions, self.window_size).view(-1, self.window_area)
        return (places[:, :, None] != places[:, None, :]).to(like.dtype) * _MASKED


def _regions(length: int, window: int, shift: int, like: torch.Tensor) -> torch.Tensor:
    """Number the region of each row or column: 0 in whole windows, 1 in the last one, 2 where it was wrapped around."""
    number = torch.arange(length, device=like.device)
    return (number >= length - window).long() + (number >= length - shift).long()


def use_paper_windows(module: nn.Module) -> None:
    """Replace the class of every Swin block inside `module`, in place; weights keep their values and names."""
    for block in module.modules():
        if type(block) is SwinTransformerBlock:
            block.__class__ = ShiftedWindowBlock
