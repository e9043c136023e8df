"""Lines that follow their paint from one mask to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lanes.flat_roads import Line, Road

from lanecli.lanes.following import PaintFollower

ROWS = np.linspace(351, 0.15 * 352, 50)
LINES = (Line(-1.2), Line(1.2, period=8.5, dash=3.0), Line(3.6, period=8.5, dash=3.0))


def true_lines(scene: Road) -> np.ndarray:
    """(L, R) x of the lines of a scene in `ROWS`, NaN near the horizon, above it and outside the picture."""
    with np.errstate(divide="ignore"):
        x = np.stack([scene.x(line.u, ROWS) for line in scene.lines])
    return np.where((scene.vy + 12 < ROWS) & (x > -1) & (x < scene.size[0]), x, np.nan)


@pytest.mark.parametrize("scale", [1.0, 1.5])
@given(
    aside=st.floats(-0.04, 0.04),
    turned=st.floats(-3, 3),
    phase=st.floats(0, 8.5),
    bend=st.floats(-300, 300),
)
def test_lines_are_found_where_they_moved(scale: float, aside: float, turned: float, phase: float, bend: float) -> None:
    before = Road(lines=LINES, bend=bend)
    moved = tuple(replace(line, u=line.u + aside, phase=phase) for line in LINES)
    after = replace(before, lines=moved, vx=before.vx + turned)
    size = (round(640 * scale), round(352 * scale))
    lines = (true_lines(before) + 0.5) * scale - 0.5
    rows = (ROWS + 0.5) * scale - 0.5
    down = np.maximum(ROWS - before.vy, 5.0) * scale
    found = lines + PaintFollower(lines, rows, down, size, (640, 352)).follow(after.mask(), (1,))
    assert np.array_equal(np.isnan(found), np.isnan(lines))
    error = np.abs((found + 0.5) / scale - 0.5 - true_lines(after))
    assert np.nanmax(error) < 3.0 + 0.2 * (np.abs(aside) * 200 + np.abs(turned))


def test_lines_without_paint_stay_and_other_paint_does_not_pull_them() -> None:
    scene = Road(lines=LINES)
    lines, down = true_lines(scene), np.maximum(ROWS - scene.vy, 5.0)
    nothing = np.zeros((352, 640), np.uint8)
    follower = PaintFollower(lines, ROWS, down, (640, 352), (640, 352))
    assert not follower.follow(nothing, (1,)).any()
    mask = scene.mask()
    mask[:, 318:322] = 1  # paint in the middle of the lane
    mask[mask == 1] = 4
    mask[nothing + np.arange(352, dtype=np.uint8)[:, None] % 7 == 3] = 2  # other classes
    shift = np.where(np.isnan(lines), 0.0, follower.follow(mask, (9, 4)))
    assert np.abs(shift).max() < 1.2


def test_lines_outside_the_picture_stay() -> None:
    lines = np.array([[-200.0] * 50, [900.0] * 50, [np.nan] * 50])
    mask = np.ones((352, 640), np.uint8)
    follower = PaintFollower(lines, ROWS, np.maximum(ROWS - 150, 5.0), (640, 352), (640, 352))
    assert not follower.follow(mask, (1,)).any()


def test_steps_add_up() -> None:
    scene = Road(lines=LINES)
    start = true_lines(scene)
    follower = PaintFollower(start, ROWS, np.maximum(ROWS - scene.vy, 5.0), (640, 352), (640, 352))
    lines = start
    for step in range(1, 9):
        moved = tuple(replace(line, u=line.u + 0.02 * step, phase=-0.5 * step) for line in LINES)
        after = replace(scene, lines=moved, vx=scene.vx + 1.5 * step)
        lines = lines + follower.follow(after.mask(), (1,))
        assert np.nanmax(np.abs(lines - true_lines(after))) < 4.5
    assert np.nanmin(lines - start) > 10
