"""Lines sampled at fixed rows, from the bottom of the frame up, which is the representation of the tracker."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.lanes.lane import Lane
from lanecli.lanes.perspective import Perspective

Floats = NDArray[np.floating]


def rows_below_horizon(rows: Floats, size: Size, view: Perspective | None) -> Floats:
    """Return the distance of rows below the horizon, in pixels; this is also the width of a camera height in the row.

    Args:
        rows: (R,) rows of the frame.
        size: (width, height) of the frame.
        view: the perspective in pixels of the frame; a typical horizon is assumed if it is None or uncertain.
    """
    horizon = view.vy if view is not None and view.certain else 0.45 * size[1]
    return np.maximum(rows - horizon, 0.02 * size[1])


def sample_lane(lane: Lane, rows: Floats) -> Floats:
    """Return x of a lane in `rows`; it is NaN above the far end, and extended straight below the near end."""
    x = lane.x_at(rows)
    near = lane.points[: max(2, len(lane.points) // 4)]
    rise = near[0, 1] - near[-1, 1]
    slope = (near[0, 0] - near[-1, 0]) / max(rise, 1e-6)
    below = rows > near[0, 1]
    x[below] = near[0, 0] + slope * (rows[below] - near[0, 1])
    return x


def distances(first: Floats, second: Floats, down: Floats) -> Floats:
    """Return the distances between lines: the median over the rows that both have.

    Args:
        first: (N, R) x of lines in R rows, NaN where they are absent.
        second: (M, R) x of other lines in the same rows.
        down: (R,) distance of the rows below the horizon.

    Returns:
        (N, M) in camera heights; infinite if two lines share no row.
    """
    apart = np.abs(first[:, None] - second) / down  # NaN sorts last
    apart.sort(axis=-1)
    common = np.maximum(len(down) - np.isnan(apart).sum(-1), 1)
    middle = np.take_along_axis(apart, ((common - 1) // 2)[..., None], axis=-1)[..., 0]
    return np.where(np.isnan(middle), np.inf, middle)


def visible_points(x: Floats, far: float, rows: Floats, size: Size) -> Floats:
    """Return the longest part of a line that lies in the frame.

    Args:
        x: (R,) x of the line in `rows`.
        far: row of the far end.
        rows: (R,) rows from the bottom up.
        size: (width, height) of the frame.

    Returns:
        (N, 2) x, y from near to far; it may be empty.
    """
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
    if 0 < stop < len(x) and rows[stop] <= far + 0.5 and x[stop] == x[stop]:  # the line ends between two rows
        share = (rows[stop - 1] - far) / (rows[stop - 1] - rows[stop])
        end = x[stop - 1] + share * (x[stop] - x[stop - 1])
        if -0.5 <= end <= size[0] - 0.5:
            points[-1] = end, far
            return points
    return points[:-1]
