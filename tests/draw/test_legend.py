from __future__ import annotations

import numpy as np
import pytest

from lanecli.draw import OverlayPainter
from lanecli.media import Colour, Frame

PALETTE = np.array([[0, 0, 0], [0, 200, 255], [255, 60, 120]], np.uint8)
NAMES = ["background", "solid line", "Überholstreifen"]


def grey_planes(height: int, width: int, colour: Colour) -> Frame:
    half = ((height + 1) // 2, (width + 1) // 2)
    return Frame.from_planes(
        np.full((height, width), 120, np.uint8),
        np.full(half, 128, np.uint8),
        np.full(half, 128, np.uint8),
        colour=colour,
    )


def changed(frame: Frame, before: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero((frame.rgb() != before).any(axis=-1))
    return xs.min(), ys.min(), xs.max(), ys.max()


@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize("size", [(480, 270), (481, 271), (1920, 1080)])
def test_legend_shows_each_drawn_class_in_the_corner(planar, size):
    frame = grey_planes(size[1], size[0], Colour(1, 1))
    if not planar:
        frame = Frame.from_rgb(frame.rgb().copy())
    before = frame.rgb().copy()
    OverlayPainter(PALETTE, names=NAMES, legend=True).paint(frame, np.zeros(size[::-1], np.uint8))
    left, top, right, bottom = changed(frame, before)
    assert 0 < left < size[0] // 10
    assert 0 < top < size[1] // 10
    assert right < size[0] // 2
    assert bottom < size[1] // 2
    drawn = frame.rgb().reshape(-1, 3).astype(int)
    for colour in PALETTE[1:].astype(int):
        assert (np.abs(drawn - colour).max(axis=-1) <= 6).sum() >= 20
    assert not (np.abs(drawn - PALETTE[0].astype(int)).max(axis=-1) <= 3).any()


def test_planes_and_rgb_show_the_same_legend():
    planar = grey_planes(270, 480, Colour(6, 1))
    plain = Frame.from_rgb(planar.rgb().copy())
    painter = OverlayPainter(PALETTE, names=NAMES, legend=True)
    nothing = np.zeros((270, 480), np.uint8)
    painter.paint(planar, nothing)
    painter.paint(plain, nothing)
    assert np.abs(planar.rgb().astype(int) - plain.rgb()).mean() < 1


@pytest.mark.parametrize("size", [(16, 16), (40, 30), (200, 20)])
def test_no_room_no_legend(size):
    frame = grey_planes(size[1], size[0], Colour())
    before = frame.rgb().copy()
    OverlayPainter(PALETTE, names=NAMES, legend=True).paint(frame, np.zeros(size[::-1], np.uint8))
    np.testing.assert_array_equal(frame.rgb(), before)
