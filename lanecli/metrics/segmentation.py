"""Pixel metrics of class maps from one confusion matrix, which counts all pictures before any ratio is taken."""

from __future__ import annotations

from typing import Any

import numpy as np

from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.metrics import Metric, Truth

DEFINITIONS = {
    "iou": "TP / (TP + FP + FN) per class, counts summed over all pictures first; null for a class that never occurs",
    "miou": "mean of iou over the classes that occur, background included",
    "miou_foreground": "mean of iou over the classes that occur, background left out",
    "dice": "2 TP / (2 TP + FP + FN) per class (F1), counts summed over all pictures first",
    "precision": "TP / (TP + FP) per class",
    "recall": "TP / (TP + FN) per class",
    "pixel_accuracy": "share of pixels that are right, background included, ignored pixels left out",
}
"""Definition of each score, including background and pooling."""


class ConfusionMatrix:
    """Pixel counts by true and predicted class; ignored pixels are not counted.

    Attributes:
        counts: (classes, classes) int64; the counts of several parts of a set add up.
    """

    def __init__(self, classes: int) -> None:
        """Start with nothing counted.

        Args:
            classes: number of classes.
        """
        self.classes = classes
        self.counts = np.zeros((classes, classes), np.int64)

    def update(self, predicted: np.ndarray, target: np.ndarray) -> None:
        """Count one picture or batch.

        Args:
            predicted: (…) uint8 train ids, all below the class count where the target is not ignored.
            target: the same shape; `IGNORE_ID` where ignored.

        Raises:
            ValueError: the shapes differ, one is not uint8, or an id is not a class.
        """
        if predicted.dtype != np.uint8 or target.dtype != np.uint8:
            raise ValueError(f"train ids are uint8, got {predicted.dtype} and {target.dtype}")
        if predicted.shape != target.shape:
            raise ValueError(f"prediction {predicted.shape} and target {target.shape} differ in shape")
        # one 16-bit code per pixel: counting codes is a hundred times faster than masking and indexing
        codes = target.astype(np.uint16) << 8 | predicted
        table = np.bincount(codes.ravel(), minlength=1 << 16).reshape(256, 256)
        table[IGNORE_ID] = 0
        if table[self.classes :].any() or table[:, self.classes :].any():
            raise ValueError(f"an id is not one of the {self.classes} classes")
        self.counts += table[: self.classes, : self.classes]

    def scores(self, label_map: LabelMap) -> dict[str, Any]:
        """Return all scores of :data:`DEFINITIONS`, per class by name; None if a ratio has no denominator."""
        hits = np.diag(self.counts).astype(float)
        true, predicted = self.counts.sum(1), self.counts.sum(0)
        names = label_map.names
        iou = _ratio(hits, true + predicted - hits)
        foreground = np.delete(iou, label_map.background) if label_map.background is not None else iou
        return {
            "miou": _mean(iou),
            "miou_foreground": _mean(foreground),
            "iou": _by_name(names, iou),
            "dice": _by_name(names, _ratio(2 * hits, true + predicted)),
            "precision": _by_name(names, _ratio(hits, predicted)),
            "recall": _by_name(names, _ratio(hits, true)),
            "pixel_accuracy": _mean(_ratio(hits.sum(keepdims=True), self.counts.sum(keepdims=True).ravel())),
        }


class LabelCounts:
    """Pixel counts of several labels, each counted on its own; ignored pixels are not counted.

    Attributes:
        counts: (5, classes) int64: hits, predicted, true, right and counted pixels; the counts of several parts of a
            set add up.
    """

    def __init__(self, classes: int) -> None:
        """Start with nothing counted.

        Args:
            classes: number of labels.
        """
        self.counts = np.zeros((5, classes), np.int64)

    def update(self, predicted: np.ndarray, target: np.ndarray) -> None:
        """Count one batch.

        Args:
            predicted: (N, C, H, W) bool.
            target: (N, C, H, W) uint8: 0, 1, or `IGNORE_ID`.
        """
        counted, truth = target != IGNORE_ID, target == 1
        axes = (0, 2, 3)
        kinds = (predicted & truth, predicted & counted, truth, (predicted == truth) & counted, counted)
        self.counts += np.stack([kind.sum(axes) for kind in kinds])

    def scores(self, label_map: LabelMap) -> dict[str, Any]:
        """Return the scores of :data:`DEFINITIONS`, each label against its absence; no label counts as background."""
        hits, predicted, true, right, counted = self.counts.astype(float)
        iou = _ratio(hits, true + predicted - hits)
        names = label_map.names
        return {
            "miou": _mean(iou),
            "miou_foreground": _mean(iou),
            "iou": _by_name(names, iou),
            "dice": _by_name(names, _ratio(2 * hits, true + predicted)),
            "precision": _by_name(names, _ratio(hits, predicted)),
            "recall": _by_name(names, _ratio(hits, true)),
            "pixel_accuracy": _mean(_ratio(right.sum(keepdims=True), counted.sum(keepdims=True))),
        }


def intersection_and_union(counts: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Return the pixels in the intersection and in the union of prediction and truth, (classes, 2) int64.

    Args:
        counts: those of a :class:`ConfusionMatrix`, or of :class:`LabelCounts` for a multi-label map.
        label_map: the classes.
    """
    if label_map.multilabel:
        hits, predicted, true = counts[:3]
    else:
        hits, predicted, true = np.diag(counts), counts.sum(0), counts.sum(1)
    return np.stack([hits, true + predicted - hits], axis=-1)


class PixelScores(Metric):
    """The scores of :data:`DEFINITIONS`, as `evaluate` computes them."""

    definitions = DEFINITIONS

    def __init__(self, label_map: LabelMap) -> None:
        """Start with nothing counted."""
        self._label_map = label_map
        self.counts = {"pixels": self._counter().counts}

    def _counter(self) -> ConfusionMatrix | LabelCounts:
        return (LabelCounts if self._label_map.multilabel else ConfusionMatrix)(len(self._label_map.classes))

    def update(self, prediction: Any, truth: Truth) -> None:
        """Count one picture."""
        counter = self._counter()
        if isinstance(counter, LabelCounts):
            split = self._label_map.split_labels
            counter.update(split(prediction.labels)[None] == 1, split(truth.mask)[None])
        else:
            counter.update(prediction.class_map, truth.mask)
        self.counts = {"pixels": self.counts["pixels"] + counter.counts}

    def scores(self) -> dict[str, Any]:
        """Return the scores by name."""
        counter = self._counter()
        counter.counts = self.counts["pixels"]
        return counter.scores(self._label_map)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)


def _mean(values: np.ndarray) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else None


def _by_name(names: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    return {name: None if np.isnan(v) else float(v) for name, v in zip(names, values, strict=True)}
