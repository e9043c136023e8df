"""Removes what only looks like a lane line: words and arrows in the middle of a lane, crossings, and specks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.curves import Curves
from lanecli.lanes.evidence import Evidence
from lanecli.lanes.grouping import DOUBLE_WIDTH

Floats = NDArray[np.floating]

_LEAST_PAINT = 0.012  # rows with paint that a line needs, in heights of the picture
_SPECK = 1.07  # a line is a row of specks if the far end of none of its dashes is so many times as far as the near end,
_SPARSE = 0.15  # and if less than this share of its rows has paint,
_DOTS, _STRAIGHT = 3, 0.0015  # unless it has so many gaps and so small a residual, in heights of the picture
_BETWEEN = 1.35  # camera heights: a weaker line between two that are both nearer than this is clutter
# Bars of a crossing: least width in camera heights; largest ratio of the distances of their ends; largest difference
# of the logarithms of their far distances; least number; largest spacing in camera heights.
_WIDE, _SHORT, _ROW, _BARS, _APART = 0.14, 1.8, 0.1, 3, 1.3


def lines_to_keep(evidence: Evidence, curves: Curves, height: int) -> NDArray[np.bool_]:
    """Return which lines are not clutter, (L,) bool.

    Args:
        evidence: the evidence of the L lines.
        curves: the curves of the L lines.
        height: height of the mask in pixels.
    """
    kept = evidence.painted >= max(3.0, _LEAST_PAINT * height)
    span = evidence.near - evidence.far + 1
    dotted = (evidence.gaps >= _DOTS) & (curves.residual < _STRAIGHT * height)
    kept &= (evidence.longest > _SPECK) | (evidence.painted > _SPARSE * span) | dotted
    _drop_bars(kept, evidence, curves)
    lines = np.flatnonzero(kept)
    lines = lines[np.argsort(curves.offset[lines])]
    if len(lines) < 2:
        return kept
    rows = 0.5 * (evidence.near[lines] + evidence.far[lines])
    # Distance of each line (columns) from each line (rows), at the middle of the paint of the latter.
    x = curves.xs(lines, rows) / curves.view.rows_below_horizon(rows)[:, None]
    distance = x - np.diagonal(x)[:, None]
    painted = evidence.painted[lines]
    remaining = np.ones(len(lines), bool)
    for i in np.argsort(painted, kind="stable"):
        stronger = distance[i][remaining & (painted > painted[i])]
        left, right = stronger[stronger <= 0], stronger[stronger >= 0]
        doubled = bool((np.abs(stronger) < DOUBLE_WIDTH).any())
        between = len(left) and len(right) and max(-left.max(), right.min()) < _BETWEEN
        if doubled or between:
            remaining[i] = False
    kept[lines[~remaining]] = False
    return kept


def _drop_bars(kept: NDArray[np.bool_], evidence: Evidence, curves: Curves) -> None:
    """Clear `kept` for the bars of crossings: several short, wide bars side by side that end in the same row."""
    down_far = curves.view.rows_below_horizon(evidence.far)
    bars = np.flatnonzero(kept & (evidence.longest < _SHORT) & (evidence.width > _WIDE))
    for bar in bars:
        beside = bars[np.abs(np.log(down_far[bars] / down_far[bar])) < _ROW]
        if len(beside) >= _BARS and np.ptp(curves.offset[beside]) < _APART * (len(beside) - 1):
            kept[beside] = False
