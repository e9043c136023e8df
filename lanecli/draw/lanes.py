"""Draws lane lines on frames: curves in a colour for each role, and the lane the camera drives in as an area."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from lanecli.draw.legend import Legend
from lanecli.draw.overlay import OverlayPainter, OverlayStyle, Region
from lanecli.lanes.lane import Lane
from lanecli.lanes.roles import x_at_bottom
from lanecli.media.frame import Frame

NAMES = ("own lane", "ego-left", "ego-right", "left", "right")
COLORS = ((40, 190, 120), (255, 70, 70), (60, 130, 255), (255, 190, 40), (190, 100, 255))
_FILL_ALPHA = 0.3
_FRACTION_BITS = 3  # curves are drawn with so many binary digits after the point
_CURVE_TOLERANCE = 0.25  # largest distance of a drawn curve from its points, in pixels
_AREA_INDEX, _CURVE_INDEX = 1, 250  # indices below and above those of the classes


class LanePainter(OverlayPainter):
    """Draws class maps and lane lines on frames, in place, with a legend of the roles.

    The own lane is drawn below the classes, and the curves above them; everything is blended in one pass.

    Args:
        palette: (N, 3) uint8, the RGB colour of each train id.
        names: class names, at most 110.
        background: the train id that is not drawn, or None.
        style: how to draw classes.
        legend: whether to draw a legend.
    """

    _first = _AREA_INDEX + 1
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
        alphas = (_FILL_ALPHA, *(1.0,) * (len(NAMES) - 1))
        indices = (_AREA_INDEX, *range(_CURVE_INDEX, _CURVE_INDEX + len(NAMES) - 1))
        self._beside = dict(zip(indices, zip(COLORS, alphas, strict=True), strict=True))
        self._legend = Legend(NAMES, np.array(COLORS, np.uint8)) if legend else None
        self._layer = np.zeros((0, 0), np.uint8)
        self._drawn_box: Region | None = None

    def draw(self, frame: Frame, class_map: np.ndarray, lanes: Sequence[Lane]) -> None:
        """Draw a class map, as :meth:`paint` does, and lane lines.

        Args:
            frame: the frame, which is changed in place.
            class_map: (H, W) train ids.
            lanes: lane lines in pixels of the frame.
        """
        width, height = frame.size
        if self._layer.shape != (height, width):
            self._layer = np.zeros((height, width), np.uint8)
        if lanes:
            self._drawn_box = _draw_lanes(self._layer, lanes)
        try:
            self.paint(frame, class_map)
        finally:
            if self._drawn_box is not None:
                x, y, w, h = self._drawn_box
                self._layer[y : y + h, x : x + w] = 0
                self._drawn_box = None

    def _region(self, class_map: np.ndarray, region: Region | None) -> Region | None:
        classes, lanes = super()._region(class_map, region), self._drawn_box
        if classes is None or lanes is None:
            return classes or lanes
        left, top = min(classes[0], lanes[0]), min(classes[1], lanes[1])
        right, bottom = (max(classes[i] + classes[i + 2], lanes[i] + lanes[i + 2]) for i in (0, 1))
        return left, top, right - left, bottom - top

    def _indices(self, class_map: np.ndarray, box: Region, rim: int) -> tuple[np.ndarray, int, int]:
        indices, left, top = super()._indices(class_map, box, rim)
        if self._drawn_box is not None:
            height, width = indices.shape
            cv2.max(indices, self._layer[top : top + height, left : left + width], dst=indices)
        return indices, left, top


def _draw_lanes(layer: np.ndarray, lanes: Sequence[Lane]) -> Region:
    """Draw the lines and the own lane into `layer` (H, W) as indices, and return a box that contains all of them."""
    height, width = layer.shape
    thickness = max(2, round(min(width, height) / 200))
    by_role = {lane.role: lane for lane in lanes}
    ego_lines = [by_role[role].points for role in ("ego-left", "ego-right") if role in by_role]
    if len(ego_lines) == 2:
        left, right = ego_lines
        top = max(left[-1, 1], right[-1, 1])
        left, right = left[left[:, 1] >= top - 1], right[right[:, 1] >= top - 1]
        # A line that leaves the frame at its side is continued outside.
        area = [_at_bottom(left, height), left, right[::-1], _at_bottom(right, height)]
        cv2.fillPoly(layer, [_to_fixed_point(np.concatenate(area))], _AREA_INDEX, shift=_FRACTION_BITS)
    for lane in lanes:
        index = _CURVE_INDEX - 1 + (NAMES.index(lane.role) if lane.role else len(NAMES) - 1)
        cv2.polylines(layer, [_to_fixed_point(lane.points)], False, index, thickness, shift=_FRACTION_BITS)
    return _bounding_box(lanes, thickness, (width, height), to_bottom=len(ego_lines) == 2)


def _at_bottom(points: np.ndarray, height: int) -> np.ndarray:
    """Return the point at which a line or its continuation meets the bottom row, (1, 2)."""
    return np.array([[x_at_bottom(points, height), height - 1.0]])


def _to_fixed_point(points: np.ndarray) -> np.ndarray:
    """Return points in the fixed-point format of OpenCV, without points on straight lines."""
    fixed = np.rint(points * (1 << _FRACTION_BITS)).astype(np.int32)
    return np.asarray(cv2.approxPolyDP(fixed, _CURVE_TOLERANCE * (1 << _FRACTION_BITS), False))


def _bounding_box(lanes: Sequence[Lane], thickness: int, size: tuple[int, int], to_bottom: bool) -> Region:
    """Return a box (x, y, width, height) that contains everything that is drawn."""
    if to_bottom:
        top = max(0, math.floor(min(lane.points[-1, 1] for lane in lanes)) - thickness - 1)  # the last point is highest
        return 0, top, size[0], max(1, size[1] - top)
    points = np.concatenate([lane.points for lane in lanes])
    lowest, highest = points.min(0).tolist(), points.max(0).tolist()
    left, top = (max(0, math.floor(value) - thickness - 1) for value in lowest)
    right, bottom = (min(side, math.ceil(value) + thickness + 2) for value, side in zip(highest, size, strict=True))
    return left, top, max(1, right - left), max(1, bottom - top)
