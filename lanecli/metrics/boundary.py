"""How well the borders of classes are met: the boundary F1 of Csurka et al. 2013, "What is a good evaluation measure
for semantic segmentation?", with a fixed tolerance in pixels and counts that are pooled over all pictures.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.metrics import Metric, Truth

TOLERANCE = 2
"""Largest distance in pixels between a boundary pixel and its match."""
DEFINITIONS = {
    "boundary_f1": f"F1 per class of its boundary pixels, matched within {TOLERANCE} px (Csurka et al. 2013), counts "
    "summed over all pictures first",
}
"""Definition of each score."""
_REACH = np.arange(-TOLERANCE, TOLERANCE + 1)
_DISC = (_REACH[:, None] ** 2 + _REACH**2 <= TOLERANCE**2).astype(np.uint8)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def boundary(region: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the pixels of a region that have one of their four neighbours outside of it.

    Neighbours outside the picture and those that are not counted do not make a boundary.

    Args:
        region: (H, W) bool.
        counted: (H, W) bool.

    Returns:
        (H, W) uint8, 1 on the boundary.

    Example:
        >>> boundary(np.array([[True, True, False]]), np.ones((1, 3), bool)).tolist()
        [[0, 1, 0]]
    """
    outside = (~region & counted).astype(np.uint8)
    return cv2.dilate(outside, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0) & (region & counted)


class BoundaryScores(Metric):
    """The scores of :data:`DEFINITIONS`, as `evaluate` computes them."""

    definitions = DEFINITIONS

    def __init__(self, label_map: LabelMap) -> None:
        """Start with nothing counted."""
        self._map = label_map
        # boundary pixels: predicted and near a true one, predicted, true and near a predicted one, true
        self.counts = {"boundary": np.zeros((4, len(label_map.classes)), np.int64)}

    def update(self, prediction: Any, truth: Truth) -> None:
        """Count one picture."""
        counted = truth.mask != IGNORE_ID
        for number in range(len(self._map.classes)):
            regions = [
                (ids >> number & 1) == 1 if self._map.multilabel else ids == number
                for ids in (prediction.class_map, truth.mask)
            ]
            if not any(region.any() for region in regions):
                continue  # most classes of a large label map are not in a picture
            ours, theirs = (boundary(region, counted) for region in regions)
            self.counts["boundary"][:, number] += [
                np.count_nonzero(ours & cv2.dilate(theirs, _DISC)),
                np.count_nonzero(ours),
                np.count_nonzero(theirs & cv2.dilate(ours, _DISC)),
                np.count_nonzero(theirs),
            ]

    def scores(self) -> dict[str, Any]:
        """Return the scores by name; None for a class without a boundary in prediction and truth."""
        values: dict[str, float | None] = {}
        for name, (near, predicted, met, true) in zip(self._map.names, self.counts["boundary"].T, strict=True):
            precision, recall = near / max(predicted, 1), met / max(true, 1)
            both = precision + recall
            values[name] = float(2 * precision * recall / both) if both else (0.0 if predicted or true else None)
        return {"boundary_f1": values}
