"""How far several answers disagree: predictive entropy and mutual information of dropout and of ensembles."""

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

    The members are models, and the views of test-time augmentation.
    """

    needs = frozenset({"planes"})
    maps = ("entropy", "mutual_information")
    samples = False

    def check(self, members: Sequence[Member]) -> None:
        """Raise InputError if there is only one member."""
        if len(members) < 2:
            raise InputError(
                "--uncertainty ensemble compares several answers: give several models or --tta flip; "
                "for a single model use entropy, density or mc-dropout"
            )

    def begin(self, label_map: LabelMap) -> _Fold:
        """Start on a frame."""
        return _Fold(label_map)


class McDropout(Ensemble):
    """The same for samples of one network with dropout on (Gal and Ghahramani, arXiv 1506.02142).

    Batch normalisation stays as trained.
    """

    samples = True

    def check(self, members: Sequence[Member]) -> None:
        """Raise InputError if a model's dropout cannot be sampled."""
        for member in members:
            member.backend.check_sampling()
