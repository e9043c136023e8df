"""Measures computed in the network's graph or from its logits: density, NECO, energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lanecli.errors import InputError
from lanecli.inference.measures.entropy import EntropyFold
from lanecli.inference.member import Member, MemberAnswer
from lanecli.labels import LabelMap
from lanecli.uncertainty.energy import energy


class _MeanFold:
    """Computes the members' mean of one map, and the entropy of the combined probabilities."""

    def __init__(self, name: str, label_map: LabelMap, with_entropy: bool) -> None:
        self._name, self._weight = name, 0.0
        self._sum: np.ndarray | None = None
        self._entropy = EntropyFold(label_map) if with_entropy else None

    def add(self, answer: MemberAnswer) -> None:
        weighted = self._map(answer) * np.float32(answer.weight)
        self._sum = weighted if self._sum is None else self._sum + weighted
        self._weight += answer.weight

    def _map(self, answer: MemberAnswer) -> np.ndarray:
        return answer.map(self._name)

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        assert self._sum is not None, "there is a member"
        maps = {self._name: self._sum / np.float32(self._weight)}
        return maps | (self._entropy.result(planes) if self._entropy else {})


class _EnergyFold(_MeanFold):
    def _map(self, answer: MemberAnswer) -> np.ndarray:
        multilabel = answer.member.backend.spec.label_map.multilabel
        return answer.at_frame_size(energy(answer.network_logits(), multilabel=multilabel), sign=1)


class _Fitted:
    """A measure whose statistics a model file must contain."""

    name: str
    needs: frozenset[str]
    maps: tuple[str, ...]
    samples = False

    def check(self, members: Sequence[Member]) -> None:
        """Raise InputError if a model file does not contain them."""
        for member in members:
            if self.name not in member.backend.spec.outputs:
                raise InputError(
                    f"{member.backend.load.path}: has no feature statistics for '{self.name}': add them with "
                    "'lanecli uncertainty fit MODEL --data DIR --out FILE'"
                )

    def begin(self, label_map: LabelMap) -> _MeanFold:
        """Start on a frame."""
        return _MeanFold(self.name, label_map, "entropy" in self.maps)


class Density(_Fitted):
    """Deep deterministic uncertainty, in one pass: log feature density (epistemic) and softmax entropy (aleatoric)."""

    name = "log_density"
    needs = frozenset({"log_density"})
    maps = ("log_density", "entropy")


class Neco(_Fitted):
    """The share of a feature that lies in the principal space of the training features."""

    name = "neco"
    needs = frozenset({"neco"})
    maps = ("neco",)


class Energy:
    """The energy of the logits: no further pass, nothing to fit."""

    needs = frozenset({"logits"})
    maps = ("energy",)
    samples = False

    def check(self, members: Sequence[Member]) -> None:
        """Accept all members: every model has logits."""

    def begin(self, label_map: LabelMap) -> _EnergyFold:
        """Start on a frame."""
        return _EnergyFold("energy", label_map, False)
