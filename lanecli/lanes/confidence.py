"""Confidence: the expected IoU of a line with the true one.

The IoU is that of both polylines drawn 30 pixels wide in a picture 1640 pixels wide, as CULane's score draws them, or
in proportion; a line that is none has an IoU near zero. The expectation is a logistic formula of what the fit knows
of a line. Its coefficients were fitted by cross-entropy on lines found in procedural scenes with exact, damaged and
predicted masks; docs/lanes.md says how, and how well it holds on other scenes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.lanes.curves import Curves
from lanecli.lanes.evidence import Evidence

Floats = NDArray[np.floating]

NAMES = (
    "one",
    "painted",
    "residual",
    "extrapolated",
    "side",
    "certain",
    "reach",
    "start",
    "width",
    "narrow",
    "gaps",
    "bent",
    "crowded",
    "steep",
)
COEFFICIENTS = np.array(
    [
        -0.8885,
        0.2632,
        -0.9938,
        0.3947,
        -2.0570,
        0.4819,
        0.2485,
        1.0922,
        -0.2113,
        1.5041,
        0.3338,
        -0.0492,
        -1.6072,
        3.0493,
    ]
)


def features(evidence: Evidence, curves: Curves, size: Size, kept: NDArray[np.bool_]) -> Floats:
    """(L, F) of what a line's IoU depends on, in the order of `NAMES`; numbers of some one or two."""
    height = size[1]
    view = curves.view
    bottom = _deviation(curves, np.full(len(evidence.near), height - 1.0))
    down_near, down_far = view.down(evidence.near), view.down(evidence.far)
    width = np.log(np.maximum(evidence.width, 0.005) / 0.1)
    ones = np.ones(len(evidence.near))
    return np.stack(
        [
            ones,
            np.log(evidence.painted / (0.2 * height)),
            np.log(0.3 + 360 * curves.residual / height),
            np.log(1 + 360 * bottom / height),
            np.minimum(np.abs(curves.offset), 8.0) / 3,
            view.certain * ones,
            np.log(down_near / down_far),
            np.log(down_near / curves.scale),
            np.maximum(width, 0.0),
            np.minimum(width, 0.0),
            np.minimum(evidence.gaps, 6) / 3,
            np.log(1 + np.sqrt((curves.coefficients[:, 1:] ** 2).sum(1)) * 90 / height),
            _crowded(curves.offset, kept),
            np.log(1 + np.abs(curves.offset)),
        ],
        axis=1,
    )


def _crowded(offset: Floats, kept: NDArray[np.bool_]) -> Floats:
    """(L,) near 1 where another line lies closer than lanes do, near 0 where none does."""
    apart = np.abs(offset[:, None] - offset) + 10.0 * ~kept
    np.fill_diagonal(apart, 10.0)
    return np.exp(-apart.min(axis=1))


def _deviation(curves: Curves, rows: Floats) -> Floats:
    """How sure the fit is of each line's x in one row each, pixels."""
    basis = curves.basis(rows)
    return np.sqrt(np.einsum("li,lij,lj->l", basis, curves.uncertainty, basis))


def confidences(evidence: Evidence, curves: Curves, size: Size, kept: NDArray[np.bool_]) -> Floats:
    """(L,) in 0..1."""
    return 1 / (1 + np.exp(-features(evidence, curves, size, kept) @ COEFFICIENTS))
