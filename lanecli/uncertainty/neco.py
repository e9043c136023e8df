"""NECO: how much of a feature lies in the directions that the training features occupy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lanecli.uncertainty.statistics import Moments

EXPLAINED = 0.9
"""Least share of the training features' variance that the kept principal components explain."""


@dataclass(frozen=True)
class PrincipalSpace:
    """The principal components of standardised training features.

    Attributes:
        mean: (D,) mean of each channel over the training pixels.
        std: (D,) standard deviation of each channel; 1 where a channel never changed.
        components: (d, D) orthonormal rows, the directions of largest variance first.
    """

    mean: np.ndarray
    std: np.ndarray
    components: np.ndarray

    def neco(self, features: np.ndarray) -> np.ndarray:
        """Return NECO of each pixel,



        Ben Ammar et al., "NECO: NEural Collapse Based Out-of-distribution detection", arXiv 2310.06823, equation 6, on
        standardised features as in their code. The factor they multiply by for some networks, the largest logit, is
        left out: `energy` already reflects it.

        Args:
            features: (D, …) float.

        Returns:
            (…) float64.
        """
        shape = (-1,) + (1,) * (features.ndim - 1)
        standard = (features - self.mean.reshape(shape)) / self.std.reshape(shape)
        inside = np.tensordot(self.components, standard, 1)
        return np.sqrt((inside**2).sum(0) / np.maximum((standard**2).sum(0), 1e-12))


def principal_space(moments: Moments, explained: float = EXPLAINED) -> PrincipalSpace:
    """Return the fewest principal components that explain the share `explained` of the standardised features' variance.

    Args:
        moments: moments of all training pixels' features together.
        explained: above 0, below 1.
    """
    covariance = moments.covariance()
    std = np.sqrt(np.diag(covariance))
    std[std == 0] = 1.0
    values, vectors = np.linalg.eigh(covariance / np.outer(std, std))
    order = np.argsort(values)[::-1]
    shares = np.cumsum(values[order]) / max(values.sum(), np.finfo(float).tiny)
    kept = min(int(np.searchsorted(shares, explained)) + 1, len(values))
    return PrincipalSpace(moments.mean, std, vectors[:, order[:kept]].T)
