"""The entropy of the combined probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lanecli.inference.member import Member, MemberAnswer
from lanecli.labels import LabelMap
from lanecli.uncertainty.entropy import entropy


class EntropyFold:
    """Computes the entropy of the combined answer."""

    def __init__(self, label_map: LabelMap) -> None:
        """Start on a frame.

        Args:
            label_map: the classes.
        """
        self._bernoulli = label_map.bernoulli

    def add(self, answer: MemberAnswer) -> None:
        """Do nothing: single answers are not needed."""

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        """Return the map ``entropy``, in nats."""
        return {"entropy": entropy(planes, bernoulli=self._bernoulli)}


class Entropy:
    """Softmax entropy: aleatoric uncertainty, without a further pass."""

    needs: frozenset[str] = frozenset()
    maps = ("entropy",)
    samples = False

    def check(self, members: Sequence[Member]) -> None:
        """Accept all members: every model has an entropy."""

    def begin(self, label_map: LabelMap) -> EntropyFold:
        """Start on a frame."""
        return EntropyFold(label_map)
