"""The natural cubic spline of CULane's program, in the same floating-point precisions."""

from __future__ import annotations

import math

import numpy as np

STEPS = 50
"""Number of samples between two neighbouring points."""

_NO_INTEGER = -(1 << 31)  # what an x86 processor turns NaN and numbers beyond 32 bits into


def sample(points: np.ndarray) -> np.ndarray:
    """Sample a lane's points as a polyline.

    Three or more points become a natural cubic spline over the chord length, in x and in y, with `STEPS` samples in
    each gap and the last point. Differences of neighbours are float32, everything that follows is float64, and each
    sample is float32 again. A point given twice in a row makes every sample but the last NaN.

    Args:
        points: (N, 2) float32 x, y, N at least 2.

    Returns:
        (M, 2) float32: the two points themselves, or ``STEPS * (N - 1) + 1`` samples.
    """
    if len(points) == 2:
        return points
    with np.errstate(all="ignore"):
        differences = np.diff(points, axis=0).astype(np.float64)
        lengths = np.sqrt(differences[:, 0] ** 2 + differences[:, 1] ** 2)
        delta = lengths / STEPS
        t = delta[:, None] * np.arange(STEPS)
        square = t * t
        cube = square * t
        out = np.empty((STEPS * len(delta) + 1, 2), np.float32)
        for axis, moments in enumerate(_moments(differences, lengths)):
            a = points[:-1, axis].astype(np.float64)
            b = differences[:, axis] / lengths - (2 * lengths * moments[:-1] + lengths * moments[1:]) / 6
            c = moments[:-1] / 2
            d = (moments[1:] - moments[:-1]) / (6 * lengths)
            values = a[:, None] + b[:, None] * t + c[:, None] * square + d[:, None] * cube
            out[:-1, axis] = values.ravel()
        out[-1] = points[-1]
    return out


def _moments(differences: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the second derivatives of x and y at the points, zero at both ends.

    They solve a tridiagonal system, which is eliminated from the top down.

    Args:
        differences: (N - 1, 2) float64, differences of neighbours' coordinates.
        lengths: (N - 1,) float64, lengths of the chords between them.
    """
    slopes = differences / lengths[:, None]
    # Python floats are several times faster than NumPy's, but only the latter divide by zero without an error
    usable = bool(lengths.all()) and math.isfinite(float(lengths.sum()))
    h, slope_x, slope_y = (v.tolist() if usable else list(v) for v in (lengths, slopes[:, 0], slopes[:, 1]))
    above: list[float] = []
    right: list[tuple[float, float]] = []
    for i in range(len(h) - 1):
        pivot = 2 * (h[i] + h[i + 1])
        x = 6 * (slope_x[i + 1] - slope_x[i])
        y = 6 * (slope_y[i + 1] - slope_y[i])
        if i:
            pivot -= h[i] * above[-1]
            x -= h[i] * right[-1][0]
            y -= h[i] * right[-1][1]
        above.append(h[i + 1] / pivot)
        right.append((x / pivot, y / pivot))
    x, y = right[-1]
    moments = [(0.0, 0.0), (x, y)]
    for i in range(len(h) - 3, -1, -1):
        x, y = right[i][0] - above[i] * x, right[i][1] - above[i] * y
        moments.append((x, y))
    moments.append((0.0, 0.0))
    table = np.array(moments[::-1])
    return table[:, 0], table[:, 1]


def whole_pixels(points: np.ndarray) -> np.ndarray:
    """Round samples to whole pixels, halves to even; NaN and what 32 bits cannot hold become -2147483648, as on x86.

    Args:
        points: (N, 2) float32.

    Returns:
        (N, 2) int64.
    """
    with np.errstate(all="ignore"):
        rounded = np.rint(points).astype(np.float64)
        return np.where(np.abs(rounded) < -_NO_INTEGER, rounded, _NO_INTEGER).astype(np.int64)
