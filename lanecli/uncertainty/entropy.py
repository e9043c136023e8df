"""Entropy of probabilities, and what several members' probabilities say beyond their mean.

*Planes* are probabilities in one of two forms. *Bernoulli* planes, (K, H, W), are K independent yes-or-no
probabilities: one plane for two exclusive classes (the probability of class 1), or one a label where several labels may
hold at a pixel. *Categorical* planes, (C, H, W), sum to one over C. Entropies are in nats.
"""

from __future__ import annotations

import math

import numpy as np


def entropy(planes: np.ndarray, *, bernoulli: bool) -> np.ndarray:
    """Shannon entropy of each pixel: what the data leave open (aleatoric uncertainty).

    H(p) = -sum_c p_c ln p_c; of bernoulli planes the mean over planes of -p ln p - (1 - p) ln(1 - p).

    Args:
        planes: (K, H, W) or (C, H, W) probabilities in 0..1.
        bernoulli: which form they have.

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
    """The entropy of knowing nothing, in nats: ln C, or ln 2.

    Args:
        planes: how many there are.
        bernoulli: which form they have.
    """
    return math.log(2) if bernoulli else math.log(planes)


def _times_log(values: np.ndarray) -> np.ndarray:
    """p ln p, and its limit 0 at p = 0."""
    smallest = np.finfo(values.dtype).tiny
    return values * np.log(np.maximum(values, smallest))


class MemberEntropies:
    """Predictive entropy and mutual information of members that come one by one; three maps are kept, not the members.

    With the members' mean p = sum_m w_m p_m (weights summing to one), the predictive entropy is H(p), and the mutual
    information of class and member H(p) - sum_m w_m H(p_m): what the members disagree about (epistemic uncertainty),
    never negative. Gal, Islam and Ghahramani, "Deep Bayesian Active Learning with Image Data", arXiv 1703.02910; of
    ensembles Lakshminarayanan et al., arXiv 1612.01474.

    Example:
        >>> fold = MemberEntropies(bernoulli=True)
        >>> for member in (np.zeros((1, 1, 1)), np.ones((1, 1, 1))):
        ...     fold.add(member)
        >>> fold.result()["mutual_information"]
        array([[0.69314718]])
    """

    def __init__(self, *, bernoulli: bool) -> None:
        """Args: bernoulli: the form of the members' planes."""
        self._bernoulli = bernoulli
        self._weight = 0.0
        self._mean: np.ndarray | None = None
        self._entropy: np.ndarray | None = None

    def add(self, planes: np.ndarray, weight: float = 1.0) -> None:
        """Take the next member.

        Args:
            planes: its probabilities, of one shape for all members; they are not changed.
            weight: its share, above 0; only the ratio to the other members' counts.
        """
        self._weight += weight
        share = weight / self._weight
        found = entropy(planes, bernoulli=self._bernoulli)
        if self._mean is None or self._entropy is None:
            self._mean, self._entropy = planes.copy(), found
            return
        # a running mean: members that are equal leave it exactly as it is, so that they disagree by exactly nothing
        self._mean += (planes - self._mean) * planes.dtype.type(share)
        self._entropy += (found - self._entropy) * found.dtype.type(share)

    def result(self) -> dict[str, np.ndarray]:
        """(H, W) maps ``entropy`` (of the mean) and ``mutual_information``, both at least 0.

        Raises:
            ValueError: no member was added.
        """
        if self._mean is None or self._entropy is None:
            raise ValueError("no member was added")
        total = entropy(self._mean, bernoulli=self._bernoulli)
        return {"entropy": total, "mutual_information": np.maximum(total - self._entropy, 0)}
