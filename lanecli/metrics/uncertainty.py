"""How well an uncertainty finds wrong predictions, streamed in fixed memory.

**Certain means a low uncertainty**: below the threshold. Every score takes values of which high ones are uncertain
(`lanecli.uncertainty.maps.doubt`), never a confidence. Code written for the softmax's confidence gives the opposite of
each score for an entropy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.metrics import Metric, Truth
from lanecli.metrics.uncertainty_bins import BINS, HIGHEST, bins_of, histogram, lower_edges
from lanecli.metrics.uncertainty_ranking import aupr, aurc, auroc, fpr_at, quantile_bins
from lanecli.uncertainty.entropy import largest_entropy
from lanecli.uncertainty.maps import map_kind, uncertainty_maps

DEFINITIONS = {
    "p_accurate_given_certain": "share of windows below the uncertainty threshold that are accurate: "
    "n_ac / (n_ac + n_ic), Mukhoti and Gal, arXiv 1811.12709",
    "p_uncertain_given_inaccurate": "share of inaccurate windows that are at or above the threshold: "
    "n_iu / (n_ic + n_iu), same paper",
    "pavpu": "patch accuracy versus patch uncertainty: (n_ac + n_iu) / all, same paper",
    "auroc_error": "chance that a wrong pixel is more uncertain than a right one; a tie counts one half",
    "aupr_error": "average precision of finding wrong pixels by uncertainty; guessing gives the share of wrong pixels",
    "aurc": "area under the risk-coverage curve: error rate among the surest pixels, averaged over all coverages; "
    "lower is better (Geifman and El-Yaniv 2017)",
    "coverage": "IoU over only the surest pixels, at several shares of them",
}
"""Definition of each score. A window is accurate if at least half of its counted pixels are right; its uncertainty is
their mean. Windows do not overlap; those cut off by the border count too, those without a counted pixel do not. With
``foreground``, only those pixels count whose truth or prediction is a class other than the background."""

WINDOWS = (1, 2, 4)
"""Sides of windows in pixels: 4 as in the paper; with 1, each pixel is a window of its own."""
QUANTILES = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Shares of windows that are certain at the quantile thresholds."""
COMMON = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Thresholds common to all models, as shares of the largest entropy, for maps with this bound."""
COVERAGES = (1.0, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)
_COARSE = 32  # fine bins in each bin of the coverage counts: 16 bins per octave


@dataclass(frozen=True)
class ThresholdScores:
    """The three scores at some thresholds; None where nothing is certain, or nothing inaccurate.

    Attributes:
        thresholds: the uncertainties from which a window is uncertain.
        certain: the share of windows below each.
        p_accurate_given_certain: see `DEFINITIONS`.
        p_uncertain_given_inaccurate: see `DEFINITIONS`.
        pavpu: see `DEFINITIONS`.
    """

    thresholds: tuple[float, ...]
    certain: tuple[float, ...]
    p_accurate_given_certain: tuple[float | None, ...]
    p_uncertain_given_inaccurate: tuple[float | None, ...]
    pavpu: tuple[float, ...]


class UncertaintyCounts:
    """Counts of right and wrong windows by uncertainty.

    Attributes:
        counts: named arrays of counts; the counts of several parts of a set add up. ``windows`` is (windows, 2, 2,
            BINS): window size, all pixels or the foreground, inaccurate or accurate, uncertainty. ``coverage`` is
            (classes, 3, coarse bins): hits, predicted and true pixels of each class.
    """

    def __init__(
        self, label_map: LabelMap, windows: Sequence[int] = WINDOWS, limit: float | None = None, sign: int = 1
    ) -> None:
        """Start with nothing counted.

        Args:
            label_map: label map of predictions and truths.
            windows: sides in pixels.
            limit: the largest possible value, if there is one (`largest_entropy`): common thresholds are shares of it.
            sign: -1 for maps whose low values are uncertain.
        """
        self._label_map, self.windows, self._limit, self._sign = label_map, tuple(windows), limit, sign
        classes = len(label_map.classes)
        self.counts = {
            "windows": np.zeros((len(self.windows), 2, 2, BINS), np.int64),
            "coverage": np.zeros((classes, 3, -(-BINS // _COARSE)), np.int64),
        }

    def update(self, uncertainty: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> None:
        """Count one picture.

        Args:
            uncertainty: (H, W) float, the map itself; `sign` is applied here.
            predicted: (H, W) uint8 train ids, or label bits.
            target: the same; `IGNORE_ID` where ignored.

        Raises:
            ValueError: the shapes differ, or an uncertainty is NaN.
        """
        if not uncertainty.shape == predicted.shape == target.shape:
            raise ValueError(f"shapes differ: {uncertainty.shape}, {predicted.shape}, {target.shape}")
        uncertainty = uncertainty if self._sign > 0 else -uncertainty
        counted = target != IGNORE_ID
        right = (predicted == target) & counted
        background = 0 if self._label_map.multilabel else self._label_map.background
        foreground = counted if background is None else counted & ((target != background) | (predicted != background))
        for number, side in enumerate(self.windows):
            for subset, pixels in enumerate((counted, foreground)):
                values, accurate = _windows(uncertainty, right, pixels, side)
                self.counts["windows"][number, subset] += histogram(values, accurate, 2)
        self._count_coverage(uncertainty[counted], predicted[counted], target[counted])

    def _count_coverage(self, uncertainty: np.ndarray, predicted: np.ndarray, target: np.ndarray) -> None:
        index = bins_of(uncertainty) // _COARSE
        for train_id, counts in enumerate(self.counts["coverage"]):
            if self._label_map.multilabel:
                own, true = predicted >> train_id & 1 == 1, target >> train_id & 1 == 1
            else:
                own, true = predicted == train_id, target == train_id
            for row, pixels in zip(counts, (own & true, own, true), strict=True):
                row += np.bincount(index[pixels], minlength=len(row))

    def merge(self, other: UncertaintyCounts) -> None:
        """Add the counts of `other`, which has the same label map and windows."""
        for name, counts in self.counts.items():
            counts += other.counts[name]

    def at_quantiles(self, window: int, *, foreground: bool = False) -> ThresholdScores:
        """Return the three scores at the thresholds that leave each share of `QUANTILES` of the windows certain.

        Args:
            window: side in pixels, one of those counted.
            foreground: whether to leave the background out.
        """
        both = self._of(window, foreground)
        return _threshold_scores(both, quantile_bins(both.sum(0), np.array(QUANTILES)))

    def at_common(self, window: int, *, foreground: bool = False) -> ThresholdScores | None:
        """Return the three scores at thresholds common to all models; None for maps without a bound.

        Args:
            window: side in pixels, one of those counted.
            foreground: whether to leave the background out.
        """
        if self._limit is None:
            return None
        cuts = np.searchsorted(lower_edges(), np.array(COMMON) * self._limit)
        return _threshold_scores(self._of(window, foreground), cuts)

    def _of(self, window: int, foreground: bool) -> np.ndarray:
        return self.counts["windows"][self.windows.index(window), int(foreground)]

    def ranking(self, *, foreground: bool = False) -> dict[str, float | None]:
        """Return ``auroc_error``, ``aupr_error`` and ``aurc`` over pixels (windows of 1 must be counted)."""
        wrong, right = self._of(1, foreground)
        return {"auroc_error": auroc(wrong, right), "aupr_error": aupr(wrong, right), "aurc": aurc(right, wrong)}

    def coverage(self) -> list[dict[str, float | None]]:
        """Return IoU over the surest pixels, a row for each of `COVERAGES`.

        A row has the share that is really kept (ties stay together), the threshold in the map's own values, ``miou``,
        ``miou_foreground`` and ``pixel_error``.
        """
        hits, own, true = np.cumsum(self.counts["coverage"], axis=2).transpose(1, 0, 2).astype(float)
        pixels = np.cumsum(self.counts["windows"][self.windows.index(1), 0].sum(0))
        right = np.cumsum(self._of(1, False)[1])
        ends = np.minimum(np.arange(_COARSE, BINS + _COARSE, _COARSE), BINS) - 1
        pixels, right = pixels[ends], right[ends]
        edges = lower_edges()
        rows: list[dict[str, float | None]] = []
        if not pixels[-1]:
            return rows
        background = None if self._label_map.multilabel else self._label_map.background
        for share in COVERAGES:
            cut = int(np.searchsorted(pixels, share * pixels[-1]))
            union = own[:, cut] + true[:, cut] - hits[:, cut]
            iou = np.divide(hits[:, cut], union, out=np.full(len(union), np.nan), where=union > 0)
            front = np.delete(iou, background) if background is not None else iou
            following = int(ends[cut]) + 1
            rows.append(
                {
                    "coverage": float(pixels[cut] / pixels[-1]),
                    "threshold": self._sign * float(edges[following]) if following < BINS else None,
                    "miou": _mean(iou),
                    "miou_foreground": _mean(front),
                    "pixel_error": float(1 - right[cut] / pixels[cut]),
                }
            )
        return rows

    def scores(self, window: int = 4) -> dict[str, Any]:
        """Return what ``lanecli evaluate`` reports.

        It has lists over the quantile thresholds for windows of one side, the rankings, and everything else by window
        side under ``windows``. Thresholds are in the map's own values.
        """
        first = self._by_name(self.at_quantiles(window))
        every: dict[str, Any] = {}
        for side in self.windows:
            parts: dict[str, Any] = {}
            for name, foreground in (("all", False), ("foreground", True)):
                common = self.at_common(side, foreground=foreground)
                parts[name] = {
                    "quantile": self._by_name(self.at_quantiles(side, foreground=foreground)),
                    "common": None if common is None else self._by_name(common),
                }
            every[str(side)] = parts
        return {
            "window": window,
            **first,
            **self.ranking(),
            "foreground": self.ranking(foreground=True),
            "coverage": self.coverage(),
            "windows": every,
        }

    def _by_name(self, scores: ThresholdScores) -> dict[str, list[float | None]]:
        lists = {name: list(values) for name, values in scores.__dict__.items()}
        lists["thresholds"] = [self._sign * value for value in scores.thresholds]
        return lists


class UncertaintyScores(Metric):
    """Scores of every map of the measure, as `evaluate` computes them, under ``uncertainty``.

    The first map's scores stand at the top, those of each map under ``maps``.
    """

    needs = frozenset({"uncertainty"})
    definitions = DEFINITIONS
    pooled = True

    def __init__(self, label_map: LabelMap) -> None:
        """Start with nothing counted."""
        self._label_map = label_map
        self._maps: dict[str, UncertaintyCounts] = {}
        self.counts = {}

    def update(self, prediction: Any, truth: Truth) -> None:
        """Count one picture."""
        predicted = prediction.class_map if prediction.labels is None else prediction.labels
        for name in uncertainty_maps(prediction.maps):
            if name not in self._maps:
                planes = len(self._label_map.plane_classes)
                limit = largest_entropy(planes, bernoulli=self._label_map.bernoulli) if map_kind(name).bounded else None
                self._maps[name] = UncertaintyCounts(self._label_map, limit=limit, sign=map_kind(name).sign)
                self.counts |= {f"{name}.{kind}": counts for kind, counts in self._maps[name].counts.items()}
            self._maps[name].update(prediction.maps[name], predicted, truth.mask)

    def scores(self) -> dict[str, Any]:
        """Return ``{"uncertainty": …}``."""
        every = {name: counts.scores() for name, counts in self._maps.items()}
        first: dict[str, Any] = next(iter(every.values()), {})
        return {"uncertainty": {"map": next(iter(every), None), **first, "maps": every}}


class OutOfDistributionCounts:
    """Uncertainties of familiar and of strange (out-of-distribution) pixels, to score how well they can be told apart.

    Attributes:
        counts: (2, BINS) int64: familiar, strange.
    """

    def __init__(self, sign: int = 1) -> None:
        """Start with nothing counted.

        Args:
            sign: -1 for maps whose low values are uncertain.
        """
        self._sign = sign
        self.counts = np.zeros((2, BINS), np.int64)

    def update(self, uncertainty: np.ndarray, *, strange: bool) -> None:
        """Count the pixels (…) of one picture."""
        uncertainty = self._sign * uncertainty.ravel()
        self.counts[int(strange)] += histogram(uncertainty, np.zeros(uncertainty.size, np.int32), 1)[0]

    def merge(self, other: OutOfDistributionCounts) -> None:
        """Add the counts of `other`."""
        self.counts += other.counts

    def scores(self) -> dict[str, float | None]:
        """Return ``auroc``, ``aupr`` and ``fpr95`` of finding strange pixels by their uncertainty."""
        familiar, strange = self.counts
        return {
            "auroc": auroc(strange, familiar),
            "aupr": aupr(strange, familiar),
            "fpr95": fpr_at(strange, familiar, 0.95),
        }


def _windows(
    uncertainty: np.ndarray, right: np.ndarray, pixels: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean uncertainty (n,) of each window's counted pixels, and whether at least half of them are right."""
    if side == 1:
        return uncertainty[pixels], right[pixels]
    rows, columns = np.arange(0, uncertainty.shape[0], side), np.arange(0, uncertainty.shape[1], side)

    def total(values: np.ndarray, dtype: type) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(values, columns, axis=1, dtype=dtype), rows, axis=0)

    count = total(pixels, np.int32)
    full = count > 0
    count = count[full]
    mean = total(np.where(pixels, uncertainty, 0), np.float64)[full] / count
    return mean, 2 * total(right & pixels, np.int32)[full] >= count


def _threshold_scores(both: np.ndarray, cuts: np.ndarray) -> ThresholdScores:
    """Return scores for the bins from which windows are uncertain; `both` is (2, BINS): inaccurate, accurate."""
    inaccurate, accurate = (np.concatenate([[0], np.cumsum(part)]) for part in both)
    n_ic, n_ac = inaccurate[cuts].astype(float), accurate[cuts].astype(float)
    n_iu, total = inaccurate[-1] - n_ic, float(inaccurate[-1] + accurate[-1])
    edges = np.append(lower_edges(), HIGHEST)
    given_certain = [a / (a + i) if a + i else None for a, i in zip(n_ac, n_ic, strict=True)]
    given_wrong = [u / (u + i) if u + i else None for u, i in zip(n_iu, n_ic, strict=True)]
    share = total or 1.0
    return ThresholdScores(
        tuple(float(e) for e in edges[cuts]),
        tuple(float(v) for v in (n_ac + n_ic) / share),
        tuple(None if v is None else float(v) for v in given_certain),
        tuple(None if v is None else float(v) for v in given_wrong),
        tuple(float(v) for v in (n_ac + n_iu) / share),
    )


def _mean(values: np.ndarray) -> float | None:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else None
