"""Class weights: given as numbers, or computed from pixel counts by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from lanecli.errors import InputError, did_you_mean
from lanecli.losses.pixels import Task


def inverse(counts: np.ndarray) -> np.ndarray:
    """total / (classes * count): every class weighs the same in sum."""
    return counts.sum() / (len(counts) * counts)


def median_frequency(counts: np.ndarray) -> np.ndarray:
    """Median frequency over frequency; a frequency here is a share of all pixels (Eigen and Fergus 2015)."""
    return np.median(counts) / counts


def root_median_frequency(counts: np.ndarray) -> np.ndarray:
    """The square root of :func:`median_frequency`: rare classes count more, without the excess of full balance."""
    return np.sqrt(median_frequency(counts))


def effective_number(counts: np.ndarray) -> np.ndarray:
    """(1 - b) / (1 - b^count), scaled to a mean of 1, with b = (total - 1) / total (Cui et al. 2019).

    The paper's b of 0.9 to 0.9999 is meant for counts of pictures: with counts of pixels all classes come out equal.
    """
    total = counts.sum()
    weights = 1 / -np.expm1(counts * np.log1p(-1 / total)) if total > 1 else np.ones(len(counts))
    return weights / weights.mean()


WEIGHTINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inverse": inverse,
    "median_frequency": median_frequency,
    "root_median_frequency": root_median_frequency,
    "effective_number": effective_number,
}


def class_weights(name: str, counts: Sequence[int]) -> np.ndarray:
    """Weights of the classes from their pixel counts.

    Args:
        name: one of :data:`WEIGHTINGS`.
        counts: pixels of each class in the training data, ignored ones not among them.

    Returns:
        (C,) float64. A class without a pixel weighs 0 and does not count in means and medians.

    Raises:
        InputError: an unknown name (the nearest is named), a negative count, or no pixel at all.
    """
    if name not in WEIGHTINGS:
        raise InputError(
            f"unknown class weights '{name}'{did_you_mean(name, WEIGHTINGS) or f'; there are {[*WEIGHTINGS]}'}"
        )
    numbers = np.asarray(counts, np.float64)
    if (numbers < 0).any() or not numbers.any():
        raise InputError(f"class weights '{name}' need pixel counts of at least one class, got {list(counts)}")
    present = numbers > 0
    weights = np.zeros(len(numbers))
    weights[present] = WEIGHTINGS[name](numbers[present])
    return weights


def resolve_weights(value: Any, task: Task) -> torch.Tensor | None:
    """The argument `class_weights` as float64 of `Task.weighed` entries, or None where it is None.

    `value` is a list of numbers from 0 (not all 0) or a name, which needs the task's pixel counts.
    Raises InputError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if task.pixel_counts is None:
            raise InputError(f"class weights '{value}' are computed from pixel counts, and the data set has none")
        return torch.from_numpy(class_weights(value, task.pixel_counts))
    numbers = list(value) if isinstance(value, Sequence) else []
    sound = all(isinstance(w, int | float) and not isinstance(w, bool) and 0 <= w < math.inf for w in numbers)
    if not sound or len(numbers) != task.weighed or not any(numbers):
        raise InputError(
            f"class_weights is a name ({', '.join(WEIGHTINGS)}) or a list of {task.weighed} numbers from 0, "
            f"not all 0; got {value!r}"
        )
    return torch.tensor(numbers, dtype=torch.float64)
