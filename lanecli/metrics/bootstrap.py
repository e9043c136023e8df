"""Bootstrap over units of pictures (Efron 1979): records or sequences, whose pictures resemble each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

BOOTSTRAPS = 1000
QUANTILES = (0.025, 0.975)
BLOCK = 10
"""Pictures of a block, where there are too few groups to resample."""
FEWEST_GROUPS = 5


def resamples(units: int, count: int = BOOTSTRAPS) -> np.ndarray:
    """Return how often each unit is drawn: (count, units) int64, the same every time; each row sums to `units`."""
    return np.random.default_rng(0).multinomial(units, np.full(units, 1 / units), count)


def units_of(groups: Sequence[str]) -> np.ndarray:
    """Return the number of the unit of each picture, (pictures,) int64, from 0.

    Units are the groups; if there are fewer than five, they are blocks of ten successive pictures of a group, of which
    the last one may be shorter.

    Args:
        groups: the group of each picture, in the order of the manifest.

    Example:
        >>> units_of(["a"] * 12 + ["b"] * 3).tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2]
    """
    whole = len(set(groups)) >= FEWEST_GROUPS
    seen: Counter[str] = Counter()
    numbers: dict[tuple[str, int], int] = {}
    units = []
    for group in groups:
        unit = (group, 0 if whole else seen[group] // BLOCK)
        seen[group] += 1
        units.append(numbers.setdefault(unit, len(numbers)))
    return np.array(units, np.int64)


def pooled_iou(counts: np.ndarray) -> np.ndarray:
    """Return the mean IoU over the classes that occur, NaN if none does.

    Args:
        counts: (…, classes, 2) numbers of pixels in the intersection and in the union, summed over pictures.

    Returns:
        (…) float64.
    """
    hits, union = counts[..., 0].astype(np.float64), counts[..., 1].astype(np.float64)
    occurs = union > 0
    ratios = np.where(occurs, hits / np.where(occurs, union, 1), 0)
    number = occurs.sum(-1)
    return np.where(number > 0, ratios.sum(-1) / np.maximum(number, 1), np.nan)


def paired_interval(
    ours: np.ndarray, theirs: np.ndarray, units: np.ndarray, count: int = BOOTSTRAPS
) -> tuple[float, float] | None:
    """Return the 95 % interval of the difference in IoU of two models on the same pictures.

    Both models are scored on the same resamples, so that what makes a picture hard for both cancels out.

    Args:
        ours: (pictures, classes, 2) intersection and union of the one model, in pixels.
        theirs: the same of the other model.
        units: (pictures,) from :func:`units_of`.
        count: number of resamples.

    Returns:
        The 2.5 % and 97.5 % quantiles of ours minus theirs; None with a single unit, or where no class ever occurs.
    """
    number = int(units.max()) + 1
    if number < 2:
        return None
    draws = resamples(number, count)
    difference = np.zeros(count)
    for sign, counts in ((1, ours), (-1, theirs)):
        of_units = np.zeros((number, *counts.shape[1:]), np.int64)
        np.add.at(of_units, units, counts)
        difference += sign * pooled_iou(np.tensordot(draws, of_units, 1))
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return None
    low, high = np.quantile(difference, QUANTILES)
    return float(low), float(high)
