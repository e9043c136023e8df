"""Draws thick lines pixel for pixel as OpenCV 4's `cv2.line`, on which CULane's program and others rely.

A piece of a line is a rectangle and a filled disc at each of its ends. The rectangle's corners are 16.16 fixed-point
numbers. It is the union of its four edges, each clipped to the picture *before* it is stepped along, and of the rows
between them. OpenCV 5 draws other edge pixels wherever a piece leaves the picture, so nothing here calls OpenCV.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from lanecli.geometry import Size

Point = tuple[int, int]
_SHIFT = 16
_ONE = 1 << _SHIFT
_HALF = _ONE >> 1

Span = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Row, first column and last column of runs of pixels, all (N,) int64 and inside the picture."""


def radius_of(thickness: int) -> int:
    """Return the radius in pixels of the disc at the end of a line: half the thickness, rounded half up."""
    return (thickness + 1) // 2


@lru_cache
def disc_half_widths(radius: int) -> tuple[int, ...]:
    """Return half-widths of a filled disc, from its middle row outwards: rows 0 … radius (OpenCV's midpoint circle)."""
    widths = [0] * (radius + 1)
    error, dx, dy, plus, minus = 0, radius, 0, 1, 2 * radius - 1
    while dx >= dy:
        widths[dy] = max(widths[dy], dx)
        widths[dx] = max(widths[dx], dy)
        dy += 1
        error += plus
        plus += 2
        if error > 0:
            error -= minus
            dx -= 1
            minus -= 2
    return tuple(widths)


def corners(start: Point, stop: Point, thickness: int) -> list[Point]:
    """Return the corners of a piece's rectangle in 16.16 fixed point; none if both ends are the same point."""
    dx, dy = float(start[0] - stop[0]), float(stop[1] - start[1])
    square = dx * dx + dy * dy
    if square <= np.finfo(float).eps:
        return []
    scale = ((thickness << (_SHIFT - 1)) + (thickness & 1) * _ONE * 0.5) / math.sqrt(square)
    right, down = round(dy * scale), round(dx * scale)  # halves to even, as the processor rounds
    x0, y0, x1, y1 = (c << _SHIFT for c in (*start, *stop))
    return [(x0 + right, y0 + down), (x0 - right, y0 - down), (x1 - right, y1 - down), (x1 + right, y1 + down)]


def rectangle(start: Point, stop: Point, thickness: int, size: Size) -> Iterator[Span]:
    """Yield the runs of a piece's rectangle, without the discs at its ends, wherever the piece starts.

    Args:
        start: whole pixels, any 32-bit numbers.
        stop: whole pixels, any 32-bit numbers.
        thickness: pixels, 2 or more.
        size: width and height of the picture.
    """
    points = corners(start, stop, thickness)
    if not points:
        return
    for first, second in zip((points[-1], *points[:-1]), points, strict=True):
        yield from _edge(first, second, size)
    yield from _rows_between(points, size)


def _edge(first: Point, second: Point, size: Size) -> Iterator[Span]:
    """Yield one edge: it is clipped in fixed point, then has a pixel for each whole step along its longer axis."""
    clipped = _clip(first, second, (size[0] << _SHIFT) - 1, (size[1] << _SHIFT) - 1)
    if clipped is None:
        return
    x1, y1, x2, y2 = clipped
    dx, dy = x2 - x1, y2 - y1
    flat = abs(dx) > abs(dy)
    if (dx if flat else dy) < 0:
        x1, y1, x2, y2, dx, dy = x2, y2, x1, y1, -dx, -dy
    last = (x2 + _HALF) >> _SHIFT, (y2 + _HALF) >> _SHIFT
    if flat:
        steps = np.arange((dx >> _SHIFT) + 1)
        columns = ((x1 + _HALF) >> _SHIFT) + steps
        rows = (y1 + _HALF + steps * _divide(dy << _SHIFT, dx | 1)) >> _SHIFT
    else:
        steps = np.arange((dy >> _SHIFT) + 1)
        columns = (x1 + _HALF + steps * _divide(dx << _SHIFT, dy | 1)) >> _SHIFT
        rows = ((y1 + _HALF) >> _SHIFT) + steps
    columns, rows = np.append(columns, last[0]), np.append(rows, last[1])
    inside = (columns >= 0) & (columns < size[0]) & (rows >= 0) & (rows < size[1])
    yield rows[inside], columns[inside], columns[inside]


def _clip(first: Point, second: Point, right: int, bottom: int) -> tuple[int, int, int, int] | None:
    """Clip a line to ``0 … right`` and ``0 … bottom``: first at top and bottom, then at the sides; else None."""
    (x1, y1), (x2, y2) = first, second

    def code(x: int, y: int) -> int:
        return (x < 0) + (x > right) * 2 + (y < 0) * 4 + (y > bottom) * 8

    c1, c2 = code(x1, y1), code(x2, y2)
    if not c1 & c2 and c1 | c2:
        if c1 & 12:
            edge = 0 if c1 < 8 else bottom
            x1, y1 = x1 + int(float(edge - y1) * (x2 - x1) / (y2 - y1)), edge
            c1 = code(x1, y1) & 3
        if c2 & 12:
            edge = 0 if c2 < 8 else bottom
            x2, y2 = x2 + int(float(edge - y2) * (x2 - x1) / (y2 - y1)), edge
            c2 = code(x2, y2) & 3
        if not c1 & c2 and c1 | c2:
            if c1:
                edge = 0 if c1 == 1 else right
                x1, y1, c1 = edge, y1 + int(float(edge - x1) * (y2 - y1) / (x2 - x1)), 0
            if c2:
                edge = 0 if c2 == 1 else right
                x2, y2, c2 = edge, y2 + int(float(edge - x2) * (y2 - y1) / (x2 - x1)), 0
    return None if c1 | c2 else (x1, y1, x2, y2)


def _rows_between(points: list[Point], size: Size) -> Iterator[Span]:
    """Yield the rows between the left and the right chain of edges; slopes are whole multiples of 1/65536 per row."""
    rounded = [(y + _HALF) >> _SHIFT for _, y in points]
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    lowest, highest = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom, lowest, highest = (_int32((value + _HALF) >> _SHIFT) for value in (top, bottom, lowest, highest))
    if highest < 0 or bottom < 0 or lowest >= size[0] or top >= size[1]:
        return
    bottom = min(bottom, size[1] - 1)
    start = min(range(len(points)), key=lambda i: points[i][1])
    unused = len(points)  # edges that remain for both chains together
    index, ends, x, slope = [start, start], [top, top], [-_ONE, -_ONE], [0, 0]
    y = top
    while y <= bottom:
        for chain, direction in enumerate((1, -1)):
            if y < ends[chain]:
                continue
            here = index[chain]
            while True:
                if not unused:
                    return  # the lowest corner's own row is drawn by the edges
                unused -= 1
                there = (here + direction) % len(points)
                if rounded[there] > y:
                    break
                here = there
            rise = rounded[there] - y
            slope[chain] = _divide((points[there][0] - points[here][0]) * 2 + rise, 2 * rise)
            x[chain], ends[chain], index[chain] = points[here][0], rounded[there], there
        stop = min(*ends, bottom + 1)
        first = max(y, 0)
        if first < stop:
            rows = np.arange(first, stop)
            sides = [x[chain] + slope[chain] * (rows - y) for chain in (0, 1)]
            left = (np.minimum(*sides) + _HALF) >> _SHIFT
            right = (np.maximum(*sides) + _HALF) >> _SHIFT
            inside = (right >= 0) & (left < size[0])
            yield rows[inside], np.maximum(left[inside], 0), np.minimum(right[inside], size[0] - 1)
        x = [x[chain] + slope[chain] * (stop - y) for chain in (0, 1)]
        y = stop


def _divide(numerator: int, denominator: int) -> int:
    """Divide integers and round toward zero, as C does."""
    quotient = abs(numerator) // abs(denominator)
    return quotient if (numerator < 0) == (denominator < 0) else -quotient


def _int32(value: int) -> int:
    """Wrap a number to 32 bits: a corner above the highest representable row ends up far below the picture."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31)
