"""Deep deterministic uncertainty: one Gaussian of features for each class, and the log density they give a feature.

Mukhoti et al., "Deep Deterministic Uncertainty for Semantic Segmentation", arXiv 2111.00079: features of one class are
alike wherever in the picture they lie, so that one mean and one covariance a class suffice, with pixels as samples. The
log density says how far the network has seen such features (epistemic uncertainty, low where it has not); the entropy
of the same pass's softmax what the data leave open (aleatoric).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lanecli.errors import InputError
from lanecli.uncertainty.statistics import FeatureStatistics, Moments

LARGEST_CONDITION = 1e8
"""Of a covariance: whitening in single precision moves a feature by its rounding (6e-8) times the root of this, some
1e-3 of a standard deviation."""
_JITTERS = (0.0, *(10.0**exponent for exponent in range(-12, 1)))
"""Shares of the mean variance added to the diagonal, the least that works first."""


@dataclass(frozen=True)
class ClassGaussians:
    """Gaussians of (reduced) features, in double precision.

    Attributes:
        names: of the classes that have one.
        means: (G, k).
        factors: (G, k, k), the lower Cholesky factor L of each covariance, L L^T.
        basis: (k, D) orthonormal rows: features are reduced to k = `basis` (x - `origin`); None where they are not.
        origin: (D,) the mean of all features, or None.
        jitters: what was added to each covariance's diagonal.
        notes: lines for the user: which classes were pooled or left out, and whether features were reduced.
    """

    names: tuple[str, ...]
    means: np.ndarray
    factors: np.ndarray
    basis: np.ndarray | None
    origin: np.ndarray | None
    jitters: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def log_density(self, features: np.ndarray) -> np.ndarray:
        """ln of the mean of the classes' densities at each feature, by log-sum-exp; all classes weigh alike, as in the
        authors' code.

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
    """-k/2 ln(2 pi) - ln det L: the log density of a Gaussian with Cholesky factor L (k, k) at its mean."""
    return float(-0.5 * len(factor) * math.log(2 * math.pi) - np.log(np.diag(factor)).sum())


def fit_gaussians(statistics: FeatureStatistics, components: int | None = None) -> ClassGaussians:
    """Gaussians from streamed statistics.

    A class with no more pixels than dimensions has no covariance of its own: it keeps its mean and takes the covariance
    pooled over all classes. A class without pixels has no Gaussian. Both are said in `notes`.

    Args:
        statistics: of the training pictures.
        components: reduce features to this many principal components first; None, or D and more, keeps them all.

    Raises:
        InputError: there are no more pixels in all than dimensions, or features are not finite.
    """
    everything = statistics.all()
    dimensions = len(everything.mean)
    groups: Sequence[Moments] = statistics.groups
    basis = origin = None
    notes: list[str] = []
    if not (np.isfinite(everything.mean).all() and np.isfinite(everything.scatter).all()):
        raise InputError("features are not finite: the density of this model's features cannot be fitted")
    if components is not None and components < dimensions:
        values, vectors = np.linalg.eigh(everything.covariance())
        basis, origin = vectors[:, ::-1][:, :components].T.copy(), everything.mean
        groups = [group.projected(basis, origin) for group in groups]
        share = values[::-1][:components].sum() / max(values.sum(), np.finfo(float).tiny)
        notes.append(
            f"features are reduced from {dimensions} channels to {components} principal components, which hold "
            f"{100 * share:.1f} % of their variance"
        )
        dimensions = components
    if everything.count <= dimensions:
        raise InputError(
            f"{everything.count} labelled pixels are too few for the density of {dimensions} features: give more data"
        )
    pooled = sum((group.scatter for group in groups), np.zeros((dimensions, dimensions))) / (everything.count - 1)
    names, means, factors, jitters = [], [], [], []
    for name, group in zip(statistics.names, groups, strict=True):
        if not group.count:
            notes.append(f"class '{name}' has no pixel and no Gaussian")
            continue
        own = group.count > dimensions
        if not own:
            notes.append(
                f"class '{name}' has {group.count} pixels, too few for {dimensions} features: it keeps its "
                "mean and takes the covariance of all classes"
            )
        factor, jitter = cholesky(group.covariance() if own else pooled)
        names.append(name)
        means.append(group.mean)
        factors.append(factor)
        jitters.append(jitter)
    return ClassGaussians(tuple(names), np.stack(means), np.stack(factors), basis, origin, tuple(jitters), tuple(notes))


def cholesky(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """The lower Cholesky factor of a covariance plus the least jitter that works, and that jitter.

    A jitter works when the matrix is positive definite with a condition number of at most `LARGEST_CONDITION`; it is
    tried as 0, then as 1e-12 to 1 of the mean variance, a power of ten at a time.
    """
    values = np.linalg.eigvalsh(covariance)
    scale = float(np.mean(np.diag(covariance))) or 1.0
    for share in _JITTERS:
        jitter = share * scale
        if values[0] + jitter > 0 and values[-1] + jitter <= LARGEST_CONDITION * (values[0] + jitter):
            return np.linalg.cholesky(covariance + jitter * np.eye(len(covariance))), jitter
    raise InputError("a class's features do not vary at all: their density cannot be fitted")
