"""Summarises the observations of each line: how much paint it has, where, how wide, and with which gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.curves import Curves
from lanecli.lanes.grouping import Observations
from lanecli.lanes.runs import group_sizes, group_starts

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

_GAP_ROWS = 2.5  # distance from one row with paint to the next that makes a gap, in units of the step


@dataclass(frozen=True)
class Evidence:
    """A summary of the paint of L lines, in arrays of length L.

    Attributes:
        first, count: index of the first observation of a line, and the number of its observations.
        near, far: the row with paint nearest to the car (the largest y), and the farthest one.
        painted: number of rows of the mask with paint.
        gaps: number of stretches without paint between `near` and `far`.
        longest: the largest ratio of the distances from the car of the far and the near end of an unbroken stretch.
        double: share of the rows that belong to a pair of stripes.
        width: mean width of the paint, in camera heights.
        support: mean probability of the paint; 1 if only a mask is known.
    """

    first: Ints
    count: Ints
    near: Floats
    far: Floats
    painted: Floats
    gaps: Ints
    longest: Floats
    double: Floats
    width: Floats
    support: Floats


def gather_evidence(observations: Observations, curves: Curves, step: int, support: Floats | None = None) -> Evidence:
    """Summarise the observations of every chain.

    Args:
        observations: the observations of all lines.
        curves: the curves fitted to them.
        step: distance between two rows of the mask that were examined.
        support: the probability at each observation, or None if only a mask is known.
    """
    first = group_starts(observations.chain)
    count = group_sizes(first, len(observations.y))
    down = curves.view.rows_below_horizon(observations.y)
    starts = np.empty(len(observations.y), bool)
    np.greater(observations.y[:-1] - observations.y[1:], _GAP_ROWS * step, out=starts[1:])
    starts[first] = True
    stretch = np.flatnonzero(starts)
    ends = np.append(stretch[1:], len(observations.y)) - 1
    ratio = down[stretch] / down[ends]
    of_line = np.searchsorted(stretch, first)
    sums = np.add.reduceat(
        np.stack([observations.stripe, observations.width / down, np.ones_like(down) if support is None else support]),
        first,
        axis=1,
    )
    return Evidence(
        first,
        count,
        observations.y[first],
        observations.y[first + count - 1],
        count * float(step),
        group_sizes(of_line, len(stretch)) - 1,
        np.maximum.reduceat(ratio, of_line),
        sums[0] / count,
        sums[1] / count,
        sums[2] / count,
    )
