"""Decodes row anchors, for models that have a class for each lane, such as SCNN.

In about every fourth row, the most probable column of a class is a point of its lane, if it is probable enough. A class
with too few such rows is absent from the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lanecli.lanes.grouping import Observations
from lanecli.lanes.perspective import Perspective, find_perspective
from lanecli.lanes.runs import Runs, group_sizes, group_starts

Floats = NDArray[np.floating]

_ANCHORS = 96  # number of rows that are examined
_PRESENT = 0.3  # least probability of a point, as in the decoding of SCNN
_EXISTS = 0.45  # least mean probability of the points of a lane
_FEWEST = 0.06  # least share of the anchors that have a point


def find_slots(
    scores: np.ndarray, classes: tuple[int, ...], prior: Perspective | None
) -> tuple[Observations, Perspective, int, Floats | None]:
    """Find the lane of each class.

    Args:
        scores: (h, w) uint8 train ids or (C, h, w) probabilities.
        classes: train ids of the lanes, from left to right.
        prior: the perspective of an earlier frame.

    Returns:
        The observations of the lanes that are present; the perspective; the distance between two anchor rows; and the
        probability of each observation, or None for a class map.
    """
    height, width = scores.shape[-2:]
    step = max(1, height // _ANCHORS)
    rows = np.arange(step // 2, height, step)
    anchors = scores[..., rows, :]
    is_class_map = scores.ndim == 2
    planes = np.stack([anchors == k if is_class_map else anchors[k] for k in classes]).astype(np.float32)
    flat = planes.reshape(-1, width)
    across = max(3, width // 70) | 1
    smooth = cv2.blur(flat, (across, 1), borderType=cv2.BORDER_REPLICATE)
    best = smooth.argmax(axis=1)
    value = flat[np.arange(len(flat)), best]
    present = (value > _PRESENT).reshape(len(classes), -1)
    probability = value.reshape(len(classes), -1)
    centre = _centroids(flat, best, 2 * across).reshape(len(classes), -1)
    widths = (flat > 0.5).sum(axis=1).reshape(len(classes), -1)
    count = present.sum(axis=1)
    mean = (probability * present).sum(axis=1) / np.maximum(count, 1)
    exists = (count >= max(3, _FEWEST * len(rows))) & (mean > _EXISTS)
    present &= exists[:, None]
    slot, anchor = np.nonzero(present)
    y, x, width_of_point = rows[anchor], centre[present], np.maximum(widths[present], 1)
    number = np.cumsum(exists)[slot] - 1
    first = group_starts(number)
    counts = group_sizes(first, len(number))
    start = np.rint(x - (width_of_point - 1) / 2).astype(np.int64)
    runs = Runs(y.astype(np.int64), start, start + width_of_point, number, step, first, counts)
    view = find_perspective(runs, (width, height), prior)
    order = np.lexsort((-y, number))
    seen = Observations(
        number[order],
        y[order].astype(float),
        x[order],
        width_of_point[order].astype(float),
        np.zeros(len(order), bool),
        int(exists.sum()),
    )
    return seen, view, step, None if is_class_map else probability[present][order].astype(float)


def _centroids(flat: NDArray[np.float32], best: NDArray[np.int64], reach: int) -> Floats:
    """Return the mean column near the best column of each row, weighted by probability."""
    offsets = np.arange(-reach, reach + 1)
    columns = best[:, None] + offsets
    inside = (columns >= 0) & (columns < flat.shape[1])
    weight = np.take_along_axis(flat, np.clip(columns, 0, flat.shape[1] - 1), axis=1) * inside
    weight = np.where(weight > 0.15, weight, 0)
    total = weight.sum(axis=1)
    aside = np.where(total > 0, (weight * offsets).sum(axis=1) / np.maximum(total, 1e-6), 0.0)
    return (best + aside).astype(np.float64)
