"""Deep deterministic uncertainty: one Gaussian of features for each class, and the log density of features under them.

Mukhoti et al., "Deep Deterministic Uncertainty for Semantic Segmentation", arXiv 2111.00079: the features of a class
are alike wherever in the picture they lie, so one mean and one covariance per class suffice, with pixels as samples.
The log density tells how familiar such features are to the network (epistemic uncertainty: low for unfamiliar ones).
The entropy of the same pass's softmax tells what the data leave open (aleatoric uncertainty).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanecli.errors import InputError
from lanecli.uncertainty.statistics import FeatureStatistics, Moments

LARGEST_CONDITION = 1e8
"""Largest condition number of a covariance: whitening in single precision moves a feature by its rounding (6e-8) times
the square root of this number, some 1e-3 of a standard deviation."""
_JITTERS = (0.0, *(10.0**exponent for exponent in range(-12, 1)))
"""Shares of the mean variance that may be added to the diagonal; the smallest one that works is used."""


@dataclass(frozen=True)
class ClassGaussians:
    """Gaussians of (reduced) features, in double precision.

    Attributes:
        names: names of the classes that have a Gaussian.
        means: (G, k).
        factors: (G, k, k), the lower Cholesky factor L of each covariance, L L^T.
        basis: (k, D) orthonormal rows: features x are reduced to k dimensions by `basis` (x - `origin`); None if they
            are not reduced.
        origin: (D,) the mean of all features, or None.
        jitters: what was added to the diagonal of each covariance.
        notes: notes for the user: which classes were pooled or left out, and whether features were reduced.
    """

    names: tuple[str, ...]
    means: np.ndarray
    factors: np.ndarray
    basis: np.ndarray | None
    origin: np.ndarray | None
    jitters: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def log_density(self, features: np.ndarray) -> np.ndarray:
        """Return ln of the mean of the classes' densities at each feature, by log-sum-exp.

        All classes have the same weight, as in the authors' code.

        Args:
            features: (D, …) float.

        Returns:
            (…) float64, nats.
        """
        shape = features.shape[1:]
        flat = features.reshape(len(features), -1).astype(np.float64)
        if self.basis is not None and self.origin is not None:
            flat = self.basis @ (flat - self.origin[:, None])
        each = []
        for mean, factor in zip(self.means, self.factors, strict=True):
            white = np.linalg.solve(factor, flat - mean[:, None])
            each.append(-0.5 * (white**2).sum(0) + log_normaliser(factor))
        return (np.logaddexp.reduce(each, axis=0) - math.log(len(each))).reshape(shape)


def log_normaliser(factor: np.ndarray) -> float:
    """Return -k/2 ln(2 pi) - ln det L: the log density at its mean of a Gaussian with Cholesky factor L (k, k)."""
    return float(-0.5 * len(factor) * math.log(2 * math.pi) - np.log(np.diag(factor)).sum())


def fit_gaussians(statistics: FeatureStatistics, components: int | None = None) -> ClassGaussians:
    """Fit Gaussians to streamed statistics.

    A class with no more pixels than dimensions cannot have a covariance of its own: it keeps its mean and gets the
    covariance pooled over all classes. A class without pixels has no Gaussian. `notes` report both.

    Args:
        statistics: statistics of the training pictures.
        components: number of principal components to reduce features to first; None, or D and more, keeps them all.

    Raises:
        InputError: there are no more pixels in all than dimensions, or features are not finite.
    """
    everything = statistics.all()
    dimensions = len(everything.mean)
    groups: Sequence[Moments] = statistics.groups
    basis = origin = None
    notes: list[str] = []
    if not (np.isfinite(everything.mean).all() and np.isfinite(everything.scatter).all()):
        raise InputError("this model's features are not finite, so their density cannot be fitted")
    if components is not None and components < dimensions:
        values, vectors = np.linalg.eigh(everything.covariance())
        basis, origin = vectors[:, ::-1][:, :components].T.copy(), everything.mean
        groups = [group.projected(basis, origin) for group in groups]
        share = values[::-1][:components].sum() / max(values.sum(), np.finfo(float).tiny)
        notes.append(
            f"features are reduced from {dimensions} channels to {components} principal components, which explain "
            f"{100 * share:.1f} % of their variance"
        )
        dimensions = components
    if everything.count <= dimensions:
        raise InputError(
            f"{everything.count} labelled pixels are too few to fit the density of {dimensions} features: use more data"
        )
    pooled = sum((group.scatter for group in groups), np.zeros((dimensions, dimensions))) / (everything.count - 1)
    names, means, factors, jitters = [], [], [], []
    for name, group in zip(statistics.names, groups, strict=True):
        if not group.count:
            notes.append(f"class '{name}' has no pixel, so it gets no Gaussian")
            continue
        own = group.count > dimensions
        if not own:
            notes.append(
                f"class '{name}' has {group.count} pixels, too few for {dimensions} features: it keeps its "
                "mean and gets the covariance of all classes"
            )
        factor, jitter = cholesky(group.covariance() if own else pooled)
        names.append(name)
        means.append(group.mean)
        factors.append(factor)
        jitters.append(jitter)
    return ClassGaussians(tuple(names), np.stack(means), np.stack(factors), basis, origin, tuple(jitters), tuple(notes))


def cholesky(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the lower Cholesky factor of a covariance plus the smallest jitter that works, and that jitter.

    A jitter works if the matrix becomes positive definite with a condition number of at most `LARGEST_CONDITION`. It is
    tried as 0, then as 1e-12 to 1 times the mean variance, in powers of ten.

    Raises:
        InputError: no jitter works.
    """
    values = np.linalg.eigvalsh(covariance)
    scale = float(np.mean(np.diag(covariance))) or 1.0
    for share in _JITTERS:
        jitter = share * scale
        if values[0] + jitter > 0 and values[-1] + jitter <= LARGEST_CONDITION * (values[0] + jitter):
            return np.linalg.cholesky(covariance + jitter * np.eye(len(covariance))), jitter
    raise InputError("the features of a class do not vary at all, so their density cannot be fitted")
