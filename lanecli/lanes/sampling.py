"""Lines as their x in the rows of a grid, from the bottom of the frame up: how the tracker holds them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.lanes.lane import Lane
from lanecli.lanes.perspective import Perspective

Floats = NDArray[np.floating]


def down_of(rows: Floats, size: Size, view: Perspective | None) -> Floats:
    """Rows below the horizon, which stand for a camera height's width there; a usual view where none is known."""
    horizon = view.vy if view is not None and view.certain else 0.45 * size[1]
    return np.maximum(rows - horizon, 0.02 * size[1])


def sampled_in(lane: Lane, rows: Floats) -> Floats:
    """x in `rows`, NaN above its far end; below its near end, beside the frame, as its nearest part points."""
    x = lane.x_at(rows)
    near = lane.points[: max(2, len(lane.points) // 4)]
    rise = near[0, 1] - near[-1, 1]
    slope = (near[0, 0] - near[-1, 0]) / max(rise, 1e-6)
    below = rows > near[0, 1]
    x[below] = near[0, 0] + slope * (rows[below] - near[0, 1])
    return x


def distances(one: Floats, other: Floats, down: Floats) -> Floats:
    """(N, M) how far each of N lines lies from each of M, camera heights: the median over rows that both have."""
    apart = np.abs(one[:, None] - other) / down  # NaN sorts last
    apart.sort(axis=-1)
    common = np.maximum(len(down) - np.isnan(apart).sum(-1), 1)
    middle = np.take_along_axis(apart, ((common - 1) // 2)[..., None], axis=-1)[..., 0]
    return np.where(np.isnan(middle), np.inf, middle)


def points_of(x: Floats, far: float, rows: Floats, size: Size) -> Floats:
    """The part of a line, `x` in `rows` up to the row `far`, that lies in the frame, near to far."""
    with np.errstate(invalid="ignore"):
        inside = (x >= -0.5) & (x <= size[0] - 0.5) & (rows > far + 0.5)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    bounds = [0, *edges.tolist(), len(x)]
    longest = max(
        ((start, stop) for start, stop in pairwise(bounds) if inside[start]),
        key=lambda part: part[1] - part[0],
        default=(0, 0),
    )
    start, stop = longest
    points = np.empty((stop - start + 1, 2))
    points[:-1, 0], points[:-1, 1] = x[start:stop], rows[start:stop]
    if 0 < stop < len(x) and rows[stop] <= far + 0.5 and x[stop] == x[stop]:  # it ends between two rows
        share = (rows[stop - 1] - far) / (rows[stop - 1] - rows[stop])
        end = x[stop - 1] + share * (x[stop] - x[stop - 1])
        if -0.5 <= end <= size[0] - 0.5:
            points[-1] = end, far
            return points
    return points[:-1]
