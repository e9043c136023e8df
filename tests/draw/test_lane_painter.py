"""Lane lines drawn on frames."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest

from lanecli.draw import OverlayPainter
from lanecli.draw.lanes import COLORS, LanePainter
from lanecli.lanes import Lane
from lanecli.media import Frame

EGO = (
    Lane(np.array([[100.0, 239.0], [180.0, 120.0]]), 0.9, "ego-left"),
    Lane(np.array([[300.0, 239.0], [220.0, 120.0]]), 0.9, "ego-right"),
)


NOTHING = np.zeros((240, 400), np.uint8)


def painter(*, legend: bool = True) -> LanePainter:
    return LanePainter(np.array([(0, 0, 0), (255, 0, 255)], np.uint8), names=("background", "line"), legend=legend)


def grey() -> Frame:
    return Frame.from_rgb(np.full((240, 400, 3), 90, np.uint8))


def planar() -> Frame:
    picture = cv2.cvtColor(np.full((240, 400, 3), 90, np.uint8), cv2.COLOR_RGB2YUV_I420)
    planes = picture[:240].copy(), picture[240:300].reshape(120, 200).copy(), picture[300:].reshape(120, 200).copy()
    return Frame.from_planes(*planes, 0, 0, Fraction(1, 25), colour=grey().colour)


@pytest.mark.parametrize("make", [grey, planar])
def test_curves_and_the_own_lane_are_drawn_and_nothing_else(make) -> None:  # type: ignore[no-untyped-def]
    frame = make()
    before = frame.rgb().copy()
    painter(legend=False).draw(frame, NOTHING, EGO)
    after = frame.rgb().astype(int)
    assert np.abs(after[238, 100] - COLORS[1]).max() < 45
    assert np.abs(after[238, 300] - COLORS[2]).max() < 45
    inside = after[200, 200]
    assert inside[1] > 100 > inside[0]  # greenish
    changed = (after != before).any(axis=2)
    assert not changed[:110].any()
    assert not changed[:, :90].any()
    assert not changed[:, 312:].any()


def test_one_painter_leaves_nothing_of_the_frame_before() -> None:
    one = painter(legend=False)
    one.draw(grey(), NOTHING, EGO)
    frame = grey()
    one.draw(frame, NOTHING, ())
    np.testing.assert_array_equal(frame.rgb(), 90)


def test_lines_beside_the_frame_and_without_a_role_do_no_harm() -> None:
    frame = grey()
    stray = Lane(np.array([[-50.0, 239.0], [450.0, 100.0]]), 0.4)
    painter(legend=False).draw(frame, NOTHING, (stray, EGO[0]))
    assert (frame.rgb() != 90).any()


def test_roles_stand_in_the_legend() -> None:
    frame, plain = Frame.from_rgb(np.full((480, 640, 3), 90, np.uint8)), 90
    painter().draw(frame, np.zeros((480, 640), np.uint8), ())
    corner = frame.rgb()[:160, :160].reshape(-1, 3).astype(int)
    assert (corner != plain).any()
    for color in COLORS:
        assert (np.abs(corner - color).max(axis=1) < 12).any()


def test_the_own_lane_lies_under_the_classes_and_curves_over_them() -> None:
    frame, plain = grey(), grey()
    class_map = NOTHING.copy()
    class_map[150:230, 90:310] = 1
    painter(legend=False).draw(frame, class_map, EGO)
    OverlayPainter(np.array([(0, 0, 0), (255, 0, 255)], np.uint8)).paint(plain, class_map)
    np.testing.assert_array_equal(frame.rgb()[190, 190:210], plain.rgb()[190, 190:210])
    x = round(100 + 80 * (239 - 190) / 119)
    assert np.abs(frame.rgb()[190, x].astype(int) - COLORS[1]).max() < 10
