"""Runs of line pixels in the rows of a mask, and the fragments they form from row to row.

A run is what a row cuts out of a marking. Runs of neighbouring rows that overlap, one to one and of similar width,
make a fragment: a dash, or a stretch of a solid line up to where it touches something else. Unlike connected
components, fragments end where a stop line crosses a lane line and where lines run together in the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.classes import line_table

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]

_MOST_ROWS = (
    800  # of a mask that are looked at: every row of a network's picture, every second or third of a large frame
)
_MOST_RUNS = 6000  # clouds of specks have more; the rows nearest to the camera are kept
_REACH = 10  # pixels between runs of neighbouring rows that may still be linked
_SIDE = 3  # pixels from the side of the mask within which a run counts as cut
_CLOSE = 1  # a gap of so many pixels within a row is closed


_ZERO = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Runs:
    """Runs, sorted by fragment and within it from the highest row to the lowest; arrays of one length.

    Attributes:
        row: in pixels of the mask.
        start, stop: first column, and the one after the last.
        fragment: index of the fragment each belongs to.
        step: rows of the mask between two that were looked at.
        first: index of each fragment's first run.
        count: runs of each fragment.
    """

    row: Ints
    start: Ints
    stop: Ints
    fragment: Ints
    step: int
    first: Ints
    count: Ints

    @property
    def centre(self) -> Floats:
        """Middle columns."""
        centre: Floats = (self.start + self.stop - 1) * np.float64(0.5)
        return centre

    @property
    def width(self) -> Ints:
        """Widths in pixels."""
        return self.stop - self.start


def find_runs(mask: NDArray[np.uint8], classes: tuple[int, ...] | None = None) -> Runs:
    """Runs of the pixels of `mask` that show a line, as fragments of two looked-at rows or more.

    Runs at a side of the mask are left out.

    Args:
        mask: (H, W) uint8.
        classes: the values that are lines; None for all but 0.
    """
    step = -(-mask.shape[0] // _MOST_ROWS)
    if classes is not None and 0 in classes:
        mask, classes = line_table(classes)[mask], None
    left, top, width, rows = cv2.boundingRect(mask)  # of other classes too: cheaper than to take them out first
    top = max(0, top - step)  # keeps the rows looked at where they are: those of one remainder
    top -= (top - step // 2) % step if top >= step // 2 else 0
    top = max(top, step // 2)
    looked_at = mask[top : top + rows + 2 * step : step, left : left + width]
    rows, width = looked_at.shape
    pitch = (
        width + 2 * _REACH + 2
    )  # wide enough that no run reaches into the next row, not even with the tolerance below
    padded = np.zeros(rows * pitch + 1, np.bool_)
    into = padded[1:].reshape(rows, pitch)[:, :width]
    if classes is None:
        np.not_equal(looked_at, 0, out=into)
    elif len(classes) == 1:
        np.equal(looked_at, classes[0], out=into)
    else:
        into[:] = line_table(classes)[looked_at]
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    start, stop = edges[0::2], edges[1::2]
    if len(start) > 1:  # ragged edges and pin holes
        apart = start[1:] - stop[:-1] > _CLOSE
        start, stop = start[np.concatenate(([True], apart))], stop[np.concatenate((apart, [True]))]
    if left < _SIDE or left + width > mask.shape[1] - _SIDE:  # what the frame's side cuts has its middle elsewhere
        whole = (start % pitch + left >= _SIDE) & (stop % pitch + left <= mask.shape[1] - _SIDE)
        start, stop = start[whole], stop[whole]
    start, stop = start[-_MOST_RUNS:], stop[-_MOST_RUNS:]
    return _fragments(start, stop, pitch, step, left, top)


def _fragments(start: Ints, stop: Ints, pitch: int, step: int, left: int, top: int) -> Runs:
    """Link runs, given as positions in rows of `pitch` of a part of the mask that begins at `left`, `top`."""
    count = len(start)
    # A line that lies nearly level moves by more than its width from row to row.
    reach = np.minimum(2 + (stop - start) * step, _REACH)
    # The runs of the next row that each one touches are those from `low` up to `high`.
    low = np.searchsorted(stop, start + pitch - reach, side="right")
    high = np.searchsorted(start, stop + pitch + reach, side="left")
    below = _best(start, stop, low, high, pitch)
    low = np.searchsorted(stop, start - pitch - reach, side="right")
    high = np.searchsorted(start, stop - pitch + reach, side="left")
    above = _best(start, stop, low, high, -pitch)
    width = stop - start
    index = np.arange(count)
    mutual = (above >= 0) & (below[above] == index)
    narrow = np.minimum(width, width[above])
    mutual &= np.abs(width - width[above]) * 2 <= narrow + 4 * step
    root = np.where(mutual, above, index)
    for _ in range(int(count).bit_length()):  # twice as far each time
        further = root[root]
        if (further == root).all():
            break
        root = further
    order = np.argsort(root, kind="stable")
    sizes = np.bincount(root, minlength=count)
    order = order[sizes[root[order]] > 1]
    start, stop, root = start[order], stop[order], root[order]
    row = start // pitch
    new = first_of(root)
    counts = sizes_of(new, len(root))
    fragment = np.repeat(np.arange(len(new)), counts)
    offset = row * pitch
    offset -= left
    return Runs(row * step + top, start - offset, stop - offset, fragment, step, new, counts)


def first_of(labels: NDArray[np.generic]) -> Ints:
    """Where a new value begins in sorted or grouped `labels`."""
    if not len(labels):
        return np.zeros(0, np.int64)
    return np.concatenate((_ZERO, np.flatnonzero(labels[1:] != labels[:-1]) + 1))


def sizes_of(first: Ints, total: int) -> Ints:
    """How many items each group has that begins at `first`, of `total` items."""
    sizes = np.empty_like(first)
    if len(first):
        np.subtract(first[1:], first[:-1], out=sizes[:-1])
        sizes[-1] = total - first[-1]
    return sizes


def _best(start: Ints, stop: Ints, low: Ints, high: Ints, pitch: int) -> Ints:
    """Of the touched runs low … high - 1 the outer one that overlaps more; -1 where nothing is touched."""
    best = np.where(high > low, low, -1)
    several = (high - low > 1).nonzero()[0]
    if len(several):
        left, right = low[several], high[several] - 1
        shifted_start, shifted_stop = start[several] + pitch, stop[several] + pitch
        overlap_left = np.minimum(shifted_stop, stop[left]) - np.maximum(shifted_start, start[left])
        overlap_right = np.minimum(shifted_stop, stop[right]) - np.maximum(shifted_start, start[right])
        best[several] = np.where(overlap_left >= overlap_right, left, right)
    return best
