"""Whether a class looks alike wherever it lies: mean features of each class at distant positions of the picture.

Figure 1 of Mukhoti et al., arXiv 2111.00079, shows why one Gaussian per class is enough, and not one per pixel: the
means of one class at two positions lie closer together than those of two classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lanecli.geometry import resize
from lanecli.labels import LabelMap

GRID = (2, 4)
"""Rows and columns of positions. The paper uses single pixels, of which a thin class has too few in few pictures."""
_FEWEST = 20  # pixels of a class at a position below which its mean there says nothing


class PositionMeans:
    """Streamed means of features for each class and position, in fixed memory.

    Attributes:
        sums: (classes, positions, D) float64.
        counts: (classes, positions) int64.
    """

    def __init__(self, label_map: LabelMap, dimensions: int, grid: tuple[int, int] = GRID) -> None:
        """Start without a picture.

        Args:
            label_map: label map of the masks.
            dimensions: D of the features.
            grid: rows and columns of positions in the picture.
        """
        self._classes, self._grid = len(label_map.classes), grid
        number = grid[0] * grid[1]
        self.sums = np.zeros((self._classes, number, dimensions))
        self.counts = np.zeros((self._classes, number), np.int64)

    def update(self, features: np.ndarray, mask: np.ndarray) -> None:
        """Add one picture.

        Args:
            features: (D, h, w) float.
            mask: (H, W) uint8 train ids.
        """
        height, width = features.shape[1:]
        labels = resize(mask, (width, height), nearest=True)
        rows = np.arange(height) * self._grid[0] // height
        columns = np.arange(width) * self._grid[1] // width
        position = rows[:, None] * self._grid[1] + columns
        for train_id in range(self._classes):
            held = labels == train_id
            where, values = position[held], features[:, held].astype(np.float64)
            self.counts[train_id] += np.bincount(where, minlength=self.counts.shape[1])
            for number in np.unique(where):
                self.sums[train_id, number] += values[:, where == number].sum(1)

    def distances(self) -> dict[str, Any]:
        """Return L2 distances between class means at the two positions of every pair that do not touch.

        Returns:
            ``matrix`` (classes, classes): the mean distance of class i at one position to class j at the other, NaN
            without a pair; ``same_closer``: the share of cases in which the mean nearest to that of a class, at the
            other position, is the class's own; ``pairs``: how many pairs of positions were compared.
        """
        classes, number, _ = self.sums.shape
        means = self.sums / np.maximum(self.counts, 1)[..., None]
        known = self.counts >= _FEWEST
        total, seen = np.zeros((classes, classes)), np.zeros((classes, classes))
        right = cases = pairs = 0
        for here in range(number):
            for there in range(number):
                apart = np.abs(np.subtract(divmod(here, self._grid[1]), divmod(there, self._grid[1]))).max()
                if apart < 2:
                    continue
                both = known[:, here][:, None] & known[:, there][None]
                gaps = np.linalg.norm(means[:, None, here] - means[None, :, there], axis=2)
                total += np.where(both, gaps, 0)
                seen += both
                pairs += 1
                for train_id in np.flatnonzero(known[:, here] & known[:, there]):
                    if known[:, there].sum() > 1:
                        right += int(np.where(known[:, there], gaps[train_id], np.inf).argmin() == train_id)
                        cases += 1
        matrix = np.divide(total, seen, out=np.full_like(total, np.nan), where=seen > 0)
        return {"matrix": matrix, "same_closer": right / cases if cases else None, "pairs": pairs}
