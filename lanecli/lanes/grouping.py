"""Fragments to chains: which dashes and stretches are one line.

In coordinates with the perspective taken out (`Perspective.straighten`) a line is r = u * s with a constant u, so that
the next dash of a line is found where the last one points to, or where the road does. Fragments are linked one to one,
the best pair first. Two chains side by side, nearer than lanes can be, are the stripes of one double line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.perspective import Perspective
from lanecli.lanes.runs import Runs, first_of, sizes_of

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

# Lengths on the ground are in camera heights, some 1.4 m in a car.
WIDEST_PAINT = 0.5
DOUBLE = 0.5
"""Stripes whose middles are nearer than this are one line."""
_TWIN = 0.3  # share of the longer stripe's rows that the other one is seen beside it
_NEAREST = 0.006  # heights of the picture below the horizon, above which everything runs together
_MOST_FRAGMENTS = 72
_SIDEWAYS = 0.24  # how far a line may step aside between two of its fragments
_PIXELS = 1.5  # and what is forgiven on top of it
_STIFF = 20.0  # square pixels of a fragment's spread over rows that outweigh the road's direction
_GAP_COST = 0.16  # of a gap whose far end is e times as far as its near end


@dataclass(frozen=True)
class Observations:
    """What is seen of every chain in every row; arrays of one length, sorted by chain and then from near to far.

    Attributes:
        chain: index of the chain.
        y, x: the middle of the line.
        width: of its paint, pixels.
        stripe: whether it was put together from, or is one of, two stripes.
        count: how many chains there are.
    """

    chain: Ints
    y: Floats
    x: Floats
    width: Floats
    stripe: NDArray[np.bool_]
    count: int


@dataclass(frozen=True)
class _Fragments:
    """Straight fits of fragments: number of runs, mean offset, near and far end as s, r and slope dr/ds."""

    index: Ints
    count: Ints
    offset: Floats
    s_near: Floats
    s_far: Floats
    r_near: Floats
    r_far: Floats
    slope: Floats
    stiff: Floats


def group(runs: Runs, view: Perspective, height: int) -> Observations:
    """Chains of the fragments of a mask that is `height` pixels high."""
    s = runs.row - view.vy
    wide = runs.width > WIDEST_PAINT * s + 3.0 + runs.step
    usable = (s > _NEAREST * height + 1.5) & ~wide
    s = np.maximum(s, 1.5)
    r = view.straighten(runs.centre, s)
    found = _describe(runs, s, r, usable, height)
    if not len(found.index):
        empty = np.zeros(0)
        return Observations(np.zeros(0, np.int64), empty, empty, empty, np.zeros(0, bool), 0)
    chain = _link(found)
    chain, side, beyond = _pair_stripes(found, chain)
    return _observe(runs, s, usable, found, chain, side, beyond)


def _describe(runs: Runs, s: Floats, r: Floats, usable: NDArray[np.bool_], height: int) -> _Fragments:
    """Fits of the fragments that may belong to a line along the road."""
    w = usable.astype(float)
    sums = np.add.reduceat(np.stack([w, w * s, w * r, w * s * s, w * s * r, w * runs.width]), runs.first, axis=1)
    n, sum_s, sum_r, sum_ss, sum_sr, sum_w = sums
    kept = n >= 2
    full = np.maximum(n, 1)
    mean_s, mean_r = sum_s / full, sum_r / full
    spread = np.maximum(sum_ss - sum_s * mean_s, 0)
    mixed = sum_sr - sum_s * mean_r
    offset = mean_r / np.maximum(mean_s, 1.5)
    own = mixed / np.maximum(spread, 1e-9)
    # Lines drift apart where one leaves the road, and the more so the farther away; a stop line's ends do not count.
    allowed = 0.35 + 0.07 * np.abs(offset) + 0.06 * height / np.maximum(mean_s, 1.5) + 2.2 / np.sqrt(spread + 1e-9)
    kept &= np.abs(own - offset) < allowed
    kept &= n * runs.step > 0.25 * sum_w / full * (np.abs(offset) < 1.0)  # no wider than long, straight ahead
    index = np.flatnonzero(kept)
    if len(index) > _MOST_FRAGMENTS:
        index = np.sort(index[np.argpartition(-n[index], _MOST_FRAGMENTS)[:_MOST_FRAGMENTS]])
    slope = (mixed + _STIFF * offset) / (spread + _STIFF)
    last = runs.first + runs.count - 1
    s_far, s_near = s[runs.first][index], s[last][index]
    slope, mean_s, mean_r = slope[index], mean_s[index], mean_r[index]
    return _Fragments(
        index,
        n[index].astype(np.int64),
        offset[index],
        s_near,
        s_far,
        mean_r + slope * (s_near - mean_s),
        mean_r + slope * (s_far - mean_s),
        slope,
        spread[index] / (spread[index] + _STIFF),
    )


def _link(found: _Fragments) -> Ints:
    """The chain of each fragment: its nearest fragment's index."""
    count = len(found.index)
    near_s, near_r = found.s_near, found.r_near  # of the farther fragment, columns j
    far_s, far_r = found.s_far[:, None], found.r_far[:, None]  # of the nearer one, rows i
    aside = near_s * np.abs(far_r / far_s - near_r / near_s)  # as the road runs
    ahead = np.abs(far_r + found.slope[:, None] * (near_s - far_s) - near_r)  # as the nearer one points
    back = np.abs(near_r + found.slope * (far_s - near_s) - far_r) * near_s / far_s  # as the farther one points
    pointed = np.where(found.stiff[:, None] > 0.8, ahead, np.inf)
    pointed = np.minimum(pointed, np.where(found.stiff > 0.8, back, np.inf))
    ratio = np.log(far_s / near_s)
    cost = np.minimum(aside, pointed) / (_PIXELS + _SIDEWAYS * near_s)
    cost = np.where(ratio > -0.02, cost + _GAP_COST * np.maximum(ratio, 0), np.inf)
    cost = np.where(found.s_near[:, None] > near_s, cost, np.inf)
    np.fill_diagonal(cost, np.inf)
    chain = np.arange(count)
    rows, columns = np.nonzero(cost < 1)
    order = np.argsort(cost[rows, columns])
    has_next, has_previous = set(), set()
    before = {}
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in has_next and j not in has_previous:
            has_next.add(i)
            has_previous.add(j)
            before[j] = i
    for j in np.argsort(-near_s).tolist():
        if j in before:
            chain[j] = chain[before[j]]
    return chain


def _pair_stripes(found: _Fragments, chain: Ints) -> tuple[Ints, Floats, Floats]:
    """Join chains that run side by side nearer than `DOUBLE`.

    Returns:
        The chain of each fragment; half the distance to the other stripe, positive for a left one, 0 for none; and
        the s beyond which the stripes have run together.
    """
    count = len(chain)
    side, beyond = np.zeros(count), np.zeros(count)
    low, high = found.s_far[:, None], found.s_near[:, None]
    common_near, common_far = np.minimum(high, found.s_near), np.maximum(low, found.s_far)
    middle = (common_near + common_far) / 2
    first = found.r_near + found.slope * (middle - found.s_near)  # of column j at the common middle
    second = found.r_near[:, None] + found.slope[:, None] * (middle - high)
    apart = (first - second) / middle
    overlap = common_near - common_far
    beside = (overlap > 0.3 * np.minimum(high - low, found.s_near - found.s_far)) & (overlap >= 0)
    beside &= chain[:, None] != chain
    limit = DOUBLE + 1.0 / middle
    near = np.abs(apart) < limit
    if not (beside & near).any():
        return chain, side, beyond
    near_apart = found.r_near + found.slope * (common_near - found.s_near)
    near_apart = (near_apart - (found.r_near[:, None] + found.slope[:, None] * (common_near - high))) / common_near
    # Lines that part, at an exit, are two: all that lies side by side must be near.
    alike = near & (np.abs(near_apart) < limit)
    number = _numbered(chain)
    parted = np.zeros((number.max() + 1,) * 2, bool)
    i, j = np.nonzero(beside & ~alike)
    parted[number[i], number[j]] = parted[number[j], number[i]] = True
    beside &= (apart > 0) & ~parted[number[:, None], number]
    # Specks along a ragged edge are no second stripe: that is seen in a good part of the rows.
    i, j = np.nonzero(beside)
    both = np.zeros(parted.shape)
    np.add.at(both, (number[i], number[j]), overlap[i, j])
    rows = np.bincount(number, found.s_near - found.s_far + 1)
    both += both.T
    beside &= (both > _TWIN * np.maximum(rows[:, None], rows))[number[:, None], number]
    left, right = np.nonzero(beside)
    pairs = sorted(zip(left.tolist(), right.tolist(), strict=True), key=lambda pair: -overlap[pair])
    before = chain
    for one, other in pairs:
        half = apart[one, other] / 2
        for member, sign in ((one, half), (other, -half)):
            stripe = before == before[member]  # all its dashes: the other stripe may be solid, worn off or hidden
            if not side[member]:
                side[stripe] = sign
            beyond[stripe] = np.minimum(np.where(beyond[stripe] > 0, beyond[stripe], np.inf), common_far[one, other])
        if chain[one] != chain[other]:
            chain = np.where(chain == chain[other], chain[one], chain)
    return chain, side, beyond


def _numbered(chain: Ints) -> Ints:
    """The chains counted from 0 without holes, each being an index below their number."""
    used = np.zeros(len(chain), np.int64)
    used[chain] = 1
    return (used.cumsum() - 1)[chain]


def _observe(
    runs: Runs, s: Floats, usable: NDArray[np.bool_], found: _Fragments, chain: Ints, side: Floats, beyond: Floats
) -> Observations:
    """One middle for each chain and row, stripes put together."""
    place = np.full(len(runs.first), -1)
    place[found.index] = np.arange(len(found.index))
    which = place[runs.fragment]
    taken = np.flatnonzero((which >= 0) & usable)
    which = which[taken]
    number = _numbered(chain)
    key = number[which] * (1 << 20) - runs.row[taken]
    order = np.argsort(key, kind="stable")
    taken, which, key = taken[order], which[order], key[order]
    first = first_of(key)
    start = np.minimum.reduceat(runs.start[taken], first)
    stop = np.maximum.reduceat(runs.stop[taken], first)
    alone = sizes_of(first, len(taken)) == 1
    one = which[first]
    down = s[taken[first]]
    # A stripe seen without its twin, before both run together, lies beside the line's middle.
    shift = np.where(alone & (down >= beyond[one]), side[one] * down, 0.0)
    x = (start + stop - 1) * 0.5 + shift
    return Observations(
        number[one],
        runs.row[taken[first]].astype(float),
        x,
        (stop - start).astype(float),
        side[one] != 0,
        int(number.max()) + 1,
    )
