"""Gradients of every loss against finite differences in float64, and how they scale."""

from __future__ import annotations

import pytest
import torch
from loss_cases import MODES, NAMES, Term, make, shapes

from lanecli.losses import build_loss

HARDER = {
    "ce": {"label_smoothing": 0.1},
    "bce": {"label_smoothing": 0.1},
    "focal": {"gamma": 0.5, "alpha": 0.25},
    "dice": {"smooth": 1.0, "absent": "count", "classes": "all", "per_image": True},
    "lovasz": {"classes": "all", "per_image": True},
    "kl": {"temperature": 3.0},
    "ohem": {"threshold": 0.2, "min_kept": 0.4},
}


def batch(mode: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, target with ignored pixels, and a teacher's logits: (2, 3, 3, 4) or (2, 1, 3, 4)."""
    generator = torch.Generator().manual_seed(seed)
    full, plane = shapes(mode, 2, 3, 3, 4)
    target = torch.randint(0, 3 if mode == "multiclass" else 2, plane, generator=generator)
    target[torch.rand(plane, generator=generator) < 0.2] = 255
    logits = torch.randn(full, dtype=torch.float64, generator=generator)
    return logits.requires_grad_(), target, torch.randn(full, dtype=torch.float64, generator=generator)


def classes_of(mode: str) -> int:
    return 2 if mode == "binary" else 3


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name: str, mode: str) -> None:
    logits, target, teacher = batch(mode)
    for args in ({}, HARDER.get(name, {})):
        loss = make(name, mode, classes_of(mode), args=args)
        assert torch.autograd.gradcheck(lambda x, loss=loss: loss(x, target, teacher), (logits,))


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_get_no_gradient(name: str) -> None:
    for mode in MODES:
        logits, target, teacher = batch(mode)
        make(name, mode, classes_of(mode))(logits, target, teacher).backward()
        ignored = (target == 255) if mode == "multilabel" else (target == 255).unsqueeze(1).expand_as(logits)
        assert ignored.any()
        assert logits.grad is not None
        assert not logits.grad[ignored].any()
        assert logits.grad[~ignored].any()


@pytest.mark.parametrize("name", NAMES)
def test_gradient_scales_with_the_loss(name: str) -> None:
    logits, target, teacher = batch("multiclass")
    loss = make(name, "multiclass", 3)
    (whole,) = torch.autograd.grad(loss(logits, target, teacher), logits)
    (quarter,) = torch.autograd.grad(loss(logits, target, teacher) / 4, logits)
    weighted = build_loss([Term(name, 0.25)], classes=3, mode="multiclass")
    (term,) = torch.autograd.grad(weighted(logits, target, teacher), logits)
    torch.testing.assert_close(quarter, whole / 4)
    torch.testing.assert_close(term, whole / 4)


@pytest.mark.parametrize("name", ["nll", "ce", "weighted_ce", "bce", "focal", "kl"])
def test_accumulated_batches_equal_one(name: str) -> None:
    logits, target, teacher = batch("multiclass")
    target = target % 3
    loss = make(name, "multiclass", 3)
    (whole,) = torch.autograd.grad(loss(logits, target, teacher), logits)
    parts = [loss(logits[i : i + 1], target[i : i + 1], teacher[i : i + 1]) / 2 for i in range(2)]
    (summed,) = torch.autograd.grad(sum(parts), logits)
    torch.testing.assert_close(summed, whole)
