"""Lane lines on frames: curves in a colour for each role, and the lane the camera drives in, filled."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lanecli.draw.overlay import OverlayPainter, OverlayStyle
from lanecli.lanes.lane import Lane
from lanecli.lanes.roles import foot
from lanecli.media.frame import Frame

NAMES = ("own lane", "ego-left", "ego-right", "left", "right")
COLORS = ((40, 190, 120), (255, 70, 70), (60, 130, 255), (255, 190, 40), (190, 100, 255))
_FILL = 0.3
_SHIFT = 3  # binary digits of a pixel that curves are drawn to


class LanePainter:
    """Draws lane lines on frames, in place, and a legend of the roles.

    They are drawn as small ids into a picture of their own first, so that planes are blended once and only where there
    is something, as `OverlayPainter` does.

    Args:
        legend: Draw a legend.
    """

    def __init__(self, *, legend: bool = True) -> None:
        palette = np.array(((0, 0, 0), *COLORS), np.uint8)
        style = OverlayStyle("fill", (0.0, _FILL, *(1.0,) * (len(NAMES) - 1)), contour=0)
        self._painter = OverlayPainter(palette, names=("", *NAMES), style=style, legend=legend)
        self._ids = np.zeros((0, 0), np.uint8)

    def paint(self, frame: Frame, lanes: Sequence[Lane]) -> None:
        """Draw `lanes`, whose points lie in pixels of `frame`, on a writable frame."""
        width, height = frame.size
        if self._ids.shape != (height, width):
            self._ids = np.zeros((height, width), np.uint8)
        thick = max(2, round(min(width, height) / 200))
        by_role = {lane.role: lane for lane in lanes}
        ego = [by_role[role].points for role in ("ego-left", "ego-right") if role in by_role]
        if len(ego) == 2:
            left, right = ego
            top = max(left[-1, 1], right[-1, 1])
            left, right = left[left[:, 1] >= top - 1], right[right[:, 1] >= top - 1]
            # A line that leaves the frame at its side goes on beside it.
            area = [_at_bottom(left, height), left, right[::-1], _at_bottom(right, height)]
            cv2.fillPoly(self._ids, [_fixed(np.concatenate(area))], 1, shift=_SHIFT)
        for lane in lanes:
            number = 1 + NAMES.index(lane.role) if lane.role else len(NAMES)
            cv2.polylines(self._ids, [_fixed(lane.points)], False, number, thick, shift=_SHIFT)
        region = _region(lanes, thick, frame.size, to_bottom=len(ego) == 2)
        self._painter.paint(frame, self._ids, region)
        x, y, w, h = region
        self._ids[y : y + h, x : x + w] = 0


def _at_bottom(points: np.ndarray, height: int) -> np.ndarray:
    """(1, 2) where a line, or its continuation, meets the bottom row."""
    return np.array([[foot(points, height), height - 1.0]])


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SHIFT)).astype(np.int32)


def _region(lanes: Sequence[Lane], thick: int, size: tuple[int, int], to_bottom: bool) -> tuple[int, int, int, int]:
    """(x, y, width, height) that holds all that is drawn."""
    if not lanes:
        return 0, 0, 1, 1
    points = np.concatenate([lane.points for lane in lanes])
    left, top = np.maximum(np.floor(points.min(0)).astype(int) - thick - 1, 0)
    right, bottom = np.minimum(np.ceil(points.max(0)).astype(int) + thick + 2, size)
    if to_bottom:
        left, (right, bottom) = 0, size
    return int(left), int(top), max(1, int(right - left)), max(1, int(bottom - top))
