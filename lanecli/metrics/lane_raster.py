"""Lanes as sets of pixels, drawn exactly as :mod:`lanecli.metrics.thick_line` says, and what two of them share.

A lane is kept as runs: the first and the last column in each row. Hundreds of short pieces make a lane, and a piece
looks the same wherever it lies inside the picture, so pieces are drawn once as stamps and only moved after that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lanecli.geometry import Size
from lanecli.metrics.thick_line import disc_half_widths, radius_of, rectangle

_NOWHERE = 1 << 30  # first column of a row without pixels; its last column is the negative
_LONGEST = 64  # pixels between the ends of a piece whose stamp is kept
_STAMPS = 20_000  # kept at most; a stamp holds some 300 bytes


@dataclass(frozen=True)
class Raster:
    """The pixels of one lane.

    Attributes:
        top: the first row of `first` and `last`.
        first: (layers, rows) int32, the first column of each run; runs of one row do not touch. One layer unless the
            lane turns back.
        last: the same of the last column; below `first` where a row has no such run.
        area: pixels in all.
    """

    top: int
    first: np.ndarray
    last: np.ndarray
    area: int

    def overlap(self, other: Raster) -> int:
        """Pixels that both hold."""
        top = max(self.top, other.top)
        stop = min(self.top + self.first.shape[1], other.top + other.first.shape[1])
        if top >= stop or not self.area or not other.area:
            return 0
        mine, theirs = slice(top - self.top, stop - self.top), slice(top - other.top, stop - other.top)
        first = np.maximum(self.first[:, None, mine], other.first[None, :, theirs])
        last = np.minimum(self.last[:, None, mine], other.last[None, :, theirs])
        return int(np.maximum(last - first + 1, 0).sum())

    def iou(self, other: Raster) -> float:
        """Common by united pixels; NaN where neither has any."""
        common = self.overlap(other)
        united = self.area + other.area - common
        return common / united if united else float("nan")


EMPTY = Raster(0, np.zeros((1, 0), np.int32), np.zeros((1, 0), np.int32), 0)
"""A lane wholly outside the picture."""


@dataclass(frozen=True)
class _Stamp:
    """The runs of one piece with its discs, relative to its start: rows, first and last columns, (N,) int64 each.

    `joined`: every row is one run, and neighbouring pieces' runs hang together in it.
    """

    rows: np.ndarray
    first: np.ndarray
    last: np.ndarray
    joined: bool


class Pen:
    """Draws lanes of one thickness on pictures of one size."""

    def __init__(self, thickness: int, size: Size) -> None:
        """Make the stamps of the pieces that nearly all lanes are made of, those one pixel long.

        Args:
            thickness: pixels, 2 or more, as `cv2.line` takes it (30 makes a vertical lane 31 pixels wide).
            size: width and height of the picture.
        """
        self.thickness, self.size = thickness, size
        self.radius = radius_of(thickness)
        half = np.array(disc_half_widths(self.radius))
        self._half = np.concatenate([half[:0:-1], half])  # of the disc's rows -radius … radius
        self._stamps: dict[tuple[int, int, int | None, int | None], _Stamp] = {}
        self._unit = [self._free_stamp(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        # the nine as one table; rows a stamp does not have lie nowhere
        self._unit_rows = np.arange(-self.radius - 1, self.radius + 2)
        self._unit_first = np.full((9, len(self._unit_rows)), _NOWHERE)
        for table, stamp in zip(self._unit_first, self._unit, strict=True):
            table[stamp.rows + self.radius + 1] = stamp.first
        self._unit_last = np.full_like(self._unit_first, -_NOWHERE)
        for table, stamp in zip(self._unit_last, self._unit, strict=True):
            table[stamp.rows + self.radius + 1] = stamp.last

    def draw(self, points: np.ndarray) -> Raster:
        """The pixels of a polyline.

        Args:
            points: (N, 2) int64 whole pixels x, y, N at least 1; any 32-bit numbers.
        """
        moved = np.ones(len(points), bool)
        moved[1:] = (points[1:] != points[:-1]).any(1)
        points = points[moved]
        if len(points) == 1:
            points = np.repeat(points, 2, 0)
        starts, steps = points[:-1], np.diff(points, axis=0)
        # a step along an axis adds nothing to its discs, so clipping cannot change it; any other may leave the picture
        short = (np.abs(steps) <= 1).all(1)
        margin = self.radius + 2
        inside = ((points >= margin) & (points < np.array(self.size) - margin)).all(1)
        bulk = short & ((steps == 0).any(1) | inside[:-1] & inside[1:])
        kinds = (steps[bulk] + 1) @ np.array([3, 1])
        others = [(x, y, self._stamp(x, y, dx, dy)) for x, y, dx, dy in np.hstack([starts, steps])[~bulk].tolist()]
        rows = [(starts[bulk, 1, None] + self._unit_rows).ravel(), *(stamp.rows + y for _, y, stamp in others)]
        first = [(starts[bulk, 0, None] + self._unit_first[kinds]).ravel(), *(s.first + x for x, _, s in others)]
        last = [(starts[bulk, 0, None] + self._unit_last[kinds]).ravel(), *(s.last + x for x, _, s in others)]
        runs = np.concatenate(rows), np.concatenate(first), np.concatenate(last)
        if not len(runs[0]):
            return EMPTY
        one_way = (steps[:, 1] >= 0).all() or (steps[:, 1] <= 0).all()
        joined = one_way and all(stamp.joined for _, _, stamp in others)
        return self._hull(*runs) if joined else self._union(*runs)

    def _hull(self, rows: np.ndarray, first: np.ndarray, last: np.ndarray) -> Raster:
        """A lane that never turns back has one run in a row: from the first to the last column of its pieces."""
        top, stop = max(int(rows.min()), 0), min(int(rows.max()) + 1, self.size[1])
        if top >= stop:
            return EMPTY
        if rows.min() < top or rows.max() >= stop:
            seen = (rows >= top) & (rows < stop)
            rows, first, last = rows[seen], first[seen], last[seen]
        low, high = np.full(stop - top, _NOWHERE), np.full(stop - top, -_NOWHERE)
        np.minimum.at(low, rows - top, first)
        np.maximum.at(high, rows - top, last)
        low, high = np.maximum(low, 0), np.minimum(high, self.size[0] - 1)
        area = int(np.maximum(high - low + 1, 0).sum())
        return Raster(top, low[None], high[None], area) if area else EMPTY

    def _union(self, rows: np.ndarray, first: np.ndarray, last: np.ndarray) -> Raster:
        """Any lane: a map of its pixels, read back as runs."""
        first, last = np.maximum(first, 0), np.minimum(last, self.size[0] - 1)
        seen = (rows >= 0) & (rows < self.size[1]) & (first <= last)
        if not seen.any():
            return EMPTY
        rows, first, last = rows[seen], first[seen], last[seen]
        top, left = int(rows.min()), int(first.min())
        height, width = int(rows.max()) - top + 1, int(last.max()) - left + 2
        places = (rows - top) * width - left
        starts = np.bincount(places + first, minlength=height * width)
        stops = np.bincount(places + last + 1, minlength=height * width)
        pixels = np.cumsum((starts - stops).reshape(height, width), axis=1) > 0
        edges = np.diff(pixels, axis=1, prepend=False)
        row, column = np.nonzero(edges)
        row, low, high = row[::2], column[::2] + left, column[1::2] + left - 1
        layer = np.arange(len(row)) - np.searchsorted(row, row)
        shape = (int(layer.max()) + 1, height)
        raster = Raster(top, np.full(shape, _NOWHERE), np.full(shape, -_NOWHERE), int(pixels.sum()))
        raster.first[layer, row], raster.last[layer, row] = low, high
        return raster

    def _stamp(self, x: int, y: int, dx: int, dy: int) -> _Stamp:
        """The stamp of the piece from (x, y) to (x + dx, y + dy).

        It is the same wherever the piece lies inside the picture. A border changes it by the piece's distance to it.
        """
        margin = self.radius + 2
        free_x = margin <= min(x, x + dx) and max(x, x + dx) < self.size[0] - margin
        free_y = margin <= min(y, y + dy) and max(y, y + dy) < self.size[1] - margin
        if free_x and free_y and max(abs(dx), abs(dy)) <= 1:
            return self._unit[(dx + 1) * 3 + dy + 1]
        if max(abs(dx), abs(dy)) > _LONGEST:
            return self._make_stamp(x, y, dx, dy)
        key = dx, dy, None if free_x else x, None if free_y else y
        stamp = self._stamps.get(key)
        if stamp is None:
            if len(self._stamps) >= _STAMPS:
                self._stamps.clear()
            stamp = self._stamps[key] = self._make_stamp(x, y, dx, dy)
        return stamp

    def _free_stamp(self, dx: int, dy: int) -> _Stamp:
        """The stamp of a short piece far from every border."""
        middle = 4 * (self.radius + _LONGEST)
        return self._make_stamp(middle, middle, dx, dy, (2 * middle, 2 * middle))

    def _make_stamp(self, x: int, y: int, dx: int, dy: int, size: Size | None = None) -> _Stamp:
        size = size or self.size
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
        if not len(row):
            return _Stamp(row, low, high, True)
        order = np.lexsort((low, row))
        row, low, high = row[order], low[order], high[order]
        wide = 2 * size[0]
        reached = np.maximum.accumulate(row * wide + high)
        if ((row[1:] == row[:-1]) & (row[1:] * wide + low[1:] > reached[:-1] + 1)).any():
            return _Stamp(row - y, low - x, high - x, False)
        heads = np.flatnonzero(np.diff(row, prepend=-1))
        row, low, high = row[heads], low[heads], np.maximum.reduceat(high, heads)
        joined = all(self._hangs_together(end, row, low, high, size) for end in ((x, y), (x + dx, y + dy)))
        return _Stamp(row - y, low - x, high - x, joined)

    def _hangs_together(
        self, center: tuple[int, int], row: np.ndarray, low: np.ndarray, high: np.ndarray, size: Size
    ) -> bool:
        """Whether a piece's runs meet its neighbour's in every row of the disc they share.

        They do where the disc itself can be seen. Beside the picture both have to reach the border.
        """
        shared = np.abs(row - center[1]) <= self.radius
        half = self._half[row[shared] - center[1] + self.radius]
        left, right = center[0] + half < 0, center[0] - half >= size[0]
        return bool((low[shared][left] == 0).all() and (high[shared][right] == size[0] - 1).all())
