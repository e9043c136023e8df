from __future__ import annotations

import numpy as np
import pytest

from lanecli.labels import LabelClass, LabelMap
from lanecli.uncertainty.corruption import CORRUPTIONS, STRENGTHS, corrupt
from lanecli.uncertainty.positions import PositionMeans

TWO = LabelMap("two", (LabelClass("a", (0, 0, 0)), LabelClass("b", (0, 0, 1))))


def streamed(place_matters: float) -> PositionMeans:
    """Two classes four apart in every dimension; features also move with the place by so much."""
    rng = np.random.default_rng(0)
    means = PositionMeans(TWO, 3)
    for _ in range(4):
        mask = rng.integers(0, 2, (32, 64)).astype(np.uint8)
        place = np.linspace(0, place_matters, 64)[None, None]
        means.update(4.0 * mask + place + 0.1 * rng.standard_normal((3, 32, 64)), mask)
    return means


def test_classes_that_look_alike_everywhere_are_closer_to_themselves():
    found = streamed(0.5).distances()
    assert found["same_closer"] == 1
    assert found["pairs"] == 2 * (2 * 2 * 3)
    assert found["matrix"][0, 1] == pytest.approx(4 * np.sqrt(3), rel=0.05)
    assert found["matrix"][0, 0] < 1
    assert streamed(30.0).distances()["same_closer"] < 0.7


def test_means_are_those_of_all_pixels_of_a_place():
    rng = np.random.default_rng(1)
    features, mask = rng.standard_normal((2, 8, 12)), rng.integers(0, 2, (8, 12)).astype(np.uint8)
    mask[0, 0] = 255
    means = PositionMeans(TWO, 2, (2, 3))
    means.update(features, mask)
    held = mask[4:, 4:8] == 1
    assert means.counts[1, 4] == held.sum()
    assert means.sums[1, 4] == pytest.approx(features[:, 4:, 4:8][:, held].sum(1))
    assert means.counts.sum() == 95


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_corruptions_grow_and_repeat(kind):
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (20, 640, 3)).astype(np.uint8)
    before = picture.copy()
    gaps = [np.abs(corrupt(picture, kind, s).astype(int) - picture).mean() for s in STRENGTHS]
    assert (np.diff(gaps) > 0).all()
    assert gaps[0] > 0
    assert (picture == before).all()
    assert (corrupt(picture, kind, 3, seed=5) == corrupt(picture, kind, 3, seed=5)).all()
