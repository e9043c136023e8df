"""Histograms of values of any size in fixed memory, fine enough that what follows from them is that of the values.

A value's bin is read off its 32-bit floating-point form: 512 bins an octave from 2^-24 to 2^24, for both signs, so that
entropies near nought and log densities of minus ten thousand are both told apart to 0.2 % (values nearer nought share
one bin, values beyond the end bins).
"""

from __future__ import annotations

import numpy as np

_MANTISSA = 9  # bits kept: 512 bins an octave
_OCTAVES = 24  # on either side of 1
_SHIFT = 23 - _MANTISSA
_SIDE = 2 * _OCTAVES << _MANTISSA
_FIRST = (127 - _OCTAVES) << _MANTISSA
BINS = 2 * _SIDE + 1
"""Bins there are, in rising order of their values; the middle one holds nought."""
HIGHEST = 2.0**_OCTAVES
"""Where the last bin ends, but for larger values it holds too."""


def bins_of(values: np.ndarray) -> np.ndarray:
    """The bin of each value.

    Args:
        values: (…) float; none may be NaN. Infinite ones go to the end bins.

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
    """(BINS,) float64: the smallest value of each bin (of bins below nought, the value all of theirs are above)."""
    rising = np.arange(_SIDE + 1, dtype=np.int32)  # edge number i is the lower one of positive bin i + 1
    edges = ((rising + _FIRST) << _SHIFT).astype(np.int32).view(np.float32).astype(np.float64)
    return np.concatenate([-edges[1:][::-1], [-edges[0]], edges[:-1]])


def histogram(values: np.ndarray, kind: np.ndarray, kinds: int) -> np.ndarray:
    """Count values by kind and bin.

    Args:
        values: (n,) float.
        kind: (n,) whole numbers below `kinds`.
        kinds: how many there are.

    Returns:
        (kinds, BINS) int64.
    """
    codes = bins_of(values) + kind.astype(np.int32) * BINS
    return np.bincount(codes, minlength=kinds * BINS).reshape(kinds, BINS)
