"""The confusion matrix and its ratios against counting pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lanecli.labels import LabelClass, LabelMap
from lanecli.metrics.segmentation import DEFINITIONS, ConfusionMatrix

calm = settings(deadline=None, max_examples=40)
PICTURES = st.integers(1, 6).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(
            st.tuples(
                arrays(np.uint8, (3, 5), elements=st.integers(0, classes - 1)),
                arrays(np.uint8, (3, 5), elements=st.sampled_from([*range(classes), 255])),
            ),
            min_size=1,
            max_size=4,
        ),
    )
)


def label_map(classes: int, background: int | None = 0) -> LabelMap:
    return LabelMap("m", tuple(LabelClass(f"c{i}", (i, i, i)) for i in range(classes)), background=background)


def reference(classes: int, pictures: list[tuple[np.ndarray, np.ndarray]], background: int | None) -> dict[str, object]:
    """Every score, pixel by pixel over all pictures."""
    pairs = [
        (int(p), int(t))
        for predicted, target in pictures
        for p, t in zip(predicted.ravel(), target.ravel(), strict=True)
        if t != 255
    ]

    def share(part: int, whole: int) -> float | None:
        return part / whole if whole else None

    def mean(values: list[float | None]) -> float | None:
        present = [v for v in values if v is not None]
        return sum(present) / len(present) if present else None

    scores: dict[str, dict[str, float | None]] = {"iou": {}, "dice": {}, "precision": {}, "recall": {}}
    for c in range(classes):
        hit = sum(p == c and t == c for p, t in pairs)
        false = sum(p == c and t != c for p, t in pairs)
        missed = sum(p != c and t == c for p, t in pairs)
        scores["iou"][f"c{c}"] = share(hit, hit + false + missed)
        scores["dice"][f"c{c}"] = share(2 * hit, 2 * hit + false + missed)
        scores["precision"][f"c{c}"] = share(hit, hit + false)
        scores["recall"][f"c{c}"] = share(hit, hit + missed)
    return {
        **scores,
        "miou": mean(list(scores["iou"].values())),
        "miou_foreground": mean([v for n, v in scores["iou"].items() if n != f"c{background}"]),
        "pixel_accuracy": share(sum(p == t for p, t in pairs), len(pairs)),
    }


def assert_close(got: object, wanted: object) -> None:
    if isinstance(wanted, dict):
        assert isinstance(got, dict)
        assert list(got) == list(wanted)
        for name in wanted:
            assert_close(got[name], wanted[name])
    elif wanted is None:
        assert got is None
    else:
        assert isinstance(got, float)
        assert got == pytest.approx(wanted, abs=1e-12)


@calm
@given(PICTURES, st.booleans())
def test_scores_are_those_of_counting_by_hand(
    case: tuple[int, list[tuple[np.ndarray, np.ndarray]]], has_background: bool
) -> None:
    classes, pictures = case
    background = classes - 1 if has_background else None
    counts = ConfusionMatrix(classes)
    for predicted, target in pictures:
        counts.update(predicted, target)
    scores = counts.scores(label_map(classes, background))
    wanted = reference(classes, pictures, background)
    assert set(scores) == set(DEFINITIONS)
    assert_close({name: scores[name] for name in wanted}, wanted)


@calm
@given(PICTURES)
def test_pictures_are_pooled_before_any_ratio(case: tuple[int, list[tuple[np.ndarray, np.ndarray]]]) -> None:
    classes, pictures = case
    one, batch = ConfusionMatrix(classes), ConfusionMatrix(classes)
    for predicted, target in pictures:
        one.update(predicted, target)
    batch.update(np.stack([p for p, _ in pictures]), np.stack([t for _, t in pictures]))
    assert np.array_equal(one.counts, batch.counts)
    assert one.counts.sum() == sum((t != 255).sum() for _, t in pictures)


def test_numbers_worked_out_by_hand() -> None:
    counts = ConfusionMatrix(3)
    counts.update(np.array([[0, 0, 1, 1, 1]], np.uint8), np.array([[0, 1, 1, 1, 255]], np.uint8))
    assert counts.counts.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    scores = counts.scores(label_map(3))
    assert scores["iou"] == {"c0": 1 / 2, "c1": 2 / 3, "c2": None}
    assert scores["dice"] == {"c0": 2 / 3, "c1": 4 / 5, "c2": None}
    assert scores["precision"] == {"c0": 1 / 2, "c1": 1.0, "c2": None}
    assert scores["recall"] == {"c0": 1.0, "c1": 2 / 3, "c2": None}
    assert scores["miou"] == pytest.approx(7 / 12)
    assert scores["miou_foreground"] == pytest.approx(2 / 3)
    assert scores["pixel_accuracy"] == 3 / 4


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    counts = ConfusionMatrix(2)
    counts.update(np.ones((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    assert counts.scores(label_map(2))["iou"] == {"c0": 0.0, "c1": 0.0}


def test_nothing_counted_is_none_throughout() -> None:
    counts = ConfusionMatrix(2)
    counts.update(np.full((2, 2), 255, np.uint8), np.full((2, 2), 255, np.uint8))
    scores = counts.scores(label_map(2))
    assert scores["miou"] is scores["miou_foreground"] is scores["pixel_accuracy"] is None
    assert set(scores["iou"].values()) == {None}
    assert not any(isinstance(v, float) and math.isnan(v) for v in scores.values())


@pytest.mark.parametrize(
    ("predicted", "target", "words"),
    [
        (np.full((2, 2), 2, np.uint8), np.zeros((2, 2), np.uint8), "not one of the 2 classes"),
        (np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), "not one of the 2 classes"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 254, np.uint8), "not one of the 2 classes"),
        (np.zeros((2, 2), np.uint8), np.zeros((1, 2), np.uint8), "differ in shape"),
        (np.full((2, 2), 256), np.zeros((2, 2), np.uint8), "uint8"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), -1), "uint8"),
    ],
)
def test_what_cannot_be_counted_is_refused_and_leaves_nothing(
    predicted: np.ndarray, target: np.ndarray, words: str
) -> None:
    counts = ConfusionMatrix(2)
    with pytest.raises(ValueError, match=words):
        counts.update(predicted, target)
    assert not counts.counts.any()


def test_what_is_predicted_under_ignored_pixels_does_not_matter() -> None:
    counts = ConfusionMatrix(2)
    counts.update(np.array([[200, 1]], np.uint8), np.array([[255, 1]], np.uint8))
    assert counts.counts.tolist() == [[0, 0], [0, 1]]


def test_counts_do_not_overflow() -> None:
    counts = ConfusionMatrix(2)
    counts.counts[1, 1] = 1 << 40
    counts.update(np.ones((1, 1), np.uint8), np.ones((1, 1), np.uint8))
    assert counts.counts[1, 1] == (1 << 40) + 1
