"""The interpolating B-spline of LLAMAS' program: FITPACK's algorithm, step for step.

The program rounds samples toward zero, so the last bit of a sample that should be a whole number decides on a pixel.
The same sums in the same order give the same bits. P. Dierckx, "Curve and surface fitting with splines", Oxford 1993.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def interpolate(points: Sequence[tuple[float, float]], samples: int) -> np.ndarray:
    """Return points on the curve of degree ``min(3, n - 1)`` through n points, at equal steps of the chord length.

    Args:
        points: x, y of two points or more; no two neighbours are equal.
        samples: number of points to return.

    Returns:
        (samples, 2) float64 x, y; all NaN if a coordinate is not finite.
    """
    if not all(math.isfinite(value) for point in points for value in point):
        return np.full((samples, 2), np.nan)
    degree = min(3, len(points) - 1)
    parameters = _chord_lengths(points)
    knots = _knots(parameters, degree)
    coefficients = _fit(parameters, points, knots, degree)
    points_on_curve = np.empty((samples, 2))
    for i, u in enumerate(np.linspace(0.0, 1.0, samples).tolist()):
        left = _interval(knots, degree, u)
        basis = _basis(knots, degree, u, left)
        for axis in (0, 1):
            total = 0.0
            for j, value in enumerate(basis):
                total += coefficients[left - degree + j][axis] * value
            points_on_curve[i, axis] = total
    return points_on_curve


def _chord_lengths(points: Sequence[tuple[float, float]]) -> list[float]:
    """Return the parameter of each point, 0 … 1."""
    parameters = [0.0]
    for (x0, y0), (x1, y1) in pairwise(points):
        parameters.append(parameters[-1] + math.sqrt((x1 - x0) * (x1 - x0) + (y1 - y0) * (y1 - y0)))
    whole = parameters[-1]
    return [u / whole for u in parameters[:-1]] + [1.0]


def _knots(parameters: list[float], degree: int) -> list[float]:
    """Return an interpolating spline's knots: all points but those next to the ends; none inside for degree 2."""
    inner = parameters[2:-2] if degree == 3 else []
    return [parameters[0]] * (degree + 1) + inner + [parameters[-1]] * (degree + 1)


def _interval(knots: list[float], degree: int, u: float) -> int:
    """Return the index of the last knot not above u, inside the spline's range."""
    left, last = degree, len(knots) - degree - 2
    while left < last and u >= knots[left + 1]:
        left += 1
    return left


def _basis(knots: list[float], degree: int, u: float, left: int) -> list[float]:
    """Return the ``degree + 1`` B-splines that are not zero at u (de Boor's and Cox's recurrence)."""
    values = [1.0]
    for j in range(1, degree + 1):
        before = values
        values = [0.0] * (j + 1)
        for i in range(j):
            high, low = knots[left + 1 + i], knots[left + 1 + i - j]
            share = before[i] / (high - low) if high != low else 0.0
            values[i] += share * (high - u)
            values[i + 1] = share * (u - low)
    return values


def _fit(
    parameters: list[float], points: Sequence[tuple[float, float]], knots: list[float], degree: int
) -> list[list[float]]:
    """Return the coefficients.

    Givens rotations take one point after another into a triangular band, which is then solved from the last row up.
    """
    count, order = len(knots) - degree - 1, degree + 1
    band = [[0.0] * order for _ in range(count)]
    sides = [[0.0, 0.0] for _ in range(count)]
    left = degree
    for u, point in zip(parameters, points, strict=True):
        while u >= knots[left + 1] and left != count - 1:
            left += 1
        row = _basis(knots, degree, u, left)
        rest = list(point)
        for i in range(order):
            pivot = row[i]
            if pivot == 0.0:
                continue
            target, side = band[left - degree + i], sides[left - degree + i]
            cos, sin, target[0] = _givens(pivot, target[0])
            for axis in (0, 1):
                rest[axis], side[axis] = _rotate(cos, sin, rest[axis], side[axis])
            for k in range(i + 1, order):
                row[k], target[k - i] = _rotate(cos, sin, row[k], target[k - i])
    for i in range(count - 1, -1, -1):
        for axis in (0, 1):
            value = sides[i][axis]
            for k in range(1, min(order, count - i)):
                value -= sides[i + k][axis] * band[i][k]
            sides[i][axis] = value / band[i][0]
    return sides


def _givens(pivot: float, diagonal: float) -> tuple[float, float, float]:
    size = abs(pivot)
    if size >= diagonal:
        ratio = diagonal / pivot
        length = size * math.sqrt(1.0 + ratio * ratio)
    else:
        ratio = pivot / diagonal
        length = diagonal * math.sqrt(1.0 + ratio * ratio)
    return diagonal / length, pivot / length, length


def _rotate(cos: float, sin: float, a: float, b: float) -> tuple[float, float]:
    return cos * a - sin * b, cos * b + sin * a
