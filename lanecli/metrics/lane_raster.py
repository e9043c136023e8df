"""Lanes as sets of pixels, drawn exactly as in :mod:`lanecli.metrics.thick_line`, and the pixels two of them share.

A lane is stored as runs: the first and the last column in each row. A lane has hundreds of short pieces, and a piece
looks the same wherever it lies inside the picture, so each piece is drawn once as a stamp that is then moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lanecli.geometry import Size
from lanecli.metrics.thick_line import disc_half_widths, radius_of, rectangle

_NOWHERE = 1 << 40  # first column of a row without pixels, whose last column is the negative; beyond all 32-bit numbers
_LONGEST = 64  # most pixels between the ends of a piece whose stamp is kept
_STAMPS = 20_000  # most stamps kept; a stamp takes some 300 bytes


@dataclass(frozen=True)
class Raster:
    """The pixels of one lane.

    Attributes:
        top: the first row of `first` and `last`.
        first: (layers, rows) int32, the first column of each run; runs in one row do not touch. There is one layer
            unless the lane turns back.
        last: (layers, rows) int32, the last column of each run; less than `first` where a row has no such run.
        area: number of pixels.
    """

    top: int
    first: np.ndarray
    last: np.ndarray
    area: int

    def overlap(self, other: Raster) -> int:
        """Return the number of pixels that both have."""
        top = max(self.top, other.top)
        stop = min(self.top + self.first.shape[1], other.top + other.first.shape[1])
        if top >= stop or not self.area or not other.area:
            return 0
        mine, theirs = slice(top - self.top, stop - self.top), slice(top - other.top, stop - other.top)
        first = np.maximum(self.first[:, None, mine], other.first[None, :, theirs])
        last = np.minimum(self.last[:, None, mine], other.last[None, :, theirs])
        return int(np.maximum(last - first + 1, 0).sum())

    def iou(self, other: Raster) -> float:
        """Return shared pixels divided by united pixels; NaN if neither has any."""
        common = self.overlap(other)
        united = self.area + other.area - common
        return common / united if united else float("nan")


EMPTY = Raster(0, np.zeros((1, 0), np.int32), np.zeros((1, 0), np.int32), 0)
"""A lane entirely outside the picture."""


@dataclass(frozen=True)
class _Stamp:
    """One piece with its discs, relative to its start.

    Attributes:
        runs: rows, first and last columns, (N,) int64 each.
        left: rows and first columns of the runs that reach further left than the discs.
        right: rows and last columns of the runs that reach further right than the discs.
        joined: whether every row is one run that touches those of neighbouring pieces.
    """

    runs: tuple[np.ndarray, np.ndarray, np.ndarray]
    left: tuple[np.ndarray, np.ndarray]
    right: tuple[np.ndarray, np.ndarray]
    joined: bool


class Pen:
    """Draws lanes of one thickness on pictures of one size."""

    def __init__(self, thickness: int, size: Size) -> None:
        """Make the stamps of pieces one pixel long, of which nearly all lanes consist.

        Args:
            thickness: pixels, 2 or more, as `cv2.line` takes it (30 makes a vertical lane 31 pixels wide).
            size: width and height of the picture.
        """
        self.thickness, self.size = thickness, size
        self.radius = radius_of(thickness)
        half = np.array(disc_half_widths(self.radius))
        self._half = np.concatenate([half[:0:-1], half])  # of the disc's rows -radius … radius
        self._stamps: dict[tuple[int, ...], _Stamp] = {}
        self._unit = [self._free_stamp(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]

    def draw(self, points: np.ndarray) -> Raster:
        """Return the pixels of a polyline.

        Args:
            points: (N, 2) int64 whole pixels x, y, N at least 1; any 32-bit numbers.
        """
        moved = np.ones(len(points), bool)
        np.any(points[1:] != points[:-1], axis=1, out=moved[1:])
        points = points[moved]
        if len(points) == 1:
            points = np.repeat(points, 2, 0)
        starts, steps = points[:-1], points[1:] - points[:-1]
        margin = self.radius + 2
        free = (points >= margin) & (points < np.array(self.size) - margin)
        free = free[:-1] & free[1:]
        # a step along an axis adds nothing to its discs, so clipping cannot change it; others may leave the picture
        bulk = (np.abs(steps) <= 1).all(1) & ((steps == 0).any(1) | free.all(1))
        kinds = (steps[bulk] + 1) @ np.array([3, 1])
        others = self._stamps_of(starts[~bulk], steps[~bulk], free[~bulk])
        one_way = not (steps[:, 1].min() < 0 < steps[:, 1].max())
        if one_way and all(stamp.joined for _, _, stamp in others):
            return self._hull(points, starts[bulk], kinds, others)
        return self._union(starts[bulk], kinds, others)

    def _hull(
        self, points: np.ndarray, starts: np.ndarray, kinds: np.ndarray, others: list[tuple[int, int, _Stamp]]
    ) -> Raster:
        """Draw a lane that never turns back: one run per row, from the first to the last column of its pieces."""
        width, height = self.size
        reach = self.radius
        highest, lowest = int(points[:, 1].min()), int(points[:, 1].max())
        if lowest < -reach or highest >= height + reach:
            return EMPTY
        # all discs at once: the outermost centres of each row, moved by a disc's half-width in the rows around it
        top = max(highest, -reach) - reach
        rows = min(lowest, height + reach - 1) + reach + 1 - top
        near = points[(points[:, 1] >= -reach) & (points[:, 1] < height + reach)]
        low, high = np.full(rows + 2 * reach, _NOWHERE), np.full(rows + 2 * reach, -_NOWHERE)
        indices = near[:, 1] - top + reach
        np.minimum.at(low, indices, near[:, 0])
        np.maximum.at(high, indices, near[:, 0])
        low = (sliding_window_view(low, 2 * reach + 1) - self._half).min(1)
        high = (sliding_window_view(high, 2 * reach + 1) + self._half).max(1)
        # then what the rectangles between them add
        for kind in np.flatnonzero(np.bincount(kinds, minlength=9)).tolist():
            stamp, mine = self._unit[kind], starts[kinds == kind]
            for row, column in zip(*stamp.left, strict=True):
                np.minimum.at(low, mine[:, 1] + (row - top), mine[:, 0] + column)
            for row, column in zip(*stamp.right, strict=True):
                np.maximum.at(high, mine[:, 1] + (row - top), mine[:, 0] + column)
        for x, y, stamp in others:
            if len(stamp.left[0]):
                index = stamp.left[0] + (y - top)
                low[index] = np.minimum(low[index], stamp.left[1] + x)
            if len(stamp.right[0]):
                index = stamp.right[0] + (y - top)
                high[index] = np.maximum(high[index], stamp.right[1] + x)
        inside = slice(max(-top, 0), min(height - top, rows))
        low, high = np.maximum(low[inside], 0), np.minimum(high[inside], width - 1)
        area = int(np.maximum(high - low + 1, 0).sum())
        return Raster(max(top, 0), low[None], high[None], area) if area else EMPTY

    def _union(self, starts: np.ndarray, kinds: np.ndarray, others: list[tuple[int, int, _Stamp]]) -> Raster:
        """Draw any lane: make a map of its pixels and read it back as runs."""
        pieces = [
            (x, y, self._unit[kind]) for (x, y), kind in zip(starts.tolist(), kinds.tolist(), strict=True)
        ] + others
        rows = np.concatenate([stamp.runs[0] + y for _, y, stamp in pieces])
        first = np.concatenate([stamp.runs[1] + x for x, _, stamp in pieces])
        last = np.concatenate([stamp.runs[2] + x for x, _, stamp in pieces])
        first, last = np.maximum(first, 0), np.minimum(last, self.size[0] - 1)
        seen = (rows >= 0) & (rows < self.size[1]) & (first <= last)
        if not seen.any():
            return EMPTY
        rows, first, last = rows[seen], first[seen], last[seen]
        top, left = int(rows.min()), int(first.min())
        height, width = int(rows.max()) - top + 1, int(last.max()) - left + 2
        indices = (rows - top) * width - left
        starts = np.bincount(indices + first, minlength=height * width)
        stops = np.bincount(indices + last + 1, minlength=height * width)
        pixels = np.cumsum((starts - stops).reshape(height, width), axis=1) > 0
        edges = np.diff(pixels, axis=1, prepend=False)
        row, column = np.nonzero(edges)
        row, low, high = row[::2], column[::2] + left, column[1::2] + left - 1
        layer = np.arange(len(row)) - np.searchsorted(row, row)
        shape = (int(layer.max()) + 1, height)
        raster = Raster(top, np.full(shape, _NOWHERE), np.full(shape, -_NOWHERE), int(pixels.sum()))
        raster.first[layer, row], raster.last[layer, row] = low, high
        return raster

    def _stamps_of(self, starts: np.ndarray, steps: np.ndarray, free: np.ndarray) -> list[tuple[int, int, _Stamp]]:
        """Return the start and the stamp of some pieces.

        A stamp is the same wherever its piece lies inside the picture. A border changes it, depending on the distance
        to it.

        Args:
            starts: (N, 2) x, y.
            steps: (N, 2) from start to stop.
            free: (N, 2), whether the piece with its discs is clear of the left and right, and of the top and bottom
                border.
        """
        stamps = []
        indices = np.where(free, _NOWHERE, starts)
        for (x, y), (dx, dy), (at_x, at_y) in zip(starts.tolist(), steps.tolist(), indices.tolist(), strict=True):
            if not (-_LONGEST <= dx <= _LONGEST and -_LONGEST <= dy <= _LONGEST):
                stamps.append((x, y, self._make_stamp(x, y, dx, dy, self.size)))
                continue
            key = dx, dy, at_x, at_y
            stamp = self._stamps.get(key)
            if stamp is None:
                if len(self._stamps) >= _STAMPS:
                    self._stamps.clear()
                stamp = self._stamps[key] = self._make_stamp(x, y, dx, dy, self.size)
            stamps.append((x, y, stamp))
        return stamps

    def _free_stamp(self, dx: int, dy: int) -> _Stamp:
        """Return the stamp of a short piece far from every border."""
        middle = 4 * (self.radius + _LONGEST)
        return self._make_stamp(middle, middle, dx, dy, (2 * middle, 2 * middle))

    def _make_stamp(self, x: int, y: int, dx: int, dy: int, size: Size) -> _Stamp:
        """Draw one piece on a picture of a size."""
        rows, first, last = [], [], []
        for cx, cy in ((x, y), (x + dx, y + dy)):
            rows.append(cy + np.arange(-self.radius, self.radius + 1))
            first.append(cx - self._half)
            last.append(cx + self._half)
        for span in rectangle((x, y), (x + dx, y + dy), self.thickness, size):
            for part, values in zip((rows, first, last), span, strict=True):
                part.append(values)
        row, low, high = np.concatenate(rows), np.concatenate(first), np.concatenate(last)
        low, high = np.maximum(low, 0), np.minimum(high, size[0] - 1)
        seen = (row >= 0) & (row < size[1]) & (low <= high)
        row, low, high = row[seen], low[seen], high[seen]
        nothing = row[:0], row[:0]
        if not len(row):
            return _Stamp((row, low, high), nothing, nothing, True)
        order = np.lexsort((low, row))
        row, low, high = row[order], low[order], high[order]
        wide = 2 * size[0]
        reached = np.maximum.accumulate(row * wide + high)
        if ((row[1:] == row[:-1]) & (row[1:] * wide + low[1:] > reached[:-1] + 1)).any():
            return _Stamp((row - y, low - x, high - x), nothing, nothing, False)
        heads = np.flatnonzero(np.diff(row, prepend=-1))
        row, low, high = row[heads], low[heads], np.maximum.reduceat(high, heads)
        joined = all(self._touches_neighbours(end, row, low, high, size) for end in ((x, y), (x + dx, y + dy)))
        disc_low, disc_high = self._discs(row, (x, y), (x + dx, y + dy))
        left, right = low < np.maximum(disc_low, 0), high > np.minimum(disc_high, size[0] - 1)
        row, low, high = row - y, low - x, high - x
        return _Stamp((row, low, high), (row[left], low[left]), (row[right], high[right]), joined)

    def _discs(self, row: np.ndarray, *centers: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the first and last column of some discs in each row."""
        low, high = np.full(len(row), _NOWHERE), np.full(len(row), -_NOWHERE)
        for x, y in centers:
            met = np.abs(row - y) <= self.radius
            half = self._half[row[met] - y + self.radius]
            low[met], high[met] = np.minimum(low[met], x - half), np.maximum(high[met], x + half)
        return low, high

    def _touches_neighbours(
        self, center: tuple[int, int], row: np.ndarray, low: np.ndarray, high: np.ndarray, size: Size
    ) -> bool:
        """Return whether a piece's runs touch its neighbour's in every row of the disc they share.

        They do where the disc itself is visible. Beside the picture, both must reach the border.
        """
        shared = np.abs(row - center[1]) <= self.radius
        half = self._half[row[shared] - center[1] + self.radius]
        left, right = center[0] + half < 0, center[0] - half >= size[0]
        return bool((low[shared][left] == 0).all() and (high[shared][right] == size[0] - 1).all())
