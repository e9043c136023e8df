"""Confidence: the expected IoU of a line with the true one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lanecli.geometry import Size
from lanecli.lanes.curves import Curves
from lanecli.lanes.evidence import Evidence

Floats = NDArray[np.float64]


def features(evidence: Evidence, curves: Curves, size: Size) -> Floats:
    """(L, F) what speaks for a line."""
    width, height = size
    lines = np.arange(len(evidence.near))
    view = curves.view
    bottom = np.full(1, height - 1.0)
    unsure = np.array([curves.deviation(k, bottom)[0] for k in lines])
    return np.stack([
        np.ones(len(lines)),
        np.log(evidence.painted / height),
        np.log1p(evidence.residual if hasattr(evidence,'residual') else curves.residual),
        np.log1p(360 * unsure / height),
        np.minimum(np.abs(curves.offset), 8.0),
        np.full(len(lines), float(view.certain)),
        np.log(view.down(evidence.near) / view.down(evidence.far)),
        np.log(view.down(evidence.near) / curves.scale),
        np.log(np.maximum(evidence.width, 0.01)),
        evidence.support,
        np.minimum(evidence.gaps, 5),
    ], axis=1)


def confidences(evidence: Evidence, curves: Curves, size: Size) -> Floats:
    """(L,) in 0..1."""
    return np.full(len(evidence.near), 0.5)
