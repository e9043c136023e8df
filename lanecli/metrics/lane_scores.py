"""Lane scores of a set, streamed: the predicted and true lanes of a picture in, counts that add up out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lanecli.geometry import Size
from lanecli.metrics import culane, tusimple
from lanecli.metrics.lane_iou import LaneCounts, count_matches, similarities

Lanes = Sequence[np.ndarray]
"""(N, 2) x, y in pixels of the picture, for each lane."""

TUSIMPLE_SIZE: Size = (1280, 720)
TUSIMPLE_ROWS = np.arange(160.0, 711.0, 10.0)
"""Rows in which TuSimple's lanes are given."""


def scaled(lanes: Lanes, size: Size, target: Size) -> list[np.ndarray]:
    """Scale lanes from pictures of one size to another, so that thresholds in pixels mean the same.

    Pixel centres are mapped: column x of `size` becomes column ``(x + 0.5) * ratio - 0.5`` of `target`.
    """
    if size == target:
        return [np.asarray(lane, np.float64) for lane in lanes]
    ratio = np.array(target, np.float64) / np.array(size)
    return [(np.asarray(lane, np.float64) + 0.5) * ratio - 0.5 for lane in lanes]


def at_rows(lane: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return x of a polyline in each row, straight between its points; -2 above and below it.

    Args:
        lane: (N, 2) x, y; of several points in one row, the first counts.
        rows: (R,) y.

    Returns:
        (R,) float64.
    """
    y, first = np.unique(lane[:, 1], return_index=True)
    return np.interp(rows, y, lane[first, 0], left=-2.0, right=-2.0) if len(y) else np.full(len(rows), -2.0)


class TusimpleScore:
    """TuSimple's accuracy, FP and FN of lanes given as polylines.

    Attributes:
        counts: `sums` (3,) of accuracy, FP and FN over pictures, and `pictures`, both float64 arrays that add up.

    Example:
        >>> score = TusimpleScore()
        >>> lane = np.array([[640.0, 700.0], [640.0, 200.0]])
        >>> score.update([lane], [lane], (1280, 720))
        >>> score.scores()["accuracy"]
        1.0
    """

    def __init__(self) -> None:
        """Start without a picture."""
        self.counts = {"sums": np.zeros(3), "pictures": np.zeros(())}

    def update(self, predicted: Lanes, truth: Lanes, size: Size) -> None:
        """Count one picture.

        Args:
            predicted: its predicted lanes.
            truth: its true lanes.
            size: size of the picture the lanes belong to; they are scaled to 1280x720 first.
        """
        found, true = (
            [at_rows(lane, TUSIMPLE_ROWS) for lane in scaled(lanes, size, TUSIMPLE_SIZE)]
            for lanes in (predicted, truth)
        )
        self.counts["sums"] = self.counts["sums"] + tusimple.count_picture(found, true, TUSIMPLE_ROWS)
        self.counts["pictures"] = self.counts["pictures"] + 1

    def merge(self, other: TusimpleScore) -> None:
        """Add the pictures of another part of the set."""
        self.counts = {name: value + other.counts[name] for name, value in self.counts.items()}

    def scores(self) -> dict[str, float | None]:
        """Return the scores of :data:`lanecli.metrics.tusimple.DEFINITIONS`; None without a picture."""
        pictures = float(self.counts["pictures"])
        values = (self.counts["sums"] / pictures).tolist() if pictures else [None] * 3
        return dict(zip(tusimple.DEFINITIONS, values, strict=True))


class CulaneScore:
    """CULane's F1, precision and recall of lanes given as polylines.

    Attributes:
        counts: `tp`, `fp` and `fn`, int64 arrays that add up.
    """

    def __init__(self, width: int = culane.WIDTH, iou: float = culane.IOU, size: Size = culane.SIZE) -> None:
        """Start without a picture.

        Args:
            width: thickness of the drawn lines in pixels of `size`.
            iou: IoU above which two lanes match.
            size: size to which lanes are scaled before they are drawn.
        """
        self.settings = culane.Settings(width, iou, size)
        self.counts = {name: np.zeros((), np.int64) for name in ("tp", "fp", "fn")}

    def update(self, predicted: Lanes, truth: Lanes, size: Size) -> None:
        """Count one picture; the arguments are those of :meth:`TusimpleScore.update`."""
        target = self.settings.size
        true, found = (
            [lane.astype(np.float32) for lane in scaled(lanes, size, target)] for lanes in (truth, predicted)
        )
        counted = count_matches(similarities(true, found, self.settings.width, target), self.settings.iou)
        self.counts = {name: value + getattr(counted, name) for name, value in self.counts.items()}

    def merge(self, other: CulaneScore) -> None:
        """Add the pictures of another part of the set."""
        self.counts = {name: value + other.counts[name] for name, value in self.counts.items()}

    def scores(self) -> dict[str, Any]:
        """Return the scores; see :meth:`lanecli.metrics.lane_iou.LaneCounts.scores`."""
        return LaneCounts(**{name: int(value) for name, value in self.counts.items()}).scores()
