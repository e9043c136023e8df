"""Estimates the perspective of the road from the markings alone: the horizon, the vanishing point and the bend.

On a flat road, lines at constant distances from each other have, in the picture, the form

    x = vx + u * s + k / s,        s = y - vy,

where vy is the row of the horizon, (vx, vy) the vanishing point of the road under the car, u the distance of the line
to the right of the camera (in camera heights, constant along the line), and k the curvature of the road (times the
focal length squared), which all lines share. The camera need not be known: vx, vy and k follow from the positions and
slopes of pieces of the markings, by a robust fit over a range of horizons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.runs import Runs, group_sizes, group_starts

Floats = NDArray[np.floating]

_PIECE = 0.07  # length of a piece as share of the height of the picture: short enough to be nearly straight in a bend
_MIN_ROWS = 4  # rows that a piece needs to count
_MAX_PIECES = 40
_HORIZONS = np.arange(-8, 15) / 30  # horizons to try, in heights of the picture below the expected row
_BEND_PENALTY = 15.0  # weight of the penalty on bends: ragged paint alone can look like a bend
_MISFIT_SHARE = 0.35  # share of the weight of pieces that do not fit at which the penalty is full; it is less below
_FINE_STEP = 0.25  # spacing of the horizons in the second search, relative to the first
_TOLERANCES = (60.0, 10.0, 4.0)  # in each iteration, squared residuals at which a piece has a quarter of its weight
_NOISE = 0.45  # standard error of the middle of a run, in pixels
_SLOPE_TOLERANCE = 0.05  # error of slopes: lines are not perfectly parallel, and the road is not perfectly flat
_LEAST = 0.012  # pieces nearer to the horizon than this, in heights of the picture, are ignored


@dataclass(frozen=True)
class Perspective:
    """The perspective of the road.

    Attributes:
        vx, vy: the vanishing point of the road under the car, in pixels; it may lie outside the picture.
        bend: k in the formula of this module, in square pixels.
        certain: whether enough markings agree with it; otherwise it is only a typical view of a road.
    """

    vx: float
    vy: float
    bend: float
    certain: bool

    def rows_below_horizon(self, y: Floats) -> Floats:
        """Return the distance of rows `y` below the horizon, in pixels; at least a small positive number."""
        return np.maximum(y - self.vy, 1.5)

    def straighten(self, x: Floats, down: Floats) -> Floats:
        """Return x relative to the vanishing point and without the bend of the road: a line becomes u * down."""
        return x - self.vx - self.bend / down


@dataclass(frozen=True)
class _Pieces:
    """Pieces of fragments, in arrays of length K.

    Attributes:
        x, y: the centre, in pixels.
        half: half the height, in pixels.
        slope: dx/dy.
        variance: variance of the slope.
        tolerance: standard deviation of the slopes of lines that should be parallel.
    """

    x: Floats
    y: Floats
    half: Floats
    slope: Floats
    variance: Floats
    tolerance: Floats


def find_perspective(runs: Runs, size: tuple[int, int], prior: Perspective | None = None) -> Perspective:
    """Return the perspective that fits the fragments of a mask best.

    Args:
        runs: the fragments of the mask.
        size: (width, height) of the mask in pixels.
        prior: the perspective of an earlier frame of the same camera, near which the horizon is then searched.
    """
    width, height = size
    pieces = _pieces(runs, height)
    if prior is None:
        top = _weighted_top(runs)
        start = Perspective((width - 1) / 2, top - 0.03 * height, 0.0, False)
        tolerance = (0.3 * width, 0.1 * height)
    else:
        start, tolerance = prior, (0.1 * width, 0.03 * height)
    if len(pieces.x) < 2:
        return start
    return _search_horizon(pieces, size, start, tolerance)


def _weighted_top(runs: Runs) -> float:
    """Return the row above which only a fiftieth of all runs lie, so that specks in the sky do not matter."""
    if not len(runs.row):
        return 0.0
    return float(np.partition(runs.row, len(runs.row) // 50)[len(runs.row) // 50])


def _pieces(runs: Runs, height: int) -> _Pieces:
    length = max(6, round(_PIECE * height / runs.step))
    if not len(runs.row):
        return _Pieces(*(np.zeros(0) for _ in range(6)))
    position = np.arange(len(runs.row)) - np.repeat(runs.first, runs.count)
    parts = -(-runs.count // length)  # of equal length, so that no short rest remains
    part = position * np.repeat(parts, runs.count) // np.repeat(runs.count, runs.count)
    first = group_starts(runs.fragment * 1024 + part)
    count = group_sizes(first, len(runs.row))
    kept = count >= _MIN_ROWS
    if kept.sum() > _MAX_PIECES:
        kept &= count >= np.partition(count, -_MAX_PIECES)[-_MAX_PIECES]
    y, x = runs.row.astype(float), runs.centre
    mean_y, mean_x = np.add.reduceat(y, first) / count, np.add.reduceat(x, first) / count
    dy = y - np.repeat(mean_y, count)
    spread = np.add.reduceat(dy * dy, first)
    slope = np.add.reduceat(dy * x, first) / np.maximum(spread, 1e-9)
    wide = np.add.reduceat(runs.width, first) / count
    kept &= wide < 0.15 * height + 4  # stop lines are wider
    tolerance = _SLOPE_TOLERANCE * (1 + 0.5 * np.abs(slope))
    variance = (_NOISE**2 + (0.06 * wide) ** 2) / np.maximum(spread, 1e-9) + tolerance**2
    half = 0.5 * runs.step * count
    return _Pieces(mean_x[kept], mean_y[kept], half[kept], slope[kept], variance[kept], tolerance[kept])


def _search_horizon(
    pieces: _Pieces, size: tuple[int, int], start: Perspective, tolerance: tuple[float, float]
) -> Perspective:
    """Find the horizon by robust regression of slopes for many horizons at once, coarsely and then finely.

    The slope of a piece should be (x - vx - 2k/s) / s, which is linear in vx and k for a given horizon.
    """
    height = size[1]
    span = tolerance[1] / (0.1 * height)
    rows = start.vy + _HORIZONS * height * span
    costs, estimates = _fit(pieces, rows, height, start, tolerance, _BEND_PENALTY)
    vy = _lowest(rows, costs)
    misfit = 1 - float(estimates[2, int(costs.argmin())]) / float(np.sqrt(pieces.tolerance**2 / pieces.variance).sum())
    bend_penalty = _BEND_PENALTY * (misfit / _MISFIT_SHARE) ** 2
    rows = vy + _FINE_STEP * (rows[1] - rows[0]) * np.array([-1.0, 0.0, 1.0])
    costs, estimates = _fit(pieces, rows, height, start, tolerance, bend_penalty)
    vy = _lowest(rows, costs)
    vx, bend, support = (float(np.interp(vy, rows, values)) for values in estimates)
    return Perspective(vx, vy, bend, support >= 2.5)


def _lowest(rows: Floats, costs: Floats) -> float:
    """Return the minimum of the parabola through the lowest of `costs` and its neighbours, limited to their range."""
    best = int(costs.argmin())
    middle = min(max(best, 1), len(rows) - 2)
    before, here, after = costs[middle - 1 : middle + 2].tolist()
    bow = before - 2 * here + after
    if bow <= 1e-9:
        return float(rows[best])
    aside = min(1.0, max(-1.0, 0.5 * (before - after) / bow))
    return float(rows[middle] + aside * (rows[1] - rows[0]))


def _fit(
    pieces: _Pieces,
    rows: Floats,
    height: int,
    start: Perspective,
    tolerance: tuple[float, float],
    bend_penalty: float,
) -> tuple[Floats, Floats]:
    """Fit vx and the bend for each of V horizons.

    Args:
        pieces: the K pieces.
        rows: (V,) rows of the horizons.
        height: height of the mask in pixels.
        start: the expected perspective.
        tolerance: how far vx and vy may be from the expected ones, in pixels.
        bend_penalty: weight of the penalty on bends.

    Returns:
        The cost of each horizon, (V,); and for each vx, the bend and the number of pieces that support it, (3, V).
    """
    s = pieces.y - rows[:, None]  # (V, K)
    valid = s > _LEAST * height
    s = np.where(valid, s, 1.0)
    near = 1 / s
    target = pieces.x * near - pieces.slope  # = vx / s + 2 k / s² for a short piece
    # The unit of k makes it a number near 1: this bend shifts the road by a tenth of the height at s = height / 10.
    unit = 0.01 * height * height
    share = np.minimum(pieces.half * near, 0.9) ** 2
    bent = unit * near * near * (2 + share * (14 / 15 + share * (22 / 35 + share * (30 / 63))))
    precision = valid / pieces.variance
    weight = precision * 0.3
    rows_of = np.stack([near, bent, target], axis=1)  # (V, 3, K)
    columns = rows_of.transpose(0, 2, 1)
    prior_vx, prior_bend = (3 / tolerance[0]) ** 2, bend_penalty
    for threshold in _TOLERANCES:
        products = (rows_of[:, :2] * weight[:, None]) @ columns  # (V, 2, 3)
        aa, ab, at = products[:, 0, 0] + prior_vx, products[:, 0, 1], products[:, 0, 2] + prior_vx * start.vx
        bb, bt = products[:, 1, 1] + prior_bend, products[:, 1, 2]
        determinant = aa * bb - ab * ab
        vx = (bb * at - ab * bt) / determinant
        k = (aa * bt - ab * at) / determinant
        residual = target - vx[:, None] * near - k[:, None] * bent
        squared = residual * residual * precision
        weight = precision / (1 + squared / threshold) ** 2
    # The cost of Geman and McClure: a piece costs at most 1, if it does not fit or lies above the horizon.
    fits = np.where(valid, squared / (squared + 4), 1.0)
    share = np.sqrt(pieces.tolerance**2 / pieces.variance)
    costs = (fits * share).sum(1)
    # Marks above the horizon (lamps, reflections) are more common than a road that ends far above its paint.
    aside = (rows - start.vy) / np.where(rows > start.vy, 4.0, 1.0) / tolerance[1]
    costs = costs + 0.15 * (aside**2 + ((vx - start.vx) / tolerance[0]) ** 2 + 0.3 * k * k)
    support = ((1 - fits) * share).sum(1)
    return costs, np.stack([vx, k * unit, support])
