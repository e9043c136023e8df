"""The normalised geometric mean of probabilities."""

from __future__ import annotations

import numpy as np

from lanecli.inference.combiners import Combined
from lanecli.inference.combiners.mean import WeightedSum
from lanecli.inference.member import MemberAnswer
from lanecli.labels import LabelMap

_SMALLEST = np.float32(1e-12)  # a member that gives a class probability 0 must not rule it out whatever the others say


class _Fold:
    def __init__(self, label_map: LabelMap) -> None:
        self._label_map, self._logs, self._against = label_map, WeightedSum(), WeightedSum()

    def add(self, answer: MemberAnswer) -> None:
        planes = answer.planes()
        if self._label_map.bernoulli:
            self._against.add(np.log(np.maximum(1 - planes, _SMALLEST)), answer.weight)
        self._logs.add(np.log(np.maximum(planes, _SMALLEST)), answer.weight)

    def result(self) -> Combined:
        if self._label_map.bernoulli:
            return Combined(1 / (1 + np.exp(np.clip(self._against.value - self._logs.value, -80, 80))))
        powers = np.exp(self._logs.value - self._logs.value.max(0))
        return Combined(powers / powers.sum(0))


class Geometric:
    """prod_m p_m^w_m, divided by its sum over all classes, or over yes and no for each independent plane."""

    needs = frozenset({"planes"})

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame."""
        return _Fold(label_map)
