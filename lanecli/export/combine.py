"""Combination rules inside a graph: those of `lanecli.inference.combiners`, on batches of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from lanecli.inference.meta import MetaModel
from lanecli.labels import LabelMap

_SMALLEST = 1e-12
_EQUAL = 1e-6
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class MemberScores:
    """One member's answer.

    Attributes:
        scores: (N, K, H, W) float32: probabilities, or logits for ``logit_mean``.
        share: share of the answer; the shares of all members sum to one.
        learner: number of the member's learner.
    """

    scores: torch.Tensor
    share: float
    learner: int


Rule = Callable[[Sequence[MemberScores], torch.Tensor, LabelMap], tuple[torch.Tensor, torch.Tensor | None]]
"""Maps answers, pictures and classes to (N, K, H, W) planes, and to scores of that shape for ties, or None."""


def _weighted(
    answers: Sequence[MemberScores], of: Callable[[torch.Tensor], torch.Tensor] = lambda scores: scores
) -> torch.Tensor:
    total = of(answers[0].scores) * answers[0].share
    for one in answers[1:]:
        total = total + of(one.scores) * one.share
    return total


def _activated(logits: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    return logits.sigmoid() if label_map.bernoulli else logits.softmax(1)


def mean(answers: Sequence[MemberScores], _pictures: torch.Tensor, _label_map: LabelMap) -> tuple[torch.Tensor, None]:
    """sum_m w_m p_m."""
    return _weighted(answers), None


def logit_mean(
    answers: Sequence[MemberScores], _pictures: torch.Tensor, label_map: LabelMap
) -> tuple[torch.Tensor, None]:
    """softmax(sum_m w_m z_m)."""
    return _activated(_weighted(answers), label_map), None


def geometric(
    answers: Sequence[MemberScores], _pictures: torch.Tensor, label_map: LabelMap
) -> tuple[torch.Tensor, None]:
    """prod_m p_m^w_m, divided by its sum."""
    logs = _weighted(answers, lambda planes: planes.clamp_min(_SMALLEST).log())
    if label_map.bernoulli:
        logs = logs - _weighted(answers, lambda planes: (1 - planes).clamp_min(_SMALLEST).log())
    return _activated(logs, label_map), None


def vote(
    answers: Sequence[MemberScores], _pictures: torch.Tensor, label_map: LabelMap
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shares of votes; of two equal ones, the larger mean probability wins."""

    def votes(planes: torch.Tensor) -> torch.Tensor:
        if label_map.bernoulli:
            return (planes > 0.5).float()
        numbers = torch.arange(planes.shape[1])[:, None, None]
        return (planes.argmax(1, keepdim=True) == numbers).float()

    return _weighted(answers, votes), _weighted(answers)


def break_ties(planes: torch.Tensor, ties: torch.Tensor, label_map: LabelMap) -> torch.Tensor:
    """Return planes for which `lanecli.export.whole.chosen_classes` chooses as `decide` does with `ties`."""
    if label_map.bernoulli:
        equal = (planes - 0.5).abs() <= _EQUAL
        decided = torch.where(equal, torch.full((1,), 0.5), planes)
        return decided + 1e-4 * (ties - 0.5) * (equal | torch.tensor(label_map.multilabel))
    among = planes >= planes.amax(1, keepdim=True) - _EQUAL
    return torch.where(among, ties + 1, torch.zeros(1))


class Stacked(nn.Module):
    """The meta-model as layers: `lanecli.inference.meta.MetaModel` on batches."""

    def __init__(self, meta: MetaModel) -> None:
        """Take the numbers of a fitted meta-model.

        Args:
            meta: the meta-model; its context must be odd.
        """
        super().__init__()
        self.meta = meta
        for name in ("first", "bias", "second", "offset"):
            self.register_buffer(name, torch.from_numpy(getattr(meta, name).copy()))

    def forward(
        self, answers: Sequence[MemberScores], pictures: torch.Tensor, label_map: LabelMap
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what a `Rule` returns."""
        parts: list[torch.Tensor] = []
        for learner in range(self.meta.learners):
            own = [one for one in answers if one.learner == learner]
            planes = _weighted(own) / sum(one.share for one in own)
            if "probabilities" in self.meta.inputs:
                parts.append(planes)
            if "entropy" in self.meta.inputs:
                parts.append(_entropy(planes, bernoulli=label_map.bernoulli))
            self._blurred(parts, ("probabilities" in self.meta.inputs) + ("entropy" in self.meta.inputs))
        if "picture" in self.meta.inputs:
            parts.append(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1)
            self._blurred(parts, 1)
        first, bias, second, offset = (getattr(self, name) for name in ("first", "bias", "second", "offset"))
        hidden = F.relu(F.conv2d(torch.cat(parts, 1), first[:, :, None, None], bias))
        return _activated(F.conv2d(hidden, second[:, :, None, None], offset), label_map), None

    def _blurred(self, parts: list[torch.Tensor], count: int) -> None:
        """Append the mean over a square of the last `count` parts."""
        side = self.meta.context
        if side > 1:
            wide = F.pad(torch.cat(parts[-count:], 1), (side // 2,) * 4, mode="replicate")
            parts.append(F.avg_pool2d(wide, side, stride=1))


def _entropy(planes: torch.Tensor, *, bernoulli: bool) -> torch.Tensor:
    """Return `lanecli.uncertainty.entropy.entropy` of (N, K, H, W) planes as (N, 1, H, W)."""

    def surprise(values: torch.Tensor) -> torch.Tensor:
        return -values * values.clamp_min(_TINY).log()

    total = surprise(planes) + (surprise(1 - planes) if bernoulli else 0)
    total = total.sum(1, keepdim=True) / (planes.shape[1] if bernoulli else 1)
    return F.relu(total)


RULES: dict[str, Rule] = {
    "mean": mean,
    "weighted": mean,
    "logit_mean": logit_mean,
    "geometric": geometric,
    "vote": vote,
}
"""Rules by their names in COMBINERS; the fitted ones are :class:`Stacked`."""
