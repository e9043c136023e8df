"""Entropy of the combined probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lanecli.inference.member import Member, MemberAnswer
from lanecli.labels import LabelMap

_SMALLEST = np.float32(1e-12)


def entropy(planes: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """-sum_c p_c ln p_c of each pixel, in nats.

    Args:
        planes: (K, H, W) float32 probabilities, one plane for each of `LabelMap.plane_classes`.
        label_map: the classes; of several labels at once the mean over labels of each one's own entropy.

    Returns:
        (H, W) float32, 0 to ln C (to ln 2 for several labels).
    """
    if not label_map.bernoulli:
        return -(planes * np.log(np.maximum(planes, _SMALLEST))).sum(0)
    against = 1 - planes
    each = planes * np.log(np.maximum(planes, _SMALLEST)) + against * np.log(np.maximum(against, _SMALLEST))
    return -each.mean(0)


class _Fold:
    def __init__(self, label_map: LabelMap) -> None:
        self._label_map = label_map

    def add(self, answer: MemberAnswer) -> None:
        """Nothing of a single member is needed."""

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        return {"entropy": entropy(planes, self._label_map)}


class Entropy:
    """Softmax entropy: aleatoric uncertainty, at no further pass."""

    needs: frozenset[str] = frozenset()
    maps = ("entropy",)
    samples = False

    def check(self, members: Sequence[Member]) -> None:
        """Every model has it."""

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame."""
        return _Fold(label_map)
