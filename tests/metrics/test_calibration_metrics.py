"""Calibration scores against plain loops in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanecli.metrics.calibration import DEFINITIONS, Calibration


def case(seed: int, classes: int, ignored: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random probabilities (some of them certain), their best class, and a truth."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), (4, 6)).transpose(2, 0, 1)
    certain = rng.random((4, 6)) < 0.15
    probabilities[:, certain] = np.eye(classes)[rng.integers(classes, size=certain.sum())].T
    target = rng.integers(classes, size=(4, 6)).astype(np.uint8)
    target[rng.random((4, 6)) < ignored] = 255
    return probabilities.astype(np.float32), probabilities.argmax(0).astype(np.uint8), target


def reference(cases: list[tuple[np.ndarray, np.ndarray, np.ndarray]], bins: int) -> dict[str, float]:
    pixels, nll, brier = 0, 0.0, 0.0
    content: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for probabilities, predicted, target in cases:
        for y in range(target.shape[0]):
            for x in range(target.shape[1]):
                truth = int(target[y, x])
                if truth == 255:
                    continue
                pixels += 1
                values = [float(p) for p in probabilities[:, y, x]]
                nll -= math.log(max(values[truth], 1e-7))
                brier += sum((v - (c == truth)) ** 2 for c, v in enumerate(values))
                confidence = values[int(predicted[y, x])]
                number = next((b for b in range(bins) if confidence < (b + 1) / bins), bins - 1)
                content[number].append((confidence, int(predicted[y, x]) == truth))
    ece = 0.0
    for group in content:
        if group:
            sure = sum(c for c, _ in group) / len(group)
            right = sum(hit for _, hit in group) / len(group)
            ece += len(group) / pixels * abs(sure - right)
    return {"nll": nll / pixels, "brier": brier / pixels, "ece": ece}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.sampled_from([1, 10, 15]), st.integers(1, 3))
def test_scores_are_those_of_the_loops(seed: int, classes: int, bins: int, pictures: int) -> None:
    cases = [case(seed + i, classes) for i in range(pictures)]
    calibration = Calibration(bins)
    for probabilities, predicted, target in cases:
        calibration.update(probabilities, predicted, target)
    assert calibration.scores() == pytest.approx(reference(cases, bins), abs=1e-9)


def test_numbers_worked_out_by_hand() -> None:
    probabilities = np.array([[[0.2, 0.9]], [[0.8, 0.1]]])
    calibration = Calibration()
    calibration.update(probabilities, np.array([[1, 0]], np.uint8), np.array([[1, 1]], np.uint8))
    scores = calibration.scores()
    assert scores["nll"] == pytest.approx(-(math.log(0.8) + math.log(0.1)) / 2)
    assert scores["brier"] == pytest.approx((0.04 + 0.04 + 0.81 + 0.81) / 2)
    assert scores["ece"] == pytest.approx((0.2 + 0.9) / 2)


def test_the_certain_and_right_are_perfect_and_the_certain_and_wrong_are_finite() -> None:
    probabilities = np.stack([np.ones((2, 2)), np.zeros((2, 2))]).astype(np.float32)
    right, wrong = Calibration(), Calibration()
    right.update(probabilities, np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    wrong.update(probabilities, np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8))
    assert right.scores() == {"nll": 0.0, "brier": 0.0, "ece": 0.0}
    assert wrong.scores() == pytest.approx({"nll": -math.log(1e-7), "brier": 2.0, "ece": 1.0})


def test_nothing_counted_is_none() -> None:
    calibration = Calibration()
    assert calibration.scores() == dict.fromkeys(DEFINITIONS)
    calibration.update(np.ones((2, 1, 1), np.float32), np.zeros((1, 1), np.uint8), np.full((1, 1), 255, np.uint8))
    assert calibration.scores() == dict.fromkeys(DEFINITIONS)


@pytest.mark.parametrize(("predicted", "target"), [(2, 0), (0, 2), (0, 254)])
def test_ids_that_are_no_class_are_refused(predicted: int, target: int) -> None:
    with pytest.raises(ValueError, match="not one of the 2 classes"):
        Calibration().update(
            np.ones((2, 1, 1), np.float32), np.full((1, 1), predicted, np.uint8), np.full((1, 1), target, np.uint8)
        )
