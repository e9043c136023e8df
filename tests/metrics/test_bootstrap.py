"""The paired bootstrap: against every resample there is, and against plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from lanecli.metrics.bootstrap import paired_interval, pooled_iou, resamples, units_of


def slow_iou(pictures: list[np.ndarray]) -> float:
    """Mean IoU over classes that occur, by the definition."""
    ratios = []
    for number in range(len(pictures[0])):
        hits = sum(int(counts[number][0]) for counts in pictures)
        union = sum(int(counts[number][1]) for counts in pictures)
        if union:
            ratios.append(hits / union)
    return sum(ratios) / len(ratios) if ratios else math.nan


def counts_of(seed: int, pictures: int, classes: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    union = rng.integers(1, 200, (pictures, classes))
    return np.stack([(union * rng.random((pictures, classes))).astype(int), union], -1)


def test_units_are_groups_or_blocks_of_ten_of_a_group() -> None:
    five = ["e", "a", "b", "e", "c", "d"]
    assert units_of(five).tolist() == [0, 1, 2, 0, 3, 4]
    assert units_of(["a", "b"] * 12).tolist() == [0, 1] * 10 + [2, 3] * 2


@pytest.mark.parametrize("classes", [1, 3])
def test_the_interval_is_that_of_all_resamples(classes: int) -> None:
    """Four units have 256 resamples, which are equally likely: their quantiles are what drawing some estimates."""
    ours, theirs = counts_of(1, 7, classes), counts_of(2, 7, classes)
    units = np.array([0, 0, 1, 2, 2, 2, 3])
    everything = []
    for drawn in itertools.product(range(4), repeat=4):
        places = [place for unit in drawn for place in np.flatnonzero(units == unit)]
        everything.append(slow_iou([ours[p] for p in places]) - slow_iou([theirs[p] for p in places]))
    found = paired_interval(ours, theirs, units, 20_000)
    assert found is not None
    wanted = np.quantile(everything, (0.025, 0.975))
    spread = wanted[1] - wanted[0]
    np.testing.assert_allclose(found, wanted, atol=0.03 * spread)


def test_the_interval_is_that_of_plain_loops_over_the_same_draws() -> None:
    ours, theirs = counts_of(3, 30, 2), counts_of(4, 30, 2)
    ours[:, 1] = 0  # a class that one model and the truth do not have
    units = np.arange(30) // 4
    draws = resamples(8, 50)
    assert (draws.sum(1) == 8).all()
    differences = []
    for draw in draws:
        places = [place for unit, times in enumerate(draw) for place in np.flatnonzero(units == unit).repeat(times)]
        differences.append(slow_iou([ours[p] for p in places]) - slow_iou([theirs[p] for p in places]))
    found = paired_interval(ours, theirs, units, 50)
    np.testing.assert_allclose(found, np.quantile(differences, (0.025, 0.975)), rtol=1e-12)


def test_it_is_paired_and_undefined_with_a_single_unit() -> None:
    counts = counts_of(5, 12, 1)
    assert paired_interval(counts, counts, np.arange(12)) == (0, 0)
    assert paired_interval(counts, counts, np.zeros(12, int)) is None
    assert paired_interval(counts * 0, counts * 0, np.arange(12)) is None
    assert math.isnan(pooled_iou(np.zeros((1, 2))))
