"""Means and covariances of features, streamed in double precision: one pass over the training pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanecli.geometry import resize
from lanecli.labels import IGNORE_ID, LabelMap


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of samples; the moments of parts add up to those of the whole.

    Mean and centred scatter, sum (x - mean)(x - mean)^T, are kept instead of sums of squares, which would cancel where
    a mean is large compared with its spread: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for
    Computing Sample Variances", 1979.

    Attributes:
        count: number of samples.
        mean: (D,) float64.
        scatter: (D, D) float64.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def empty(cls, dimensions: int) -> Moments:
        """Return the moments of no samples, with D = `dimensions`."""
        return cls(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))

    @classmethod
    def of(cls, samples: np.ndarray) -> Moments:
        """Return the moments of (n, D) samples of any float dtype."""
        samples = samples.astype(np.float64)
        if not len(samples):
            return cls.empty(samples.shape[1])
        with np.errstate(invalid="ignore"):  # infinite features are refused when they are fitted
            mean = samples.mean(0)
            centred = samples - mean
            return cls(len(samples), mean, centred.T @ centred)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both parts' samples together."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(step, step) * (self.count * other.count / count)
        return Moments(count, self.mean + step * (other.count / count), scatter)

    def covariance(self) -> np.ndarray:
        """Return the unbiased covariance (over n - 1), (D, D); zeros for fewer than two samples."""
        return self.scatter / max(self.count - 1, 1)

    def projected(self, basis: np.ndarray, origin: np.ndarray) -> Moments:
        """Return the moments of `basis` (k, D) times (x - `origin`)."""
        return Moments(self.count, basis @ (self.mean - origin), basis @ self.scatter @ basis.T)


class FeatureStatistics:
    """Moments of features for each class, added picture by picture; every pixel is a sample, whatever its position.

    A multi-label map has one group per label, and one more for pixels without a label.

    Attributes:
        names: names of the groups.
        groups: the Moments of each.
        skipped: number of pixels left out because they are ignored.
    """

    def __init__(self, label_map: LabelMap, dimensions: int) -> None:
        """Start without a picture.

        Args:
            label_map: label map of the masks.
            dimensions: D of the features.
        """
        self._multilabel = label_map.multilabel
        self.names = (*label_map.names, "none of them") if label_map.multilabel else label_map.names
        self.groups = [Moments.empty(dimensions) for _ in self.names]
        self.skipped = 0

    def update(self, features: np.ndarray, mask: np.ndarray) -> None:
        """Add one picture.

        Args:
            features: (D, h, w) float.
            mask: (H, W) uint8 train ids, or label bits, at the size the network saw; it is reduced to the features'
                grid by the nearest pixel. `IGNORE_ID` counts nowhere.
        """
        height, width = features.shape[1:]
        labels = resize(mask, (width, height), nearest=True).ravel()
        flat = features.reshape(len(features), -1)
        for number, members in enumerate(self._members(labels)):
            if members.any():
                self.groups[number] += Moments.of(flat[:, members].T)
        self.skipped += int(np.count_nonzero(labels == IGNORE_ID))

    def _members(self, labels: np.ndarray) -> Sequence[np.ndarray]:
        """Return, for each group, which pixels belong to it."""
        if not self._multilabel:
            return [labels == number for number in range(len(self.names))]
        counted = labels != IGNORE_ID
        held = [(labels >> number & 1 == 1) & counted for number in range(len(self.names) - 1)]
        return [*held, labels == 0]

    def merge(self, other: FeatureStatistics) -> None:
        """Add the pictures of `other`, which has the same label map."""
        self.groups = [ours + theirs for ours, theirs in zip(self.groups, other.groups, strict=True)]
        self.skipped += other.skipped

    def all(self) -> Moments:
        """Return the moments of all groups' samples together."""
        return sum(self.groups[1:], self.groups[0])
