"""Stacking: a small model, fitted to the members' answers, combines them (Wolpert 1992)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lanecli.errors import InputError
from lanecli.inference.combiners import Combined
from lanecli.inference.combiners.mean import WeightedSum
from lanecli.inference.member import MemberAnswer
from lanecli.inference.meta import MetaModel
from lanecli.labels import LabelMap


class _Fold:
    def __init__(self, meta: MetaModel, label_map: LabelMap) -> None:
        self._meta, self._label_map = meta, label_map
        self._hidden: np.ndarray | None = None
        self._learner = 0
        self._mean, self._total = WeightedSum(), 0.0
        self._rgb: np.ndarray | None = None

    def add(self, answer: MemberAnswer) -> None:
        if answer.member.learner != self._learner:
            self._finish_learner()
            self._learner = answer.member.learner
        if self._rgb is None and "picture" in self._meta.inputs:
            self._rgb = answer.frame.rgb()
        self._mean.add(answer.planes(), answer.weight)
        self._total += answer.weight

    def _finish_learner(self) -> None:
        """Add the mean of a complete learner's members to the first layer."""
        if not self._total:
            return
        part = self._meta.learner(self._learner, self._mean.value / np.float32(self._total), self._label_map)
        self._hidden = part if self._hidden is None else np.add(self._hidden, part, out=self._hidden)
        self._mean, self._total = WeightedSum(), 0.0

    def result(self) -> Combined:
        self._finish_learner()
        assert self._hidden is not None
        if self._rgb is not None:
            self._hidden += self._meta.picture(self._rgb)
        logits = self._meta.finish(self._hidden)
        if self._label_map.bernoulli:
            return Combined(1 / (1 + np.exp(-np.clip(logits, -80, 80))))
        powers = np.exp(logits - logits.max(0))
        return Combined(powers / powers.sum(0))


class Stacking:
    """Applies the meta-model to the learners' answers; a learner is one model, or the mean of several models."""

    needs = frozenset({"planes"})

    def __init__(self, meta: Path | None = None) -> None:
        """Read the meta-model. Raises InputError if none is given, or it cannot be read."""
        if meta is None:
            raise InputError(
                "stacking and blending must be fitted: use as MODEL the file that 'lanecli ensemble fit' writes"
            )
        self._meta = MetaModel.read(meta)

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame. Raises InputError if the meta-model was fitted for other classes."""
        if self._meta.classes != label_map.names:
            raise InputError(
                f"the meta-model was fitted for {', '.join(self._meta.classes)}, but the models have "
                f"{', '.join(label_map.names)}"
            )
        return _Fold(self._meta, label_map)
