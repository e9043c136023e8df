"""Robust low-order curves x(y) through what is seen of each line, all lines at once.

A line is the road's own curve (`Perspective`), its offset u, and small deviations of its own: a shift, a bend in the
distance and one near by. The deviations are held to a few pixels by ridge terms, so that a line of two dashes runs as
the road does while a long one follows its paint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.grouping import Observations
from lanecli.lanes.perspective import Perspective
from lanecli.lanes.runs import first_of, sizes_of

Floats = NDArray[np.floating]

_ROUNDS = 3
_CORRELATED = 0.25  # weight of a row: neighbouring rows err alike
_BEND_AT = 0.12  # of the way from the horizon to the bottom: where the term for far bends is worth its coefficient


@dataclass(frozen=True)
class Curves:
    """Curves of L lines.

    Attributes:
        view: the perspective they are relative to.
        scale: rows from the horizon to the bottom of the picture.
        coefficients: (L, 4).
        residual: (L,) robust mean of how far rows lie from the curve, pixels.
        uncertainty: (L, 4, 4) covariance of the coefficients.
    """

    view: Perspective
    scale: float
    coefficients: Floats
    residual: Floats
    uncertainty: Floats

    def xs(self, lines: NDArray[np.intp], y: Floats) -> Floats:
        """(N, M) x of M of the lines in the N rows `y`; rows above the horizon are taken for the horizon's."""
        down = self.view.down(y)
        shared = self.view.vx + self.view.bend / down
        return shared[:, None] + _basis(down, self.scale) @ self.coefficients[lines].T

    def basis(self, y: Floats) -> Floats:
        """(N, 4): what each coefficient counts for in the rows `y`, pixels."""
        return _basis(self.view.down(y), self.scale)

    @property
    def offset(self) -> Floats:
        """(L,) how far right of the camera each line lies near the car, in camera heights."""
        return (self.coefficients[:, 0] + self.coefficients[:, 3] + self.coefficients[:, 1]) / self.scale


def _basis(down: Floats, scale: float) -> Floats:
    """(N, 4): the offset, a shift, a bend far away, a bend near by; each in pixels."""
    near = down / scale
    basis = np.empty((*near.shape, 4))
    basis[..., 0], basis[..., 1], basis[..., 2], basis[..., 3] = near, 1.0, _BEND_AT / (near + 0.05), near * near
    return basis


def fit_curves(seen: Observations, view: Perspective, height: int) -> Curves:
    """Fit every chain of `seen`, in a picture `height` pixels high; chains have at least two rows."""
    scale = max(height - 1 - view.vy, 0.1 * height)
    down = view.down(seen.y)
    basis = _basis(down, scale)
    target = view.straighten(seen.x, down)
    lines = seen.count
    size = height / 360
    loose = np.array([1e4, 5.0 * size, 5.0 * size, 14.0 * size])
    ridge = np.diag(loose**-2.0)
    spread = 0.6 + 0.05 * seen.width
    first = first_of(seen.chain)
    base = weight = _CORRELATED / spread**2
    # A product with these sums over each chain, at a fraction of what summing groups costs.
    members = (seen.chain == np.arange(lines)[:, None]).astype(float)
    columns = np.concatenate([(basis[:, :, None] * basis[:, None, :]).reshape(-1, 16), basis * target[:, None]], axis=1)
    for _ in range(_ROUNDS):
        sums = (members * weight) @ columns
        uncertainty = np.linalg.inv(sums[:, :16].reshape(lines, 4, 4) + ridge)
        coefficients = (uncertainty @ sums[:, 16:, None])[..., 0]
        error = target - np.einsum("ni,ni->n", basis, coefficients[seen.chain])
        relative = error / (2.5 * spread)
        weight = base / (1 + relative * relative)
    count = sizes_of(first, len(seen.y))
    residual = np.sqrt(np.add.reduceat(np.minimum(error * error, 100.0), first) / count)
    return Curves(view, scale, coefficients, residual, uncertainty)
