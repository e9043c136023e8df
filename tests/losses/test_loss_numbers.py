"""Worked examples by hand, and equality with torch where torch has the loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from loss_cases import Term, make
from torch.nn import functional as F

from lanecli.losses import build_loss

ROWS = [[0.01, 0.03, 0.02, 0.02], [0.05, 0.12, 0.09, 0.07], [0.89, 0.85, 0.88, 0.91], [0.99, 0.97, 0.95, 0.97]]


def lecture() -> tuple[torch.Tensor, torch.Tensor]:
    """The lecture's prediction as logits (1, 1, 4, 4) and its target of two rows of 0 and two of 1."""
    p = torch.tensor(ROWS, dtype=torch.float64)
    return torch.logit(p)[None, None], torch.tensor([0, 0, 1, 1]).repeat_interleave(4).view(1, 4, 4)


def test_lecture_dice() -> None:
    logits, target = lecture()
    p, t = np.array(ROWS), target[0].numpy()
    shared, linear, squares = (p * t).sum(), p.sum(), (p**2).sum()
    print(f"intersection {shared:.2f}, |A| linear {linear:.2f}, |A| with squares {squares:.4f}, |B| {t.sum()}")
    # 7.82, which the lecture gives for squares, is the linear sum
    assert (round(shared, 2), round(linear, 2), round(squares, 4), t.sum()) == (7.41, 7.82, 6.9132, 8)
    assert make("dice", "binary")(logits, target).item() == pytest.approx(1 - 2 * 7.41 / (7.82 + 8), abs=1e-12)
    assert make("dice_squared", "binary")(logits, target).item() == pytest.approx(
        1 - 2 * 7.41 / (6.9132 + 8), abs=1e-12
    )
    smooth = make("dice", "binary", args={"smooth": 1})
    assert smooth(logits, target).item() == pytest.approx(1 - (2 * 7.41 + 1) / (7.82 + 8 + 1), abs=1e-12)
    assert make("jaccard", "binary")(logits, target).item() == pytest.approx(1 - 7.41 / (15.82 - 7.41), abs=1e-12)


def test_lecture_dice_of_two_softmax_classes() -> None:
    lane, target = lecture()
    logits = torch.cat([torch.zeros_like(lane), lane], 1)
    assert make("dice", "multiclass")(logits, target).item() == pytest.approx(1 - 14.82 / 15.82, abs=1e-12)
    # Background: intersection 8 - 0.41, sizes 16 - 7.82 and 8
    both = ((1 - 14.82 / 15.82) + (1 - 2 * 7.59 / 16.18)) / 2
    assert make("dice", "multiclass", args={"classes": "all"})(logits, target).item() == pytest.approx(both, abs=1e-12)


def test_three_class_nll() -> None:
    p = torch.tensor([[0.71, 0.19, 0.10], [0.01, 0.98, 0.01], [0.30, 0.21, 0.49]], dtype=torch.float64)
    logits, target = p.log().T[None, :, None], torch.tensor([[[0, 1, 2]]])
    total = make("nll", "multiclass", 3, args={"reduction": "sum"})
    each = [total(logits[..., k : k + 1], target[..., k : k + 1]).item() for k in range(3)]
    assert [round(v, 2) for v in each] == [0.34, 0.02, 0.71]
    # The printed total adds the rounded terms; the exact one is 1.0760
    assert round(sum(round(v, 2) for v in each), 2) == 1.07
    assert total(logits, target).item() == pytest.approx(-math.log(0.71 * 0.98 * 0.49), abs=1e-12)
    assert make("nll", "multiclass", 3)(logits, target).item() == pytest.approx(1.0760 / 3, abs=1e-4)


def test_tversky_of_lecture() -> None:
    logits, target = lecture()
    # TP 7.41, FP 0.41, FN 0.59
    loss = make("tversky", "binary", args={"alpha": 0.3, "beta": 0.7})
    expected = 1 - 7.41 / (7.41 + 0.3 * 0.41 + 0.7 * 0.59)
    assert loss(logits, target).item() == pytest.approx(expected, abs=1e-12)
    focal = make("focal_tversky", "binary", args={"alpha": 0.3, "beta": 0.7, "gamma": 4 / 3})
    assert focal(logits, target).item() == pytest.approx(expected**0.75, abs=1e-12)


def test_mcc_of_lecture() -> None:
    logits, target = lecture()
    tp, fp, fn, tn = 7.41, 0.41, 0.59, 7.59
    expected = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert make("mcc", "binary")(logits, target).item() == pytest.approx(1 - expected, abs=1e-12)


def test_lovasz_by_hand() -> None:
    # Errors 0.6 (member), 0.5 (outside), 0.2 (member): Jaccard loss 1/2, then 2/3, then 1
    p, target = torch.tensor([0.4, 0.5, 0.8], dtype=torch.float64), torch.tensor([[[1, 0, 1]]])
    expected = 0.6 * (1 / 2) + 0.5 * (2 / 3 - 1 / 2) + 0.2 * (1 - 2 / 3)
    assert make("lovasz", "binary")(torch.logit(p)[None, None, None], target).item() == pytest.approx(expected)


def test_ohem_ties_share_the_last_places() -> None:
    # One pixel of loss a, seven of loss b; half of the eight are kept: a and three of the seven
    logits, target = torch.zeros(1, 2, 2, 4, dtype=torch.float64), torch.zeros(1, 2, 4, dtype=torch.long)
    logits[0, 1, 1, 2] = 2.0
    logits.requires_grad_()
    loss = make("ohem", "multiclass", args={"threshold": 0.01, "min_kept": 0.5})(logits, target)
    assert loss.item() == pytest.approx((math.log(1 + math.exp(2)) + 3 * math.log(2)) / 4, abs=1e-12)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert gradient[0, 1].flatten().tolist() == pytest.approx(
        [3 / 7 * 0.5 / 4] * 6 + [1 / (1 + math.exp(-2)) / 4] + [3 / 7 * 0.5 / 4]
    )


def test_balanced_ce_by_hand() -> None:
    # One lane pixel in four: it weighs 3/4, the others 1/4
    logits, target = torch.zeros(1, 2, 1, 4, dtype=torch.float64), torch.tensor([[[0, 1, 0, 0]]])
    assert make("balanced_ce", "multiclass")(logits, target).item() == pytest.approx(math.log(2) * (0.75 + 0.75) / 4)


def test_boundary_weights_by_hand() -> None:
    # Distances to the border between the third and the fourth pixel: 2 1 0 0 1
    target, logits = torch.tensor([[[0, 0, 0, 1, 1]]]), torch.zeros(1, 2, 1, 5, dtype=torch.float64)
    logits[0, 0, 0, 0] = 1.0
    first = math.log1p(math.exp(-1))
    w = [1 + 10 * math.exp(-d * d / 8) for d in (2, 1, 0, 0, 1)]
    expected = (w[0] * first + sum(w[1:]) * math.log(2)) / sum(w)
    assert make("boundary", "multiclass")(logits, target).item() == pytest.approx(expected, abs=1e-12)


def test_kl_by_hand() -> None:
    teacher = torch.tensor([0.75, 0.25], dtype=torch.float64).log().view(1, 2, 1, 1)
    student, target = torch.zeros(1, 2, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, dtype=torch.long)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert make("kl", "multiclass")(student, target, teacher).item() == pytest.approx(expected)
    # At temperature 2 the teacher's odds of 3 become the root of 3; the loss is scaled by 4
    p = math.sqrt(3) / (1 + math.sqrt(3))
    expected = 4 * (p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p)))
    warm = make("kl", "multiclass", args={"temperature": 2})
    assert warm(student, target, teacher).item() == pytest.approx(expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, [0.2, 1.0, 3.0]])
def test_ce_equals_torch(smoothing: float, weights: list[float] | None) -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 5, 7), torch.randint(0, 3, (2, 5, 7))
    target[:, 2:4] = 255
    loss = make("ce", "multiclass", 3, args={"class_weights": weights, "label_smoothing": smoothing})
    tensor = None if weights is None else torch.tensor(weights)
    expected = F.cross_entropy(logits, target, tensor, ignore_index=255, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, target), expected)


def test_bce_equals_torch_on_one_hot() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 5, 7), torch.randint(0, 3, (2, 5, 7))
    one_hot = F.one_hot(target, 3).permute(0, 3, 1, 2)
    expected = F.binary_cross_entropy_with_logits(logits, one_hot.float())
    torch.testing.assert_close(make("bce", "multiclass", 3)(logits, target), expected)
    torch.testing.assert_close(make("ce", "multilabel", 3)(logits, one_hot), expected)


def test_sum_is_weighted() -> None:
    logits, target = lecture()
    loss = build_loss([Term("ce", 2.0), Term("dice", 0.5), Term("dice", 0.25)], classes=2, mode="binary")
    ce, dice = (make(name, "binary")(logits, target).item() for name in ("ce", "dice"))
    total, terms = loss.with_terms(logits, target)
    assert loss(logits, target).item() == total.item() == pytest.approx(2 * ce + 0.75 * dice)
    assert {k: v.item() for k, v in terms.items()} == {
        "ce": pytest.approx(ce),
        "dice": pytest.approx(dice),
        "dice_2": pytest.approx(dice),
    }
    assert not any(v.requires_grad for v in terms.values())
