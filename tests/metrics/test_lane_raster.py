"""Drawn lanes: every pixel as OpenCV 4 draws it, whatever leaves the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lane_reference import draw_lane

from lanecli.metrics.lane_raster import Pen, Raster
from lanecli.metrics.thick_line import disc_half_widths, radius_of

SIZE = (164, 59)
WIDTHS = st.sampled_from([2, 3, 5, 8, 15, 16, 29, 30, 31])
PENS = {width: Pen(width, SIZE) for width in (2, 3, 5, 8, 15, 16, 29, 30, 31)}
calm = settings(deadline=None, max_examples=150)


def pixels(raster: Raster, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size[::-1], bool)
    for layer in range(raster.first.shape[0]):
        for row, (first, last) in enumerate(zip(raster.first[layer], raster.last[layer], strict=True)):
            if first <= last:
                assert not mask[raster.top + row, first : last + 1].any()
                mask[raster.top + row, first : last + 1] = True
    return mask


def near(limit: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(-limit, SIZE[0] + limit), st.integers(-limit, SIZE[1] + limit))


@calm
@given(WIDTHS, st.lists(near(40), min_size=1, max_size=5))
def test_polylines_of_any_kind(width: int, points: list[tuple[int, int]]) -> None:
    """They cross themselves, turn back, run along the border and leave the picture."""
    line = np.array(points * 2 if len(points) == 1 else points)
    raster = PENS[width].draw(line)
    expected = draw_lane(line, width, SIZE)
    np.testing.assert_array_equal(pixels(raster, SIZE), expected)
    assert raster.area == expected.sum()


@calm
@given(WIDTHS, near(20), st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1)), max_size=120))
def test_paths_of_single_pixels(width: int, start: tuple[int, int], steps: list[tuple[int, int]]) -> None:
    line = np.cumsum([start, *steps], axis=0)
    expected = draw_lane(np.concatenate([line, line[-1:]]), width, SIZE)
    np.testing.assert_array_equal(pixels(PENS[width].draw(line), SIZE), expected)


@calm
@given(WIDTHS, near(20), st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_paths_down_the_picture(width: int, start: tuple[int, int], steps: list[tuple[int, int]]) -> None:
    """Those that never turn back take the short way."""
    line = np.cumsum([start, *steps], axis=0)
    np.testing.assert_array_equal(pixels(PENS[width].draw(line), SIZE), draw_lane(line, width, SIZE))


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(-30000, 30000), st.integers(-30000, 30000)), near(10))
def test_pieces_that_come_from_far_away(far: tuple[int, int], here: tuple[int, int]) -> None:
    line = np.array([far, here])
    np.testing.assert_array_equal(pixels(PENS[30].draw(line), SIZE), draw_lane(line, 30, SIZE))


@settings(deadline=None, max_examples=60)
@given(st.lists(near(30), min_size=2, max_size=4), st.lists(near(30), min_size=2, max_size=4))
def test_overlaps_are_counted_pixel_by_pixel(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    lines = np.array(one), np.array(other)
    a, b = (draw_lane(line, 30, SIZE) for line in lines)
    mine, theirs = (PENS[30].draw(line) for line in lines)
    assert mine.overlap(theirs) == theirs.overlap(mine) == (a & b).sum()
    if (a | b).any():
        assert mine.iou(theirs) == (a & b).sum() / (a | b).sum()
    else:
        assert np.isnan(mine.iou(theirs))


def test_an_upright_lane_of_30_is_31_wide() -> None:
    raster = Pen(30, (100, 100)).draw(np.array([[50, 10], [50, 90]]))
    assert (raster.first[0, 15:-15] == 35).all()
    assert (raster.last[0, 15:-15] == 65).all()


def test_the_disc_of_the_golden_readme() -> None:
    assert disc_half_widths(15) == (15, 14, 14, 14, 14, 14, 13, 13, 12, 12, 11, 10, 9, 7, 5, 0)


@pytest.mark.parametrize("radius", range(1, 40))
def test_discs_are_opencvs(radius: int) -> None:
    mask = np.zeros((99, 99), np.uint8)
    cv2.circle(mask, (49, 49), radius, 1, -1)
    widths = [int(mask[49 + row].sum()) // 2 for row in range(radius + 1)]
    assert disc_half_widths(radius) == tuple(widths)


@pytest.mark.parametrize(("thickness", "radius"), [(2, 1), (15, 8), (16, 8), (30, 15), (31, 16)])
def test_radius_rounds_up(thickness: int, radius: int) -> None:
    assert radius_of(thickness) == radius


def test_coordinates_of_the_whole_32_bits_are_drawn() -> None:
    """What NaN becomes on x86-64: a disc at the lane's end, and two hairlines to the upper left."""
    mask = pixels(Pen(30, (200, 200)).draw(np.array([[-(1 << 31), -(1 << 31)], [150, 150]])), (200, 200))
    disc = draw_lane(np.array([[150, 150], [150, 150]]), 30, (200, 200))
    rest = mask & ~disc
    assert mask[disc].all()
    assert 0 < rest.sum() < 2 * 200
    assert not PENS[30].draw(np.array([[1 << 30, 5], [1 << 30, 9]])).area
