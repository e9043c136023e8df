"""Histograms of values of any size in fixed memory, fine enough that scores from them equal scores from the values.

A value's bin is taken from its 32-bit floating-point form: 512 bins per octave from 2^-24 to 2^24, for both signs. So
entropies near 0 and log densities of minus ten thousand are both resolved to 0.2 % (values nearer to 0 share one bin,
values further from 0 are in the end bins).
"""

from __future__ import annotations

import numpy as np

_MANTISSA = 9  # bits kept: 512 bins per octave
_OCTAVES = 24  # on either side of 1
_SHIFT = 23 - _MANTISSA
_SIDE = 2 * _OCTAVES << _MANTISSA
_FIRST = (127 - _OCTAVES) << _MANTISSA
BINS = 2 * _SIDE + 1
"""Number of bins, in rising order of their values; the middle one holds 0."""
HIGHEST = 2.0**_OCTAVES
"""End of the last bin, which holds larger values too."""


def bins_of(values: np.ndarray) -> np.ndarray:
    """Return the bin of each value.

    Args:
        values: (…) float; none may be NaN. Infinite ones are in the end bins.

    Returns:
        (…) int32, 0 to `BINS` - 1, rising with the values.

    Raises:
        ValueError: a value is NaN.
    """
    single = np.ascontiguousarray(values, np.float32)
    if np.isnan(single).any():
        raise ValueError("an uncertainty is not a number")
    form = single.view(np.int32)
    magnitude = ((form & 0x7FFFFFFF) >> _SHIFT) - (_FIRST - 1)
    np.clip(magnitude, 0, _SIDE, out=magnitude)
    return _SIDE + np.where(form < 0, -magnitude, magnitude)


def lower_edges() -> np.ndarray:
    """Return the lower edge of each bin, (BINS,) float64; below 0 it is exclusive, else inclusive."""
    rising = np.arange(_SIDE + 1, dtype=np.int32)  # edge number i is the lower one of positive bin i + 1
    edges = ((rising + _FIRST) << _SHIFT).astype(np.int32).view(np.float32).astype(np.float64)
    return np.concatenate([-edges[1:][::-1], [-edges[0]], edges[:-1]])


def histogram(values: np.ndarray, kind: np.ndarray, kinds: int) -> np.ndarray:
    """Count values by kind and bin.

    Args:
        values: (n,) float.
        kind: (n,) whole numbers below `kinds`.
        kinds: number of kinds.

    Returns:
        (kinds, BINS) int64.
    """
    codes = bins_of(values) + kind.astype(np.int32) * BINS
    return np.bincount(codes, minlength=kinds * BINS).reshape(kinds, BINS)
