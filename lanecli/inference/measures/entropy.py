"""Entropy of the combined probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lanecli.inference.member import Member, MemberAnswer
from lanecli.labels import LabelMap
from lanecli.uncertainty.entropy import entropy


class EntropyFold:
    """The entropy of what the members come to."""

    def __init__(self, label_map: LabelMap) -> None:
        """Args: label_map: the classes."""
        self._bernoulli = label_map.bernoulli

    def add(self, answer: MemberAnswer) -> None:
        """Nothing of a single member is needed."""

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        """The map ``entropy``, in nats."""
        return {"entropy": entropy(planes, bernoulli=self._bernoulli)}


class Entropy:
    """Softmax entropy: aleatoric uncertainty, at no further pass."""

    needs: frozenset[str] = frozenset()
    maps = ("entropy",)
    samples = False

    def check(self, members: Sequence[Member]) -> None:
        """Every model has it."""

    def begin(self, label_map: LabelMap) -> EntropyFold:
        """Start on a frame."""
        return EntropyFold(label_map)
