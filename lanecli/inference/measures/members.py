"""What several members say beyond their mean: predictive entropy and mutual information of dropout and of ensembles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lanecli.errors import InputError
from lanecli.inference.member import Member, MemberAnswer
from lanecli.labels import LabelMap
from lanecli.uncertainty.entropy import MemberEntropies


class _Fold:
    def __init__(self, label_map: LabelMap) -> None:
        self._entropies = MemberEntropies(bernoulli=label_map.bernoulli)

    def add(self, answer: MemberAnswer) -> None:
        if answer.weight > 0:
            self._entropies.add(answer.planes(), answer.weight)

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        return self._entropies.result()


class Ensemble:
    """Predictive entropy, and mutual information of class and member (Lakshminarayanan et al., arXiv 1612.01474).

    Members are models, and the views of test-time augmentation.
    """

    needs = frozenset({"planes"})
    maps = ("entropy", "mutual_information")
    samples = False

    def check(self, members: Sequence[Member]) -> None:
        """Raise InputError where there is one member only."""
        if len(members) < 2:
            raise InputError(
                "--uncertainty ensemble compares several answers: give several models, or --tta flip; "
                "of one model alone take entropy, density or mc-dropout"
            )

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame."""
        return _Fold(label_map)


class McDropout(Ensemble):
    """The same of one network's samples: dropout on, batch normalisation as learnt (Gal and Ghahramani,
    arXiv 1506.02142)."""

    samples = True

    def check(self, members: Sequence[Member]) -> None:
        """Raise InputError where a model cannot be sampled."""
        for member in members:
            member.backend.check_sampling()
