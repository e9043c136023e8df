"""Groups fragments into chains: decides which dashes and stretches belong to one line.

In coordinates without the perspective (`Perspective.straighten`) a line is r = u * s with a constant u, so that the
next dash of a line lies in the direction of the last one, or in that of the road. Fragments are linked one to one, the
best pair first. Two chains side by side that are closer than lanes can be are the stripes of one double line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.perspective import Perspective
from lanecli.lanes.runs import Runs, group_sizes, group_starts

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

# Lengths on the ground are in camera heights, some 1.4 m in a car.
WIDEST_PAINT = 0.5
DOUBLE_WIDTH = 0.5
"""Stripes whose middles are closer than this belong to one double line."""
_STRIPE_SHARE = 0.3  # two stripes must lie side by side in this share of the rows of the longer one
_NEAREST = 0.006  # nothing is used so close to the horizon, where all lines merge, in heights of the picture
_MAX_FRAGMENTS = 72
_SIDEWAYS = 0.24  # how far two fragments of a line may be out of line
_PIXELS = 1.5  # and so many pixels more
_STIFFNESS = 20.0  # a fragment with this spread over rows (square pixels) counts as much as the direction of the road
_GAP_COST = 0.16  # cost of a gap whose far end is e times as far away as its near end


@dataclass(frozen=True)
class Observations:
    """The middle of each chain in each row, in arrays of one length, sorted by chain and then from near to far.

    Attributes:
        chain: index of the chain of each observation.
        y, x: the middle of the line, in pixels of the mask.
        width: width of its paint in pixels.
        stripe: whether the line has two stripes, of which both or only one are seen in this row.
        count: number of chains.
    """

    chain: Ints
    y: Floats
    x: Floats
    width: Floats
    stripe: NDArray[np.bool_]
    count: int


@dataclass(frozen=True)
class _Fragments:
    """Straight lines r(s) fitted to fragments, in arrays of one length.

    Attributes:
        index: index of the fragment in :class:`Runs`.
        count: number of runs.
        offset: mean offset u.
        s_near, s_far: s of the near and the far end.
        r_near, r_far: r of the near and the far end.
        slope: dr/ds.
        stiff: 0..1, how much the slope follows the fragment's own direction, not that of the road.
    """

    index: Ints
    count: Ints
    offset: Floats
    s_near: Floats
    s_far: Floats
    r_near: Floats
    r_far: Floats
    slope: Floats
    stiff: Floats


def group_fragments(runs: Runs, view: Perspective, height: int) -> Observations:
    """Group fragments into chains.

    Args:
        runs: the fragments of a mask.
        view: the perspective, in pixels of the mask.
        height: height of the mask in pixels.
    """
    s = runs.row - view.vy
    wide = runs.width > WIDEST_PAINT * s + 3.0 + runs.step
    usable = (s > _NEAREST * height + 1.5) & ~wide
    s = np.maximum(s, 1.5)
    r = view.straighten(runs.centre, s)
    fragments = _fit_fragments(runs, s, r, usable, height)
    if not len(fragments.index):
        empty = np.zeros(0)
        return Observations(np.zeros(0, np.int64), empty, empty, empty, np.zeros(0, bool), 0)
    chain = _link(fragments)
    chain, side, merge_s = _pair_stripes(fragments, chain)
    return _observe(runs, s, usable, fragments, chain, side, merge_s)


def _fit_fragments(runs: Runs, s: Floats, r: Floats, usable: NDArray[np.bool_], height: int) -> _Fragments:
    """Fit the fragments that may belong to a line along the road."""
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
    # Directions differ more where a line leaves the road, and farther away; the ends of stop lines are excluded.
    allowed = 0.35 + 0.07 * np.abs(offset) + 0.06 * height / np.maximum(mean_s, 1.5) + 2.2 / np.sqrt(spread + 1e-9)
    kept &= np.abs(own - offset) < allowed
    kept &= n * runs.step > 0.25 * sum_w / full * (np.abs(offset) < 1.0)  # straight ahead, none is wider than long
    index = np.flatnonzero(kept)
    if len(index) > _MAX_FRAGMENTS:
        index = np.sort(index[np.argpartition(-n[index], _MAX_FRAGMENTS)[:_MAX_FRAGMENTS]])
    slope = (mixed + _STIFFNESS * offset) / (spread + _STIFFNESS)
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
        spread[index] / (spread[index] + _STIFFNESS),
    )


def _link(fragments: _Fragments) -> Ints:
    """Return the chain of each fragment: the index of the nearest fragment in the chain."""
    count = len(fragments.index)
    near_s, near_r = fragments.s_near, fragments.r_near  # of the farther fragment, columns j
    far_s, far_r = fragments.s_far[:, None], fragments.r_far[:, None]  # of the nearer one, rows i
    aside = near_s * np.abs(far_r / far_s - near_r / near_s)  # in the direction of the road
    ahead = np.abs(far_r + fragments.slope[:, None] * (near_s - far_s) - near_r)  # in the direction of the nearer one
    back = np.abs(near_r + fragments.slope * (far_s - near_s) - far_r) * near_s / far_s  # in that of the farther one
    pointed = np.where(fragments.stiff[:, None] > 0.8, ahead, np.inf)
    pointed = np.minimum(pointed, np.where(fragments.stiff > 0.8, back, np.inf))
    ratio = np.log(far_s / near_s)
    cost = np.minimum(aside, pointed) / (_PIXELS + _SIDEWAYS * near_s)
    cost = np.where(ratio > -0.02, cost + _GAP_COST * np.maximum(ratio, 0), np.inf)
    cost = np.where(fragments.s_near[:, None] > near_s, cost, np.inf)
    np.fill_diagonal(cost, np.inf)
    chain = np.arange(count)
    rows, columns = np.nonzero(cost < 1)
    order = np.argsort(cost[rows, columns])
    has_next, has_previous = set(), set()
    previous = {}
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in has_next and j not in has_previous:
            has_next.add(i)
            has_previous.add(j)
            previous[j] = i
    for j in np.argsort(-near_s).tolist():
        if j in previous:
            chain[j] = chain[previous[j]]
    return chain


def _pair_stripes(fragments: _Fragments, chain: Ints) -> tuple[Ints, Floats, Floats]:
    """Join chains that lie side by side and closer than `DOUBLE_WIDTH`.

    Returns:
        For each fragment its chain; half the distance to the other stripe, positive for a left stripe and 0 if there
        is none; and the s at which the two stripes merge in the distance.
    """
    count = len(chain)
    side, merge_s = np.zeros(count), np.zeros(count)
    low, high = fragments.s_far[:, None], fragments.s_near[:, None]
    common_near, common_far = np.minimum(high, fragments.s_near), np.maximum(low, fragments.s_far)
    middle = (common_near + common_far) / 2
    first = fragments.r_near + fragments.slope * (middle - fragments.s_near)  # of column j at the common middle
    second = fragments.r_near[:, None] + fragments.slope[:, None] * (middle - high)
    apart = (first - second) / middle
    overlap = common_near - common_far
    beside = (overlap > 0.3 * np.minimum(high - low, fragments.s_near - fragments.s_far)) & (overlap >= 0)
    beside &= chain[:, None] != chain
    limit = DOUBLE_WIDTH + 1.0 / middle
    near = np.abs(apart) < limit
    if not (beside & near).any():
        return chain, side, merge_s
    near_apart = fragments.r_near + fragments.slope * (common_near - fragments.s_near)
    near_apart = (
        near_apart - (fragments.r_near[:, None] + fragments.slope[:, None] * (common_near - high))
    ) / common_near
    # Lines that separate at an exit are two lines: stripes must be close wherever they lie side by side.
    alike = near & (np.abs(near_apart) < limit)
    number = _renumber(chain)
    parted = np.zeros((number.max() + 1,) * 2, bool)
    i, j = np.nonzero(beside & ~alike)
    parted[number[i], number[j]] = parted[number[j], number[i]] = True
    beside &= (apart > 0) & ~parted[number[:, None], number]
    # Specks along a ragged edge are no second stripe, which is seen in many of the rows.
    i, j = np.nonzero(beside)
    both = np.zeros(parted.shape)
    np.add.at(both, (number[i], number[j]), overlap[i, j])
    rows = np.bincount(number, fragments.s_near - fragments.s_far + 1)
    both += both.T
    beside &= (both > _STRIPE_SHARE * np.maximum(rows[:, None], rows))[number[:, None], number]
    left, right = np.nonzero(beside)
    pairs = sorted(zip(left.tolist(), right.tolist(), strict=True), key=lambda pair: -overlap[pair])
    previous = chain
    for one, other in pairs:
        half = apart[one, other] / 2
        for member, sign in ((one, half), (other, -half)):
            stripe = previous == previous[member]  # even dashes beside which the other stripe is hidden
            if not side[member]:
                side[stripe] = sign
            merge_s[stripe] = np.minimum(np.where(merge_s[stripe] > 0, merge_s[stripe], np.inf), common_far[one, other])
        if chain[one] != chain[other]:
            chain = np.where(chain == chain[other], chain[one], chain)
    return chain, side, merge_s


def _renumber(chain: Ints) -> Ints:
    """Number the chains consecutively from 0."""
    used = np.zeros(len(chain), np.int64)
    used[chain] = 1
    return (used.cumsum() - 1)[chain]


def _observe(
    runs: Runs, s: Floats, usable: NDArray[np.bool_], fragments: _Fragments, chain: Ints, side: Floats, merge_s: Floats
) -> Observations:
    """Return one middle for each chain and row, with the two stripes of a double line merged."""
    position = np.full(len(runs.first), -1)
    position[fragments.index] = np.arange(len(fragments.index))
    fragment = position[runs.fragment]
    used_runs = np.flatnonzero((fragment >= 0) & usable)
    fragment = fragment[used_runs]
    number = _renumber(chain)
    key = number[fragment] * (1 << 20) - runs.row[used_runs]
    order = np.argsort(key, kind="stable")
    used_runs, fragment, key = used_runs[order], fragment[order], key[order]
    first = group_starts(key)
    start = np.minimum.reduceat(runs.start[used_runs], first)
    stop = np.maximum.reduceat(runs.stop[used_runs], first)
    alone = group_sizes(first, len(used_runs)) == 1
    one = fragment[first]
    down = s[used_runs[first]]
    # A stripe seen alone, nearer than where the two merge, lies beside the middle of the line.
    shift = np.where(alone & (down >= merge_s[one]), side[one] * down, 0.0)
    x = (start + stop - 1) * 0.5 + shift
    return Observations(
        number[one],
        runs.row[used_runs[first]].astype(float),
        x,
        (stop - start).astype(float),
        side[one] != 0,
        int(number.max()) + 1,
    )
