"""Shapes to pixels, against pixels counted by hand and slow references."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lanecli.data import rasterise
from lanecli.data.rasterise import (
    blank,
    coco_runs,
    draw_line,
    fill_circle,
    fill_polygon,
    from_corners,
    runs_to_mask,
)
from lanecli.errors import InputError

# Odd offsets: no edge runs exactly through a pixel centre, where either answer is right.
POLYGON = st.lists(
    st.tuples(st.integers(-8, 40).map(lambda v: v / 2 + 0.2371), st.integers(-8, 40).map(lambda v: v / 2 + 0.3913)),
    min_size=3,
    max_size=7,
)


def inside(x: float, y: float, points: list[tuple[float, float]]) -> bool:
    """Even-odd rule, one ray to the right, in plain Python."""
    odd = False
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            odd = not odd
    return odd


def test_a_rectangle_in_corner_coordinates_fills_its_pixels_and_no_more() -> None:
    mask = np.zeros((8, 10), np.uint8)
    fill_polygon(mask, from_corners([(2, 3), (6, 3), (6, 5), (2, 5)]), 9)
    assert mask.sum() == 9 * 8
    assert (mask[3:5, 2:6] == 9).all()


@settings(max_examples=200)
@given(POLYGON)
def test_polygons_take_the_pixels_whose_centres_are_inside(points: list[tuple[float, float]]) -> None:
    mask = np.zeros((14, 16), np.uint8)
    fill_polygon(mask, np.array(points), 1)
    slow = [[int(inside(x, y, points)) for x in range(16)] for y in range(14)]
    assert mask.tolist() == slow


def test_two_polygons_that_share_an_edge_share_no_pixel() -> None:
    mask = np.zeros((9, 9), np.uint8)
    corners = [(1, 1), (8, 1), (8, 8), (1, 8)]
    upper, lower = np.zeros_like(mask), np.zeros_like(mask)
    fill_polygon(upper, from_corners([corners[0], corners[1], corners[2]]), 1)
    fill_polygon(lower, from_corners([corners[0], corners[2], corners[3]]), 1)
    assert (upper + lower).tolist() == np.pad(np.ones((7, 7)), 1).astype(int).tolist()


def test_polygon_outside_or_degenerate_draws_nothing() -> None:
    mask = np.zeros((4, 4), np.uint8)
    for points in ([(9, 9), (12, 9), (12, 12)], [(0, 0), (3, 3)], [(0, 0), (1, float("nan")), (3, 0)], [(1, 1)] * 3):
        fill_polygon(mask, np.array(points, float), 1)
    assert not mask.any()


@pytest.mark.parametrize("width", [1, 3, 5, 15])
def test_a_vertical_line_has_the_width_asked_for(width: int) -> None:
    mask = np.zeros((40, 40), np.uint8)
    draw_line(mask, np.array([(20.0, -50.0), (20.0, 90.0)]), 1, width)
    assert np.nonzero(mask[17])[0].tolist() == list(range(20 - width // 2, 21 + width // 2))


@given(POLYGON, st.sampled_from([1.0, 2.5, 5.0]))
def test_lines_take_the_pixels_within_half_their_width(points: list[tuple[float, float]], width: float) -> None:
    mask = np.zeros((14, 16), np.uint8)
    draw_line(mask, np.array(points), 1, width)
    near, far = np.zeros((14, 16), bool), np.ones((14, 16), bool)
    y, x = np.mgrid[:14, :16]
    for (x0, y0), (x1, y1) in pairwise(points):
        length = np.hypot(x1 - x0, y1 - y0)
        t = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / max(length, 1e-9) ** 2
        aside = np.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0))
        nearest = np.clip(t, 0, 1)
        distance = np.hypot(x - x0 - nearest * (x1 - x0), y - y0 - nearest * (y1 - y0))
        near |= (length > 0) & (t > 0) & (t < 1) & (aside < width / 2 - 1e-9)
        far &= distance > width / 2 + 1e-9
    assert not (mask.astype(bool) & far).any()
    assert mask[near].all()


def test_a_line_far_outside_or_not_finite_draws_what_is_inside() -> None:
    mask = np.zeros((10, 10), np.uint8)
    draw_line(mask, np.array([(5, -1e12), (5, 20), (np.nan, 3)], float), 1, 1)
    assert mask[:, 5].all()
    assert mask.sum() == 10


def test_circle() -> None:
    mask = np.zeros((5, 5), np.uint8)
    fill_circle(mask, np.array([2.0, 2.0]), 1.0, 1)
    assert mask.tolist() == [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_run_lengths_begin_with_zeros() -> None:
    assert runs_to_mask([2, 3, 1], 6, "x").tolist() == [False, False, True, True, True, False]
    assert runs_to_mask([0, 2], 2, "x").tolist() == [True, True]


@pytest.mark.parametrize("runs", [[2, 3], [7, -1], [10**12], []])
def test_run_lengths_that_do_not_add_up_are_refused(runs: list[int]) -> None:
    with pytest.raises(InputError, match="do not add up to the 6"):
        runs_to_mask(runs, 6, "x")


def compress(runs: list[int]) -> str:
    """COCO's string by its description: signed differences from the third-last on, 5 bits a character, low first."""
    text = ""
    for i, run in enumerate(runs):
        value = run - (runs[i - 2] if i > 2 else 0)
        while True:
            low = value & 31
            value >>= 5
            done = (value == 0 and not low & 16) or (value == -1 and low & 16)
            text += chr(48 + (low if done else low | 32))
            if done:
                break
    return text


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=30))
def test_coco_strings_read_back(runs: list[int]) -> None:
    assert coco_runs(compress(runs), "x") == runs


def test_coco_string_by_hand() -> None:
    # 6 -> '6'; 33 = 1 + 1·32 -> low five bits 1 with the going-on bit: 'Q', then 1: '1'.
    assert coco_runs("6Q1", "x") == [6, 33]


@pytest.mark.parametrize("text", ["\n", "Q", "QQQQQQQQQQ1", "日"])
def test_broken_coco_strings_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="run-length"):
        coco_runs(text, "x")


def test_sizes_are_checked_before_anything_is_allocated() -> None:
    with pytest.raises(InputError, match="1000000x1000000 is not a valid picture size"):
        blank((1_000_000, 1_000_000), "x")
    assert blank((3, 2), "x").tolist() == [[0, 0, 0], [0, 0, 0]]


# --- memory ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(-9, 40), st.floats(-9, 30)), min_size=3, max_size=9), st.integers(1, 40))
@example(points=[(0.0, 0.0), (0.0, 0.0), (2.2250738585e-313, 0.0)], band=1)
def test_shapes_drawn_in_bands_are_those_drawn_at_once(points: list[tuple[float, float]], band: int) -> None:
    outline = np.array(points)
    at_once, banded = np.zeros((24, 32), np.uint8), np.zeros((24, 32), np.uint8)
    for mask, budget in ((at_once, rasterise._BAND), (banded, band)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rasterise, "_BAND", budget)
            fill_polygon(mask, outline, 1)
            draw_line(mask, outline, 2, 3)
            fill_circle(mask, outline[0], 5.5, 3)
    assert np.array_equal(at_once, banded)


def test_a_polygon_of_a_hundred_million_pixels_takes_little_more_than_its_mask() -> None:
    mask = np.zeros((10_000, 10_000), np.uint8)
    tracemalloc.start()
    fill_polygon(mask, np.array([(-1.0, -1), (10_001, -1), (10_001, 10_001), (-1, 10_001)]), 1)
    fill_circle(mask, np.array([5000.0, 5000.0]), 4000.0, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert mask[0, 0] == mask[-1, -1] == 1
    assert mask[5000, 5000] == 2
    assert peak < 150 << 20


def test_a_shape_too_intricate_is_refused() -> None:
    zigzag = np.array([(x, y) for x in range(20_000) for y in (0.0, 20_000.0)])
    with pytest.raises(InputError, match="too intricate"):
        fill_polygon(np.zeros((20_000, 4), np.uint8), zigzag, 1)


@pytest.mark.parametrize("far", [1e12, 1e300])
def test_points_far_outside_are_drawn_as_what_is_seen_of_them(far: float) -> None:
    mask = np.zeros((8, 8), np.uint8)
    fill_polygon(mask, np.array([(-far, -far), (far, -far), (far, far), (-far, far)]), 1)
    draw_line(mask, np.array([(3.0, -far), (3.0, far)]), 2, 1)
    assert (mask[:, 3] == 2).all()
    assert (np.delete(mask, 3, axis=1) == 1).all()
