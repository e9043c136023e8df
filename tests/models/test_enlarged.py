"""Maps of cells at the size of pictures."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from lanecli.models.architecture import enlarged


@pytest.mark.parametrize("size", [(5, 7), (10, 14), (15, 21), (40, 56), (80, 112), (17, 23), (10, 21), (12, 16)])
def test_maps_are_enlarged_as_interpolation_does(size: tuple[int, int]) -> None:
    maps = 100 * torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(enlarged(maps, torch.Size(size)), expected, rtol=1e-5, atol=2e-4)
