"""Lane lines on frames: curves in a colour for each role, and the lane the camera drives in, filled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from lanecli.draw.legend import Legend
from lanecli.draw.overlay import OverlayPainter, OverlayStyle, Region
from lanecli.lanes.lane import Lane
from lanecli.lanes.roles import foot
from lanecli.media.frame import Frame

NAMES = ("own lane", "ego-left", "ego-right", "left", "right")
COLORS = ((40, 190, 120), (255, 70, 70), (60, 130, 255), (255, 190, 40), (190, 100, 255))
_FILL = 0.3
_SHIFT = 3  # binary digits of a pixel that curves are drawn to
_SMOOTH = 0.25  # pixels a drawn curve may leave its points by
_AREA, _CURVES = 1, 250  # indices: below every class, and above


class LanePainter(OverlayPainter):
    """Draws class maps and lane lines on frames, in place, and a legend of the roles.

    The own lane lies under the classes, curves over them; all is blended in one pass.

    Args:
        palette: RGB colour of each train id, uint8 (N, 3).
        names: Class names, at most 110.
        background: Id that is not drawn, or None.
        style: How to draw classes.
        legend: Draw a legend.
    """

    _first = _AREA + 1
    _most_classes = 110

    def __init__(
        self,
        palette: np.ndarray,
        *,
        names: Sequence[str] | None = None,
        background: int | None = 0,
        style: OverlayStyle | None = None,
        legend: bool = True,
    ) -> None:
        super().__init__(palette, names=names, background=background, style=style)
        alphas = (_FILL, *(1.0,) * (len(NAMES) - 1))
        indices = (_AREA, *range(_CURVES, _CURVES + len(NAMES) - 1))
        self._beside = dict(zip(indices, zip(COLORS, alphas, strict=True), strict=True))
        self._legend = Legend(NAMES, np.array(COLORS, np.uint8)) if legend else None
        self._layer = np.zeros((0, 0), np.uint8)
        self._drawn: Region | None = None

    def draw(self, frame: Frame, class_map: np.ndarray, lanes: Sequence[Lane]) -> None:
        """Draw `class_map` as :meth:`paint` does, and `lanes`, whose points lie in pixels of `frame`."""
        width, height = frame.size
        if self._layer.shape != (height, width):
            self._layer = np.zeros((height, width), np.uint8)
        if lanes:
            self._drawn = _draw(self._layer, lanes)
        try:
            self.paint(frame, class_map)
        finally:
            if self._drawn is not None:
                x, y, w, h = self._drawn
                self._layer[y : y + h, x : x + w] = 0
                self._drawn = None

    def _region(self, class_map: np.ndarray, region: Region | None) -> Region | None:
        classes, lanes = super()._region(class_map, region), self._drawn
        if classes is None or lanes is None:
            return classes or lanes
        left, top = min(classes[0], lanes[0]), min(classes[1], lanes[1])
        right, bottom = (max(classes[i] + classes[i + 2], lanes[i] + lanes[i + 2]) for i in (0, 1))
        return left, top, right - left, bottom - top

    def _indices(self, class_map: np.ndarray, box: Region, rim: int) -> tuple[np.ndarray, int, int]:
        indices, left, top = super()._indices(class_map, box, rim)
        if self._drawn is not None:
            height, width = indices.shape
            cv2.max(indices, self._layer[top : top + height, left : left + width], dst=indices)
        return indices, left, top


def _draw(layer: np.ndarray, lanes: Sequence[Lane]) -> Region:
    """Draw lines and the own lane as indices into `layer`; what holds all of it comes back."""
    height, width = layer.shape
    thick = max(2, round(min(width, height) / 200))
    by_role = {lane.role: lane for lane in lanes}
    ego = [by_role[role].points for role in ("ego-left", "ego-right") if role in by_role]
    if len(ego) == 2:
        left, right = ego
        top = max(left[-1, 1], right[-1, 1])
        left, right = left[left[:, 1] >= top - 1], right[right[:, 1] >= top - 1]
        # A line that leaves the frame at its side goes on beside it.
        area = [_at_bottom(left, height), left, right[::-1], _at_bottom(right, height)]
        cv2.fillPoly(layer, [_fixed(np.concatenate(area))], _AREA, shift=_SHIFT)
    for lane in lanes:
        index = _CURVES - 1 + (NAMES.index(lane.role) if lane.role else len(NAMES) - 1)
        cv2.polylines(layer, [_fixed(lane.points)], False, index, thick, shift=_SHIFT)
    return _bounds(lanes, thick, (width, height), to_bottom=len(ego) == 2)


def _at_bottom(points: np.ndarray, height: int) -> np.ndarray:
    """(1, 2) where a line, or its continuation, meets the bottom row."""
    return np.array([[foot(points, height), height - 1.0]])


def _fixed(points: np.ndarray) -> np.ndarray:
    """As OpenCV draws them, without those that a straight line goes through."""
    fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32)
    return np.asarray(cv2.approxPolyDP(fixed, _SMOOTH * (1 << _SHIFT), False))


def _bounds(lanes: Sequence[Lane], thick: int, size: tuple[int, int], to_bottom: bool) -> Region:
    """(x, y, width, height) that holds all that is drawn."""
    points = np.concatenate([lane.points for lane in lanes])
    low, high = points.min(0).tolist(), points.max(0).tolist()
    left, top = (max(0, math.floor(value) - thick - 1) for value in low)
    right, bottom = (min(side, math.ceil(value) + thick + 2) for value, side in zip(high, size, strict=True))
    if to_bottom:
        left, right, bottom = 0, *size
    return left, top, max(1, right - left), max(1, bottom - top)
