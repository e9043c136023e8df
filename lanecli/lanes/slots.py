"""The row-anchor way for models that give each lane a class of its own (SCNN and its kin).

In every fourth row or so each class's most probable column is a point of its lane, if it is probable enough; a class
with too few such rows is no lane in this picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.grouping import Observations
from lanecli.lanes.perspective import Perspective, find_perspective
from lanecli.lanes.runs import Runs, first_of, sizes_of

Floats = NDArray[np.floating]

_ANCHORS = 96  # rows that are looked at
_PRESENT = 0.3  # probability of a point, of SCNN's decoding
_EXISTS = 0.45  # mean probability of a lane's points below which it is none
_FEWEST = 0.06  # of the anchors


def find_slots(
    scores: np.ndarray, classes: tuple[int, ...], prior: Perspective | None
) -> tuple[Observations, Perspective, int, Floats | None]:
    """Observations of each class that is there, the perspective, rows between anchors, probabilities.

    Args:
        scores: (h, w) uint8 train ids or (C, h, w) probabilities.
        classes: the slots' train ids, from left to right.
        prior: perspective of an earlier frame.
    """
    height, width = scores.shape[-2:]
    step = max(1, height // _ANCHORS)
    rows = np.arange(step // 2, height, step)
    anchors = scores[..., rows, :]
    hard = scores.ndim == 2
    planes = np.stack([anchors == k if hard else anchors[k] for k in classes]).astype(np.float32)
    flat = planes.reshape(-1, width)
    across = max(3, width // 70) | 1
    smooth = cv2.blur(flat, (across, 1), borderType=cv2.BORDER_REPLICATE)
    best = smooth.argmax(axis=1)
    value = flat[np.arange(len(flat)), best]
    present = (value > _PRESENT).reshape(len(classes), -1)
    trust = value.reshape(len(classes), -1)
    centre = _centroids(flat, best, 2 * across).reshape(len(classes), -1)
    thick = (flat > 0.5).sum(axis=1).reshape(len(classes), -1)
    count = present.sum(axis=1)
    mean = (trust * present).sum(axis=1) / np.maximum(count, 1)
    exists = (count >= max(3, _FEWEST * len(rows))) & (mean > _EXISTS)
    present &= exists[:, None]
    slot, anchor = np.nonzero(present)
    y, x, wide = rows[anchor], centre[present], np.maximum(thick[present], 1)
    number = np.cumsum(exists)[slot] - 1
    first = first_of(number)
    counts = sizes_of(first, len(number))
    start = np.rint(x - (wide - 1) / 2).astype(np.int64)
    runs = Runs(y.astype(np.int64), start, start + wide, number, step, first, counts)
    view = find_perspective(runs, (width, height), prior)
    order = np.lexsort((-y, number))
    seen = Observations(
        number[order],
        y[order].astype(float),
        x[order],
        wide[order].astype(float),
        np.zeros(len(order), bool),
        int(exists.sum()),
    )
    return seen, view, step, None if hard else trust[present][order].astype(float)


def _centroids(flat: NDArray[np.float32], best: NDArray[np.int64], reach: int) -> Floats:
    """The mean column around each row's best one, weighted by probability."""
    offsets = np.arange(-reach, reach + 1)
    columns = best[:, None] + offsets
    inside = (columns >= 0) & (columns < flat.shape[1])
    weight = np.take_along_axis(flat, np.clip(columns, 0, flat.shape[1] - 1), axis=1) * inside
    weight = np.where(weight > 0.15, weight, 0)
    total = weight.sum(axis=1)
    aside = np.where(total > 0, (weight * offsets).sum(axis=1) / np.maximum(total, 1e-6), 0.0)
    return (best + aside).astype(np.float64)
