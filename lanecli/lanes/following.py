"""Measures how far known lines have moved in the next mask of a video, at a tenth of the cost of a search.

Between two frames lines move to the side with the car, in proportion to the distance below the horizon, and as a whole
if the car turns. Both are fitted to the middles of the paint near all lines, and then, in narrow bounds, near each.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size

Floats = NDArray[np.floating]

_COLUMNS = np.arange(-8.0, 9.0)  # the columns in which a line is looked for, in units of the spacing of its row
_MOMENTS = np.stack([np.ones_like(_COLUMNS), _COLUMNS], axis=1).astype(np.float32)
_REACH = 0.25  # how far to each side that is, in camera heights: half the distance to another line is more
_ROW_STEP = 2  # of the rows, every second one is measured
_SHARED_FREEDOM = (40.0, 12.0)  # how far all lines may move near the car, and as a whole, in pixels of a mask 640 wide
_OWN_FREEDOM = (8.0, 2.5)  # and how far each line may move otherwise than the others
_ABSENT = -1e6


class PaintFollower:
    """Follows lines from the frame in which they were found through the frames after it."""

    def __init__(self, lines: Floats, rows: Floats, down: Floats, size: Size, mask_size: Size) -> None:
        """Start where the lines were found.

        Args:
            lines: (L, R) x of the lines, in pixels of the frame; NaN where a line is absent.
            rows: (R,) rows of the frame.
            down: (R,) distance of the rows below the horizon, in pixels of the frame.
            size: (width, height) of the frame.
            mask_size: (width, height) of the masks, which show the whole frame.
        """
        width, height = mask_size
        self._size = mask_size
        self._scale = scale = width / size[0]
        near = down / down.max()
        self._near = near
        near, down = near[::_ROW_STEP], down[::_ROW_STEP]
        row = np.rint((rows[::_ROW_STEP] + 0.5) * (height / size[1]) - 0.5)
        self._row_starts = (row * width)[:, None].astype(np.intp)
        self._spacing = down * (scale * _REACH / _COLUMNS[-1])
        self._columns = self._spacing[:, None] * _COLUMNS + 0.5  # half a pixel, because columns are rounded down
        variance = 1.0 + self._spacing * self._spacing
        self._precision = 1.0 / variance
        self._outlier = 1.0 / (4.0 * variance)
        self._terms = np.stack([near * near, near, np.ones_like(near)], axis=1)
        self._x = (lines[:, ::_ROW_STEP] + 0.5) * scale - 0.5
        self._x[np.isnan(self._x)] = _ABSENT

    def follow(self, mask: NDArray[np.uint8], classes: tuple[int, ...]) -> Floats:
        """Return the movement of each line since the last frame, (L, R) pixels of the frame.

        Args:
            mask: (h, w) uint8, the next frame's.
            classes: the values of line pixels.
        """
        width = self._size[0]
        columns = (self._x[..., None] + self._columns).astype(np.intp)
        inside = (columns[..., 0] >= 0) & (columns[..., -1] < width)
        columns *= inside[..., None]
        columns += self._row_starts
        found = mask.ravel().take(columns)
        paint = found == classes[0]
        for value in classes[1:]:
            paint |= found == value
        moments = paint.astype(np.float32) @ _MOMENTS
        count = moments[..., 0]
        beside = moments[..., 1] / np.maximum(count, 1.0) * self._spacing
        base = (inside & (count > 0)) * self._precision
        aside, turned = self._fit((base * beside).sum(0), base.sum(0), _SHARED_FREEDOM)
        rest = beside - (aside * self._terms[:, 1] + turned)
        weight = base / (1.0 + rest * rest * self._outlier) ** 2
        own_aside, own_turned = self._fit(weight * rest, weight, _OWN_FREEDOM)
        aside, turned = (aside + own_aside)[:, None], (turned + own_turned)[:, None]
        self._x += aside * self._terms[:, 1] + turned
        shift: Floats = (aside * self._near + turned) / self._scale
        return shift

    def _fit(self, moved: Floats, weight: Floats, freedom: tuple[float, float]) -> tuple[Floats, Floats]:
        """Return the movement to the side, in pixels of the nearest row, and that of the whole line, each (...).

        Args:
            moved: (..., R) measured movement times weight.
            weight: (..., R) weight of the measurements.
            freedom: standard deviations of the two movements, in pixels of a mask 640 wide.
        """
        unit = 640 / self._size[0]
        weights, moves = (weight @ self._terms).T, (moved @ self._terms[:, 1:]).T
        aa, ab, bb = weights[0] + (unit / freedom[0]) ** 2, weights[1], weights[2] + (unit / freedom[1]) ** 2
        determinant = aa * bb - ab * ab
        return (bb * moves[0] - ab * moves[1]) / determinant, (aa * moves[1] - ab * moves[0]) / determinant
