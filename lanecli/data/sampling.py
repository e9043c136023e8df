"""Sampling probabilities: class-balanced, or rare classes more often; and bootstrap resamples."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lanecli.data.manifest import Sample
from lanecli.labels import IGNORE_ID, LabelMap
from lanecli.media.pictures import read_mask

SAMPLERS = ("uniform", "balanced", "rare")


def class_presence(samples: Sequence[Sample], label_map: LabelMap) -> np.ndarray:
    """Return (samples, classes) bool: whether a class occurs in a sample's mask. Reads every mask, in threads."""
    classes = len(label_map.classes)

    def present(sample: Sample) -> np.ndarray:
        values = np.flatnonzero(np.bincount(read_mask(sample.mask).ravel(), minlength=256))
        values = values[values != IGNORE_ID]
        occurs = np.zeros(classes, bool)
        if label_map.multilabel:
            occurs[:] = [bool((values >> bit & 1).any()) for bit in range(classes)]
        else:
            occurs[values[values < classes]] = True
        return occurs

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(present, samples)))


def balanced_weights(presence: np.ndarray, background: int | None) -> np.ndarray:
    """Return (samples,) probabilities for drawing each class equally often, and then a sample that has it.

    The background is left out, because every sample has it. All samples with nothing but background together have the
    share of one class.

    Args:
        presence: (samples, classes) bool.
        background: train id of the background, or None.

    Example:
        >>> balanced_weights(np.array([[True, False], [True, True], [True, True]]), 0).tolist()
        [0.5, 0.25, 0.25]
    """
    columns = presence if background is None else np.delete(presence, background, axis=1)
    columns = np.column_stack([columns, ~columns.any(1)])
    columns = columns[:, columns.any(0)].astype(float)
    weights = (columns / columns.sum(0)).sum(1)
    return weights / weights.sum()


def rare_weights(presence: np.ndarray, background: int | None, threshold: float = 0.3) -> np.ndarray:
    """Return (samples,) probabilities by repeat factors: Gupta et al. 2019, LVIS, arXiv 1908.03195, section 5.

    A class that occurs in a share f of the samples has the factor max(1, sqrt(threshold / f)), and a sample has the
    largest factor of its classes. Rare classes are drawn more often, but less so than with full balance.

    Args:
        presence: (samples, classes) bool.
        background: train id of the background, or None.
        threshold: share of samples below which a class counts as rare.
    """
    columns = presence if background is None else np.delete(presence, background, axis=1)
    share = np.maximum(columns.mean(0), 1e-12)
    factor = np.maximum(1.0, np.sqrt(threshold / share))
    weights = np.where(columns, factor, 1.0).max(1, initial=1.0)
    return weights / weights.sum()


def bootstrap(count: int, seed: int) -> np.ndarray:
    """Draw (count,) indices with replacement, for bagging (Breiman 1996). The same seed gives the same indices."""
    return np.random.default_rng([seed, count]).integers(0, count, count)


def sample_weights(sampler: str, samples: Sequence[Sample], label_map: LabelMap) -> np.ndarray | None:
    """Return (samples,) probabilities for one of :data:`SAMPLERS`; None for ``"uniform"``."""
    if sampler == "uniform":
        return None
    presence = class_presence(samples, label_map)
    choose = balanced_weights if sampler == "balanced" else rare_weights
    return choose(presence, label_map.background)
