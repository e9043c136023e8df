"""Whether a class looks alike wherever it lies: mean features of each class at far-apart places of the picture.

Figure 1 of Mukhoti et al., arXiv 2111.00079, which is why one Gaussian a class, and not one a pixel, is enough: the
means of one class at two places lie closer together than those of two classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lanecli.geometry import resize
from lanecli.labels import LabelMap

PLACES = (2, 4)
"""Rows and columns of places; the paper takes single pixels, which of a few pictures hold too few of a thin class."""
_FEWEST = 20  # pixels of a class at a place, below which its mean there says nothing


class PlaceMeans:
    """Streamed means of features for each class and place, in fixed memory.

    Attributes:
        sums: (classes, places, D) float64.
        counts: (classes, places) int64.
    """

    def __init__(self, label_map: LabelMap, dimensions: int, places: tuple[int, int] = PLACES) -> None:
        """Args: label_map: of the masks; dimensions: D; places: rows and columns of a grid over the picture."""
        self._classes, self._grid = len(label_map.classes), places
        number = places[0] * places[1]
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
        place = rows[:, None] * self._grid[1] + columns
        for train_id in range(self._classes):
            held = labels == train_id
            where, values = place[held], features[:, held].astype(np.float64)
            self.counts[train_id] += np.bincount(where, minlength=self.counts.shape[1])
            for number in np.unique(where):
                self.sums[train_id, number] += values[:, where == number].sum(1)

    def distances(self) -> dict[str, Any]:
        """L2 distances between class means at the two places of every pair that do not touch.

        Returns:
            ``matrix`` (classes, classes): the mean distance of class i here to class j there, NaN without a pair;
            ``same_closer``, the share of (class here, class there) cases in which the nearest mean there is the class's
            own; ``pairs``, how many pairs of places were compared.
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
