"""Compares lanes by the pixels their drawn lines share, as CULane does, and OpenLane after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lanecli.geometry import Size
from lanecli.metrics.lane_raster import Pen
from lanecli.metrics.matching import slack_matching
from lanecli.metrics.spline import sample, whole_pixels

DEFINITIONS = {
    "precision": "TP / (TP + FP); -1 (not defined) where nothing is predicted",
    "recall": "TP / (TP + FN); -1 (not defined) where there is no true lane",
    "f1": "2 precision recall / (precision + recall)",
    "tp": "matched pairs of lanes whose IoU, drawn 30 px thick, is above 0.5",
    "fp": "predicted lanes that are in no such pair",
    "fn": "true lanes that are in no such pair",
}
"""Definition of each score; counts are summed over all pictures first."""


@dataclass(frozen=True)
class LaneCounts:
    """Numbers of lanes found, invented and missed; the counts of several pictures add up."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: LaneCounts) -> LaneCounts:
        """Return the sum of both."""
        return LaneCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    def scores(self) -> dict[str, Any]:
        """Return the counts, and precision, recall and f1 as the official program computes them.

        Returns:
            Also `printed`, the six digits it prints, and `not_defined`, the names of ratios without a denominator.
            Their official value is -1, or NaN (None here) for an f1 of two zeros.
        """
        predicted, true = self.tp + self.fp, self.tp + self.fn
        precision = self.tp / predicted if predicted else -1.0
        recall = self.tp / true if true else -1.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else None
        missing = {"precision": not predicted, "recall": not true, "f1": not predicted or not true or f1 is None}
        # the processor's 0/0 has its sign bit set
        printed = {"precision": f"{precision:g}", "recall": f"{recall:g}", "f1": "-nan" if f1 is None else f"{f1:g}"}
        return {
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "printed": printed,
            "not_defined": [name for name, undefined in missing.items() if undefined],
        }


@lru_cache(maxsize=4)
def pen(width: int, size: Size) -> Pen:
    """Return the pen for a thickness and a picture size, which keeps the stamps it has made."""
    return Pen(width, size)


def similarities(truth: Sequence[np.ndarray], predicted: Sequence[np.ndarray], width: int, size: Size) -> np.ndarray:
    """Return the IoU of every true lane with every predicted one.

    Args:
        truth: (N, 2) float32 x, y of each true lane, in drawing order.
        predicted: (N, 2) float32 x, y of each predicted lane.
        width: thickness of the drawn lines in pixels.
        size: width and height of the picture.

    Returns:
        (truths, predictions) float64; 0 for lanes of under two points, NaN if neither has a pixel in the picture.
    """
    draw = pen(width, size).draw
    drawn = [
        [draw(whole_pixels(sample(lane))) if len(lane) > 1 else None for lane in lanes] for lanes in (truth, predicted)
    ]
    return np.array([[a.iou(b) if a and b else 0.0 for b in drawn[1]] for a in drawn[0]]).reshape(
        len(truth), len(predicted)
    )


def count_matches(similarity: np.ndarray, threshold: float) -> LaneCounts:
    """Count one picture, given its (truths, predictions) similarities; a match must be strictly above `threshold`."""
    truths, predictions = similarity.shape
    if not truths or not predictions:
        return LaneCounts(0, predictions, truths)
    values = similarity.tolist()
    partners = slack_matching(values)
    hits = sum(j >= 0 and values[i][j] > threshold for i, j in enumerate(partners))
    return LaneCounts(hits, predictions - hits, truths - hits)
