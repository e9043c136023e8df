"""Finds runs of line pixels in the rows of a mask, and links them from row to row to fragments.

A run is the intersection of a row and a marking. Runs of neighbouring rows that overlap one to one and have similar
widths form a fragment: a dash, or a stretch of a solid line up to where it touches something else. Unlike connected
components, fragments end where a stop line crosses a lane line, and where lines merge in the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.labelmaps.line_classes import line_table

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]

_MAX_ROWS = 800  # of a mask: every row at the size of a network, every second or third row of a large frame
_MAX_RUNS = 6000  # noisy masks have more; the runs nearest to the camera are kept
_REACH = 10  # largest gap in pixels between two runs of neighbouring rows that are linked
_SIDE = 3  # a run within so many pixels of the side of the mask counts as cut
_CLOSE = 1  # gaps of so many pixels within a row are closed


_ZERO = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Runs:
    """Runs, sorted by fragment and within a fragment from the highest row of the picture down, in arrays of one length.

    Attributes:
        row: row of each run, in pixels of the mask.
        start, stop: first column, and the column after the last.
        fragment: index of the fragment that each run belongs to.
        step: distance between two rows of the mask that were examined.
        first: index of the first run of each fragment.
        count: number of runs of each fragment.
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
        """Middle column of each run."""
        centre: Floats = (self.start + self.stop - 1) * np.float64(0.5)
        return centre

    @property
    def width(self) -> Ints:
        """Width of each run in pixels."""
        return self.stop - self.start


def find_runs(mask: NDArray[np.uint8], classes: tuple[int, ...]) -> Runs:
    """Return the runs of line pixels, linked to fragments of at least two rows.

    Runs at the sides of the mask are omitted, because their true middle is unknown.

    Args:
        mask: (H, W) uint8.
        classes: the values of line pixels.
    """
    step = -(-mask.shape[0] // _MAX_ROWS)
    if 0 in classes:
        mask, classes = line_table(classes)[mask], (1,)
    left, top, width, rows = cv2.boundingRect(mask)  # includes other classes, which is cheaper than removing them first
    top = max(0, top - step)  # so that the examined rows do not depend on the box
    top -= (top - step // 2) % step if top >= step // 2 else 0
    top = max(top, step // 2)
    looked_at = mask[top : top + rows + 2 * step : step, left : left + width]
    rows, width = looked_at.shape
    pitch = (
        width + 2 * _REACH + 2
    )  # wide enough that no run reaches into the next row, even with the tolerance of the links
    padded = np.zeros(rows * pitch + 1, np.bool_)
    into = padded[1:].reshape(rows, pitch)[:, :width]
    if len(classes) == 1:
        np.equal(looked_at, classes[0], out=into)
    else:
        into[:] = line_table(classes)[looked_at]
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    start, stop = edges[0::2], edges[1::2]
    if len(start) > 1:  # closes ragged edges and pinholes
        apart = start[1:] - stop[:-1] > _CLOSE
        start, stop = start[np.concatenate(([True], apart))], stop[np.concatenate((apart, [True]))]
    if (
        left < _SIDE or left + width > mask.shape[1] - _SIDE
    ):  # a run that the side of the frame cuts has its true middle elsewhere
        whole = (start % pitch + left >= _SIDE) & (stop % pitch + left <= mask.shape[1] - _SIDE)
        start, stop = start[whole], stop[whole]
    start, stop = start[-_MAX_RUNS:], stop[-_MAX_RUNS:]
    return _link_runs(start, stop, pitch, step, left, top)


def _link_runs(start: Ints, stop: Ints, pitch: int, step: int, left: int, top: int) -> Runs:
    """Link runs to fragments.

    Args:
        start, stop: positions of the runs in the flattened examined part of the mask.
        pitch: length of a row in this flattened part.
        step: distance between two examined rows.
        left, top: position of the part in the mask.
    """
    count = len(start)
    # A nearly horizontal line moves by more than its width from row to row.
    reach = np.minimum(2 + (stop - start) * step, _REACH)
    # Each run touches the runs low … high - 1 of the next row.
    low = np.searchsorted(stop, start + pitch - reach, side="right")
    high = np.searchsorted(start, stop + pitch + reach, side="left")
    below = _most_overlapping(start, stop, low, high, pitch)
    low = np.searchsorted(stop, start - pitch - reach, side="right")
    high = np.searchsorted(start, stop - pitch + reach, side="left")
    above = _most_overlapping(start, stop, low, high, -pitch)
    width = stop - start
    index = np.arange(count)
    mutual = (above >= 0) & (below[above] == index)
    narrow = np.minimum(width, width[above])
    mutual &= np.abs(width - width[above]) * 2 <= narrow + 4 * step
    root = np.where(mutual, above, index)
    for _ in range(int(count).bit_length()):  # doubles the distance of the links each time
        further = root[root]
        if (further == root).all():
            break
        root = further
    order = np.argsort(root, kind="stable")
    sizes = np.bincount(root, minlength=count)
    order = order[sizes[root[order]] > 1]
    start, stop, root = start[order], stop[order], root[order]
    row = start // pitch
    starts = group_starts(root)
    counts = group_sizes(starts, len(root))
    fragment = np.repeat(np.arange(len(starts)), counts)
    offset = row * pitch
    offset -= left
    return Runs(row * step + top, start - offset, stop - offset, fragment, step, starts, counts)


def group_starts(labels: NDArray[np.generic]) -> Ints:
    """Return the index at which each group of equal neighbours begins.

    Example:
        >>> group_starts(np.array([3, 3, 5, 5, 5]))
        array([0, 2])
    """
    if not len(labels):
        return np.zeros(0, np.int64)
    return np.concatenate((_ZERO, np.flatnonzero(labels[1:] != labels[:-1]) + 1))


def group_sizes(first: Ints, total: int) -> Ints:
    """Return the number of items in each group.

    Args:
        first: index of the first item of each group, from :func:`group_starts`.
        total: number of all items.
    """
    sizes = np.empty_like(first)
    if len(first):
        np.subtract(first[1:], first[:-1], out=sizes[:-1])
        sizes[-1] = total - first[-1]
    return sizes


def _most_overlapping(start: Ints, stop: Ints, low: Ints, high: Ints, pitch: int) -> Ints:
    """Return the first or the last of the touched runs low … high - 1, whichever overlaps more; -1 if there is none."""
    best = np.where(high > low, low, -1)
    several = (high - low > 1).nonzero()[0]
    if len(several):
        left, right = low[several], high[several] - 1
        shifted_start, shifted_stop = start[several] + pitch, stop[several] + pitch
        overlap_left = np.minimum(shifted_stop, stop[left]) - np.maximum(shifted_start, start[left])
        overlap_right = np.minimum(shifted_stop, stop[right]) - np.maximum(shifted_start, start[right])
        best[several] = np.where(overlap_left >= overlap_right, left, right)
    return best
