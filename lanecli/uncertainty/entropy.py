"""The entropy of probabilities, and what the probabilities of several members show beyond their mean.

*Planes* are probabilities in one of two forms. *Bernoulli* planes, (K, H, W), are K independent yes-or-no
probabilities: one plane for two exclusive classes (the probability of class 1), or one per label of a multi-label map.
*Categorical* planes, (C, H, W), sum to one over C. Entropies are in nats.
"""

from __future__ import annotations

import math

import numpy as np


def entropy(planes: np.ndarray, *, bernoulli: bool) -> np.ndarray:
    """Return the Shannon entropy of each pixel: what the data leave open (aleatoric uncertainty).

    H(p) = -sum_c p_c ln p_c; for bernoulli planes the mean over planes of -p ln p - (1 - p) ln(1 - p).

    Args:
        planes: (K, H, W) or (C, H, W) probabilities in 0..1.
        bernoulli: whether they are bernoulli planes.

    Returns:
        (H, W) of the planes' dtype, 0 to :func:`largest_entropy`.

    Example:
        >>> entropy(np.full((1, 1, 1), 0.5), bernoulli=True)
        array([[0.69314718]])
    """
    total = np.zeros(planes.shape[1:], planes.dtype)
    for plane in planes:
        total -= _times_log(plane)
        if bernoulli:
            total -= _times_log(1 - plane)
    if bernoulli and len(planes) > 1:
        total /= len(planes)
    return np.maximum(total, 0, out=total)


def largest_entropy(planes: int, *, bernoulli: bool) -> float:
    """Return the largest possible entropy, in nats: ln C, or ln 2 for bernoulli planes.

    Args:
        planes: number of planes.
        bernoulli: whether they are bernoulli planes.
    """
    return math.log(2) if bernoulli else math.log(planes)


def _times_log(values: np.ndarray) -> np.ndarray:
    """Return p ln p, and its limit 0 at p = 0."""
    smallest = np.finfo(values.dtype).tiny
    return values * np.log(np.maximum(values, smallest))


class MemberEntropies:
    """Predictive entropy and mutual information of members that are added one by one and not kept.

    With the members' mean p = sum_m w_m p_m (weights summing to one), the predictive entropy is H(p). The mutual
    information of class and member is H(p) - sum_m w_m H(p_m): what the members disagree about (epistemic uncertainty),
    never negative. Gal, Islam and Ghahramani, "Deep Bayesian Active Learning with Image Data", arXiv 1703.02910; for
    ensembles Lakshminarayanan et al., arXiv 1612.01474.

    Example:
        >>> fold = MemberEntropies(bernoulli=True)
        >>> for member in (np.zeros((1, 1, 1)), np.ones((1, 1, 1))):
        ...     fold.add(member)
        >>> fold.result()["mutual_information"]
        array([[0.69314718]])
    """

    def __init__(self, *, bernoulli: bool) -> None:
        """Start without a member.

        Args:
            bernoulli: whether the members' planes are bernoulli planes.
        """
        self._bernoulli = bernoulli
        self._weight = 0.0
        self._mean: np.ndarray | None = None
        self._entropy: np.ndarray | None = None

    def add(self, planes: np.ndarray, weight: float = 1.0) -> None:
        """Add a member.

        Args:
            planes: its probabilities, of one shape for all members; they are not changed.
            weight: its share, above 0; only the ratio to the other members' weights counts.
        """
        self._weight += weight
        share = weight / self._weight
        own = entropy(planes, bernoulli=self._bernoulli)
        if self._mean is None or self._entropy is None:
            self._mean, self._entropy = planes.copy(), own
            return
        # a running mean: equal members leave it exactly as it is, so that their disagreement is exactly zero
        self._mean += (planes - self._mean) * planes.dtype.type(share)
        self._entropy += (own - self._entropy) * own.dtype.type(share)

    def result(self) -> dict[str, np.ndarray]:
        """Return the (H, W) maps ``entropy`` (of the mean) and ``mutual_information``, both at least 0.

        Raises:
            ValueError: no member was added.
        """
        if self._mean is None or self._entropy is None:
            raise ValueError("no member was added")
        total = entropy(self._mean, bernoulli=self._bernoulli)
        return {"entropy": total, "mutual_information": np.maximum(total - self._entropy, 0)}
