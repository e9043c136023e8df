"""What is seen of each line, in one row of numbers: how much paint, where, how wide, with what gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.curves import Curves
from lanecli.lanes.grouping import Observations
from lanecli.lanes.runs import first_of, sizes_of

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

_BROKEN = 2.5  # looked-at rows without paint make a gap


@dataclass(frozen=True)
class Evidence:
    """Of L lines; arrays of length L.

    Attributes:
        first, count: where a line's observations begin, and how many there are.
        near, far: the lowest and the highest row with paint.
        painted: rows of the mask with paint.
        gaps: stretches without paint between `near` and `far`.
        longest: of the unbroken stretches, the largest ratio of the distances of its ends from the car.
        double: share of rows that show two stripes, of those in which two could be told apart.
        width: mean of the paint's width, in camera heights.
        support: mean probability of the paint, 1 where only a mask is known.
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


def weigh(seen: Observations, curves: Curves, step: int, support: Floats | None = None) -> Evidence:
    """Gather the evidence of every chain of `seen`.

    Args:
        seen: the observations.
        curves: fitted to them.
        step: rows of the mask between two that were looked at.
        support: probability at each observation, where it is known.
    """
    first = first_of(seen.chain)
    count = sizes_of(first, len(seen.y))
    down = curves.view.down(seen.y)
    starts = np.empty(len(seen.y), bool)
    np.greater(seen.y[:-1] - seen.y[1:], _BROKEN * step, out=starts[1:])
    starts[first] = True
    stretch = np.flatnonzero(starts)
    ends = np.append(stretch[1:], len(seen.y)) - 1
    ratio = down[stretch] / down[ends]
    of_line = np.searchsorted(stretch, first)
    sums = np.add.reduceat(
        np.stack([seen.stripe, seen.width / down, np.ones_like(down) if support is None else support]), first, axis=1
    )
    return Evidence(
        first,
        count,
        seen.y[first],
        seen.y[first + count - 1],
        count * float(step),
        sizes_of(of_line, len(stretch)) - 1,
        np.maximum.reduceat(ratio, of_line),
        sums[0] / count,
        sums[1] / count,
        sums[2] / count,
    )
