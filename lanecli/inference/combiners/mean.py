"""The mean of probabilities, with the members' weights."""

from __future__ import annotations

import numpy as np

from lanecli.inference.combiners import Combined
from lanecli.inference.member import MemberAnswer
from lanecli.labels import LabelMap


class WeightedSum:
    """A running sum of planes, each times its weight; weights of all members sum to one."""

    def __init__(self) -> None:
        self._sum: np.ndarray | None = None

    def add(self, planes: np.ndarray, weight: float) -> None:
        """Add (K, H, W) float32 `planes`, which are not used again, `weight` times."""
        if weight == 0:
            return
        scaled = planes if weight == 1 else np.multiply(planes, np.float32(weight))
        self._sum = scaled if self._sum is None else np.add(self._sum, scaled, out=self._sum)

    @property
    def value(self) -> np.ndarray:
        """(K, H, W) float32."""
        assert self._sum is not None, "weights sum to one"
        return self._sum


class _Fold:
    def __init__(self) -> None:
        self._sum = WeightedSum()

    def add(self, answer: MemberAnswer) -> None:
        self._sum.add(answer.planes(), answer.weight)

    def result(self) -> Combined:
        return Combined(self._sum.value)


class Mean:
    """sum_m w_m p_m; one member alone comes through bit for bit."""

    needs = frozenset({"planes"})

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame."""
        return _Fold()
