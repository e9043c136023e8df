"""What must not change a loss, and losses that are others at special arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import NAMES, OVERLAP, cases, value
from loss_reference import Case


def moved(case: Case, move: Any, target_fill: Any = None) -> Case:
    """The case with `move` applied to the last two axes of all its arrays."""
    return Case(
        move(case.logits),
        move(case.target) if target_fill is None else target_fill(case.target),
        case.mode,
        case.ignore_id,
        case.background,
        move(case.teacher),
        case.args,
    )


@pytest.mark.parametrize("name", [n for n in NAMES if n != "boundary"])
def test_order_of_pixels_does_not_matter(name: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(cases(name), st.integers(0, 2**32 - 1))
    def check(case: Case, seed: int) -> None:
        height, width = case.logits.shape[2:]
        order = np.random.default_rng(seed).permutation(height * width)

        def move(a: np.ndarray) -> np.ndarray:
            return a.reshape(*a.shape[:-2], -1)[..., order].reshape(a.shape)

        assert value(name, moved(case, move)).item() == pytest.approx(value(name, case).item(), rel=1e-9, abs=1e-6)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_mirroring_and_turning_do_not_matter(name: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(cases(name))
    def check(case: Case) -> None:
        for move in (
            lambda a: np.flip(a, -1).copy(),
            lambda a: np.flip(a, -2).copy(),
            lambda a: np.swapaxes(a, -1, -2).copy(),
        ):
            same = value(name, moved(case, move)).item()
            assert same == pytest.approx(value(name, case).item(), rel=1e-9, abs=1e-6)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_more_ignored_pixels_change_nothing(name: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(cases(name), st.integers(1, 3), st.floats(-50, 50))
    def check(case: Case, columns: int, junk: float) -> None:
        sides = ((0, 0), (0, columns))

        def grow(a: np.ndarray, fill: float) -> np.ndarray:
            return np.pad(a, ((0, 0),) * (a.ndim - 2) + sides, constant_values=fill)

        grown = moved(case, lambda a: grow(a, junk), lambda t: grow(t, case.ignore_id))
        assert value(name, grown).item() == pytest.approx(value(name, case).item(), rel=1e-9, abs=1e-6)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_logits_under_ignored_pixels_do_not_matter(name: str) -> None:
    @settings(max_examples=20, deadline=None)
    @given(cases(name))
    def check(case: Case) -> None:
        ignored = case.target == case.ignore_id
        if case.target.ndim == 3:
            ignored = np.broadcast_to(ignored[:, None], case.logits.shape)
        other = Case(**{**vars(case), "logits": np.where(ignored, 1e4, case.logits)})
        assert value(name, other).item() == pytest.approx(value(name, case).item(), rel=1e-12, abs=1e-12)

    check()


SIBLINGS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("nll", {}, "ce", {}),
    ("focal", {"gamma": 0.0}, "ce", {}),
    ("weighted_ce", {"beta": 1.0}, "ce", {}),
    ("boundary", {"strength": 0.0}, "ce", {}),
    ("ohem", {"min_kept": 1.0}, "ce", {}),
    ("tversky", {"beta": 0.5}, "dice", {}),
    ("tversky", {"beta": 0.5, "smooth": 0.5}, "dice", {"smooth": 1.0}),
    ("tversky", {"alpha": 1.0, "beta": 1.0, "smooth": 1.0}, "jaccard", {"smooth": 1.0}),
    ("focal_tversky", {"gamma": 1.0}, "tversky", {}),
]


@pytest.mark.parametrize(("name", "args", "sibling", "others"), SIBLINGS)
def test_equals_its_sibling(name: str, args: dict[str, Any], sibling: str, others: dict[str, Any]) -> None:
    @settings(max_examples=25, deadline=None)
    @given(cases("mcc"))
    def check(case: Case) -> None:
        ours, theirs = (Case(**{**vars(case), "args": a}) for a in (args, others))
        if name == "weighted_ce":
            ours.background = theirs.background = 0
        assert value(name, ours).item() == pytest.approx(value(sibling, theirs).item(), rel=1e-9, abs=1e-6)

    check()


def test_balanced_ce_at_a_half_is_half_of_ce() -> None:
    @settings(max_examples=25, deadline=None)
    @given(cases("balanced_ce"))
    def check(case: Case) -> None:
        ours, theirs = (Case(**{**vars(case), "args": a}) for a in ({"beta": 0.5}, {}))
        assert value("balanced_ce", ours).item() == pytest.approx(value("ce", theirs).item() / 2, rel=1e-9)

    check()


def test_kl_is_zero_only_for_the_teacher() -> None:
    @settings(max_examples=25, deadline=None)
    @given(cases("kl"))
    def check(case: Case) -> None:
        assert value("kl", Case(**{**vars(case), "teacher": case.logits})).item() == pytest.approx(0, abs=1e-12)
        assert value("kl", case).item() >= 0

    check()


@pytest.mark.parametrize("name", [*OVERLAP, "lovasz"])
def test_overlap_of_hard_predictions_is_the_metric(name: str) -> None:
    rng = np.random.default_rng(3)
    target, guess = rng.integers(0, 2, (2, 2, 8, 9))
    logits = np.where(guess, 1e4, -1e4)[:, None].astype(np.float64)
    both, size = (target & guess).sum(), guess.sum() + target.sum()
    dice, iou = 2 * both / size, both / (size - both)
    fp, fn = (guess & ~target & 1).sum(), (target & ~guess & 1).sum()
    tversky = both / (both + 0.3 * fp + 0.7 * fn)
    metric = {"dice": dice, "dice_squared": dice, "jaccard": iou, "lovasz": iou, "tversky": tversky}
    expected = 1 - metric[name] if name in metric else (1 - tversky) ** 0.75
    assert value(name, Case(logits, target, "binary")).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_two_softmax_classes_are_one_sigmoid(name: str) -> None:
    # bce asks twice, once per class; the others see one yes or no
    rng = np.random.default_rng(5)
    target = rng.choice([0, 1, 1, 255], (2, 5, 6))
    logits, teacher = rng.normal(0, 2, (2, 2, 2, 5, 6))
    if name == "bce":
        logits = np.stack([-logits[:, 1], logits[:, 1]], 1)
    scale = 1 if name == "bce" else None
    single = logits[:, 1:] if scale else logits[:, 1:] - logits[:, :1]
    two = value(name, Case(logits, target, "multiclass", teacher=teacher)).item()
    one = value(name, Case(single, target, "binary", teacher=teacher[:, 1:] - teacher[:, :1])).item()
    assert two == pytest.approx(one, rel=1e-9)
