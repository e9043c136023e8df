"""Cleaning: specks and reflections go, lines and dashes stay, and no part changes its shape."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from lanecli.postprocess.clean import _parts_of, bonnet_edge, clean

SIZE = (360, 640)


def road(bonnet: float | None = None, night: bool = False) -> np.ndarray:
    """Sky and a grey road with some grain; below `bonnet` of the height a bright, slightly arched bonnet."""
    rng = np.random.default_rng(0)
    picture = np.full((*SIZE, 3), 20.0 if night else 95.0)
    picture[:160] = 8 if night else 190
    picture += rng.normal(0, 3, (*SIZE, 1))
    if bonnet is not None:
        arch = bonnet * SIZE[0] + 4 * ((np.arange(SIZE[1]) / SIZE[1] - 0.5) * 2) ** 2
        picture[np.arange(SIZE[0])[:, None] > arch] = 60 if night else 160
    return np.clip(picture, 0, 255).astype(np.uint8)


def lines() -> np.ndarray:
    """A solid line and a dashed one to the vanishing point, dashes down to a few pixels."""
    mask = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(mask, [np.array([[322, 175], [326, 175], [560, 330], [530, 330]])], 1)
    for near in (0.95, 0.6, 0.35, 0.2, 0.12):
        y = 165 + np.array([near, near * 0.75]) * 170
        x = 320 - 0.9 * (y - 165)
        half = 0.03 * (y - 165)
        outline = [[x[0] - half[0], y[0]], [x[0] + half[0], y[0]], [x[1] + half[1], y[1]], [x[1] - half[1], y[1]]]
        cv2.fillPoly(mask, [np.rint(outline).astype(int)], 1)
    return mask


@pytest.mark.parametrize("bonnet", [None, 0.93])
def test_lines_and_dashes_stay(bonnet: float | None) -> None:
    mask = lines()
    assert clean(mask, road(bonnet)) is mask


def test_specks_the_sky_and_reflections_go() -> None:
    mask, junk = lines(), np.zeros(SIZE, np.uint8)
    junk[30:50, 100:110] = 1  # a lamp
    junk[300:302, 80:82] = 1  # a speck near the car
    junk[250:252, 600:602] = 1  # another, far from every line
    junk[338:340, 200:260] = 1  # a sliver along the bonnet's edge
    junk[350:354, 400:408] = 1  # a reflection on it
    cleaned = clean(np.maximum(mask, junk), road(0.93))
    assert np.array_equal(cleaned, mask)
    assert (clean(np.maximum(mask, junk), road(None))[338:340, 200:260] == 1).all()  # without a bonnet it may be paint


@pytest.mark.parametrize("night", [False, True])
def test_the_edge_of_a_bonnet_is_found(night: bool) -> None:
    for place in (0.7, 0.8, 0.9, 0.96):
        edge = bonnet_edge(road(place, night))
        assert edge is not None
        assert edge == pytest.approx(place, abs=0.025)
    assert bonnet_edge(road(None, night)) is None
    shadow = road(None)
    shadow[280:, :320] = shadow[280:, :320] // 3  # over half of the road
    assert bonnet_edge(shadow) is None


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(36, 64), (120, 50), (360, 640), (3, 5)]))
def test_parts_go_whole_or_stay_whole(seed: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    class_map = np.where(rng.random(size) < 0.2, rng.integers(1, 4, size), 0).astype(np.uint8)
    class_map[rng.random(size) < 0.02] = 255
    picture = rng.integers(0, 256, (*size, 3), np.uint8)
    before = class_map.copy()
    cleaned = clean(class_map, picture)
    assert np.array_equal(class_map, before)
    assert ((cleaned == class_map) | (cleaned == 0)).all()
    count, labels = cv2.connectedComponents((class_map != 0).astype(np.uint8))
    for part in range(1, count):
        kept = cleaned[labels == part] != 0
        assert kept.all() or not kept.any()
    assert np.array_equal(clean(cleaned, picture)[cleaned == 0], cleaned[cleaned == 0])


def test_an_empty_map_and_another_background() -> None:
    empty = np.zeros(SIZE, np.uint8)
    assert clean(empty, road()) is empty
    mask = np.where(lines() == 1, 0, 2).astype(np.uint8)
    mask[30:50, 100:110] = 0
    cleaned = clean(mask, road(), background=2)
    assert (cleaned[30:50, 100:110] == 2).all()
    assert np.array_equal(cleaned == 0, lines() == 1)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.6))
def test_parts_and_their_sizes_are_those_of_labelled_components(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    foreground = (rng.random((40, 60)) < share).astype(np.uint8)
    filled, _ = ndimage.label(ndimage.binary_fill_holes(foreground), np.ones((3, 3)))
    boxes = ndimage.find_objects(filled)
    expected = sorted(
        (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start, int((filled == i).sum()))
        for i, (rows, columns) in enumerate(boxes, 1)
    )
    parts = _parts_of(foreground)
    if parts is None:
        assert not expected
        return
    columns = (parts.left, parts.top, parts.wide, parts.high, np.rint(parts.share * foreground.size))
    assert sorted(zip(*(c.astype(int).tolist() for c in columns), strict=True)) == expected
