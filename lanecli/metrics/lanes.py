"""Scores a model's lane lines against a dataset's, by the rules of TuSimple and CULane in one pass."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from lanecli.geometry import Size
from lanecli.labels import LabelMap
from lanecli.lanes.files import TUSIMPLE_ROWS, TUSIMPLE_SIZE
from lanecli.metrics import Metric, Truth
from lanecli.metrics.culane import IOU, SIZE, WIDTH
from lanecli.metrics.lane_iou import LaneCounts, count_matches, similarities
from lanecli.metrics.tusimple import count_picture

_ABSENT = -2.0


class LaneScores(Metric):
    """The rules of both benchmarks for lane lines in pictures of any size.

    Pictures are scaled to 1280x720 for TuSimple and to 1640x590 for CULane. Every line that was found counts, whatever
    its confidence.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"lanes"})
    definitions: ClassVar[dict[str, str]] = {
        "lanes": "tusimple: accuracy, fp and fn as `lanecli score tusimple` defines them, in a picture of 1280x720; "
        "culane: f1, precision and recall at an IoU of 0.5 of lines 30 px thick in a picture of 1640x590, counts "
        "summed over all pictures first"
    }

    def __init__(self, label_map: LabelMap) -> None:
        """Start with nothing counted."""
        self.counts = {"tusimple": np.zeros(4), "culane": np.zeros(3)}

    def update(self, prediction: Any, truth: Truth) -> None:
        """Count one picture."""
        size = prediction.frame.size
        predicted = [lane.points for lane in prediction.lanes or ()]
        true = [lane for lane in truth.lanes or () if len(lane) > 1]
        rows = np.array(TUSIMPLE_ROWS, float)
        answers, lines = (
            [_in_rows(_scaled(p, size, TUSIMPLE_SIZE), rows) for p in lanes] for lanes in (predicted, true)
        )
        self.counts["tusimple"] = self.counts["tusimple"] + [*count_picture(answers, lines, rows), 1]
        drawn = [[_scaled(points, size, SIZE).astype(np.float32) for points in lanes] for lanes in (true, predicted)]
        matches = count_matches(similarities(drawn[0], drawn[1], WIDTH, SIZE), IOU)
        self.counts["culane"] = self.counts["culane"] + [matches.tp, matches.fp, matches.fn]

    def scores(self) -> dict[str, Any]:
        """Return ``lanes``: ``tusimple`` and ``culane``; None if a ratio has no denominator."""
        *sums, pictures = self.counts["tusimple"].tolist()
        tusimple = [value / pictures if pictures else None for value in sums]
        counts = LaneCounts(*self.counts["culane"].tolist()).scores()
        undefined = counts["not_defined"]
        culane = {name: None if name in undefined else counts[name] for name in ("f1", "precision", "recall")}
        return {"lanes": {"tusimple": dict(zip(("accuracy", "fp", "fn"), tusimple, strict=True)), "culane": culane}}


def _scaled(points: np.ndarray, size: Size, target: Size) -> np.ndarray:
    return (np.asarray(points, float) + 0.5) * (np.array(target) / size) - 0.5


def _in_rows(points: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return x in `rows`, absent beyond the line's ends and beside the picture."""
    order = np.argsort(points[:, 1], kind="stable")
    x = np.interp(rows, points[order, 1], points[order, 0], left=_ABSENT, right=_ABSENT)
    return np.where((x >= 0) & (x <= TUSIMPLE_SIZE[0] - 1), x, _ABSENT)
