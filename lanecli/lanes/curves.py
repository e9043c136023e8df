"""Fits robust low-order curves x(y) to the observations of all lines at once.

A line is the sum of the curve of the road (`Perspective`), the offset u of the line, and small deviations: a shift, a
bend far away and a bend near the car. Ridge terms keep the deviations to a few pixels, so that a line of two dashes
follows the road, and a long line follows its paint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.grouping import Observations
from lanecli.lanes.perspective import Perspective
from lanecli.lanes.runs import group_sizes, group_starts

Floats = NDArray[np.floating]

_ITERATIONS = 3
_CORRELATED = 0.25  # weight of a row, below 1 because the errors of neighbouring rows are correlated
_BEND_AT = 0.12  # share of the way from the horizon to the bottom at which the term for far bends is about 1


@dataclass(frozen=True)
class Curves:
    """Curves of L lines.

    Attributes:
        view: the perspective that the coefficients are relative to.
        scale: number of rows from the horizon to the bottom of the picture.
        coefficients: (L, 4) pixels, in the order of :func:`_basis`.
        residual: (L,) robust mean distance of the observations from the curve, in pixels.
        uncertainty: (L, 4, 4) covariance of the coefficients.
    """

    view: Perspective
    scale: float
    coefficients: Floats
    residual: Floats
    uncertainty: Floats

    def xs(self, lines: NDArray[np.intp], y: Floats) -> Floats:
        """Return x of M of the lines in N rows, (N, M) pixels.

        Args:
            lines: (M,) indices of the lines.
            y: (N,) rows; rows above the horizon are treated as rows just below it.
        """
        down = self.view.rows_below_horizon(y)
        shared = self.view.vx + self.view.bend / down
        return shared[:, None] + _basis(down, self.scale) @ self.coefficients[lines].T

    def basis(self, y: Floats) -> Floats:
        """Return the shift in x per unit of each coefficient in the rows `y`, (N, 4)."""
        return _basis(self.view.rows_below_horizon(y), self.scale)

    @property
    def offset(self) -> Floats:
        """Distance of each line to the right of the camera, near the car, (L,) in camera heights."""
        return (self.coefficients[:, 0] + self.coefficients[:, 3] + self.coefficients[:, 1]) / self.scale


def _basis(down: Floats, scale: float) -> Floats:
    """Return the four basis functions, (N, 4): the offset, a shift, a bend far away, and a bend near the car."""
    near = down / scale
    basis = np.empty((*near.shape, 4))
    basis[..., 0], basis[..., 1], basis[..., 2], basis[..., 3] = near, 1.0, _BEND_AT / (near + 0.05), near * near
    return basis


def fit_curves(observations: Observations, view: Perspective, height: int) -> Curves:

    scale = max(height - 1 - view.vy, 0.1 * height)
    down = view.rows_below_horizon(observations.y)
    basis = _basis(down, scale)
    target = view.straighten(observations.x, down)
    lines = observations.count
    size = height / 360
    freedom = np.array([1e4, 5.0 * size, 5.0 * size, 14.0 * size])
    ridge = np.diag(freedom**-2.0)
    spread = 0.6 + 0.05 * observations.width
    first = group_starts(observations.chain)
    base = weight = _CORRELATED / spread**2
    # A matrix product with this sums over each chain, much faster than summing group by group.
    members = (observations.chain == np.arange(lines)[:, None]).astype(float)
    columns = np.concatenate([(basis[:, :, None] * basis[:, None, :]).reshape(-1, 16), basis * target[:, None]], axis=1)
    for _ in range(_ITERATIONS):
        sums = (members * weight) @ columns
        uncertainty = np.linalg.inv(sums[:, :16].reshape(lines, 4, 4) + ridge)
        coefficients = (uncertainty @ sums[:, 16:, None])[..., 0]
        error = target - np.einsum("ni,ni->n", basis, coefficients[observations.chain])
        relative = error / (2.5 * spread)
        weight = base / (1 + relative * relative)
    count = group_sizes(first, len(observations.y))
    residual = np.sqrt(np.add.reduceat(np.minimum(error * error, 100.0), first) / count)
    return Curves(view, scale, coefficients, residual, uncertainty)
