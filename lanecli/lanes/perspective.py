"""The road's perspective from the markings alone: the horizon's row, the vanishing point, the bend.

On a flat road lines a constant way apart run, in the picture, as

    x = vx + u * s + k / s,        s = y - vy,

where vy is the horizon's row, (vx, vy) where the road under the car points to, u how far right of the camera a line
lies (in camera heights, a constant of the line) and k the road's curvature (times the focal length squared), which all
lines share. Nothing of the camera has to be known: vx, vy and k follow from where the pieces of the markings lie and
how they slant, by a robust fit over a range of horizons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.runs import Runs, first_of, sizes_of

Floats = NDArray[np.floating]

_PIECE = 0.07  # length of a piece as share of the picture's height: short enough to be straight in a bend
_FEWEST_ROWS = 4  # of a piece that votes
_MOST_PIECES = 40
_HORIZONS = np.arange(-8, 15) / 30  # tried, in heights of the picture below the prior's row
_STRAIGHT = 15.0  # how much bends are doubted: ragged paint alone can look like one
_RAGGED = 0.35  # share of the pieces' weight that does not fit from where on they are; below, bends are doubted less
_FINER = 0.25  # of their distance: how near to the best one the next are tried
_TOLERANCES = (60.0, 10.0, 4.0)  # squared residuals at which a piece counts half, narrowing
_NOISE = 0.45  # pixels by which a run's middle is off
_LOOSE = 0.05  # of slope: lines are not perfectly parallel, the road is not perfectly flat
_LEAST = 0.012  # heights of the picture: nearer to the horizon a piece says nothing


@dataclass(frozen=True)
class Perspective:
    """Where the road vanishes.

    Attributes:
        vx, vy: the vanishing point of the road under the car, in pixels; it may lie outside the picture.
        bend: k above, in square pixels.
        certain: whether markings confirm it; else it is no more than a usual view of a road.
    """

    vx: float
    vy: float
    bend: float
    certain: bool

    def down(self, y: Floats) -> Floats:
        """Rows below the horizon, at least a small positive number."""
        return np.maximum(y - self.vy, 1.5)

    def straighten(self, x: Floats, down: Floats) -> Floats:
        """x relative to the vanishing point and with the road's bend taken out: a line then is u * down."""
        return x - self.vx - self.bend / down


@dataclass(frozen=True)
class _Pieces:
    """Pieces of fragments: centre, half their rows, slope dx/dy, its variance, how far a parallel line's may be off."""

    x: Floats
    y: Floats
    half: Floats
    slope: Floats
    variance: Floats
    loose: Floats


def find_perspective(runs: Runs, size: tuple[int, int], prior: Perspective | None = None) -> Perspective:
    """The perspective that the fragments of a mask of `size` (width, height) agree upon.

    Args:
        runs: the mask's.
        size: width and height of the mask in pixels.
        prior: what an earlier frame of the same camera gave; the horizon is then looked for near it.
    """
    width, height = size
    pieces = _pieces(runs, height)
    if prior is None:
        top = _weighted_top(runs)
        start = Perspective((width - 1) / 2, top - 0.03 * height, 0.0, False)
        loose = (0.3 * width, 0.1 * height)
    else:
        start, loose = prior, (0.1 * width, 0.03 * height)
    if len(pieces.x) < 2:
        return start
    return _vote(pieces, size, start, loose)


def _weighted_top(runs: Runs) -> float:
    """The row above which only a fiftieth of all runs lie: specks in the sky should not matter."""
    if not len(runs.row):
        return 0.0
    return float(np.partition(runs.row, len(runs.row) // 50)[len(runs.row) // 50])


def _pieces(runs: Runs, height: int) -> _Pieces:
    length = max(6, round(_PIECE * height / runs.step))
    if not len(runs.row):
        return _Pieces(*(np.zeros(0) for _ in range(6)))
    within = np.arange(len(runs.row)) - np.repeat(runs.first, runs.count)
    parts = -(-runs.count // length)  # of equal length, so that no stub remains
    part = within * np.repeat(parts, runs.count) // np.repeat(runs.count, runs.count)
    first = first_of(runs.fragment * 1024 + part)
    count = sizes_of(first, len(runs.row))
    kept = count >= _FEWEST_ROWS
    if kept.sum() > _MOST_PIECES:
        kept &= count >= np.partition(count, -_MOST_PIECES)[-_MOST_PIECES]
    y, x = runs.row.astype(float), runs.centre
    mean_y, mean_x = np.add.reduceat(y, first) / count, np.add.reduceat(x, first) / count
    dy = y - np.repeat(mean_y, count)
    spread = np.add.reduceat(dy * dy, first)
    slope = np.add.reduceat(dy * x, first) / np.maximum(spread, 1e-9)
    wide = np.add.reduceat(runs.width, first) / count
    kept &= wide < 0.15 * height + 4  # no stop line's
    loose = _LOOSE * (1 + 0.5 * np.abs(slope))
    variance = (_NOISE**2 + (0.06 * wide) ** 2) / np.maximum(spread, 1e-9) + loose**2
    half = 0.5 * runs.step * count
    return _Pieces(mean_x[kept], mean_y[kept], half[kept], slope[kept], variance[kept], loose[kept])


def _vote(pieces: _Pieces, size: tuple[int, int], start: Perspective, loose: tuple[float, float]) -> Perspective:
    """Robust regression of slopes for a range of horizons at once; the best is refined between its neighbours.

    A piece's slope should be (x - vx - 2k/s) / s: linear in vx and k for a given horizon.
    """
    height = size[1]
    span = loose[1] / (0.1 * height)
    rows = start.vy + _HORIZONS * height * span
    costs, found = _fit(pieces, rows, height, start, loose, _STRAIGHT)
    vy = _lowest(rows, costs)
    misfit = 1 - float(found[2, int(costs.argmin())]) / float(np.sqrt(pieces.loose**2 / pieces.variance).sum())
    doubt = _STRAIGHT * (misfit / _RAGGED) ** 2
    rows = vy + _FINER * (rows[1] - rows[0]) * np.array([-1.0, 0.0, 1.0])
    costs, found = _fit(pieces, rows, height, start, loose, doubt)
    vy = _lowest(rows, costs)
    vx, bend, support = (float(np.interp(vy, rows, values)) for values in found)
    return Perspective(vx, vy, bend, support >= 2.5)


def _lowest(rows: Floats, costs: Floats) -> float:
    """Where the parabola through the least of `costs` and its neighbours is lowest, between these neighbours."""
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
    loose: tuple[float, float],
    doubt: float,
) -> tuple[Floats, Floats]:
    """For each horizon in `rows`: the cost, and vx, bend and how many pieces' worth of support, (3, V).

    `doubt` is how much bends are doubted.
    """
    s = pieces.y - rows[:, None]  # (V, K)
    valid = s > _LEAST * height
    s = np.where(valid, s, 1.0)
    near = 1 / s
    target = pieces.x * near - pieces.slope  # = vx / s + 2 k / s² for a short piece
    # k in units that make it a number near 1: a bend that shifts the road by a tenth of the height at s = height / 10.
    unit = 0.01 * height * height
    share = np.minimum(pieces.half * near, 0.9) ** 2
    bent = unit * near * near * (2 + share * (14 / 15 + share * (22 / 35 + share * (30 / 63))))
    precision = valid / pieces.variance
    weight = precision * 0.3
    rows_of = np.stack([near, bent, target], axis=1)  # (V, 3, K)
    columns = rows_of.transpose(0, 2, 1)
    prior_vx, prior_bend = (3 / loose[0]) ** 2, doubt
    for tolerance in _TOLERANCES:
        products = (rows_of[:, :2] * weight[:, None]) @ columns  # (V, 2, 3)
        aa, ab, at = products[:, 0, 0] + prior_vx, products[:, 0, 1], products[:, 0, 2] + prior_vx * start.vx
        bb, bt = products[:, 1, 1] + prior_bend, products[:, 1, 2]
        determinant = aa * bb - ab * ab
        vx = (bb * at - ab * bt) / determinant
        k = (aa * bt - ab * at) / determinant
        residual = target - vx[:, None] * near - k[:, None] * bent
        squared = residual * residual * precision
        weight = precision / (1 + squared / tolerance) ** 2
    # Geman and McClure's cost: a piece that does not fit, or lies above the horizon, costs 1 at most.
    fits = np.where(valid, squared / (squared + 4), 1.0)
    share = np.sqrt(pieces.loose**2 / pieces.variance)
    costs = (fits * share).sum(1)
    # Marks above the horizon, on lamps and their reflections, are commoner than a road that ends far above its paint.
    aside = (rows - start.vy) / np.where(rows > start.vy, 4.0, 1.0) / loose[1]
    costs = costs + 0.15 * (aside**2 + ((vx - start.vx) / loose[0]) ** 2 + 0.3 * k * k)
    support = ((1 - fits) * share).sum(1)
    return costs, np.stack([vx, k * unit, support])
