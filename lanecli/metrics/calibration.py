"""How honest probabilities are: negative log-likelihood, Brier score and expected calibration error, streamed."""

from __future__ import annotations

import numpy as np

from lanecli.labels import IGNORE_ID

DEFINITIONS = {
    "nll": "mean over pixels of -ln of the true class's probability, clipped at 1e-7; background included",
    "brier": "mean over pixels of the squared distance between probabilities and the one-hot truth, 0 to 2",
    "ece": "expected calibration error, 15 equal bins of the highest probability (Naeini et al. 2015, Guo et al. 2017)",
}
"""What each score means."""

_SMALLEST = 1e-7


class Calibration:
    """Sums over pixels; ignored pixels count nowhere."""

    def __init__(self, bins: int = 15) -> None:
        """Args: bins: of the highest probability, equally wide over 0..1."""
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
            ValueError: an id is no class.
        """
        counted = target != IGNORE_ID
        truth = target[counted]
        if max(truth.max(initial=0), predicted[counted].max(initial=0)) >= len(probabilities):
            raise ValueError(f"an id is no class of {len(probabilities)}")
        values = probabilities[:, counted].astype(np.float64)
        place = np.arange(truth.size)
        right = values[truth, place]
        self.pixels += truth.size
        self.nll -= float(np.log(np.maximum(right, _SMALLEST)).sum())
        self.brier += float((values**2).sum() - 2 * right.sum() + truth.size)
        chosen = predicted[counted]
        confidence = values[chosen, place]
        number = np.minimum((confidence * self.bins).astype(int), self.bins - 1)
        self.count += np.bincount(number, minlength=self.bins)
        self.hits += np.bincount(number, chosen == truth, minlength=self.bins)
        self.confidence += np.bincount(number, confidence, minlength=self.bins)

    def scores(self) -> dict[str, float | None]:
        """All scores of :data:`DEFINITIONS`; None when nothing was counted."""
        if not self.pixels:
            return dict.fromkeys(DEFINITIONS)
        ece = float(np.abs(self.hits - self.confidence).sum() / self.pixels)
        return {"nll": self.nll / self.pixels, "brier": self.brier / self.pixels, "ece": ece}
