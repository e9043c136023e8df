"""Measures of uncertainty: named maps folded from the members' answers, beside the combined prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from lanecli.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from lanecli.inference.member import Member, MemberAnswer
    from lanecli.labels import LabelMap


class MeasureFold(Protocol):
    """The members' answers to one frame, taken in one after the other."""

    def add(self, answer: MemberAnswer) -> None:
        """Take one in."""

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        """The maps by name, (H, W) float32 each.

        Args:
            planes: (K, H, W) float32, the combined probabilities, one plane for each of `LabelMap.plane_classes`.
        """


class Measure(Protocol):
    """A way of saying how far a prediction is to be trusted.

    Attributes:
        needs: names of the outputs it asks every member for.
        maps: names of the maps it gives.
        samples: whether members are asked several times, with dropout on (`Recipe.passes`).
    """

    needs: frozenset[str]
    maps: tuple[str, ...]
    samples: bool

    def check(self, members: Sequence[Member]) -> None:
        """Raise InputError where these members cannot be measured so."""

    def begin(self, label_map: LabelMap) -> MeasureFold:
        """Start on a frame."""


MEASURES: Registry[type[Measure]] = Registry("uncertainty measure")
MEASURES.add(
    "entropy",
    "lanecli.inference.measures.entropy:Entropy",
    summary="softmax entropy of the combined probabilities, in nats: how undecided the answer is",
    usual=True,
)
MEASURES.add(
    "mc-dropout",
    "lanecli.inference.measures.members:McDropout",
    summary="predictive entropy and mutual information of passes with dropout on (torch only)",
)
MEASURES.add(
    "ensemble",
    "lanecli.inference.measures.members:Ensemble",
    summary="predictive entropy and mutual information of several models or views",
)
MEASURES.add(
    "density",
    "lanecli.inference.measures.outputs:Density",
    summary="log density of features under a Gaussian a class (DDU), and entropy, from one pass",
)
MEASURES.add(
    "energy", "lanecli.inference.measures.outputs:Energy", summary="energy of the logits: -log-sum-exp over classes"
)
MEASURES.add(
    "neco", "lanecli.inference.measures.outputs:Neco", summary="share of a feature in the training's principal space"
)
"""Facts: ``usual``, the measure where any will do."""


def usual_measure() -> str:
    """The measure where any will do: every model has it, at no further pass."""
    return next(name for name in MEASURES if MEASURES.entry(name).facts.get("usual"))
