"""What looks like a line but is none: words and arrows in the middle of a lane, crossings, specks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.curves import Curves
from lanecli.lanes.evidence import Evidence
from lanecli.lanes.grouping import DOUBLE

Floats = NDArray[np.floating]

_LEAST_PAINT = 0.012  # heights of the picture
_SPECK = 1.07  # a line none of whose dashes ends so many times as far away as it begins
_SPARSE = 0.15  # and that shows paint in so few of its rows is a row of specks
_DOTS, _STRAIGHT = 3, 0.0015  # unless there are so many gaps and all lies so well on one curve, in heights
_BETWEEN = 1.35  # camera heights: nothing between two lines so near to both is a line of its own
# Bars of a crossing: how wide, in camera heights; how many times as far away they end as they begin; how equally far,
# as a logarithm; how many; how far from one to the next, in camera heights.
_WIDE, _SHORT, _ROW, _BARS, _APART = 0.14, 1.8, 0.1, 3, 1.3


def without_clutter(evidence: Evidence, curves: Curves, height: int) -> NDArray[np.bool_]:
    """(L,) which lines are kept."""
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
    # How far each line (columns) is from each (rows), where the latter has its paint.
    x = curves.xs(lines, rows) / curves.view.down(rows)[:, None]
    apart = x - np.diagonal(x)[:, None]
    painted = evidence.painted[lines]
    alive = np.ones(len(lines), bool)
    for place in np.argsort(painted, kind="stable"):
        stronger = apart[place][alive & (painted > painted[place])]
        left, right = stronger[stronger <= 0], stronger[stronger >= 0]
        doubled = bool((np.abs(stronger) < DOUBLE).any())
        between = len(left) and len(right) and max(-left.max(), right.min()) < _BETWEEN
        if doubled or between:
            alive[place] = False
    kept[lines[~alive]] = False
    return kept


def _drop_bars(kept: NDArray[np.bool_], evidence: Evidence, curves: Curves) -> None:
    """A crossing is several short, wide bars side by side that end in one row."""
    down_far = curves.view.down(evidence.far)
    bars = np.flatnonzero(kept & (evidence.longest < _SHORT) & (evidence.width > _WIDE))
    for bar in bars:
        beside = bars[np.abs(np.log(down_far[bars] / down_far[bar])) < _ROW]
        if len(beside) >= _BARS and np.ptp(curves.offset[beside]) < _APART * (len(beside) - 1):
            kept[beside] = False
