"""The mean of logits: each member's logits are scaled to the frame, averaged, and turned into probabilities."""

from __future__ import annotations

import numpy as np

from lanecli.inference.combiners import Combined
from lanecli.inference.combiners.mean import WeightedSum
from lanecli.inference.member import MemberAnswer
from lanecli.labels import LabelMap


class _Fold:
    def __init__(self, label_map: LabelMap) -> None:
        self._label_map, self._sum = label_map, WeightedSum()

    def add(self, answer: MemberAnswer) -> None:
        self._sum.add(answer.logits(), answer.weight)

    def result(self) -> Combined:
        logits = self._sum.value
        if self._label_map.bernoulli:
            return Combined(1 / (1 + np.exp(-np.clip(logits, -80, 80))))
        powers = np.exp(logits - logits.max(0))
        return Combined(powers / powers.sum(0))


class LogitMean:
    """softmax(sum_m w_m z_m); sigmoid for multi-label maps. On one grid it equals the geometric mean."""

    needs = frozenset({"logits"})

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame."""
        return _Fold(label_map)
