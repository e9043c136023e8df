"""CULane's assignment with its slack, and the exact one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_reference import slack_match
from scipy.optimize import linear_sum_assignment

from lanecli.metrics.lane_iou import LaneCounts, count_matches
from lanecli.metrics.matching import exact_matching, slack_matching

calm = settings(deadline=None, max_examples=200)


def tables(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[list[float]]]:
    shape = st.tuples(st.integers(1, 5), st.integers(1, 5))
    return shape.flatmap(
        lambda s: st.lists(st.lists(values, min_size=s[1], max_size=s[1]), min_size=s[0], max_size=s[0])
    )


IOUS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 0.504, 0.497, 0.508, 1.0]))


@calm
@given(tables(IOUS))
def test_against_the_written_rule(table: list[list[float]]) -> None:
    assert slack_matching(table) == slack_match(table)


@calm
@given(tables(st.one_of(IOUS, st.just(math.nan))))
def test_nan_is_skipped_as_the_rule_says(table: list[list[float]]) -> None:
    assert slack_matching(table) == slack_match(table)


@calm
@given(tables(st.integers(0, 10).map(lambda v: v / 10)))
def test_steps_wider_than_the_slack_give_the_best_sum(table: list[list[float]]) -> None:
    rows, columns = linear_sum_assignment(np.array(table), maximize=True)
    found = sum(table[i][j] for i, j in enumerate(slack_matching(table)) if j >= 0)
    assert found == pytest.approx(float(np.array(table)[rows, columns].sum()))


@calm
@given(tables(st.floats(0, 1)))
def test_never_further_from_the_best_than_the_slack(table: list[list[float]]) -> None:
    rows, columns = linear_sum_assignment(np.array(table), maximize=True)
    partners = slack_matching(table)
    taken = [j for j in partners if j >= 0]
    assert len(set(taken)) == len(taken) == min(len(table), len(table[0]))
    found = sum(table[i][j] for i, j in enumerate(partners) if j >= 0)
    assert found >= float(np.array(table)[rows, columns].sum()) - 0.01 * len(taken) * 2 - 1e-9


def test_the_first_of_two_that_are_within_the_slack_is_taken() -> None:
    """So a lane is lost that an exact assignment would find."""
    assert slack_matching([[0.497, 0.504]]) == [0]
    assert count_matches(np.array([[0.497, 0.504]]), 0.5) == LaneCounts(0, 2, 1)
    assert slack_matching([[0.493, 0.504]]) == [1]


def test_the_smaller_side_chooses() -> None:
    assert slack_matching([[0.6], [0.605]]) == [0, -1]
    assert slack_matching([[0.6], [0.7]]) == [-1, 0]


def test_a_row_of_nothing_but_nan_ends_the_search() -> None:
    nan = math.nan
    assert slack_matching([[0.9, 0.1, 0.0], [nan, nan, nan], [0.0, 0.1, 0.9]]) == [0, -1, -1]


def test_exactly_the_threshold_is_a_miss() -> None:
    assert count_matches(np.array([[0.5]]), 0.5) == LaneCounts(0, 1, 1)
    assert count_matches(np.array([[np.nextafter(0.5, 1)]]), 0.5) == LaneCounts(1, 0, 0)


@pytest.mark.parametrize(("shape", "counts"), [((0, 0), (0, 0, 0)), ((0, 3), (0, 3, 0)), ((2, 0), (0, 0, 2))])
def test_one_side_without_lanes(shape: tuple[int, int], counts: tuple[int, int, int]) -> None:
    assert count_matches(np.zeros(shape), 0.5) == LaneCounts(*counts)


@calm
@given(tables(st.one_of(st.floats(-5, 5), st.integers(0, 3).map(float))))
def test_exact_matching_is_scipys_ties_included(table: list[list[float]]) -> None:
    rows, columns = linear_sum_assignment(np.array(table))
    assert exact_matching(table) == list(zip(rows.tolist(), columns.tolist(), strict=True))


@settings(deadline=None, max_examples=60)
@given(tables(st.integers(0, 9).map(float)))
def test_exact_matching_costs_least(table: list[list[float]]) -> None:
    wide = table if len(table) <= len(table[0]) else [list(c) for c in zip(*table, strict=True)]
    least = min(
        sum(wide[i][j] for i, j in enumerate(chosen))
        for chosen in itertools.permutations(range(len(wide[0])), len(wide))
    )
    assert sum(table[i][j] for i, j in exact_matching(table)) == least


@pytest.mark.parametrize(
    ("counts", "ratios", "printed", "missing"),
    [
        ((0, 0, 0), (-1.0, -1.0, -1.0), ["-1", "-1", "-1"], ["precision", "recall", "f1"]),
        ((0, 8, 0), (0.0, -1.0, 0.0), ["0", "-1", "0"], ["recall", "f1"]),
        ((0, 0, 3), (-1.0, 0.0, 0.0), ["-1", "0", "0"], ["precision", "f1"]),
        ((0, 1, 2), (0.0, 0.0, None), ["0", "0", "-nan"], ["f1"]),
        ((2, 1, 0), (2 / 3, 1.0, 0.8), ["0.666667", "1", "0.8"], []),
    ],
)
def test_ratios_without_a_denominator(
    counts: tuple[int, int, int], ratios: tuple[float | None, ...], printed: list[str], missing: list[str]
) -> None:
    scores = LaneCounts(*counts).scores()
    assert (scores["precision"], scores["recall"], scores["f1"]) == pytest.approx(ratios)
    assert list(scores["printed"].values()) == printed
    assert scores["not_defined"] == missing


def test_counts_add_up() -> None:
    assert LaneCounts(1, 2, 3) + LaneCounts(4, 5, 6) == LaneCounts(5, 7, 9)
