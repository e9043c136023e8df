"""What looks like a line but is none: words and arrows in the middle of a lane, crossings, specks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.curves import Curves
from lanecli.lanes.evidence import Evidence
from lanecli.lanes.grouping import DOUBLE

Floats = NDArray[np.float64]

_LEAST_PAINT = 0.012  # heights of the picture
_BETWEEN = 1.35  # camera heights: nothing between two lines so near to both is a line of its own
_BAR = 1.25  # camera heights between bars of a crossing, at most
_BARS = 4


def without_clutter(evidence: Evidence, curves: Curves, height: int) -> NDArray[np.bool_]:
    """(L,) which lines are kept."""
    kept = evidence.painted >= max(3.0, _LEAST_PAINT * height)
    _drop_bars(kept, evidence, curves)
    lines = np.flatnonzero(kept)
    lines = lines[np.argsort(curves.offset[lines])]
    if len(lines) < 2:
        return kept
    rows = 0.5 * (evidence.near[lines] + evidence.far[lines])
    x = curves.xs(lines, rows) / curves.view.down(rows)[:, None]
    gaps_left = np.abs(np.diagonal(x, -1) - np.diagonal(x)[1:]).tolist()  # of each but the first to its left neighbour
    gaps_right = np.abs(np.diagonal(x, 1) - np.diagonal(x)[:-1]).tolist()
    painted = evidence.painted[lines].tolist()
    alive = [True] * len(lines)
    for place in range(len(lines)):
        beside = []
        if place and alive[place - 1]:
            beside.append((gaps_left[place - 1], painted[place - 1]))
        if place + 1 < len(lines):
            beside.append((gaps_right[place], painted[place + 1]))
        weakest = all(painted[place] < other for _, other in beside)
        doubled = any(gap < DOUBLE and painted[place] < other for gap, other in beside)
        if doubled or (len(beside) == 2 and max(gap for gap, _ in beside) < _BETWEEN and weakest):
            alive[place] = False
    kept[lines[~np.array(alive)]] = False
    return kept


def _drop_bars(kept: NDArray[np.bool_], evidence: Evidence, curves: Curves) -> None:
    """A crossing is many short bars side by side, in the same rows and nearer to each other than lanes."""
    down_near, down_far = curves.view.down(evidence.near), curves.view.down(evidence.far)
    short = np.flatnonzero(kept & (down_near / down_far < 1.8))
    if len(short) < _BARS:
        return
    order = short[np.argsort(curves.offset[short])]
    middle = np.sqrt(down_near * down_far)[order]
    apart = np.diff(curves.offset[order])
    together = (apart < _BAR) & (np.abs(np.diff(np.log(middle))) < 0.35)
    start = 0
    for end in range(len(order)):
        if end == len(order) - 1 or not together[end]:
            if end - start + 1 >= _BARS:
                kept[order[start : end + 1]] = False
            start = end + 1
