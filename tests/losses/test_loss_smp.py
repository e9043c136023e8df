"""Equality with segmentation-models-pytorch at the arguments at which its losses are right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loss_cases import MODES, make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "mode"),
    # Lovasz in smp's other modes is the hinge of the logits
    [(n, m) for n in ("dice", "jaccard", "tversky") for m in MODES] + [("lovasz", "multiclass")],
)
def test_equals_smp(name: str, mode: str) -> None:
    import segmentation_models_pytorch as smp

    theirs = {
        "dice": lambda: smp.losses.DiceLoss(mode, ignore_index=255),
        "jaccard": lambda: smp.losses.JaccardLoss(mode),
        "tversky": lambda: smp.losses.TverskyLoss(mode, alpha=0.3, beta=0.7, ignore_index=255),
        "lovasz": lambda: smp.losses.LovaszLoss(mode, ignore_index=255),
    }[name]()
    torch.manual_seed(0)
    shape = (2, 1, 9, 8) if mode == "binary" else (2, 3, 9, 8)
    logits = torch.randn(shape)
    target = torch.randint(0, 3, (2, 9, 8)) if mode == "multiclass" else torch.randint(0, 2, shape)
    if name != "jaccard":  # smp's has no ignore index
        target[..., :2, :] = 255
    args: dict[str, Any] = {"classes": "all"}
    torch.testing.assert_close(
        make(name, mode, 2 if mode == "binary" else 3, args=args)(logits, target), theirs(logits, target)
    )
