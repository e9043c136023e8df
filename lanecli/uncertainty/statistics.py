"""Means and covariances of features, streamed: one pass over the training pictures, in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanecli.geometry import resize
from lanecli.labels import IGNORE_ID, LabelMap


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter of samples; those of parts add up to those of the whole.

    Kept as mean and centred scatter, sum (x - mean)(x - mean)^T, and not as sums of squares, which would cancel where a
    mean is large beside its spread: Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979.

    Attributes:
        count: samples.
        mean: (D,) float64.
        scatter: (D, D) float64.
    """

    count: int
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def empty(cls, dimensions: int) -> Moments:
        """Of no samples, with D = `dimensions`."""
        return cls(0, np.zeros(dimensions), np.zeros((dimensions, dimensions)))

    @classmethod
    def of(cls, samples: np.ndarray) -> Moments:
        """Of (n, D) samples, any float dtype."""
        samples = samples.astype(np.float64)
        if not len(samples):
            return cls.empty(samples.shape[1])
        with np.errstate(invalid="ignore"):  # features without end are refused when they are fitted
            mean = samples.mean(0)
            centred = samples - mean
            return cls(len(samples), mean, centred.T @ centred)

    def __add__(self, other: Moments) -> Moments:
        """Moments of both parts' samples together."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        step = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(step, step) * (self.count * other.count / count)
        return Moments(count, self.mean + step * (other.count / count), scatter)

    def covariance(self) -> np.ndarray:
        """(D, D), unbiased (over n - 1); zeros for fewer than two samples."""
        return self.scatter / max(self.count - 1, 1)

    def projected(self, basis: np.ndarray, origin: np.ndarray) -> Moments:
        """Moments of `basis` (k, D) times (x - `origin`)."""
        return Moments(self.count, basis @ (self.mean - origin), basis @ self.scatter @ basis.T)


class FeatureStatistics:
    """Moments of features for each class, pixels as samples whatever their position, added picture by picture.

    A label map of several labels at once has one group a label, and one more for pixels that hold none.

    Attributes:
        names: of the groups.
        groups: the Moments of each.
        skipped: pixels left out because their label is ignored.
    """

    def __init__(self, label_map: LabelMap, dimensions: int) -> None:
        """Args: label_map: of the masks; dimensions: D of the features."""
        self._multilabel = label_map.multilabel
        self.names = (*label_map.names, "none of them") if label_map.multilabel else label_map.names
        self.groups = [Moments.empty(dimensions) for _ in self.names]
        self.skipped = 0

    def update(self, features: np.ndarray, mask: np.ndarray) -> None:
        """Add one picture.

        Args:
            features: (D, h, w) float.
            mask: (H, W) uint8 train ids, or bits of several labels, at the size the network saw; it is shrunk to the
                features' grid by the nearest pixel. `IGNORE_ID` counts nowhere.
        """
        height, width = features.shape[1:]
        labels = resize(mask, (width, height), nearest=True).ravel()
        flat = features.reshape(len(features), -1)
        for number, members in enumerate(self._members(labels)):
            if members.any():
                self.groups[number] += Moments.of(flat[:, members].T)
        self.skipped += int(np.count_nonzero(labels == IGNORE_ID))

    def _members(self, labels: np.ndarray) -> Sequence[np.ndarray]:
        """For each group, which pixels are in it."""
        if not self._multilabel:
            return [labels == number for number in range(len(self.names))]
        counted = labels != IGNORE_ID
        held = [(labels >> number & 1 == 1) & counted for number in range(len(self.names) - 1)]
        return [*held, labels == 0]

    def merge(self, other: FeatureStatistics) -> None:
        """Add what `other` has seen of the same label map."""
        self.groups = [ours + theirs for ours, theirs in zip(self.groups, other.groups, strict=True)]
        self.skipped += other.skipped

    def all(self) -> Moments:
        """Moments of all groups' samples together."""
        return sum(self.groups[1:], self.groups[0])
