"""Stacking: a small model that has learnt from the members' answers what to make of them (Wolpert 1992)."""

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
            self._close()
            self._learner = answer.member.learner
        if self._rgb is None and "picture" in self._meta.inputs:
            self._rgb = answer.frame.rgb()
        self._mean.add(answer.planes(), answer.weight)
        self._total += answer.weight

    def _close(self) -> None:
        """A learner is complete: its members' mean goes into the first layer."""
        if not self._total:
            return
        part = self._meta.learner(self._learner, self._mean.value / np.float32(self._total), self._label_map)
        self._hidden = part if self._hidden is None else np.add(self._hidden, part, out=self._hidden)
        self._mean, self._total = WeightedSum(), 0.0

    def result(self) -> Combined:
        self._close()
        assert self._hidden is not None
        if self._rgb is not None:
            self._hidden += self._meta.picture(self._rgb)
        logits = self._meta.finish(self._hidden)
        if self._label_map.bernoulli:
            return Combined(1 / (1 + np.exp(-np.clip(logits, -80, 80))))
        powers = np.exp(logits - logits.max(0))
        return Combined(powers / powers.sum(0))


class Stacking:
    """What the meta-model makes of the learners' answers; a learner is a model, or several whose mean it sees."""

    needs = frozenset({"planes"})

    def __init__(self, meta: Path | None = None) -> None:
        """Read the meta-model. Raises InputError where none is named, or it cannot be read."""
        if meta is None:
            raise InputError(
                "stacking and blending are learnt: 'lanecli ensemble fit' writes the file to give as MODEL"
            )
        self._meta = MetaModel.read(meta)

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame. Raises InputError where the meta-model was fitted for other classes."""
        if self._meta.classes != label_map.names:
            raise InputError(
                f"the meta-model was fitted for {', '.join(self._meta.classes)}, the models know "
                f"{', '.join(label_map.names)}"
            )
        return _Fold(self._meta, label_map)
