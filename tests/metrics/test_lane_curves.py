"""Splines of lanes, lines of text and the order of equal rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_reference import natural_spline, read_line
from scipy.interpolate import splev, splprep

from lanecli.metrics.bspline import interpolate
from lanecli.metrics.lane_text import parse_lanes
from lanecli.metrics.spline import STEPS, sample, whole_pixels
from lanecli.metrics.stdsort import order_by

calm = settings(deadline=None, max_examples=100)
PLACES = st.tuples(st.integers(-200, 1800), st.integers(-100, 700)).map(lambda p: (p[0] + 0.25, p[1] + 0.5))
LANES = st.lists(PLACES, min_size=3, max_size=30, unique=True)


@calm
@given(LANES)
def test_natural_spline_against_a_dense_system(points: list[tuple[float, float]]) -> None:
    found = sample(np.array(points, np.float32))
    assert found.dtype == np.float32
    assert found.shape == (STEPS * (len(points) - 1) + 1, 2)
    np.testing.assert_allclose(found, natural_spline(points), rtol=0, atol=2e-2)


def test_two_points_stay_a_straight_line() -> None:
    points = np.array([[1.5, 2], [300, 400]], np.float32)
    assert sample(points) is points


def test_a_straight_lane_keeps_straight() -> None:
    found = sample(np.array([[100, 500], [110, 490], [140, 460], [150, 450]], np.float32))
    np.testing.assert_allclose(found.sum(1), 600, atol=1e-3)


def test_a_point_given_twice_in_a_row_ruins_all_but_the_last_sample() -> None:
    found = sample(np.array([[1, 5], [2, 4], [2, 4], [3, 3]], np.float32))
    assert np.isnan(found[:-1]).all()
    assert found[-1].tolist() == [3, 3]


def test_the_order_of_points_is_kept() -> None:
    there = np.array([[10, 10], [400, 300], [20, 500]], np.float32)
    assert not np.array_equal(sample(there), sample(there[[0, 2, 1]]))


@pytest.mark.parametrize(
    ("value", "pixel"),
    [
        (0.5, 0),
        (1.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (2.4999, 2),
        (np.nan, -(1 << 31)),
        (np.inf, -(1 << 31)),
        (3e9, -(1 << 31)),
    ],
)
def test_whole_pixels_round_halves_to_even(value: float, pixel: int) -> None:
    assert whole_pixels(np.array([[value, 0]], np.float32))[0, 0] == pixel


@calm
@given(st.lists(st.tuples(st.integers(0, 1276), st.integers(300, 716)), min_size=2, max_size=40, unique=True))
def test_llamas_spline_is_scipys_to_the_last_bit(points: list[tuple[int, int]]) -> None:
    x, y = zip(*points, strict=True)
    knots, _ = splprep([x, y], s=0, k=min(3, len(points) - 1))
    expected = np.array(splev(np.linspace(0, 1, 50), knots)).T
    assert np.array_equal(interpolate([(float(a), float(b)) for a, b in points], 50), expected)


PIECES = st.sampled_from(
    [
        *("1", "23", ".", "e", "E", "+", "-", " ", "\t", "\r", "x", "nan", "inf", ",", "#", "1e400", "1e-400", "0x1f"),
        *("1.5", "3.", ".7", "\x0b", "\x00", "  ", "1e", "1e+", "1_0", "end", "\xa0", "\ufeff", "٣"),
    ]
)


@settings(deadline=None, max_examples=500)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_text_is_read_as_the_rule_says(line: str) -> None:
    data = line.encode()
    lanes, _ = parse_lanes(data)
    expected = np.array(read_line(data)).reshape(-1, 2)
    assert len(lanes) == (1 if data else 0)
    if data:
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(lanes[0], expected.astype(np.float32))


@pytest.mark.parametrize(
    ("data", "points"),
    [
        (b"", []),
        (b"\n", [0]),
        (b"1 2 3 4\n", [2]),
        (b"1 2 3 4", [2]),
        (b"1 2\n\n3 4\n", [1, 0, 1]),
        (b"1 2 3 4\r\n\r\n", [2, 0]),
        (b"   \n# lanes\n", [0, 0]),
        (b"1,2,3,4\n", [0]),
        (b"1 2 nan nan 3 4\n", [1]),
        (b"1 2 3 1e999 5 6\n", [1]),
        (b"1 2 3\n", [1]),
        (b"\xef\xbb\xbf1 2 3 4\n", [0]),
        (b"1\t2\v3\f4", [2]),
        (b"+1 -2 3e1 .5", [2]),
        (b"1.5.5 3", [1]),
    ],
)
def test_every_line_is_a_lane(data: bytes, points: list[int]) -> None:
    assert [len(lane) for lane in parse_lanes(data)[0]] == points


def test_lines_not_used_up_are_named() -> None:
    assert parse_lanes(b"1 2 3 4\n1 2 3\n1 2 x\n1 2 \n\n")[1] == [2, 3]


def test_coordinates_become_single_precision() -> None:
    lanes, _ = parse_lanes(b"0.1 16777217 1e39 1\n")
    assert lanes[0].tolist() == [[np.float32(0.1), 16777216.0], [np.inf, 1.0]]


@calm
@given(st.lists(st.integers(0, 5), max_size=80))
def test_sorted_and_up_to_sixteen_in_their_order(keys: list[int]) -> None:
    order = order_by(keys)
    assert sorted(order) == list(range(len(keys)))
    assert [keys[i] for i in order] == sorted(keys)
    if len(keys) <= 16:
        assert order == sorted(range(len(keys)), key=lambda i: (keys[i], i))


def test_equal_rows_of_longer_lanes_change_places_as_in_gnu_libraries() -> None:
    """What ``std::sort`` of GCC 12 makes of 20 equal keys, and of ten pairs."""
    assert order_by([0] * 20) == EQUAL
    assert order_by([i // 2 for i in range(19, -1, -1)]) == PAIRS


EQUAL = [10, 19, 18, 17, 16, 15, 14, 13, 12, 11, 0, 9, 8, 7, 6, 5, 4, 3, 2, 1]
PAIRS = [19, 18, 17, 16, 15, 14, 13, 12, 10, 11, 9, 8, 7, 6, 5, 4, 3, 2, 0, 1]
