"""Voting: every member gives its weight to the class it would choose."""

from __future__ import annotations

import numpy as np

from lanecli.inference.combiners import Combined
from lanecli.inference.combiners.mean import WeightedSum
from lanecli.inference.member import MemberAnswer
from lanecli.labels import LabelMap, decide


class _Fold:
    def __init__(self, label_map: LabelMap) -> None:
        self._label_map, self._votes, self._mean = label_map, WeightedSum(), WeightedSum()

    def add(self, answer: MemberAnswer) -> None:
        planes = answer.planes()
        if self._label_map.bernoulli:
            votes = (planes > 0.5).astype(np.float32)
        else:
            chosen = decide(planes, self._label_map).class_map
            votes = (np.arange(len(planes), dtype=np.uint8)[:, None, None] == chosen).astype(np.float32)
        self._votes.add(votes, answer.weight)
        self._mean.add(planes, answer.weight)

    def result(self) -> Combined:
        return Combined(self._votes.value, self._mean.value)


class Vote:
    """Uses the shares of votes as probabilities; of two equal shares, the larger mean probability wins."""

    needs = frozenset({"planes"})

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame."""
        return _Fold(label_map)
