"""Confidence: the expected IoU of a line with the true line.

The IoU is that of both polylines, drawn 30 pixels wide in a picture 1640 pixels wide (or in proportion), as CULane's
score draws them. A false line has an IoU near zero. A logistic regression predicts the IoU from features of the line
and of its fit. Its coefficients were fitted by cross-entropy on lines found in procedural scenes with exact, damaged
and predicted masks. docs/lanes.md describes the fit, and how well it holds on other scenes.
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
    """Return the features from which the IoU of each line is predicted, scaled to numbers of about 1.

    Args:
        evidence: the evidence of the L lines.
        curves: the curves of the L lines.
        size: (width, height) of the mask.
        kept: (L,) which lines are not clutter.

    Returns:
        (L, F) in the order of `NAMES`.
    """
    height = size[1]
    view = curves.view
    bottom = _deviation(curves, np.full(len(evidence.near), height - 1.0))
    down_near, down_far = view.rows_below_horizon(evidence.near), view.rows_below_horizon(evidence.far)
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
    """Return (L,) values near 1 where another line is closer than lanes can be, and near 0 elsewhere."""
    apart = np.abs(offset[:, None] - offset) + 10.0 * ~kept
    np.fill_diagonal(apart, 10.0)
    return np.exp(-apart.min(axis=1))


def _deviation(curves: Curves, rows: Floats) -> Floats:
    """Return the standard deviation of the x of each line in its row of `rows`, (L,) pixels."""
    basis = curves.basis(rows)
    return np.sqrt(np.einsum("li,lij,lj->l", basis, curves.uncertainty, basis))


def confidences(evidence: Evidence, curves: Curves, size: Size, kept: NDArray[np.bool_]) -> Floats:
    """Return the confidence of each line, (L,) in 0..1; the arguments are those of :func:`features`."""
    return 1 / (1 + np.exp(-features(evidence, curves, size, kept) @ COEFFICIENTS))
