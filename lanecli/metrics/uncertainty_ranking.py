"""How well a score ranks: areas under curves, computed from histograms of the score.

Scores are counted in rising bins. Scores in one bin are tied, and each area is its mean over all orders of the ties.
"""

from __future__ import annotations

import math

import numpy as np


def auroc(positive: np.ndarray, negative: np.ndarray) -> float | None:
    """Return the area under the ROC curve: the chance that a positive scores higher than a negative.

    Args:
        positive: (bins,) counts of positives (errors, or out-of-distribution pixels) by rising score.
        negative: (bins,) counts of negatives.

    Returns:
        0 to 1, with a tie counted as one half (Mann and Whitney's U); None without a positive or a negative.

    Example:
        >>> auroc(np.array([0, 1]), np.array([1, 0]))
        1.0
    """
    positives, negatives = int(positive.sum()), int(negative.sum())
    if not positives or not negatives:
        return None
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2.0)).sum() / positives / negatives)


def aupr(positive: np.ndarray, negative: np.ndarray) -> float | None:
    """Return the area under the precision-recall curve as average precision, the sum of precision times recall steps.

    Args:
        positive: (bins,) counts of positives by rising score.
        negative: (bins,) counts of negatives.

    Returns:
        0 to 1; None without a positive. Guessing gives the share of positives.
    """
    if not positive.sum():
        return None
    hits = np.cumsum(positive[::-1])
    taken = hits + np.cumsum(negative[::-1])
    steps = positive[::-1] > 0
    return float((hits[steps] / taken[steps] * positive[::-1][steps]).sum() / hits[-1])


def fpr_at(positive: np.ndarray, negative: np.ndarray, recall: float = 0.95) -> float | None:
    """Return the share of negatives that score at least the threshold at which `recall` of the positives are found.

    Args:
        positive: (bins,) counts of positives by rising score.
        negative: (bins,) counts of negatives.
        recall: the least share of positives.

    Returns:
        0 to 1; None without a positive or a negative.
    """
    if not positive.sum() or not negative.sum():
        return None
    hits = np.cumsum(positive[::-1])
    cut = int(np.searchsorted(hits, recall * hits[-1] - 1e-9))
    return float(np.cumsum(negative[::-1])[cut] / negative.sum())


def aurc(right: np.ndarray, wrong: np.ndarray) -> float | None:
    """Return the area under the risk-coverage curve: the error rate among the surest pixels, averaged over coverages.

    Geifman and El-Yaniv, "Selective Classification for Deep Neural Networks", arXiv 1705.08500. With n pixels it is the
    mean of the error rates among the surest 1, 2, … n; lower is better.

    Args:
        right: (bins,) counts of right pixels by rising uncertainty.
        wrong: (bins,) counts of wrong pixels.

    Returns:
        0 to 1; None without a pixel.
    """
    counts = (right + wrong).astype(np.float64)
    total = counts.sum()
    if not total:
        return None
    full = counts > 0
    size, errors = counts[full], wrong[full].astype(np.float64)
    before, failed = np.cumsum(size) - size, np.cumsum(errors) - errors
    rate = errors / size
    # on average, pixel j of a bin of ties has failed + rate j errors among before + j pixels; summed over j this is
    # rate size + (failed - rate before) (1 / (before + 1) + … + 1 / (before + size))
    areas = rate * size + (failed - rate * before) * (_harmonic(before + size) - _harmonic(before))
    return float(areas.sum() / total)


def _harmonic(numbers: np.ndarray) -> np.ndarray:
    """Return 1 + 1/2 + … + 1/n: exact for small n, from the Euler-Maclaurin series (exact to 1e-15) for large n."""
    table = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, 257))])
    large = np.maximum(numbers, 1.0)
    series = np.log(large) + np.euler_gamma + 1 / (2 * large) - 1 / (12 * large**2) + 1 / (120 * large**4)
    return np.where(numbers <= 256, table[np.minimum(numbers, 256).astype(int)], series)


def quantile_bins(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return, for each share, the lowest bin at which the counts below it reach the share.

    It is at most the end of the last bin that is used.

    Args:
        counts: (bins,) of all scores, in rising order.
        shares: (q,) of 0 to 1.

    Returns:
        (q,) int: if the bins from it on are uncertain, at least `share` of the scores are certain.
    """
    below = np.cumsum(counts)
    wanted = [math.ceil(share * int(below[-1]) - 1e-9) for share in shares]
    return np.where(np.array(wanted) <= 0, 0, np.searchsorted(below, wanted) + 1)
