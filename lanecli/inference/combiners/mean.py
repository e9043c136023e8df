"""The weighted mean of probabilities."""

from __future__ import annotations

import numpy as np

from lanecli.inference.combiners import Combined
from lanecli.inference.member import MemberAnswer
from lanecli.labels import LabelMap


class WeightedSum:
    """A running weighted sum of planes; the weights of all members sum to one."""

    def __init__(self) -> None:
        self._sum: np.ndarray | None = None

    def add(self, planes: np.ndarray, weight: float) -> None:
        """Add (K, H, W) float32 `planes` times `weight`. The array may be overwritten."""
        if weight == 0:
            return
        scaled = planes if weight == 1 else np.multiply(planes, np.float32(weight))
        self._sum = scaled if self._sum is None else np.add(self._sum, scaled, out=self._sum)

    @property
    def value(self) -> np.ndarray:
        """The sum, (K, H, W) float32."""
        assert self._sum is not None, "the weights sum to one"
        return self._sum


class _Fold:
    def __init__(self) -> None:
        self._sum = WeightedSum()

    def add(self, answer: MemberAnswer) -> None:
        self._sum.add(answer.planes(), answer.weight)

    def result(self) -> Combined:
        return Combined(self._sum.value)


class Mean:
    """sum_m w_m p_m. A single member's probabilities come through bit for bit."""

    needs = frozenset({"planes"})

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame."""
        return _Fold()
