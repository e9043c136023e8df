"""How well probabilities are calibrated: log-likelihood, Brier score and expected calibration error, streamed."""

from __future__ import annotations

from typing import Any

import numpy as np

from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.metrics import Metric, Truth

DEFINITIONS = {
    "nll": "mean over pixels of -ln of the true class's probability (at least 1e-7); background included",
    "brier": "mean over pixels of the squared distance between probabilities and the one-hot truth, 0 to 2",
    "ece": "expected calibration error, 15 equal bins of the highest probability (Naeini et al. 2015, Guo et al. 2017)",
}
"""Definition of each score."""

_SMALLEST = 1e-7


class Calibration:
    """Sums over pixels; ignored pixels are not counted."""

    def __init__(self, bins: int = 15) -> None:
        """Start with nothing counted.

        Args:
            bins: number of bins of the highest probability, equally wide over 0..1.
        """
        self.bins = bins
        self.pixels = 0
        self.nll = self.brier = 0.0
        self.count, self.hits, self.confidence = np.zeros(bins), np.zeros(bins), np.zeros(bins)

    def update(self, probabilities: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> None:
        """Count one picture.

        Args:
            probabilities: (C, H, W) float32, summing to one over C.
            predicted: (H, W) uint8, the most probable class.
            target: (H, W) uint8 train ids, `IGNORE_ID` where ignored.

        Raises:
            ValueError: an id is not a class.
        """
        counted = target != IGNORE_ID
        truth = target[counted]
        if max(truth.max(initial=0), predicted[counted].max(initial=0)) >= len(probabilities):
            raise ValueError(f"an id is not one of the {len(probabilities)} classes")
        values = probabilities[:, counted].astype(np.float64)
        index = np.arange(truth.size)
        right = values[truth, index]
        self.pixels += truth.size
        self.nll -= float(np.log(np.maximum(right, _SMALLEST)).sum())
        self.brier += float((values**2).sum() - 2 * right.sum() + truth.size)
        chosen = predicted[counted]
        confidence = values[chosen, index]
        number = np.minimum((confidence * self.bins).astype(int), self.bins - 1)
        self.count += np.bincount(number, minlength=self.bins)
        self.hits += np.bincount(number, chosen == truth, minlength=self.bins)
        self.confidence += np.bincount(number, confidence, minlength=self.bins)

    def scores(self) -> dict[str, float | None]:
        """Return all scores of :data:`DEFINITIONS`; None if nothing was counted."""
        if not self.pixels:
            return dict.fromkeys(DEFINITIONS)
        ece = float(np.abs(self.hits - self.confidence).sum() / self.pixels)
        return {"nll": float(self.nll / self.pixels), "brier": float(self.brier / self.pixels), "ece": ece}


class CalibrationScores(Metric):
    """The scores of :data:`DEFINITIONS`, as `evaluate` computes them; None for multi-label maps."""

    needs = frozenset({"planes"})
    definitions = DEFINITIONS

    def __init__(self, label_map: LabelMap) -> None:
        """Start with nothing counted."""
        self._skip = label_map.multilabel
        self.counts = _counts(Calibration())

    def update(self, prediction: Any, truth: Truth) -> None:
        """Count one picture."""
        if self._skip:
            return
        counter = Calibration()
        counter.update(prediction.probabilities, prediction.class_map, truth.mask)
        self.counts = {name: self.counts[name] + value for name, value in _counts(counter).items()}

    def scores(self) -> dict[str, Any]:
        """Return the scores by name."""
        counter = Calibration()
        counter.pixels, counter.nll, counter.brier = (self.counts["sums"][i] for i in range(3))
        counter.count, counter.hits, counter.confidence = self.counts["bins"]
        return counter.scores()


def _counts(counter: Calibration) -> dict[str, np.ndarray]:
    return {
        "sums": np.array([counter.pixels, counter.nll, counter.brier], np.float64),
        "bins": np.stack([counter.count, counter.hits, counter.confidence]),
    }
