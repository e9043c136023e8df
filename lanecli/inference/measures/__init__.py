"""Measures of uncertainty: they fold the members' answers into named maps, beside the combined prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from lanecli.registry import Registry

if TYPE_CHECKING:
    import numpy as np

    from lanecli.inference.member import Member, MemberAnswer
    from lanecli.labels import LabelMap


class MeasureFold(Protocol):
    """Takes the members' answers for one frame one by one."""

    def add(self, answer: MemberAnswer) -> None:
        """Add an answer."""

    def result(self, planes: np.ndarray) -> dict[str, np.ndarray]:
        """Return the maps by name, (H, W) float32 each.

        Args:
            planes: (K, H, W) float32, the combined probabilities, one plane for each of `LabelMap.plane_classes`.
        """


class Measure(Protocol):
    """A measure of how uncertain a prediction is.

    Attributes:
        needs: names of the outputs it needs from every member.
        maps: names of the maps it computes.
        samples: whether each member is run several times with dropout on (`Recipe.passes`).
    """

    needs: frozenset[str]
    maps: tuple[str, ...]
    samples: bool

    def check(self, members: Sequence[Member]) -> None:
        """Raise InputError if the measure cannot be computed with these members."""

    def begin(self, label_map: LabelMap) -> MeasureFold:
        """Start on a frame."""


MEASURES: Registry[type[Measure]] = Registry("uncertainty measure")
MEASURES.add(
    "entropy",
    "lanecli.inference.measures.entropy:Entropy",
    summary="entropy of the combined probabilities, in nats: how undecided the answer is",
    default=True,
    graph=True,
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
    summary="log density of features under one Gaussian per class (DDU), and entropy, in one pass",
    graph="log_density",
)
MEASURES.add(
    "energy",
    "lanecli.inference.measures.outputs:Energy",
    summary="energy of the logits: -log-sum-exp over classes",
    graph=True,
)
MEASURES.add(
    "neco",
    "lanecli.inference.measures.outputs:Neco",
    summary="share of a feature in the training's principal space",
    graph=True,
)
"""Facts: ``default``, true for the measure used if any measure will do; ``graph``, for measures that need one
pass of one model, the name of its map in an exported graph, or true where that is the measure's own."""


def graph_maps() -> dict[str, str]:
    """Return the measures that an exported graph can hold, each with the name of its map there."""
    facts = {name: MEASURES.entry(name).facts for name in MEASURES}
    return {name: name if own["graph"] is True else str(own["graph"]) for name, own in facts.items() if "graph" in own}


def default_measure() -> str:
    """Return the name of the measure used if any measure will do: every model has it, without a further pass."""
    return next(name for name in MEASURES if MEASURES.entry(name).facts.get("default"))
