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
    order = [int(k) for k in np.argsort(curves.offset) if kept[k]]
    for place, line in enumerate(order):
        row = np.array([0.5 * (evidence.near[line] + evidence.far[line])])
        down = float(curves.view.down(row)[0])
        here = float(curves.x(line, row)[0])
        apart, paint = [], []
        for neighbour in (order[place - 1] if place else None, order[place + 1] if place + 1 < len(order) else None):
            if neighbour is not None and kept[neighbour]:
                apart.append(abs(float(curves.x(neighbour, row)[0]) - here) / down)
                paint.append(float(evidence.painted[neighbour]))
        weak = bool(paint) and evidence.painted[line] < min(paint)
        doubled = any(
            gap < DOUBLE and evidence.painted[line] < other for gap, other in zip(apart, paint, strict=True)
        )
        if doubled or (len(apart) == 2 and max(apart) < _BETWEEN and weak):
            kept[line] = False
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
