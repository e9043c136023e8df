"""The contract every registered loss keeps at the edges, in every mode."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loss_cases import MODES, NAMES, OVERLAP, REGION, make, shapes

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
TARGETS = ("mixed", "background only", "foreground only", "all ignored", "one picture ignored", "one valid pixel")


def target_of(kind: str, mode: str, plane: tuple[int, ...]) -> torch.Tensor:
    """A uint8 target; `mixed` has one foreground pixel in the first column of each picture."""
    target = torch.zeros(plane, dtype=torch.uint8)
    if kind == "foreground only":
        target.fill_(1)
    elif kind == "all ignored":
        target.fill_(255)
    else:
        target[..., 0, 0] = int(kind != "background only")
        target[..., -1, -1] = 255 if kind == "one picture ignored" else target[..., -1, -1]
        if kind == "one picture ignored":
            target[0] = 255
        elif kind == "one valid pixel":
            target[1:] = 255
            target.flatten()[1:] = 255
    return target


def logits_of(kind: str, full: tuple[int, ...], target: torch.Tensor) -> torch.Tensor:
    """Logits (N, C, H, W): all equal, random, or saturated at ±1e4, right or wrong."""
    if kind == "zero":
        return torch.zeros(full)
    if kind == "random":
        return torch.randn(full, generator=torch.Generator().manual_seed(1))
    if target.ndim < len(full) and full[1] > 1:
        truth = torch.stack([target == c for c in range(full[1])], 1)
    else:
        truth = (target == 1).reshape(full)
    return torch.where(truth, 1e4, -1e4) * (1 if kind == "saturated right" else -1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_finite_everywhere(name: str, mode: str) -> None:
    classes = 2 if mode == "binary" else 3
    loss = make(name, mode, classes)
    for height, width in ((1, 1), (1, 5), (4, 3)):
        full, plane = shapes(mode, 2, classes, height, width)
        for target_kind in TARGETS:
            target = target_of(target_kind, mode, plane)
            for kind in ("zero", "random", "saturated right", "saturated wrong"):
                for dtype in DTYPES:
                    logits = logits_of(kind, full, target).to(dtype).requires_grad_()
                    value = loss(logits, target, -logits.detach())
                    value.backward()
                    where = f"{height}x{width} {target_kind} {kind} {dtype}"
                    assert value.dtype == torch.float32, where
                    assert value.isfinite(), where
                    assert value >= -1e-6, where
                    assert logits.grad is not None
                    assert logits.grad.dtype == dtype
                    assert logits.grad.isfinite().all(), where
                    if target_kind == "all ignored":
                        assert value == 0, where
                        assert not logits.grad.any(), where


@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 1.5, 2.0, 5.0])
@pytest.mark.parametrize("name", ["focal", "focal_tversky"])
def test_powers_have_finite_slopes(name: str, gamma: float) -> None:
    for mode in MODES:
        full, plane = shapes(mode, 2, 2, 3, 3)
        target = target_of("mixed", mode, plane)
        for kind in ("saturated right", "saturated wrong", "zero"):
            for scale in (1.0, 1e-2, 2e-3):
                logits = (logits_of(kind, full, target) * scale).requires_grad_()
                make(name, mode, args={"gamma": gamma})(logits, target).backward()
                assert logits.grad is not None
                assert logits.grad.isfinite().all(), (mode, kind, scale)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_right_is_near_zero_and_wrong_is_worse(name: str, mode: str) -> None:
    classes = 2 if mode == "binary" else 3
    full, plane = shapes(mode, 2, classes, 4, 5)
    target = target_of("mixed", mode, plane)
    right, wrong = (logits_of(kind, full, target) for kind in ("saturated right", "saturated wrong"))
    loss = make(name, mode, classes)
    assert loss(right, target, right).item() == pytest.approx(0, abs=1e-5)
    assert loss(wrong, target, right).item() > 0.5


@pytest.mark.parametrize("name", REGION)
def test_absent_foreground_costs_nothing_unless_counted(name: str) -> None:
    target, logits = torch.zeros(1, 4, 4, dtype=torch.long), torch.randn(1, 2, 4, 4)
    assert make(name, "multiclass")(logits, target) == 0
    if name not in OVERLAP:
        return
    counted = make(name, "multiclass", args={"absent": "count", "smooth": 1.0})
    few, many = (torch.tensor([0.0, z]).view(1, 2, 1, 1).expand(1, 2, 4, 4) for z in (-8.0, 2.0))
    assert 0 < counted(few, target) < counted(many, target)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NAMES)
def test_autocast_changes_nothing(name: str, mode: str) -> None:
    full, plane = shapes(mode, 2, 2, 6, 6)
    target = target_of("mixed", mode, plane)
    logits = torch.randn(full, generator=torch.Generator().manual_seed(0)).bfloat16()
    loss = make(name, mode)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss(logits, target, -logits)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, loss(logits.float(), target, -logits.float()))


@pytest.mark.parametrize("name", NAMES)
def test_repeats_bit_for_bit(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 40, 50, generator=generator).requires_grad_()
    target = torch.randint(0, 3, (2, 40, 50), generator=generator)
    loss = make(name, "multiclass", 3)
    first, second = (torch.autograd.grad(loss(logits, target, logits.detach().flip(1)), logits)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", NAMES)
def test_memory_layout_does_not_matter(name: str) -> None:
    logits, target = torch.randn(2, 3, 6, 8), torch.randint(0, 3, (2, 6, 8))
    loss, teacher = make(name, "multiclass", 3), torch.randn(2, 3, 6, 8)
    swapped = logits.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(loss(swapped, target, teacher), loss(logits, target, teacher))


@pytest.mark.parametrize("name", ["ce", "bce", "focal", "ohem", "boundary"])
def test_labels_that_all_weigh_nothing_cost_nothing(name: str) -> None:
    args: dict[str, Any] = {"class_weights": [0, 1, 2]}
    if name in ("ce", "bce"):
        args["label_smoothing"] = 0.1
    logits, target = torch.randn(1, 3, 4, 4, requires_grad=True), torch.zeros(1, 4, 4, dtype=torch.long)
    value = make(name, "multiclass", 3, args=args)(logits, target)
    value.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    if name != "bce":  # there a weight is a channel's, and every channel has labels
        assert value == 0
        assert not logits.grad.any()


def test_mcc_of_a_saturated_constant_is_chance() -> None:
    target = target_of("mixed", "binary", (2, 4, 4))
    for constant in (1e4, -1e4):
        assert make("mcc", "binary")(torch.full((2, 1, 4, 4), constant), target).item() == pytest.approx(1)
